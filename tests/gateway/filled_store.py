"""A gateway whose closed database has rows in every table: sealed, sent, declared, signed; to be copied and damaged."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from conftest import SITE, START, Plant, enrolled_plant
from plant_life import People, measure
from small_centre import SmallCentre

from evidence.encoding import sha256_hex, time_text
from evidence.marks import Mark, MarkKind
from evidence.reading import Flag, Reading
from gateway.clock import SteppedClock
from gateway.device_store import keep_clock, keep_identity, quarantine
from gateway.hours import HOUR
from gateway.kept_store import Kept, keep_from
from gateway.problems import raise_problem
from gateway.quality_store import add_counts
from gateway.reading_store import insert_readings
from gateway.store import Store
from gateway.syncing import Syncing
from gateway.uplink import Uplink

HOURS = 70
"""280 readings: one full tile and a part."""
OPEN = 6
"""Readings that are not sealed yet."""
SETTINGS = """
data = "."
[centre]
url = "http://127.0.0.1:9"
"""


def filled(folder: Path, centre: SmallCentre, root: Path) -> Plant:
    """Enrol and live through some days until there is a row in every table; closed."""
    (folder / "site.toml").write_text(SITE, "utf-8")
    plant = enrolled_plant(folder, SteppedClock(START), centre)
    measure(plant, HOURS)
    sync(plant, centre)
    People(plant, centre, root).declare()
    sync(plant, centre)
    plant.pipeline.mark(
        Mark(MarkKind.STOP, START, START + HOUR, START, "Li Lei", "relining", channels=("ELEC.IMPORT",))
    )
    plant.writer.call(lambda store: _rest(plant, store))
    plant.writer.close()
    (folder / "gateway.toml").write_text(SETTINGS, "utf-8")
    return plant


def sync(plant: Plant, centre: SmallCentre) -> None:
    """Send and fetch until nothing waits."""
    with Uplink(centre.url, plant.pipeline.signer.key, plant.clock, timeout_s=2) as uplink:
        syncing = Syncing(plant.pipeline, uplink, plant.folder / "content", batch=100, longest_pause_s=60)
        syncing.round()
        syncing.round()


def _rest(plant: Plant, store: Store) -> None:
    now = plant.clock.now()
    for number in range(OPEN):
        time = START + timedelta(days=20, minutes=number)
        one = Reading("TEMP", time, Decimal("20.5"), "degC", Flag.NORMAL, time, raw="41a4", imported=True)
        insert_readings(store, [plant.pipeline.arrival(one, f"temp:{number}")])
    baseline = json.dumps(["12.5", time_text(START)])
    store.execute("INSERT INTO channel_state (channel, carry) VALUES ('TEMP', ?)", (baseline,))
    frame = b"##0101QN=20260301000000000;ST=31;CN=2011;CP=&&&&4481\r\n"
    store.execute(
        "INSERT INTO hj212_frame (key, sha256, source, received, raw) VALUES ('31:20260301', ?, 'cems', ?, ?)",
        (sha256_hex(frame), time_text(now), frame),
    )
    store.execute(
        "INSERT INTO import_file (sha256, name, map_sha256, rows, stored, imported) VALUES (?, '三月.csv', ?, 9, 9, ?)",
        ("a" * 64, "b" * 64, time_text(now)),
    )
    quarantine(store, [(now, "cems", b"garbled", "check sum")])
    add_counts(store, {("2026-03-01", "Q02", "TEMP"): 2})
    keep_identity(store, "em1", [("serial", "4711"), ("固件", "1.2")], now)
    keep_clock(store, "em1", now + timedelta(seconds=90), now, Decimal(90))
    keep_from(store, Kept(1))
    raise_problem(store, "device:em1", "表计无应答", "the meter does not answer", time_text(now))


def tables(database: Path) -> dict[str, int]:
    """Return how many rows each table has."""
    with closing(sqlite3.connect(database)) as connection:
        names = [
            row[0]
            for row in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        ]
        return {name: int(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]) for name in names}
