"""The last 24 hours of a plant's live values: one chart a channel, and the same by the hour as a table.

Instantaneous values are drawn as they came. Of a running counter the use of each quarter of an hour is drawn, from the
last reading of one quarter to the last of the next: a line that only climbs tells nobody anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from markupsafe import Markup
from sqlalchemy.orm import Session

from evidence.channel import ChannelKind
from webapp import store_readings
from webapp.charts import Point, line_chart
from webapp.models import LiveSample, Plant
from webapp.store_readings import LiveValue
from webapp.views.declared_channel import declared_in
from webapp.views.live_units import shown_unit, shown_value

SHOWN = timedelta(hours=24)
SHORTEST = timedelta(hours=1)
"""A chart covers at least this, however little there is yet."""
WHOLE = timedelta(hours=23)
"""With less behind it a chart says since when there are values."""
PAUSE = timedelta(minutes=15)
"""A shorter pause between live values is no gap: they are posted once a minute or more often."""
QUARTER = timedelta(minutes=15)
VALID_FLAG = "N"


@dataclass(frozen=True)
class HourValues:
    """What a channel's live values were in one hour: the table beside the chart."""

    start: datetime
    n: int
    low: Decimal | None
    high: Decimal | None
    last: Decimal | None
    use: Decimal | None


@dataclass(frozen=True)
class ChannelHistory:
    """A channel's last 24 hours, drawn and as a table; `since` only when there is less."""

    name: str
    unit: str
    is_total: bool
    since: datetime | None
    chart: Markup
    table: list[HourValues]


def histories(
    db: Session, plant: Plant, latest: Sequence[LiveSample], names: dict[str, str], now: datetime
) -> list[ChannelHistory]:
    """Draw every channel that has a live value."""
    found = []
    for newest in latest:
        values = store_readings.series(db, plant.id, newest.channel, now - SHOWN)
        if values:
            declared = declared_in(db, plant.id, newest.channel, newest.gw, [])
            is_total = declared is not None and declared.data["kind"] == ChannelKind.TOTAL
            found.append(_history(values, names.get(newest.channel, newest.channel), plant, now, is_total=is_total))
    return found


def _history(values: Sequence[LiveValue], name: str, plant: Plant, now: datetime, *, is_total: bool) -> ChannelHistory:
    zone = ZoneInfo(plant.zone)
    first = values[0].time
    start = max(now - SHOWN, min(first, now - SHORTEST))
    points = _uses(values, now) if is_total else _points(values)
    label = _("%(name)s, last 24 hours; the same values stand in the table below", name=name)
    return ChannelHistory(
        name,
        shown_unit(values[-1].unit),
        is_total,
        first if now - first < WHOLE else None,
        line_chart(points, start=start, end=now, zone=zone, label=label, pause=PAUSE),
        _by_hour(values, zone),
    )


def _points(values: Sequence[LiveValue]) -> list[Point]:
    return [
        Point(time=one.time, value=_number(one), accepted=one.flag == VALID_FLAG)
        for one in values
        if one.value is not None
    ]


def _uses(values: Sequence[LiveValue], now: datetime) -> list[Point]:
    """The use of each quarter of an hour that is over, from the last accepted readings of two neighbours."""
    last = {_quarter(one.time): _number(one) for one in values if one.value is not None and one.flag == VALID_FLAG}
    return [
        Point(time=start + QUARTER, value=reading - last[start - QUARTER])
        for start, reading in last.items()
        if start + QUARTER <= now and start - QUARTER in last and reading >= last[start - QUARTER]
    ]


def _quarter(time: datetime) -> datetime:
    return time.replace(minute=time.minute // 15 * 15, second=0, microsecond=0)


def _number(one: LiveValue) -> Decimal:
    return shown_value(Decimal(one.value or 0), one.unit)


def _by_hour(values: Sequence[LiveValue], zone: ZoneInfo) -> list[HourValues]:
    hours: dict[datetime, list[LiveValue]] = {}
    for one in values:
        start = one.time.astimezone(zone).replace(minute=0, second=0, microsecond=0)
        hours.setdefault(start, []).append(one)
    rows: list[HourValues] = []
    before: Decimal | None = None
    for start, found in hours.items():
        numbers = [_number(one) for one in found if one.value is not None]
        last = numbers[-1] if numbers else None
        use = last - before if last is not None and before is not None and last >= before else None
        rows.append(HourValues(start, len(found), min(numbers, default=None), max(numbers, default=None), last, use))
        before = last if last is not None else before
    return rows[::-1]
