"""Differences of running totals: what a meter's step from one reading to the next means.

The rule of thumb is that a difference is booked only when it can be true; everything else is
named. Which readings are compared is decided in ``segment.py``.
"""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

MARGIN = Decimal("1.2")
"""Allowance on the largest plausible rate."""
_HOUR = Decimal(3_600_000_000)
"""Microseconds."""


class StepKind(StrEnum):
    """How a difference was understood."""

    NORMAL = "normal"
    ROLLOVER = "rollover"
    BACKSTEP = "backstep"
    RESET = "reset"
    ERROR = "error"


@dataclass(frozen=True)
class Totaliser:
    """What is known of a running total.

    ``max_rate`` is in the channel's unit per hour; ``modulus`` is the value at which the counter starts again;
    ``backstep`` the largest step back that a power cut may cause, ``step`` the counter's resolution.
    """

    max_rate: Decimal
    backstep: Decimal = Decimal(0)
    resettable: bool = True
    modulus: Decimal | None = None
    step: Decimal = Decimal(1)


@dataclass(frozen=True)
class Step:
    """A judged difference; ``use`` is None where none can be booked, ``floor`` the value to compare with next."""

    kind: StepKind
    use: Decimal | None
    floor: Decimal


def judge_step(old: Decimal, new: Decimal, elapsed: timedelta, rule: Totaliser, *, restarted: bool = False) -> Step:
    """Classify the step from one valid total to the next.

    ``restarted`` says that the device lost power in between, the one case in which a small step back is believed.
    A RESET books what was counted since, which is a lower bound.
    """
    # Everything times one hour: a division would round, and a month must not depend on where it is computed.
    counted = rule.max_rate * Decimal(elapsed // timedelta(microseconds=1)) * MARGIN
    most = counted + rule.step * _HOUR
    difference = new - old
    if 0 <= difference * _HOUR <= most:
        return Step(StepKind.NORMAL, difference, new)
    if difference < 0 and rule.modulus is not None and 0 <= (difference + rule.modulus) * _HOUR <= most:
        return Step(StepKind.ROLLOVER, difference + rule.modulus, new)
    if restarted and -rule.backstep <= difference < 0:
        return Step(StepKind.BACKSTEP, Decimal(0), old)
    if difference < 0 and rule.resettable and 0 <= new * _HOUR <= counted:
        return Step(StepKind.RESET, new, new)
    return Step(StepKind.ERROR, None, new)
