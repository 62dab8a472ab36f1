"""Migrations lead to exactly the models, on SQLite and on PostgreSQL; an older schema is refused."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from device_double import Device, bare_center
from postgres_cluster import binaries, cluster
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError, StatementError

from evidence.keys import SigningKey
from sync import Status
from webapp import backup, log_recovery, log_restored, restore, schema, store_log, store_users
from webapp.center import Center
from webapp.database import Database
from webapp.errors import CenterError, LogRefusedError, NotReadyError
from webapp.models import Act, Base, Invite
from webapp.settings import from_mapping
from webapp.submission import submit


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    given = os.environ.get("CUNZHENG_TEST_POSTGRES_URL")
    programs = binaries()
    if not given and programs is None:
        pytest.skip("PostgreSQL is not installed")
    with contextlib.nullcontext(given) if given else cluster(programs or Path()) as url:
        yield url or ""


@pytest.fixture
def emptied(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    monkeypatch.setenv("CUNZHENG_DATABASE_URL", postgres)
    database = Database(postgres.replace("postgresql://", "postgresql+psycopg://"))
    _empty(database)
    yield database
    database.close()


def differences(database: Database) -> list[Any]:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def test_migrations_equal_the_models_on_sqlite(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite'}")
    schema.upgrade(database)
    schema.upgrade(database)
    assert differences(database) == []
    schema.require_current(database)
    database.close()


def test_declarations_logged_before_the_second_schema_are_found_after_it(tmp_path: Path) -> None:
    center = bare_center(tmp_path)
    device = Device()
    device.enrol(center)
    submit(center, [device.config(), device.event()])
    command.downgrade(schema.config_of(center.database), "0001")
    with center.database.reading() as session:
        assert store_log.declaration_before(session, device.gw, 1, 9, "ELEC.IMPORT") is None
    schema.upgrade(center.database)
    with center.database.reading() as session:
        found = store_log.declaration_before(session, device.gw, 1, 9, "ELEC.IMPORT")
    assert found is not None
    assert found.seq == 1
    center.database.close()


@pytest.mark.postgres
def test_migrations_equal_the_models_on_postgresql(emptied: Database) -> None:
    schema.upgrade(emptied)
    assert differences(emptied) == []


@pytest.mark.postgres
def test_a_chain_is_logged_on_postgresql(emptied: Database, tmp_path: Path) -> None:
    center = bare_center(tmp_path)
    assert not center.database.is_sqlite
    device = Device()
    device.enrol(center)
    items = [device.config(), *(device.segment(hour) for hour in range(12))]
    assert {result.status for result in submit(center, items[::-1])} == {Status.HELD, Status.LOGGED}
    assert {result.status for result in submit(center, items)} == {Status.LOGGED}
    with center.database.reading() as session:
        assert log_recovery.check(center.log, session) == 15
    center.database.close()


@pytest.mark.postgres
def test_a_backup_of_postgresql_comes_back_whole(
    emptied: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    center = bare_center(tmp_path)
    device = Device()
    device.enrol(center)
    submit(center, [device.event() for _ in range(5)])
    made = backup.back_up(center, tmp_path / "backup", with_keys=True)
    assert set(made.files) == {"center.pgdump", "checkpoint", "log.key", "registrar.key", "secret.key"}
    submit(center, [device.event()])
    elsewhere = from_mapping({"data_dir": "data", "log": {"origin": "log.example/evidence"}}, tmp_path / "second")
    with pytest.raises(CenterError, match="not empty"):
        restore.restore(tmp_path / "backup", elsewhere)
    center.database.close()
    _empty(emptied)
    with monkeypatch.context() as patch:
        patch.setattr(log_recovery, "rewrite_tiles", _stopped)
        with pytest.raises(KeyboardInterrupt):
            restore.restore(tmp_path / "backup", elsewhere)
    assert not elsewhere.data_dir.exists()
    assert restore.restore(tmp_path / "backup", elsewhere) == made
    again = Center.open(elsewhere, is_confirmed=False)
    with again.database.reading() as session:
        assert log_recovery.check(again.log, session) == made.size
    other = Device(gw="GW-2", key=SigningKey.from_seed(b"2" * 32))
    with pytest.raises(LogRefusedError, match="center confirm"):
        other.enrol(again)
    assert log_restored.confirm(again, accepted_size=made.size) == made.size
    other.enrol(again)
    assert submit(again, [other.event()])[0].status is Status.LOGGED
    assert differences(emptied) == []
    again.database.close()


@pytest.mark.postgres
def test_a_backup_of_postgresql_without_its_client_says_what_to_install(
    emptied: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    center = bare_center(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CenterError, match="postgresql-client"):
        backup.back_up(center, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()
    center.database.close()


def _stopped(*_: object) -> None:
    raise KeyboardInterrupt


def _empty(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))


def test_an_empty_or_unknown_schema_is_refused(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite'}")
    with pytest.raises(NotReadyError, match="center init"):
        schema.require_current(database)
    schema.upgrade(database)
    with database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NotReadyError, match="9999"):
        schema.require_current(database)
    database.close()


def test_naive_times_never_reach_the_database(tmp_path: Path) -> None:
    center = bare_center(tmp_path)
    naive = datetime(2026, 3, 1)
    invite = Invite(code_hash="0" * 64, plant="P-0001", gw="G", created_at=naive, expires_at=naive)
    with pytest.raises(StatementError, match="naive"), center.database.writing() as session:
        session.add(invite)
    center.database.close()


def test_times_come_back_aware_and_in_utc(tmp_path: Path) -> None:
    center = bare_center(tmp_path)
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with center.database.writing() as session:
        store_users.note_act(session, at=at, actor="a", action="b", object_="c")
    with center.database.reading() as session:
        assert min(act.at for act in session.scalars(select(Act))) == at
    center.database.close()


def test_a_second_writer_waits_from_its_first_statement(tmp_path: Path) -> None:
    center = bare_center(tmp_path, database={"busy_timeout_s": 1})
    with center.database.writing() as first:
        first.execute(text("SELECT 1"))
        with pytest.raises(OperationalError, match="locked"), center.database.writing() as second:
            second.execute(text("SELECT 1"))
    center.database.close()
