"""Bring rows back from raw tiles, for an hour whose rows were dropped and that something late belongs to.

Late and imported readings are compared with what is stored, and an hour that is sealed again is judged as a whole; both
look into the database only. The rows go again by `gateway/retention.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from evidence.encoding import decimal_text, time_text
from evidence.reading import Flag, parse_leaf_members
from evidence.tiles import TILE_WIDTH
from gateway.kept_store import dropped_leaves, has_dropped_rows, kept_of
from gateway.rawtile import RawFolder, RawTile
from gateway.reading_store import Arrival
from gateway.store import Store

TOO_OLD = "older than the retention"


def recall_hours(store: Store, raw: RawFolder, hours: Iterable[str]) -> frozenset[str]:
    """Bring back the rows of hours; return those of which something is no longer kept at all.

    Raises:
        IntegrityError: a raw tile is missing or damaged.
    """
    if not has_dropped_rows(store):
        return frozenset()
    gone = set()
    tiles: dict[tuple[int, int], RawTile] = {}
    for hour in sorted(set(hours)):
        for epoch, start, end in dropped_leaves(store, hour):
            there = kept_of(store, epoch).files_from * TILE_WIDTH
            if start < there:
                gone.add(hour)
            for number in range(max(start, there) // TILE_WIDTH, -(-end // TILE_WIDTH)):
                if (epoch, number) not in tiles:
                    tiles = {(epoch, number): raw.read(epoch, number)}
                _bring_back(store, tiles[epoch, number], hour, max(start, there), end)
    return frozenset(gone)


def without_known(store: Store, arrivals: Sequence[Arrival], hours: Iterable[str]) -> list[Arrival]:
    """Leave out what hours hold already that were brought back: their rows have lost the name of their message."""
    recalled = frozenset(hours)
    if not recalled or not has_dropped_rows(store):
        return list(arrivals)
    return [one for one in arrivals if one.hour not in recalled or not _is_there(store, one)]


def too_old(arrival: Arrival, gone: frozenset[str]) -> Arrival:
    """Mark a reading of an hour that is no longer kept: nobody can tell whether it came before, so it enters no sum."""
    if arrival.hour not in gone:
        return arrival
    reading = arrival.reading
    flag = Flag.FAULT if reading.flag is Flag.NORMAL else reading.flag
    reason = f"{TOO_OLD}; {reading.reason}" if reading.reason else TOO_OLD
    return replace(arrival, reading=replace(reading, flag=flag, reason=reason))


def _is_there(store: Store, arrival: Arrival) -> bool:
    reading = arrival.reading
    value = None if reading.value is None else decimal_text(reading.value)
    found = store.value(
        "SELECT 1 FROM reading WHERE channel = ? AND time = ? AND value IS ? AND identity IS NULL LIMIT 1",
        (reading.channel, time_text(reading.time), value),
    )
    return found is not None


def _bring_back(store: Store, tile: RawTile, hour: str, start: int, end: int) -> None:
    rows = []
    for line, raw in zip(tile.lines, tile.raw, strict=True):
        leaf = parse_leaf_members(line)
        if start <= leaf.index < end:
            value = None if leaf.value is None else decimal_text(leaf.value)
            said = (leaf.channel, time_text(leaf.time), hour, value, leaf.unit, leaf.flag.value)
            kept = (raw.reason, raw.device_time, raw.received, raw.raw, int(raw.imported))
            rows.append((raw.seq, *said, *kept, tile.epoch, leaf.index))
    store.execute_many(
        "INSERT INTO reading (seq, channel, time, hour, value, unit, flag, reason, device_time, received, raw,"
        " imported, epoch, leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        rows,
    )
