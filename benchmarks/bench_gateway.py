"""The gateway's reading side against bare peers on the same simulator and disk, in one run.

Polled + decoded + judged + stored (+ sealed) against bare pymodbus; stored + sealed against bare SQLite.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path

from measure import Rate, measure, peak_mib, show
from pymodbus.client import AsyncModbusTcpClient

import device_profiles
from cunzheng.simulator.modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from evidence.keys import SigningKey
from evidence.note import ED25519_NOTE, NoteKey
from evidence.reading import Flag, Reading
from gateway.catalogue import load_catalogue
from gateway.chain import Signer
from gateway.clock import SteppedClock
from gateway.identity import Identity, adopt
from gateway.modbus import ModbusEndpoint
from gateway.pipeline import Judge, Pipeline
from gateway.poller import Poller
from gateway.rawtile import RawFolder
from gateway.reading_store import insert_readings
from gateway.settings import PollSettings
from gateway.writer import Writer

POLLS = 600
GROUP = 20
START = datetime(2026, 3, 1, tzinfo=UTC)
POINTS = (
    *(f"{quantity}_l{phase}" for quantity in ("voltage", "current", "power") for phase in (1, 2, 3)),
    *("power", "reactive_power", "frequency", "energy_import", "energy_export"),
)
DEVICE = """
[[device]]
id = "em1"
profile = "eastron-sdm630"
host = "127.0.0.1"
port = {port}
unit = 1
serial = "1"
poll_s = 1
parameters = {{ max_power_kw = "2000" }}
"""
CHANNEL = """
[[channel]]
id = "{point}"
device = "em1"
point = "{point}"
"""


def serve(pipe: Connection) -> None:
    """Run the simulated meter in a process of its own, so that it does not count as our processor time."""
    profile = device_profiles.shipped()["eastron-sdm630"]
    values = {name: Decimal("12.5") for name in profile.points}

    async def run() -> None:
        async with ModbusSimulatorServer([ModbusDeviceSimulator(profile, 1, lambda now: values)]) as server:
            pipe.send(server.port)
            await asyncio.sleep(3600)

    asyncio.run(run())


@contextmanager
def simulator() -> Iterator[int]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()


@contextmanager
def gateway(folder: Path, site: str) -> Iterator[tuple[Pipeline, Writer, SteppedClock]]:
    (folder / "site.toml").write_text(site, "utf-8")
    key = SigningKey.from_seed(bytes(range(32)))
    log = NoteKey("log.example/evidence", ED25519_NOTE, key.public.raw)
    identity = Identity("GW-1", "P-1", "Asia/Shanghai", 1, key.kid, log.name, log.text)
    catalogue = load_catalogue(folder / "site.toml")
    writer, clock = Writer(folder / "gateway.db"), SteppedClock(START)
    writer.call(lambda store: adopt(store, identity))
    judge = Judge(dict(catalogue.channels), dict(catalogue.limits))
    pipeline = Pipeline(writer, Signer(identity, key, clock), RawFolder(folder / "raw"), judge)
    pipeline.open()
    try:
        yield pipeline, writer, clock
    finally:
        writer.close()


def poll_and_store(folder: Path, port: int) -> Rate:
    site = DEVICE.format(port=port) + "".join(CHANNEL.format(point=point) for point in POINTS)
    with gateway(folder, site) as (pipeline, writer, clock):
        (found,) = load_catalogue(folder / "site.toml").modbus

        async def run() -> None:
            endpoint = ModbusEndpoint("127.0.0.1", port, timeout_s=2)
            poller = Poller(found, endpoint, clock, PollSettings())
            waiting = []
            for count in range(POLLS):
                waiting += [pipeline.arrival(reading) for reading in await poller.poll()]
                clock.advance(timedelta(seconds=1))
                if count % GROUP == GROUP - 1:
                    group, waiting = waiting, []
                    await writer.do(lambda store, group=group: insert_readings(store, group))  # type: ignore[misc]
            endpoint.close()

        rate = measure("polled, decoded, judged, stored: values", POLLS * len(POINTS), lambda: asyncio.run(run()))
        clock.advance(timedelta(hours=2))
        sealed = measure("sealed", POLLS * len(POINTS), lambda: pipeline.seal_due(timedelta(0)))
        return Rate(rate.name + ", in the tree", rate.count, rate.wall_s + sealed.wall_s, rate.cpu_s + sealed.cpu_s)


def bare_pymodbus(port: int) -> Rate:
    profile = device_profiles.shipped()["eastron-sdm630"]
    blocks = profile.plan(sorted(POINTS))

    async def run() -> None:
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        await client.connect()
        for _ in range(POLLS):
            for block in blocks:
                await client.read_input_registers(block.address, count=block.count, device_id=1)
        client.close()

    return measure("bare pymodbus: values", POLLS * len(POINTS), lambda: asyncio.run(run()))


def store_and_seal(folder: Path, hours: int = 24, channels: int = 20) -> Rate:
    site = '[[import]]\nid = "h"\ninterval_s = 60\n' + "".join(
        f'[[channel]]\nid = "C{number}"\ndevice = "h"\nkind = "value"\nunit = "kW"\n' for number in range(channels)
    )
    with gateway(folder, site) as (pipeline, writer, clock):
        count = 0

        def run() -> None:
            nonlocal count
            for minute in range(hours * 60):
                time = START + timedelta(minutes=minute)
                group = [
                    pipeline.arrival(Reading(f"C{n}", time, Decimal("35.1"), "kW", Flag.NORMAL, time))
                    for n in range(channels)
                ]
                count += len(group)
                writer.call(lambda store, group=group: insert_readings(store, group))  # type: ignore[misc]
            clock.advance(timedelta(hours=hours + 1))
            pipeline.seal_due(timedelta(0))

        rate = measure("stored, in the tree, sealed and signed: readings", 1, run)
        began = time.perf_counter()
        pipeline.open()
        print(f"\nOpening a store of {count:,} readings: {(time.perf_counter() - began) * 1e3:.0f} ms")
        return Rate(rate.name, count, rate.wall_s, rate.cpu_s)


def bare_sqlite(folder: Path, commits: int = 24 * 60, rows: int = 20) -> Rate:
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE reading (channel TEXT, time TEXT, value TEXT, flag TEXT)")

    def run() -> None:
        for minute in range(commits):
            connection.execute("BEGIN IMMEDIATE")
            group = [(f"C{n}", f"2026-03-01T00:00:{minute}", "35.1", "N") for n in range(rows)]
            connection.executemany("INSERT INTO reading VALUES (?, ?, ?, ?)", group)
            connection.execute("COMMIT")

    return measure("bare SQLite (WAL, FULL), same commits: rows", commits * rows, run)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary, simulator() as port:
        place = Path(temporary)
        for name in ("poll", "store"):
            (place / name).mkdir()
        show(
            "Modbus, one process, one device, blocks of the SDM630",
            poll_and_store(place / "poll", port),
            bare_pymodbus(port),
            "at least 0.5",
        )
        show(
            "Store",
            store_and_seal(place / "store"),
            bare_sqlite(place),
            "shown for the record; 20,000 readings/s aimed at",
        )
        print(f"\npeak memory {peak_mib():.0f} MiB")
