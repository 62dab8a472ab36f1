"""Check Q31: a running total against the one before it (`totaliser.py`), and what a broken count leaves behind.

Beside it the counter that some meters have of what passed while they were in fault.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from evidence.judge_rules import RuleSet
from evidence.judge_time import Gap
from evidence.reading import Flag, Reading
from evidence.segment import Baseline
from evidence.totaliser import StepKind, Totaliser, judge_step, swapped_words


@dataclass(frozen=True)
class TotalWatch:
    """What is believed of a running total, and a jump that waits for confirmation.

    ``is_below`` says that a power cut set the counter back: until it passes the believed value nothing is counted.
    ``told`` is when a break of the count was last made an event, by kind.
    """

    believed: Baseline
    suspect: Baseline | None = None
    is_below: bool = False
    told: Mapping[StepKind, datetime] = field(default_factory=dict)


def judge_total(
    watch: TotalWatch | None, reading: Reading, rule: Totaliser, rules: RuleSet, *, has_restarted: bool = False
) -> tuple[TotalWatch | None, Reading, Gap | None]:
    """Judge a total against the one before; return the gap in the count where it broke.

    An impossible step is flagged as a fault until a second reading confirms it: a torn read is then forgotten,
    while after a change of meter the new count is believed and nothing is booked for the jump. Readings below the
    floor after a power cut are flagged too, so that whoever recomputes the hour books from the floor.
    """
    if not reading.is_valid or reading.value is None:
        return watch, reading, None
    here = Baseline(reading.value, reading.time)
    if watch is None:
        return TotalWatch(here), reading, None
    if reading.time <= watch.believed.time:
        return watch, reading, None
    believed = watch.believed
    step = judge_step(
        believed.value, here.value, here.time - believed.time, rule, restarted=has_restarted or watch.is_below
    )
    if step.kind is StepKind.BACKSTEP:
        said = f"Q31 backstep: below {believed.value}, nothing used"
        return replace(watch, suspect=None, is_below=True), _faulty(reading, said), None
    if step.kind is not StepKind.ERROR:
        said = "" if step.kind is StepKind.NORMAL else f"Q31 {step.kind}"
        gap, told = _told(watch, here, reading, step.kind, rules) if step.kind is StepKind.RESET else (None, watch.told)
        new = TotalWatch(Baseline(step.floor, here.time), told=told)
        return new, replace(reading, reason=_joined(reading.reason, said)) if said else reading, gap
    if watch.suspect is not None and here.time > watch.suspect.time:
        again = judge_step(watch.suspect.value, here.value, here.time - watch.suspect.time, rule)
        if again.kind is StepKind.NORMAL:
            sure = replace(reading, reason=_joined(reading.reason, "Q31 jump confirmed"))
            return TotalWatch(here, told=watch.told), sure, None
    hint = _hint(believed, here, rule)
    gap, told = _told(watch, here, reading, StepKind.ERROR, rules)
    doubted = TotalWatch(believed, here, watch.is_below, told)
    return doubted, _faulty(reading, f"Q31 error: step from {believed.value}{hint}"), gap


@dataclass(frozen=True)
class FaultWatch:
    """What is remembered of a counter of what passed while the device was in fault; ``told`` is its last event."""

    known: Baseline
    told: Baseline | None = None


def judge_fault(
    watch: FaultWatch | None, reading: Reading, rules: RuleSet
) -> tuple[FaultWatch | None, Decimal | None, tuple[Baseline, Baseline] | None]:
    """Return by how much an error counter grew, and from what to what it is to be made an event.

    A device in fault for long makes one event an hour; a counter that goes back has grown by nothing.
    """
    rule = rules.rule("Q31")
    if rule.is_off or not reading.is_valid or reading.value is None:
        return watch, None, None
    here = Baseline(reading.value, reading.time)
    if watch is None:
        return FaultWatch(here), None, None
    if reading.time <= watch.known.time:
        return watch, None, None
    grown = here.value - watch.known.value
    if grown <= 0:
        return replace(watch, known=here), None, None
    least = timedelta(seconds=int(rule.limit("event_s")))
    if watch.told is not None and here.time - watch.told.time < least:
        return replace(watch, known=here), grown, None
    return FaultWatch(here, here), grown, (watch.known, here)


def counted_in_fault(reading: Reading, grown: Decimal) -> Reading:
    """Mark a total that was read while its error counter grew: what it says of this time is not all that passed."""
    return _faulty(reading, f"Q31 counted in fault: {grown}") if reading.is_valid else reading


def _told(
    watch: TotalWatch, here: Baseline, reading: Reading, kind: StepKind, rules: RuleSet
) -> tuple[Gap | None, Mapping[StepKind, datetime]]:
    """Make a break of the count an event, unless one of its kind was a short while ago: readings name every one."""
    last, least = watch.told.get(kind), timedelta(seconds=int(rules.rule("Q31").limit("event_s")))
    if last is not None and here.time - last < least:
        return None, watch.told
    said = f"Q31 {kind}: from {watch.believed.value} to {here.value}"
    return Gap(reading.channel, watch.believed.time, here.time, said), {**watch.told, kind: here.time}


def _hint(believed: Baseline, here: Baseline, rule: Totaliser) -> str:
    """Say so when the words, read in the other order, would make a plausible total."""
    other = swapped_words(here.value)
    if other is None:
        return ""
    step = judge_step(believed.value, other, here.time - believed.time, rule)
    return f"; Q31 with swapped words {other}" if step.kind is StepKind.NORMAL else ""


def _faulty(reading: Reading, said: str) -> Reading:
    return replace(reading, flag=Flag.FAULT, reason=_joined(reading.reason, said))


def _joined(reason: str, said: str) -> str:
    return "; ".join(one for one in (said, reason) if one)
