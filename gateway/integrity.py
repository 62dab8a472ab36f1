"""Check everything a gateway keeps against everything else; repair raw tiles from the rows they were made of.

Looks at every row, recomputes every leaf, every tile root and the root of every segment, and walks the chain of
statements. A garbled row is named and hides nothing else: what stands on it is told as not checkable.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from evidence.errors import EvidenceError
from evidence.merkle import RightEdge, leaf_hash
from evidence.reading import leaf_line
from evidence.statement import parse
from evidence.tiles import TILE_WIDTH, tile_hash
from gateway.errors import IntegrityError
from gateway.identity import known_identity
from gateway.kept_store import kept_of
from gateway.lang import say
from gateway.rawtile import RawFolder, RawTile
from gateway.reading_store import StoredReading, sealed_readings
from gateway.row_check import bad_rows
from gateway.row_forms import UNREADABLE, shown
from gateway.store import Row, Store
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
    contents: int = 0
    """Files of the centre's that were hashed: bodies, plans and parameters that people declared."""
    repaired: int = 0
    faults: list[str] = field(default_factory=list)


def check_store(store: Store, raw: RawFolder, *, repair: bool) -> CheckReport:
    """Check database, tree, tiles and chain.

    Raises:
        DamagedError: SQLite cannot read on.
        GarbledError: the schema is not what this program made.
    """
    report = CheckReport()
    with store.any_text():
        _check_database(store, raw, report)
        for row in store.rows("SELECT epoch FROM tree ORDER BY epoch"):
            epoch = shown(row["epoch"])
            with _going_on(report, f"第 {epoch} 期的读数树", f"the tree of epoch {epoch}"):
                _check_tree(store, raw, row["epoch"], report, repair=repair)
        raw.settle()
        _check_chain(store, report)
    return report


@contextmanager
def _going_on(report: CheckReport, zh: str, en: str) -> Iterator[None]:
    """Name what a garbled row makes impossible to check, and go on with the rest."""
    try:
        yield
    except IntegrityError as error:
        report.faults.append(say(error.zh, error.en))
    except UNREADABLE as error:
        why = shown(error.detail if isinstance(error, EvidenceError) else error)
        report.faults.append(say(f"{zh}无法核对：{why}", f"{en} cannot be checked: {why}"))


def _check_database(store: Store, raw: RawFolder, report: CheckReport) -> None:
    for row in store.rows("PRAGMA integrity_check"):
        if row[0] != "ok":
            report.faults.append(say(f"数据库: {shown(row[0])}", f"database: {shown(row[0])}"))
    for row in store.rows("PRAGMA foreign_key_check"):
        report.faults.append(
            say(f"数据库: 表 {row[0]} 有一行指向不存在的内容", f"database: a row of {row[0]} points nowhere")
        )
    report.faults += [say(*one.words) for one in bad_rows(store)]
    with _going_on(report, "网关身份", "the gateway's identity"):
        if known_identity(store) is None and any(raw.folder.rglob("*.json.gz")):
            report.faults.append(
                say(
                    f"数据库: 没有网关身份，而 {raw.folder} 中有原始数据块；数据库可能已被清空或替换",
                    f"database: it belongs to no gateway, yet {raw.folder} holds raw tiles;"
                    " was it emptied or exchanged?",
                )
            )


def _check_tree(store: Store, raw: RawFolder, epoch: int, report: CheckReport, *, repair: bool) -> None:
    size = int(store.value("SELECT size FROM tree WHERE epoch = ?", (epoch,)))
    full = size // TILE_WIDTH
    roots = store.value("SELECT count(*) FROM tile WHERE epoch = ? AND level = 1", (epoch,))
    if full > roots:
        report.faults.append(
            say(
                f"第 {epoch} 期: 树的大小为 {size}，却只有 {roots} 个数据块根",
                f"epoch {epoch}: the tree is said to hold {size} readings, with roots of {roots} tiles only",
            )
        )
        size, full = roots * TILE_WIDTH, roots
    ends = _roots_of_segments(store, epoch, report)
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


def _roots_of_segments(store: Store, epoch: int, report: CheckReport) -> dict[int, str]:
    """Return the tree root that each segment's statement says, by the leaf it ends before."""
    roots = {}
    for row in store.rows(
        'SELECT g."end", s.jws FROM segment g JOIN statement s ON s.sid = g.sid WHERE g.epoch = ?', (epoch,)
    ):
        name = f"{epoch}/{shown(row['end'])}"
        with _going_on(report, f"止于 {name} 的段", f"the segment that ends at {name}"):
            roots[row["end"]] = parse(row["jws"]).payload["tree"]["root"]
    return roots


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
        return _row_hashes(rows, salt)
    report.tiles += 1
    from_rows = _row_hashes(rows, row["salt"])
    rows_fit = len(from_rows) == TILE_WIDTH and tile_hash(from_rows) == row["hash"]
    is_dropped = number < kept_of(store, epoch).rows_from
    if not rows_fit and not is_dropped:
        report.faults.append(_other_rows(epoch, number))
    try:
        tile = raw.read(epoch, number)
        hashes = tile.leaf_hashes()
        if len(hashes) == TILE_WIDTH and tile_hash(hashes) == row["hash"]:
            if is_dropped and not set(from_rows) <= set(hashes):
                report.faults.append(_other_rows(epoch, number))
            if rows_fit and tile.raw != tuple(one.to_raw() for one in rows):
                report.faults.append(_other_raw_side(epoch, number))
            return hashes
        said = say(
            f"第 {epoch} 期: 原始数据块 {number} 与其根不符", f"epoch {epoch}: raw tile {number} does not give its root"
        )
    except IntegrityError as error:
        said = say(error.zh, error.en)
    if repair and rows_fit and _is_written_again(raw, tile_of(epoch, number, row["salt"], rows)):
        report.repaired += 1
    else:
        report.faults.append(said)
    return from_rows


def _row_hashes(rows: list[StoredReading], salt: bytes) -> list[bytes]:
    """Recompute the leaves; none where a row is no leaf any more, which was named as a row."""
    try:
        return [leaf_hash(leaf_line(one.to_leaf(), salt)) for one in rows]
    except UNREADABLE:
        return []


def _is_written_again(raw: RawFolder, tile: RawTile) -> bool:
    """Write a tile anew; False where what stands beside the leaves in the rows is no text."""
    try:
        raw.write(tile)
    except UnicodeEncodeError:
        return False
    return True


def _other_raw_side(epoch: int, number: int) -> str:
    return say(
        f"第 {epoch} 期: 数据库中数据块 {number} 的原始字节、时间或原因与文件不同",
        f"epoch {epoch}: raw words, times or reasons of the rows of tile {number} are not those of its file",
    )


def _other_rows(epoch: int, number: int) -> str:
    return say(
        f"第 {epoch} 期: 数据库中数据块 {number} 的行与其根不符",
        f"epoch {epoch}: the database rows of tile {number} do not give its root",
    )


def _check_chain(store: Store, report: CheckReport) -> None:
    before: dict[int, tuple[int, str]] = {}
    for row in store.rows("SELECT epoch, seq, sid, jws FROM statement ORDER BY epoch, seq"):
        report.statements += 1
        name = f"{shown(row['epoch'])}/{shown(row['seq'])}"
        with _going_on(report, f"声明 {name} ", f"statement {name}"):
            _check_link(row, name, before.get(row["epoch"], (0, "")), report)
        before[row["epoch"]] = (row["seq"], row["sid"])
    for row in store.rows("SELECT sid FROM statement WHERE sid NOT IN (SELECT sid FROM outbox)"):
        sid = shown(row["sid"])[:12]
        report.faults.append(say(f"声明 {sid} 从未进入待传队列", f"statement {sid} was never queued"))


def _check_link(row: Row, name: str, before: tuple[int, str], report: CheckReport) -> None:
    """Check one statement against its row and the one before."""
    statement, (seq, sid) = parse(row["jws"]), before
    payload = statement.payload
    if statement.sid != row["sid"] or payload["seq"] != row["seq"] or payload["epoch"] != row["epoch"]:
        report.faults.append(say(f"声明 {name} 的编号与内容不符", f"statement {name} is filed under the wrong name"))
    if row["seq"] != seq + 1 or (payload["prev"] or "") != sid:
        report.faults.append(say(f"声明链在 {name} 之前中断", f"the chain breaks before statement {name}"))
