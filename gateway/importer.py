"""Bring a historian's export into the store: all of a file or nothing, and nothing twice.

The same file again is "nothing new"; the same rows in another file are passed over; the same channel and time with
another value is a conflict that stops the whole file. Sealing is the pipeline's work, as for any reading.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from evidence.channel import Channel
from evidence.encoding import decimal_text, sha256_hex, time_text
from evidence.reading import Reading
from gateway.errors import ConflictError, MisuseError, NoLongerKeptError
from gateway.historian import MAX_BYTES, ImportedRow, read_export
from gateway.historian_map import TimeColumn, load_map
from gateway.hours import hour_text
from gateway.pipeline import Pipeline
from gateway.reading_store import Arrival, insert_readings, values_between
from gateway.recall import recall_hours
from gateway.store import Store


@dataclass(frozen=True)
class ImportResult:
    """What an import did."""

    file: str
    rows: int
    stored: int
    already: int
    segments: int


def import_file(pipeline: Pipeline, channels: Mapping[str, Channel], path: Path, map_path: Path) -> ImportResult:
    """Read, compare, store and seal one file.

    Raises:
        MisuseError: the file or its map is wrong; nothing was stored.
        ConflictError: a row says something else than what is stored; nothing was stored.
        NoLongerKeptError: what is stored of an hour is older than the retention; nothing was stored.
    """
    how = load_map(map_path)
    data = _content(path)
    digest, map_digest = sha256_hex(data), sha256_hex(_content(map_path))
    now = pipeline.signer.clock.now()
    rows = read_export(data, how, channels, now, path.name, digest)

    def store_rows(store: Store) -> int:
        known = store.row("SELECT rows FROM import_file WHERE sha256 = ? AND map_sha256 = ?", (digest, map_digest))
        if known is not None:
            return 0
        arrivals = _new_arrivals(store, pipeline, rows, how.time, path.name)
        stored = insert_readings(store, arrivals)
        store.execute(
            "INSERT INTO import_file (sha256, name, map_sha256, rows, stored, imported) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (sha256) DO UPDATE SET map_sha256 = excluded.map_sha256, stored = stored + excluded.stored",
            (digest, path.name, map_digest, len(rows), stored, time_text(now)),
        )
        return stored

    stored = pipeline.writer.call(store_rows)
    total = sum(len(row.readings) for row in rows)
    sealed = pipeline.seal_due(timedelta(0))
    return ImportResult(path.name, len(rows), stored, total - stored, sealed.segments)


def _new_arrivals(
    store: Store, pipeline: Pipeline, rows: Sequence[ImportedRow], how: TimeColumn, name: str
) -> list[Arrival]:
    times = [reading.time for row in rows for reading in row.readings]
    if not times:
        return []
    step = how.step or timedelta(0)
    first, last = time_text(min(times) - step), time_text(max(times) + step)
    names = {reading.channel for row in rows for reading in row.readings}
    _recall(store, pipeline, rows, step, name)
    there = {channel: values_between(store, channel, first, last) for channel in names}
    taken = {channel: sorted(found) for channel, found in there.items()}
    arrivals = []
    ordered = sorted(
        ((row.line, reading) for row in rows for reading in row.readings), key=lambda pair: (pair[1].time, pair[0])
    )
    for line, reading in ordered:
        found = there[reading.channel].get(time_text(reading.time))
        if found is None:
            _refuse_overlap(taken[reading.channel], reading, step, name, line)
            arrivals.append(pipeline.arrival(reading))
        elif found[:2] != _said(reading):
            at = time_text(reading.time)
            raise ConflictError(
                f"{name} 第 {line} 行: 通道 {reading.channel} 在 {at} 已存 {found[0]} {found[1]}，"
                f"文件为 {reading.value} {reading.unit}；未导入任何内容",
                f"{name} line {line}: {reading.channel} at {at} is stored as {found[0]} {found[1]},"
                f" the file says {reading.value} {reading.unit}; nothing was imported",
            )
    return arrivals


def _refuse_overlap(taken: Sequence[str], reading: Reading, step: timedelta, name: str, line: int) -> None:
    """Refuse an interval that shares time with a stored one: its amount would count twice.

    `taken` are the stored intervals' starts, sorted; texts of one length compare as the moments do.
    """
    if not step:
        return
    place = bisect_right(taken, time_text(reading.time - step))
    if place < len(taken) and taken[place] < time_text(reading.time + step):
        start = time_text(reading.time)
        raise ConflictError(
            f"{name} 第 {line} 行: 通道 {reading.channel} 始于 {start} 的时段与已存的始于 {taken[place]} 的时段重叠；"
            "未导入任何内容",
            f"{name} line {line}: the interval of {reading.channel} from {start} overlaps the stored one from"
            f" {taken[place]}; nothing was imported",
        )


def _recall(store: Store, pipeline: Pipeline, rows: Sequence[ImportedRow], step: timedelta, name: str) -> None:
    """Bring back the hours of a file, and around its intervals, whose rows are in raw tiles only."""
    zone, channels = pipeline.signer.identity.zone_info, pipeline.judge.channels
    readings = [reading for row in rows for reading in row.readings]
    shifts = {-step, timedelta(0), step}
    hours = {hour_text(one.time + shift, channels[one.channel].kind, zone) for one in readings for shift in shifts}
    gone = recall_hours(store, pipeline.raw, hours)
    if gone:
        raise NoLongerKeptError(
            f"{name}: {min(gone)} 等 {len(gone)} 个小时的读数已超过保存期限，无法核对是否重复；未导入任何内容",
            f"{name}: the readings of {len(gone)} hours from {min(gone)} on are older than the retention, so that"
            " nobody can tell what is new; nothing was imported",
        )


def _said(reading: Reading) -> tuple[str | None, str]:
    return (None if reading.value is None else decimal_text(reading.value), reading.unit)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MisuseError(f"{path} 超过 512 MiB；请分拆", f"{path} is larger than 512 MiB; split it")
        return path.read_bytes()
    except OSError as error:
        raise MisuseError(
            f"无法读取 {path}: {error.strerror}", f"cannot read {path}: {error.strerror}; check the path"
        ) from error
