"""The states of a decoded value, their HJ 212 flags, and the canonical reasons.

Whether a value is plausible is judged elsewhere (`evidence.judge`); here only what the device itself says.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Quality(StrEnum):
    """What the device says about a value."""

    VALID = "valid"
    HELD = "held"
    CALIBRATION = "calibration"
    MAINTENANCE = "maintenance"
    FAULT = "fault"
    STOPPED = "stopped"
    OVER_RANGE = "over_range"
    NO_COMMUNICATION = "no_communication"
    NOT_MEASURING = "not_measuring"
    SIMULATED = "simulated"
    UNCERTAIN = "uncertain"


#: HJ 212-2017 data flag of each state, unless the profile names another.
FLAG_OF = {
    Quality.VALID: "N",
    Quality.HELD: "M",
    Quality.CALIBRATION: "C",
    Quality.MAINTENANCE: "M",
    Quality.FAULT: "D",
    Quality.STOPPED: "F",
    Quality.OVER_RANGE: "T",
    Quality.NO_COMMUNICATION: "B",
    Quality.NOT_MEASURING: "D",
    Quality.SIMULATED: "S",
    Quality.UNCERTAIN: "D",
}


class Reason(StrEnum):
    """Why there is no usable value, or why it is marked. The empty reason belongs to valid values."""

    NONE = ""
    NAN = "nan"
    INFINITE = "infinite"
    NOT_IMPLEMENTED = "not-implemented"
    NOT_MEASURING = "not-measuring"
    SENSOR_FAULT = "sensor-fault"
    OPEN_CIRCUIT = "open-circuit"
    SHORT_CIRCUIT = "short-circuit"
    OVER_RANGE = "over-range"
    UNDER_RANGE = "under-range"
    OFF = "off"
    HOLD = "hold"
    CALIBRATION = "calibration"
    MAINTENANCE = "maintenance"
    SIMULATION = "simulation"
    ENUM_UNKNOWN = "enum-unknown"
    BCD_DIGIT = "bcd-digit"
    TEXT = "text"
    MISSING = "missing"
    NULL = "null"
    TYPE = "type"
    RETAINED = "retained"
    DEVICE = "device-quality"
    MAINTENANCE_REQUEST = "maintenance-request"
    OUT_OF_SPECIFICATION = "out-of-specification"
    SUBSTITUTE = "substitute"
    STALE = "stale"
    TORN = "torn"
    STATE_MISSING = "state-missing"
    SCALE_MISSING = "scale-missing"
    ORDER_UNKNOWN = "order-unknown"
    PARAMETER_MISSING = "parameter-missing"
    OTHER_KIND = "other-kind"
    CLOCK = "clock"
    OFFLINE = "device-offline"
    TIME_RECEIVED = "time-received"


#: Reasons that a profile may give to its own sentinels and rules; the others are the decoder's.
SENTINEL_REASONS = tuple(
    reason.value
    for reason in (
        Reason.NAN,
        Reason.NOT_IMPLEMENTED,
        Reason.NOT_MEASURING,
        Reason.SENSOR_FAULT,
        Reason.OPEN_CIRCUIT,
        Reason.SHORT_CIRCUIT,
        Reason.OVER_RANGE,
        Reason.UNDER_RANGE,
        Reason.OFF,
        Reason.HOLD,
        Reason.CALIBRATION,
        Reason.MAINTENANCE,
        Reason.SIMULATION,
        Reason.DEVICE,
        Reason.MAINTENANCE_REQUEST,
        Reason.OUT_OF_SPECIFICATION,
        Reason.SUBSTITUTE,
        Reason.STALE,
    )
)

#: Which rules and sentinels spoke; only tests collect it.
Fired = set[tuple[object, ...]]

#: States in which the number that came says nothing at all, so that it is not kept as a value.
VALUELESS = frozenset({Quality.NOT_MEASURING, Quality.NO_COMMUNICATION})


@dataclass(frozen=True, slots=True)
class Decoded:
    """One point as read.

    `value` is None whenever there is no usable number or text. `number` is the numeric value (for an
    enumeration its code). `raw_hex` holds the words as they came, or the JSON text of the value.
    """

    value: Decimal | str | None
    unit: str
    quality: Quality
    flag: str
    reason: str
    raw_hex: str
    number: Decimal | None = None

    @property
    def word(self) -> Decimal | str | None:
        """Give what a condition compares: the number or code, else the text."""
        return self.value if self.number is None else self.number

    @property
    def is_valid(self) -> bool:
        """Tell whether the device stands behind the value."""
        return self.quality is Quality.VALID


def bad(unit: str, quality: Quality, reason: str, raw_hex: str, flag: str = "") -> Decoded:
    """Build the decoded form of "no usable value"."""
    return Decoded(None, unit, quality, flag or FLAG_OF[quality], reason, raw_hex)
