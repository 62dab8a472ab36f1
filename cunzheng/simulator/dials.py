"""The faults a simulated device can be told to show, and what they do to its values.

A dial stays turned until it is turned back; `reset` and `rollover` happen once, when they are turned. What happens on
the wire is done by the device simulators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from device_profiles import Profile, Role
from device_profiles.quality import Quality

from .states import states_showing, valued_points

Values = Mapping[str, Decimal | str | None]
Shows = Literal["live", "held", "zero"]
WordOrder = Literal["", "words", "bytes", "both"]
_HOUR = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)


@dataclass
class Dials:
    """Faults of one device. All off by default.

    exception       Modbus: answer reads with this exception code
    silent          accept requests and answer nothing; MQTT: publish nothing
    disconnect      close the connection on each request, or before each message
    delay_s         answer, or send, this much later
    torn            Modbus: values longer than a register are half old, half new
    word_order      Modbus: the words of a number, the bytes of a word, or both, stand the other way round
    stuck           values stay what they were when the dial was turned
    drift           analog values run away by this share of themselves an hour
    no_value        these points have no value: NaN, the profile's sentinel, or JSON null
    state           the state the device says it is in: calibration, maintenance, fault, held …
    shows           what its values are meanwhile: live, held as they were, or zero
    clock_offset_s  its clock is ahead by so much: the clock point, the time in a message
    reset           start every totaliser again from zero
    rollover        put every totaliser so far below its modulus; it starts again from zero there
    duplicate       MQTT: send each message twice
    reorder         MQTT: send each second message before its forerunner
    garbage         MQTT: send bytes that are no JSON
    retained        MQTT: ask the broker to keep the message
    """

    exception: int | None = None
    silent: bool = False
    disconnect: bool = False
    delay_s: float = 0.0
    torn: bool = False
    word_order: WordOrder = ""
    stuck: bool = False
    drift: float = 0.0
    no_value: frozenset[str] = frozenset()
    state: str = ""
    shows: Shows = "live"
    clock_offset_s: float = 0.0
    reset: bool = False
    rollover: Decimal | None = None
    duplicate: bool = False
    reorder: bool = False
    garbage: bool = False
    retained: bool = False
    _stuck_at: Values | None = field(default=None, repr=False)
    _held_at: Values | None = field(default=None, repr=False)
    _drifts_since: datetime | None = field(default=None, repr=False)
    _zero: dict[str, Decimal] = field(default_factory=dict, repr=False)
    _was_reset: bool = field(default=False, repr=False)
    _was_rolled: Decimal | None = field(default=None, repr=False)

    def reset_totals(self) -> None:
        """Start every totaliser again from zero at the next reading."""
        self.reset, self._was_reset = True, False

    def clock(self, now: datetime) -> datetime:
        """Give what the device's own clock says."""
        return now + timedelta(seconds=self.clock_offset_s)

    def shown(self, profile: Profile, values: Values, now: datetime) -> Values:
        """Give the values as the device shows them with these dials."""
        result = dict(values)
        self._drift(profile, result, now)
        self._count(profile, result)
        self._stuck_at = (self._stuck_at or dict(result)) if self.stuck else None
        if self._stuck_at is not None:
            result = dict(self._stuck_at)
        self._hold(profile, result)
        if self.state:
            result.update(states_showing(profile, Quality(self.state), is_zero=self.shows == "zero"))
        for name, point in profile.points.items():
            if point.role is Role.CLOCK and name not in values:
                result[name] = Decimal((self.clock(now) - _EPOCH) // _MICROSECOND).scaleb(-6)
        for name in self.no_value:
            result[name] = None
        return result

    def _drift(self, profile: Profile, values: dict[str, Decimal | str | None], now: datetime) -> None:
        self._drifts_since = (self._drifts_since or now) if self.drift else None
        if self._drifts_since is None:
            return
        hours = Decimal((now - self._drifts_since) // _MICROSECOND) / Decimal(_HOUR // _MICROSECOND)
        factor = 1 + Decimal(str(self.drift)) * hours
        for name, value in values.items():
            if isinstance(value, Decimal) and name in profile.points and profile.points[name].role is Role.RATE:
                values[name] = (value * factor).quantize(_finer(value))

    def _count(self, profile: Profile, values: dict[str, Decimal | str | None]) -> None:
        """Show every total from where it was set, and let it start again at its modulus."""
        is_reset = self.reset and not self._was_reset
        rolled = self.rollover if self.rollover != self._was_rolled else None
        self._was_reset, self._was_rolled = self.reset, self.rollover
        for name, point in profile.points.items():
            value = values.get(name)
            if point.role is not Role.TOTAL or not isinstance(value, Decimal):
                continue
            modulus = None if point.totaliser is None else point.totaliser.modulus
            if is_reset:
                self._zero[name] = value
            if rolled is not None and modulus is not None:
                self._zero[name] = value - (modulus - rolled)
            value -= self._zero.get(name, Decimal(0))
            values[name] = value if modulus is None else value % modulus

    def _hold(self, profile: Profile, values: dict[str, Decimal | str | None]) -> None:
        self._held_at = (self._held_at or dict(values)) if self.shows == "held" else None
        for name in valued_points(profile) if self.shows != "live" else ():
            if name in values:
                values[name] = Decimal(0) if self._held_at is None else self._held_at.get(name, values[name])


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _finer(value: Decimal) -> Decimal:
    """Give a hundredth of a value's last digit: a drift shows although the value has few digits."""
    exponent = value.as_tuple().exponent
    return Decimal(1).scaleb((exponent if isinstance(exponent, int) else 0) - 2)
