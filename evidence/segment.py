"""What a segment says of its readings: per channel and hour, counts, exact sums and totaliser use.

A pure function of leaves, so that anyone who holds the leaves computes the same entries.

Two rules of time. A reading belongs to the hour of the plant's zone in which it lies, ``[from, to)``; a *total*
belongs to ``(from, to]``, because a counter read exactly at the limit closes the hour before it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Context, Decimal, Inexact, localcontext
from functools import lru_cache
from typing import Any

from evidence.channel import Channel, ChannelKind
from evidence.encoding import FIRST_YEAR, decimal_text, parse_decimal, time_text
from evidence.reading import Leaf
from evidence.stack import MinuteCounts, has_minutes
from evidence.totaliser import Step, judge_step

EXACT = Context(prec=200, traps=[Inexact])
"""Arithmetic that would rather fail than round."""
GAP_POLLS = 3
"""A difference over more poll intervals than this spans a gap (check Q06)."""
HOUR = timedelta(hours=1)
_TICK = timedelta(microseconds=1)
_QUARTER_S = 900
_MINUTE_KINDS = frozenset({ChannelKind.VALUE, ChannelKind.DERIVED})
_SUMS, _USE = ("sum", "min", "max"), ("first", "last", "use")
_PLAIN_SUMS = frozenset({ChannelKind.VALUE, ChannelKind.DERIVED, ChannelKind.INTERVAL})


@dataclass(frozen=True)
class Baseline:
    """The last valid total of a channel: what the next difference is taken from."""

    value: Decimal
    time: datetime


def hour_of(moment: datetime, zone: tzinfo) -> datetime:
    """Return the start, in UTC, of the local hour that holds a moment."""
    if moment.year < FIRST_YEAR:
        return _hour_of(moment, zone)
    return _hour_of_quarter(int(moment.timestamp()) // _QUARTER_S, zone)


@lru_cache(maxsize=4096)
def _hour_of_quarter(quarter: int, zone: tzinfo) -> datetime:
    """Offsets of all zones are whole quarters of an hour since 1972, so a quarter lies in one hour."""
    return _hour_of(datetime.fromtimestamp(quarter * _QUARTER_S, UTC), zone)


def _hour_of(moment: datetime, zone: tzinfo) -> datetime:
    local = moment.astimezone(zone)
    return local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)


def hour_of_leaf(leaf: Leaf, kind: ChannelKind, zone: tzinfo) -> datetime:
    """Return the start of the hour to which a reading belongs."""
    return hour_of(leaf.time - _TICK if kind is ChannelKind.TOTAL else leaf.time, zone)


def summarise(
    leaves: Iterable[Leaf],
    channels: Mapping[str, Channel],
    span_start: datetime,
    zone: tzinfo,
    baselines: Mapping[str, Baseline],
) -> tuple[list[dict[str, Any]], dict[str, Baseline]]:
    """Compute the ``ch`` entries of a segment from its leaves, in leaf order.

    Returns the entries, sorted by hour and channel, and the baselines for the next segment.

    Raises:
        KeyError: a leaf names a channel that was not declared.
    """
    groups: dict[tuple[datetime, str], list[Leaf]] = {}
    for leaf in leaves:
        hour = hour_of_leaf(leaf, channels[leaf.channel].kind, zone)
        groups.setdefault((hour, leaf.channel), []).append(leaf)
    span_hour, after, entries = hour_of(span_start, zone), dict(baselines), []
    for (hour, channel_id), group in sorted(groups.items()):
        said = ChannelHour(channels[channel_id], after.get(channel_id))
        said.add(group)
        if said.baseline is not None:
            after[channel_id] = said.baseline
        entry = said.entry()
        if hour != span_hour:
            entry["hour"] = time_text(hour)
        entries.append(entry)
    return entries, after


class ChannelHour:
    """The entry of one channel and hour while its leaves come in, in leaf order; it keeps none of them.

    ``baseline``: what the next difference of a total is taken from.
    """

    def __init__(self, channel: Channel, baseline: Baseline | None) -> None:
        self._channel, self.baseline = channel, baseline
        self._n = self._valid = 0
        self._sum: Decimal | None = None
        self._low: Decimal | None = None
        self._high: Decimal | None = None
        self._first: Decimal | None = None
        self._last = self._use = Decimal(0)
        self._spans_gap = False
        has_letters = channel.stack is not None and channel.kind in _MINUTE_KINDS and has_minutes(channel.poll)
        self._minutes = MinuteCounts(channel.poll, channel.stack) if has_letters and channel.stack else None

    def add(self, leaves: Sequence[Leaf]) -> None:
        """Take in the next leaves of the channel's hour.

        Raises:
            decimal.Inexact: a sum would need more digits than there are.
        """
        self._n += len(leaves)
        valid = [leaf for leaf in leaves if leaf.is_valid]
        self._valid += len(valid)
        with localcontext(EXACT):
            if self._channel.kind in _PLAIN_SUMS:
                self._add_values([leaf.value for leaf in valid if leaf.value is not None])
            elif self._channel.kind is ChannelKind.TOTAL:
                self._add_totals(valid)
        if self._minutes is not None:
            self._minutes.add(leaves)

    def entry(self) -> dict[str, Any]:
        """Return what the leaves so far come to, as an entry of ``ch``."""
        entry: dict[str, Any] = {"id": self._channel.id, "n": self._n, "valid": self._valid, **self.figures()}
        return entry if self._minutes is None else {**entry, "minutes": self._minutes.letters()}

    def figures(self) -> dict[str, Any]:
        """Return sum, min and max of values, or first, last and use of a total; nothing where nothing was valid."""
        if self._sum is not None and self._low is not None and self._high is not None:
            return {
                name: decimal_text(one) for name, one in zip(_SUMS, (self._sum, self._low, self._high), strict=True)
            }
        if self._first is None:
            return {}
        use = {name: decimal_text(one) for name, one in zip(_USE, (self._first, self._last, self._use), strict=True)}
        return {**use, "gap": True} if self._spans_gap else {**use}

    def _add_values(self, values: list[Decimal]) -> None:
        if not values:
            return
        if self._sum is None or self._low is None or self._high is None:
            self._sum, self._low, self._high = sum(values[1:], values[0]), min(values), max(values)
            return
        self._sum = sum(values, self._sum)
        self._low, self._high = min(self._low, *values), max(self._high, *values)

    def _add_totals(self, leaves: Sequence[Leaf]) -> None:
        channel = self._channel
        assert channel.totaliser is not None  # Channel insists on it
        for leaf in leaves:
            base = self.baseline
            if leaf.value is None or (base is not None and leaf.time <= base.time):
                continue
            step: Step | None = None
            if base is not None:
                elapsed = leaf.time - base.time
                step = judge_step(base.value, leaf.value, elapsed, channel.totaliser)
                self._spans_gap = self._spans_gap or elapsed > GAP_POLLS * channel.poll
                if step.use is not None:
                    self._use += step.use
            if self._first is None:
                self._first = leaf.value if base is None else base.value
            self._last = leaf.value
            self.baseline = Baseline(leaf.value if step is None else step.floor, leaf.time)


def entry_hour(entry: Mapping[str, Any], span: Sequence[str], zone: tzinfo) -> str:
    """Return the hour an entry of a parsed segment speaks of, as time text."""
    hour = entry.get("hour")
    return str(hour) if hour is not None else time_text(hour_of(datetime.fromisoformat(span[0]), zone))


class EntryRecount:
    """What the leaves of one entry say, while they come in, in leaf order; to be compared with the entry.

    What a total was counted from (`first`) is taken from the entry, whose predecessor ends with it; how long ago that
    was is not known here, so that the first difference may be any that the totaliser's rule has a name for.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._said = ChannelHour(channel, None)
        self._later: ChannelHour | None = None
        self._start = self._end = Decimal(0)

    def add(self, leaves: Sequence[Leaf]) -> None:
        """Take in the next leaves of the entry."""
        self._said.add(leaves)
        if self._channel.kind is not ChannelKind.TOTAL:
            return
        for leaf in leaves:
            if leaf.value is None or not leaf.is_valid:
                continue
            if self._later is None:
                self._start = leaf.value
                self._later = ChannelHour(self._channel, Baseline(leaf.value, leaf.time))
            else:
                self._later.add([leaf])
            self._end = leaf.value

    def agrees(self, entry: Mapping[str, Any]) -> bool:
        """Tell whether an entry says what its leaves say: counts, and sums or use."""
        own = self._said.entry()
        if any(entry.get(name) != own.get(name) for name in ("n", "valid", "minutes")):
            return False
        stated = {name: entry[name] for name in (*_SUMS, *_USE) if name in entry}
        if self._channel.kind is not ChannelKind.TOTAL:
            return stated == self._said.figures()
        if "first" not in stated or self._later is None:
            # Readings that came late, after a newer one, are counted but book nothing.
            return not stated
        rest = parse_decimal(self._later.figures().get("use", "0"))
        with localcontext(EXACT):
            steps = _first_steps(parse_decimal(stated["first"]), self._start, self._channel)
            uses = {rest + step for step in steps}
        return parse_decimal(stated["last"]) == self._end and parse_decimal(stated["use"]) in uses


def entry_agrees(entry: Mapping[str, Any], leaves: Sequence[Leaf], channel: Channel) -> bool:
    """Tell whether an entry says what its own leaves say; ``leaves`` are all of them, in leaf order."""
    counted = EntryRecount(channel)
    counted.add(leaves)
    return counted.agrees(entry)


def _first_steps(old: Decimal, new: Decimal, channel: Channel) -> set[Decimal]:
    assert channel.totaliser is not None  # Channel insists on it
    difference = new - old
    if difference >= 0:
        return {difference, Decimal(0)}
    steps = {Decimal(0)}
    if channel.totaliser.modulus is not None:
        steps.add(difference + channel.totaliser.modulus)
    if channel.totaliser.resettable:
        steps.add(new)
    return steps
