"""What a Modbus device says of itself: who it is, and what its clock shows. Asked when it comes, then once an hour.

Serial numbers and firmware are often texts; they make no readings and no channel. What is said is handed on as it came:
whether it is another device than before is for the judge, and a clock that is off is never corrected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from device_profiles import IDENTIFICATION_OBJECTS, Decoded, Role, Table, decode
from evidence.encoding import decimal_text
from evidence.judge_time import is_possible
from gateway.catalogue import Instrument
from gateway.clock import Clock
from gateway.errors import DeviceConfigurationError, DeviceError
from gateway.modbus import ModbusUnit

EVERY = timedelta(hours=1)
"""A clock drifts by seconds a day, and a device is seldom exchanged."""
AT_MOST_EVERY = timedelta(minutes=1)
"""After a new connection it is asked at once, but not more often: some lines connect for each poll."""
LONGEST_TEXT = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ClockSeen:
    """What a device's clock showed when it was read, and how far its profile lets it be off."""

    shown: datetime
    read: datetime
    allowed_s: int | None

    @property
    def offset_s(self) -> Decimal:
        """Seconds that it is ahead."""
        return Decimal((self.shown - self.read) // timedelta(milliseconds=1)).scaleb(-3)

    @property
    def is_off(self) -> bool:
        """Whether it is off by more than the profile allows."""
        return self.allowed_s is not None and abs(self.offset_s) > self.allowed_s


@dataclass(frozen=True, slots=True)
class Told:
    """What a device said of itself at one time."""

    device: str
    channels: tuple[str, ...]
    read: datetime
    identity: Mapping[str, str]
    """Point → number or text; only what came and is valid."""
    clock: ClockSeen | None = None


class Nameplate:
    """Asks one device about itself."""

    def __init__(self, instrument: Instrument, unit: ModbusUnit, clock: Clock) -> None:
        profile = instrument.profile
        self._profile, self._device, self._unit, self._clock = profile, instrument.site.id, unit, clock
        self._channels = channels_of(instrument)
        self._identity = watched_points(instrument)
        self._clocks = tuple(name for name, one in profile.points.items() if one.role is Role.CLOCK)[:1]
        objects = [test.identification for test in profile.match if test.identification is not None]
        self._objects = max(objects, default=None)
        self._connection, self._asked_at = -1, _EPOCH

    def is_due(self, connection: int) -> bool:
        """Tell whether to ask, `connection` being the line's; a clock that stepped is reason enough."""
        if not (self._identity or self._clocks or self._objects is not None):
            return False
        waited = abs(self._clock.now() - self._asked_at)
        return waited >= EVERY or (connection != self._connection and waited >= AT_MOST_EVERY)

    async def read(
        self, connection: int, polled: Mapping[tuple[Table, int], int], received: Mapping[str, datetime]
    ) -> Told:
        """Ask for what a poll did not bring anyway: its words, and when it received which point.

        What a device refuses, or does not answer now, is left out until the next time.
        """
        self._connection, self._asked_at = connection, self._clock.now()
        words = dict(polled)
        lacking: set[str] = set()
        names = (*self._identity, *self._clocks)
        clock_read = next((received[name] for name in self._clocks if name in received), self._clock.now())
        for block in self._profile.plan([name for name in names if name not in received]):
            try:
                came = await self._unit.read(block.table.value, block.address, block.count, retries=0)
            except DeviceConfigurationError:
                lacking |= set(block.points)
                continue
            except DeviceError:
                self._connection = -1  # asked again as after a new connection
                lacking |= set(names) - set(received)
                break
            words.update({(block.table, block.address + offset): word for offset, word in enumerate(came)})
            if set(self._clocks) & set(block.points):
                clock_read = self._clock.now()
        decoded = decode(self._profile, words, [name for name in names if name not in lacking])
        said = {name: identity_text(one) for name, one in decoded.items() if one.is_valid and name in self._identity}
        identity = {name: text for name, text in said.items() if text} | await self._identification()
        seen = next((decoded[name] for name in self._clocks if name in decoded), None)
        return Told(self._device, self._channels, self._clock.now(), identity, self._seen(seen, clock_read))

    async def _identification(self) -> dict[str, str]:
        """Read the device identification where the profile tells a device by it: revision and the rest may change."""
        if self._objects is None:
            return {}
        try:
            told = await self._unit.identification(self._objects)
        except DeviceError:
            self._connection = -1
            return {}
        named = {number: name for number, name in enumerate(IDENTIFICATION_OBJECTS) if told.get(number)}
        return {f"identification.{name}": told[number][:LONGEST_TEXT] for number, name in named.items()}

    def _seen(self, decoded: Decoded | None, read: datetime) -> ClockSeen | None:
        shown = None if decoded is None else shown_time(decoded)
        if shown is None:
            return None
        rule = self._profile.points[self._clocks[0]].clock
        return ClockSeen(shown, read, None if rule is None else rule.max_offset_s)


def watched_points(instrument: Instrument) -> tuple[str, ...]:
    """Name the points that tell who a device is and are not judged as channels."""
    points = instrument.profile.points
    watched = (name for name, one in points.items() if one.role is Role.IDENTITY and one.watched)
    return tuple(name for name in watched if name not in instrument.judged_identity)


def channels_of(instrument: Instrument) -> tuple[str, ...]:
    """Name the channels of a device."""
    return tuple(sorted({one for fed in instrument.channels.values() for one in fed}))


def shown_time(clock: Decoded) -> datetime | None:
    """Return what a device's clock shows, as a time of evidence; nothing where it shows none."""
    if not isinstance(clock.value, str) or not clock.is_valid:
        return None
    shown = datetime.fromisoformat(clock.value)
    return shown if is_possible(shown) else None


def identity_text(decoded: Decoded) -> str:
    """Return what an identity point says, as it is compared."""
    value = decoded.value
    text = decimal_text(value) if isinstance(value, Decimal) else str(value or "")
    return text.strip("\0 ")[:LONGEST_TEXT]
