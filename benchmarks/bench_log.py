"""The central log by itself: statements admitted, logged, signed and proven, beside a bare insert of the same bytes.

On SQLite and, where PostgreSQL is installed, on a cluster of its own (fsync on). Batches as a gateway sends them in
quiet hours (1) and after an outage (200); the bare insert makes the same number of commits. Then the same with two
witnesses on the loopback, whose cosignatures are waited for.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from measure import Rate, measure, show

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "webapp"))

from device_double import Device, bare_center
from local_witness import LocalWitness, watched_center
from postgres_cluster import binaries, cluster
from sqlalchemy import text

from sync import PushItem, Status
from webapp import schema
from webapp.center import Center
from webapp.database import Database
from webapp.submission import submit

TARGET = "3,500 plants send 1 a second; a day's outage drained in an hour is 24 a second"
BARE = "CREATE TABLE bare (idx BIGINT PRIMARY KEY, sid VARCHAR(64) UNIQUE, jws TEXT)"


def batches(items: list[PushItem], size: int) -> list[list[PushItem]]:
    """Cut into what is sent at once."""
    return [items[at : at + size] for at in range(0, len(items), size)]


def logged(name: str, center: Center, device: Device, count: int, size: int) -> Rate:
    """Log statements in batches; each must be answered with its receipt."""
    todo = batches([device.event() for _ in range(count)], size)

    def work() -> None:
        for batch in todo:
            answers = submit(center, batch)
            if {answer.status for answer in answers} != {Status.LOGGED}:
                raise SystemExit(f"not all were logged: {answers[0]}")

    return measure(name, count, work)


def bare(name: str, database: Database, items: list[PushItem], size: int) -> Rate:
    """Insert the same bytes with as many commits, and nothing else."""
    with database.writing() as session:
        session.execute(text("DROP TABLE IF EXISTS bare"))
        session.execute(text(BARE))
    todo = batches(items, size)

    def work() -> None:
        index = 0
        for batch in todo:
            with database.writing() as session:
                rows = [{"idx": index + n, "sid": f"{index + n:064x}", "jws": one.jws} for n, one in enumerate(batch)]
                session.execute(text("INSERT INTO bare (idx, sid, jws) VALUES (:idx, :sid, :jws)"), rows)
                index += len(batch)

    return measure(name, len(items), work)


def run(kind: str, center: Center, count: int, cosigned: str = "") -> None:
    """Measure one centre with small and large batches."""
    device = Device()
    device.enrol(center)
    for size in (1, 200):
        some = count if size > 1 else count // 10
        ours = logged(f"{kind}: logged with receipt{cosigned}, {size} at once", center, device, some, size)
        peer = bare(
            f"{kind}: bare insert, {size} a commit", center.database, [device.event() for _ in range(some)], size
        )
        show(f"central log, {kind}{cosigned}, {size} a turn", ours, peer, TARGET)
        device.seq -= some  # what went into the bare table never reached the log
        device.prev = last_sid(center)


def last_sid(center: Center) -> str:
    """The newest statement of the log."""
    from webapp import store_log

    with center.database.reading() as session:
        size = store_log.size_of(session)
        return store_log.entries(session, size - 1, size)[0].sid


def in_folder(work: Callable[[Path], None]) -> None:
    """Do something in a folder that goes away."""
    with tempfile.TemporaryDirectory(prefix="cunzheng-bench-") as name:
        work(Path(name))


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000, help="statements in batches of 200; a tenth one by one")
    count = parser.parse_args().count
    in_folder(lambda folder: run("SQLite", bare_center(folder), count))

    def with_witnesses(folder: Path) -> None:
        with watched_center(folder, "city province", "group both all city province\nquorum both") as watched:
            witnesses: list[LocalWitness] = watched.witnesses
            run("SQLite", watched.center, count, f" and {len(witnesses)} cosignatures")

    in_folder(with_witnesses)
    programs = binaries()
    if programs is None:
        print("\nPostgreSQL is not installed here; not measured")
        return
    with ExitStack() as stack:
        os.environ["CUNZHENG_DATABASE_URL"] = stack.enter_context(cluster(programs, is_durable=True))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cunzheng-bench-")))
        center = bare_center(folder)
        schema.require_current(center.database)
        run("PostgreSQL", center, count)
        center.database.close()


if __name__ == "__main__":
    main()
