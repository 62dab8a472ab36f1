"""Seal hours: readings → tree → signed segment → outbox, one transaction (hand-off 2).

Each segment covers one hour of the plant's zone. A late or imported reading of an hour that was sealed before gets
another segment of that same hour; nothing sealed changes. An hour waits for `grace` before it is sealed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from evidence.encoding import jcs, parse_time, time_text
from evidence.reading import TILE_SALT_BYTES
from evidence.segment import summarise
from gateway.chain import Signer, append
from gateway.channel_store import baselines, declared_channels, save_baselines
from gateway.hours import HOUR
from gateway.rawtile import RawFolder
from gateway.reading_store import assign_leaves, count_open, open_hours, open_readings
from gateway.segment_notes import Notes
from gateway.store import Store
from gateway.tree import ReadingTree

ENTRY_BYTES_PER_SEGMENT = 40_000
"""Keeps a segment below the longest statement (65,535 bytes), whatever its channels are called and count."""
HOURS_PER_TRANSACTION = 48
READINGS_PER_TRANSACTION = 10_000
"""A fraction of a second of the writer's time, in which nothing else is committed."""


@dataclass(frozen=True)
class Sealed:
    """What one transaction sealed."""

    segments: int
    readings: int


@dataclass(frozen=True)
class OpenHour:
    """An hour that may be sealed, and how many readings it has without a leaf; `is_long`: more than counted."""

    start: str
    readings: int
    is_long: bool


def due_hours(store: Store, now: datetime, grace: timedelta, most: int) -> list[OpenHour]:
    """Return the hours with open readings that may be sealed, oldest first."""
    due = [hour for hour in open_hours(store) if parse_time(hour) + HOUR + grace <= now]
    counts = [count_open(store, hour, most + 1) for hour in due]
    return [OpenHour(hour, count, count > most) for hour, count in zip(due, counts, strict=True)]


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
        for entries in parts_of(summary):
            names = {entry["id"] for entry in entries}
            group = [reading for reading in waiting if reading.channel in names]
            start = tree.size
            for reading in group:
                tree.append(reading)
            assign_leaves(store, tree.epoch, start, group)
            sign_segment(store, signer, tree, start, hour, entries)
            segments, readings = segments + 1, readings + len(group)
        save_baselines(store, {name: one for name, one in after.items() if carry.get(name) != one})
        carry = after
    tree.save()
    return Sealed(segments, readings)


def sign_segment(
    store: Store, signer: Signer, tree: ReadingTree, start: int, hour: str, entries: Sequence[Mapping[str, Any]]
) -> None:
    """Sign for the leaves from `start` on, and queue it, in the transaction that appended the last of them."""
    statement = append(
        store,
        signer,
        "segment",
        segment_members(start, tree.size, tree.root(), hour, entries),
        consistency=tree.consistency(start) if start else None,
    )
    store.execute(
        'INSERT INTO segment (epoch, start, "end", hour, sid) VALUES (?, ?, ?, ?, ?)',
        (tree.epoch, start, tree.size, hour, statement.sid),
    )


def segment_members(
    start: int, end: int, root: bytes, hour: str, entries: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what a segment says besides what every statement of the gateway says."""
    return {
        "tree": {"start": start, "end": end, "root": root.hex()},
        "span": [hour, time_text(parse_time(hour) + HOUR)],
        "ch": list(entries),
    }


def batches(hours: Sequence[OpenHour], most: int) -> Iterator[list[OpenHour]]:
    """Cut a list of hours into transactions; a long hour stands alone."""
    batch: list[OpenHour] = []
    for hour in hours:
        if batch and (len(batch) == HOURS_PER_TRANSACTION or sum(one.readings for one in (*batch, hour)) > most):
            yield batch
            batch = []
        batch.append(hour)
    if batch:
        yield batch


def new_tile_salt() -> bytes:
    """Draw the secret of a tile."""
    return secrets.token_bytes(TILE_SALT_BYTES)


def parts_of(entries: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
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
