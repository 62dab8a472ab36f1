"""Whether there is room on the disk to take readings in; while there is none, polling pauses and nobody is answered.

Knows two reasons: the disk is short by measure (`gateway/disk.py`), and somebody was refused by the disk. Who was
refused tries again by himself, and says when it went well. Writes nothing, so that a full disk cannot silence it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gateway.clock import Clock
from gateway.errors import DiskFullError, StoreError, Words

log = logging.getLogger("cunzheng.gateway")


DISK_FULL = "disk-full"
"""Reason of the gap event of a pause."""


@dataclass(frozen=True)
class Pause:
    """A time in which nothing was taken in, and why; `end` is None while it lasts."""

    start: datetime
    why: Words
    end: datetime | None = None


class Room:
    """A gate that all intake passes; belongs to the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open = asyncio.Event()
        self._open.set()
        self._short: Words | None = None
        self._refused: dict[str, Words] = {}
        self.pause: Pause | None = None
        """The pause that lasts; None while there is room."""
        self.last: Pause | None = None
        """The last pause that has ended."""
        self.on_end: Callable[[Pause], None] = _forget
        """Told of a pause that has ended, before anything is taken in again."""

    @property
    def is_open(self) -> bool:
        """Whether readings are taken in."""
        return self._open.is_set()

    async def opened(self) -> None:
        """Wait until there is room."""
        await self._open.wait()

    def was_closed(self, start: datetime, end: datetime) -> bool:
        """Tell whether the last pause lies, at least in part, in a time."""
        last = self.last
        return last is not None and last.end is not None and last.start < end and last.end > start

    def measured(self, short: Words | None) -> None:
        """Hear what a look at the disk found."""
        self._short = short
        self._settle()

    def refused(self, who: str, error: StoreError) -> None:
        """Hear that somebody's write failed; only a disk that is full counts, another program's lock passes."""
        if isinstance(error, DiskFullError):
            self._refused[who] = (error.zh, error.en)
            self._settle()

    def accepted(self, who: str) -> None:
        """Hear that somebody's write went well."""
        if self._refused.pop(who, None) is not None:
            self._settle()

    def _settle(self) -> None:
        why = self._short or next(iter(self._refused.values()), None)
        if why is not None and self.pause is None:
            self.pause = Pause(self._clock.now(), why)
            self._open.clear()
            log.error("intake paused reason=%r", why[1])
        elif why is None and self.pause is not None:
            ended = Pause(self.pause.start, self.pause.why, self._clock.now())
            self.pause, self.last = None, ended
            self.on_end(ended)
            self._open.set()
            log.warning("intake goes on paused_s=%d", (self._clock.now() - ended.start).total_seconds())


def _forget(_pause: Pause) -> None:
    """Let a pause go that nobody asks about."""
