"""What the doctor says on the screen: each check's name, and its findings and remedies, which `doctor.words` has in English."""

from __future__ import annotations

from edgeloop_companion.doctor.words import WORDS

# check: (English, 简体中文)
CHECKS: dict[str, tuple[str, str]] = {
    "network": ("Network", "网络"),
    "computers": ("Computers", "电脑"),
    "mdns": ("Being found", "被发现"),
    "subnet": ("Same network", "子网"),
    "reachability": ("Reachability", "可达性"),
    "isolation": ("Client isolation", "隔离"),
    "firewall": ("Firewall", "防火墙"),
    "clock": ("Clock", "时钟"),
    "versions": ("Versions", "版本"),
    "inference": ("MNN", "MNN"),
    "disk": ("Storage", "存储"),
    "heat": ("Heat", "发热"),
}

# key of `WORDS`: 简体中文 of what was found, and of the remedy
_CHINESE: dict[str, tuple[str, str]] = {
    "network.joined": ("本机地址：{addresses}", ""),
    "network.none": ("本机未连接任何网络", "打开 Wi-Fi，加入电脑所在的网络"),
    "computers.paired": ("{computers}", ""),
    "computers.none": ("尚未配对电脑", "在电脑上运行 edgeloop pair，然后在此扫码"),
    "computers.unreadable": ("{reason}", "{hint}"),
    "computers.off": ("{computers} 在本机已关闭", "打开后才会连接"),
    "mdns.knocked": ("{computers} 已发现本机", ""),
    "mdns.announced": ("本机正在广播，还没有电脑需要它", ""),
    "mdns.off": ("本机没有广播", "允许电脑发现本机，或打开应用"),
    "mdns.failed": ("无法广播本机：{reason}", "在此之前使用已知地址"),
    "mdns.app": ("只有运行中的应用知道", ""),
    "subnet.same": ("{computers} 在同一网络", ""),
    "subnet.routed": ("{computers} 在路由器之后，mDNS 到不了那里", "加入电脑所在的网络；访客网络常常隔离设备"),
    "subnet.unknown": ("没有可比较的电脑", ""),
    "reachability.none": ("没有可连接的电脑", ""),
    "reachability.answers": ("{computers} 有应答", ""),
    "reachability.refused": (
        "{computer} 在 {places} 拒绝连接：那里没有守护进程",
        "在电脑上运行 edgeloop up；若端口已改变，请加入同一网络",
    ),
    "reachability.timeout": ("{computer} 在 {places} 没有应答", "请看“防火墙”和“隔离”"),
    "reachability.unreachable": ("无法到达 {computer}：{places}", "请看“子网”和“隔离”"),
    "reachability.certificate": (
        "{places} 的应答者不是 {computer}",
        "检查网络中是否有人居间；若电脑已重装，请重新配对",
    ),
    "reachability.failed": ("连接 {computer} 失败：{places}", "请重试；电脑的日志可能有更多说明"),
    "isolation.none": ("没有迹象", ""),
    "isolation.suspected": (
        "{computers} 应在此网络中，但从本机看不到",
        "电脑是否已唤醒？否则请在路由器上关闭客户端隔离，或换一个网络",
    ),
    "firewall.none": ("没有嫌疑", ""),
    "firewall.suspected": (
        "{computers} 在线，但端口 {port} 没有回应",
        "在电脑的防火墙中放行 TCP 端口 {port}；那里的 edgeloop doctor 会给出命令",
    ),
    "clock.same": ("与电脑相差最多 {seconds} 秒", ""),
    "clock.unknown": ("没有电脑告知时间", ""),
    "clock.differs": ("本机时钟与 {computer} 相差 {seconds} 秒", "两边都请使用网络时间；跟踪数据仍会被校正"),
    "clock.impossible": ("时钟显示 {now}，不可能", "请使用网络时间"),
    "versions.fit": ("edgeloop {edgeloop}，Python {python}，{others}", ""),
    "versions.old": ("{name} {version} 太旧，需要 {least}", "请更新应用，或运行 pip install --upgrade edgeloop"),
    "versions.missing": ("未安装 {name}", "请重新安装应用"),
    "inference.works": ("MNN {version} 已运行一个小模型，结果正确", ""),
    "inference.wrong": ("MNN {version} 的计算结果有误", "请安装其他版本的 MNN"),
    "inference.fails": ("MNN 无法使用：{reason}", "请重新安装 MNN 和 numpy，否则无法运行模型"),
    "inference.unasked": ("此平台无法单独检查", "运行一个任务便知"),
    "disk.free": ("剩余 {free}", ""),
    "disk.low": ("仅剩 {free}", "请在应用中清除文件，或在设备上腾出空间"),
    "disk.unknown": ("此平台不提供", ""),
    "heat.fine": ("没有降频", ""),
    "heat.throttled": ("系统因发热降频（{state}）", "请冷却后再测量"),
    "heat.unknown": ("此平台不提供", ""),
    "any.failed": ("未能检查：{reason}", "请看其他检查的结果"),
}

DOCTOR_TEXTS: dict[str, tuple[str, str]] = {
    **{f"doctor.{check}": names for check, names in CHECKS.items()},
    **{f"doctor.{key}.found": (WORDS[key][0], _CHINESE[key][0]) for key in WORDS},
    **{f"doctor.{key}.remedy": (WORDS[key][1], _CHINESE[key][1]) for key in WORDS if WORDS[key][1]},
}
