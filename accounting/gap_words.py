"""What a gateway's ``gap`` event says, in both languages for the issues of a month.

The event carries a short reason of the gateway; a reason without words stands as it came.
"""

from collections.abc import Mapping
from typing import Any

_REASONS: Mapping[str, tuple[str, str]] = {
    "no readings": ("没有读数", "no readings"),
    "not running": ("网关未运行", "the gateway was not running"),
    "clock not trusted": ("网关时钟不可信", "the gateway's clock was not to be trusted"),
    "disk-full": ("网关磁盘已满，采集暂停", "the gateway's disk was full and nothing was taken in"),
    "no-connection": ("无法连接设备", "no connection to the device"),
    "timeout": ("设备未及时应答", "the device did not answer in time"),
    "answer-mismatch": ("应答与请求不符", "answers did not belong to the requests"),
    "the broker forgot the session": ("消息服务器丢失了会话", "the broker forgot the session"),
    "no frames from the data logger": ("数采仪没有发来数据", "no frames from the data logger"),
}
_COUNTS: Mapping[str, tuple[str, str]] = {
    "Q31 reset: ": (
        "累计量清零（{rest}）：只计入清零后的部分，之前的用量未知，请说明",
        "the counter was set to zero ({rest}): only what it counted since is booked, the rest is unknown; explain it",
    ),
    "Q31 counted in fault: ": (
        "设备故障期间另行计数（{rest}）：该量未计入累计量，请说明如何处理",
        "the device counted apart while it was in fault ({rest}): the total does not hold it; say what became of it",
    ),
    "Q31 error: ": (
        "累计量跳变不可信（{rest}）：差值未计入，请查明原因并说明",
        "the counter took an impossible step ({rest}): the difference is not booked; find out why and explain it",
    ),
}


def gap_text(data: Mapping[str, Any]) -> tuple[str, str]:
    """Say in Chinese and English what a ``gap`` event declares; ``data`` is the event's, of any content."""
    span, reason = f"{data.get('from')} – {data.get('to')}", str(data.get("reason", "?"))
    for begin, (zh, en) in _COUNTS.items():
        if reason.startswith(begin):
            rest = reason.removeprefix(begin)
            steps = rest.replace("from ", "自 ").replace(" to ", " 至 ")
            return f"{span}：{zh.format(rest=steps)}", f"{span}: {en.format(rest=rest)}"
    zh, en = _REASONS.get(reason, (reason, reason))
    return f"网关申报的缺口 {span}：{zh}", f"gap declared by the gateway {span}: {en}"
