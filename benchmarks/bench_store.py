"""The store by itself: readings through store, tree and segment beside bare SQLite; start and one proof in a full one.

Then an hour of 1,000 channels, sealed while something else wants the store: how long it waits, and the memory it takes.

The default writes a few hundred thousand readings; `--readings 2600000` writes the month of a reading a second that the
targets speak of (some minutes). A start is measured in a store of a tenth and in the whole one: it must not grow.
"""

from __future__ import annotations

import argparse
import gc
import sqlite3
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psutil
from measure import Rate, measure, peak_mib, show
from plant import Bench, gateway

from evidence.encoding import decimal_text, time_text
from evidence.reading import Flag, Reading
from evidence.tile_proof import verify_tile
from evidence.tiles import TILE_WIDTH
from gateway.clock import SteppedClock
from gateway.pipeline import Pipeline
from gateway.reading_store import insert_readings
from gateway.tree import ReadingTree
from gateway.writer import Writer

START = datetime(2026, 3, 1, tzinfo=UTC)
CHANNELS = 60
SITE = '[[import]]\nid = "h"\ninterval_s = 60\n' + "".join(
    f'[[channel]]\nid = "C{number}"\ndevice = "h"\nkind = "value"\nunit = "kW"\n' for number in range(CHANNELS)
)
MINUTES_A_COMMIT = 10
PROOFS = 20


def readings_of(minute: int) -> list[Reading]:
    """Make a minute of readings; no value stays the same."""
    at = START + timedelta(minutes=minute)
    return [
        Reading(
            f"C{n}", at, Decimal(30_000 + (minute * 37 + n * 11) % 9_973) / 1000, "kW", Flag.NORMAL, at, raw="42F6E979"
        )
        for n in range(CHANNELS)
    ]


def fill(bench: Bench, clock: SteppedClock, first: int, minutes: int) -> int:
    """Store and seal so many minutes; return how many readings they are."""
    count = 0
    for minute in range(first, first + minutes, MINUTES_A_COMMIT):
        group = [
            bench.pipeline.arrival(one)
            for each in range(minute, min(minute + MINUTES_A_COMMIT, first + minutes))
            for one in readings_of(each)
        ]
        count += len(group)
        bench.writer.call(lambda store, group=group: insert_readings(store, group))  # type: ignore[misc]
        clock.set(group[-1].reading.time)
        if minute % 1440 == 0:
            bench.pipeline.seal_due(timedelta(0))
    clock.set(START + timedelta(minutes=first + minutes, hours=2))
    bench.pipeline.seal_due(timedelta(0))
    return count


def bare_sqlite(folder: Path, minutes: int) -> Rate:
    """Store the same rows in the same commits, with nothing else."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE reading (channel TEXT, time TEXT, value TEXT, unit TEXT, flag TEXT, raw TEXT)")

    def run() -> None:
        for minute in range(0, minutes, MINUTES_A_COMMIT):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO reading VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        one.channel,
                        time_text(one.time),
                        decimal_text(one.value or Decimal(0)),
                        one.unit,
                        one.flag,
                        one.raw,
                    )
                    for each in range(minute, min(minute + MINUTES_A_COMMIT, minutes))
                    for one in readings_of(each)
                ],
            )
            connection.execute("COMMIT")

    return measure("bare SQLite (WAL, FULL), same readings and commits", minutes * CHANNELS, run)


def start_ms(folder: Path, bench: Bench) -> float:
    """Open the store as a start does: migrations, tree, tiles, channels, newest totals."""
    bench.writer.close()
    began = time.perf_counter()
    writer = Writer(folder / "gateway.db")
    pipeline = Pipeline(writer, bench.pipeline.signer, bench.pipeline.raw, bench.pipeline.judge)
    pipeline.open()
    took = (time.perf_counter() - began) * 1e3
    writer.close()
    return took


def proof_ms(bench: Bench) -> tuple[list[float], list[float]]:
    """Prove readings all over the tree, each as if nothing had been asked before; also check each as a reader does."""
    proving, checking = [], []
    tree, raw = bench.pipeline.signer.identity.epoch, bench.pipeline.raw
    size = int(bench.writer.call(lambda store: store.value("SELECT size FROM tree WHERE epoch = ?", (tree,))))
    for number in range(PROOFS):
        index = (size - 1) * number // (PROOFS - 1)

        def prove(store: object, index: int = index) -> tuple[object, ...]:
            began = time.perf_counter()
            grown = ReadingTree(store, raw, tree, bytes)  # type: ignore[arg-type]
            proof = grown.prove_tile(index // TILE_WIDTH, size)
            return time.perf_counter() - began, proof, grown.root()

        took, proof, root = bench.writer.call(prove)
        proving.append(float(took) * 1e3)
        began = time.perf_counter()
        leaves = verify_tile(proof, root)
        checking.append((time.perf_counter() - began) * 1e3)
        if leaves[index % TILE_WIDTH].index != index:
            raise SystemExit("the proof shows another reading")
    return proving, checking


def long_hour(folder: Path, seconds: int) -> None:
    """Seal an hour in which 1,000 channels were read so many times, and ask the store for a commit all the while."""
    site = SITE.split("[[channel]]")[0] + "".join(
        f'[[channel]]\nid = "C{number}"\ndevice = "h"\nkind = "value"\nunit = "kW"\n' for number in range(1000)
    )
    folder.mkdir()
    clock = SteppedClock(START)
    with gateway(folder, site, clock) as bench:
        for second in range(seconds):
            at = START + timedelta(seconds=second)
            group = [
                bench.pipeline.arrival(
                    Reading(f"C{n}", at, Decimal(30_000 + (second * 37 + n * 11) % 9_973) / 1000, "kW", Flag.NORMAL, at)
                )
                for n in range(1000)
            ]
            bench.writer.call(lambda store, group=group: insert_readings(store, group))  # type: ignore[misc]
        clock.set(START + timedelta(hours=1))
        stored_mib, waits, is_over = rss_mib(), [], threading.Event()

        def others() -> None:
            while not is_over.wait(0.1):
                began = time.perf_counter()
                bench.writer.call(lambda store: store.put("bench", "a commit"))
                waits.append(time.perf_counter() - began)

        asking = threading.Thread(target=others)
        asking.start()
        began = time.perf_counter()
        sealed = bench.pipeline.seal_due(timedelta(0))
        took = time.perf_counter() - began
        is_over.set()
        asking.join()
        if sealed.readings != 1000 * seconds:
            raise SystemExit("not every reading was sealed")
    print(
        f"\nAn hour of {sealed.readings:,} readings of 1,000 channels,"
        f" sealed in {sealed.segments} segments: {took:.1f} s"
    )
    print(f"  a commit asked for meanwhile waited {statistics.median(waits) * 1e3:.0f} ms, at most {max(waits):.2f} s")
    print(
        f"  (limit: a second); memory {stored_mib:.0f} MiB before, {rss_mib():.0f} MiB after, peak {peak_mib():.0f} MiB"
    )


def rss_mib() -> float:
    return float(psutil.Process().memory_info().rss) / (1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hour-seconds", type=int, default=120, help="readings of each channel in the long hour")
    parser.add_argument("--readings", type=int, default=120_000)
    asked = parser.parse_args()
    minutes = max(2880, asked.readings // CHANNELS)
    tenth = max(600, minutes // 10)
    with tempfile.TemporaryDirectory() as temporary:
        folder, clock = Path(temporary), SteppedClock(START)
        gc.collect()
        gc.freeze()
        with gateway(folder, SITE, clock) as bench:
            fill(bench, clock, 0, tenth)
            small = start_ms(folder, bench)
        with gateway(folder, SITE, clock) as bench:
            count = 0

            def run() -> None:
                nonlocal count
                count = fill(bench, clock, tenth, minutes - tenth)

            rate = measure("judged, stored, in the tree, sealed and signed: readings", 1, run)
            ours = Rate(rate.name, count, rate.wall_s, rate.cpu_s)
            show("Store", ours, bare_sqlite(folder, minutes - tenth), "20,000 readings/s on one core")
            proving, checking = proof_ms(bench)
            large = start_ms(folder, bench)
        whole = minutes * CHANNELS
        tiles = sum(1 for _ in (folder / "raw").rglob("*.gz"))
        megabytes = (folder / "gateway.db").stat().st_size / 1e6
        middle, checked = statistics.median(proving), statistics.median(checking)
        print(
            f"\nStart with {tenth * CHANNELS:,} readings: {small:.0f} ms, with {whole:,}: {large:.0f} ms (target: 3 s)"
        )
        print(f"  {tiles:,} sealed tiles, database {megabytes:.0f} MB")
        print(f"Proof of one reading among {whole:,}, from files and rows: median {middle:.2f} ms,")
        print(f"  longest {max(proving):.2f} ms (target: at most 5 ms); checking its tile {checked:.2f} ms")
        print(f"peak memory {peak_mib():.0f} MiB")
        long_hour(folder / "hour", asked.hour_seconds)


if __name__ == "__main__":
    main()
