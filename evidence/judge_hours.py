"""Checks of minutes, hours and longer periods: Q07 to Q12 and Q14.

Pure functions of minute and hour values; the gateway asks Q07 and Q08 when it seals an hour, the others are for
whoever has the whole period. A period not operating is never called incomplete.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from evidence.hours import HourState, HourValue, minutes_needed
from evidence.judge_finding import Finding, active, found
from evidence.judge_rules import RuleSet, Severity
from evidence.marks import Mark, MarkKind
from evidence.minutes import MinuteValue
from evidence.reading import Flag

_FEBRUARY = 2


def minute_validity(minute: MinuteValue, rules: RuleSet) -> Finding | None:
    """Q07: too few valid readings in the minute."""
    rule = active(rules, "Q07")
    if rule is None or minute.is_valid:
        return None
    return found(rule, f"{minute.valid} valid readings of {minute.expected} expected")


def hour_validity(hour: HourValue, rules: RuleSet) -> Finding | None:
    """Q08: too few valid minutes while operating."""
    rule = active(rules, "Q08")
    if rule is None or hour.state is not HourState.INVALID:
        return None
    needed = minutes_needed(hour.operating, rules)
    return found(rule, f"{hour.valid} valid minutes of {hour.operating} operating, {needed} needed")


def quadrants(hour: HourValue, rules: RuleSet) -> Finding | None:
    """Q09: a quarter of an operating hour without valid data."""
    rule = active(rules, "Q09")
    if rule is None or all(hour.quarters):
        return None
    lacking = ", ".join(str(at + 1) for at, holds in enumerate(hour.quarters) if not holds)
    return found(rule, f"no data in quarter {lacking}")


def european_hour(hour: HourValue, rules: RuleSet) -> Finding | None:
    """Q10: less than 80 % of the possible readings."""
    rule = active(rules, "Q10")
    if rule is None or hour.state is HourState.NOT_OPERATING or hour.share >= rule.limit("share"):
        return None
    return found(rule, f"{hour.share:.4f} of the possible readings")


def day_completeness(states: Sequence[HourState], rules: RuleSet) -> Finding | None:
    """Q11 for a day: fewer than 20 valid hours; hours not operating are taken off the day and off the demand alike."""
    rule = active(rules, "Q11")
    operating = [state for state in states if state is not HourState.NOT_OPERATING]
    if rule is None or not operating:
        return None
    valid = sum(1 for state in operating if state is HourState.VALID)
    needed = min(rule.limit("day_hours"), rule.limit("day_hours") * len(operating) / 24)
    return None if valid >= needed else found(rule, f"{valid} valid hours of {len(operating)} operating in the day")


def month_completeness(month: date, valid_days: int, idle_days: int, rules: RuleSet) -> Finding | None:
    """Q11 for a month: fewer than 25 valid days (February 23); days without any operation are taken off."""
    rule = active(rules, "Q11")
    if rule is None:
        return None
    needed = rule.limit("february_days" if month.month == _FEBRUARY else "month_days") - idle_days
    return None if valid_days >= needed else found(rule, f"{valid_days} valid days in {month:%Y-%m}")


def quarter_completeness(states: Sequence[HourState], rules: RuleSet) -> Finding | None:
    """Q11 for a quarter: capture below 90 % warns, below 75 % is an error."""
    rule = active(rules, "Q11")
    operating = [state for state in states if state is not HourState.NOT_OPERATING]
    if rule is None or not operating:
        return None
    rate = Decimal(sum(1 for state in operating if state is HourState.VALID)) / len(operating)
    if rate >= rule.limit("quarter_warn"):
        return None
    severity = Severity.WARNING if rate >= rule.limit("quarter_error") else Severity.ERROR
    return found(rule, f"capture rate {rate:.4f} in the quarter", severity)


def flag_of_period(flag: Flag, parts: Sequence[Flag], rules: RuleSet) -> Finding | None:
    """Q12: flag N although less than 75 % of the parts are N, or another flag although they are."""
    rule = active(rules, "Q12")
    if rule is None or not parts:
        return None
    share = Decimal(sum(1 for part in parts if part is Flag.NORMAL)) / len(parts)
    if (flag is Flag.NORMAL) == (share >= rule.limit("share")):
        return None
    return found(rule, f"flag {flag} with {share:.4f} of the parts normal")


def mark_against_values(
    marks: Sequence[Mark],
    rules: RuleSet,
    *,
    oxygen: Decimal | None = None,
    co2: Decimal | None = None,
    is_fuel_moving: bool | None = None,
) -> Finding | None:
    """Q14: a stop is marked but the stack says it runs, or the reverse; percents of volume of one hour.

    The reverse needs all that is known to say so: air in the stack, no CO2, and no fuel.
    """
    rule = active(rules, "Q14")
    if rule is None:
        return None
    runs = []
    if oxygen is not None and oxygen < rule.limit("stopped_oxygen"):
        runs.append(f"oxygen is {oxygen} %")
    if co2 is not None and co2 > rule.limit("stopped_co2"):
        runs.append(f"CO2 is {co2} %")
    if is_fuel_moving:
        runs.append("fuel moves")
    is_stopped = any(mark.kind is MarkKind.STOP for mark in marks)
    if is_stopped:
        return found(rule, f"stop is marked, but {' and '.join(runs)}") if runs else None
    is_air = oxygen is not None and oxygen >= rule.limit("running_oxygen")
    if is_air and not runs and not marks and (co2 is not None or is_fuel_moving is False):
        return found(rule, f"no stop is marked, but oxygen is {oxygen} %")
    return None
