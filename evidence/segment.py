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
from evidence.stack import has_minutes, minute_letters
from evidence.totaliser import Step, judge_step

EXACT = Context(prec=200, traps=[Inexact])
"""Arithmetic that would rather fail than round."""
GAP_POLLS = 3
"""A difference over more poll intervals than this spans a gap (check Q06)."""
HOUR = timedelta(hours=1)
_TICK = timedelta(microseconds=1)
_QUARTER_S = 900
_MINUTE_KINDS = frozenset({ChannelKind.VALUE, ChannelKind.DERIVED})
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
    span_hour = hour_of(span_start, zone)
    groups: dict[tuple[datetime, str], list[Leaf]] = {}
    for leaf in leaves:
        hour = hour_of_leaf(leaf, channels[leaf.channel].kind, zone)
        groups.setdefault((hour, leaf.channel), []).append(leaf)
    after = dict(baselines)
    entries = []
    with localcontext(EXACT):
        for (hour, channel_id), group in sorted(groups.items()):
            channel = channels[channel_id]
            entry: dict[str, Any] = {
                "id": channel_id,
                "n": len(group),
                "valid": sum(1 for leaf in group if leaf.is_valid),
            }
            if hour != span_hour:
                entry["hour"] = time_text(hour)
            if channel.kind in _PLAIN_SUMS:
                entry.update(_sums(group))
            elif channel.kind is ChannelKind.TOTAL:
                entry.update(_use(group, channel, after))
            entry.update(_minutes(group, channel))
            entries.append(entry)
    return entries, after


def entry_hour(entry: Mapping[str, Any], span: Sequence[str], zone: tzinfo) -> str:
    """Return the hour an entry of a parsed segment speaks of, as time text."""
    hour = entry.get("hour")
    return str(hour) if hour is not None else time_text(hour_of(datetime.fromisoformat(span[0]), zone))


def entry_agrees(entry: Mapping[str, Any], leaves: Sequence[Leaf], channel: Channel) -> bool:
    """Tell whether an entry says what its own leaves say: counts, and sums or use.

    ``leaves`` are all leaves of the entry, in leaf order. What a total was counted from (`first`) is taken from the
    entry, whose predecessor ends with it; how long ago that was is not known here, so that the first difference may be
    any that the totaliser's rule has a name for.
    """
    with localcontext(EXACT):
        if (entry["n"], entry["valid"]) != (len(leaves), sum(1 for leaf in leaves if leaf.is_valid)):
            return False
        if _minutes(leaves, channel) != {name: entry[name] for name in ("minutes",) if name in entry}:
            return False
        stated = {name: entry[name] for name in ("sum", "min", "max", "first", "last", "use") if name in entry}
        if channel.kind is not ChannelKind.TOTAL:
            return stated == (_sums(leaves) if channel.kind in _PLAIN_SUMS else {})
        valid = [leaf for leaf in leaves if leaf.is_valid]
        values = [leaf.value for leaf in valid if leaf.value is not None]
        if "first" not in stated or not valid:
            # Readings that came late, after a newer one, are counted but book nothing.
            return not stated
        first = parse_decimal(stated["first"])
        start, last = values[0], values[-1]
        later = _use(valid[1:], channel, {channel.id: Baseline(start, valid[0].time)})
        rest = parse_decimal(later.get("use", "0"))
        uses = {rest + step for step in _first_steps(first, start, channel)}
        return parse_decimal(stated["last"]) == last and parse_decimal(stated["use"]) in uses


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


def _minutes(group: Sequence[Leaf], channel: Channel) -> dict[str, str]:
    """Say of each minute of a stack's channel whether it is valid; of other channels nothing."""
    if channel.stack is None or channel.kind not in _MINUTE_KINDS or not has_minutes(channel.poll):
        return {}
    return {"minutes": minute_letters(group, channel.poll, channel.stack)}


def _sums(group: Sequence[Leaf]) -> dict[str, str]:
    values = [leaf.value for leaf in group if leaf.is_valid and leaf.value is not None]
    if not values:
        return {}
    return {
        "sum": decimal_text(sum(values[1:], values[0])),
        "min": decimal_text(min(values)),
        "max": decimal_text(max(values)),
    }


def _use(group: Sequence[Leaf], channel: Channel, baselines: dict[str, Baseline]) -> dict[str, Any]:
    assert channel.totaliser is not None  # Channel insists on it
    first: Decimal | None = None
    last = use = Decimal(0)
    spans_gap = False
    for leaf in group:
        base = baselines.get(channel.id)
        if not leaf.is_valid or leaf.value is None or (base is not None and leaf.time <= base.time):
            continue
        step: Step | None = None
        if base is not None:
            elapsed = leaf.time - base.time
            step = judge_step(base.value, leaf.value, elapsed, channel.totaliser)
            spans_gap = spans_gap or elapsed > GAP_POLLS * channel.poll
            if step.use is not None:
                use += step.use
        if first is None:
            first = leaf.value if base is None else base.value
        last = leaf.value
        baselines[channel.id] = Baseline(leaf.value if step is None else step.floor, leaf.time)
    if first is None:
        return {}
    entry: dict[str, Any] = {
        "first": decimal_text(first),
        "last": decimal_text(last),
        "use": decimal_text(use),
    }
    if spans_gap:
        entry["gap"] = True
    return entry
