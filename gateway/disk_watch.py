"""Looks at the disk, closes and opens the intake, and writes down what can be written: problems, and gap events."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

from evidence.encoding import time_text
from gateway.assembly import Gateway
from gateway.chain import append_event
from gateway.disk import DiskUse, FolderSizes, measure, reusable_bytes, shortage, warnings
from gateway.errors import StoreError, Words
from gateway.problems import clear_problem, problems, raise_problem
from gateway.room import DISK_FULL, Pause, Room
from gateway.store import Store

PAUSED = "intake"
"""Key of the problem that the intake is paused."""
_KEYS = ("disk", "budget", PAUSED)


class DiskWatch:
    """Compares what the disk has with the settings; remembers what was written down."""

    def __init__(self, gateway: Gateway, room: Room, shortest: timedelta) -> None:
        """Watch for a gateway; a pause longer than `shortest` left a gap."""
        self._gateway, self._room, self._shortest = gateway, room, shortest
        room.on_end = self._ended
        self._gaps: list[Pause] = []
        self._sizes, self._reusable = FolderSizes(), 0
        self._said: dict[str, Words] | None = None
        self.use: DiskUse | None = None
        """What the last look found."""

    @property
    def alarms(self) -> dict[str, Words]:
        """What is wrong now, by key, also when nothing can be written."""
        found = {} if self.use is None else warnings(self.use, self._gateway.settings.limits)
        pause = self._room.pause
        if pause is not None:
            zh, en = pause.why
            found[PAUSED] = (f"采集已暂停，已存内容均保留：{zh}", f"the intake is paused, what is stored stays: {en}")
        return found

    async def look(self) -> None:
        """Look once; write down changes and pauses that are over.

        Raises:
            StoreError: it cannot be written yet; the intake was closed or opened all the same.
        """
        settings = self._gateway.settings
        if settings.limits.budget_mb is not None:
            with suppress(StoreError):  # what it was a moment ago will do
                self._reusable = await self._gateway.writer.do(reusable_bytes)
        self.use = await asyncio.to_thread(measure, settings, self._sizes, self._reusable)
        self._room.measured(shortage(self.use, settings.limits, is_paused=not self._room.is_open))
        found, gaps = self.alarms, list(self._gaps)
        if found == self._said and not gaps:
            return
        signer, now = self._gateway.signer, time_text(self._gateway.clock.now())

        def note(store: Store) -> None:
            for key in _KEYS:
                if key in found:
                    raise_problem(store, key, *found[key], now)
                else:
                    clear_problem(store, key)
            for pause in gaps:
                append_event(store, signer, "gap", _gap(pause))

        await self._gateway.writer.do(note)
        self._said = found
        del self._gaps[: len(gaps)]

    def _ended(self, pause: Pause) -> None:
        """Remember a pause that left a gap; the judge need not find it in every channel again."""
        if pause.end is not None and pause.end - pause.start > self._shortest:
            self._gaps.append(pause)
            self._gateway.pipeline.judge.forget_times()


def gap_reason(store: Store) -> str:
    """Say why the gateway that starts now has no readings since it last had one."""
    return DISK_FULL if any(one.key == PAUSED for one in problems(store)) else "not running"


def _gap(pause: Pause) -> dict[str, str]:
    assert pause.end is not None
    return {"source": "gateway", "from": time_text(pause.start), "to": time_text(pause.end), "reason": DISK_FULL}
