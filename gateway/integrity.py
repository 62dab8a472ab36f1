"""Check everything a gateway keeps against everything else; repair raw tiles from the rows they were made of.

Recomputes every leaf, every tile root and the root of every segment, and walks the chain of statements.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from evidence.merkle import RightEdge, leaf_hash
from evidence.reading import leaf_line
from evidence.statement import parse
from evidence.tiles import TILE_WIDTH, tile_hash
from gateway.errors import IntegrityError
from gateway.identity import known_identity
from gateway.kept_store import kept_of
from gateway.lang import say
from gateway.rawtile import RawFolder
from gateway.reading_store import sealed_readings
from gateway.store import Store
from gateway.tile_repair import tile_of
from gateway.tree import ReadingTree


@dataclass
class CheckReport:
    """What was looked at and what is wrong; empty `faults` means all is well."""

    readings: int = 0
    tiles: int = 0
    segments: int = 0
    no_longer_kept: int = 0
    """Tiles older than the retention, of which roots and salts are kept."""
    statements: int = 0
    repaired: int = 0
    faults: list[str] = field(default_factory=list)


def check_store(store: Store, raw: RawFolder, *, repair: bool) -> CheckReport:
    """Check database, tree, tiles and chain."""
    report = CheckReport()
    for row in store.rows("PRAGMA integrity_check"):
        if row[0] != "ok":
            report.faults.append(say(f"数据库: {row[0]}", f"database: {row[0]}"))
    for row in store.rows("PRAGMA foreign_key_check"):
        report.faults.append(
            say(f"数据库: 表 {row[0]} 有一行指向不存在的内容", f"database: a row of {row[0]} points nowhere")
        )
    if known_identity(store) is None and any(raw.folder.rglob("*.json.gz")):
        report.faults.append(
            say(
                f"数据库: 没有网关身份，而 {raw.folder} 中有原始数据块；数据库可能已被清空或替换",
                f"database: it belongs to no gateway, yet {raw.folder} holds raw tiles; was it emptied or exchanged?",
            )
        )
    for row in store.rows("SELECT epoch FROM tree ORDER BY epoch"):
        _check_tree(store, raw, row["epoch"], report, repair=repair)
    raw.settle()
    _check_chain(store, report)
    return report


def _check_tree(store: Store, raw: RawFolder, epoch: int, report: CheckReport, *, repair: bool) -> None:
    size = int(store.value("SELECT size FROM tree WHERE epoch = ?", (epoch,)))
    full = size // TILE_WIDTH
    ends = {
        row["end"]: parse(row["jws"]).payload["tree"]["root"]
        for row in store.rows(
            'SELECT g."end", s.jws FROM segment g JOIN statement s ON s.sid = g.sid WHERE g.epoch = ?', (epoch,)
        )
    }
    kept = kept_of(store, epoch)
    edge = _edge_of_roots(store, epoch, kept.files_from)
    report.no_longer_kept += kept.files_from
    passed = [end for end in ends if end <= edge.size]
    report.segments += len(passed)
    for end in passed:  # nothing is left to recompute their roots from, except where tiles end
        said = ends.pop(end)
        if end % TILE_WIDTH == 0 and _edge_of_roots(store, epoch, end // TILE_WIDTH).root().hex() != said:
            report.faults.append(_other_root(epoch, end))
    for number in range(kept.files_from, full + (1 if size % TILE_WIDTH else 0)):
        for leaf in _leaves(store, raw, epoch, number, size, report, repair=repair):
            edge.append(leaf)
            expected = ends.pop(edge.size, None)
            if expected is not None:
                report.segments += 1
                if edge.root().hex() != expected:
                    report.faults.append(_other_root(epoch, edge.size))
    report.readings += edge.size
    report.faults += [
        say(
            f"第 {epoch} 期: 缺少到 {end} 为止的读数，而有一段止于此处",
            f"epoch {epoch}: no readings up to {end}, where a segment ends",
        )
        for end in sorted(ends)
    ]
    try:
        ReadingTree(store, raw, epoch, bytes).verify_edge()
    except IntegrityError as error:
        report.faults.append(say(error.zh, error.en))


def _edge_of_roots(store: Store, epoch: int, tiles: int) -> RightEdge:
    """Build the edge of a tree of whole tiles from their roots."""
    rows = store.rows("SELECT hash FROM tile WHERE epoch = ? AND level = 1 AND n < ? ORDER BY n", (epoch, tiles))
    return RightEdge(tiles * TILE_WIDTH, RightEdge.of(row["hash"] for row in rows).hashes)


def _other_root(epoch: int, end: int) -> str:
    return say(
        f"第 {epoch} 期: 止于 {end} 的段的根与读数不符",
        f"epoch {epoch}: the segment that ends at {end} has another root",
    )


def _leaves(
    store: Store, raw: RawFolder, epoch: int, number: int, size: int, report: CheckReport, *, repair: bool
) -> list[bytes]:
    start = number * TILE_WIDTH
    rows = sealed_readings(store, epoch, start, min(size, start + TILE_WIDTH))
    row = store.row("SELECT hash, salt FROM tile WHERE epoch = ? AND level = 1 AND n = ?", (epoch, number))
    if row is None:
        salt = bytes(store.value("SELECT salt FROM tree WHERE epoch = ?", (epoch,)))
        return [leaf_hash(leaf_line(one.to_leaf(), salt)) for one in rows]
    report.tiles += 1
    from_rows = [leaf_hash(leaf_line(one.to_leaf(), row["salt"])) for one in rows]
    rows_fit = len(from_rows) == TILE_WIDTH and tile_hash(from_rows) == row["hash"]
    is_dropped = number < kept_of(store, epoch).rows_from
    if not rows_fit and not is_dropped:
        report.faults.append(_other_rows(epoch, number))
    try:
        hashes = raw.read(epoch, number).leaf_hashes()
        if len(hashes) == TILE_WIDTH and tile_hash(hashes) == row["hash"]:
            if is_dropped and not set(from_rows) <= set(hashes):
                report.faults.append(_other_rows(epoch, number))
            return hashes
        said = say(
            f"第 {epoch} 期: 原始数据块 {number} 与其根不符", f"epoch {epoch}: raw tile {number} does not give its root"
        )
    except IntegrityError as error:
        said = say(error.zh, error.en)
    if repair and rows_fit:
        raw.write(tile_of(epoch, number, row["salt"], rows))
        report.repaired += 1
    else:
        report.faults.append(said)
    return from_rows


def _other_rows(epoch: int, number: int) -> str:
    return say(
        f"第 {epoch} 期: 数据库中数据块 {number} 的行与其根不符",
        f"epoch {epoch}: the database rows of tile {number} do not give its root",
    )


def _check_chain(store: Store, report: CheckReport) -> None:
    before: dict[int, tuple[int, str]] = {}
    for row in store.rows("SELECT epoch, seq, sid, jws FROM statement ORDER BY epoch, seq"):
        report.statements += 1
        statement = parse(row["jws"])
        seq, sid = before.get(row["epoch"], (0, ""))
        payload = statement.payload
        name = f"{row['epoch']}/{row['seq']}"
        if statement.sid != row["sid"] or payload["seq"] != row["seq"] or payload["epoch"] != row["epoch"]:
            report.faults.append(
                say(f"声明 {name} 的编号与内容不符", f"statement {name} is filed under the wrong name")
            )
        if row["seq"] != seq + 1 or (payload["prev"] or "") != sid:
            report.faults.append(say(f"声明链在 {name} 之前中断", f"the chain breaks before statement {name}"))
        before[row["epoch"]] = (row["seq"], row["sid"])
    for row in store.rows("SELECT sid FROM statement WHERE sid NOT IN (SELECT sid FROM outbox)"):
        report.faults.append(
            say(f"声明 {row['sid'][:12]} 从未进入待传队列", f"statement {row['sid'][:12]} was never queued")
        )
