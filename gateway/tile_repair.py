"""Build a raw tile again from the rows it was made of, where the file is gone or damaged.

Only rows that give the stored root make a tile: what was signed is never written anew from something else.
"""

from __future__ import annotations

import logging

from evidence.tiles import TILE_WIDTH, tile_hash
from gateway.errors import IntegrityError
from gateway.rawtile import RawFolder, RawTile
from gateway.reading_store import StoredReading, sealed_readings
from gateway.store import Store

log = logging.getLogger("cunzheng.gateway")


def tile_of(epoch: int, number: int, salt: bytes, readings: list[StoredReading]) -> RawTile:
    """Make the raw tile of these readings."""
    start = number * TILE_WIDTH
    lines = tuple(one.line_at(start + at) for at, one in enumerate(readings))
    return RawTile(epoch, number, salt, lines, tuple(one.to_raw() for one in readings))


def is_whole(tile: RawTile, root: bytes) -> bool:
    """Tell whether a tile's content gives its root."""
    hashes = tile.leaf_hashes()
    return len(hashes) == TILE_WIDTH and tile_hash(hashes) == root


def tile_from_rows(store: Store, epoch: int, number: int) -> RawTile | None:
    """Make a full tile from the rows; None where they do not give its root, or the root is not known."""
    row = store.row("SELECT hash, salt FROM tile WHERE epoch = ? AND level = 1 AND n = ?", (epoch, number))
    if row is None or row["salt"] is None:
        return None
    start = number * TILE_WIDTH
    tile = tile_of(epoch, number, row["salt"], sealed_readings(store, epoch, start, start + TILE_WIDTH))
    return tile if is_whole(tile, row["hash"]) else None


def read_tile(store: Store, raw: RawFolder, epoch: int, number: int) -> tuple[RawTile, bool]:
    """Read a raw tile, building it again where it is gone or damaged; tell whether it was built again.

    Raises:
        IntegrityError: the file is damaged and the rows do not give its root.
    """
    root = store.value("SELECT hash FROM tile WHERE epoch = ? AND level = 1 AND n = ?", (epoch, number))
    try:
        tile = raw.read(epoch, number)
        if root is None or is_whole(tile, bytes(root)):
            return tile, False
        failed = IntegrityError(
            f"第 {epoch} 期: 原始数据块 {number} 与其根不符",
            f"epoch {epoch}: raw tile {number} does not give its root",
        )
    except IntegrityError as error:
        failed = error
    fresh = tile_from_rows(store, epoch, number)
    if fresh is None:
        raise failed
    raw.write(fresh)
    raw.settle()
    log.warning("raw tile built again epoch=%d tile=%d reason=%r", epoch, number, str(failed))
    return fresh, True
