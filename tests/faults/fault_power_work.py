"""A gateway's work in one folder, said line by line: what it said was done must outlive any power cut.

Run as a program under `strace`; the tests open what is left by the same function.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from evidence.keys import SigningKey
from evidence.note import ED25519_NOTE, NoteKey
from evidence.reading import Flag, Reading
from gateway.assembly import judge_of
from gateway.catalogue import load_catalogue
from gateway.chain import Signer
from gateway.clock import SteppedClock
from gateway.identity import Identity, adopt
from gateway.pipeline import Pipeline
from gateway.rawtile import RawFolder
from gateway.reading_store import insert_readings
from gateway.store import Store
from gateway.writer import Writer

SITE = """
[[import]]
id = "historian"
[[channel]]
id = "TEMP"
device = "historian"
kind = "value"
unit = "degC"
"""
BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
HOURS = 7
CHECKPOINT_PAGES = 40
"""SQLite's log is copied into the database so often, instead of every thousand pages."""


def open_pipeline(folder: Path, clock: SteppedClock) -> Pipeline:
    """Open the gateway of a folder as its start does; the first time it is made."""
    (folder / "site.toml").write_text(SITE, "utf-8")
    key = SigningKey.from_seed(bytes(range(32)))
    log = NoteKey("power.example/evidence", ED25519_NOTE, key.public.raw).text
    identity = Identity("GW-0001", "P-0001", "Asia/Shanghai", 1, key.kid, "power.example/evidence", log)
    writer = Writer(folder / "data" / "gateway.db")
    try:
        writer.call(lambda store: store.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"))
        writer.call(lambda store: adopt(store, identity))
        judge = judge_of(load_catalogue(folder / "site.toml"))
        pipeline = Pipeline(writer, Signer(identity, key, clock), RawFolder(folder / "data" / "raw"), judge)
        pipeline.open()
    except BaseException:
        writer.close()
        raise
    return pipeline


def add(pipeline: Pipeline, first: int, count: int) -> int:
    """Commit readings numbered on from `first`; return the next number."""
    now = pipeline.signer.clock.now()
    at = [now + timedelta(milliseconds=n) for n in range(count)]
    readings = [Reading("TEMP", time, Decimal(first + n), "degC", Flag.NORMAL, time) for n, time in enumerate(at)]
    arrivals = [pipeline.arrival(one) for one in readings]
    pipeline.writer.call(lambda store: insert_readings(store, arrivals))
    return first + count


def seal(pipeline: Pipeline, clock: SteppedClock) -> tuple[int, int]:
    """Close the hour; return the tree's size and the number of statements."""
    clock.set(clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(hours=1))
    pipeline.seal_due(timedelta(0))
    return pipeline.writer.call(sizes)


def sizes(store: Store) -> tuple[int, int]:
    """Return the tree's size and the number of statements."""
    return int(store.value("SELECT coalesce(max(size), 0) FROM tree")), int(
        store.value("SELECT count(*) FROM statement")
    )


def work(folder: Path, rng: random.Random, say: Callable[[str], None]) -> None:
    """Live some hours: readings in groups, sealed hours, restarts."""
    clock = SteppedClock(BEGIN)
    pipeline = open_pipeline(folder, clock)
    stored = 0
    say("stored 0")
    for _ in range(HOURS):
        for _ in range(rng.randint(2, 4)):
            stored = add(pipeline, stored, rng.choice((1, 15, 60, 130)))
            say(f"stored {stored}")
            clock.advance(timedelta(minutes=10))
        size, statements = seal(pipeline, clock)
        say(f"sealed {size} {statements}")
        if rng.random() < 0.4:
            pipeline.writer.close()
            pipeline = open_pipeline(folder, clock)
    pipeline.writer.close()


def say_aloud(text: str) -> None:
    """Write a line in one call, so that it stands in the trace as one."""
    os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    work(Path(sys.argv[1]), random.Random(sys.argv[2]), say_aloud)
