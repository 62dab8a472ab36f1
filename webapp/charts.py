"""Draw hours or a month of one channel as an SVG line chart, on the server.

Numbers come in as they were stored; only the position on the screen is rounded. The chart is for the eye:
every page that shows one also offers the same values as a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import pairwise

from markupsafe import Markup, escape

from webapp.numerals import grouped

WIDTH, HEIGHT = 420, 170
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 12, 24
LABEL_WIDTH = 7.0
"""Width of a digit of an axis label; long labels push the axis to the right."""
TICKS_Y = 4
TICK_HOURS = 6
TICK_MINUTES = (
    (timedelta(hours=2), 15),
    (timedelta(hours=4), 30),
    (timedelta(hours=8), 60),
    (timedelta(hours=12), 120),
)
"""Minutes between the marks at the foot of a short time; a longer one has one every six hours."""
TICK_DAYS = 5
LAST_TICK = 30
"""A 31st stands too near to the first of the next month."""
LONG = timedelta(days=3)
"""A longer time has days at its foot, not hours."""
# A pause longer than this many usual intervals is drawn as a gap, not as a straight line over missing data.
GAP_INTERVALS = 3


@dataclass(frozen=True, kw_only=True)
class Point:
    """One value of the chart; ``accepted`` is false for a reading whose flag keeps it out of sums."""

    time: datetime
    value: Decimal
    accepted: bool = True


@dataclass(frozen=True, kw_only=True)
class _Scale:
    start: datetime
    end: datetime
    low: Decimal
    high: Decimal
    left: float

    def x(self, time: datetime) -> float:
        return self.left + (WIDTH - self.left - RIGHT) * ((time - self.start) / (self.end - self.start))

    def y(self, value: Decimal) -> float:
        share = float((value - self.low) / (self.high - self.low))
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def line_chart(
    points: Sequence[Point],
    *,
    start: datetime,
    end: datetime,
    zone: tzinfo,
    label: str,
    pause: timedelta = timedelta(seconds=1),
) -> Markup:
    """Return the chart as SVG.

    ``label`` is what a screen reader says in its place; a shorter ``pause`` is never a gap, however often values come.
    """
    shown = sorted((point for point in points if start <= point.time <= end), key=lambda point: point.time)
    scale = _scale(shown, start, end)
    parts = [_grid(scale, zone)]
    accepted = [point for point in shown if point.accepted]
    for run in (_thin(run, scale) for run in _runs(accepted, pause)):
        if len(run) == 1:
            parts.append(
                f'<circle class="dot" cx="{scale.x(run[0].time):.1f}" cy="{scale.y(run[0].value):.1f}" r="1.8"/>'
            )
        else:
            path = " ".join(f"{scale.x(point.time):.1f},{scale.y(point.value):.1f}" for point in run)
            parts.append(f'<polyline class="line" points="{path}"/>')
    if accepted:
        newest = accepted[-1]
        parts.append(f'<circle class="dot" cx="{scale.x(newest.time):.1f}" cy="{scale.y(newest.value):.1f}" r="3"/>')
    for point in shown:
        if not point.accepted:
            parts.append(
                f'<circle class="flagged" cx="{scale.x(point.time):.1f}" cy="{scale.y(point.value):.1f}" r="3"/>'
            )
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
    return Markup(f"{head}{''.join(parts)}</svg>")


def _scale(points: Sequence[Point], start: datetime, end: datetime) -> _Scale:
    values = [point.value for point in points] or [Decimal(0), Decimal(1)]
    low, high = min(values), max(values)
    if low == high:
        pad = abs(low) / 10 or Decimal(1)
        low, high = low - pad, high + pad
    step = _nice_step((high - low) / TICKS_Y)
    low = (low / step).to_integral_value(rounding="ROUND_FLOOR") * step
    high = (high / step).to_integral_value(rounding="ROUND_CEILING") * step
    longest = max(len(_plain(low + step * count)) for count in range(TICKS_Y + 3) if low + step * count <= high)
    return _Scale(start=start, end=end, low=low, high=high, left=max(LEFT, longest * LABEL_WIDTH + 12))


def _nice_step(raw: Decimal) -> Decimal:
    power = Decimal(1).scaleb(raw.adjusted())
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)


def _runs(points: Sequence[Point], pause: timedelta) -> list[list[Point]]:
    """Split the line where data are missing."""
    if not points:
        return []
    pauses = sorted(later.time - earlier.time for earlier, later in pairwise(points))
    usual = pauses[len(pauses) // 2] if pauses else timedelta(0)
    runs = [[points[0]]]
    for earlier, later in pairwise(points):
        if later.time - earlier.time > max(usual * GAP_INTERVALS, pause):
            runs.append([])
        runs[-1].append(later)
    return runs


def _thin(run: list[Point], scale: _Scale) -> list[Point]:
    """Keep what the eye can tell apart: of each column of the picture the first, lowest, highest and last point."""
    if len(run) <= WIDTH:
        return run
    columns: dict[int, list[Point]] = {}
    for point in run:
        columns.setdefault(int(scale.x(point.time)), []).append(point)
    kept: list[Point] = []
    for column in columns.values():
        extremes = (column[0], min(column, key=_value), max(column, key=_value), column[-1])
        kept += sorted({point.time: point for point in extremes}.values(), key=lambda point: point.time)
    return kept


def _value(point: Point) -> Decimal:
    return point.value


def _grid(scale: _Scale, zone: tzinfo) -> str:
    parts = []
    step = _nice_step((scale.high - scale.low) / TICKS_Y)
    value = scale.low
    while value <= scale.high:
        y = scale.y(value)
        parts.append(f'<line class="rule" x1="{scale.left:.0f}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{scale.left - 6:.0f}" y="{y + 4:.1f}" text-anchor="end">{_plain(value)}</text>')
        value += step
    for at, words in _ticks(scale, zone):
        x = scale.x(at)
        parts.append(
            f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 4}"/>'
        )
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{words}</text>')
    y = HEIGHT - BOTTOM
    parts.append(f'<line class="axis" x1="{scale.left:.0f}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}"/>')
    return "".join(parts)


def _ticks(scale: _Scale, zone: tzinfo) -> Iterator[tuple[datetime, str]]:
    local = scale.start.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    span = scale.end - scale.start
    is_long = span > LONG
    every = next((minutes for upto, minutes in TICK_MINUTES if span <= upto), TICK_HOURS * 60)
    while local <= scale.end:
        is_day = local.hour == 0 and local.minute == 0 and local.day < LAST_TICK and (local.day - 1) % TICK_DAYS == 0
        is_time = (local.hour * 60 + local.minute) % every == 0
        if local >= scale.start and (is_day if is_long else is_time):
            yield local, f"{local:%m-%d}" if is_long else f"{local:%H:%M}"
        local += timedelta(minutes=15)


def _plain(value: Decimal) -> str:
    """Return an axis label without exponent and without trailing zeros."""
    text = f"{value:f}"
    return grouped(text.rstrip("0").rstrip(".") if "." in text else text)
