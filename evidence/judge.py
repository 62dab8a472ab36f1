"""Judgement of readings at the gateway: one frozen state in, one out, ``now`` is an argument.

    reading ─▶ repeats? (Q02) ─▶ times (Q03-Q06) ─▶ value (Q13, Q15-Q18) ─▶ device (Q28, Q34) ─▶ total (Q31) ─▶ verdict

Marks, never drops: a doubtful reading keeps its value and gets a reason that begins with the rule's id, and a flag
where the rule says so. Only an equal repetition may be dropped, and is counted. Limits are data (`judge_rules.py`).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from evidence.channel import Channel, ChannelKind
from evidence.judge_device import Calibrated, calibration_status, identity_changed
from evidence.judge_finding import Finding, found
from evidence.judge_rules import RuleSet, packaged_rules
from evidence.judge_time import LOGGER, Gap, Instant, clock_offset, duplicate, future, is_possible, order, silence
from evidence.judge_value import (
    Judged,
    Limits,
    flag_against_value,
    frozen,
    is_recordable,
    negative,
    over_range,
    physical_range,
)
from evidence.reading import Flag, Reading
from evidence.segment import Baseline
from evidence.totaliser import StepKind, Totaliser, judge_step, swapped_words

__all__ = [
    "Basis",
    "Circumstances",
    "Finding",
    "Gap",
    "Limits",
    "TotalWatch",
    "Verdict",
    "Watch",
    "decide",
    "is_recordable",
    "judge",
    "judge_total",
]


NO_LIMITS = Limits()
_NEVER_CALIBRATED = Calibrated()


@dataclass(frozen=True)
class TotalWatch:
    """What is believed of a running total, and a jump that waits for confirmation.

    ``is_below`` says that a power cut set the counter back: until it passes the believed value nothing is counted.
    """

    believed: Baseline
    suspect: Baseline | None = None
    is_below: bool = False


@dataclass(frozen=True)
class Basis:
    """What is known of a channel beforehand.

    ``limits`` are physical ones of this channel; ``span`` is the measuring range the instrument is set to;
    ``calibrated_every`` makes the channel one that must be calibrated; ``is_identity`` one that tells who the device
    is; ``is_sparse`` one that speaks only when something changed.
    """

    channel: Channel
    rules: RuleSet
    limits: Limits = NO_LIMITS
    quantity: str = ""
    span: Limits = NO_LIMITS
    calibrated_every: timedelta | None = None
    is_identity: bool = False
    is_sparse: bool = False


@dataclass(frozen=True)
class Circumstances:
    """What is known around a reading: marks that cover it, and that the device has lost power."""

    is_stopped: bool = False
    is_maintained: bool = False
    has_restarted: bool = False


@dataclass(frozen=True)
class Watch:
    """What the judge remembers of a channel."""

    recent: tuple[Instant, ...] = ()
    last: datetime | None = None
    alive: datetime | None = None
    why_silent: str = ""
    same: Instant | None = None
    total: TotalWatch | None = None
    calibrated: Calibrated = _NEVER_CALIBRATED
    identity: Instant | None = None


@dataclass(frozen=True)
class Verdict:
    """What became of a reading; ``is_repeat`` says that the very same one came before and this one may be dropped."""

    watch: Watch
    reading: Reading
    findings: tuple[Finding, ...] = ()
    gap: Gap | None = None
    is_repeat: bool = False


_USUAL = Circumstances()


def decide(
    watch: Watch, reading: Reading, basis: Basis, now: datetime, circumstances: Circumstances = _USUAL
) -> Verdict:
    """Judge one reading of a channel by the ones before it."""
    rules = basis.rules
    reading, findings = _recordable(reading, rules)
    if not reading.imported and basis.channel.via != LOGGER:
        # An import and a data logger's listener compare with the store themselves.
        is_repeat, said = duplicate(watch.recent, reading, rules)
        if is_repeat and said is not None:
            return Verdict(watch, _marked(reading, [said], None), (*findings, said), is_repeat=True)
        findings += [] if said is None else [said]
    ahead = future(reading, rules, now)
    if ahead is not None:
        findings.append(ahead)
        return Verdict(watch, _marked(reading, findings, rules.rule("Q03").flag), tuple(findings))
    gap = None
    broken = silence(watch.alive, watch.why_silent, reading, basis.channel.poll, rules, is_sparse=basis.is_sparse)
    if broken is not None:
        gap = broken[0]
        findings.append(broken[1])
    else:
        disorder = order(watch.last, reading, basis.channel.poll, rules, is_sparse=basis.is_sparse)
        findings += [] if disorder is None else [disorder]
    offset = clock_offset(reading, basis.channel, rules)
    findings += [] if offset is None else [offset]
    same, identity, judged = _by_value(watch, reading, basis, circumstances)
    watch = _noted(watch, reading, int(rules.rule("Q02").limit("remembered")), same, identity)
    findings += [one.finding for one in judged]
    flag = next((one.flag for one in judged if one.flag is not None), None)
    reading = _marked(reading, findings, flag)
    channel = basis.channel
    if channel.kind is ChannelKind.TOTAL and channel.totaliser is not None and not rules.rule("Q31").is_off:
        before = reading.reason
        total, reading = judge_total(watch.total, reading, channel.totaliser, has_restarted=circumstances.has_restarted)
        if total is not watch.total:
            watch = replace(watch, total=total)
        if reading.reason != before:
            detail = reading.reason.removesuffix(before).removesuffix("; ").removeprefix("Q31 ")
            findings.append(Finding("Q31", rules.rule("Q31").severity, detail))
    return Verdict(watch, reading, tuple(findings), gap)


def _by_value(
    watch: Watch, reading: Reading, basis: Basis, circumstances: Circumstances
) -> tuple[Instant | None, Instant | None, list[Judged]]:
    """Return since when the value is the same, who the device last said it is, and what was found."""
    rules, judged = basis.rules, []
    contradiction = flag_against_value(reading, rules)
    judged += [] if contradiction is None else [contradiction]
    if not reading.is_valid or reading.value is None:
        return None, watch.identity, judged
    below = negative(reading, basis.quantity, basis.span, rules)
    outside = (
        below or over_range(reading, basis.span, rules) or physical_range(reading, basis.limits, basis.quantity, rules)
    )
    judged += [] if outside is None else [outside]
    same, identity = None, watch.identity
    if basis.channel.kind is ChannelKind.VALUE and not circumstances.is_stopped:
        same = watch.same
        if same is None or same.value != reading.value:
            same = Instant(reading.time, reading.value, reading.flag)
        stuck = frozen(same.time, reading, rules)
        judged += [] if stuck is None else [stuck]
    if basis.calibrated_every is not None:
        overdue = calibration_status(watch.calibrated, basis.calibrated_every, reading.time, rules)
        judged += [] if overdue is None else [Judged(overdue, None)]
    if basis.is_identity:
        known = None if identity is None else identity.value
        changed = identity_changed(known, reading.value, rules, is_maintained=circumstances.is_maintained)
        judged += [] if changed is None else [Judged(changed, None)]
        identity = Instant(reading.time, reading.value, reading.flag)
    return same, identity, judged


def _noted(watch: Watch, reading: Reading, remembered: int, same: Instant | None, identity: Instant | None) -> Watch:
    here = Instant(reading.time, reading.value, reading.flag)
    alive, why = watch.alive, ""
    if reading.flag is Flag.NO_COMMUNICATION:
        why = watch.why_silent or reading.reason
    else:
        alive = reading.time if alive is None else max(alive, reading.time)
    recent = (*watch.recent, here)[-remembered:] if remembered else ()
    return Watch(recent, reading.time, alive, why, same, watch.total, watch.calibrated, identity)


def _marked(reading: Reading, findings: list[Finding], flag: Flag | None) -> Reading:
    if not findings:
        return reading
    said = "; ".join([*(str(one) for one in findings), *([reading.reason] if reading.reason else [])])
    return replace(reading, reason=said, flag=flag if flag is not None and reading.is_valid else reading.flag)


def _recordable(reading: Reading, rules: RuleSet) -> tuple[Reading, list[Finding]]:
    """Make a reading one that can be sealed, whatever a site turned off.

    An impossible time has no hour of its own: the reading is kept with the hour in which it came, and the device's own
    text beside it. A number without end, or longer than any instrument's, would not fit a statement.
    """
    findings: list[Finding] = []
    if not is_possible(reading.time):
        said = reading.device_time or reading.time.isoformat()
        reading = replace(reading, time=reading.received, device_time=said, flag=Flag.FAULT)
        findings.append(found(rules.rule("Q04"), "impossible time"))
    if reading.value is not None and not is_recordable(reading.value):
        reading = replace(reading, value=None, flag=Flag.FAULT)
        findings.append(found(rules.rule("Q15"), "number too long to record"))
    return reading, findings


_RULES = packaged_rules()


def judge(reading: Reading, limits: Limits, now: datetime) -> Reading:
    """Return the reading with the flag and reason that its value and time alone deserve."""
    reading, findings = _recordable(reading, _RULES)
    reading = _marked(reading, findings, None)
    if reading.flag is not Flag.NORMAL or reading.value is None:
        return reading
    ahead = future(reading, _RULES, now)
    if ahead is not None:
        return _marked(reading, [ahead], Flag.FAULT)
    outside = physical_range(reading, limits, "", _RULES)
    return reading if outside is None else _marked(reading, [outside.finding], outside.flag)


def judge_total(
    watch: TotalWatch | None, reading: Reading, rule: Totaliser, *, has_restarted: bool = False
) -> tuple[TotalWatch | None, Reading]:
    """Judge a total against the one before (check Q31).

    An impossible step is flagged as a fault until a second reading confirms it: a torn read is then forgotten,
    while after a change of meter the new count is believed and nothing is booked for the jump. Readings below the
    floor after a power cut are flagged too, so that whoever recomputes the hour books from the floor.
    """
    if not reading.is_valid or reading.value is None:
        return watch, reading
    here = Baseline(reading.value, reading.time)
    if watch is None:
        return TotalWatch(here), reading
    if reading.time <= watch.believed.time:
        return watch, reading
    believed = watch.believed
    step = judge_step(
        believed.value, here.value, here.time - believed.time, rule, restarted=has_restarted or watch.is_below
    )
    if step.kind is StepKind.BACKSTEP:
        return TotalWatch(believed, is_below=True), _faulty(
            reading, f"Q31 backstep: below {believed.value}, nothing used"
        )
    if step.kind is not StepKind.ERROR:
        said = "" if step.kind is StepKind.NORMAL else f"Q31 {step.kind}"
        return TotalWatch(Baseline(step.floor, here.time)), replace(reading, reason=_joined(reading.reason, said))
    if watch.suspect is not None and here.time > watch.suspect.time:
        again = judge_step(watch.suspect.value, here.value, here.time - watch.suspect.time, rule)
        if again.kind is StepKind.NORMAL:
            return TotalWatch(here), replace(reading, reason=_joined(reading.reason, "Q31 jump confirmed"))
    hint = _hint(believed, here, rule)
    return (
        TotalWatch(believed, here, watch.is_below),
        _faulty(reading, f"Q31 error: step from {believed.value}{hint}"),
    )


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
