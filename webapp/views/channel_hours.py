"""The hours of one channel in one month, as the logged segments state them.

Nothing is summed here that the gateway did not sign: an hour's amount is its segment's figure; a day's is
the exact sum of its hours'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from accounting.exact import exact_sum
from evidence.encoding import parse_decimal, parse_time
from evidence.segment import entry_hour
from evidence.tiles import TILE_WIDTH
from webapp.log_entries import logged_payload
from webapp.models import LogEntry

SYNCHRONISED = ("ntp", "gnss")


@dataclass(frozen=True)
class SegmentRef:
    """The segment an hour's figure stands in, and the part of the gateway's tree it covers."""

    sid: str
    index: int
    gw: str
    epoch: int
    seq: int
    start: int
    end: int
    entry: Mapping[str, Any]
    """What it says of the channel in that hour."""
    clock: str = ""
    """What disciplined the gateway's clock when it signed: ntp, gnss, rtc or none."""

    @property
    def is_time_certain(self) -> bool:
        """Whether the gateway's clock was synchronised."""
        return self.clock in SYNCHRONISED

    @property
    def tiles(self) -> range:
        """The raw tiles that hold its readings."""
        return range(self.start // TILE_WIDTH, (self.end - 1) // TILE_WIDTH + 1)


@dataclass(frozen=True)
class ChannelHour:
    """What was signed of one hour."""

    start: datetime
    n: int
    valid: int
    amount: Decimal | None
    low: Decimal | None
    high: Decimal | None
    has_gap: bool
    segments: tuple[SegmentRef, ...]


@dataclass(frozen=True)
class ChannelDay:
    """The hours of one day of the plant's zone."""

    day: date
    hours: list[ChannelHour] = field(default_factory=list)

    @property
    def n(self) -> int:
        """Readings of the day."""
        return sum(hour.n for hour in self.hours)

    @property
    def valid(self) -> int:
        """Accepted readings of the day."""
        return sum(hour.valid for hour in self.hours)

    @property
    def amount(self) -> Decimal | None:
        """Exact sum of the hours' amounts."""
        return total_of(hour.amount for hour in self.hours)

    @property
    def has_gap(self) -> bool:
        """Whether some hour spans a gap."""
        return any(hour.has_gap for hour in self.hours)


def hours_of(entries: Sequence[LogEntry], channel: str, gw: str | None, zone: ZoneInfo) -> list[ChannelHour]:
    """Collect a channel's hours from segments; several entries of one hour (late readings) become one row."""
    found: dict[str, list[SegmentRef]] = {}
    for row in entries:
        if gw is not None and row.gw != gw:
            continue
        payload = logged_payload(row)
        tree, number = payload["tree"], (str(payload["gw"]), payload["epoch"], payload["seq"])
        for entry in payload["ch"]:
            if entry["id"] == channel:
                segment = SegmentRef(
                    row.sid, row.idx, *number, tree["start"], tree["end"], entry, payload["clk"]["src"]
                )
                found.setdefault(entry_hour(entry, payload["span"], zone), []).append(segment)
    return [_hour(parse_time(start), parts) for start, parts in sorted(found.items())]


def days_of(hours: Iterable[ChannelHour], zone: ZoneInfo) -> list[ChannelDay]:
    """Group hours by day."""
    days: dict[date, ChannelDay] = {}
    for hour in hours:
        day = hour.start.astimezone(zone).date()
        days.setdefault(day, ChannelDay(day)).hours.append(hour)
    return list(days.values())


def _hour(start: datetime, segments: Sequence[SegmentRef]) -> ChannelHour:
    entries = [segment.entry for segment in segments]
    lows = [parse_decimal(entry["min"]) for entry in entries if "min" in entry]
    highs = [parse_decimal(entry["max"]) for entry in entries if "max" in entry]
    return ChannelHour(
        start=start,
        n=sum(entry["n"] for entry in entries),
        valid=sum(entry["valid"] for entry in entries),
        amount=total_of(_amount(entry) for entry in entries),
        low=min(lows, default=None),
        high=max(highs, default=None),
        has_gap=any(entry.get("gap", False) for entry in entries),
        segments=tuple(segments),
    )


def _amount(entry: Mapping[str, Any]) -> Decimal | None:
    text = entry.get("use", entry.get("sum"))
    return None if text is None else parse_decimal(text)


def total_of(values: Iterable[Decimal | None]) -> Decimal | None:
    """Add what there is without rounding; None when there is nothing."""
    numbers = [value for value in values if value is not None]
    return exact_sum(numbers) if numbers else None
