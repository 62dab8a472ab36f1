"""Minute values of one channel, with the validity rule of HJ 212-2017 annex D (check Q07).

A minute is valid with 12 valid samples, or with 75 % of those that its poll interval lets expect. A small negative
value (Q17) is used as 0 and counted. The rule is for channels polled at least once a minute.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal

from evidence.judge_rules import RuleSet
from evidence.reading import Flag, Leaf, Reading

MINUTE = timedelta(minutes=1)
MEAN = Context(prec=34)
"""Digits of a mean: far more than any instrument has, and the same for everyone who computes it."""


@dataclass(frozen=True)
class MinuteValue:
    """What one channel did in one minute.

    ``flag`` is N for a valid minute, else D (the 75 % rule); ``dominant`` the most frequent flag of its readings.
    ``is_lower_bound`` says that readings above the range (T) lie in it; ``zeroed`` how many negatives were used as 0.
    """

    channel: str
    start: datetime
    n: int
    valid: int
    expected: int
    mean: Decimal | None
    lowest: Decimal | None
    highest: Decimal | None
    flag: Flag
    dominant: Flag
    is_lower_bound: bool = False
    zeroed: int = 0

    @property
    def is_valid(self) -> bool:
        """Whether the minute counts."""
        return self.flag is Flag.NORMAL


def minute_of(time: datetime) -> datetime:
    """Return the start of a moment's minute."""
    return time.replace(second=0, microsecond=0)


def expected_samples(poll: timedelta) -> int:
    """Return how many readings a minute should have.

    Raises:
        ValueError: the channel is polled less than once a minute and has no minute values.
    """
    if not timedelta(0) < poll <= MINUTE:
        raise ValueError(f"a channel polled every {poll} has no minute values")
    return MINUTE // poll


def is_minute_valid(valid: int, expected: int, rules: RuleSet) -> bool:
    """Tell whether so many valid readings of so many expected ones make a minute."""
    rule = rules.rule("Q07")
    return valid >= rule.limit("samples") or (valid > 0 and valid >= rule.limit("share") * expected)


def minute_values(
    readings: Iterable[Reading | Leaf], poll: timedelta, rules: RuleSet, *, quantity: str = ""
) -> list[MinuteValue]:
    """Return the minutes of one channel that have any reading, in order of time.

    Raises:
        ValueError: the channel is polled less than once a minute.
    """
    expected = expected_samples(poll)
    groups: dict[datetime, list[Reading | Leaf]] = {}
    for reading in readings:
        groups.setdefault(minute_of(reading.time), []).append(reading)
    is_zeroed = rules.may_not_be_negative(quantity)
    return [_minute(start, group, expected, rules, is_zeroed) for start, group in sorted(groups.items())]


def _minute(
    start: datetime, group: list[Reading | Leaf], expected: int, rules: RuleSet, is_zeroed: bool
) -> MinuteValue:
    values = [one.value for one in group if one.is_valid and one.value is not None]
    zeroed = sum(1 for value in values if value < 0) if is_zeroed else 0
    used = [max(value, Decimal(0)) for value in values] if zeroed else values
    is_valid = is_minute_valid(len(values), expected, rules)
    return MinuteValue(
        channel=group[0].channel,
        start=start,
        n=len(group),
        valid=len(values),
        expected=expected,
        mean=mean_of(used),
        lowest=min(used, default=None),
        highest=max(used, default=None),
        flag=Flag.NORMAL if is_valid else Flag.FAULT,
        dominant=dominant_flag(one.flag for one in group),
        is_lower_bound=any(one.flag is Flag.OVER_RANGE for one in group),
        zeroed=zeroed,
    )


def mean_of(values: list[Decimal]) -> Decimal | None:
    """Return the mean to 34 digits, or None of nothing."""
    if not values:
        return None
    total = Decimal(0)
    for value in values:
        total = MEAN.add(total, value)
    return MEAN.divide(total, Decimal(len(values)))


def dominant_flag(flags: Iterable[Flag]) -> Flag:
    """Return the most frequent flag; of equally frequent ones the first of the table of flags."""
    counts = Counter(flags)
    return max(Flag, key=lambda flag: counts[flag])
