"""SQL over what a gateway still keeps of its readings: from which tile on rows and files are there. No business logic.

Both go in the order of the tree, oldest first, so that one number a tree says where each begins. Roots and salts of all
tiles stay, and with them every proof.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evidence.tiles import TILE_WIDTH
from gateway.store import Store


@dataclass(frozen=True)
class Kept:
    """Numbers of the first tile whose rows are in the database, and of the first whose file is there."""

    epoch: int
    rows_from: int = 0
    files_from: int = 0


@dataclass(frozen=True)
class SealedSpan:
    """A segment's leaves and what is known of its way to the centre."""

    start: int
    end: int
    hour: str
    signed: str
    received: str | None
    """When its receipt was stored; None while it has none."""


def kept_of(store: Store, epoch: int) -> Kept:
    """Return what is kept of an epoch."""
    row = store.row("SELECT rows_from, files_from FROM kept WHERE epoch = ?", (epoch,))
    return Kept(epoch) if row is None else Kept(epoch, row["rows_from"], row["files_from"])


def kept_of_all(store: Store) -> list[Kept]:
    """Return what is kept of every epoch that has a tree."""
    return [kept_of(store, row["epoch"]) for row in store.rows("SELECT epoch FROM tree ORDER BY epoch")]


def keep_from(store: Store, kept: Kept) -> None:
    """Write down where rows and files begin; neither ever goes back."""
    store.execute(
        "INSERT INTO kept (epoch, rows_from, files_from) VALUES (?, ?, ?) ON CONFLICT (epoch) DO UPDATE"
        " SET rows_from = max(rows_from, excluded.rows_from), files_from = max(files_from, excluded.files_from)",
        (kept.epoch, kept.rows_from, kept.files_from),
    )


def full_tiles(store: Store, epoch: int) -> int:
    """Count the full tiles of an epoch."""
    return int(store.value("SELECT size FROM tree WHERE epoch = ?", (epoch,)) or 0) // TILE_WIDTH


def spans_from(store: Store, epoch: int, leaf: int, limit: int) -> list[SealedSpan]:
    """Return the segments from the one that holds a leaf on, in order."""
    rows = store.rows(
        'SELECT g.start, g."end", g.hour, s.t, o.state, coalesce(r.stored, s.t) AS received, r.sid AS receipt'
        " FROM segment g JOIN statement s ON s.sid = g.sid JOIN outbox o ON o.sid = g.sid"
        " LEFT JOIN receipt r ON r.sid = g.sid WHERE g.epoch = ? AND g.start >="
        " (SELECT max(start) FROM segment WHERE epoch = ? AND start <= ?) ORDER BY g.start LIMIT ?",
        (epoch, epoch, leaf, limit),
    )
    return [
        SealedSpan(
            row["start"],
            row["end"],
            row["hour"],
            row["t"],
            row["received"] if row["state"] == "logged" and row["receipt"] is not None else None,
        )
        for row in rows
    ]


def hour_of_leaf_at(store: Store, epoch: int, leaf: int) -> str | None:
    """Return the hour of the segment that holds a leaf; None while nothing is sealed there."""
    found = store.value(
        'SELECT hour FROM segment WHERE epoch = ? AND start <= ? AND "end" > ? ORDER BY start DESC LIMIT 1',
        (epoch, leaf, leaf),
    )
    return None if found is None else str(found)


def newest_receipt(store: Store) -> str | None:
    """Return when the last receipt was stored: a time that the centre found right, or nobody's."""
    found = store.value("SELECT max(stored) FROM receipt")
    return None if found is None else str(found)


def dropped_leaves(store: Store, hour: str) -> list[tuple[int, int, int]]:
    """Return the leaf ranges (epoch, start, end) of an hour whose rows were dropped."""
    rows = store.rows(
        f'SELECT g.epoch, g.start, min(g."end", k.rows_from * {TILE_WIDTH}) AS until FROM segment g'
        f" JOIN kept k ON k.epoch = g.epoch WHERE g.hour = ? AND g.start < k.rows_from * {TILE_WIDTH} ORDER BY 1, 2",
        (hour,),
    )
    return [(row["epoch"], row["start"], row["until"]) for row in rows]


def has_dropped_rows(store: Store) -> bool:
    """Tell whether any rows were dropped."""
    return store.value("SELECT 1 FROM kept WHERE rows_from > 0 LIMIT 1") is not None


def needed_rows(store: Store) -> frozenset[int]:
    """Return the rows that stay however old: what the judge, the status and the next start begin with."""
    found = {store.value("SELECT seq FROM reading WHERE imported = 0 ORDER BY seq DESC LIMIT 1")}
    for row in store.rows("SELECT id FROM channel"):
        newest = "SELECT seq FROM reading WHERE channel = ?{} ORDER BY time DESC LIMIT 1"
        found.add(store.value(newest.format(""), (row["id"],)))
        found.add(store.value(newest.format(" AND flag = 'N' AND value IS NOT NULL"), (row["id"],)))
    return frozenset(int(seq) for seq in found if seq is not None)


def old_rows(store: Store, epoch: int) -> int:
    """Count the rows of leaves whose rows were dropped: those that stay, and those called back."""
    end = kept_of(store, epoch).rows_from * TILE_WIDTH
    counted = "SELECT count(*) FROM reading WHERE epoch = ? AND leaf IS NOT NULL AND leaf < ?"
    return int(store.value(counted, (epoch, end)))


def drop_rows(store: Store, epoch: int, needed: Iterable[int]) -> int:
    """Delete the rows that are not kept, except needed ones and those of hours that wait to be sealed again."""
    spared = sorted(needed)
    marks = ", ".join("?" for _ in spared)
    return store.execute(
        f"DELETE FROM reading WHERE epoch = ? AND leaf IS NOT NULL AND leaf < ? AND seq NOT IN ({marks})"
        " AND hour NOT IN (SELECT hour FROM reading WHERE leaf IS NULL)",
        (epoch, kept_of(store, epoch).rows_from * TILE_WIDTH, *spared),
    )


def drop_unread(store: Store, first: str, before: str, limit: int) -> int:
    """Delete kept frames and quarantined messages that were received in a range of times, a limited number."""
    frames = store.execute(
        "DELETE FROM hj212_frame WHERE (key, sha256) IN"
        " (SELECT key, sha256 FROM hj212_frame WHERE received >= ? AND received < ? LIMIT ?)",
        (first, before, limit),
    )
    return frames + store.execute(
        "DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine WHERE received >= ? AND received < ? LIMIT ?)",
        (first, before, limit),
    )
