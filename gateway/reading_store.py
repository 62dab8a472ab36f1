"""SQL over readings: storing, finding the open ones, giving them leaf indices. Contains no business logic."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evidence.encoding import decimal_text, parse_decimal, parse_time, time_text
from evidence.errors import Code, EvidenceError
from evidence.reading import FLAG_NAMED, Flag, Leaf, Reading, leaf_text
from gateway.rawtile import RawReading
from gateway.store import Row, Store

_COLUMNS = "seq, channel, time, hour, value, unit, flag, reason, device_time, received, raw, imported, leaf"

_ROWS_AT_ONCE = 64
"""Rows in one statement: between statements the writer's thread gives way to the event loop, which costs both time."""
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_MANY, _INSERT = (
    "INSERT INTO reading (channel, time, hour, value, unit, flag, reason, device_time, received, raw, imported,"
    f" identity) VALUES {', '.join([_ROW] * count)} ON CONFLICT (identity) DO NOTHING"
    for count in (_ROWS_AT_ONCE, 1)
)

NEXT_OPEN_HOUR = "SELECT hour FROM reading WHERE leaf IS NULL AND hour > ? ORDER BY hour LIMIT 1"


@dataclass(frozen=True)
class Arrival:
    """A judged reading on its way into the store.

    `identity` names it across redelivery; None means it cannot come twice (a poll's answer). `is_repeat` says that
    the judge saw the very same reading before: it is not stored again.
    """

    reading: Reading
    hour: str
    identity: str | None = None
    is_repeat: bool = False


class StoredReading(NamedTuple):
    """A row of the reading table; times and value are the very texts that the leaf holds.

    A tuple, because a row becomes it at a third of the cost, and sealing handles every reading of the hour.
    """

    seq: int
    channel: str
    time: str
    hour: str
    value: str | None
    unit: str
    flag: str
    reason: str
    device_time: str
    received: str
    raw: str
    imported: bool
    leaf: int | None

    def to_leaf(self) -> Leaf:
        """Return what the tree commits to."""
        if self.leaf is None:
            raise ValueError(f"reading {self.seq} has no leaf yet")
        return self.leaf_at(self.leaf)

    def leaf_at(self, index: int) -> Leaf:
        """Return what the tree would commit to at this place.

        Raises:
            EvidenceError: time, value or flag are not as they were stored.
        """
        value = None if self.value is None else parse_decimal(self.value)
        return Leaf(index, parse_time(self.time), self.channel, value, self.unit, _flag(self.flag))

    def line_at(self, index: int) -> str:
        """Write the leaf line at this place, without its salt, as raw tiles keep it."""
        return leaf_text(index, self.time, self.channel, self.value or "", self.unit, self.flag)

    def to_raw(self) -> RawReading:
        """Return what is kept beside the leaf."""
        return RawReading(self.seq, self.received, self.device_time, self.reason, self.raw, self.imported)


def insert_readings(store: Store, arrivals: Iterable[Arrival]) -> int:
    """Store readings in order; one whose identity is known already is passed over. Return how many were new."""
    before = int(store.value("SELECT coalesce(max(seq), 0) FROM reading"))
    rows = [_row_of(arrival) for arrival in arrivals if not arrival.is_repeat]
    whole = len(rows) // _ROWS_AT_ONCE * _ROWS_AT_ONCE
    for at in range(0, whole, _ROWS_AT_ONCE):
        store.execute(_INSERT_MANY, [value for row in rows[at : at + _ROWS_AT_ONCE] for value in row])
    store.execute_many(_INSERT, rows[whole:])
    return int(store.value("SELECT count(*) FROM reading WHERE seq > ?", (before,)))


def open_hours(store: Store) -> list[str]:
    """Return the hours that have readings without a leaf, oldest first: a look at each hour, not at each reading."""
    found: list[str] = []
    hour = ""
    while (row := store.row(NEXT_OPEN_HOUR, (hour,))) is not None:
        hour = str(row["hour"])
        found.append(hour)
    return found


def open_readings(store: Store, hour: str) -> list[StoredReading]:
    """Return the readings of an hour that have no leaf, in the order they were stored."""
    rows = store.rows(f"SELECT {_COLUMNS} FROM reading WHERE leaf IS NULL AND hour = ? ORDER BY seq", (hour,))
    return [_stored(row) for row in rows]


def count_open(store: Store, hour: str, most: int) -> int:
    """Count the readings of an hour that have no leaf, up to `most`."""
    sql = "SELECT count(*) FROM (SELECT 1 FROM reading WHERE leaf IS NULL AND hour = ? LIMIT ?)"
    return int(store.value(sql, (hour, most)))


def last_open(store: Store, hour: str) -> int:
    """Return the sequence number of an hour's newest reading without a leaf; 0 where there is none."""
    sql = "SELECT seq FROM reading WHERE leaf IS NULL AND hour = ? ORDER BY seq DESC LIMIT 1"
    return int(store.value(sql, (hour,)) or 0)


def window_end(store: Store, hour: str, at: int, upto: int, most: int) -> int:
    """Return up to which sequence number the next `most` open readings of an hour go: `upto` when that is all."""
    sql = "SELECT seq FROM reading WHERE leaf IS NULL AND hour = ? AND seq > ? ORDER BY seq LIMIT 1 OFFSET ?"
    found = store.value(sql, (hour, at, most - 1))
    return upto if found is None else min(int(found), upto)


def window_readings(
    store: Store, hour: str, at: int, end: int, channels: Sequence[str] | None = None
) -> list[StoredReading]:
    """Return the readings of an hour without a leaf with a sequence number in (at, end], of all or some channels."""
    which = "" if channels is None else " AND channel IN (SELECT value FROM json_each(?))"
    more = () if channels is None else (json.dumps(channels),)
    rows = store.rows(
        f"SELECT {_COLUMNS} FROM reading INDEXED BY reading_open WHERE leaf IS NULL AND hour = ? AND seq > ?"
        f" AND seq <= ?{which} ORDER BY seq",
        (hour, at, end, *more),
    )
    return [_stored(row) for row in rows]


def sealed_readings(store: Store, epoch: int, start: int, end: int) -> list[StoredReading]:
    """Return the readings of a range of leaves."""
    rows = store.rows(
        f"SELECT {_COLUMNS} FROM reading WHERE epoch = ? AND leaf >= ? AND leaf < ? ORDER BY leaf", (epoch, start, end)
    )
    return [_stored(row) for row in rows]


def assign_leaves(store: Store, epoch: int, start: int, readings: Sequence[StoredReading]) -> None:
    """Write down that these readings became the leaves from `start` on.

    Readings of an hour mostly stand one behind the other in the table, so that a few ranges hold them all.
    """
    runs: list[tuple[int, int, int]] = []
    for leaf, reading in enumerate(readings, start):
        offset = leaf - reading.seq
        if runs and runs[-1][0] == offset and runs[-1][2] == reading.seq - 1:
            runs[-1] = (offset, runs[-1][1], reading.seq)
        else:
            runs.append((offset, reading.seq, reading.seq))
    store.execute_many(
        "UPDATE reading SET epoch = ?, leaf = seq + ? WHERE seq BETWEEN ? AND ?", ((epoch, *run) for run in runs)
    )


def values_between(store: Store, channel: str, first: str, last: str) -> dict[str, tuple[str | None, str, str]]:
    """Return time → (value, unit, flag) of a channel's stored readings in a closed range of times."""
    rows = store.rows(
        "SELECT time, value, unit, flag FROM reading WHERE channel = ? AND time >= ? AND time <= ? ORDER BY seq",
        (channel, first, last),
    )
    return {row["time"]: (row["value"], row["unit"], row["flag"]) for row in rows}


def leaves_between(store: Store, channel: str, first: str, end: str) -> list[Leaf]:
    """Return a channel's stored readings in a half-open range of times, in order of time; their leaf index is 0."""
    rows = store.rows(
        "SELECT time, value, unit, flag FROM reading WHERE channel = ? AND time >= ? AND time < ? ORDER BY time, seq",
        (channel, first, end),
    )
    return [
        Leaf(
            0,
            parse_time(row["time"]),
            channel,
            None if row["value"] is None else parse_decimal(row["value"]),
            row["unit"],
            _flag(row["flag"]),
        )
        for row in rows
    ]


def latest_time(store: Store) -> str | None:
    """Return when the gateway last stored a reading that was not imported."""
    found = store.value("SELECT received FROM reading WHERE imported = 0 ORDER BY seq DESC LIMIT 1")
    return None if found is None else str(found)


def _row_of(arrival: Arrival) -> tuple[object, ...]:
    reading = arrival.reading
    return (
        reading.channel,
        time_text(reading.time),
        arrival.hour,
        None if reading.value is None else decimal_text(reading.value),
        reading.unit,
        str(reading.flag),
        reading.reason,
        reading.device_time,
        time_text(reading.received),
        reading.raw,
        int(reading.imported),
        arrival.identity,
    )


def _flag(letter: str) -> Flag:
    flag = FLAG_NAMED.get(letter)
    if flag is None:
        raise EvidenceError(Code.SCHEMA, f"no flag: {letter[:8]!r}")
    return flag


def _stored(row: Row) -> StoredReading:
    seq, channel, time, hour, value, unit, flag, reason, device_time, received, raw, imported, leaf = row
    return StoredReading(
        seq, channel, time, hour, value, unit, flag, reason, device_time or "", received, raw, bool(imported), leaf
    )
