"""Judgement of readings at the gateway: one frozen state in, one out, ``now`` is an argument.

    reading ─▶ usual? ─▶ total (Q31) ─▶ verdict; else:
    reading ─▶ repeats? (Q02) ─▶ times (Q03-Q06) ─▶ value (Q13, Q15-Q18) ─▶ device (Q28, Q34) ─▶ total (Q31) ─▶ verdict

Marks, never drops: a doubtful reading keeps its value and gets a reason that begins with the rule's id, and a flag
where the rule says so. Only an equal repetition may be dropped, and is counted. Limits are data (`judge_rules.py`).
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property

from evidence.channel import Channel, ChannelKind
from evidence.judge_device import Calibrated, calibration_status, identity_changed
from evidence.judge_finding import Finding, found
from evidence.judge_rules import RuleSet, packaged_rules
from evidence.judge_time import LOGGER, Gap, Instant, clock_offset, duplicate, future, is_possible, order, silence
from evidence.judge_total import TotalWatch, counted_in_fault, judge_total
from evidence.judge_usual import Usual, usual_of
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

__all__ = [
    "TIME_UNCERTAIN",
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
    "uncertain",
]


NO_LIMITS = Limits()
TIME_UNCERTAIN = "time uncertain"
"""Begins the reason of a reading that came while the gateway's own clock was not to be trusted."""
_NEVER_CALIBRATED = Calibrated()


@dataclass(frozen=True)
class Basis:
    """What is known of a channel beforehand.

    ``limits`` are physical ones of this channel; ``span`` is the measuring range the instrument is set to;
    ``calibrated_every`` makes the channel one that must be calibrated; ``is_identity`` one that tells who the device
    is; ``is_sparse`` one that speaks only when something changed; ``clock_allowed_s`` is how far the
    clock of its device may be off by the device's profile.
    """

    channel: Channel
    rules: RuleSet
    limits: Limits = NO_LIMITS
    quantity: str = ""
    span: Limits = NO_LIMITS
    calibrated_every: timedelta | None = None
    is_identity: bool = False
    is_sparse: bool = False
    clock_allowed_s: Decimal | None = None

    @cached_property
    def usual(self) -> Usual | None:
        """What a reading of which nothing is to be said looks like; None where every one must be looked at."""
        if self.is_identity or self.calibrated_every is not None:
            return None
        return usual_of(self.channel, self.rules, self.limits, self.span, self.quantity, is_sparse=self.is_sparse)

    @cached_property
    def remembered(self) -> int:
        """How many readings are kept to know a repetition by (Q02)."""
        return int(self.rules.rule("Q02").limit("remembered"))


@dataclass(frozen=True)
class Circumstances:
    """What is known around a reading: marks that cover it, and that the device has lost power."""

    is_stopped: bool = False
    is_maintained: bool = False
    has_restarted: bool = False
    of_device: tuple[Finding, ...] = ()
    """What was found of its device and is to be said of this reading."""
    in_fault: Decimal | None = None
    """By how much its device's error counter grew since the poll before."""


@dataclass(frozen=True)
class Watch:
    """What the judge remembers of a channel; ``newest`` is the latest time it has seen, ``last`` the one before."""

    recent: tuple[Instant, ...] = ()
    newest: datetime | None = None
    last: datetime | None = None
    alive: datetime | None = None
    why_silent: str = ""
    same: Instant | None = None
    total: TotalWatch | None = None
    calibrated: Calibrated = _NEVER_CALIBRATED
    identity: Instant | None = None

    def with_total(self, total: TotalWatch | None) -> "Watch":
        """Return the same with another total; every reading of a total does this, and `replace` is slow."""
        return Watch(
            self.recent,
            self.newest,
            self.last,
            self.alive,
            self.why_silent,
            self.same,
            total,
            self.calibrated,
            self.identity,
        )


@dataclass(frozen=True)
class Verdict:
    """What became of a reading.

    ``is_repeat`` says that the very same one came before and this one may be dropped; ``is_apart`` that its time keeps
    it out of what the channel is remembered by.
    """

    watch: Watch
    reading: Reading
    findings: tuple[Finding, ...] = ()
    gaps: tuple[Gap, ...] = ()
    is_repeat: bool = False
    is_apart: bool = False


_USUAL = Circumstances()


def decide(
    watch: Watch, reading: Reading, basis: Basis, now: datetime, circumstances: Circumstances = _USUAL
) -> Verdict:
    """Judge one reading of a channel by the ones before it."""
    usual = basis.usual
    if (
        usual is None
        or circumstances.is_stopped
        or circumstances.of_device
        or not usual.covers(reading, now, newest=watch.newest, last=watch.last, alive=watch.alive, same=watch.same)
    ):
        verdict = _looked_at(watch, reading, basis, now, circumstances)
    else:
        same = _same(watch, reading) if basis.channel.kind is ChannelKind.VALUE else None
        verdict = Verdict(_noted(watch, reading, basis.remembered, same, watch.identity), reading)
    if basis.channel.totaliser is None or verdict.is_repeat or verdict.is_apart or basis.rules.rule("Q31").is_off:
        return verdict
    return _counted(verdict, basis, circumstances)


def _looked_at(watch: Watch, reading: Reading, basis: Basis, now: datetime, circumstances: Circumstances) -> Verdict:
    """Go through the checks one by one, but for that of totals."""
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
        return Verdict(watch, _marked(reading, findings, rules.rule("Q03").flag), tuple(findings), is_apart=True)
    gaps: tuple[Gap, ...] = ()
    broken = silence(watch.alive, watch.why_silent, reading, basis.channel.poll, rules, is_sparse=basis.is_sparse)
    if broken is not None:
        gaps = () if broken[0] is None else (broken[0],)
        findings.append(broken[1])
    else:
        disorder = order(watch.last, reading, basis.channel.poll, rules, is_sparse=basis.is_sparse)
        findings += [] if disorder is None else [disorder]
    offset = clock_offset(reading, basis.channel, rules, basis.clock_allowed_s)
    findings += [*([] if offset is None else [offset]), *circumstances.of_device]
    same, identity, judged = _by_value(watch, reading, basis, circumstances)
    watch = _noted(watch, reading, basis.remembered, same, identity)
    findings += [one.finding for one in judged]
    flag = next((one.flag for one in judged if one.flag is not None), None)
    return Verdict(watch, _marked(reading, findings, flag), tuple(findings), gaps)


def _counted(verdict: Verdict, basis: Basis, circumstances: Circumstances) -> Verdict:
    """Add what the check of totals (Q31) says of a reading."""
    rule, rules, before = basis.channel.totaliser, basis.rules, verdict.reading
    if rule is None:
        return verdict
    watch, findings, gaps = verdict.watch, verdict.findings, verdict.gaps
    if circumstances.in_fault is not None:
        before = counted_in_fault(before, circumstances.in_fault)
    total, reading, gap = judge_total(watch.total, before, rule, rules, has_restarted=circumstances.has_restarted)
    if gap is not None:
        gaps = (*gaps, gap)
    if total is not watch.total:
        watch = watch.with_total(total)
    if reading is verdict.reading and gap is None:
        return Verdict(watch, reading, findings, gaps)
    if reading.reason != verdict.reading.reason:
        detail = reading.reason.removesuffix(verdict.reading.reason).removesuffix("; ").removeprefix("Q31 ")
        findings = (*findings, Finding("Q31", rules.rule("Q31").severity, detail))
    return Verdict(watch, reading, findings, gaps)


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
        same = _same(watch, reading)
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


def _same(watch: Watch, reading: Reading) -> Instant:
    """Return since when the value is the same."""
    same = watch.same
    if same is None or same.value != reading.value:
        return Instant(reading.time, reading.value, reading.flag)
    return same


def _noted(watch: Watch, reading: Reading, remembered: int, same: Instant | None, identity: Instant | None) -> Watch:
    here = Instant(reading.time, reading.value, reading.flag)
    alive, why = watch.alive, ""
    if reading.flag is Flag.NO_COMMUNICATION:
        why = watch.why_silent or reading.reason
    else:
        alive = reading.time if alive is None else max(alive, reading.time)
    recent = (*watch.recent, here)[-remembered:] if remembered else ()
    newest = reading.time if watch.newest is None else max(watch.newest, reading.time)
    return Watch(recent, newest, reading.time, alive, why, same, watch.total, watch.calibrated, identity)


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


def uncertain(reading: Reading, rules: RuleSet) -> Reading:
    """Mark a reading whose time nobody can vouch for: it is kept with its value and enters no sum."""
    reading, findings = _recordable(reading, rules)
    reading = _marked(reading, findings, None)
    said = f"{TIME_UNCERTAIN}; {reading.reason}" if reading.reason else TIME_UNCERTAIN
    return replace(reading, flag=Flag.FAULT if reading.is_valid else reading.flag, reason=said)


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
