"""The store as another connection sees it: reads only, never waits for the writer, never for longer than it may.

A WAL reader holds nobody up; a query that takes too long is broken off, so that the log of changes can be folded back
into the database in time.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from types import TracebackType

from gateway.errors import StoreError
from gateway.store import Store

LONGEST_S = 5.0
_INSTRUCTIONS = 10_000
"""Steps of SQLite's machine between two looks at the clock."""


class Snapshot(Store):
    """One consistent view of the database; close it soon."""

    def __init__(self, path: Path, longest_s: float = LONGEST_S) -> None:
        """Open a view; it ends by itself after `longest_s`.

        Raises:
            StoreError: there is no database, or it cannot be read.
        """
        self.path = path
        until = time.monotonic() + longest_s
        try:
            self._connection = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            self._connection.set_progress_handler(lambda: time.monotonic() > until, _INSTRUCTIONS)
            self._connection.execute("PRAGMA query_only = ON")
            self._connection.execute("BEGIN")
        except sqlite3.Error as error:
            raise StoreError(f"无法读取数据库 {path}: {error}", f"cannot read database {path}: {error}") from error

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
