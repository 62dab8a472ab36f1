"""Hours of a plant's stack channels (CEMS) in a month, from segments and `config` and mark events alone.

    segment entries (n, valid, sum, minutes) ─┐
    config: quantity, rules with overrides   ─┼▶ hour values ─▶ checks Q09-Q12, Q14 (`stack_checks.py`), substitution
    marks of operation                       ─┘

No reading is needed: each entry says of every minute whether it is valid. The mean of an hour is that of its valid
readings. A mark counts when it was signed before the last covered segment of its gateway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from accounting.channels import config_at, configs_by_channel
from accounting.cover import Covered, month_entries
from accounting.exact import exact_sum
from accounting.period import Month
from evidence.channel import Channel, ChannelKind
from evidence.encoding import parse_decimal
from evidence.hours import HOUR, MINUTES, HourState, HourValue, hour_value, operating_minutes
from evidence.judge_rules import RuleSet, rules_of
from evidence.marks import Mark
from evidence.minutes import MEAN, MINUTE, MinuteValue
from evidence.reading import Flag
from evidence.stack import NOTHING, has_minutes, joined_letters, minute_starts
from evidence.statement import Statement

_WHOLE = Flag.NORMAL.value * MINUTES


@dataclass
class HourEntries:
    """What the segments say of one hour of a channel."""

    n: int = 0
    valid: int = 0
    sums: list[Decimal] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)
    code: str = ""
    """The method code signed last, of a derived channel."""

    @property
    def minutes(self) -> str:
        """One letter for each minute."""
        return joined_letters(self.letters)

    @property
    def mean(self) -> Decimal | None:
        """Mean of the valid readings."""
        return MEAN.divide(exact_sum(self.sums), Decimal(self.valid)) if self.valid and self.sums else None


@dataclass(frozen=True)
class StackChannel:
    """One channel of a stack: what was declared of it last, its rules, and what the month's segments say.

    ``rules`` is None where the rule set that its gateway named is not known here: then nothing is judged.
    """

    gw: str
    channel: Channel
    rules: RuleSet | None
    entries: Mapping[datetime, HourEntries]
    marks: tuple[Mark, ...]

    @property
    def where(self) -> str:
        """How issues name it."""
        return f"{self.gw}/{self.channel.id}"

    @property
    def quantity(self) -> str:
        """What it measures."""
        return self.channel.stack.quantity if self.channel.stack is not None else ""

    @property
    def has_minutes(self) -> bool:
        """Whether its hours can be judged by their minutes."""
        return has_minutes(self.channel.poll)

    def hours(self, month: Month) -> list[HourValue]:
        """Return every hour of the month, those without a segment included, judged by its rules."""
        if self.rules is None:
            return []
        return [self._hour(start, self.rules) for start in (month.start + at * HOUR for at in range(month.hours))]

    def marks_in(self, hour: datetime) -> list[Mark]:
        """Return the marks that speak of the channel in an hour."""
        return [one for one in self.marks if one.start < hour + HOUR and one.end > hour]

    def _hour(self, start: datetime, rules: RuleSet) -> HourValue:
        said = self.entries.get(start, HourEntries())
        expected = MINUTE // self.channel.poll
        if said.minutes == _WHOLE and not self.marks_in(start):
            return self._whole(start, said, expected)
        minutes = [
            _minute(self.channel.id, at, letter, expected)
            for at, letter in zip(minute_starts(start), said.minutes, strict=True)
            if letter != NOTHING
        ]
        ran = operating_minutes(start, self.marks_in(start), self.channel.id, self.channel.subject)
        value = hour_value(start, self.channel.id, minutes, rules, operating=ran)
        possible = expected * len(ran)
        share = Decimal(min(said.valid, possible)) / possible if possible else Decimal(0)
        return replace(value, share=share, mean=said.mean if value.state is HourState.VALID else None)

    def _whole(self, start: datetime, said: HourEntries, expected: int) -> HourValue:
        """The usual hour, of sixty valid minutes and no mark, without looking at each."""
        share = Decimal(min(said.valid, MINUTES * expected)) / (MINUTES * expected)
        return HourValue(
            channel=self.channel.id,
            start=start,
            state=HourState.VALID,
            mean=said.mean,
            valid=MINUTES,
            operating=MINUTES,
            flag=Flag.NORMAL,
            dominant=Flag.NORMAL,
            quarters=(True, True, True, True),
            share=share,
        )


def stack_channels(covered: Covered, events: Iterable[Statement], month: Month) -> list[StackChannel]:
    """Collect the stack channels of a month's covered segments, by gateway and channel."""
    said = list(events)
    declared, marks = configs_by_channel(said), _marks(said, covered)
    entries: dict[tuple[str, str], dict[datetime, HourEntries]] = {}
    configs: dict[tuple[str, str], Mapping[str, Any]] = {}
    for segment in covered.segments:
        payload = segment.payload
        for hour, entry in month_entries(segment, month):
            known = declared.get((payload["gw"], payload["epoch"], entry["id"]), [])
            config = config_at(known, payload["seq"])
            if "stack" not in config:
                continue
            key = (payload["gw"], entry["id"])
            configs[key] = config
            _add(entries.setdefault(key, {}).setdefault(hour, HourEntries()), entry)
    return [_channel(gw, configs[gw, name], found, marks) for (gw, name), found in sorted(entries.items())]


def _channel(
    gw: str, config: Mapping[str, Any], entries: Mapping[datetime, HourEntries], marks: Sequence[Mark]
) -> StackChannel:
    channel = Channel.from_config(config)
    mine = tuple(one for one in marks if one.concerns(channel.id, channel.subject))
    return StackChannel(gw, channel, rules_of(config["stack"]["rules"]), entries, mine)


def _add(hour: HourEntries, entry: Mapping[str, Any]) -> None:
    hour.n += entry["n"]
    hour.valid += entry["valid"]
    if "sum" in entry:
        hour.sums.append(parse_decimal(entry["sum"]))
    if "minutes" in entry:
        hour.letters.append(entry["minutes"])
    hour.code = entry.get("code", hour.code)


def _marks(events: Iterable[Statement], covered: Covered) -> list[Mark]:
    """Return the marks signed by the covered gateways up to the last covered segment, whatever else is at hand."""
    last = last_covered(covered)
    found = []
    for event in events:
        payload = event.payload
        is_mark = payload["type"] == "maintenance" and payload["data"].get("record") == "mark"
        if is_mark and payload["seq"] <= last.get((payload["gw"], payload["epoch"]), 0):
            found.append(Mark.from_event(payload["data"]))
    return sorted(found, key=lambda one: (one.start, one.end, one.kind, one.entered))


def last_covered(covered: Covered) -> dict[tuple[str, int], int]:
    """Return the number of the last covered segment of each gateway and epoch."""
    return {(one.payload["gw"], one.payload["epoch"]): one.payload["seq"] for one in covered.segments}


def _minute(channel: str, start: datetime, letter: str, expected: int) -> MinuteValue:
    flag = Flag(letter)
    is_valid = flag is Flag.NORMAL
    return MinuteValue(
        channel,
        start,
        n=expected,
        valid=expected if is_valid else 0,
        expected=expected,
        mean=None,
        lowest=None,
        highest=None,
        flag=Flag.NORMAL if is_valid else Flag.FAULT,
        dominant=flag,
        is_lower_bound=flag is Flag.OVER_RANGE,
    )


def is_hourly(channel: Channel) -> bool:
    """Tell whether a channel's readings are hour values of an instrument or data logger."""
    return channel.kind is ChannelKind.VALUE and channel.poll == timedelta(hours=1)
