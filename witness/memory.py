"""What a witness remembers: for each log the largest checkpoint it cosigned, synced before anything is answered.

One turn is looking at the row, deciding and writing it, and nobody else has a turn meanwhile, in whatever thread or
process. A witness without its memory would cosign anything, so a lost one is never made anew for the same key.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from witness.errors import WitnessError

BUSY_S = 10.0
_SCHEMA = """
CREATE TABLE witness (vkey TEXT NOT NULL);
CREATE TABLE latest (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, note TEXT NOT NULL)
"""


@dataclass(frozen=True)
class Latest:
    """The last checkpoint cosigned for a log, with the note that said so."""

    size: int
    root: bytes
    note: str


class Memory:
    """The open memory of one witness; used from many threads, one at a time."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._lock = threading.Lock()

    @classmethod
    def make(cls, path: Path, vkey: str) -> Memory:
        """Make the memory of a new witness."""
        memory = cls(path)
        with memory._transaction():
            for statement in _SCHEMA.split(";"):
                memory._connection.execute(statement)
            memory._connection.execute("INSERT INTO witness (vkey) VALUES (?)", (vkey,))
        return memory

    @classmethod
    def open(cls, path: Path, vkey: str) -> Memory:
        """Open the memory that belongs to a key.

        Raises:
            WitnessError: it is missing or belongs to another key.
        """
        if not path.exists():
            raise WitnessError(
                f"见证的状态文件 {path} 不见了：没有它就会为任何历史签名；请找回它，否则必须换新密钥和新名称",
                f"the memory {path} of this witness is lost, and without it any history would be cosigned; "
                "put it back, or begin a new witness with a new key",
            )
        memory = cls(path)
        try:
            known = [row[0] for row in memory._connection.execute("SELECT vkey FROM witness")]
        except sqlite3.DatabaseError as error:
            memory.close()
            raise WitnessError(f"状态文件 {path} 已损坏：{error}", f"the memory {path} is damaged: {error}") from error
        if known != [vkey]:
            memory.close()
            raise WitnessError(
                f"状态文件 {path} 属于另一个密钥或名称；请放回它的密钥与名称",
                f"the memory {path} belongs to another key or name; put back those that it belongs to",
            )
        return memory

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Take a turn: what is kept in the block is on disk when the block has ended, or nothing is."""
        with self._lock, self._transaction():
            yield Turn(self._connection)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # what failed may have ended it
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close it."""
        with self._lock:
            self._connection.close()


class Turn:
    """Looks at the rows and changes them, within one turn."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def latest(self, origin: str) -> Latest | None:
        """Return what was cosigned last for a log."""
        row = self._connection.execute("SELECT size, root, note FROM latest WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else Latest(*row)

    def keep(self, origin: str, latest: Latest) -> None:
        """Remember a larger one."""
        self._connection.execute(
            "INSERT INTO latest (origin, size, root, note) VALUES (?, ?, ?, ?) ON CONFLICT (origin)"
            " DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note",
            (origin, latest.size, latest.root, latest.note),
        )
