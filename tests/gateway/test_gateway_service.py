"""The commands and the running service, against a small centre and a simulated meter."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import START, Plant
from small_centre import CODE, SmallCentre

import device_profiles
from cunzheng.cli import cunzheng
from cunzheng.simulator.broker import start_broker
from cunzheng.simulator.modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from evidence.reading import Flag, Reading
from evidence.statement import parse
from gateway.assembly import open_gateway
from gateway.chain import own_statements
from gateway.field import end_tasks
from gateway.groupcommit import GroupCommit
from gateway.problems import problems
from gateway.reading_store import Arrival, insert_readings
from gateway.runlock import running_alone
from gateway.service import Service
from gateway.store import Store

SITE = """
[[device]]
id = "em1"
profile = "schneider-iem3000"
host = "127.0.0.1"
port = {port}
unit = 1
poll_s = 0.1
parameters = {{ max_power_kw = "2000" }}

[[import]]
id = "historian"

[[channel]]
id = "ELEC.TOTAL"
device = "em1"
point = "energy_import"

[[channel]]
id = "ELEC.IMPORT"
device = "historian"
kind = "interval"
unit = "kWh"
"""
EXPORT = "end,kwh\n2026-02-01T00:15:00+08:00,3.17\n2026-02-01T00:30:00+08:00,4\n"
MAP = """
[time]
column = "end"
period_label = "end"
interval = "15m"
[[value]]
column = "kwh"
channel = "ELEC.IMPORT"
unit = "kWh"
"""


@pytest.fixture
def centre() -> Iterator[SmallCentre]:
    with SmallCentre() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, centre: SmallCentre) -> Path:
    settings = f'data = "data"\n[centre]\nurl = "{centre.url}"\nsync_s = 0.1\nlive_s = 0.1\n[poll]\ncommit_s = 0.05\n'
    (tmp_path / "gateway.toml").write_text(settings, "utf-8")
    (tmp_path / "site.toml").write_text(SITE.format(port=9), "utf-8")
    (tmp_path / "export.csv").write_text(EXPORT, "utf-8")
    (tmp_path / "map.toml").write_text(MAP, "utf-8")
    return tmp_path


def called(folder: Path, *words: str) -> Result:
    command, *rest = words
    return CliRunner().invoke(cunzheng, ["gateway", command, "-c", str(folder / "gateway.toml"), *rest])


def test_from_enrolment_to_receipts_by_commands(folder: Path, centre: SmallCentre) -> None:
    enrolled = called(folder, "enrol", CODE, "--json")
    assert json.loads(enrolled.stdout)["gateway"] == "GW-0001"
    paths = (str(folder / "export.csv"), "--map", str(folder / "map.toml"))
    done = json.loads(called(folder, "import", *paths, "--json").stdout)
    assert (done["rows"], done["stored"], done["segments"]) == (2, 2, 1)
    assert json.loads(called(folder, "import", *paths, "--json").stdout)["stored"] == 0
    synced = called(folder, "sync", "--json")
    assert (synced.exit_code, json.loads(synced.stdout)["waiting"]) == (0, 0)
    facts = json.loads(called(folder, "status", "--json").stdout)
    assert (facts["waiting"], facts["receipts"], facts["readings"], facts["problems"]) == (0, 4, 2, [])
    assert json.loads(called(folder, "close", "--json").stdout)["segments"] == 0
    checked = json.loads(called(folder, "check", "--json").stdout)
    assert checked["ok"]
    assert [parse(jws).kind for jws in centre.log] == ["key", "key", "event", "event", "event", "segment"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("status",), 3, "run cunzheng gateway enrol first"),
        (("run",), 3, "run cunzheng gateway enrol first"),
        (("enrol", "guess"), 1, "the centre refuses to enrol"),
        (("probe", "em9"), 3, "there is no Modbus device em9"),
        (("probe", "em1"), 2, "cannot connect"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_code(folder: Path, words: tuple[str, ...], code: int, says: str) -> None:
    result = called(folder, *words)
    assert result.exit_code == code
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("export", "how", "says"),
    [
        (("end,kwh", "end,mwh"), ("", ""), "line 1: column 'kwh' is missing"),
        (("00:30:00+08:00", "00:30:00"), ("", ""), "line 3: time '2026-02-01T00:30:00'"),
        (("", ""), ('unit = "kWh"', 'unit = "kwh"'), "unknown unit 'kwh'"),
        (("00:30:00+08:00,4", "00:15:00+08:00,4"), ("", ""), "line 3"),
    ],
    ids=["column", "naive-time", "unknown-unit", "duplicate-row"],
)
def test_bad_export_is_one_line_and_a_code_and_nothing_is_stored(
    folder: Path, export: tuple[str, str], how: tuple[str, str], says: str
) -> None:
    called(folder, "enrol", CODE)
    for name, change in (("export.csv", export), ("map.toml", how)):
        path = folder / name
        path.write_text(path.read_text("utf-8").replace(*change) if change[0] else path.read_text("utf-8"), "utf-8")
    result = called(folder, "import", str(folder / "export.csv"), "--map", str(folder / "map.toml"))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (3, "", 1)
    assert says in result.stderr
    assert json.loads(called(folder, "status", "--json").stdout)["readings"] == 0


def test_centre_that_is_away_is_exit_code_2(folder: Path, centre: SmallCentre) -> None:
    called(folder, "enrol", CODE)
    centre.dials.down = True
    result = called(folder, "sync")
    assert (result.exit_code, "cannot reach the centre" in result.stderr) == (2, True)


def test_errors_speak_chinese_when_asked(folder: Path) -> None:
    result = CliRunner().invoke(cunzheng, ["--lang", "zh", "gateway", "status", "-c", str(folder / "gateway.toml")])
    assert "请先运行" in result.stderr


def test_probe_prints_words_and_value(folder: Path) -> None:
    async def probe() -> Result:
        meter = ModbusDeviceSimulator(
            device_profiles.shipped()["schneider-iem3000"], 1, lambda now: {"energy_import": Decimal("1.5")}
        )
        async with ModbusSimulatorServer([meter]) as server:
            (folder / "site.toml").write_text(SITE.format(port=server.port), "utf-8")
            return await asyncio.to_thread(called, folder, "probe", "em1", "--no-neighbours", "--json")

    (row,) = json.loads(asyncio.run(probe()).stdout)
    assert (row["point"], row["words"], row["value"]) == ("energy_import", "0000 0000 0000 05DC", "1.5")


async def test_running_gateway_polls_commits_and_syncs(folder: Path, centre: SmallCentre) -> None:
    await asyncio.to_thread(called, folder, "enrol", CODE)
    meter = ModbusDeviceSimulator(
        device_profiles.shipped()["schneider-iem3000"], 1, lambda now: {"energy_import": Decimal("1.5")}
    )
    async with ModbusSimulatorServer([meter]) as server:
        (folder / "site.toml").write_text(SITE.format(port=server.port), "utf-8")
        with await asyncio.to_thread(open_gateway, folder / "gateway.toml") as opened:
            stop = asyncio.Event()
            running = asyncio.create_task(Service(opened).run(stop))
            async with asyncio.timeout(10):
                while len(centre.log) < 6 or not centre.live or await readings(opened) < 5:
                    await asyncio.sleep(0.05)
            meter.dials.exception = 4
            async with asyncio.timeout(10):
                while not await opened.writer.do(
                    lambda store: store.value("SELECT 1 FROM reading WHERE flag = 'B' AND reason = 'exception-04'")
                ):
                    await asyncio.sleep(0.05)
            before = meter.reads
            stop.set()
            await running
            assert await readings(opened) >= before // 4
            events = [one.payload["type"] for one in opened.writer.call(lambda store: own_statements(store, "event"))]
            assert events == ["epoch-open", "config", "config", "restart"]
    assert {one["channel"] for one in centre.live} == {"ELEC.TOTAL"}


async def test_centre_that_is_back_gets_live_values_before_their_rhythm(folder: Path, centre: SmallCentre) -> None:
    await asyncio.to_thread(called, folder, "enrol", CODE)
    settings = folder / "gateway.toml"
    settings.write_text(settings.read_text("utf-8").replace("live_s = 0.1", "live_s = 3600"), "utf-8")
    centre.dials.down = True
    with await asyncio.to_thread(open_gateway, settings) as opened:
        service, stop = Service(opened), asyncio.Event()
        running = asyncio.create_task(service.run(stop))
        async with asyncio.timeout(10):
            while not service.vitals().sync_error[1] or await readings(opened) < 5:
                await asyncio.sleep(0.05)
        assert centre.live == []
        centre.dials.down = False
        async with asyncio.timeout(10):
            while not centre.live:
                await asyncio.sleep(0.05)
        stop.set()
        await running
    assert {one["channel"] for one in centre.live} == {"ELEC.TOTAL"}


def test_sigterm_ends_the_service_in_order_and_the_gap_is_declared(folder: Path, root: Path) -> None:
    called(folder, "enrol", CODE)
    for _ in range(2):
        child = subprocess.Popen(
            [sys.executable, "-m", "cunzheng", "gateway", "run", "-c", str(folder / "gateway.toml")],
            cwd=root,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stderr is not None
        lines = []
        for line in child.stderr:
            lines.append(line)
            if "state=no-connection" in line:
                child.terminate()
        child.stderr.close()
        assert child.wait() == 0, lines
        assert "gateway stopped gw=GW-0001" in lines[-1]
        # The pause is longer than three polls, so the second start finds a gap.
        store = Store(folder / "data" / "gateway.db")
        with store.transaction():
            store.execute("UPDATE reading SET received = '2026-01-01T00:00:00.000Z' WHERE leaf IS NULL")
        store.close()
    with open_gateway(folder / "gateway.toml") as opened:
        events = [one.payload for one in opened.writer.call(lambda store: own_statements(store, "event"))]
    assert [one["type"] for one in events] == ["epoch-open", "config", "config", "restart", "restart", "gap"]
    assert events[-1]["data"]["from"] == "2026-01-01T00:00:00.000Z"


def test_second_gateway_on_one_folder_is_refused_and_the_lock_ends_with_its_holder(folder: Path, root: Path) -> None:
    called(folder, "enrol", CODE)
    with running_alone(folder / "data"):
        done = subprocess.run(
            [sys.executable, "-m", "cunzheng", "gateway", "run", "-c", str(folder / "gateway.toml")],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert "already runs" in done.stderr
        assert "Traceback" not in done.stderr
    with running_alone(folder / "data"):
        pass
    assert (folder / "data").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("found", ["at once", "by looking at every page"])
def test_malformed_database_is_put_aside_and_only_a_new_epoch_goes_on(
    folder: Path, centre: SmallCentre, found: str
) -> None:
    called(folder, "enrol", CODE)
    called(folder, "import", str(folder / "export.csv"), "--map", str(folder / "map.toml"))
    database = folder / "data" / "gateway.db"
    data = bytearray(database.read_bytes())
    if found == "at once":
        data[:4096] = bytes(4096)
    else:
        with (folder / "gateway.toml").open("a") as settings:
            settings.write('[start]\ncheck = "whole"\n')
        with closing(sqlite3.connect(database)) as connection:
            (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'quarantine'").fetchone()
        data[(root - 1) * 4096 : root * 4096] = bytes(4096)
    database.write_bytes(data)
    for command in ("run", "run", "status", "check", "close"):
        result = called(folder, command)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1), result.output
        assert "cunzheng gateway enrol and a new code" in result.stderr
        assert not database.exists()
    (aside,) = (folder / "data").glob("damaged-*")
    assert (aside / "gateway.db").read_bytes() == data
    assert json.loads(called(folder, "enrol", CODE, "--json").stdout)["epoch"] == 2
    assert called(folder, "close").exit_code == 0


async def test_damaged_page_is_found_while_the_gateway_runs(folder: Path, centre: SmallCentre) -> None:
    called(folder, "enrol", CODE)
    database = folder / "data" / "gateway.db"
    with closing(sqlite3.connect(database)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'quarantine'").fetchone()
    data = database.read_bytes()
    database.write_bytes(data[: (root - 1) * 4096] + bytes(4096) + data[root * 4096 :])
    with open_gateway(folder / "gateway.toml") as gateway:
        await Service(gateway)._check_pages()
        (problem,) = gateway.writer.call(problems)
        assert (problem.key, "cunzheng gateway export" in problem.zh) == ("database", True)


async def test_task_that_swallows_a_cancellation_is_asked_again() -> None:
    asked = 0

    async def stubborn() -> None:
        nonlocal asked
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                asked += 1
                if asked == 2:
                    raise

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(asyncio.sleep(60))]
    await asyncio.sleep(0)
    await end_tasks(tasks, again_s=0.01)
    assert asked == 2
    assert all(task.cancelled() for task in tasks)


async def test_group_whose_commit_is_under_way_at_the_end_is_stored_once(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, held = threading.Event(), threading.Event()

    def slowly(store: Store, arrivals: Sequence[Arrival]) -> int:
        begun.set()
        held.wait(10)
        return insert_readings(store, arrivals)

    group = GroupCommit(plant.pipeline, 0.0, lambda reading: None)
    one = Reading("TEMP", START, Decimal(5), "degC", Flag.NORMAL, START)
    await group.take([one, replace(one, value=Decimal(6), time=START + timedelta(seconds=1))])
    monkeypatch.setattr("gateway.pipeline.insert_readings", slowly)
    flushing = asyncio.create_task(group.flush())
    await asyncio.to_thread(begun.wait, 10)
    flushing.cancel()
    asyncio.get_running_loop().call_later(0.05, held.set)
    with pytest.raises(asyncio.CancelledError):
        await flushing
    await group.flush()
    assert plant.writer.call(lambda store: store.value("SELECT count(*) FROM reading")) == 2


async def readings(opened: object) -> int:
    writer = opened.writer  # type: ignore[attr-defined]
    return int(await writer.do(lambda store: store.value("SELECT count(*) FROM reading")))


def problem_keys(store: Store) -> list[str]:
    return [one.key for one in problems(store)]


async def test_broker_that_refuses_is_shown_by_status_until_it_lets_the_gateway_in(folder: Path) -> None:
    device = '[[mqtt]]\nid = "gas1"\nprofile = "plain-json-gas"\nparameters = { max_flow_nm3h = "5000" }\n'
    (folder / "site.toml").write_text(f'{device}[[channel]]\nid = "GAS"\ndevice = "gas1"\npoint = "volume"\n', "utf-8")
    with start_broker(folder / "refusing", refuse=True) as refusing:
        port = refusing.port
        with (folder / "gateway.toml").open("a") as settings:
            settings.write(f'[mqtt]\nhost = "{refusing.host}"\nport = {port}\nbackoff_max_s = 1\n')
        enrolled = await asyncio.to_thread(called, folder, "enrol", CODE)
        assert enrolled.exit_code == 0, enrolled.output
        with await asyncio.to_thread(open_gateway, folder / "gateway.toml") as opened:
            stop = asyncio.Event()
            running = asyncio.create_task(Service(opened).run(stop))
            async with asyncio.timeout(20):
                while await opened.writer.do(problem_keys) != ["mqtt"]:
                    await asyncio.sleep(0.05)
            status = await asyncio.to_thread(called, folder, "status", "--json")
            assert "Not authorized" in json.loads(status.stdout)["problems"][0]["zh"]
            refusing.stop()
            with start_broker(folder / "open", port=port):
                async with asyncio.timeout(20):
                    while await opened.writer.do(problem_keys):
                        await asyncio.sleep(0.05)
                stop.set()
                await running
