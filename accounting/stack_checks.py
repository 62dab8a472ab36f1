"""Checks of a month's stack hours: Q09, Q10, Q11, Q12 and Q14, with the limits of each channel's rule set.

The rules are `evidence.judge_hours`; here they meet the hours of a whole month. What the rule's severity asks for
becomes an issue of the month: one of severity E or W for each channel and rule, however many hours it is about. I is
for the page alone. The quarter of Q11 needs three months and is judged where they are at hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from accounting.cems_rules import packaged_rules, rules_named
from accounting.cover import Covered, month_entries
from accounting.issues import Issue, IssueCode
from accounting.period import Month
from accounting.stack_hours import StackChannel, is_hourly
from evidence.encoding import parse_decimal
from evidence.hours import HOUR, MINUTES, HourState, HourValue
from evidence.judge_finding import Finding, active, found
from evidence.judge_hours import (
    day_completeness,
    european_hour,
    flag_of_period,
    mark_against_values,
    month_completeness,
    quadrants,
)
from evidence.judge_rules import RuleSet, Severity
from evidence.reading import Flag

WORDS: Mapping[str, tuple[str, str]] = {
    "Q03": ("未来时间的读数", "readings of the future"),
    "Q05": ("设备时钟偏差超过错误限", "the device's clock off beyond the error limit"),
    "Q09": ("有刻钟没有有效数据的小时", "hours with a quarter without valid data"),
    "Q11": ("有效数据不足", "too few valid data"),
    "Q12": ("小时标记与其各部分不符的小时", "hours whose flag is not what their parts say"),
    "Q13": ("标记与数值矛盾的读数", "readings whose flag and value contradict each other"),
    "Q14": ("停运标记与烟气数值矛盾的小时", "hours whose stop mark and stack values contradict each other"),
    "Q26": ("方法代码不被允许的小时", "hours with a method code that was not permitted"),
    "Q31": ("累计量清零或跳变", "resets or impossible steps of a counter"),
    "Q34": ("设备身份变化而无维护记录", "changes of the device's identity without a maintenance record"),
}
"""What is counted; the words are part of a month's body and stay as they are."""
_OXYGEN, _CO2 = "o2_concentration", "co2_concentration"


@dataclass(frozen=True)
class StackFinding:
    """A finding with its channel and the hour, day or month it is about (by its start)."""

    where: str
    start: datetime
    finding: Finding


def stack_findings(
    channels: Sequence[StackChannel],
    month: Month,
    fuel: Mapping[str, Mapping[datetime, bool]] | None = None,
    *,
    until: datetime | None = None,
) -> list[StackFinding]:
    """Check every stack channel of a month.

    `fuel` says by subject and hour whether fuel moved, where it is known. `until` cuts a month that still runs: hours
    that have not been are not missing, and the month as a whole is not judged.
    """
    cut = month if until is None else replace(month, end=max(min(until, month.end), month.start))
    checked: list[StackFinding] = []
    hours = {one.where: one.hours(cut) for one in channels if one.has_minutes}
    for one in channels:
        if one.rules is not None and one.has_minutes:
            checked += _of_hours(one, hours[one.where], one.rules)
            checked += _of_days(one, hours[one.where], month, one.rules, is_whole=cut.end == month.end)
            checked += _of_codes(one, hours[one.where], one.rules)
    return [*checked, *_period_flags(channels), *_marks_against_values(channels, hours, fuel or {})]


def _of_hours(channel: StackChannel, hours: Iterable[HourValue], rules: RuleSet) -> list[StackFinding]:
    found = []
    for hour in hours:
        for finding in (quadrants(hour, rules), european_hour(hour, rules)):
            if finding is not None:
                found.append(StackFinding(channel.where, hour.start, finding))
    return found


def _of_days(
    channel: StackChannel, hours: Sequence[HourValue], month: Month, rules: RuleSet, *, is_whole: bool
) -> list[StackFinding]:
    days: dict[date, list[HourValue]] = {}
    for hour in hours:
        days.setdefault(hour.start.astimezone(month.zone).date(), []).append(hour)
    found, valid, idle = [], 0, 0
    for day in days.values():
        states = [hour.state for hour in day]
        short = day_completeness(states, rules)
        if all(state is HourState.NOT_OPERATING for state in states):
            idle += 1
        elif short is None and _is_valid_day(states, rules):
            valid += 1
        if short is not None:
            found.append(StackFinding(channel.where, day[0].start, short))
    if not is_whole:
        return found
    whole = month_completeness(date.fromisoformat(f"{month.text}-01"), valid, idle, rules)
    return found if whole is None else [*found, StackFinding(channel.where, month.start, whole)]


def _of_codes(channel: StackChannel, hours: Iterable[HourValue], rules: RuleSet) -> list[StackFinding]:
    """Q26 of the codes that were signed: measured needs its minutes, not operating a stop that is marked."""
    rule, said = active(rules, "Q26"), channel.channel.derived
    if rule is None or said is None or said.rules["id"] not in packaged_rules():
        return []
    codes = rules_named(said.rules["id"]).codes
    broken = []
    for hour in hours:
        signed = channel.entries[hour.start].code if hour.start in channel.entries else ""
        lacks_minutes = signed == codes.measured.code and hour.state is HourState.INVALID
        runs = signed == codes.not_operating.code and hour.operating == MINUTES
        if lacks_minutes or runs:
            detail = f"code {signed}, with {hour.valid} valid minutes of {hour.operating} operating"
            broken.append(StackFinding(channel.where, hour.start, found(rule, detail)))
    return broken


def _is_valid_day(states: Sequence[HourState], rules: RuleSet) -> bool:
    """Count the day even where the site turned the finding off: the month asks for valid days all the same."""
    operating = sum(1 for state in states if state is not HourState.NOT_OPERATING)
    valid = sum(1 for state in states if state is HourState.VALID)
    needed = rules.rule("Q11").limit("day_hours")
    return valid >= min(needed, needed * operating / 24)


def _period_flags(channels: Sequence[StackChannel]) -> list[StackFinding]:
    """Q12: an hour value of a data logger against the finer values of the same quantity, device and subject."""
    found = []
    for coarse in (one for one in channels if is_hourly(one.channel)):
        for fine in channels:
            if coarse.rules is None or not _are_parts(fine, coarse):
                continue
            for start, said in sorted(coarse.entries.items()):
                parts = fine.entries.get(start)
                if parts is None:
                    continue
                flag = Flag.NORMAL if said.valid == said.n else Flag.FAULT
                possible = max(int(HOUR / fine.channel.poll), parts.n)
                flags = [Flag.NORMAL] * parts.valid + [Flag.FAULT] * (possible - parts.valid)
                finding = flag_of_period(flag, flags, coarse.rules)
                if finding is not None:
                    found.append(StackFinding(coarse.where, start, finding))
    return found


def _are_parts(fine: StackChannel, coarse: StackChannel) -> bool:
    mine, theirs = fine.channel, coarse.channel
    return mine.poll < theirs.poll and (fine.gw, mine.device, mine.subject, fine.quantity) == (
        coarse.gw,
        theirs.device,
        theirs.subject,
        coarse.quantity,
    )


def _marks_against_values(
    channels: Sequence[StackChannel],
    hours: Mapping[str, Sequence[HourValue]],
    fuel: Mapping[str, Mapping[datetime, bool]],
) -> list[StackFinding]:
    """Q14: oxygen and CO2 of one stack, in percent, against its marks; reported for the oxygen channel if there is one.

    What was read while the plant is said to stand is what contradicts, so that the means are of the readings, whatever
    the hour is worth.
    """
    stacks: dict[tuple[str, str], dict[str, StackChannel]] = {}
    for one in channels:
        if one.where in hours and one.channel.unit == "%" and one.quantity in (_OXYGEN, _CO2):
            stacks.setdefault((one.gw, one.channel.subject or one.channel.device), {}).setdefault(one.quantity, one)
    found = []
    for stack in stacks.values():
        first = stack.get(_OXYGEN) or stack[_CO2]
        if first.rules is None:
            continue
        burnt = fuel.get(first.channel.subject or "", {})
        for start in sorted({start for one in stack.values() for start in one.entries}):
            marks = first.marks_in(start)
            whole = [mark for mark in marks if mark.start <= start and mark.end >= start + HOUR]
            if marks and not whole:
                continue  # an hour that is marked in part has values of both kinds in its mean
            finding = mark_against_values(
                whole,
                first.rules,
                oxygen=_mean(stack.get(_OXYGEN), start),
                co2=_mean(stack.get(_CO2), start),
                is_fuel_moving=burnt.get(start),
            )
            if finding is not None:
                found.append(StackFinding(first.where, start, finding))
    return found


def _mean(channel: StackChannel | None, start: datetime) -> Decimal | None:
    said = None if channel is None else channel.entries.get(start)
    return None if said is None else said.mean


def fuel_hours(covered: Covered, month: Month, fuels: Mapping[str, frozenset[str]]) -> dict[str, dict[datetime, bool]]:
    """Tell of each subject and hour in which a counter of its fuels was read whether any of them moved.

    ``fuels`` are the channels of each subject's fuels.
    """
    found: dict[str, dict[datetime, bool]] = {subject: {} for subject in fuels}
    for segment in covered.segments:
        for hour, entry in month_entries(segment, month):
            amount = entry.get("use", entry.get("sum"))
            for subject, channels in fuels.items():
                if entry["id"] in channels and amount is not None:
                    found[subject][hour] = found[subject].get(hour, False) or parse_decimal(amount) > 0
    return found


def found_counts(covered: Covered, month: Month) -> Counter[tuple[str, str]]:
    """Count what gateways found of severity E when they sealed, by channel and rule."""
    counts: Counter[tuple[str, str]] = Counter()
    for segment in covered.segments:
        for _, entry in month_entries(segment, month):
            for rule, n in entry.get("found", {}).items():
                counts[f"{segment.payload['gw']}/{entry['id']}", rule] += n
    return counts


def quality_issues(
    findings: Iterable[StackFinding],
    counts: Mapping[tuple[str, str], int],
    channels: Iterable[StackChannel],
    month: Month,
) -> list[Issue]:
    """Return the issues of a month that its findings ask for, and one for each channel that could not be judged."""
    groups: dict[tuple[str, str, Severity], list[datetime]] = {}
    for one in findings:
        if one.finding.severity is not Severity.INFORMATION:
            groups.setdefault((one.where, one.finding.rule, one.finding.severity), []).append(one.start)
    issues = []
    for (where, rule, severity), starts in groups.items():
        zh, en = WORDS[rule]
        first = min(starts).astimezone(month.zone).isoformat(timespec="minutes")
        code = IssueCode.QUALITY_ERROR if severity is Severity.ERROR else IssueCode.QUALITY_REMARK
        issues.append(
            Issue(
                code,
                where,
                f"{rule} {zh}：{len(starts)} 处，首处 {first}",
                f"{rule} {en}: {len(starts)}, first {first}",
            )
        )
    for (where, rule), n in counts.items():
        zh, en = WORDS.get(rule, ("错误级检查", "a check of severity E"))
        issues.append(Issue(IssueCode.QUALITY_ERROR, where, f"{rule} {zh}：{n} 条", f"{rule} {en}: {n}"))
    for channel in channels:
        if channel.rules is None:
            zh, en = (
                "网关使用的质量规则集在此未知，未检查",
                "the quality rule set of the gateway is not known here: not checked",
            )
            issues.append(Issue(IssueCode.QUALITY_UNKNOWN, channel.where, zh, en))
    return issues
