"""First judgement of a reading at the gateway: what can be said at once, from the reading alone.

Marks, never drops: a doubtful reading keeps its value and gets a flag and a reason. The reason codes
are the ids of the checks in the data-quality rules (Q03 future time, Q15 physical range, Q31 totaliser).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from evidence.encoding import FIRST_YEAR, LAST_YEAR
from evidence.reading import Flag, Reading
from evidence.segment import Baseline
from evidence.totaliser import StepKind, Totaliser, judge_step

FUTURE_TOLERANCE = timedelta(seconds=120)
"""Check Q03: how far a reading may lie ahead of the gateway's clock."""
MAX_DIGITS = 20
"""No instrument resolves more; a longer number is garbage, and a month's sum of it would not fit a statement."""


@dataclass(frozen=True)
class Limits:
    """Physical limits of a channel, in its unit; None where there is none."""

    low: Decimal | None = None
    high: Decimal | None = None


def judge(reading: Reading, limits: Limits, now: datetime) -> Reading:
    """Return the reading with the flag and reason that its value and time deserve."""
    if not FIRST_YEAR <= reading.time.year <= LAST_YEAR:
        # It has no hour of its own; it is kept with the hour in which it came, and the device's own text beside it.
        said = reading.device_time or reading.time.isoformat()
        reading = replace(
            reading, time=reading.received, device_time=said, flag=Flag.FAULT, reason="Q04 impossible time"
        )
    if reading.value is not None and not is_recordable(reading.value):
        return replace(reading, value=None, flag=Flag.FAULT, reason="Q15 number too long to record")
    if reading.flag is not Flag.NORMAL or reading.value is None:
        return reading
    if reading.time > now + FUTURE_TOLERANCE:
        return replace(reading, flag=Flag.FAULT, reason="Q03 time lies in the future")
    if limits.high is not None and reading.value > limits.high:
        return replace(reading, flag=Flag.OVER_RANGE, reason=f"Q15 above {limits.high}")
    if limits.low is not None and reading.value < limits.low:
        return replace(reading, flag=Flag.FAULT, reason=f"Q15 below {limits.low}")
    return reading


def is_recordable(value: Decimal) -> bool:
    """Tell whether a number is finite and short enough that sums of it fit a statement."""
    return value.is_finite() and len(value.as_tuple().digits) <= MAX_DIGITS and abs(value.adjusted()) <= MAX_DIGITS


@dataclass(frozen=True)
class TotalWatch:
    """What is believed of a running total, and a jump that waits for confirmation."""

    believed: Baseline
    suspect: Baseline | None = None


def judge_total(watch: TotalWatch | None, reading: Reading, rule: Totaliser) -> tuple[TotalWatch | None, Reading]:
    """Judge a total against the one before (check Q31).

    An impossible step is flagged as a fault until a second reading confirms it: a torn read is then forgotten,
    while after a change of meter the new count is believed and nothing is booked for the jump.
    """
    if not reading.is_valid or reading.value is None:
        return watch, reading
    here = Baseline(reading.value, reading.time)
    if watch is None:
        return TotalWatch(here), reading
    if reading.time <= watch.believed.time:
        return watch, reading
    step = judge_step(watch.believed.value, here.value, here.time - watch.believed.time, rule)
    if step.kind is not StepKind.ERROR:
        reason = "" if step.kind is StepKind.NORMAL else f"Q31 {step.kind}"
        return TotalWatch(Baseline(step.floor, here.time)), replace(reading, reason=reason or reading.reason)
    if watch.suspect is not None and here.time > watch.suspect.time:
        again = judge_step(watch.suspect.value, here.value, here.time - watch.suspect.time, rule)
        if again.kind is StepKind.NORMAL:
            return TotalWatch(here), replace(reading, reason="Q31 jump confirmed")
    flagged = replace(reading, flag=Flag.FAULT, reason=f"Q31 error: step from {watch.believed.value}")
    return TotalWatch(watch.believed, here), flagged
