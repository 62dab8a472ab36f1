"""A full disk, a reserve and a budget: the intake stops, what is stored stays, and it goes on by itself."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import START, Plant
from small_centre import CODE, SmallCentre
from test_gateway_hj212 import SITE as LOGGER_SITE
from test_gateway_hj212 import listening as logger_listening
from test_gateway_hj212 import logger
from test_gateway_mqtt import SITE as MQTT_SITE
from test_gateway_mqtt import message, publish, until

import device_profiles
from cunzheng.cli import cunzheng
from cunzheng.simulator.broker import start_broker
from cunzheng.simulator.modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from evidence.encoding import time_text
from evidence.reading import Flag, Reading
from gateway.assembly import Gateway, open_gateway
from gateway.chain import own_statements
from gateway.clock import RealClock, SteppedClock
from gateway.disk import MIB, DiskUse, FolderSizes, measure, reusable_bytes, shortage, warnings
from gateway.disk_watch import PAUSED, gap_reason
from gateway.errors import DiskFullError, StoreError
from gateway.field import end_tasks
from gateway.groupcommit import GroupCommit
from gateway.intake import MqttIntake
from gateway.integrity import check_store
from gateway.mqtt import MqttSession, Places
from gateway.problems import problems, raise_problem
from gateway.reading_store import Arrival
from gateway.room import Pause, Room
from gateway.service import Service
from gateway.settings import BrokerSettings, LimitSettings, Settings
from gateway.status import status_of
from gateway.store import Store

SITE = """
[[device]]
id = "em1"
profile = "schneider-iem3000"
host = "127.0.0.1"
port = {port}
unit = 1
poll_s = 0.05
parameters = {{ max_power_kw = "2000" }}
[[channel]]
id = "ELEC.TOTAL"
device = "em1"
point = "energy_import"
[[import]]
id = "historian"
[[channel]]
id = "TEMP"
device = "historian"
kind = "value"
unit = "degC"
"""
SMALL_DISK_MB = 6
WAIT_S = 20
FULL = ("磁盘已满", "the disk is full")


@pytest.fixture
def centre() -> Iterator[SmallCentre]:
    with SmallCentre() as made:
        yield made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MiB, where the machine lets us mount one."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m,mode=700", "cunzheng-test", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no mount here: {error}")
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def called(folder: Path, command: str, *words: str) -> Result:
    return CliRunner().invoke(cunzheng, ["gateway", command, "-c", str(folder / "gateway.toml"), *words])


class Ballast:
    """Makes the disk full in one of the ways a disk is full, and frees it again."""

    def __init__(self, kind: str, gateway: Gateway, data: Path) -> None:
        self._kind, self._gateway, self._file = kind, gateway, data / "ballast"

    def load(self) -> None:
        match self._kind:
            case "pages":
                fill(self._gateway)
            case "budget":
                self._file.write_bytes(bytes(3 * MIB))
            case "reserve":
                self._file.write_bytes(bytes((SMALL_DISK_MB - 2) * MIB))
            case _:
                with suppress(OSError), self._file.open("wb", buffering=0) as file:
                    while file.write(bytes(4096)):
                        pass

    def drop(self) -> None:
        if self._kind == "pages":
            free(self._gateway)
        else:
            self._file.unlink()


def fill(gateway: Gateway) -> None:
    """Let the database grow no more, and fill what it has."""
    gateway.writer.call(lambda store: store.row(f"PRAGMA max_page_count = {store.value('PRAGMA page_count')}"))
    with suppress(DiskFullError):
        for number in range(1_000):
            gateway.writer.call(partial(Store.put, name=f"filling-{number}", value="x" * 1_000))
    with pytest.raises(DiskFullError, match="database or disk is full"):
        gateway.writer.call(partial(Store.put, name="more", value="x" * 10_000))


def free(gateway: Gateway) -> None:
    """Let the database grow again."""
    gateway.writer.call(lambda store: store.row(f"PRAGMA max_page_count = {1 << 30}"))


LIMITS = {
    "pages": "disk_reserve_mb = 0",
    "budget": "disk_reserve_mb = 0\nbudget_mb = 3",
    "reserve": "disk_reserve_mb = 3",
    "full": "disk_reserve_mb = 0",
}


@pytest.mark.parametrize("kind", ["pages", "budget", "reserve", "full"])
async def test_full_disk_pauses_polling_keeps_what_is_stored_and_goes_on_by_itself(
    kind: str, tmp_path: Path, centre: SmallCentre, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if kind in ("reserve", "full"):
        request.getfixturevalue("small_disk")
    for name, value in (("service.DISK_CHECK_S", 0.05), ("groupcommit.RETRY_S", 0.05), ("groupcommit.MOST_WAITING", 4)):
        monkeypatch.setattr(f"gateway.{name}", value)
    settings = f'data = "data"\n[centre]\nurl = "{centre.url}"\n[poll]\ncommit_s = 0.02\n[limits]\n{LIMITS[kind]}\n'
    (tmp_path / "gateway.toml").write_text(f"{settings}disk_free_mb = 0\n", "utf-8")
    (tmp_path / "site.toml").write_text(SITE.format(port=9), "utf-8")
    assert (await asyncio.to_thread(called, tmp_path, "enrol", CODE)).exit_code == 0
    meter = ModbusDeviceSimulator(
        device_profiles.shipped()["schneider-iem3000"], 1, lambda now: {"energy_import": Decimal("1.5")}
    )
    async with ModbusSimulatorServer([meter]) as server:
        (tmp_path / "site.toml").write_text(SITE.format(port=server.port), "utf-8")
        with await asyncio.to_thread(open_gateway, tmp_path / "gateway.toml") as opened:
            service, stop = Service(opened), asyncio.Event()
            running = asyncio.create_task(service.run(stop))
            await until(lambda: rows(opened) >= 3)
            ballast = Ballast(kind, opened, tmp_path / "data")
            await asyncio.to_thread(ballast.load)
            await until(lambda: not service.room.is_open and "intake" in service.disk.alarms)
            kept, polls = rows(opened), service.pollers[0].state.polls
            await asyncio.sleep(0.3)  # six polls' time
            assert service.pollers[0].state.polls <= polls + 1
            if kind != "pages":
                facts = json.loads((await asyncio.to_thread(called, tmp_path, "status", "--json")).stdout)
                assert (facts["disk"]["paused"] is None) == (kind == "full")
                assert facts["readings"] >= kept
            if kind in ("budget", "reserve"):
                await until(lambda: "intake" in opened.writer.call(problem_keys))
            await asyncio.to_thread(ballast.drop)
            await until(lambda: service.room.is_open and rows(opened) > kept + 3)
            await until(lambda: "intake" not in opened.writer.call(problem_keys) and len(gaps(opened)) == 1)
            stop.set()
            await running
            (gap,) = gaps(opened)
            assert (gap["source"], gap["reason"]) == ("gateway", "disk-full")
            assert gap["from"] < gap["to"]
            polls = service.pollers[0].state.polls
            assert polls - 1 <= rows(opened) <= polls, "only the poll that the end met may be missing"
            assert rows(opened, "DISTINCT time") == rows(opened)
            report = opened.writer.call(lambda store: check_store(store, opened.pipeline.raw, repair=False))
            assert report.faults == []


def rows(gateway: Gateway, what: str = "*") -> int:
    return int(gateway.writer.call(lambda store: store.value(f"SELECT count({what}) FROM reading")))


def gaps(gateway: Gateway) -> list[dict[str, Any]]:
    events = gateway.writer.call(lambda store: own_statements(store, "event"))
    return [dict(one.payload["data"]) for one in events if one.payload["type"] == "gap"]


def problem_keys(store: Store) -> list[str]:
    return [one.key for one in problems(store)]


async def test_gateway_that_starts_on_a_full_disk_waits_for_it(
    tmp_path: Path, centre: SmallCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.service.START_RETRY_S", 0.02)
    (tmp_path / "gateway.toml").write_text(f'data = "data"\n[centre]\nurl = "{centre.url}"\n', "utf-8")
    (tmp_path / "site.toml").write_text(SITE.format(port=9).partition("[[import]]")[0], "utf-8")
    assert (await asyncio.to_thread(called, tmp_path, "enrol", CODE)).exit_code == 0
    with await asyncio.to_thread(open_gateway, tmp_path / "gateway.toml") as opened:
        fill(opened)
        service, stop = Service(opened), asyncio.Event()
        running = asyncio.create_task(service.run(stop))
        await until(lambda: service.room.pause is not None)
        free(opened)
        await until(lambda: service.room.is_open)
        stop.set()
        await running
        events = [one.payload["type"] for one in opened.writer.call(lambda store: own_statements(store, "event"))]
        assert events == ["epoch-open", "config", "restart"]


def test_import_is_refused_in_one_line_while_there_is_no_room(tmp_path: Path, centre: SmallCentre) -> None:
    settings = f'data = "data"\n[centre]\nurl = "{centre.url}"\n[limits]\ndisk_reserve_mb = 1000000000\n'
    (tmp_path / "gateway.toml").write_text(settings, "utf-8")
    (tmp_path / "site.toml").write_text(SITE.format(port=9), "utf-8")
    called(tmp_path, "enrol", CODE)
    (tmp_path / "export.csv").write_text("end,kwh\n", "utf-8")
    result = called(tmp_path, "import", str(tmp_path / "export.csv"), "--map", str(tmp_path / "map.toml"))
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "less than the reserve of 1000000000 MiB" in result.stderr
    assert "intake paused" in called(tmp_path, "status").stdout


# -- what is said of the disk -----------------------------------------------------------------------------


USE = DiskUse(free=1000 * MIB, database=60 * MIB, reusable=10 * MIB, raw=40 * MIB, other=5 * MIB)


@pytest.mark.parametrize(
    ("free", "used", "paused", "says", "alarms"),
    [
        (1000, 0, False, "", []),
        (499, 0, False, "", ["disk"]),
        (100, 0, False, "", ["disk"]),
        (99, 0, False, "reserve of 100 MiB", ["disk"]),
        (104, 0, True, "reserve of 100 MiB", ["disk"]),
        (105, 0, True, "", ["disk"]),
        (1000, 179, False, "", []),
        (1000, 180, False, "", ["budget"]),
        (1000, 200, False, "200 MiB it may take", ["budget"]),
        (1000, 190, True, "200 MiB it may take", ["budget"]),
        (1000, 189, True, "", ["budget"]),
    ],
)
def test_limits_are_kept_with_some_distance_on_the_way_back(
    free: int, used: int, paused: bool, says: str, alarms: list[str]
) -> None:
    limits = LimitSettings(disk_free_mb=500, disk_reserve_mb=100, budget_mb=200)
    use = replace(USE, free=free * MIB, raw=used * MIB, database=0, reusable=0, other=0)
    found = shortage(use, limits, is_paused=paused)
    assert (found is not None) == bool(says)
    assert found is None or says in found[1]
    assert sorted(warnings(use, limits)) == alarms


def test_space_that_the_database_can_use_again_counts_as_room() -> None:
    assert USE.used == 95 * MIB


def test_folder_is_measured_with_everything_in_it(plant: Plant) -> None:
    def fill_and_free(store: Store) -> None:
        store.put("filling", "x" * MIB)
        store.execute("DELETE FROM identity WHERE name = 'filling'")

    plant.writer.call(fill_and_free)
    reusable = plant.writer.call(reusable_bytes)
    plant.writer.close()
    settings = Settings.model_validate({"data": plant.folder, "centre": {"url": "http://127.0.0.1"}})
    sizes = FolderSizes()
    before = measure(settings, sizes, reusable)
    assert before.reusable >= MIB
    tile = plant.pipeline.raw.path(1, 1234)
    tile.parent.mkdir(parents=True)
    tile.write_bytes(b"x" * 100_000)
    (plant.folder / "content" / "ab").mkdir(parents=True)
    (plant.folder / "content" / "ab" / "cd").write_bytes(b"x" * 10_000)
    after = measure(settings, sizes, reusable)
    assert after.raw - before.raw >= 100_000
    assert 10_000 <= after.other - before.other < 100_000
    tile.unlink()
    assert measure(settings, sizes, reusable).raw == before.raw


SHARED_FIRST, SHARED_SIZE = 0x40000002, 510
"""Where SQLite holds the lock that tells other processes that a database is in use (os.h of SQLite)."""
TRY_LOCK = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, int(sys.argv[3]), int(sys.argv[2]))
"""


def test_look_at_the_folder_takes_no_lock_away_from_the_database(plant: Plant) -> None:
    """Whoever closes a database's file by himself ends every lock that SQLite has on it in this process."""
    settings = Settings.model_validate({"data": plant.folder, "centre": {"url": "http://127.0.0.1"}})
    plant.writer.call(lambda store: status_of(store, settings))
    words = [sys.executable, "-c", TRY_LOCK, str(plant.folder / "gateway.db"), str(SHARED_FIRST), str(SHARED_SIZE)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "BlockingIOError" in done.stderr, "another process may lock the database"


# -- the gate ---------------------------------------------------------------------------------------------


def test_room_opens_when_the_last_reason_is_gone() -> None:
    clock = SteppedClock(START)
    room, ended = Room(clock), list[Pause]()
    room.on_end = ended.append
    room.refused("seal", StoreError("锁", "locked"))
    assert room.is_open
    room.refused("readings", DiskFullError(*FULL))
    room.measured(("少", "short"))
    assert (room.is_open, room.pause) == (False, Pause(START, FULL))
    clock.advance(timedelta(minutes=2))
    room.measured(None)
    assert not room.is_open
    room.accepted("readings")
    assert room.is_open
    assert ended == [Pause(START, FULL, START + timedelta(minutes=2))]


def reading(number: int) -> Reading:
    time = START + timedelta(seconds=number)
    return Reading("TEMP", time, Decimal(number), "degC", Flag.NORMAL, time)


async def test_buffer_is_bounded_and_nothing_of_it_is_lost(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.groupcommit.RETRY_S", 0.01)
    real, refusals = plant.pipeline.store, [True]
    room = Room(plant.clock)

    async def full(arrivals: Sequence[Arrival]) -> int:
        if refusals:
            raise DiskFullError(*FULL)
        return await real(arrivals)

    monkeypatch.setattr(plant.pipeline, "store", full)
    group = GroupCommit(plant.pipeline, 0.0, lambda one: None, room=room, most=10)
    committing = asyncio.create_task(group.run())
    takers = [asyncio.create_task(group.take([reading(4 * n + k) for k in range(4)])) for n in range(10)]
    await until(lambda: not room.is_open)
    done, held = await asyncio.wait(takers, timeout=0.05)
    assert (len(done), len(held), group.waiting) == (3, 7, 12)
    refusals.clear()
    await asyncio.gather(*takers)
    await until(lambda: not group.waiting)
    await end_tasks((committing,))
    assert room.is_open
    assert plant.writer.call(lambda store: store.value("SELECT count(*) FROM reading")) == 40


def test_judge_says_nothing_of_a_pause_that_has_its_own_event(plant: Plant) -> None:
    for number in (0, 3600 * 10):
        plant.pipeline.arrival(reading(number))
        plant.pipeline.judge.forget_times()
    assert not plant.pipeline.judge.take()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_broker_keeps_what_there_is_no_room_for(
    make_plant: Callable[..., Plant], tmp_path: Path, protocol: str
) -> None:
    plant = make_plant(MQTT_SITE)
    room = Room(plant.clock)
    with start_broker(tmp_path / "broker", kind="mosquitto") as broker:
        intake = MqttIntake(plant.pipeline, plant.catalogue.mqtt, on_reading=lambda one: None, room=room)
        settings = BrokerSettings.model_validate(
            {"host": broker.host, "port": broker.port, "protocol": protocol, "receive_maximum": 5}
        )
        session = MqttSession(settings, "gw-test", intake.topics, RealClock())
        session.places = Places(10, 1 << 20)
        ready = asyncio.Event()

        async def on_session(present: bool) -> None:
            ready.set()

        task = asyncio.create_task(session.run(intake.handle, on_session))
        await asyncio.wait_for(ready.wait(), WAIT_S)
        room.refused("readings", DiskFullError(*FULL))
        await asyncio.to_thread(publish, broker, [message(n) for n in range(1, 61)])
        await until(lambda: session.places.taken == (5 if protocol == "5" else 10))
        assert count(plant) == 0
        room.accepted("readings")
        await until(lambda: count(plant) == 120)
        await end_tasks((task,))


def count(plant: Plant) -> int:
    return int(plant.writer.call(lambda store: store.value("SELECT count(*) FROM reading")))


def test_places_are_also_counted_in_bytes_and_one_message_always_fits() -> None:
    places = Places(10, 100)
    assert places.take(500)
    places.close()
    assert not places.take(1)


async def test_logger_is_not_answered_while_there_is_no_room(
    make_plant: Callable[..., Plant], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = make_plant(LOGGER_SITE)
    async with logger_listening(plant) as listener:
        room = listener._intake._room
        room.refused("readings", DiskFullError(*FULL))
        async with logger(plant, listener, timeout_s=0.05) as simulator:
            sending = asyncio.create_task(simulator.send())
            await until(lambda: simulator.count.repeated >= 1)
            assert count(plant) == 0
            room.accepted("readings")
            await sending
    assert count(plant) > 0


async def test_gap_of_a_logger_that_was_not_answered_is_not_laid_on_the_logger(
    make_plant: Callable[..., Plant],
) -> None:
    plant = make_plant(LOGGER_SITE)
    async with logger_listening(plant) as listener, logger(plant, listener) as simulator:
        room = listener._intake._room
        await simulator.send()
        room.refused("readings", DiskFullError(*FULL))
        plant.clock.advance(timedelta(hours=1))
        room.accepted("readings")
        await simulator.send()
        plant.clock.advance(timedelta(hours=1))
        await simulator.send()
    events = plant.writer.call(lambda store: own_statements(store, "event"))
    gaps = [one.payload["data"] for one in events if one.payload["type"] == "gap"]
    assert [one["reason"] for one in gaps] == ["disk-full", "no frames from the data logger"]


def test_gap_of_a_gateway_that_ended_while_paused_says_why(plant: Plant) -> None:
    assert plant.writer.call(gap_reason) == "not running"
    plant.writer.call(lambda store: raise_problem(store, PAUSED, *FULL, time_text(START)))
    assert plant.writer.call(gap_reason) == "disk-full"
