"""Reads the log again, tile by tile, and names what is damaged: rows, entries, hashes, roots, signatures.

Three copies of every entry are compared (its row, its tile of entries, its hash in the tile of level 0), then all
signed checkpoints with the roots recomputed from the rows, then the tiles above with those below. Whoever calls
decides how long to rest between two steps. Nothing is mended here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.orm import Session

from evidence.errors import EvidenceError
from evidence.merkle import RightEdge, leaf_hash
from evidence.note import verify_checkpoint
from evidence.tiles import TILE_WIDTH, Tile, parse_entries, tile_hash, tiles_of
from webapp import store_log
from webapp.database import Database
from webapp.log import Log
from webapp.models import CheckpointRow, CosignedCheckpoint, LogEntry
from webapp.tile_files import ENTRIES

HASH_BYTES = 32


@dataclass(frozen=True)
class Damage:
    """One damaged place: a tile's path, or `entry N` or `checkpoint N` of the database."""

    place: str
    zh: str
    en: str

    @property
    def is_of_tile(self) -> bool:
        """Whether it can be written again from the rows."""
        return self.place.startswith("tile/")


def scrub(log: Log, database: Database) -> Iterator[list[Damage]]:
    """Walk through the whole log as it is now; each step gives what it found damaged."""
    with database.reading() as session:
        last = store_log.last_checkpoint(session)
    size = 0 if last is None else last.size
    edge, is_whole = RightEdge(), True
    for first in range(0, size, TILE_WIDTH):
        width = min(TILE_WIDTH, size - first)
        with database.reading() as session:
            rows = store_log.entries(session, first, first + width)
            found = list(_rows(rows, first, width))
            if [row.idx for row in rows] != list(range(first, first + width)):
                is_whole = False
            found += _tiles(log, Tile(0, first // TILE_WIDTH, width), rows)
            for damage in _checkpoints(log, session, edge, rows, is_whole=is_whole):
                found.append(damage)
                is_whole = is_whole and not damage.place.startswith("checkpoint")
        yield found
    for tile in tiles_of(size):
        if tile.level:
            yield list(_above(log, tile))


def _rows(rows: list[LogEntry], first: int, width: int) -> Iterator[Damage]:
    have = {row.idx for row in rows}
    for index in range(first, first + width):
        if index not in have:
            yield Damage(f"entry {index}", "数据库中缺少这一条", "its row is missing in the database")
    for row in rows:
        if row.leaf_hash != leaf_hash(row.jws.encode("ascii", "replace")):
            yield Damage(f"entry {row.idx}", "该行的声明与其哈希不符", "statement and hash of its row do not fit")


def _tiles(log: Log, tile: Tile, rows: list[LogEntry]) -> list[Damage]:
    """Compare a tile of entries and its tile of hashes with the rows."""
    found = []
    statements = {row.idx: row.jws.encode("ascii", "replace") for row in rows}
    first = tile.number * TILE_WIDTH
    entries_path = Tile(ENTRIES, tile.number, tile.width).path
    try:
        entries = parse_entries(log.tiles.read_entries(tile.number, tile.width))
    except (OSError, EvidenceError) as error:
        found.append(_unreadable(entries_path, error))
    else:
        wrong = [index for index, entry in enumerate(entries, first) if statements.get(index, entry) != entry]
        if wrong or len(entries) < tile.width:
            found.append(_differs(entries_path, wrong))
    try:
        data = log.tiles.read(tile)
    except OSError as error:
        return [*found, _unreadable(tile.path, error)]
    hashes = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
    wrong = [
        index
        for index, known in enumerate(hashes, first)
        if index in statements and leaf_hash(statements[index]) != known
    ]
    if wrong or len(hashes) < tile.width or len(data) % HASH_BYTES:
        found.append(_differs(tile.path, wrong))
    return found


def _checkpoints(
    log: Log, session: Session, edge: RightEdge, rows: list[LogEntry], *, is_whole: bool
) -> Iterator[Damage]:
    """Check the checkpoints of these sizes: signature, and the root that the rows before give."""
    first = edge.size
    signed = {row.size: row for row in store_log.checkpoints_between(session, first, first + len(rows))}
    cosigned = store_log.cosigned_between(session, first, first + len(rows))
    changed = [one.size for one in signed.values() if not _is_signed(log, one)]
    changed += [one.size for one in cosigned if not _is_signed(log, one)]
    for size in changed:
        yield Damage(f"checkpoint {size}", "签名的检查点被改动", "the signed checkpoint was changed")
    for row in rows:
        edge.append(leaf_hash(row.jws.encode("ascii", "replace")))
        at = signed.get(edge.size)
        if is_whole and at is not None and at.root != edge.root().hex():
            yield Damage(
                f"checkpoint {edge.size}",
                "由数据库各行算出的根与签名的根不同：此前某条被改动",
                "the rows do not give the signed root: one of the entries before it was changed",
            )
            is_whole = False


def _is_signed(log: Log, row: CheckpointRow | CosignedCheckpoint) -> bool:
    try:
        checkpoint = verify_checkpoint(row.text, log.vkey)
    except EvidenceError:
        return False
    return (checkpoint.size, checkpoint.root.hex()) == (row.size, row.root)


def _above(log: Log, tile: Tile) -> Iterator[Damage]:
    """Compare a tile of level 1 or higher with the tiles below it."""
    try:
        data = log.tiles.read(tile)
    except OSError as error:
        yield _unreadable(tile.path, error)
        return
    wrong = []
    for offset in range(tile.width):
        try:
            below = log.tiles.read(Tile(tile.level - 1, tile.number * TILE_WIDTH + offset))
            expected = tile_hash([below[at : at + HASH_BYTES] for at in range(0, len(below), HASH_BYTES)])
        except (OSError, ValueError):
            continue  # named where it is
        if data[offset * HASH_BYTES : (offset + 1) * HASH_BYTES] != expected:
            wrong.append(tile.number * TILE_WIDTH + offset)
    if wrong:
        yield Damage(
            tile.path,
            f"与下层的块不符：{_listed(wrong)}",
            f"does not fit the tiles below it: number {_listed(wrong)}",
        )


def _unreadable(path: str, error: Exception) -> Damage:
    said = error.detail if isinstance(error, EvidenceError) else (getattr(error, "strerror", None) or str(error))
    return Damage(path, f"无法读取：{said}", f"cannot be read: {said}")


def _differs(path: str, wrong: list[int]) -> Damage:
    if not wrong:
        return Damage(path, "太短", "is too short")
    return Damage(path, f"第 {_listed(wrong)} 条与数据库不符", f"differs from the database at entry {_listed(wrong)}")


def _listed(numbers: list[int]) -> str:
    shown = ", ".join(str(number) for number in numbers[:5])
    return shown if len(numbers) <= 5 else f"{shown} … (+{len(numbers) - 5})"
