"""Time as an argument: wall clock, milliseconds since boot, and waiting.

`RealClock` reads the machine; `SteppedClock` moves only when told, so that tests and replays run months in
seconds. Nothing else in the gateway reads a clock.
"""

from __future__ import annotations

import asyncio
import ctypes
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIMEX_BYTES = 256
_TIMEX_OFFSET_AT = 8
_TIMEX_STATUS_AT = 40
_STA_NANO = 0x2000
_TIME_ERROR = 5


@dataclass(frozen=True)
class ClockState:
    """What a statement says about the clock it was signed by (`clk`)."""

    boot: str
    mono: int
    src: str
    off_ms: int


@dataclass(frozen=True)
class Doubt:
    """Why the wall clock is not trusted: it lies `behind` or far `ahead` of the newest time known."""

    why: str
    wall: datetime
    known: datetime


class Clock(Protocol):
    """What the gateway asks of time."""

    @property
    def doubt(self) -> Doubt | None:
        """Return why the wall clock is not trusted; None while it is."""

    def heard(self, other: datetime) -> None:
        """Take note of what the centre says of the time."""

    def request_time(self) -> datetime:
        """Return the time to sign requests under: the best guess at the centre's."""

    def now(self) -> datetime:
        """Return the wall clock in UTC, cut to milliseconds."""

    def state(self) -> ClockState:
        """Return boot id, milliseconds since boot, source and offset."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


def to_milliseconds(time_utc: datetime) -> datetime:
    """Cut a time to the milliseconds a statement can hold."""
    return time_utc.replace(microsecond=time_utc.microsecond // 1000 * 1000)


class _Unwatched:
    """A clock by itself doubts nothing; see `gateway/clock_trust.py`."""

    doubt: Doubt | None = None

    def heard(self, other: datetime) -> None:
        """Pass over what the centre says."""


class RealClock(_Unwatched):
    """The machine's own clock."""

    def __init__(self) -> None:
        try:
            self._boot = _BOOT_ID.read_text("ascii").strip()[:8]
        except OSError:
            self._boot = format(int(time.time() - time.monotonic()) & 0xFFFFFFFF, "08x")

    def now(self) -> datetime:
        """Return the wall clock in UTC, cut to milliseconds."""
        return to_milliseconds(datetime.now(UTC))

    def request_time(self) -> datetime:
        """Return the wall clock."""
        return self.now()

    def state(self) -> ClockState:
        """Return boot id, milliseconds since boot, source and offset."""
        source, offset = _kernel_discipline()
        mono = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        return ClockState(self._boot, mono, source, offset)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class SteppedClock(_Unwatched):
    """A clock that a test or a replay moves by hand."""

    def __init__(self, start: datetime, boot: str = "step0001") -> None:
        self._now = start
        self._mono = 0
        self._boot = boot

    def now(self) -> datetime:
        """Return the time last set."""
        return to_milliseconds(self._now)

    def request_time(self) -> datetime:
        """Return the time last set."""
        return self.now()

    def state(self) -> ClockState:
        """Return the stepped milliseconds; the source is `none`."""
        return ClockState(self._boot, self._mono, "none", 0)

    async def sleep(self, seconds: float) -> None:
        """Move the clock and let others run."""
        self.advance(timedelta(seconds=seconds))
        await asyncio.sleep(0)

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self._now += by
        self._mono += int(by / timedelta(milliseconds=1))

    def set(self, to: datetime) -> None:
        """Let time pass until `to`, or step the wall clock when `to` is earlier."""
        if to > self._now:
            self.advance(to - self._now)
        else:
            self._now = to


def _kernel_discipline() -> tuple[str, int]:
    """Ask the kernel (adjtimex, read only) if the clock is disciplined and how far it is off."""
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except (OSError, AttributeError):
        return "none", 0
    if state < 0 or state == _TIME_ERROR:
        return "none", 0
    offset = ctypes.c_long.from_buffer(buffer, _TIMEX_OFFSET_AT).value
    status = ctypes.c_int.from_buffer(buffer, _TIMEX_STATUS_AT).value
    unit = 1_000_000 if status & _STA_NANO else 1_000
    return "ntp", int(offset / unit)
