"""Minute and hour validity of sealed hours (checks Q07 and Q08), counted in the transaction that seals them."""

from __future__ import annotations

from collections.abc import Iterable

from evidence.encoding import parse_time, time_text
from evidence.hours import HOUR, HourState, HourValue, hour_value, operating_minutes
from evidence.judge_hours import hour_validity, minute_validity
from evidence.minutes import minute_values
from gateway.judgement import Judge
from gateway.quality_store import set_count
from gateway.reading_store import leaves_between
from gateway.store import Store


def count_hours(store: Store, judge: Judge, hours: Iterable[str]) -> None:
    """Judge minutes and hours of every channel that has them."""
    channels = judge.minute_channels()
    for hour in hours:
        for channel in channels:
            count_hour(store, judge, hour, channel)


def count_hour(store: Store, judge: Judge, hour: str, channel: str) -> None:
    """Judge the minutes and one hour of one channel."""
    found = _judged(store, judge, hour, channel)
    if found is not None:
        set_count(store, hour, "Q07", channel, found[1])
        broken = hour_validity(found[0], judge.bases[channel].rules) is not None
        set_count(store, hour, "Q08", channel, int(broken))


def _judged(store: Store, judge: Judge, hour: str, channel: str) -> tuple[HourValue, int] | None:
    """Return the hour of a channel and the number of operating minutes that are not valid."""
    start, basis = parse_time(hour), judge.bases[channel]
    leaves = leaves_between(store, channel, hour, time_text(start + HOUR))
    if not leaves:
        return None
    minutes = minute_values(leaves, basis.channel.poll, basis.rules, quantity=basis.quantity)
    ran = operating_minutes(start, judge.marks_of(channel), channel, basis.channel.subject)
    value = hour_value(start, channel, minutes, basis.rules, operating=ran, range_high=basis.span.high)
    if value.state is HourState.NOT_OPERATING or basis.rules.rule("Q07").is_off:
        return value, 0
    good = sum(1 for one in minutes if one.start in ran and minute_validity(one, basis.rules) is None)
    return value, len(ran) - good
