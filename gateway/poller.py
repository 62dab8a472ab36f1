"""Read every Modbus device at its own rhythm; a device that fails gives marked readings, never a crash.

One task per device, one line for all that share it, a limit on how many read at once; a line that is shared has its
own limit, and a silent device counts against none. A silent device backs off with jitter and disturbs nobody; where
that costs nobody anything it is tried in between, so that it is soon found. One that is not what its profile describes
gives readings marked as such. All blocks of a poll are decoded together, because a value may need a state or a scale
from another block. The time of a reading is taken when its own answer arrives.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from device_profiles import Decoded, Mismatch, ReadBlock, Table, decode, mismatches
from evidence.encoding import time_text
from evidence.reading import FLAG_NAMED, Flag, Reading
from gateway.catalogue import Instrument
from gateway.clock import Clock
from gateway.damaged_frames import DamagedFrames
from gateway.device_report import DeviceReport, RefusedRequest
from gateway.errors import DeviceBusyError, DeviceConfigurationError, DeviceError, DeviceGoneError
from gateway.line import LineAddress, Manners
from gateway.modbus import ModbusLine
from gateway.nameplate import Nameplate, Told, shown_time
from gateway.patience import AWAY_S
from gateway.request_list import RequestList
from gateway.room import Room
from gateway.settings import PollSettings
from gateway.site import DeviceSite

log = logging.getLogger("cunzheng.gateway")

Sink = Callable[[list[Reading]], Awaitable[None]]
"""Takes the readings of one poll; returns when they are on their way into the store."""
Tell = Callable[[Told], Awaitable[None]]
"""Takes what a device says of itself, before the readings of the same poll are judged."""

WRONG_DEVICE = "wrong-device"
ILLEGAL_ADDRESS = "exception-02"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOBODY_THERE = frozenset(
    {"timeout", "connection-lost", "exception-05", "exception-06", "exception-0a", "exception-0b"}
)
"""After these the other requests of a poll would only wait as long, or press a device that asked for patience."""
_REFUSED_LONGEST = 10
"""A refused request is asked again at the latest after so many times the longest back-off."""
_LINE_SHARE = 10
"""A silent device takes at most one part in so many of the time of a line it shares."""
_GONE = frozenset({"no-connection"})
_SILENT = frozenset({"no-connection", "timeout", "connection-lost"})
"""Where these are all that a device says, it may be tried between two polls: on a line of its own; on a shared one only
where there is no connection, which keeps nobody from anything."""


@dataclass
class DeviceState:
    """How a device behaves; shown by status."""

    failures: int = 0
    error: DeviceError | None = None
    last_ok: datetime | None = None
    polls: int = 0
    identified_on: int = 0
    """The line's connection on which the device was last found to be the described one, or not."""
    mismatches: tuple[Mismatch, ...] = ()
    told: Told | None = None
    """What it last said of itself."""

    @property
    def is_wrong_device(self) -> bool:
        """Whether it failed a test that refuses it."""
        return any(one.refuses for one in self.mismatches)


@dataclass
class Cycle:
    """What one poll brought: words, the second look at states, and per point when it came or why it did not."""

    words: dict[tuple[Table, int], int] = field(default_factory=dict)
    after: dict[tuple[Table, int], int] = field(default_factory=dict)
    received: dict[str, datetime] = field(default_factory=dict)
    errors: dict[str, DeviceError] = field(default_factory=dict)
    device_time: str = ""
    """What the device's own clock showed, in a poll in which it was read."""

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
    """Polls one device: requests, answers, readings. `phase_s` moves its beat, so that not all poll at once."""

    def __init__(
        self,
        instrument: Instrument,
        endpoint: ModbusLine,
        clock: Clock,
        settings: PollSettings,
        *,
        phase_s: float = 0.0,
        tell: Tell | None = None,
    ) -> None:
        """`tell` takes what the device says of itself; without it nobody asks."""
        site = instrument.site
        if not isinstance(site, DeviceSite):
            raise TypeError(f"{site.id} is no Modbus device")
        self.instrument, self.site, self.endpoint = instrument, site, endpoint
        self._unit = endpoint.unit(site.unit, Manners.of(instrument.profile.transport))
        self._clock, self._settings, self._phase_s = clock, settings, phase_s
        self._list = RequestList(
            instrument,
            first_pause_s=site.poll_s,
            longest_pause_s=max(site.poll_s, _REFUSED_LONGEST * settings.backoff_max_s),
        )
        self._jitter = random.Random()
        self._nameplate, self._tell = Nameplate(instrument, self._unit, clock), tell
        self.state = DeviceState()
        self.resting = asyncio.Event()
        """Set between two polls, when nothing is under way."""

    async def poll(self, due: float | None = None) -> list[Reading]:
        """Read all channels once; what could not be read comes as readings with flag B and a reason.

        `due`: when it should have begun, on the loop's clock; who is later comes first on a line.
        """
        cycle = Cycle()
        failed: DeviceError | None = None
        self.state.polls += 1
        for block in self._list.requests():
            if failed is not None and (isinstance(failed, DeviceGoneError) or failed.reason in _NOBODY_THERE):
                cycle.failed(block, failed)
                continue
            held = self._list.held(block, asyncio.get_running_loop().time())
            if held is not None:
                cycle.failed(block, held)
                failed = failed or held
                continue
            error = await self._ask(block, cycle, due)
            due = None
            failed = error or failed
        if cycle.received and self.instrument.profile.match:
            await self._identify(cycle)
        if cycle.received and self._tell is not None and not self.state.is_wrong_device:
            await self._ask_about_itself(self._tell, cycle)
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
        if self.endpoint.is_shared and self.state.error is not None and self.state.error.reason in _NOBODY_THERE:
            doubled = max(doubled, (_LINE_SHARE - 1) * self.endpoint.silence_costs_s(self._unit.manners))
        pause = max(rhythm, min(doubled, self._settings.backoff_max_s))
        return pause * (0.75 + 0.5 * self._jitter.random())

    async def run(self, sink: Sink, gate: asyncio.Semaphore, room: Room | None = None) -> None:
        """Poll for ever, except while there is no room for readings."""
        loop = asyncio.get_running_loop()
        self.resting.set()
        await self._clock.sleep(self._phase_s)
        while True:
            if room is not None and not room.is_open:
                await room.opened()
                await self._clock.sleep(self._until_next_beat(self.site.poll_s))
                continue
            # Who waits for an answer that does not come, or for a turn on a line, must not keep others from asking.
            is_free = self.state.failures or self.endpoint.is_shared
            passing: AbstractAsyncContextManager[None] = nullcontext() if is_free else gate
            due = loop.time()
            self.resting.clear()
            async with passing:
                readings = await self._poll_surely(due)
            await sink(readings)
            self.resting.set()
            await self._rest(sink, room)

    @property
    def damaged(self) -> DamagedFrames:
        """Frames that were refused and wait to be put aside."""
        return self._unit.counts.damaged

    def report(self) -> DeviceReport:
        """Tell how the device is doing."""
        counts = self._unit.counts
        return DeviceReport(
            device=self.site.id,
            line=self.endpoint.name,
            unit=self.site.unit,
            reason="" if self.state.error is None else self.state.error.reason,
            failures=self.state.failures,
            last_ok=self.state.last_ok,
            polls=self.state.polls,
            requests=counts.requests,
            answers=counts.answers,
            timeouts=counts.timeouts,
            checksum_errors=counts.checksums,
            mismatched_answers=counts.mismatches,
            late_answers=counts.late,
            lost_connections=counts.lost,
            refused_connections=counts.refused,
            reconnects=max(0, self.endpoint.connections - 1),
            exceptions=dict(counts.exceptions),
            split_blocks=self._list.splits,
            refused=tuple(
                RefusedRequest(block.table.value, block.address, block.count, block.points, refusal.error.reason)
                for block, refusal in self._list.refusals
            ),
            mismatches=self.state.mismatches,
            told=self.state.told,
        )

    async def _poll_surely(self, due: float) -> list[Reading]:
        """Poll; a defect of ours or of a profile marks this device's readings and stops nobody else."""
        try:
            return await self.poll(due)
        except Exception as error:
            failed = DeviceBusyError(f"{self.site.id}: {error!r}", f"{self.site.id}: {error!r}", "internal-error")
            if self.state.error is None or self.state.error.reason != failed.reason:
                log.exception("poll failed device=%s", self.site.id)
            self._note(failed, any_answer=False)
            return [one for point in self.instrument.channels for one in self._unread(point, failed)]

    async def _rest(self, sink: Sink, room: Room | None) -> None:
        """Wait for the next poll; a silent device is tried meanwhile, never more often than it is polled when well.

        A try that finds it still silent makes no readings: those of the poll before say so until the next one.
        """
        loop, pause = asyncio.get_running_loop(), self.next_pause()
        while (
            self._may_be_tried() and (step := max(self.site.poll_s, AWAY_S * self._jitter.uniform(0.75, 1.0))) < pause
        ):
            began, failures = loop.time(), self.state.failures
            await self._clock.sleep(step)
            if room is not None and not room.is_open:
                return
            self.resting.clear()
            readings = await self._poll_surely(loop.time())
            if self._may_be_tried():
                self.state.failures = failures
                pause -= max(step, loop.time() - began)
            else:
                await sink(readings)
                pause = self.next_pause()
            self.resting.set()
        await self._clock.sleep(max(0.0, pause))

    def _may_be_tried(self) -> bool:
        """Whether nobody answers, and a try would keep nobody else from anything."""
        error, allowed = self.state.error, _GONE if self.endpoint.is_shared else _SILENT
        return bool(self.state.failures) and error is not None and error.reason in allowed

    def _until_next_beat(self, rhythm: float) -> float:
        since = (self._clock.now() - _EPOCH) / timedelta(seconds=1) - self._phase_s
        return max(0.001, rhythm - since % rhythm)

    # -- asking ---------------------------------------------------------------------------------------------

    async def _ask(self, block: ReadBlock, cycle: Cycle, due: float | None) -> DeviceError | None:
        """Ask one request, in parts if the device minds it; return what went wrong."""
        try:
            await self._read(block, cycle, due)
        except DeviceConfigurationError as error:
            parts = self._list.halves(block) if error.reason == ILLEGAL_ADDRESS else ()
            if len(parts) < 2:
                self._refused(block, error, cycle)
                return error
            return await self._ask_parts(block, parts, error, cycle)
        except DeviceError as error:
            cycle.failed(block, error)
            return error
        return None

    async def _ask_parts(
        self, block: ReadBlock, parts: Sequence[ReadBlock], rejected: DeviceError, cycle: Cycle
    ) -> DeviceError | None:
        """Find by halves what of a block can be read; remember it if anything can."""
        found: list[ReadBlock] = []
        refused: list[tuple[ReadBlock, DeviceError]] = []
        any_answer = False
        failed: DeviceError | None = None
        waiting = list(parts)
        while waiting:
            part = waiting.pop(0)
            try:
                await self._read(part, cycle, None)
            except DeviceConfigurationError as error:
                halves = self._list.halves(part)
                if len(halves) > 1:
                    waiting[:0] = halves
                    continue
                found.append(part)
                refused.append((part, error))
                cycle.failed(part, error)
            except DeviceError as error:
                for one in (part, *waiting):
                    cycle.failed(one, error)
                failed = error
                break
            else:
                found.append(part)
                any_answer = True
        if failed is not None:  # what was found out is not all; the next poll begins again
            return failed
        if not any_answer:
            self._refused(block, rejected, cycle)
            return rejected
        self._list.learn(block, tuple(found))
        for part, why in refused:
            self._refused(part, why, cycle)
        return refused[0][1] if refused else None

    def _refused(self, block: ReadBlock, error: DeviceError, cycle: Cycle) -> None:
        cycle.failed(block, error)
        self._list.refused(block, error, asyncio.get_running_loop().time())

    async def _read(self, block: ReadBlock, cycle: Cycle, due: float | None) -> None:
        # Patience is for a device that was there a moment ago.
        retries = 0 if self.state.failures else None
        words = await self._unit.read(block.table.value, block.address, block.count, due=due, retries=retries)
        self._list.answered(block)
        cycle.answered(block, words, self._clock.now())

    async def _identify(self, cycle: Cycle) -> None:
        """Ask who the device is, if it may be another one than at the last poll; a failure fails the poll."""
        state, line = self.state, self.endpoint
        if state.identified_on == line.connections and not state.failures and not state.mismatches:
            return
        try:
            found = await self._mismatches()
        except DeviceError as error:
            cycle.errors.update(dict.fromkeys(cycle.received, error))
            return
        state.identified_on = line.connections
        if found != state.mismatches:
            log.log(
                logging.WARNING if found else logging.INFO,
                "device identity device=%s mismatches=%s",
                self.site.id,
                ",".join(f"{one.point}={one.came!r}, wanted {one.wanted}" for one in found) or "none",
            )
        state.mismatches = found

    async def _ask_about_itself(self, tell: Tell, cycle: Cycle) -> None:
        connection = self.endpoint.connections
        if self._clock.doubt is not None or not self._nameplate.is_due(connection):
            return
        received = {name: at for name, at in cycle.received.items() if name not in cycle.errors}
        told = await self._nameplate.read(connection, cycle.words, received)
        self.state.told = told
        if told.clock is not None:
            cycle.device_time = time_text(told.clock.shown)
        await tell(told)

    async def _mismatches(self) -> tuple[Mismatch, ...]:
        profile = self.instrument.profile
        seen = Cycle()
        names = [test.point for test in profile.match if test.point]
        for block in profile.plan(names):
            try:
                words = await self._unit.read(block.table.value, block.address, block.count)
            except DeviceConfigurationError as error:
                seen.failed(block, error)
                continue
            seen.answered(block, words, self._clock.now())
        came = [name for name in names if name in seen.received and name not in seen.errors]
        objects = [test.identification for test in profile.match if test.identification is not None]
        told = {}
        if objects:
            with suppress(DeviceConfigurationError):  # it has no identification: every test of it fails
                told = dict(await self._unit.identification(max(objects)))
        return mismatches(profile, decode(profile, seen.words, came), told)

    # -- readings -------------------------------------------------------------------------------------------

    def _readings(self, cycle: Cycle) -> list[Reading]:
        """Decode the whole poll, then make readings: those that came, and those that did not with the reason."""
        profile, channels = self.instrument.profile, self.instrument.channels
        came = [name for name in channels if name in cycle.received and name not in cycle.errors]
        decoded = decode(profile, cycle.words, came, after=cycle.after if self._list.looks_twice else None)
        readings: list[Reading] = []
        is_wrong_device = self.state.is_wrong_device
        for name, fed in channels.items():
            if name not in decoded:
                readings += self._unread(name, cycle.errors[name])
                continue
            one, time = decoded[name], cycle.received[name]
            clock = shown_time(one) if profile.points[name].clock is not None else None
            shown = cycle.device_time if clock is None else time_text(clock)
            read = [to_reading(channel, one, time, time, device_time=shown) for channel in fed]
            readings += [self._doubted(one) for one in read] if is_wrong_device else read
        return readings

    def _doubted(self, reading: Reading) -> Reading:
        """Mark what another device said: it is kept and never used."""
        reason = f"{WRONG_DEVICE}; {reading.reason}" if reading.reason else WRONG_DEVICE
        return replace(reading, flag=Flag.FAULT, reason=reason)

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
    flag, reason = FLAG_NAMED[decoded.flag], str(decoded.reason)
    if isinstance(number, str) or number is None:
        number = None
        if flag is Flag.NORMAL:
            flag, reason = Flag.FAULT, reason or "text"
    return Reading(channel, time, number, decoded.unit, flag, received, reason, payload or decoded.raw_hex, device_time)


def lines_of(instruments: Sequence[Instrument], timeout_s: float) -> dict[LineAddress, ModbusLine]:
    """Make one connection per line, shared by the units behind it."""
    found: dict[LineAddress, ModbusLine] = {}
    for instrument in instruments:
        if instrument.line is not None:
            found.setdefault(instrument.line, ModbusLine(instrument.line, timeout_s=timeout_s))
    return found


def pollers_of(
    instruments: Sequence[Instrument],
    lines: dict[LineAddress, ModbusLine],
    clock: Clock,
    settings: PollSettings,
    tell: Tell | None = None,
) -> list[Poller]:
    """Make a poller for each Modbus device; their beats are spread, in the order of the site file."""
    there = [(one, one.line) for one in instruments if one.line is not None]
    return [
        Poller(
            instrument,
            lines[line],
            clock,
            settings,
            phase_s=at / len(there) * min(settings.stagger_s, instrument.site.poll_s / 2),
            tell=tell,
        )
        for at, (instrument, line) in enumerate(there)
    ]
