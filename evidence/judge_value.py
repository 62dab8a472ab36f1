"""Checks of a reading's value: Q13 and Q15 to Q18.

Each looks at one reading and what is known of its channel. A value is never changed: a small negative stays as it was
read and is *used* as 0 by the minute (`minutes.py`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from evidence.judge_finding import Finding, active, found
from evidence.judge_rules import RuleSet
from evidence.reading import Flag, Reading

MAX_DIGITS = 20
"""No instrument resolves more; a longer number is garbage, and a month's sum of it would not fit a statement."""


@dataclass(frozen=True)
class Limits:
    """Limits of a channel, in its unit; None where there is none."""

    low: Decimal | None = None
    high: Decimal | None = None

    @property
    def span(self) -> Decimal | None:
        """Width of the range, where both ends are known."""
        return None if self.low is None or self.high is None else self.high - self.low


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding and the flag that the reading gets from it; None where its flag stays."""

    finding: Finding
    flag: Flag | None


def is_recordable(value: Decimal) -> bool:
    """Tell whether a number is finite and short enough that sums of it fit a statement."""
    if not value.is_finite():
        return False
    text = str(value)
    if len(text) <= MAX_DIGITS and "E" not in text:
        return True
    return len(value.as_tuple().digits) <= MAX_DIGITS and abs(value.adjusted()) <= MAX_DIGITS


def flag_against_value(reading: Reading, rules: RuleSet) -> Judged | None:
    """Q13: a value that the logger could not have got, because there was no communication."""
    rule = active(rules, "Q13")
    if rule is None or reading.flag is not Flag.NO_COMMUNICATION or reading.value is None:
        return None
    return Judged(found(rule, f"no communication, yet a value of {reading.value}"), None)


def negative(reading: Reading, quantity: str, span: Limits, rules: RuleSet) -> Judged | None:
    """Q17: below zero where that cannot be; within 5 % of the measuring range it is drift, beyond it a fault."""
    rule = active(rules, "Q17")
    if rule is None or reading.value is None or reading.value >= 0 or not rules.may_not_be_negative(quantity):
        return None
    if span.span is None:
        return None
    if -reading.value <= span.span * rule.limit("span_share"):
        return Judged(found(rule, "small negative, used as 0"), None)
    return Judged(found(rule, f"negative beyond drift of a range of {span.span}"), rule.flag)


def over_range(reading: Reading, span: Limits, rules: RuleSet) -> Judged | None:
    """Q16: above the range the instrument is set to; the value is a lower bound."""
    rule = active(rules, "Q16")
    if rule is None or reading.value is None or span.high is None or reading.value <= span.high:
        return None
    return Judged(found(rule, f"above the range of {span.high}"), rule.flag)


def physical_range(reading: Reading, limits: Limits, quantity: str, rules: RuleSet) -> Judged | None:
    """Q15: outside what can be. The channel's own limits count, else those of its quantity in its unit."""
    rule = active(rules, "Q15")
    if rule is None or reading.value is None:
        return None
    known = rules.range_of(quantity, reading.unit)
    high = limits.high if limits.high is not None or known is None else known.high
    low = limits.low if limits.low is not None or known is None else known.low
    if high is not None and reading.value > high:
        return Judged(found(rule, f"above {high}"), Flag.OVER_RANGE)
    if low is not None and reading.value < low:
        return Judged(found(rule, f"below {low}"), rule.flag)
    return None


def frozen(since: datetime, reading: Reading, rules: RuleSet) -> Judged | None:
    """Q18: an analog value has been the very same for more than an hour."""
    rule = active(rules, "Q18")
    if rule is None:
        return None
    same = reading.time - since
    if same <= minutes(rule.limit("minutes")):
        return None
    return Judged(found(rule, f"the same value for {same // timedelta(minutes=1)} min"), None)


@lru_cache(maxsize=256)
def minutes(limit: Decimal) -> timedelta:
    """Make a limit in minutes a span."""
    return timedelta(microseconds=int(limit * 60_000_000))
