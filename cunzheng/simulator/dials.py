"""The faults a simulated device can be told to show, and what they do to its values.

A dial stays turned until it is turned back. What happens on the wire is done by the two device simulators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from device_profiles import Profile, Role

Values = Mapping[str, Decimal | str | None]


@dataclass
class Dials:
    """Faults of one device. All off by default.

    exception   Modbus: answer reads with this exception code
    silent      Modbus: accept requests and answer nothing
    disconnect  Modbus: close the connection on each request
    delay_s     Modbus: answer this much later
    torn        Modbus: values longer than a register are half old, half new
    stuck       values stay what they were when the dial was turned
    no_value    these points have no value: NaN, the profile's sentinel, or JSON null
    duplicate   MQTT: send each message twice
    reorder     MQTT: send each second message before its forerunner
    garbage     MQTT: send bytes that are no JSON
    retained    MQTT: ask the broker to keep the message
    """

    exception: int | None = None
    silent: bool = False
    disconnect: bool = False
    delay_s: float = 0.0
    torn: bool = False
    stuck: bool = False
    no_value: frozenset[str] = frozenset()
    duplicate: bool = False
    reorder: bool = False
    garbage: bool = False
    retained: bool = False
    _held: Values | None = field(default=None, repr=False)
    _zero: dict[str, Decimal] = field(default_factory=dict, repr=False)
    _reset_now: bool = field(default=False, repr=False)

    def reset_totals(self) -> None:
        """Start every totaliser again from zero at the next reading."""
        self._reset_now = True

    def shown(self, profile: Profile, values: Values) -> Values:
        """Give the values as the device shows them with these dials."""
        if self.stuck:
            self._held = self._held if self._held is not None else dict(values)
            values = self._held
        else:
            self._held = None
        totals = [name for name, point in profile.points.items() if point.role is Role.TOTAL]
        result = dict(values)
        for name in totals:
            value = values.get(name)
            if not isinstance(value, Decimal):
                continue
            if self._reset_now:
                self._zero[name] = value
            result[name] = value - self._zero.get(name, Decimal(0))
        self._reset_now = False
        for name in self.no_value:
            result[name] = None
        return result
