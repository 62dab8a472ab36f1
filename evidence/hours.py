"""Hour values from minute values: 45 valid minutes, the operating fraction, and what other regimes would say.

An hour in which the plant did not run is *not operating* (停运), which is neither valid nor invalid. An hour that ran
in part needs the same share of its operating minutes. The US quadrant rule and the EU 80 % are informational.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum

from evidence.judge_rules import RuleSet
from evidence.marks import Mark, MarkKind
from evidence.minutes import MINUTE, MinuteValue, dominant_flag, mean_of
from evidence.reading import Flag

MINUTES = 60
HOUR = timedelta(hours=1)
_QUARTER = 15


class HourState(StrEnum):
    """What an hour is worth."""

    VALID = "valid"
    INVALID = "invalid"
    NOT_OPERATING = "not-operating"


@dataclass(frozen=True)
class HourValue:
    """What one channel did in one hour of operation.

    ``operating`` counts minutes, ``top`` is their fraction of the hour. ``quarters`` says of each quarter of an hour
    whether the US rule holds in it: one valid minute, or no operation at all. ``share`` is the part of the possible
    readings that is valid, for the EU's 80 %.
    """

    channel: str
    start: datetime
    state: HourState
    mean: Decimal | None
    valid: int
    operating: int
    flag: Flag
    dominant: Flag
    quarters: tuple[bool, bool, bool, bool]
    share: Decimal
    is_lower_bound: bool = False

    @property
    def top(self) -> Decimal:
        """Operating fraction of the hour."""
        return Decimal(self.operating) / MINUTES

    @property
    def is_valid(self) -> bool:
        """Whether the hour counts as measured."""
        return self.state is HourState.VALID


def operating_minutes(
    start: datetime, marks: Collection[Mark], channel: str, subject: str | None
) -> frozenset[datetime]:
    """Return the minutes of an hour that no mark calls a stop."""
    stops = [mark for mark in marks if mark.kind is MarkKind.STOP and mark.concerns(channel, subject)]
    minutes = (start + index * MINUTE for index in range(MINUTES))
    return frozenset(minute for minute in minutes if not any(mark.covers(minute) for mark in stops))


def minutes_needed(operating: int, rules: RuleSet) -> int:
    """Return how many valid minutes an hour with so many operating minutes needs: 45 of 60, the same share of fewer."""
    rule = rules.rule("Q08")
    if operating >= MINUTES:
        return int(rule.limit("minutes"))
    return int((rule.limit("share") * operating).to_integral_value(ROUND_CEILING))


def hour_value(
    start: datetime,
    channel: str,
    minutes: Sequence[MinuteValue],
    rules: RuleSet,
    *,
    operating: Collection[datetime] | None = None,
    range_high: Decimal | None = None,
) -> HourValue:
    """Make the hour from its minutes.

    ``operating`` holds the starts of the minutes in which the plant ran; None stands for all sixty. Minutes outside
    it do not enter the mean. An hour that is invalid because most of it lay above the measuring range has the end of
    that range, ``range_high``, as its value: a lower bound (check Q16).
    """
    ran = frozenset(start + index * MINUTE for index in range(MINUTES)) if operating is None else frozenset(operating)
    inside: Mapping[datetime, MinuteValue] = {
        one.start: one for one in minutes if start <= one.start < start + HOUR and one.start in ran
    }
    valid = [one for one in inside.values() if one.is_valid]
    expected = max((one.expected for one in minutes), default=1) * len(ran)
    read = sum(min(one.valid, one.expected) for one in inside.values())
    if not ran:
        state = HourState.NOT_OPERATING
    else:
        state = HourState.VALID if len(valid) >= minutes_needed(len(ran), rules) else HourState.INVALID
    dominant = dominant_flag(one.dominant for one in inside.values()) if inside else Flag.NO_COMMUNICATION
    mean = mean_of([one.mean for one in valid if one.mean is not None]) if state is HourState.VALID else None
    if state is HourState.INVALID and dominant is Flag.OVER_RANGE:
        mean = range_high
    return HourValue(
        channel=channel,
        start=start,
        state=state,
        mean=mean,
        valid=len(valid),
        operating=len(ran),
        flag={HourState.VALID: Flag.NORMAL, HourState.NOT_OPERATING: Flag.STOPPED}.get(state, Flag.FAULT),
        dominant=dominant,
        quarters=_quarters(start, ran, {one.start for one in valid}),
        share=Decimal(read) / expected if expected else Decimal(0),
        is_lower_bound=any(one.is_lower_bound for one in inside.values()),
    )


def _quarters(start: datetime, ran: Collection[datetime], valid: Collection[datetime]) -> tuple[bool, bool, bool, bool]:
    def holds(quarter: int) -> bool:
        minutes = {start + index * MINUTE for index in range(quarter * _QUARTER, (quarter + 1) * _QUARTER)}
        return not minutes & set(ran) or bool(minutes & set(valid))

    return (holds(0), holds(1), holds(2), holds(3))
