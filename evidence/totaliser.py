"""Differences of running totals: what a meter's step from one reading to the next means.

The rule of thumb is that a difference is booked only when it can be true; everything else is
named. Which readings are compared is decided in ``segment.py``. A use over a gap is right as a whole; it is split
over hours or days only by a named method, which goes with the parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

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
    ``backstep`` the largest step back that a power cut may cause, ``step`` the counter's resolution: the smallest
    amount by which it moves.
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


@dataclass(frozen=True)
class MeterSwap:
    """A change of meter (换表): the old one's final reading and the new one's first, with their serials."""

    final: Decimal
    first: Decimal
    old_serial: str
    new_serial: str


def swap_use(old: Decimal, new: Decimal, elapsed: timedelta, rule: Totaliser, swap: MeterSwap) -> Step:
    """Book the use from the last reading of the old meter to the first booked one of the new.

    Both parts, and their sum, must be plausible for the time between; otherwise nothing is booked.
    """
    before = judge_step(old, swap.final, elapsed, rule)
    after = judge_step(swap.first, new, elapsed, rule)
    if before.kind is after.kind is StepKind.NORMAL and before.use is not None and after.use is not None:
        whole = judge_step(old, old + before.use + after.use, elapsed, rule)
        if whole.kind is StepKind.NORMAL:
            return Step(StepKind.NORMAL, whole.use, new)
    return Step(StepKind.ERROR, None, new)


def is_over_gap(elapsed: timedelta, poll: timedelta, polls: int = 3) -> bool:
    """Tell whether a difference spans a gap: more poll intervals than a device may be silent (check Q06)."""
    return elapsed > polls * poll


@dataclass(frozen=True)
class Part:
    """A part of a use over a gap, with the method that made it."""

    start: datetime
    end: datetime
    use: Decimal
    method: str


def split_linear(use: Decimal, start: datetime, end: datetime, cuts: Sequence[datetime], places: int) -> list[Part]:
    """Split a use over the cuts by time; the last part takes what rounding to ``places`` leaves: the sum is exact."""
    edges = [start, *sorted(cut for cut in cuts if start < cut < end), end]
    whole, unit = _hours(end - start), Decimal(1).scaleb(-places)
    parts, booked = [], Decimal(0)
    for left, right in pairwise(edges[:-1]):
        share = (use * _hours(right - left) / whole).quantize(unit)
        parts.append(Part(left, right, share, "linear"))
        booked += share
    return [*parts, Part(edges[-2], end, use - booked, "linear")]


def swapped_words(value: Decimal) -> Decimal | None:
    """Return a 32-bit count as it reads with its two words in the other order; None where it is no such count."""
    if value != value.to_integral_value() or not 0 <= value < 1 << 32:
        return None
    count = int(value)
    return Decimal((count & 0xFFFF) << 16 | count >> 16)


def longest_poll(pulse_value: Decimal, max_rate: Decimal, pulses: int = 65_536) -> timedelta:
    """Return how rarely a pulse counter that wraps may be read: half the time of one wrap at the largest rate."""
    hours = Decimal(pulses) * pulse_value / max_rate / 2
    return timedelta(microseconds=int(hours * _HOUR))


def _hours(elapsed: timedelta) -> Decimal:
    return Decimal(elapsed // timedelta(microseconds=1)) / _HOUR
