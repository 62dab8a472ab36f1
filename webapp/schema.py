"""Brings the database to this program's schema, and says when it is not there.

The steps themselves are Alembic revisions in `migrations/versions`; an old one is never edited.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from webapp.database import Database
from webapp.errors import NotReadyError

MIGRATIONS = Path(__file__).parent / "migrations"


def config_of(database: Database) -> Config:
    """Alembic's settings for a database."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["engine"] = database.engine
    return config


def upgrade(database: Database) -> None:
    """Run every migration that is not there yet."""
    command.upgrade(config_of(database), "head")


def current_revision(database: Database) -> str | None:
    """Revision of the database; None before the first migration."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str | None:
    """Revision this program was written for."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def is_known(revision: str) -> bool:
    """Tell whether this program can bring a database of that revision to its own."""
    return any(one.revision == revision for one in ScriptDirectory(str(MIGRATIONS)).walk_revisions())


def require_current(database: Database) -> None:
    """Refuse to work on another schema.

    Raises:
        NotReadyError: the database is empty, older or newer.
    """
    have, want = current_revision(database), head_revision()
    if have != want:
        raise NotReadyError(
            f"数据库结构版本是 {have or '（空）'}，本程序需要 {want}；请先运行 cunzheng center init",
            f"database schema is {have or '(empty)'}, this program needs {want}; run cunzheng center init",
        )
