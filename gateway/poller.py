"""Read every Modbus device at its own rhythm; a device that fails gives marked readings, never a crash.

One task per device, one connection per endpoint, a limit on how many read at once. A silent device backs off with
jitter and disturbs nobody. A block that a device rejects is split point by point, and the split is remembered.
All blocks of a poll are decoded together, because a value may need a state or a scale from another block. The time of
a reading is taken when its own answer arrives.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from device_profiles import Decoded, ReadBlock, Table, decode
from evidence.reading import Flag, Reading
from gateway.catalogue import Instrument
from gateway.clock import Clock
from gateway.errors import DeviceBusyError, DeviceConfigurationError, DeviceError, DeviceGoneError
from gateway.modbus import ModbusEndpoint
from gateway.settings import PollSettings
from gateway.site import DeviceSite

log = logging.getLogger("cunzheng.gateway")

Sink = Callable[[list[Reading]], Awaitable[None]]
"""Takes the readings of one poll; returns when they are on their way into the store."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class DeviceState:
    """How a device behaves; shown by status."""

    failures: int = 0
    error: DeviceError | None = None
    last_ok: datetime | None = None
    split: set[tuple[str, int, int]] = field(default_factory=set)


@dataclass
class Cycle:
    """What one poll brought: words, the second look at states, and per point when it came or why it did not."""

    words: dict[tuple[Table, int], int] = field(default_factory=dict)
    after: dict[tuple[Table, int], int] = field(default_factory=dict)
    received: dict[str, datetime] = field(default_factory=dict)
    errors: dict[str, DeviceError] = field(default_factory=dict)

    def answered(self, block: ReadBlock, words: tuple[int, ...], received: datetime) -> None:
        """Take in the answer to one request."""
        into = self.after if block.again else self.words
        into.update({(block.table, block.address + offset): word for offset, word in enumerate(words)})
        if not block.again:
            self.received.update(dict.fromkeys(block.points, received))

    def failed(self, block: ReadBlock, error: DeviceError) -> None:
        """Take in that one request brought nothing; a second look that fails leaves its states unknown."""
        if not block.again:
            self.errors.update(dict.fromkeys(block.points, error))


class Poller:
    """Polls one device: requests, answers, readings."""

    def __init__(self, instrument: Instrument, endpoint: ModbusEndpoint, clock: Clock, settings: PollSettings) -> None:
        site = instrument.site
        if not isinstance(site, DeviceSite):
            raise TypeError(f"{site.id} is no Modbus device")
        self.instrument, self.site, self.endpoint = instrument, site, endpoint
        self._clock, self._settings = clock, settings
        self._blocks = instrument.profile.plan(sorted(instrument.channels))
        self._jitter = random.Random()
        self.state = DeviceState()

    async def poll(self) -> list[Reading]:
        """Read all channels once; what could not be read comes as readings with flag B and a reason."""
        cycle = Cycle()
        failed: DeviceError | None = None
        for block in self._requests():
            # Nobody there, or nobody answering: the other blocks would only wait as long again.
            if failed is not None and (isinstance(failed, DeviceGoneError) or failed.reason == "timeout"):
                cycle.failed(block, failed)
                continue
            try:
                await self._read(block, cycle)
            except DeviceConfigurationError as error:
                if len(self.instrument_blocks(block)) > 1:
                    self.state.split.add((block.table.value, block.address, block.count))
                    await self._read_apart(block, cycle)
                else:
                    cycle.failed(block, error)
                failed = failed or error
            except DeviceError as error:
                failed = error
                cycle.failed(block, error)
        readings = self._readings(cycle)
        any_answer = any(reading.flag is not Flag.NO_COMMUNICATION for reading in readings)
        self._note(failed, any_answer=any_answer)
        return readings

    def next_pause(self) -> float:
        """Return the seconds to wait after a poll: the rhythm, or the back-off of a silent device."""
        rhythm = self.site.poll_s
        if not self.state.failures or (self.state.last_ok is not None and self.state.failures < 2):
            return self._until_next_beat(rhythm)
        doubled = rhythm * (1 << min(self.state.failures - 1, 10))
        pause = max(rhythm, min(doubled, self._settings.backoff_max_s))
        return pause * (0.75 + 0.5 * self._jitter.random())

    async def run(self, sink: Sink, gate: asyncio.Semaphore) -> None:
        """Poll for ever."""
        await self._clock.sleep(self._jitter.random() * min(1.0, self.site.poll_s))
        while True:
            async with gate:
                readings = await self._poll_surely()
            await sink(readings)
            await self._clock.sleep(self.next_pause())

    async def _poll_surely(self) -> list[Reading]:
        """Poll; a defect of ours or of a profile marks this device's readings and stops nobody else."""
        try:
            return await self.poll()
        except Exception as error:
            failed = DeviceBusyError(f"{self.site.id}: {error!r}", f"{self.site.id}: {error!r}", "internal-error")
            if self.state.error is None or self.state.error.reason != failed.reason:
                log.exception("poll failed device=%s", self.site.id)
            self._note(failed, any_answer=False)
            return [one for point in self.instrument.channels for one in self._unread(point, failed)]

    def _until_next_beat(self, rhythm: float) -> float:
        since = (self._clock.now() - _EPOCH) / timedelta(seconds=1)
        return max(0.001, rhythm - since % rhythm)

    def _requests(self) -> list[ReadBlock]:
        requests: list[ReadBlock] = []
        for block in self._blocks:
            if (block.table.value, block.address, block.count) in self.state.split:
                requests += self.instrument_blocks(block)
            else:
                requests.append(block)
        return requests

    def instrument_blocks(self, block: ReadBlock) -> list[ReadBlock]:
        """Cut a block into one request per piece of a point."""
        pieces: dict[tuple[Table, int, int], tuple[str, ...]] = {}
        for name in block.points:
            for piece in self.instrument.profile.points[name].pieces:
                table, address, words = piece
                if table is block.table and block.address <= address <= block.address + block.count - words:
                    pieces[piece] = (*pieces.get(piece, ()), name)
        return [ReadBlock(*piece, names, again=block.again) for piece, names in pieces.items()]

    async def _read_apart(self, block: ReadBlock, cycle: Cycle) -> None:
        for one in self.instrument_blocks(block):
            try:
                await self._read(one, cycle)
            except DeviceError as error:
                cycle.failed(one, error)

    async def _read(self, block: ReadBlock, cycle: Cycle) -> None:
        retries = 1
        while True:
            try:
                words = await self.endpoint.read(block.table.value, block.address, block.count, self.site.unit)
                break
            except DeviceBusyError:
                if not retries:
                    raise
                retries -= 1
        cycle.answered(block, words, self._clock.now())

    def _readings(self, cycle: Cycle) -> list[Reading]:
        """Decode the whole poll, then make readings: those that came, and those that did not with the reason."""
        profile, channels = self.instrument.profile, self.instrument.channels
        came = [name for name in channels if name in cycle.received and name not in cycle.errors]
        looked_twice = any(block.again for block in self._blocks)
        decoded = decode(profile, cycle.words, came, after=cycle.after if looked_twice else None)
        return [
            reading
            for name in channels
            for reading in (
                [
                    to_reading(channel, decoded[name], cycle.received[name], cycle.received[name])
                    for channel in channels[name]
                ]
                if name in decoded
                else self._unread(name, cycle.errors[name])
            )
        ]

    def _unread(self, point: str, error: DeviceError) -> list[Reading]:
        now = self._clock.now()
        unit = self.instrument.profile.points[point].unit
        return [
            Reading(channel, now, None, unit, Flag.NO_COMMUNICATION, now, reason=error.reason)
            for channel in self.instrument.channels.get(point, ())
        ]

    def _note(self, failed: DeviceError | None, *, any_answer: bool) -> None:
        was = self.state.error.reason if self.state.error is not None else ""
        self.state.error = failed
        if failed is None or any_answer:
            self.state.failures = 0
            self.state.last_ok = self._clock.now()
        else:
            self.state.failures += 1
        now = failed.reason if failed is not None else ""
        if now != was:
            log.log(
                logging.WARNING if now else logging.INFO,
                "device device=%s state=%s was=%s",
                self.site.id,
                now or "ok",
                was or "ok",
            )


def to_reading(
    channel: str,
    decoded: Decoded,
    time: datetime,
    received: datetime,
    *,
    device_time: str = "",
    payload: str = "",
) -> Reading:
    """Turn a decoded point into a reading; a text or an absent number keeps its flag and reason."""
    number = decoded.number if decoded.number is not None else decoded.value
    flag, reason = Flag(decoded.flag), str(decoded.reason)
    if isinstance(number, str) or number is None:
        number = None
        if flag is Flag.NORMAL:
            flag, reason = Flag.FAULT, reason or "text"
    return Reading(channel, time, number, decoded.unit, flag, received, reason, payload or decoded.raw_hex, device_time)


def endpoints_of(instruments: tuple[Instrument, ...], timeout_s: float) -> Mapping[tuple[str, int], ModbusEndpoint]:
    """Make one connection per host and port, shared by the units behind it."""
    found: dict[tuple[str, int], ModbusEndpoint] = {}
    for instrument in instruments:
        site = instrument.site
        if isinstance(site, DeviceSite):
            key = (site.host, site.port)
            found.setdefault(key, ModbusEndpoint(site.host, site.port, timeout_s=timeout_s))
    return found
