"""The audit that judges all other fault tests notices each kind of harm."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from fault_audit import audit
from fault_world import World

from evidence.errors import EvidenceError

HARMS = (
    ("gateway/gateway.db", "DELETE FROM reading WHERE seq = 7"),
    ("gateway/gateway.db", "UPDATE reading SET value = '1' WHERE seq = 7"),
    (
        "gateway/gateway.db",
        "INSERT INTO reading (channel, time, hour, value, unit, flag, reason, received, raw, imported)"
        " SELECT channel, time, hour, value, unit, flag, reason, received, raw, imported FROM reading WHERE seq = 7",
    ),
    ("gateway/gateway.db", "DELETE FROM receipt WHERE log_index = 9"),
    ("gateway/gateway.db", "UPDATE receipt SET sid = 'x' WHERE log_index = 9"),
    ("gateway/gateway.db", "UPDATE outbox SET state = 'queued' WHERE id = 3"),
    ("gateway/gateway.db", "DELETE FROM statement WHERE seq = 5"),
    ("center/center.sqlite", "DELETE FROM log_entry WHERE idx = 12"),
    ("center/center.sqlite", "UPDATE log_entry SET jws = (SELECT jws FROM log_entry WHERE idx = 11) WHERE idx = 12"),
)


def test_audit_notices_every_harm(world: World) -> None:
    (file,) = world.exports(1, 1)
    world.start_centre()
    world.import_file(file)
    world.sync()
    world.kill_centre()
    audit(world, files=[file])
    for name, sql in HARMS:
        with (
            closing(sqlite3.connect(world.folder / name)) as connection,
            closing(sqlite3.connect(world.folder / "kept.sqlite")) as kept,
        ):
            connection.backup(kept)
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute(sql)
            connection.commit()
            with pytest.raises((AssertionError, EvidenceError)):
                audit(world, files=[file])
            kept.backup(connection)
    audit(world, files=[file])
