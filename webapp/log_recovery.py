"""What happens to the log at start, and its complete check.

The published checkpoint is the promise to the world. Rows and tiles may be ahead of it (a crash before
publishing) and are then published; they may never be behind it or different (a restored backup). Tiles
that are short or damaged are written again from the rows, and must then give the signed root.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from evidence.errors import EvidenceError
from evidence.merkle import RightEdge, leaf_hash, verify_consistency
from evidence.note import Checkpoint, verify_checkpoint
from evidence.tiles import TILE_WIDTH, Tile, TileTree, entries_tile, tile_hash, tiles_of
from webapp import restored_mark, store_log
from webapp.database import Database
from webapp.errors import LogRefusedError, NotReadyError
from webapp.models import CheckpointRow
from webapp.tile_files import ENTRIES

if TYPE_CHECKING:
    from webapp.log import Log

logger = logging.getLogger(__name__)


def recover(log: Log, database: Database, *, is_confirmed: bool = True) -> None:
    """Check the log at start, mend its tiles, publish what was committed but not published.

    `is_confirmed=False` lets a restored log pass, too, that nobody confirmed.

    Raises:
        NotReadyError: there is no log yet.
        LogRefusedError: the rows do not continue what was published, or are damaged.
    """
    # A turn is taken so that no other process appends meanwhile.
    with database.writing() as session:
        try:
            size = store_log.take_turn(session)
        except LookupError as error:
            raise NotReadyError(
                "日志还没有建立；请先运行 cunzheng center init",
                "there is no log yet; run cunzheng center init first",
            ) from error
        last = store_log.last_checkpoint(session)
        _check_rows(log, session, size, last)
        if last is None:
            return
        if not log.promised() and store_log.count_checkpoints(session) > 1:
            # Only the very first checkpoint can have been lost by a crash: the rows were put here without their folder.
            restored_mark.mark(log.folder, size=size)
        if is_confirmed:
            restored_mark.require_confirmed(log.folder)
        if not _tiles_hold(log, last):
            logger.warning("log tiles rewritten size=%d", size)
            rewrite_tiles(log, session, size)
            if not _tiles_hold(log, last):
                raise LogRefusedError(
                    f"数据库中的日志记录与签名的检查点（{last.size} 条）不符；请从备份恢复",
                    f"log entries in the database do not give the signed root of {last.size} entries; restore a backup",
                )
        for promised in log.promised():
            _check_promised(log, session, last, promised)
        shown = log.newest_shown(session)
    if shown is not None:
        log.publish(shown.text)


def _check_rows(log: Log, session: Session, size: int, last: CheckpointRow | None) -> None:
    for promised in log.promised():
        if promised.size > size:
            raise LogRefusedError(
                f"已公布的检查点有 {promised.size} 条记录，数据库只有 {size} 条：数据库比公布的旧"
                "（恢复了旧备份？）；请恢复最新的备份",
                f"the published checkpoint has {promised.size} entries, the database only {size}: it is older "
                "than what was published (a restored backup?); restore the newest backup",
            )
    index = store_log.last_index(session)
    if (0 if index is None else index + 1) != size or (0 if last is None else last.size) != size:
        raise LogRefusedError(
            f"数据库中的日志不完整（应有 {size} 条）；请从备份恢复",
            f"the log in the database is incomplete ({size} entries expected); restore a backup",
        )
    if last is not None:
        _check_key(log, last)


def _check_key(log: Log, last: CheckpointRow) -> None:
    try:
        verify_checkpoint(last.text, log.vkey)
    except EvidenceError as error:
        raise LogRefusedError(
            f"数据库中的日志不是用本密钥以 {log.origin} 之名签名的（{error}）；请放回原来的 log.key",
            f"the log in the database was not signed with this key as {log.origin} ({error}); "
            "put the log.key back that belongs to it",
        ) from error


def _check_promised(log: Log, session: Session, last: CheckpointRow, published: Checkpoint) -> None:
    if published.size == 0:
        return
    row = store_log.checkpoint_at(session, published.size)
    tree = TileTree(log.tiles.read, last.size)
    try:
        verify_consistency(
            published.size,
            last.size,
            tree.consistency(published.size),
            published.root,
            bytes.fromhex(last.root),
        )
    except EvidenceError as error:
        raise LogRefusedError(
            f"已公布的检查点（{published.size} 条）与数据库不是同一份日志；请恢复正确的备份",
            f"the published checkpoint of {published.size} entries is of another log than the database; "
            "restore the right backup",
        ) from error
    if row is not None and row.root != published.root.hex():
        raise LogRefusedError(
            f"大小 {published.size} 有两个不同的检查点；请停机并保全证据",
            f"there are two checkpoints of size {published.size}; stop and keep both as evidence",
        )


def _tiles_hold(log: Log, last: CheckpointRow) -> bool:
    try:
        number, width = divmod(last.size - 1, TILE_WIDTH)
        log.tiles.read_entries(number, width + 1)
        return TileTree(log.tiles.read, last.size).root().hex() == last.root
    except (EvidenceError, OSError):
        return False


def rewrite_tiles(log: Log, session: Session, size: int) -> None:
    """Write every tile again from the entries' own bytes."""
    for number, run in enumerate(store_log.all_statements(session, size, TILE_WIDTH)):
        entries = [jws.encode("ascii") for _, jws in run]
        log.tiles.write(Tile(ENTRIES, number, len(entries)), entries_tile(entries))
        log.tiles.write(Tile(0, number, len(entries)), b"".join(leaf_hash(entry) for entry in entries))
    for tile in tiles_of(size):
        if tile.level == 0:
            continue
        below = range(tile.number * TILE_WIDTH, tile.number * TILE_WIDTH + tile.width)
        data = [log.tiles.read(Tile(tile.level - 1, number)) for number in below]
        hashes = [tile_hash([part[at : at + 32] for at in range(0, len(part), 32)]) for part in data]
        log.tiles.write(tile, b"".join(hashes))


def mend_tiles(log: Log, database: Database) -> None:
    """Write all tiles again from the entries, while nobody appends."""
    with database.writing() as session:
        rewrite_tiles(log, session, store_log.take_turn(session))


def check(log: Log, session: Session) -> int:
    """Recompute the whole log from its entries against every checkpoint that was signed; gives its size.

    Raises:
        LogRefusedError: an entry or a checkpoint is not what was signed.
    """
    size = check_entries(session)
    last = store_log.last_checkpoint(session)
    if last is not None and not _tiles_hold(log, last):
        raise LogRefusedError(
            "日志的哈希块与记录不符；重新启动中心会重写它们",
            "tiles of the log do not agree with its entries; starting the centre writes them again",
        )
    return size


def check_entries(session: Session) -> int:
    """Recompute every checkpoint that was signed from the entries alone; gives the log's size.

    Raises:
        LogRefusedError: an entry or a checkpoint is not what was signed.
    """
    # The size first: what is signed meanwhile makes more checkpoints, never fewer.
    size = store_log.size_of(session)
    roots = {row.size: row.root for row in store_log.checkpoints(session)}
    edge = RightEdge()
    for run in store_log.all_statements(session, size, TILE_WIDTH):
        for index, jws in run:
            edge.append(leaf_hash(jws.encode("ascii")))
            expected = roots.get(index + 1)
            if index + 1 != edge.size or (expected is not None and edge.root().hex() != expected):
                raise LogRefusedError(
                    f"日志在第 {index} 条或之前被改动；请从备份恢复",
                    f"the log was changed at entry {index} or before; restore a backup",
                )
    if edge.size != size or (size and size not in roots):
        raise LogRefusedError(
            f"日志应有 {size} 条并有检查点，现有 {edge.size} 条；请从备份恢复",
            f"the log should have {size} entries and a checkpoint of them, there are {edge.size}; restore a backup",
        )
    return size
