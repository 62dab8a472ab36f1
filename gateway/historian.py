"""Read a historian's CSV export into readings, exactly or not at all.

Pure: bytes, map and channels in, readings out. The first row that cannot be read stops the whole file and is named
by its line number. Figures stay decimal; a unit is converted only by a factor of the unit table.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol
from zoneinfo import ZoneInfo

from evidence.channel import Channel, ChannelKind
from evidence.encoding import FIRST_YEAR, LAST_YEAR
from evidence.reading import Flag, Reading
from gateway.conversion import convert, is_known
from gateway.errors import MisuseError
from gateway.historian_map import HistorianMap, TimeColumn, ValueColumn

MAX_BYTES = 512 * 1024 * 1024
FUTURE_TOLERANCE = timedelta(seconds=120)
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)


@dataclass(frozen=True)
class ImportedRow:
    """One line of the file and the readings it holds."""

    line: int
    readings: tuple[Reading, ...]


class _CsvReader(Protocol):
    """What `csv.reader` gives: rows, and the line it has read up to."""

    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...


@dataclass(frozen=True)
class _Column:
    """A value column resolved against the file's header and the site's channels."""

    at: int
    name: str
    channel: Channel
    unit: str
    empty: str


def read_export(
    data: bytes, how: HistorianMap, channels: Mapping[str, Channel], now: datetime, name: str, digest: str
) -> list[ImportedRow]:
    """Read every row of an export, in file order.

    `name` is the file's name for messages, `digest` its SHA-256, kept with each reading.

    Raises:
        MisuseError: a column, channel, unit, time stamp, number or row is wrong; the line is named.
    """
    try:
        text = data.decode(how.encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _wrong(name, line, f"不是 {how.encoding} 编码", f"not {how.encoding}; set encoding in the map") from error
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=how.delimiter, strict=True)
    try:
        header = next(rows, None)
        if header is None:
            raise _wrong(name, 1, "文件为空", "the file is empty")
        columns = [_resolved(value, header, how, channels, name) for value in how.value]
        time_at = _position(how.time.column, header, name)
        found = list(_rows(rows, how.time, time_at, columns, len(header), now, name, digest))
        if not found:
            raise _wrong(name, 1, "只有表头，没有数据行", "there is a header and no row below it")
        return found
    except csv.Error as error:
        raise _wrong(name, rows.line_num, f"不是合法的 CSV: {error}", f"not CSV: {error}") from error


def _rows(
    rows: _CsvReader,
    how: TimeColumn,
    time_at: int,
    columns: list[_Column],
    width: int,
    now: datetime,
    name: str,
    digest: str,
) -> Iterator[ImportedRow]:
    seen: dict[datetime, int] = {}
    zone = None if how.zone is None else ZoneInfo(how.zone)
    for row in rows:
        line_of: int = rows.line_num
        if not row:
            continue
        if len(row) != width:
            raise _wrong(
                name, line_of, f"有 {len(row)} 列，表头有 {width} 列", f"{len(row)} columns, the header has {width}"
            )
        stamp = row[time_at].strip()
        time = _time(stamp, how, zone, name, line_of)
        if time > now + FUTURE_TOLERANCE:
            raise _wrong(name, line_of, f"时间 {stamp} 在未来", f"time {stamp} lies in the future")
        if time in seen:
            raise _wrong(
                name, line_of, f"时间 {stamp} 与第 {seen[time]} 行重复", f"time {stamp} repeats line {seen[time]}"
            )
        seen[time] = line_of
        yield ImportedRow(
            line_of,
            tuple(_reading(row[column.at], column, time, stamp, now, name, line_of, digest) for column in columns),
        )
    _refuse_overlaps(seen, how, name)


def _reading(
    cell: str, column: _Column, time: datetime, stamp: str, now: datetime, name: str, line: int, digest: str
) -> Reading:
    text = cell.strip()
    raw = f"csv:{digest[:16]}:{line}:{column.name}={text}"
    if not text and column.empty == "mark":
        return Reading(
            column.channel.id, time, None, column.channel.unit, Flag.FAULT, now, "missing", raw, stamp, imported=True
        )
    if not _NUMBER.fullmatch(text):
        raise _wrong(
            name,
            line,
            f"列 {column.name} 的 {text!r} 不是数字",
            f"column {column.name}: {text!r} is not a plain decimal number",
        )
    value = Decimal(text)
    if column.unit != column.channel.unit:
        value = _converted(value, column, name, line)
    return Reading(column.channel.id, time, value, column.channel.unit, Flag.NORMAL, now, "", raw, stamp, imported=True)


def _converted(value: Decimal, column: _Column, name: str, line: int) -> Decimal:
    try:
        return convert(value, column.unit, column.channel.unit)
    except (KeyError, ValueError, ArithmeticError) as error:
        raise _wrong(
            name,
            line,
            f"无法把 {column.unit} 精确换算成 {column.channel.unit}",
            f"{column.unit} cannot be converted exactly to {column.channel.unit}",
        ) from error


def _time(stamp: str, how: TimeColumn, zone: ZoneInfo | None, name: str, line: int) -> datetime:
    try:
        time = _instant(stamp, how, zone, name, line)
        time = time - how.step if how.period_label == "end" and how.step is not None else time
        if not FIRST_YEAR <= time.year <= LAST_YEAR:
            raise OverflowError
        if time.microsecond % 1000:
            raise _wrong(
                name,
                line,
                f"时间 {stamp!r} 细于毫秒",
                f"time {stamp!r} is finer than a millisecond; round it on export",
            )
        return time
    except OverflowError as error:
        raise _wrong(name, line, f"时间 {stamp!r} 超出可表示的范围", f"time {stamp!r} is out of range") from error


def _instant(stamp: str, how: TimeColumn, zone: ZoneInfo | None, name: str, line: int) -> datetime:
    try:
        time = (
            datetime.fromisoformat(stamp) if how.format == "iso" else datetime.strptime(stamp, how.format)  # noqa: DTZ007 - naive is judged below
        )
    except ValueError as error:
        raise _wrong(
            name,
            line,
            f"时间 {stamp!r} 不符合格式 {how.format}",
            f"time {stamp!r} is not of the format {how.format}",
        ) from error
    if time.tzinfo is not None:
        return time.astimezone(UTC)
    if zone is None:
        raise _wrong(
            name,
            line,
            f"时间 {stamp!r} 没有时区；请在映射文件的 [time] 中写明 zone",
            f"time {stamp!r} has no offset; give zone in [time] of the map",
        )
    local = time.replace(tzinfo=zone)
    utc = local.astimezone(UTC)
    if utc.astimezone(zone).replace(tzinfo=None) != time or local.utcoffset() != local.replace(fold=1).utcoffset():
        raise _wrong(
            name,
            line,
            f"时间 {stamp!r} 在 {zone.key} 中不存在或有两义",
            f"time {stamp!r} does not exist or is ambiguous in {zone.key}; export with offsets",
        )
    return utc


def _refuse_overlaps(seen: Mapping[datetime, int], how: TimeColumn, name: str) -> None:
    step = how.step
    if step is None:
        return
    ordered = sorted(seen)
    for before, after in itertools.pairwise(ordered):
        if after - before < step:
            raise _wrong(
                name,
                seen[after],
                f"该时段与第 {seen[before]} 行的时段重叠",
                f"its interval overlaps the one of line {seen[before]}",
            )


def _resolved(
    value: ValueColumn, header: list[str], how: HistorianMap, channels: Mapping[str, Channel], name: str
) -> _Column:
    at = _position(value.column, header, name)
    channel = channels.get(value.channel)
    if channel is None:
        raise MisuseError(
            f"映射文件: 站点文件中没有通道 {value.channel}", f"map: channel {value.channel} is not in the site file"
        )
    if (channel.kind is ChannelKind.INTERVAL) != (how.time.step is not None):
        raise MisuseError(
            f"映射文件: 通道 {channel.id} 为 {channel.kind}，与 period_label 不符",
            f"map: channel {channel.id} is of kind {channel.kind}; period_label and interval are for kind interval",
        )
    if not is_known(value.unit):
        raise MisuseError(
            f"映射文件: 未知单位 {value.unit!r}（列 {value.column}）",
            f"map: unknown unit {value.unit!r} of column {value.column}",
        )
    column = _Column(at, value.column, channel, value.unit, value.empty)
    if value.unit != channel.unit:
        _converted(Decimal(1), column, name, 1)
    return column


def _position(column: str, header: list[str], name: str) -> int:
    names = [one.strip() for one in header]
    if names.count(column) != 1:
        there = ", ".join(names)
        raise _wrong(
            name,
            1,
            f"没有（或有多个）列 {column!r}；现有列: {there}",
            f"column {column!r} is missing or there twice; columns are: {there}",
        )
    return names.index(column)


def _wrong(name: str, line: int, zh: str, en: str) -> MisuseError:
    return MisuseError(f"{name} 第 {line} 行: {zh}；未导入任何内容", f"{name} line {line}: {en}; nothing was imported")
