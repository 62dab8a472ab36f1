"""Answer a want: one raw tile with the proof that it belongs to a logged segment's root."""

from __future__ import annotations

from collections.abc import Callable

from evidence.tile_proof import TileProof
from evidence.tiles import TILE_WIDTH
from gateway.errors import IntegrityError, NoLongerKeptError, RefusedError
from gateway.kept_store import kept_of
from gateway.rawtile import RawFolder, RawReading
from gateway.store import Store
from gateway.tree import ReadingTree
from sync import RawSide, TileAnswer, TileWanted


def answer_want(store: Store, raw: RawFolder, want: TileWanted) -> TileAnswer:
    """Show the tile under the first logged segment that covers it whole, else the last that touches it.

    Raises:
        RefusedError: the segment is not known to be logged yet; later it will be.
        NoLongerKeptError: the tile is older than the retention.
        IntegrityError: the tile's file is missing or damaged, or this gateway never had or has lost the tile.
    """
    if want.tile < kept_of(store, want.epoch).files_from:
        raise NoLongerKeptError(
            f"第 {want.epoch} 期的数据块 {want.tile} 已超过保存期限，不再保存；其根、声明和回执仍在",
            f"tile {want.tile} of epoch {want.epoch} is older than the retention and no longer kept;"
            " its root, statements and receipts are",
        )
    size = _proven_size(store, want.epoch, want.tile)
    tree = ReadingTree(store, raw, want.epoch, _no_salt)
    proof: TileProof = tree.prove_tile(want.tile, size)
    side = tree.raw_tile(want.tile, len(proof.lines)).raw
    return TileAnswer(
        id=want.id,
        epoch=want.epoch,
        tile=want.tile,
        size=size,
        tile_salt=proof.salt.hex(),
        lines=proof.lines,
        path=tuple(one.hex() for one in proof.path),
        raw=tuple(_raw_text(one) for one in side),
    )


def _proven_size(store: Store, epoch: int, tile: int) -> int:
    first, whole = tile * TILE_WIDTH, (tile + 1) * TILE_WIDTH
    logged = (
        "SELECT {} FROM segment g JOIN outbox o ON o.sid = g.sid AND o.state = 'logged'"
        ' WHERE g.epoch = ? AND g."end" {} ?'
    )
    size = store.value(logged.format('min(g."end")', ">="), (epoch, whole))
    if size is None:
        size = store.value(logged.format('max(g."end")', ">"), (epoch, first))
    if size is None:
        known = store.value('SELECT 1 FROM segment WHERE epoch = ? AND "end" > ? LIMIT 1', (epoch, first))
        if known is None:
            raise IntegrityError(
                f"本网关没有第 {epoch} 期的数据块 {tile}", f"this gateway has no tile {tile} of epoch {epoch}"
            )
        raise RefusedError(f"数据块 {tile} 尚未入日志", f"tile {tile} is not under a logged segment yet")
    return int(size)


def _raw_text(one: RawReading) -> str:
    side = RawSide(
        raw=one.raw,
        reason=one.reason or None,
        device_time=one.device_time or None,
        received=one.received,
        seq=one.seq,
        imported=one.imported,
    )
    return side.to_text()


_no_salt: Callable[[], bytes] = bytes
