"""The gateway's database schema, as migrations: append a function, never edit an old one.

A reading gets its sequence when it is stored (hand-off 1) and its leaf index when its hour is sealed (hand-off 2).
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

APPLICATION_ID = 0x637A6777
"""`czgw`: the file is a Cunzheng gateway's."""

migrations = Migrations("gateway")


@migrations()
def m001_start(db: Database) -> None:
    """Create everything the first release keeps."""
    for statement in _M001.strip().split(";\n"):
        if statement.strip():
            db.execute(statement)


@migrations()
def m_hj212_frames(db: Database) -> None:
    """Keep every accepted HJ 212 frame whole, once, however often it was sent."""
    db.execute(
        "CREATE TABLE hj212_frame (key TEXT NOT NULL, sha256 TEXT NOT NULL, source TEXT NOT NULL,"
        " received TEXT NOT NULL, raw BLOB NOT NULL, times INTEGER NOT NULL DEFAULT 1,"
        " PRIMARY KEY (key, sha256)) STRICT, WITHOUT ROWID"
    )


@migrations()
def m_quality(db: Database) -> None:
    """Count what the checks found by span (a day or an hour), rule and channel; keep marks and calibrations."""
    for statement in _M002.strip().split(";\n"):
        if statement.strip():
            db.execute(statement)


@migrations()
def m_kept(db: Database) -> None:
    """Say from which tile on rows and raw files are kept, and since when each receipt is here."""
    db.execute(
        "CREATE TABLE kept (epoch INTEGER PRIMARY KEY, rows_from INTEGER NOT NULL, files_from INTEGER NOT NULL) STRICT"
    )
    db.execute("ALTER TABLE receipt ADD COLUMN stored TEXT")
    db.execute("CREATE INDEX hj212_frame_received ON hj212_frame (received)")
    db.execute("CREATE INDEX quarantine_received ON quarantine (received)")


@migrations()
def m_devices(db: Database) -> None:
    """Remember what each device says it is, in texts that make no readings, and how far its clock is off."""
    db.execute(
        "CREATE TABLE device_identity (device TEXT NOT NULL, point TEXT NOT NULL, value TEXT NOT NULL,"
        " since TEXT NOT NULL, seen TEXT NOT NULL, PRIMARY KEY (device, point)) STRICT, WITHOUT ROWID"
    )
    db.execute(
        "CREATE TABLE device_clock (device TEXT PRIMARY KEY, shown TEXT NOT NULL, read TEXT NOT NULL,"
        " offset_s TEXT NOT NULL) STRICT"
    )


@migrations()
def m_sealing(db: Database) -> None:
    """Say which part of a long hour has leaves in the tree before its segment is signed."""
    db.execute(
        "CREATE TABLE sealing (epoch INTEGER PRIMARY KEY, hour TEXT NOT NULL, at INTEGER NOT NULL,"
        " upto INTEGER NOT NULL, start INTEGER NOT NULL, entries TEXT NOT NULL, baselines TEXT NOT NULL) STRICT"
    )


_M001 = """
CREATE TABLE identity (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
CREATE TABLE channel (
    id TEXT PRIMARY KEY,
    config TEXT NOT NULL,
    sid TEXT NOT NULL
) STRICT;
CREATE TABLE reading (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL REFERENCES channel (id),
    time TEXT NOT NULL,
    hour TEXT NOT NULL,
    value TEXT,
    unit TEXT NOT NULL,
    flag TEXT NOT NULL,
    reason TEXT NOT NULL,
    device_time TEXT,
    received TEXT NOT NULL,
    raw TEXT NOT NULL,
    imported INTEGER NOT NULL,
    identity TEXT UNIQUE,
    epoch INTEGER,
    leaf INTEGER
) STRICT;
CREATE UNIQUE INDEX reading_leaf ON reading (epoch, leaf) WHERE leaf IS NOT NULL;
CREATE INDEX reading_channel_time ON reading (channel, time);
CREATE INDEX reading_open ON reading (hour, seq) WHERE leaf IS NULL;
CREATE TABLE tile (
    epoch INTEGER NOT NULL,
    level INTEGER NOT NULL,
    n INTEGER NOT NULL,
    hash BLOB NOT NULL,
    salt BLOB,
    PRIMARY KEY (epoch, level, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE tree (
    epoch INTEGER PRIMARY KEY,
    size INTEGER NOT NULL,
    edge BLOB NOT NULL,
    salt BLOB NOT NULL
) STRICT;
CREATE TABLE channel_state (
    channel TEXT PRIMARY KEY REFERENCES channel (id),
    carry TEXT NOT NULL
) STRICT;
CREATE TABLE statement (
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    sid TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    t TEXT NOT NULL,
    jws TEXT NOT NULL,
    PRIMARY KEY (epoch, seq)
) STRICT, WITHOUT ROWID;
CREATE TABLE segment (
    epoch INTEGER NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    hour TEXT NOT NULL,
    sid TEXT NOT NULL REFERENCES statement (sid),
    PRIMARY KEY (epoch, start)
) STRICT, WITHOUT ROWID;
CREATE INDEX segment_hour ON segment (hour);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sid TEXT NOT NULL UNIQUE REFERENCES statement (sid),
    consistency TEXT,
    queued TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'held', 'refused', 'logged')),
    detail TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX outbox_open ON outbox (id) WHERE state IN ('queued', 'held');
CREATE TABLE receipt (
    sid TEXT PRIMARY KEY,
    log_index INTEGER NOT NULL,
    receipt TEXT NOT NULL
) STRICT;
CREATE TABLE import_file (
    sha256 TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    map_sha256 TEXT NOT NULL,
    rows INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    imported TEXT NOT NULL
) STRICT;
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    received TEXT NOT NULL,
    source TEXT NOT NULL,
    payload BLOB NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE pulled (
    log_index INTEGER PRIMARY KEY,
    sid TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    jws TEXT NOT NULL,
    receipt TEXT NOT NULL
) STRICT;
CREATE TABLE content (
    sha256 TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    stored INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE problem (
    key TEXT PRIMARY KEY,
    zh TEXT NOT NULL,
    en TEXT NOT NULL,
    since TEXT NOT NULL
) STRICT;
"""

_M002 = """
CREATE TABLE quality_count (
    rule TEXT NOT NULL,
    channel TEXT NOT NULL,
    span TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (rule, channel, span)
) STRICT, WITHOUT ROWID;
CREATE TABLE quality_record (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('mark', 'calibration')),
    data TEXT NOT NULL,
    sid TEXT NOT NULL REFERENCES statement (sid)
) STRICT;
"""
