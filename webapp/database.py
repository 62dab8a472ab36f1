"""Opens the database and gives out sessions; with `database_copy` the one that knows how SQLite and PostgreSQL differ.

Reading sessions and writing sessions are two things: a writing session takes SQLite's write lock at once
(`BEGIN IMMEDIATE`), because a transaction that reads first and writes later fails with "database is locked"
instead of waiting.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.orm import Session

from webapp.settings import Settings

_IMMEDIATE = "cunzheng_immediate"


class Database:
    """An engine with two kinds of sessions, reading and writing."""

    def __init__(self, url: str, *, busy_timeout_s: int = 30) -> None:
        self.url = url
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        arguments: dict[str, Any] = {"timeout": busy_timeout_s} if self.is_sqlite else {}
        self.engine: Engine = create_engine(url, connect_args=arguments, pool_pre_ping=not self.is_sqlite)
        if self.is_sqlite:
            _prepare_sqlite(self.engine)
        self._writing = self.engine.execution_options(**{_IMMEDIATE: True})

    @classmethod
    def of(cls, settings: Settings) -> Database:
        """Open the database that the settings name."""
        database = make_url(settings.database_url).database
        if settings.database_url.startswith("sqlite") and database:
            Path(database).parent.mkdir(parents=True, exist_ok=True)
        return cls(settings.database_url, busy_timeout_s=settings.database.busy_timeout_s)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for reading; nothing it changes is kept."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose block is one transaction: committed at its end, rolled back on an error."""
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        # The driver must not start transactions by itself; "begin" below does.
        connection.isolation_level = None
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        is_immediate = connection.get_execution_options().get(_IMMEDIATE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_immediate else "BEGIN")
