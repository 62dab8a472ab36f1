"""Copies the whole database into a file and back: SQLite by its backup API, PostgreSQL by pg_dump and pg_restore.

A copy is taken while the centre runs and is one committed state of it: what a session of `copied` reads is exactly what
is in the file. Neither engine makes writers wait for it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from sqlalchemy import URL, inspect, make_url, text
from sqlalchemy.orm import Session

from webapp.database import Database
from webapp.errors import CenterError
from webapp.models import Base

_SIDE_FILES = ("", "-wal", "-shm", "-journal")
_REVISION_TABLE = "alembic_version"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def kind_of(database: Database) -> Literal["sqlite", "postgresql"]:
    """Name the engine as manifests do."""
    return "sqlite" if database.is_sqlite else "postgresql"


@contextmanager
def copied(database: Database, target: Path) -> Iterator[Session]:
    """Copy the database to a file; gives a session that sees what was copied.

    Raises:
        CenterError: the copy could not be made; the message says what to do.
    """
    if not database.is_sqlite:
        with _dumped(database, target) as session:
            yield session
        return
    with closing(database.engine.raw_connection()) as source, closing(sqlite3.connect(target)) as copy:
        driver = source.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.backup(copy)
    opened = Database(URL.create("sqlite", database=str(target)).render_as_string())
    try:
        with opened.reading() as session:
            yield session
    finally:
        # Closing the last connection folds the write-ahead log into the file.
        opened.close()


@contextmanager
def _dumped(database: Database, target: Path) -> Iterator[Session]:
    with database.engine.connect() as plain:
        connection = plain.execution_options(isolation_level="REPEATABLE READ")
        snapshot = connection.scalar(text("SELECT pg_export_snapshot()"))
        options = ("--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}", f"--file={target}")
        _run(database, "pg_dump", *options)
        with Session(connection) as session:
            yield session


def require_empty(url: str) -> None:
    """Refuse a database that holds anything.

    Raises:
        CenterError: there are tables, or a file where SQLite would put them.
    """
    shown = make_url(url).render_as_string(hide_password=True)
    file = sqlite_file(url)
    if file is not None:
        is_empty = not any(file.with_name(file.name + ending).exists() for ending in _SIDE_FILES)
    else:
        database = Database(url)
        is_empty = not inspect(database.engine).get_table_names()
        database.close()
    if not is_empty:
        raise CenterError(
            f"数据库 {shown} 不是空的；只能恢复到空数据库",
            f"database {shown} is not empty; a backup is restored into an empty one only",
            exit_code=3,
        )


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database; None for another engine."""
    parsed = make_url(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def put_back(source: Path, url: str) -> None:
    """Fill an empty database from a copy, all of it or nothing.

    Raises:
        CenterError: it could not be done; the message says what to do.
    """
    file = sqlite_file(url)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as read, os.fdopen(os.open(file, _NEW_FILE, 0o600), "wb") as write:
            shutil.copyfileobj(read, write)
            write.flush()
            os.fsync(write.fileno())
        return
    database = Database(url)
    try:
        with database.engine.connect() as connection:
            schema = connection.scalar(text("SELECT current_schema()"))
        # The schema itself is there already; only what is in it is restored.
        options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", f"--schema={schema}")
        _run(database, "pg_restore", *options, str(source))
    finally:
        database.close()


def take_away(url: str) -> None:
    """Empty again a database that was empty before `put_back`."""
    file = sqlite_file(url)
    if file is not None:
        for ending in _SIDE_FILES:
            file.with_name(file.name + ending).unlink(missing_ok=True)
        return
    database = Database(url)
    with database.engine.begin() as connection:
        Base.metadata.drop_all(connection)
        connection.execute(text(f"DROP TABLE IF EXISTS {_REVISION_TABLE}"))
    database.close()


def _run(database: Database, program: str, *arguments: str) -> None:
    found = shutil.which(program)
    if found is None:
        raise CenterError(
            f"没有找到 {program}；请安装 PostgreSQL 客户端（postgresql-client）后重试",
            f"{program} is not installed; install the PostgreSQL client (postgresql-client) and run this again",
            exit_code=3,
        )
    url = make_url(database.url)
    # A password on the command line can be read by everybody on the machine.
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    done = subprocess.run(
        [found, *arguments, f"--dbname={plain.render_as_string()}"],
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[0]
        raise CenterError(f"{program} 失败：{said}", f"{program} failed: {said}", exit_code=2)
