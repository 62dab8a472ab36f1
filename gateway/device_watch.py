"""Makes what a device cannot get over by itself a problem that a person sees: another device, refused requests.

Damaged frames are put aside here too, a few seconds after they came: whoever polls waits for nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from evidence.encoding import time_text
from gateway.device_report import DeviceReport
from gateway.device_store import quarantine
from gateway.errors import Words
from gateway.pipeline import Pipeline
from gateway.poller import Poller
from gateway.problems import clear_problem, problems, raise_problem
from gateway.store import Store

log = logging.getLogger("cunzheng.gateway")

PREFIX = "device-"
"""Keys of these problems begin with it."""
_MOST_NAMED = 3


class DeviceWatch:
    """Compares the devices' reports with what was last written down."""

    def __init__(self, pollers: Sequence[Poller], pipeline: Pipeline) -> None:
        self._pollers, self._pipeline = pollers, pipeline
        self._said: dict[str, Words] | None = None

    async def look(self) -> None:
        """Write down a change since the last look; the first look also ends what an earlier run left behind."""
        await self._put_aside()
        found = {key: words for poller in self._pollers for key, words in problems_of(poller.report()).items()}
        if found == self._said:
            return
        now = time_text(self._pipeline.signer.clock.now())

        def note(store: Store) -> None:
            for known in problems(store):
                if known.key.startswith(PREFIX) and known.key not in found:
                    clear_problem(store, known.key)
            for key, (zh, en) in found.items():
                raise_problem(store, key, zh, en, now)

        await self._pipeline.writer.do(note)
        self._said = found

    async def _put_aside(self) -> None:
        """Put damaged frames into quarantine and count them (check Q01)."""
        now, tick = self._pipeline.signer.clock.now(), asyncio.get_running_loop().time()
        for poller in self._pollers:
            refused, frames = poller.damaged.take()
            if not refused:
                continue
            device = poller.site.id
            rows = [(now - timedelta(seconds=tick - one.at), device, one.raw, one.reason) for one in frames]
            try:
                await self._pipeline.writer.do(partial(quarantine, frames=rows))
            except BaseException:
                poller.damaged.give_back(refused, frames)
                raise
            for _ in range(refused):
                self._pipeline.judge.frame_refused(device, "modbus", now)
            log.warning("frames quarantined device=%s refused=%d kept=%d", device, refused, len(rows))


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
    clock = None if report.told is None else report.told.clock
    if clock is not None and clock.is_off:
        found[f"{PREFIX}{report.device}-clock"] = (
            f"设备 {report.device} 的时钟与网关相差 {clock.offset_s} 秒（描述允许 {clock.allowed_s} 秒）；"
            "请校准设备时钟，读数时间不受影响",
            f"the clock of device {report.device} is {clock.offset_s} s off the gateway's"
            f" ({clock.allowed_s} s allowed by its profile); set it: the times of readings do not depend on it",
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
