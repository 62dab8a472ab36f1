"""The usual reading: valid, in time, in range. Most readings are, and no check has anything to say of them.

What the checks would compare with is worked out once for a channel, so that a usual reading costs a few comparisons.
Every other reading, and any of which this is not sure, goes through the checks one by one (`judge.py`); both come to
the same verdict.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from evidence.channel import Channel, ChannelKind
from evidence.encoding import FIRST_YEAR, LAST_YEAR
from evidence.judge_finding import active
from evidence.judge_rules import RuleSet
from evidence.judge_time import POLLED, Instant, allowed, seconds
from evidence.judge_value import Limits, is_recordable, minutes
from evidence.reading import Flag, Reading


@dataclass(frozen=True, slots=True)
class Usual:
    """Between what limits a reading of one channel breaks no check; None where there is no limit."""

    unit: str
    ahead: timedelta | None
    """Of the gateway's clock (Q03)."""
    jump: timedelta | None
    """Since the reading before (Q04)."""
    silence: timedelta | None
    """Since the last measurement (Q06)."""
    offset: timedelta | None
    """Between the device's time and the gateway's (Q05)."""
    is_polled: bool
    """Whether the gateway stamps it, so that a device's time beside it must be looked at."""
    low: Decimal | None
    high: Decimal | None
    """The narrowest of Q15 to Q17."""
    unchanged: timedelta | None
    """With the very same value (Q18)."""

    def covers(
        self,
        reading: Reading,
        now: datetime,
        *,
        newest: datetime | None,
        last: datetime | None,
        alive: datetime | None,
        same: Instant | None,
    ) -> bool:
        """Tell whether no check but that of totals can find anything."""
        time, value = reading.time, reading.value
        if reading.flag is not Flag.NORMAL or value is None or reading.imported or reading.unit != self.unit:
            return False
        if newest is not None and time <= newest:  # a repetition, or out of order
            return False
        if not FIRST_YEAR <= time.year <= LAST_YEAR or (self.ahead is not None and time - now > self.ahead):
            return False
        if last is not None and self.jump is not None and time - last > self.jump:
            return False
        if alive is not None and self.silence is not None and time - alive > self.silence:
            return False
        is_told = bool(reading.device_time) and self.offset is not None
        if is_told and (self.is_polled or abs(time - reading.received) > (self.offset or timedelta(0))):
            return False
        if not is_recordable(value):
            return False
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            return False
        is_same = same is not None and same.value == value
        return not (same is not None and is_same and self.unchanged is not None and time - same.time > self.unchanged)


def usual_of(
    channel: Channel, rules: RuleSet, limits: Limits, span: Limits, quantity: str, *, is_sparse: bool
) -> Usual:
    """Work out the limits of a channel's usual readings."""
    ahead, order, gap = active(rules, "Q03"), active(rules, "Q04"), active(rules, "Q06")
    offset, stuck = active(rules, "Q05"), active(rules, "Q18")
    low, high = _range(channel, rules, limits, span, quantity)
    return Usual(
        channel.unit,
        None if ahead is None else seconds(ahead.limit("ahead_s")),
        None if order is None or is_sparse else allowed(channel.poll, order.limit("intervals"), order.limit("slack_s")),
        None if gap is None or is_sparse else allowed(channel.poll, gap.limit("polls"), gap.limit("slack_s")),
        None if offset is None else seconds(offset.limit("warn_s")),
        channel.via == POLLED,
        low,
        high,
        None if stuck is None or channel.kind is not ChannelKind.VALUE else minutes(stuck.limit("minutes")),
    )


def _range(
    channel: Channel, rules: RuleSet, limits: Limits, span: Limits, quantity: str
) -> tuple[Decimal | None, Decimal | None]:
    lows: list[Decimal | None] = []
    highs: list[Decimal | None] = []
    if active(rules, "Q15") is not None:
        known = rules.range_of(quantity, channel.unit)
        lows += [limits.low, None if known is None else known.low]
        highs += [limits.high, None if known is None else known.high]
    if active(rules, "Q16") is not None:
        highs.append(span.high)
    if active(rules, "Q17") is not None and rules.may_not_be_negative(quantity):
        lows.append(Decimal(0))
    return max(_known(lows), default=None), min(_known(highs), default=None)


def _known(limits: list[Decimal | None]) -> list[Decimal]:
    return [one for one in limits if one is not None]
