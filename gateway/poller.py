"""Read every Modbus device at its own rhythm; a device that fails gives marked readings, never a crash.

One task per device, one connection per endpoint, a limit on how many read at once. A silent device backs off with
jitter and disturbs nobody. A block that a device rejects is split point by point, and the split is remembered.
The time of a reading is taken when its answer arrives.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from device_profiles import Decoded, ReadBlock, decode_block
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
        readings: list[Reading] = []
        failed: DeviceError | None = None
        for block in self._requests():
            # Nobody there, or nobody answering: the other blocks would only wait as long again.
            if failed is not None and (isinstance(failed, DeviceGoneError) or failed.reason == "timeout"):
                readings += self._unread(block, failed)
                continue
            try:
                readings += await self._read(block)
            except DeviceConfigurationError as error:
                if len(block.points) > 1:
                    self.state.split.add((block.table.value, block.address, block.count))
                    readings += await self._read_apart(block)
                else:
                    readings += self._unread(block, error)
                failed = failed or error
            except DeviceError as error:
                failed = error
                readings += self._unread(block, error)
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
            return [reading for block in self._blocks for reading in self._unread(block, failed)]

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
        """Cut a block into one request per point."""
        points = (self.instrument.profile.points[name] for name in block.points)
        return [ReadBlock(block.table, point.address, point.words, (point.id,)) for point in points]

    async def _read_apart(self, block: ReadBlock) -> list[Reading]:
        readings: list[Reading] = []
        for one in self.instrument_blocks(block):
            try:
                readings += await self._read(one)
            except DeviceError as error:
                readings += self._unread(one, error)
        return readings

    async def _read(self, block: ReadBlock) -> list[Reading]:
        retries = 1
        while True:
            try:
                words = await self.endpoint.read(block.table.value, block.address, block.count, self.site.unit)
                break
            except DeviceBusyError:
                if not retries:
                    raise
                retries -= 1
        received = self._clock.now()
        decoded = decode_block(self.instrument.profile, block, words)
        return [
            to_reading(channel, value, received, received)
            for point, value in decoded.items()
            for channel in self.instrument.channels.get(point, ())
        ]

    def _unread(self, block: ReadBlock, error: DeviceError) -> list[Reading]:
        now = self._clock.now()
        return [
            Reading(
                channel,
                now,
                None,
                self.instrument.profile.points[point].unit,
                Flag.NO_COMMUNICATION,
                now,
                reason=error.reason,
            )
            for point in block.points
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
