"""Seal hours: readings → tree → signed segment → outbox, one transaction (hand-off 2).

Each segment covers one hour of the plant's zone. A late or imported reading of an hour that was sealed before gets
another segment of that same hour; nothing sealed changes. An hour waits for `grace` before it is sealed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from evidence.encoding import jcs, parse_time, time_text
from evidence.reading import TILE_SALT_BYTES
from evidence.segment import summarise
from gateway.chain import Signer, append
from gateway.channel_store import baselines, declared_channels, save_baselines
from gateway.hours import HOUR
from gateway.rawtile import RawFolder
from gateway.reading_store import assign_leaves, open_hours, open_readings
from gateway.segment_notes import Notes
from gateway.store import Store
from gateway.tree import ReadingTree

ENTRY_BYTES_PER_SEGMENT = 40_000
"""Keeps a segment below the longest statement (65,535 bytes), whatever its channels are called and count."""
HOURS_PER_TRANSACTION = 48
"""An import of half a year commits in about ninety transactions, each short enough for other writers."""


@dataclass(frozen=True)
class Sealed:
    """What one transaction sealed."""

    segments: int
    readings: int


def due_hours(store: Store, now: datetime, grace: timedelta) -> list[str]:
    """Return the hours with open readings that may be sealed, oldest first."""
    return [hour for hour in open_hours(store) if parse_time(hour) + HOUR + grace <= now]


def seal_hours(
    store: Store, signer: Signer, raw: RawFolder, hours: Iterable[str], notes: Notes | None = None
) -> Sealed:
    """Seal the given hours, in order, inside the caller's transaction; `notes` adds what their leaves do not say."""
    tree = ReadingTree(store, raw, signer.identity.epoch, new_tile_salt)
    channels, carry = declared_channels(store), baselines(store)
    zone = signer.identity.zone_info
    segments = readings = 0
    for hour in hours:
        begin, waiting = parse_time(hour), open_readings(store, hour)
        # No entry depends on where in the tree its readings will stand.
        leaves = (reading.leaf_at(0) for reading in waiting)
        summary, after = summarise(leaves, channels, begin, zone, carry)
        if notes is not None:
            summary = notes(hour, summary, waiting)
        for entries in _parts(summary):
            names = {entry["id"] for entry in entries}
            group = [reading for reading in waiting if reading.channel in names]
            start = tree.size
            for reading in group:
                tree.append(reading)
            assign_leaves(store, tree.epoch, start, group)
            statement = append(
                store,
                signer,
                "segment",
                {
                    "tree": {"start": start, "end": tree.size, "root": tree.root().hex()},
                    "span": [hour, time_text(begin + HOUR)],
                    "ch": entries,
                },
                consistency=tree.consistency(start) if start else None,
            )
            store.execute(
                'INSERT INTO segment (epoch, start, "end", hour, sid) VALUES (?, ?, ?, ?, ?)',
                (tree.epoch, start, tree.size, hour, statement.sid),
            )
            segments, readings = segments + 1, readings + len(group)
        save_baselines(store, {name: one for name, one in after.items() if carry.get(name) != one})
        carry = after
    tree.save()
    return Sealed(segments, readings)


def batches(hours: list[str]) -> Iterator[list[str]]:
    """Cut a list of hours into transactions."""
    rest = iter(hours)
    while batch := list(islice(rest, HOURS_PER_TRANSACTION)):
        yield batch


def new_tile_salt() -> bytes:
    """Draw the secret of a tile."""
    return secrets.token_bytes(TILE_SALT_BYTES)


def _parts(entries: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Cut the entries of an hour, which are sorted by hour and channel, so that each part fits a statement."""
    by_channel: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        by_channel.setdefault(entry["id"], []).append(entry)
    part: list[Mapping[str, Any]] = []
    size = 0
    for group in by_channel.values():
        length = len(jcs(group))
        if part and size + length > ENTRY_BYTES_PER_SEGMENT:
            yield part
            part, size = [], 0
        part, size = part + group, size + length
    if part:
        yield part
