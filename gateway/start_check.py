"""What is checked before a gateway does anything: the ends of all that grows, in the same time however much there is.

The tip of the chain, the last readings, the tree's right edge against the newest signed root, the newest raw tiles.
What follows from what is there is repaired in the caller's transaction; the whole is checked by `gateway/integrity.py`.
A tree or chain that is lost is never begun anew under the epoch that signed it: that needs a new enrolment.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from evidence.errors import EvidenceError
from evidence.keys import PublicKey
from evidence.merkle import EMPTY_ROOT, HASH_BYTES, RightEdge
from evidence.statement import Statement, parse
from evidence.tiles import TILE_WIDTH, tile_hash
from gateway.begun_segment import begun
from gateway.errors import IntegrityError
from gateway.kept_store import kept_of
from gateway.rawtile import RawFolder
from gateway.store import Row, Store
from gateway.tile_repair import read_tile
from gateway.tree import ReadingTree

NEWEST_TILES = 8
"""Only what was written last can be half written; older tiles are looked at by `check` and when they are read."""

log = logging.getLogger("cunzheng.gateway")


@dataclass(frozen=True)
class Repair:
    """One thing that was put right, and how often."""

    what: str
    count: int
    zh: str
    en: str


def check_start(store: Store, raw: RawFolder, epoch: int, public: PublicKey) -> list[Repair]:
    """Check the ends of chain and tree; repair what follows from the rest, and say what that was.

    Raises:
        IntegrityError: something is missing or changed that nothing else can give back.
    """
    _check_tip(store, epoch, public)
    repairs = [*_repair_edge(store, raw, epoch), *_repair_tiles(store, raw, epoch)]
    for one in repairs:
        log.warning("repaired what=%s count=%d epoch=%d", one.what, one.count, epoch)
    return repairs


def repairs_json(repairs: list[Repair]) -> list[dict[str, Any]]:
    """Write down what was repaired as an event carries it."""
    return [{"what": one.what, "count": one.count} for one in repairs]


# -- the chain ---------------------------------------------------------------------------------------------


def _check_tip(store: Store, epoch: int, public: PublicKey) -> None:
    """Check that the newest statement is signed, filed, queued and follows the one before."""
    rows = store.rows("SELECT seq, sid, jws FROM statement WHERE epoch = ? ORDER BY seq DESC LIMIT 2", (epoch,))
    ever = store.value("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'") or 0
    queued = store.row("SELECT id, sid FROM outbox ORDER BY id DESC LIMIT 1")
    if ever != (0 if queued is None else queued["id"]):
        raise _lost(f"声明队列止于 {ever}", f"the queue of statements ends at {ever}")
    if not rows:
        if store.value("SELECT 1 FROM segment WHERE epoch = ? LIMIT 1", (epoch,)) is not None:
            raise _lost("声明链", "the chain of statements")
        return
    newest = _statement(rows[0], epoch, public)
    before = rows[1]["sid"] if len(rows) > 1 else None
    if newest.payload["prev"] != before or (before is None) != (newest.payload["seq"] == 1):
        raise _lost(f"第 {newest.payload['seq'] - 1} 条声明", f"statement {newest.payload['seq'] - 1}")
    if store.value("SELECT 1 FROM outbox WHERE sid = ?", (newest.sid,)) is None:
        raise _lost(f"声明 {newest.sid[:12]} 的队列行", f"the queue's row of statement {newest.sid[:12]}")


def _statement(row: Row, epoch: int, public: PublicKey) -> Statement:
    try:
        found = parse(row["jws"])
        found.verify_signature(public)
        if (found.sid, found.payload["seq"], found.payload["epoch"]) == (row["sid"], row["seq"], epoch):
            return found
    except (EvidenceError, KeyError) as error:
        raise _lost(f"声明 {epoch}/{row['seq']}", f"statement {epoch}/{row['seq']}") from error
    raise _lost(f"声明 {epoch}/{row['seq']}", f"statement {epoch}/{row['seq']}")


# -- the tree ----------------------------------------------------------------------------------------------


def _repair_edge(store: Store, raw: RawFolder, epoch: int) -> list[Repair]:
    """Compare the state row with the newest signed root; recompute what does not fit."""
    signed = _signed_end(store, epoch)
    row = store.row("SELECT size, edge, salt FROM tree WHERE epoch = ?", (epoch,))
    if signed is None:
        if row is None or not row["size"]:
            return []
        if begun(store) is None:
            raise _lost(f"第 {epoch} 期的时段存证", f"the segments of epoch {epoch}")
        signed = 0, EMPTY_ROOT
    if row is None:
        raise _lost(f"第 {epoch} 期的读数树", f"the reading tree of epoch {epoch}")
    size = _appended_end(store, epoch, signed[0])
    if row["size"] == size and _fits(store, raw, epoch, row["edge"], signed):
        return []
    store.execute("UPDATE tree SET size = ?, edge = ? WHERE epoch = ?", (size, _edge_bytes(size), epoch))
    edge, repairs = _recomputed(store, raw, epoch), []
    if edge is None or not _fits(store, raw, epoch, b"".join(edge.hashes), signed):
        repairs = _repair_roots(store, raw, epoch, size)
        edge = _recomputed(store, raw, epoch)
    if edge is None or not _fits(store, raw, epoch, b"".join(edge.hashes), signed):
        raise IntegrityError(
            f"第 {epoch} 期的读数树与最后签名的根不符，无法由读数重算；请运行 cunzheng gateway check 查看，"
            "并用新登记码运行 cunzheng gateway enrol --again 开始新一期",
            f"the reading tree of epoch {epoch} does not give the root signed last and cannot be computed from its"
            " readings; see cunzheng gateway check, then begin a new epoch with cunzheng gateway enrol --again",
        )
    store.execute("UPDATE tree SET edge = ? WHERE epoch = ?", (b"".join(edge.hashes), epoch))
    return [*repairs, Repair("edge", 1, "读数树的右边缘已重算", "the reading tree's right edge was computed again")]


def _recomputed(store: Store, raw: RawFolder, epoch: int) -> RightEdge | None:
    try:
        return ReadingTree(store, raw, epoch, bytes).recomputed_edge()
    except IntegrityError:
        return None


def _fits(store: Store, raw: RawFolder, epoch: int, edge: bytes, signed: tuple[int, bytes]) -> bool:
    """Tell whether this is the tree's edge, and its beginning what was signed."""
    try:
        tree = ReadingTree(store, raw, epoch, bytes)
        return b"".join(tree.recomputed_edge().hashes) == edge and tree.root_at(signed[0]) == signed[1]
    except (IntegrityError, IndexError, EvidenceError):
        return False


def _appended_end(store: Store, epoch: int, signed: int) -> int:
    """Return the size of the tree: what was signed, and the leaves of a segment that is still under way."""
    part = begun(store)
    if part is None or part.epoch != epoch:
        return signed
    if part.start != signed:
        raise _lost(f"止于 {part.start} 的段", f"the segment that ends at {part.start}")
    newest = store.value("SELECT max(leaf) FROM reading WHERE epoch = ? AND leaf >= ?", (epoch, signed))
    return signed if newest is None else int(newest) + 1


def _signed_end(store: Store, epoch: int) -> tuple[int, bytes] | None:
    """Return size and root of the tree as the newest segment has them."""
    row = store.row(
        'SELECT g."end", s.jws FROM segment g LEFT JOIN statement s ON s.sid = g.sid'
        " WHERE g.epoch = ? ORDER BY g.start DESC LIMIT 1",
        (epoch,),
    )
    if row is None:
        return None
    if row["jws"] is None:
        raise _lost("最后一段的声明", "the newest segment's statement")
    tree = parse(row["jws"]).payload["tree"]
    if tree["end"] != row["end"]:
        raise _lost("最后一段", "the newest segment")
    return int(tree["end"]), bytes.fromhex(tree["root"])


def _repair_roots(store: Store, raw: RawFolder, epoch: int, size: int) -> list[Repair]:
    """Write the tile roots that the edge stands on anew, from raw tiles and from the roots below."""
    count, level, width = 0, 1, size // TILE_WIDTH
    while width:
        for number in range(width // TILE_WIDTH * TILE_WIDTH, width):
            found = store.row(
                "SELECT hash, salt FROM tile WHERE epoch = ? AND level = ? AND n = ?", (epoch, level, number)
            )
            root, salt = _root_from_below(store, raw, epoch, level, number)
            if root is not None and (found is None or found["hash"] != root):
                store.execute(
                    "INSERT INTO tile (epoch, level, n, hash, salt) VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT (epoch, level, n) DO UPDATE SET hash = excluded.hash, salt = excluded.salt",
                    (epoch, level, number, root, salt),
                )
                count += 1
        level, width = level + 1, width // TILE_WIDTH
    said = Repair("tile roots", count, f"{count} 个数据块根已重算", f"{count} tile roots were computed again")
    return [said] if count else []


def _root_from_below(
    store: Store, raw: RawFolder, epoch: int, level: int, number: int
) -> tuple[bytes | None, bytes | None]:
    if level == 1:
        try:
            tile = raw.read(epoch, number)
            hashes = tile.leaf_hashes()
        except IntegrityError:
            return None, None
        return (tile_hash(hashes), tile.salt) if len(hashes) == TILE_WIDTH else (None, None)
    rows = store.rows(
        "SELECT hash FROM tile WHERE epoch = ? AND level = ? AND n >= ? AND n < ? ORDER BY n",
        (epoch, level - 1, number * TILE_WIDTH, (number + 1) * TILE_WIDTH),
    )
    hashes = [bytes(row["hash"]) for row in rows]
    return (tile_hash(hashes), None) if len(hashes) == TILE_WIDTH else (None, None)


def _repair_tiles(store: Store, raw: RawFolder, epoch: int) -> list[Repair]:
    """Look at the newest raw tiles, and build again what is missing or half written."""
    full = int(store.value("SELECT size FROM tree WHERE epoch = ?", (epoch,)) or 0) // TILE_WIDTH
    first = max(full - NEWEST_TILES, kept_of(store, epoch).files_from)
    count = sum(read_tile(store, raw, epoch, number)[1] for number in range(first, full))
    said = Repair("raw tiles", count, f"{count} 个原始数据块已重建", f"{count} raw tiles were built again")
    return [said] if count else []


def _edge_bytes(size: int) -> bytes:
    """Stand in for the edge of a tree of this size until it is computed."""
    return bytes(HASH_BYTES * size.bit_count())


def _lost(zh: str, en: str) -> IntegrityError:
    return IntegrityError(
        f"数据库中缺少{zh}或其已被改动；本期不能继续签名。请先运行 cunzheng gateway export 保存现有数据，"
        "再用新登记码运行 cunzheng gateway enrol --again 开始新一期",
        f"{en} is missing from the database or was changed; this epoch cannot sign on. Keep what is there with"
        " cunzheng gateway export, then begin a new epoch with cunzheng gateway enrol --again and a new code",
    )
