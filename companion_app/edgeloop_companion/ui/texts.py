"""Every word that a person reads on a screen, in both languages: one line per text, in the order of the screens.

What a daemon, a task or the system says stands as it came. In Chinese a space stands between words of either script.
"""

from __future__ import annotations

from edgeloop_companion.store.settings import Language
from edgeloop_companion.ui.doctor_texts import DOCTOR_TEXTS

# key: (English, 简体中文)
TEXTS: dict[str, tuple[str, str]] = {
    # the frame around all screens
    "app.title": ("edgeloop companion", "edgeloop 伴侣"),
    "app.back": ("Back", "返回"),
    "app.cancel": ("Cancel", "取消"),
    # tasks
    "tasks.title": ("Tasks", "任务"),
    "tasks.at_work": ("At work", "进行中"),
    "tasks.recent": ("Recent", "最近"),
    "tasks.clear": ("Clear", "清除"),
    "tasks.clear.title": ("Clear the list?", "清除列表？"),
    "tasks.clear.detail": (
        "Results and logs stay on the computers; this device forgets what ran.",
        "结果和日志仍保留在电脑上；本机将不再显示已结束的任务。",
    ),
    "tasks.none": ("No task yet", "还没有任务"),
    "tasks.none.detail": (
        "`edgeloop run task.py` on a paired computer starts one here.",
        "在已配对的电脑上运行 `edgeloop run task.py`，任务就会出现在这里。",
    ),
    "task.place": ("{workspace} on {computer}", "{computer} 上的 {workspace}"),
    "task.preparing": ("preparing", "准备中"),
    "task.receiving": ("receiving {received} of {total}", "正在接收 {received} / {total}"),
    "task.waiting": ("waiting for its turn", "等待中"),
    "task.behind.one": ("waiting behind 1 other", "前面还有 1 个任务"),
    "task.behind.many": ("waiting behind {count} others", "前面还有 {count} 个任务"),
    "task.next.one": ("next in line, 1 task runs", "下一个，正在运行 1 个任务"),
    "task.next.many": ("next in line, {count} tasks run", "下一个，正在运行 {count} 个任务"),
    "task.of_others.one": ("1 of them from another computer", "其中 1 个来自其他电脑"),
    "task.of_others.many": ("{count} of them from other computers", "其中 {count} 个来自其他电脑"),
    "task.running": ("running", "运行中"),
    "task.progressing": ("{state}, {progress}", "{state}，{progress}"),
    "task.progress": ("{done} of {total} ({percent})", "{done} / {total}（{percent}）"),
    "task.progress.text": ("{progress}: {text}", "{progress}：{text}"),
    "task.paused": ("paused in a debugger", "已在调试器中暂停"),
    "task.paused.line": ("paused at {file}, line {line}", "暂停于 {file} 第 {line} 行"),
    "task.paused.operator": ("paused at the operator {operator}", "暂停于算子 {operator}"),
    "task.paused.hint": (
        "It waits for its debugger, or for `edgeloop break continue` on the computer.",
        "正在等待调试器，或等待电脑上的 `edgeloop break continue`。",
    ),
    "task.stopping": ("stopping", "正在停止"),
    "task.succeeded": ("succeeded", "成功"),
    "task.failed": ("failed", "失败"),
    "task.cancelled": ("stopped", "已停止"),
    "task.lost": ("the app ended while it ran", "应用在运行时被关闭"),
    "task.stop": ("Stop", "停止"),
    "task.stop.title": ("Stop {script}?", "停止 {script}？"),
    "task.stop.detail": (
        "It runs for {workspace} on {computer}, where it will be said that it was stopped on this device.",
        "它为 {computer} 上的 {workspace} 运行，那里会显示任务已在本机被停止。",
    ),
    "task.tab.overview": ("Overview", "概览"),
    "task.tab.output": ("Output", "输出"),
    "task.tab.operators": ("Operators", "算子"),
    "task.progress.heading": ("Progress", "进度"),
    "task.results": ("Results", "结果"),
    "task.metrics": ("Metrics", "指标"),
    "task.metric.step": ("{name}, step {step}", "{name}，第 {step} 步"),
    "task.images": ("Images", "图像"),
    "task.image.gone": (
        "It is on the computer; here it had to make room.",
        "图像保存在电脑上；本机已为其他内容腾出空间。",
    ),
    "task.image.unreadable": ("The image cannot be drawn here.", "此设备无法显示该图像。"),
    "task.files": ("Files", "文件"),
    "task.facts": ("Run", "运行信息"),
    "task.fact.computer": ("Computer", "电脑"),
    "task.fact.workspace": ("Workspace", "工作区"),
    "task.fact.arguments": ("Arguments", "参数"),
    "task.fact.begun": ("Begun", "开始"),
    "task.fact.ended": ("Ended", "结束"),
    "task.fact.took": ("Took", "用时"),
    "task.fact.id": ("Run id", "运行 ID"),
    "task.traceback": ("Details", "详细信息"),
    "task.taken_over": (
        "This app was started while the task ran: its output before that is on the computer.",
        "本应用在任务运行期间重新启动：此前的输出保存在电脑上。",
    ),
    "task.output.none": ("Nothing printed yet", "还没有输出"),
    "task.output.gone": ("The output is on the computer", "输出保存在电脑上"),
    "task.output.gone.detail": (
        "`edgeloop logs {run}` shows it there. This app keeps the output of what ran since it was started.",
        "在电脑上运行 `edgeloop logs {run}` 查看。本应用只保留启动以来的输出。",
    ),
    "task.output.follow": ("Show the newest lines", "显示最新输出"),
    "task.operators.none": ("Not traced", "未跟踪"),
    "task.operators.none.detail": (
        "`edgeloop run --trace` on the computer shows here which operators take the time.",
        "在电脑上运行 `edgeloop run --trace`，这里会显示各算子的耗时。",
    ),
    "task.operators.invalid": (
        "On this backend the times of single operators mean little; the whole run's time does.",
        "在此后端上，单个算子的耗时意义不大；请看整次运行的耗时。",
    ),
    "task.operator.calls": ("{type}, {count} × {each}", "{type}，{count} × {each}"),
    "time.seconds": ("{seconds} s", "{seconds} 秒"),
    "time.minutes": ("{minutes} min {seconds} s", "{minutes} 分 {seconds} 秒"),
    "time.hours": ("{hours} h {minutes} min", "{hours} 小时 {minutes} 分"),
    # device
    "device.title": ("Device", "设备"),
    "device.hardware": ("Hardware", "硬件"),
    "device.name": ("Name", "名称"),
    "device.model": ("Model", "型号"),
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
    "device.asking": ("asking MNN …", "正在询问 MNN…"),
    "device.unknown": ("not known: {reason}", "未知：{reason}"),
    "device.storage": ("Storage", "存储"),
    "device.storage.used": ("Models and files", "模型和文件"),
    "device.storage.free": ("Free", "可用空间"),
    "device.storage.detail": (
        "Files that computers sent are kept here, so that they are sent once. Cleared ones are sent again when a task needs them; "
        "those of running tasks stay.",
        "电脑发来的文件保存在这里，不必重复发送；清除后需要时会重新发送，运行中任务的文件会保留。",
    ),
    "device.storage.clear": ("Clear", "清除"),
    # pair
    "pair.title": ("Pair a computer", "配对电脑"),
    "pair.scan": (
        "Run `edgeloop pair` on the computer and hold its code into the frame.",
        "在电脑上运行 `edgeloop pair`，并将二维码对准取景框。",
    ),
    "pair.another": (
        "That is another code. Hold the one that `edgeloop pair` shows into the frame.",
        "这是别的二维码。请对准 `edgeloop pair` 显示的二维码。",
    ),
    "pair.torch.on": ("Switch the light on", "打开手电筒"),
    "pair.torch.off": ("Switch the light off", "关闭手电筒"),
    "pair.typed": ("Without a camera", "不使用相机"),
    "pair.address": ("Address that the computer shows", "电脑显示的地址"),
    "pair.code": ("Code that the computer shows", "电脑显示的配对码"),
    "pair.by-code": ("Pair by this code", "用此配对码配对"),
    "pair.paste": ("Paste the text of a code", "粘贴二维码的文本"),
    "pair.connecting": ("Connecting …", "正在连接…"),
    "pair.finishing": ("Pairing with {host} …", "正在与 {host} 配对…"),
    "pair.ask": ("Allow {host} to run code here?", "允许 {host} 在此运行代码？"),
    "pair.ask.detail": (
        "It answers at {address}. Until you forget it, it may run any Python code in this app and see what this app may "
        "see. Allow your own computers only.",
        "它的地址是 {address}。在你移除它之前，它可以在本应用中运行任意 Python 代码，并访问本应用能访问的内容。"
        "请只允许自己的电脑。",
    ),
    "pair.ask.allow": ("Allow", "允许"),
    "pair.ask.refuse": ("Do not allow", "不允许"),
    "pair.done": ("Paired with {host}", "已与 {host} 配对"),
    "pair.done.detail": (
        "It can run tasks here now. You can switch it off or forget it at any time.",
        "它现在可以在此运行任务。你可以随时停用或移除它。",
    ),
    "pair.finish": ("Done", "完成"),
    "pair.again": ("Scan a code", "扫描二维码"),
    "pair.wrong-code": ("The code is wrong.", "配对码不正确。"),
    "pair.wrong-code.hint": (
        "Compare it with the one on the computer. If it is the same, somebody may stand in between: use a network that you "
        "trust.",
        "请与电脑上显示的核对。如果完全一致，则可能有人从中窃听：请换用可信的网络。",
    ),
    "pair.expired": ("The code is no longer valid.", "配对码已失效。"),
    "pair.expired.hint": (
        "It was used, its time is over, or it was tried too often. Run `edgeloop pair` again for a new one.",
        "它已被使用、已过期，或尝试次数过多。请重新运行 `edgeloop pair` 获取新的配对码。",
    ),
    "pair.too-many": ("Too many wrong codes were tried.", "错误次数过多。"),
    "pair.too-many.hint": (
        "The computer takes none any more. Run `edgeloop pair` again for a new one.",
        "电脑不再接受此配对码。请重新运行 `edgeloop pair`。",
    ),
    "pair.unreachable": ("The computer does not answer.", "电脑没有响应。"),
    "pair.unreachable.hint": (
        "Join the same network as the computer, and let the device port through its firewall: `edgeloop doctor` there tells "
        "which.",
        "请连接到与电脑相同的网络，并在电脑防火墙中放行设备端口（在电脑上运行 `edgeloop doctor` 可查看）。",
    ),
    "pair.certificate": ("Another computer answers at this address.", "此地址上应答的是另一台电脑。"),
    "pair.certificate.hint": (
        "Nothing was sent to it. Somebody may stand in between: use a network that you trust, and scan the code again.",
        "没有向它发送任何内容。可能有人从中拦截：请换用可信的网络并重新扫描。",
    ),
    "pair.in-between": ("Somebody stands in between.", "有人从中拦截。"),
    "pair.in-between.hint": (
        "Who answered does not know the code. Nothing was kept. Pair again in a network that you trust.",
        "应答者不知道配对码。没有保存任何内容。请在可信的网络中重新配对。",
    ),
    "pair.version": ("The computer and this app do not fit together.", "电脑与本应用的版本不兼容。"),
    "pair.version.hint": ("Update the older of the two.", "请更新较旧的一方。"),
    "pair.refused": ("You did not allow it.", "你没有允许。"),
    "pair.refused.hint": (
        "Nothing was kept. If it is your computer, scan again and allow it.",
        "没有保存任何内容。如果是自己的电脑，请重新扫描并允许。",
    ),
    "pair.busy": ("The computer is asked too often.", "请求过于频繁。"),
    "pair.busy.hint": ("Wait a moment, then try again.", "请稍候再试。"),
    "pair.no-camera": ("No camera can be used here.", "此设备没有可用的相机。"),
    "pair.no-camera.hint": ("Type the code below, or paste its text.", "请在下方输入配对码，或粘贴其文本。"),
    "pair.camera-refused": ("This app may not use the camera.", "本应用无权使用相机。"),
    "pair.camera-refused.hint": (
        "Allow it in the system's settings for this app, or type the code below.",
        "请在系统设置中允许本应用使用相机，或在下方输入配对码。",
    ),
    "pair.not-a-code": ("This is no pairing code.", "这不是配对码。"),
    "pair.not-a-code.hint": (
        "It has 12 letters and digits, such as 4G7K-0QXM-92ZB.",
        "配对码由 12 个字母和数字组成，例如 4G7K-0QXM-92ZB。",
    ),
    "pair.not-an-address": ("This is no address.", "这不是有效的地址。"),
    "pair.not-an-address.hint": (
        "Type it with the port as the computer shows it, such as 192.168.1.7:40123.",
        "请按电脑显示的格式输入，包括端口，例如 192.168.1.7:40123。",
    ),
    "pair.not-an-offer": ("There is no text of a code in the clipboard.", "剪贴板中没有二维码文本。"),
    "pair.not-an-offer.hint": (
        "Copy the whole `offer` of `edgeloop pair --json`; it begins with EDGELOOP://.",
        "请复制 `edgeloop pair --json` 输出的完整 `offer`，以 EDGELOOP:// 开头。",
    ),
    "pair.other": ("It did not work.", "配对失败。"),
    "pair.other.hint": ("Try again.", "请重试。"),
    # computers
    "computers.title": ("Computers", "电脑"),
    "computers.none": ("No computer is paired", "尚未配对电脑"),
    "computers.none.detail": (
        "A computer that is paired runs tasks on this device and sees how they go.",
        "配对后，电脑即可在此设备上运行任务并查看结果。",
    ),
    "computers.pair": ("Pair a computer", "配对电脑"),
    "computers.linked": ("Linked", "已连接"),
    "computers.off": ("Switched off", "已停用"),
    "computers.dialling": ("Connecting …", "正在连接…"),
    "computers.away": ("Away, next attempt in {seconds} s", "未连接，{seconds} 秒后重试"),
    "computers.changing": ("One moment …", "请稍候…"),
    "computers.revoked": ("Has unpaired this device", "已解除与本机的配对"),
    "computers.revoked.hint": (
        "It was forgotten on the computer. To run tasks here again, pair it anew.",
        "电脑已移除本机。如需继续使用，请重新配对。",
    ),
    "computers.nearby": (
        "It is nearby, but does not let this device in: its firewall may stop it.",
        "电脑就在附近，但无法连接：可能被防火墙拦截。",
    ),
    "computers.run": ("1 task runs here", "1 个任务正在运行"),
    "computers.runs": ("{count} tasks run here", "{count} 个任务正在运行"),
    "computers.seen.never": ("Never linked yet", "从未连接"),
    "computers.seen.now": ("Seen less than a minute ago", "不到 1 分钟前在线"),
    "computers.seen.minutes": ("Seen {count} min ago", "{count} 分钟前在线"),
    "computers.seen.hours": ("Seen {count} h ago", "{count} 小时前在线"),
    "computers.seen.date": ("Seen {date}", "上次在线 {date}"),
    "computers.switch": ("Link to {name}", "连接 {name}"),
    "computers.switch-off": ("Switch off", "停用"),
    "computers.off.ask": ("Switch off {name}?", "停用 {name}？"),
    "computers.cancels": ("{runs} and will be cancelled.", "{runs}，将被取消。"),
    "computers.forget": ("Forget", "移除"),
    "computers.dismiss": ("Dismiss", "知道了"),
    "computers.forget.ask": ("Forget {name}?", "移除 {name}？"),
    "computers.forget.detail": (
        "It may run nothing here any more. To come back it must be paired again.",
        "它将不能再在此运行任务。如需恢复，必须重新配对。",
    ),
    "device.doctor": ("Doctor", "诊断"),
    "device.doctor.detail": ("What keeps this device from its computers.", "查找本机无法连接电脑的原因。"),
    # doctor
    "doctor.title": ("Doctor", "诊断"),
    "doctor.looking": ("Looking …", "正在检查…"),
    "doctor.found": ("Found", "检查结果"),
    "doctor.again": ("Look again", "重新检查"),
    **DOCTOR_TEXTS,
    # settings
    "settings.title": ("Settings", "设置"),
    "settings.device": ("This device", "本机"),
    "settings.name": ("Name, as computers see it", "名称（电脑上显示）"),
    "settings.name.detail": ("They learn of another one when they link next.", "修改后在下次连接时生效。"),
    "settings.name.refused": ("A name has 1 to 64 characters, all of them visible.", "名称须为 1 到 64 个可见字符。"),
    "settings.announced": ("Let computers find this device", "允许电脑发现本机"),
    "settings.announced.detail": (
        "By mDNS in the same network. Only paired computers can tell which device it is.",
        "在同一网络内通过 mDNS 广播；只有已配对的电脑能认出本机。",
    ),
    "settings.awake": ("Keep the screen on", "保持屏幕常亮"),
    "settings.awake.detail": ("As long as this app is open.", "仅在本应用打开时有效。"),
    "settings.look": ("Look", "外观"),
    "settings.language": ("Language", "语言"),
    "settings.language.english": ("English", "English"),
    "settings.language.chinese": ("简体中文", "简体中文"),
    "settings.language.chinese.undrawn": ("Chinese", "Chinese"),
    "settings.theme": ("Theme", "主题"),
    "settings.theme.light": ("Light", "浅色"),
    "settings.theme.dark": ("Dark", "深色"),
    "settings.font.missing": ("No font here draws Chinese.", "此设备没有中文字体。"),
    "settings.font.hint": (
        "Chinese names and logs appear as boxes. Install one, such as Debian's fonts-noto-cjk or "
        "`pip install noto-cjk-sans-otc`, and start the app again.",
        "中文名称和日志会显示为方框。请安装中文字体（如 fonts-noto-cjk），然后重新启动本应用。",
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
