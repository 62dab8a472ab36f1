"""A malformed database: put aside whole, never deleted, and what can still be read of it read out.

The three files move into a folder `damaged-<time>` beside; its readable rows are copied into `rescued.db` there, which
`cunzheng gateway check` and `status` open like any other. Raw tiles stay where they are: every full tile holds its
readings by itself. Nothing goes on under the old epoch, because nobody can tell what the damaged file had signed.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from evidence.encoding import decimal_text, time_text
from evidence.errors import EvidenceError
from evidence.reading import parse_leaf_members
from evidence.tiles import TILE_WIDTH
from gateway.durable import sync_folder
from gateway.errors import DamagedError, IntegrityError, StoreError
from gateway.kept_store import kept_of
from gateway.rawtile import RawFolder
from gateway.settings import Settings
from gateway.store import Store, escaped_text, is_damage, said_of

FOLDER = "damaged-"
RESCUED = "rescued.db"
_BESIDE = ("-wal", "-shm")
_ROWS = 500

log = logging.getLogger("cunzheng.gateway")


@dataclass(frozen=True)
class Rescue:
    """What was read out of a damaged database."""

    folder: Path
    readings: int
    statements: int


class PageCheck:
    """A look at every page of a database, in a connection of its own, that another thread may end."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False, isolation_level=None
        )
        self._connection.text_factory = escaped_text

    def fault(self) -> str:
        """Return what SQLite finds wrong first; empty where nothing is, or where the look was ended."""
        try:
            said = str(self._connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except (sqlite3.Error, UnicodeDecodeError) as error:
            return said_of(error) if is_damage(error) else ""
        finally:
            self._connection.close()
        return "" if said == "ok" else " ".join(said.split())

    def end(self) -> None:
        """End it; harmless when it is over."""
        with suppress(sqlite3.ProgrammingError):
            self._connection.interrupt()


def is_malformed(path: Path) -> bool:
    """Tell whether SQLite finds the file malformed; takes time with its size."""
    return bool(PageCheck(path).fault())


def put_aside(settings: Settings, now: datetime) -> Rescue:
    """Move the database with its log into a folder of its own and read out what can be read."""
    folder = settings.data / f"{FOLDER}{now:%Y%m%dT%H%M%S%fZ}"
    folder.mkdir(mode=0o700)
    sync_folder(settings.data)
    _move(settings.database, folder)
    return rescue(folder, settings)


def finish_putting_aside(database: Path) -> None:
    """Move what an interrupted move left behind: a log without its database must meet no other database."""
    if database.exists():
        return
    folders = damaged_folders(database.parent)
    if folders and any(database.with_name(database.name + end).exists() for end in _BESIDE):
        _move(database, folders[-1])


def damaged_folders(data: Path) -> list[Path]:
    """Return the folders of databases that were put aside, oldest first."""
    return sorted(path for path in data.glob(f"{FOLDER}*") if path.is_dir())


def refuse_after_damage(settings: Settings) -> None:
    """Refuse to go on where the database is gone because it was damaged; finish what was interrupted.

    Raises:
        DamagedError: says where it is and what to do.
    """
    finish_putting_aside(settings.database)
    folders = damaged_folders(settings.data)
    if folders and not settings.database.exists():
        raise damaged(settings, rescue(folders[-1], settings))


def damaged(settings: Settings, found: Rescue) -> DamagedError:
    """Say what happened to a damaged database and what to do now."""
    return DamagedError(
        f"数据库已损坏，原文件已移至 {found.folder}（未删除）；从中读出 {found.readings} 个读数、"
        f"{found.statements} 条声明，存于 {found.folder / RESCUED}，原始数据块仍在 {settings.raw_folder}。"
        "请检查磁盘，再用新登记码运行 cunzheng gateway enrol 开始新一期",
        f"the database is malformed and was moved to {found.folder} (nothing is deleted); {found.readings} readings and"
        f" {found.statements} statements were read out into {found.folder / RESCUED}, raw tiles stay in"
        f" {settings.raw_folder}. Check the disk, then begin a new epoch with cunzheng gateway enrol and a new code",
    )


def last_epoch(settings: Settings) -> int:
    """Return the newest epoch that left anything on this disk; a lost database may not have told the centre of it."""
    epochs = [0]
    if not settings.database.exists():  # each epoch had a key, and no key file is ever deleted
        keys = settings.data.glob(f"{settings.key_file.name}*")
        epochs.append(sum(path.suffix != ".new" for path in keys))
    epochs += RawFolder(settings.raw_folder).epochs()
    for folder in damaged_folders(settings.data):
        if (folder / RESCUED).exists():
            with closing(sqlite3.connect(folder / RESCUED)) as rescued:
                row = rescued.execute(
                    "SELECT max(e) FROM (SELECT max(epoch) AS e FROM statement UNION ALL SELECT max(epoch) FROM tree"
                    " UNION ALL SELECT CAST(value AS INTEGER) FROM identity WHERE name = 'epoch')"
                ).fetchone()
            epochs.append(row[0] or 0)
    return max(epochs)


# -- reading out -------------------------------------------------------------------------------------------


def rescue(folder: Path, settings: Settings) -> Rescue:
    """Copy what can be read of rows and raw tiles into a fresh database; a second time only counts."""
    path, temporary = folder / RESCUED, folder / f".{RESCUED}.tmp"
    if not path.exists():
        for end in ("", *_BESIDE):
            temporary.with_name(temporary.name + end).unlink(missing_ok=True)
        store = Store(temporary)
        try:
            store.execute("PRAGMA foreign_keys = OFF")
            with closing(_opened(folder / settings.database.name)) as old:
                for table in _tables(store):
                    _copy_table(old, store, table)
            _add_tiles(store, RawFolder(settings.raw_folder))
        finally:
            store.close()
        temporary.replace(path)
        sync_folder(folder)
    with closing(sqlite3.connect(path)) as rescued:
        readings, statements = (
            int(rescued.execute(f"SELECT count(*) FROM {table}").fetchone()[0]) for table in ("reading", "statement")
        )
    log.warning("rescued folder=%s readings=%d statements=%d", folder, readings, statements)
    return Rescue(folder, readings, statements)


def _opened(path: Path) -> sqlite3.Connection:
    """Open a damaged file to read, with its log if that is possible, else without."""
    for how in ("mode=ro", "immutable=1"):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)
        if _read(connection, "SELECT name FROM sqlite_master", ())[0]:
            break
        if how == "mode=ro":
            connection.close()
    return connection


def _tables(store: Store) -> list[str]:
    rows = store.rows(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '\\_%'"
        " ESCAPE '\\' ORDER BY name"
    )
    return [row["name"] for row in rows]


def _copy_table(old: sqlite3.Connection, store: Store, table: str) -> None:
    there = store.rows(f"SELECT name, pk FROM pragma_table_info('{table}') ORDER BY cid")
    known = {row[0] for row in _read(old, f"SELECT name FROM pragma_table_info('{table}')", ())[0]}
    kept = [row for row in there if row["name"] in known]
    if not kept:
        return
    columns = ", ".join(f'"{row["name"]}"' for row in kept)
    insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({', '.join('?' for _ in kept)})"
    keys = [f'"{row["name"]}"' for row in sorted(kept, key=lambda row: int(row["pk"])) if row["pk"]]
    has_rowid = not _is_without_rowid(store, table)
    for rows in _by_rowid(old, table, columns) if has_rowid else _from_both_ends(old, table, columns, keys):
        try:
            with store.transaction():
                store.execute_many(insert, rows)
        except StoreError:
            for row in rows:  # one of them holds what its column never did
                with suppress(StoreError), store.transaction():
                    store.execute(insert, row)


def _is_without_rowid(store: Store, table: str) -> bool:
    sql = str(store.value("SELECT sql FROM sqlite_master WHERE name = ?", (table,)))
    return "WITHOUT ROWID" in sql.upper()


def _add_tiles(store: Store, raw: RawFolder) -> None:
    """Add the readings that stand in whole raw tiles and in no row that could be read, though they had rows."""
    for epoch, number in raw.there():
        if number < kept_of(store, epoch).rows_from:
            continue
        start = number * TILE_WIDTH
        where = "FROM reading WHERE epoch = ? AND leaf >= ? AND leaf < ?"
        if store.value(f"SELECT count(*) {where}", (epoch, start, start + TILE_WIDTH)) == TILE_WIDTH:
            continue
        try:
            tile = raw.read(epoch, number)
            leaves = [parse_leaf_members(line) for line in tile.lines]
        except (IntegrityError, EvidenceError):
            continue
        rows = [
            (
                *(side.seq, leaf.channel, time_text(leaf.time), ""),
                *(None if leaf.value is None else decimal_text(leaf.value), leaf.unit, leaf.flag.value, side.reason),
                *(side.device_time, side.received, side.raw, int(side.imported), epoch, leaf.index),
            )
            for leaf, side in zip(leaves, tile.raw, strict=False)
        ]
        with store.transaction():
            store.execute_many(
                "INSERT OR IGNORE INTO reading (seq, channel, time, hour, value, unit, flag, reason, device_time,"
                " received, raw, imported, epoch, leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )


def _by_rowid(old: sqlite3.Connection, table: str, columns: str) -> Iterator[list[tuple[Any, ...]]]:
    """Read a table from page to page, over every hole."""
    sql = f"SELECT rowid, {columns} FROM {table} WHERE rowid >= ? ORDER BY rowid LIMIT ?"
    at, step = 0, 1
    last = _last_rowid(old, table)
    while at <= last:
        rows, is_whole = _read(old, sql, (at, _ROWS))
        if rows:
            yield [row[1:] for row in rows]
            at, step = int(rows[-1][0]) + 1, 1
        elif is_whole:
            return
        if not is_whole:
            at, step = at + step, min(step * 2, 64)


def _last_rowid(old: sqlite3.Connection, table: str) -> int:
    for sql in (f"SELECT max(rowid) FROM {table}", f"SELECT seq FROM sqlite_sequence WHERE name = '{table}'"):
        rows, is_whole = _read(old, sql, ())
        if is_whole and rows and rows[0][0] is not None:
            return int(rows[0][0])
    return -1


def _from_both_ends(
    old: sqlite3.Connection, table: str, columns: str, keys: list[str]
) -> Iterator[list[tuple[Any, ...]]]:
    """Read a table without row numbers up to the first hole, then down to the last one."""
    for direction in ("ASC", "DESC"):
        order = ", ".join(f"{key} {direction}" for key in keys)
        rows, is_whole = _read(old, f"SELECT {columns} FROM {table} ORDER BY {order}", ())
        yield rows
        if is_whole:
            return


def _read(old: sqlite3.Connection, sql: str, parameters: tuple[Any, ...]) -> tuple[list[tuple[Any, ...]], bool]:
    """Read rows until the end or until one cannot be read; tell whether that was all of them."""
    rows: list[tuple[Any, ...]] = []
    try:
        rows.extend(old.execute(sql, parameters))
    except (sqlite3.Error, UnicodeDecodeError):  # or words of SQLite that name something garbled
        return rows, False
    return rows, True


def _move(database: Path, folder: Path) -> None:
    """Move the database first: what is left of its log waits for `finish_putting_aside`."""
    for end in ("", *_BESIDE):
        path = database.with_name(database.name + end)
        if path.exists():
            path.rename(folder / path.name)
            sync_folder(folder)
            sync_folder(database.parent)
