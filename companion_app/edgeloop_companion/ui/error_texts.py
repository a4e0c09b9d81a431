"""Errors on Chinese screens: one sentence for each code. Their own words, which are English, stand below it."""

from __future__ import annotations

from edgeloop_companion.store.settings import Language
from edgeloop_companion.ui.texts import Words

# code of an `EdgeloopError`, or kind of a `LinkEnd`: 简体中文
CHINESE: dict[str, str] = {
    "error": "出错了。",
    "invalid-input": "输入无效。",
    "invalid-settings": "设置无法读取或保存。",
    "invalid-message": "无法理解对方发来的消息。",
    "invalid-bundle": "任务的文件包无效。",
    "too-large": "内容太大。",
    "not-found": "找不到所需的内容。",
    "conflict": "与当前状态冲突。",
    "key-reused": "同一请求被用于不同的内容。",
    "not-trusted": "工作区尚未受信任。",
    "unauthorized": "未获授权。",
    "forbidden": "不允许此操作。",
    "misdirected": "请求发错了地方。",
    "rate-limited": "请求过于频繁，请稍候。",
    "daemon-unreachable": "电脑没有响应。请确认它已运行 `edgeloop up`，并与本机在同一网络。",
    "port-in-use": "端口已被占用。",
    "pairing-failed": "未能完成配对。",
    "no-window": "配对码已失效。",
    "bad-proof": "对方未能证明身份。若电脑已重装，请重新配对。",
    "impostor": "有人从中拦截。请换用可信的网络。",
    "certificate-mismatch": "应答的是另一台电脑。若电脑已重装，请重新配对。",
    "version-mismatch": "电脑与本应用的版本不兼容，请更新较旧的一方。",
    "not-paired": "电脑已解除与本机的配对。",
    "device-unavailable": "设备不可用。",
    "device-vanished": "设备失去联系。",
    "transfer-failed": "文件传输失败。",
    "cancelled": "任务已被停止。",
    "job-failed": "作业失败。",
    "task-failed": "脚本出错。",
    "task-crashed": "任务进程崩溃。",
    "debugger-failed": "调试器出错。",
    "model-error": "模型无法加载或运行。",
    "run-aborted": "模型的运行被中止。",
    "conversion-failed": "模型转换失败。",
    "git-failed": "Git 操作失败。",
    "storage-failed": "无法存储。",
    "storage-full": "存储空间已满，请腾出空间。",
    "storage-busy": "存储正忙，请稍候。",
    "storage-damaged": "存储的数据已损坏。",
    "spool-damaged": "本机保存的记录已损坏。",
    "plugin-failed": "插件出错。",
    "link-closed": "电脑关闭了连接。",
    "link-shutting-down": "电脑上的 edgeloop 正在关闭。",
    "link-fault": "电脑无法理解本机发送的内容，请更新较旧的一方。",
    "link-replaced": "另一个使用本机身份的应用已连接。",
    "link-lost": "连接已断开。",
}


def headline(words: Words, code: str, message: str) -> str:
    """Return what stands first of an error: its own message, or in Chinese the sentence of its code. Without a code it has none."""
    if words.language is Language.ENGLISH or not code:
        return message
    return CHINESE.get(code, CHINESE["error"])


def explanation(words: Words, code: str, message: str, hint: str = "") -> str:
    """Return what stands below `headline`: the hint, and the message where the headline is not that."""
    return hint if headline(words, code, message) == message else f"{message}\n{hint}".strip()
