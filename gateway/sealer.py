"""Seal hours: readings → tree → signed segment → outbox, one transaction (hand-off 2).

Each segment covers one hour of the plant's zone. A late or imported reading of an hour that was sealed before gets
another segment of that same hour; nothing sealed changes. An hour waits for `grace` before it is sealed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from evidence.encoding import parse_time, time_text
from evidence.reading import TILE_SALT_BYTES
from evidence.segment import summarise
from gateway.chain import Signer, append
from gateway.channel_store import baselines, declared_channels, save_baselines
from gateway.hours import HOUR
from gateway.rawtile import RawFolder
from gateway.reading_store import StoredReading, assign_leaves, open_hours, open_readings
from gateway.store import Store
from gateway.tree import ReadingTree

CHANNELS_PER_SEGMENT = 200
"""Keeps a segment far below the longest statement (65,535 bytes)."""
HOURS_PER_TRANSACTION = 48
"""An import of half a year commits in about ninety transactions, each short enough for other writers."""


@dataclass(frozen=True)
class Sealed:
    """What one transaction sealed."""

    segments: int
    readings: int


def due_hours(store: Store, now: datetime, grace: timedelta) -> list[str]:
    """Return the hours with open readings that may be sealed, oldest first."""
    return [hour for hour, _ in open_hours(store) if parse_time(hour) + HOUR + grace <= now]


def seal_hours(store: Store, signer: Signer, raw: RawFolder, hours: Iterable[str]) -> Sealed:
    """Seal the given hours, in order, inside the caller's transaction."""
    tree = ReadingTree(store, raw, signer.identity.epoch, new_tile_salt)
    channels, carry = declared_channels(store), baselines(store)
    zone = signer.identity.zone_info
    segments = readings = 0
    for hour in hours:
        for group in _by_channels(open_readings(store, hour)):
            start, old = tree.size, tree.size
            placed = [reading.at_leaf(start + offset) for offset, reading in enumerate(group)]
            for reading in placed:
                tree.append(reading)
            assign_leaves(store, tree.epoch, placed)
            begin = parse_time(hour)
            entries, after = summarise((reading.to_leaf() for reading in placed), channels, begin, zone, carry)
            statement = append(
                store,
                signer,
                "segment",
                {
                    "tree": {"start": start, "end": tree.size, "root": tree.root().hex()},
                    "span": [hour, time_text(begin + HOUR)],
                    "ch": entries,
                },
                consistency=tree.consistency(old) if old else None,
            )
            store.execute(
                'INSERT INTO segment (epoch, start, "end", hour, sid) VALUES (?, ?, ?, ?, ?)',
                (tree.epoch, start, tree.size, hour, statement.sid),
            )
            save_baselines(store, {name: one for name, one in after.items() if carry.get(name) != one})
            carry = after
            segments, readings = segments + 1, readings + len(placed)
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


def _by_channels(readings: list[StoredReading]) -> Iterator[list[StoredReading]]:
    names = sorted({reading.channel for reading in readings})
    for at in range(0, len(names), CHANNELS_PER_SEGMENT):
        wanted = set(names[at : at + CHANNELS_PER_SEGMENT])
        yield [reading for reading in readings if reading.channel in wanted]
