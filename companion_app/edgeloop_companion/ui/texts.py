"""Every word that a person reads on a screen, in both languages: one line per text, in the order of the screens.

What a daemon, a task or the system says stands as it came. Kivy breaks lines at spaces, and Chinese anywhere: so Chinese texts have
no spaces, and no full stop that could stand alone at the end.
"""

from __future__ import annotations

from edgeloop_companion.store.settings import Language

# key: (English, 简体中文)
TEXTS: dict[str, tuple[str, str]] = {
    # the frame around all screens
    "app.title": ("edgeloop companion", "edgeloop 伴侣"),
    "app.back": ("Back", "返回"),
    "app.cancel": ("Cancel", "取消"),
    # device
    "device.title": ("Device", "设备"),
    "device.hardware": ("Hardware", "硬件"),
    "device.name": ("Name", "名称"),
    "device.processor": ("Processor", "处理器"),
    "device.cores": ("Cores", "核心数"),
    "device.memory": ("Memory", "内存"),
    "device.battery": ("Battery", "电量"),
    "device.charging": ("{percent}, charging", "{percent}，充电中"),
    "device.battery.heat": ("Battery temperature", "电池温度"),
    "device.processor.heat": ("Processor temperature", "处理器温度"),
    "device.untold": ("not told by this platform", "此平台不提供"),
    "device.software": ("Software", "软件"),
    "device.system": ("System", "系统"),
    "device.mnn.missing": ("not installed", "未安装"),
    "device.backends": ("Backends", "后端"),
    "device.asking": ("asking MNN …", "正在询问MNN……"),
    "device.unknown": ("not known: {reason}", "未知：{reason}"),
    "device.storage": ("Storage", "存储"),
    "device.storage.used": ("Models and files", "模型和文件"),
    "device.storage.free": ("Free", "可用空间"),
    "device.storage.detail": (
        "Files that computers sent are kept here, so that they are sent once. Cleared ones are sent again when a task needs them; "
        "those of running tasks stay.",
        "电脑发来的文件保存在这里，不必重复发送；清除后需要时会重新发送，运行中任务的文件会保留",
    ),
    "device.storage.clear": ("Clear", "清除"),
    # settings
    "settings.title": ("Settings", "设置"),
    "settings.device": ("This device", "本机"),
    "settings.name": ("Name, as computers see it", "名称（电脑上显示）"),
    "settings.name.detail": ("They learn of another one when they link next.", "修改后在下次连接时生效"),
    "settings.name.refused": ("A name has 1 to 64 characters, all of them visible.", "名称须为1到64个可见字符"),
    "settings.announced": ("Let computers find this device", "允许电脑发现本机"),
    "settings.announced.detail": (
        "By mDNS in the same network. Only paired computers can tell which device it is.",
        "在同一网络内以mDNS广播，只有已配对的电脑能认出本机",
    ),
    "settings.awake": ("Keep the screen on", "保持屏幕常亮"),
    "settings.awake.detail": ("As long as this app is open.", "仅在本应用打开时有效"),
    "settings.look": ("Look", "外观"),
    "settings.language": ("Language", "语言"),
    "settings.language.english": ("English", "English"),
    "settings.language.chinese": ("简体中文", "简体中文"),
    "settings.language.chinese.undrawn": ("Chinese", "Chinese"),
    "settings.theme": ("Theme", "主题"),
    "settings.theme.light": ("Light", "浅色"),
    "settings.theme.dark": ("Dark", "深色"),
    "settings.font.missing": ("No font here draws Chinese.", "此设备没有中文字体"),
    "settings.font.hint": (
        "Chinese names and logs appear as boxes. Install one, such as Debian's fonts-noto-cjk or "
        "`pip install noto-cjk-sans-otc`, and start the app again.",
        "中文名称和日志会显示为方框。请安装中文字体（如 fonts-noto-cjk），然后重新启动",
    ),
}


class Words:
    """The texts in one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._index = list(Language).index(language)

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of `key` with `values` filled in. Raises `KeyError` for a key or a value that is missing."""
        text = TEXTS[key][self._index]
        return text.format(**values) if values else text
