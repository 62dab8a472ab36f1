"""One Modbus line: where it is, how its devices want to be spoken to, and whose turn it is. No bytes are read here.

A line is a TCP connection, a serial port, or RTU frames inside a TCP stream (a serial server). However many units
stand behind it, one request is under way at a time; who has waited longest past its due time comes next, so that no
unit can keep the line for itself.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from device_profiles import Table, Transport
from gateway.damaged_frames import DamagedFrames

LineKind = Literal["tcp", "rtu", "rtu-over-tcp"]
"""As profiles name them in `transport.protocols`."""
Parity = Literal["none", "even", "odd"]

_BITS_PER_CHARACTER = 11
"""Start bit, eight data bits, parity or a second stop bit, stop bit."""
_SILENT_CHARACTERS = 3.5
_SHORTEST_SILENCE_S = 0.00175
"""The fixed silence between frames above 19,200 baud (Modbus over Serial Line V1.02, 2.5.1.1)."""
_MILLISECOND = 0.001


@dataclass(frozen=True, slots=True)
class LineAddress:
    """Where a line is; two devices with equal addresses share one connection."""

    kind: LineKind
    host: str
    """Host name or address; of a serial line the path of its port."""
    port: int = 0
    baud: int = 0
    parity: Parity = "even"
    stop_bits: int = 1

    @property
    def name(self) -> str:
        """What a person calls it: `10.0.0.7:502`, `rtu-over-tcp 10.0.0.8:4001`, `/dev/ttyUSB0 9600 8N1`."""
        if self.kind == "rtu":
            return f"{self.host} {self.baud} 8{self.parity[0].upper()}{self.stop_bits}"
        where = f"{self.host}:{self.port}"
        return where if self.kind == "tcp" else f"{self.kind} {where}"

    @property
    def silence_s(self) -> float:
        """Seconds of silence between two frames: 3.5 characters on a serial line, none in a stream."""
        if self.kind != "rtu":
            return 0.0
        return max(_SHORTEST_SILENCE_S, _SILENT_CHARACTERS * _BITS_PER_CHARACTER / self.baud)


@dataclass(frozen=True, slots=True)
class Manners:
    """How one device wants to be spoken to, from its profile; times in seconds."""

    timeout_s: float = 60.0
    """How long its answer may take; the line's own limit holds too."""
    retries: int = 0
    pause_s: float = 0.0
    """Silence on the line before a request to it."""
    connect_pause_s: float = 0.0
    idle_close_s: float = 0.0
    """Close the connection after so long without a request; 0 keeps it."""
    max_registers: int = 125
    max_bits: int = 2000
    forbidden: tuple[tuple[Table, int, int], ...] = ()

    @classmethod
    def of(cls, transport: Transport) -> Manners:
        """Take them from a profile."""
        return cls(
            timeout_s=transport.timeout_ms * _MILLISECOND,
            retries=transport.retries,
            pause_s=transport.pause_ms * _MILLISECOND,
            connect_pause_s=transport.connect_pause_ms * _MILLISECOND,
            idle_close_s=transport.idle_close_ms * _MILLISECOND,
            max_registers=transport.max_registers,
            max_bits=transport.max_bits,
            forbidden=transport.forbidden,
        )

    def forbids(self, table: Table, address: int, count: int) -> bool:
        """Tell whether a request is one that the profile says must not be sent."""
        most = self.max_bits if table.is_bits else self.max_registers
        return count > most or any(
            at is table and low < address + count and address <= last for at, low, last in self.forbidden
        )


@dataclass
class UnitCounts:
    """What went well and wrong on the line with one device since the start; only ever counted up, but for `damaged`."""

    requests: int = 0
    answers: int = 0
    timeouts: int = 0
    checksums: int = 0
    """Answers with a wrong check sum."""
    mismatches: int = 0
    """Answers of another unit, function or length, and bytes that are no answer."""
    late: int = 0
    """Answers that came after they were given up; none of them was used."""
    lost: int = 0
    """Connections that ended while an answer was awaited."""
    refused: int = 0
    """Connections that could not be made."""
    connections: int = 0
    """Connections made for it; all but the first of a line are reconnects."""
    exceptions: dict[int, int] = field(default_factory=dict)
    """By exception code."""
    damaged: DamagedFrames = field(default_factory=DamagedFrames)
    """Of the answers with a wrong check sum or length, what waits to be put aside."""


class Turns:
    """Gives out a line, to one request at a time."""

    def __init__(self) -> None:
        self._busy = False
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    @asynccontextmanager
    async def turn(self, due: float) -> AsyncIterator[None]:
        """Wait for the line; of those that wait, the one due first comes first (seconds of the loop's clock)."""
        await self._enter(due)
        try:
            yield
        finally:
            self._pass_on()

    async def _enter(self, due: float) -> None:
        if not self._busy:
            self._busy = True
            return
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (due, next(self._order), ticket))
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.done() and not ticket.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        while self._waiting:
            _, _, ticket = heapq.heappop(self._waiting)
            if not ticket.done():
                ticket.set_result(None)
                return
        self._busy = False
