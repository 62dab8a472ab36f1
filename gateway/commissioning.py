"""Take a device's channels into use: what the gateway reads, held against two readings of the device's own display.

A contradiction is refused and says which word order or neighbouring register the display fits; a person may accept it
with a reason, which is recorded. How far they may differ is `evidence/commissioning.py`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from evidence.channel import Channel
from evidence.commissioning import Commissioned, Compared, Display, Read, canonical, compare
from evidence.encoding import decimal_text, time_text
from gateway.catalogue import Instrument
from gateway.errors import MisuseError, RefusedError
from gateway.probe import ProbeRow
from gateway.record_commands import given_time

OLDEST = timedelta(hours=24)
"""A display read longer ago says little about what the gateway reads now."""
LONGEST_SHOWN = 40
"""Characters; no display shows more of one value."""


@dataclass(frozen=True)
class Seen:
    """One reading of a point's display, and the rows read for that point then: its own and its neighbours'."""

    display: Display
    rows: tuple[ProbeRow, ...]

    @property
    def own(self) -> ProbeRow:
        """The point as its profile has it."""
        return next(row for row in self.rows if row.offset == 0)


def displays_of(
    texts: Sequence[str], instrument: Instrument, zone: ZoneInfo, now: datetime
) -> dict[str, tuple[Display, Display]]:
    """Read `POINT=VALUE@TIME`, twice for each point; a channel's id serves as well as its point's.

    Raises:
        MisuseError: not of that form, no such point, not two of a point, or times that cannot be.
    """
    found: dict[str, list[Display]] = {}
    for text in texts:
        name, _, said = text.partition("=")
        shown, _, time = said.rpartition("@")
        if not name.strip() or not 0 < len(shown.strip()) <= LONGEST_SHOWN or not time.strip():
            raise MisuseError(
                f"--display {text!r} 应写作 测点=显示值@时间，如 energy_import=123456.7@2026-03-01T10:15",
                f"--display {text!r}: write POINT=VALUE@TIME, like energy_import=123456.7@2026-03-01T10:15",
            )
        point = _point_of(name.strip(), instrument)
        at = given_time(time.strip(), zone, "--display")
        if not now - OLDEST <= at <= now:
            raise MisuseError(
                f"--display {text!r}：时间须在最近 24 小时内且不晚于现在；请重新读取显示值",
                f"--display {text!r}: the time must lie within the last 24 hours; read the display again",
            )
        found.setdefault(point, []).append(Display(shown.strip(), at))
    pairs = {}
    for point, displays in found.items():
        displays.sort(key=lambda one: one.at)
        if len(displays) != 2 or time_text(displays[0].at) == time_text(displays[1].at):
            raise MisuseError(
                f"{point}：需要两次不同时间的显示值，给出了 {len(displays)} 次",
                f"{point}: two readings of the display at different times are needed, there are {len(displays)}",
            )
        pairs[point] = (displays[0], displays[1])
    return pairs


def commission(
    instrument: Instrument,
    channels: Mapping[str, Channel],
    seen: Mapping[str, tuple[Seen, Seen]],
    *,
    now: datetime,
    by: str,
    reason: str = "",
    percent: Decimal,
) -> list[Commissioned]:
    """Hold every point's two displays against what was read; one record for each channel that a point feeds.

    Raises:
        MisuseError: a point feeds no channel.
        RefusedError: a point has no valid value, or a display contradicts it and no reason was given.
    """
    made = []
    for point, pair in seen.items():
        fed = instrument.channels.get(point, ())
        if not fed:
            raise MisuseError(
                f"测点 {point} 未接入任何通道；请先写入站点文件",
                f"point {point} feeds no channel; put one into the site file first",
            )
        for row in (one.own for one in pair):
            if not row.value or row.quality != "valid":
                said = row.reason or row.quality
                raise RefusedError(
                    f"{point}：没有可确认的有效值（{said}）；设备正常测量后再试",
                    f"{point}: there is no valid value to accept ({said}); try again when the device measures",
                )
        for name in fed:
            first, second = (_compare(instrument, channels[name], one, percent, one.own.value) for one in pair)
            for compared, one in zip((first, second), pair, strict=True):
                if not compared.agrees and not reason:
                    raise _contradiction(instrument, channels[name], compared, one, percent)
            made.append(_record(channels[name], pair[-1], (first, second), now, by, reason))
    return made


def _record(
    channel: Channel, last: Seen, compared: tuple[Compared, Compared], now: datetime, by: str, reason: str
) -> Commissioned:
    row = last.own
    return Commissioned(
        channel=channel,
        at=now,
        by=by,
        point=row.point,
        table=row.table,
        address=row.address,
        order=row.order,
        compared=compared,
        neighbours=tuple((one.offset, one.words) for one in last.rows if one.offset and one.words),
        # Where the displays agree there is nothing to excuse.
        reason="" if all(one.agrees for one in compared) else reason,
    )


def _compare(instrument: Instrument, channel: Channel, seen: Seen, percent: Decimal, value: str) -> Compared:
    row, display = seen.own, seen.display
    if row.code and display.number is not None:
        value = row.code  # the display shows the number of a word
    return compare(
        channel,
        display,
        Read(canonical(value), row.words, row.at),
        percent=percent,
        change_per_s=instrument.profile.points[row.point].max_change_per_s,
    )


def _contradiction(
    instrument: Instrument, channel: Channel, compared: Compared, seen: Seen, percent: Decimal
) -> RefusedError:
    row, shown = seen.own, compared.display
    zh = f"{row.point}：显示 {shown.shown}（{time_text(shown.at)}），读到 {row.value} {row.unit}"
    en = f"{row.point}: the display shows {shown.shown} at {time_text(shown.at)}, read was {row.value} {row.unit}"
    if compared.off is not None and compared.least is not None and compared.most is not None:
        least, most = decimal_text(compared.least), decimal_text(compared.most)
        zh += f"，相差 {decimal_text(compared.off)}，允许 {least} 至 {most}"
        en += f", off by {decimal_text(compared.off)} where {least} to {most} is allowed"
    for fits_zh, fits_en, value in _others(seen):
        if _compare(instrument, channel, seen, percent, value).agrees:
            zh, en = f"{zh}；{fits_zh}与显示相符", f"{en}; {fits_en} fits the display"
            break
    return RefusedError(
        f"{zh}。请更正设备描述、参数或站点文件；确需接受时用 --reason 说明",
        f"{en}. Correct profile, parameters or site file; to accept it all the same say why with --reason",
    )


def _others(seen: Seen) -> list[tuple[str, str, str]]:
    """List what else was read for the point: under other orders, then beside its address."""
    row = seen.own
    orders = [(f"字序 {one.order}", f"word order {one.order}", one.value) for one in row.orders if one.value]
    beside = [
        (f"地址 {one.address}（{one.offset:+d}）", f"address {one.address} ({one.offset:+d})", one.value)
        for one in seen.rows
        if one.offset and one.value
    ]
    return [*orders, *beside]


def _point_of(name: str, instrument: Instrument) -> str:
    if name in instrument.profile.points:
        return name
    for point, channels in instrument.channels.items():
        if name in channels:
            return point
    there = ", ".join(sorted(instrument.channels)) or "—"
    raise MisuseError(
        f"--display：设备 {instrument.site.id} 没有测点或通道 {name}；有：{there}",
        f"--display: device {instrument.site.id} has no point or channel {name}; it has: {there}",
    )
