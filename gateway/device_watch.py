"""Makes what a device cannot get over by itself a problem that a person sees: another device, refused requests."""

from __future__ import annotations

from collections.abc import Sequence

from evidence.encoding import time_text
from gateway.assembly import Gateway
from gateway.device_report import DeviceReport
from gateway.errors import Words
from gateway.poller import Poller
from gateway.problems import clear_problem, problems, raise_problem
from gateway.store import Store

PREFIX = "device-"
"""Keys of these problems begin with it."""
_MOST_NAMED = 3


class DeviceWatch:
    """Compares the devices' reports with what was last written down."""

    def __init__(self, pollers: Sequence[Poller], gateway: Gateway) -> None:
        self._pollers, self._gateway = pollers, gateway
        self._said: dict[str, Words] | None = None

    async def look(self) -> None:
        """Write down a change since the last look; the first look also ends what an earlier run left behind."""
        found = {key: words for poller in self._pollers for key, words in problems_of(poller.report()).items()}
        if found == self._said:
            return
        now = time_text(self._gateway.clock.now())

        def note(store: Store) -> None:
            for known in problems(store):
                if known.key.startswith(PREFIX) and known.key not in found:
                    clear_problem(store, known.key)
            for key, (zh, en) in found.items():
                raise_problem(store, key, zh, en, now)

        await self._gateway.writer.do(note)
        self._said = found


def problems_of(report: DeviceReport) -> dict[str, Words]:
    """Say what a person must look at, by the problem's key."""
    found: dict[str, Words] = {}
    if report.mismatches:
        zh = "；".join(f"{one.point} 为 {one.came or '—'}，应为 {one.wanted}" for one in report.mismatches)
        en = "; ".join(f"{one.point} is {one.came or '—'}, not {one.wanted}" for one in report.mismatches)
        refused = any(one.refuses for one in report.mismatches)
        found[f"{PREFIX}{report.device}-identity"] = (
            f"{report.line} 单元 {report.unit} 不是设备 {report.device} 的描述所指的设备（{zh}）"
            + ("；其读数均标记为故障" if refused else ""),
            f"{report.line} unit {report.unit} is not what the profile of {report.device} describes ({en})"
            + ("; its readings are marked faulty" if refused else ""),
        )
    if report.refused:
        named = report.refused[:_MOST_NAMED]
        some = ", ".join(f"{one.table} {one.address}+{one.count} ({', '.join(one.points)})" for one in named)
        more = len(report.refused) - len(named)
        reasons = ", ".join(sorted({one.reason for one in report.refused}))
        found[f"{PREFIX}{report.device}-request"] = (
            f"设备 {report.device} 拒绝读取 {some}{f' 等 {len(report.refused)} 处' if more else ''}（{reasons}）；"
            "请核对型号、描述和地址",
            f"device {report.device} refuses {some}{f' and {more} more' if more else ''} ({reasons});"
            " check model, profile and addresses",
        )
    return found
