"""The one SQLite file: opening it, and transactions that fail as *our* errors. Contains no business logic.

WAL with `synchronous = FULL`: a commit that returned survives a power cut. Every write transaction starts with
`BEGIN IMMEDIATE`, because a deferred one that reads first loses against another writer without waiting.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sqlite_utils import Database

from gateway.durable import make_folder
from gateway.errors import DamagedError, DiskFullError, GarbledError, GatewayError, StoreError
from gateway.schema import APPLICATION_ID, migrations

BUSY_TIMEOUT_S = 30.0
CACHE_KIB = 16_384
"""Holds the index pages that a thousand channels write to in turn."""
MINIMUM_SQLITE = (3, 38, 0)
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_NO_TEXT = "Could not decode to UTF-8"
"""How Python's sqlite3 begins to say so; such an error has no code."""

Row = sqlite3.Row
P = ParamSpec("P")
R = TypeVar("R")


def wrap_exceptions(function: Callable[P, R]) -> Callable[P, R]:
    """Turn every sqlite error into one of ours that says what to do."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise store_error(error) from error

    return wrapped


class Store:
    """A connection that belongs to one thread at a time; `transaction()` is the only way to write."""

    def __init__(self, path: Path) -> None:
        """Open or create the database.

        Raises:
            StoreError: it cannot be opened, is another program's, or SQLite is too old.
            DamagedError: it is malformed.
            GarbledError: its schema, or the list of its migrations, is not what this program made.
        """
        self.path = path
        if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
            raise StoreError("SQLite 版本过低，需要 3.38 或更新", "SQLite is too old; 3.38 or newer is needed")
        try:
            make_folder(path.parent, 0o700)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"无法打开数据库 {path}: {error}", f"cannot open database {path}: {error}") from error
        try:
            self._prepare()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self._connection.close()
            raise store_error(error) from error
        except GatewayError:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        connection = self._connection
        connection.row_factory = sqlite3.Row
        found = connection.execute("PRAGMA application_id").fetchone()[0]
        empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if found != APPLICATION_ID and not (found == 0 and empty):
            raise StoreError(
                f"{self.path} 不是网关数据库；请检查 data 设置",
                f"{self.path} is not a gateway database; check the data setting",
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        if empty:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self.database = Database(connection)
        try:
            pending = migrations.pending(self.database)
        except LookupError as error:  # the columns of the migrations' own table are not those it was made with
            raise _garbled(f"migrations: {error!r}") from error
        if pending:
            migrations.apply(self.database)

    def close(self) -> None:
        """Close the connection; what was committed stays."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is committed together or not at all.

        Raises:
            StoreError: SQLite refused; nothing of the block is stored.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._connection.in_transaction:  # a full disk makes SQLite roll back by itself
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise store_error(error) from error

    @wrap_exceptions
    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one statement; return the number of rows it changed."""
        return self._connection.execute(sql, parameters).rowcount

    @wrap_exceptions
    def execute_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run one statement for many rows; return the number of rows changed."""
        return self._connection.executemany(sql, rows).rowcount

    @wrap_exceptions
    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query."""
        found: list[Row] = self._connection.execute(sql, parameters).fetchall()
        return found

    def each(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Row]:
        """Go through the rows of a query, which may be more than fit into memory."""
        try:
            yield from self._connection.execute(sql, parameters)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise store_error(error) from error

    @contextmanager
    def any_text(self) -> Iterator[None]:
        """Inside, bytes that are no UTF-8 are read as lone surrogates, so that one garbled row hides no other."""
        self._connection.text_factory = _any_text
        try:
            yield
        finally:
            self._connection.text_factory = str

    @wrap_exceptions
    def row(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Return the first row of a query, or None."""
        found: Row | None = self._connection.execute(sql, parameters).fetchone()
        return found

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the first column of the first row, or None."""
        found = self.row(sql, parameters)
        return None if found is None else found[0]

    # -- single values -------------------------------------------------------------------------------------

    def get(self, name: str) -> str | None:
        """Return a remembered text (`identity` table)."""
        found = self.value("SELECT value FROM identity WHERE name = ?", (name,))
        return None if found is None else str(found)

    def put(self, name: str, value: str) -> None:
        """Remember a text."""
        self.execute(
            "INSERT INTO identity (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )


def is_damage(error: sqlite3.Error | UnicodeDecodeError) -> bool:
    """Tell whether SQLite says that the file is malformed."""
    return _code(error) in _DAMAGED or (isinstance(error, UnicodeDecodeError) and "malformed" in said_of(error))


def store_error(error: sqlite3.Error | UnicodeDecodeError) -> GatewayError:
    """Turn what SQLite refused into an error of ours that says what to do."""
    said = said_of(error)
    if is_damage(error):
        return DamagedError(
            f"数据库文件已损坏（{said}）；请运行 cunzheng gateway run，它会把文件移到一旁并说明如何恢复",
            f"the database file is malformed ({said}); cunzheng gateway run puts it aside and says what to do",
        )
    if isinstance(error, UnicodeDecodeError) or said.startswith(_NO_TEXT) or _code(error) == sqlite3.SQLITE_ERROR:
        return _garbled(said)
    if "locked" in said or "busy" in said:
        return StoreError(
            "数据库被另一进程占用；稍后重试", "the database is locked by another process; try again shortly"
        )
    if "full" in said or "disk I/O" in said:
        return DiskFullError(
            f"磁盘已满或故障（{said}）；请腾出空间", f"the disk is full or failing ({said}); free some space"
        )
    return StoreError(f"数据库错误: {said}", f"database error: {said}")


def _garbled(said: str) -> GarbledError:
    return GarbledError(
        f"数据库中有本程序从未写入的内容（{said}）；请运行 cunzheng gateway check 查明是哪一行，"
        "用 cunzheng gateway export 保存副本，再按 docs/recovery.md 处理",
        f"the database holds what this program never wrote ({said}); cunzheng gateway check names the row;"
        " keep a copy with cunzheng gateway export, then see docs/recovery.md",
    )


def escaped_text(data: bytes) -> str:
    """Read a text for a person; bytes that are no UTF-8 are written as `\\xff`."""
    return data.decode("utf-8", "backslashreplace")


def said_of(error: sqlite3.Error | UnicodeDecodeError) -> str:
    """Return SQLite's words; where they name something garbled, Python has only their bytes."""
    if not isinstance(error, UnicodeDecodeError):
        return str(error)
    return error.object.decode("ascii", "backslashreplace")


def _code(error: Exception) -> int:
    """Return the kind of error: the low byte of SQLite's code."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _any_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
