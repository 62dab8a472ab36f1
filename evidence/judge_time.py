"""Checks of a reading's times against the readings before it: Q02 to Q06.

A gateway's own poll is stamped by the gateway; a message or a logger's frame by the device. Imported readings are old
by nature and are not asked. Times are never corrected here; what is doubtful is said.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from evidence.channel import Channel, ChannelKind
from evidence.encoding import FIRST_YEAR, LAST_YEAR, parse_time, time_text
from evidence.errors import EvidenceError
from evidence.judge_finding import Finding, active, found
from evidence.judge_rules import Rule, RuleSet, Severity
from evidence.reading import Flag, Reading

NO_READINGS = "no readings"
POLLED = "modbus"
"""How a channel comes that the gateway polls and dates itself."""
LOGGER = "hj212"
"""How a channel comes (`via`) that a data logger forwards."""


@dataclass(frozen=True, slots=True)
class Instant:
    """What a channel said at one time."""

    time: datetime
    value: Decimal | None
    flag: Flag


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without measurements of a channel; the data of a ``gap`` event come from it."""

    channel: str
    start: datetime
    end: datetime
    reason: str

    def event_data(self) -> dict[str, str]:
        """Write the data of the ``gap`` event."""
        return {
            "channel": self.channel,
            "from": time_text(self.start),
            "to": time_text(self.end),
            "reason": self.reason,
        }


def is_possible(time: datetime) -> bool:
    """Tell whether a clock can show the time at all and a statement can hold it."""
    return FIRST_YEAR <= time.year <= LAST_YEAR


def duplicate(recent: tuple[Instant, ...], reading: Reading, rules: RuleSet) -> tuple[bool, Finding | None]:
    """Q02: tell whether the reading repeats an earlier one, and what is to be said of it.

    Equal ones may be dropped; one with another value stays beside the first as a conflict.
    """
    same_time = [one for one in recent if one.time == reading.time]
    rule = active(rules, "Q02") if same_time else None
    if rule is None:
        return False, None
    if any(one.value == reading.value and one.flag == reading.flag for one in same_time):
        return True, found(rule, "repeats an equal reading")
    return False, found(rule, f"conflict with {_said(same_time[-1])}")


def future(reading: Reading, rules: RuleSet, now: datetime) -> Finding | None:
    """Q03: the reading lies ahead of the gateway's clock."""
    rule = active(rules, "Q03")
    if rule is None or reading.time <= now + seconds(rule.limit("ahead_s")):
        return None
    return found(rule, "time lies in the future")


def order(
    last: datetime | None, reading: Reading, poll: timedelta, rules: RuleSet, *, is_sparse: bool
) -> Finding | None:
    """Q04: time goes back, or jumps over more than two intervals; a gap (Q06) is asked for before."""
    rule = active(rules, "Q04")
    if rule is None or last is None or reading.imported:
        return None
    step = reading.time - last
    if step < timedelta(0):
        return found(rule, f"time goes back by {_shown(-step)}")
    if is_sparse or reading.flag is Flag.NO_COMMUNICATION:
        return None
    if step > allowed(poll, rule.limit("intervals"), rule.limit("slack_s")):
        return found(rule, f"time jumps by {_shown(step)}")
    return None


def clock_offset(
    reading: Reading, channel: Channel, rules: RuleSet, allowed_s: Decimal | None = None
) -> Finding | None:
    """Q05: the device's time is off the gateway's by more than a minute, or by more than five (an error).

    A polled reading has the gateway's time; what the device's own clock showed stands beside it now and then, and
    ``allowed_s`` is what the device's profile allows it, unless the site says otherwise.

    An interval is stamped with its start, and so are a data logger's means (HJ 212, whose listener says itself what
    came late): being behind says nothing there. Elsewhere a late message looks like a slow clock.
    """
    rule = active(rules, "Q05")
    if rule is None or reading.imported or not reading.device_time:
        return None
    if channel.via == POLLED and reading.time == reading.received:
        return _polled_offset(reading, rule, allowed_s)
    offset = reading.time - reading.received
    if offset < timedelta(0) and (channel.kind is ChannelKind.INTERVAL or channel.via == LOGGER):
        return None
    if abs(offset) <= seconds(rule.limit("warn_s")):
        return None
    return _off(offset, rule)


def _polled_offset(reading: Reading, rule: Rule, allowed_s: Decimal | None) -> Finding | None:
    try:
        offset = parse_time(reading.device_time) - reading.received
    except EvidenceError:  # no time of a clock
        return None
    own = rule.limit("warn_s") if allowed_s is None else allowed_s
    return None if abs(offset) <= seconds(own) else _off(offset, rule)


def _off(offset: timedelta, rule: Rule) -> Finding:
    side = "ahead" if offset > timedelta(0) else "behind or late"
    severe = abs(offset) > seconds(rule.limit("error_s"))
    return found(rule, f"device {side} by {_shown(abs(offset))}", Severity.ERROR if severe else Severity.WARNING)


def silence(
    alive: datetime | None, why: str, reading: Reading, poll: timedelta, rules: RuleSet, *, is_sparse: bool
) -> tuple[Gap | None, Finding] | None:
    """Q06: the first measurement after more than three poll intervals without one.

    ``alive`` is the last answer of the device, ``why`` the reason that was given first for its silence. A gap shorter
    than ``event_s`` is said of the reading alone: every gap event is an issue of the month.
    """
    rule = active(rules, "Q06")
    if rule is None or alive is None or is_sparse or reading.imported or reading.flag is Flag.NO_COMMUNICATION:
        return None
    step = reading.time - alive
    if step <= allowed(poll, rule.limit("polls"), rule.limit("slack_s")):
        return None
    is_long = step >= seconds(rule.limit("event_s"))
    gap = Gap(reading.channel, alive, reading.time, why or NO_READINGS) if is_long else None
    return gap, found(rule, f"gap of {_shown(step)}")


def _said(instant: Instant) -> str:
    return "nothing" if instant.value is None else f"{instant.value}"


@lru_cache(maxsize=256)
def seconds(limit: Decimal) -> timedelta:
    """Make a limit in seconds a span."""
    return timedelta(microseconds=int(limit * 1_000_000))


@lru_cache(maxsize=1024)
def allowed(poll: timedelta, factor: Decimal, slack: Decimal) -> timedelta:
    """Return how long so many poll intervals may last."""
    return timedelta(microseconds=int(Decimal(poll // timedelta(microseconds=1)) * factor)) + seconds(slack)


def _shown(span: timedelta) -> str:
    return f"{span // timedelta(seconds=1)} s"
