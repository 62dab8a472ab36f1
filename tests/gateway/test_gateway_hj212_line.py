"""HJ 212 over real sockets: answered after the commit, connections and their limits, the site file, the simulator."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Plant
from hj212_plant import MN, NOW, SITE, VALUES, WAIT_S, listening, logger, readings, rows, send_raw, until, upload
from small_centre import CODE, SmallCentre

from cunzheng.cli import cunzheng
from cunzheng.simulator.hj212_logger import Hj212LoggerSimulator, LoggerDials
from device_profiles.hj212 import FrameStream, Packet, read_packet, write_packet
from gateway.assembly import open_gateway
from gateway.chain import own_statements
from gateway.errors import MisuseError, StoreError
from gateway.field import end_tasks
from gateway.hj212 import LoggerListener
from gateway.hj212_intake import LoggerIntake
from gateway.service import Service
from gateway.settings import LoggerSettings


@pytest.fixture
def plant(make_plant: Callable[..., Plant]) -> Plant:
    return make_plant(SITE, now=NOW)


# -- commits and connections ---------------------------------------------------------------------------------------


async def test_answer_waits_for_the_commit(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.hj212_intake.RETRY_S", 0.02)
    failures = iter([True, True, False])
    real = plant.writer.do
    stored_at_answer: list[int] = []

    async def refuses(function: Callable[..., Any]) -> Any:
        if next(failures, False):
            raise StoreError("满", "full")
        return await real(function)

    async def watched(self: LoggerListener, writer: asyncio.StreamWriter, answers: Sequence[bytes]) -> bool:
        stored_at_answer.append(len(readings(plant)))
        return await answered(self, writer, list(answers))

    answered: Callable[..., Awaitable[bool]] = LoggerListener._answered
    monkeypatch.setattr(plant.writer, "do", refuses)
    monkeypatch.setattr(LoggerListener, "_answered", watched)
    async with listening(plant) as listener, logger(plant, listener) as simulator:
        await simulator.send()
    assert stored_at_answer == [1]


async def test_logger_that_is_not_answered_sends_again_and_is_stored_once(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: Callable[..., Awaitable[bool]] = LoggerListener._answered
    lost = iter([True, True])

    async def loses(self: LoggerListener, writer: asyncio.StreamWriter, answers: list[bytes]) -> bool:
        return True if next(lost, False) else await answered(self, writer, answers)

    monkeypatch.setattr(LoggerListener, "_answered", loses)
    async with listening(plant) as listener, logger(plant, listener, timeout_s=0.1) as simulator:
        await simulator.send()
        assert simulator.count.repeated == 2
    assert len(readings(plant)) == 1


async def test_loggers_do_not_disturb_each_other(make_plant: Callable[..., Plant]) -> None:
    other = "1" * 24
    second = f"""
[[hj212]]
id = "cems2"
mn = "{other}"

[[channel]]
id = "CO2.2"
device = "cems2"
point = "a05001-Rtd"
unit = "%"
"""
    plant = make_plant(SITE + second, now=NOW)
    async with (
        listening(plant) as listener,
        logger(plant, listener) as one,
        logger(plant, listener, mn=other) as two,
    ):
        two.dials = LoggerDials(split=2, noise=True)
        for _ in range(10):
            await asyncio.gather(one.send(), two.send())
            plant.clock.advance(timedelta(seconds=30))
    assert (len(readings(plant)), len(readings(plant, "CO2.2"))) == (10, 10)


async def test_connection_of_pure_noise_is_closed(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.hj212.MOST_BROKEN", 100)
    async with listening(plant) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET / HTTP/1.1\r\n" * 10)
        async with asyncio.timeout(WAIT_S):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_only_named_peers_may_connect(plant: Plant) -> None:
    frame = upload("DataTime=20260301080000;a05001-Rtd=1,a05001-Flag=N")
    async with listening(plant, peers=("192.0.2.0/24",)) as listener:
        with suppress(ConnectionError):
            assert await send_raw(listener.port, frame) == b""
    async with listening(plant, peers=("192.0.2.0/24", "127.0.0.1")) as listener:
        assert await send_raw(listener.port, frame)
    assert len(readings(plant)) == 1


async def test_more_connections_than_allowed_are_refused(plant: Plant) -> None:
    async with listening(plant, connections=1) as listener, logger(plant, listener) as simulator:
        await simulator.send()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        async with asyncio.timeout(WAIT_S):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        plant.clock.advance(timedelta(seconds=30))
        await simulator.send()


async def test_idle_connection_is_closed(plant: Plant) -> None:
    async with listening(plant, idle_s=0.05) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        async with asyncio.timeout(WAIT_S):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_port_that_is_taken_is_tried_again(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.hj212.LISTEN_RETRY_S", 0.02)
    async with listening(plant) as first:
        intake = LoggerIntake(plant.pipeline, plant.catalogue.loggers, on_reading=lambda reading: None)
        second = LoggerListener(LoggerSettings(port=first.port), intake)
        task = asyncio.create_task(second.run())
        await until(lambda: bool(rows(plant, "SELECT * FROM problem")))
        (problem,) = rows(plant, "SELECT * FROM problem")
        assert problem["en"].startswith(f"cannot listen for HJ 212 at 127.0.0.1:{first.port}: ")
    async with asyncio.timeout(WAIT_S):
        await second.ready()
    assert second.error is None
    assert rows(plant, "SELECT * FROM problem") == []
    await end_tasks((task,))


# -- site file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ('point = "a05001-Rtd"\nunit = "%"', 'point = "a05001-Rtd"', "needs a declared unit"),
        ('point = "a01013-Rtd"\nunit = "Pa"', 'point = "a01013-Rtd"\nunit = "pascal"', "unknown unit"),
        ('point = "a01013-Rtd"', 'point = "a01013"', "must be written like"),
        ('point = "a01013-Rtd"', 'point = "a01013-Now"', "there is no field"),
        ('point = "a01013-Rtd"', 'point = "a01013-Rtd/hour"', "needs its period"),
        ('point = "a00000-Avg/hour"', 'point = "a00000-Avg"', "needs its period"),
        ('point = "a00000-Avg/hour"', 'point = "a99999-Avg/hour"', "has no unit for a99999-Avg"),
        ('point = "a00000-Cou/hour"', 'point = "a00000-Cou/hour"\nunit = "m3/s"', "cannot be summed"),
        ('point = "a00000-Cou/hour"', 'point = "a00000-Cou/hour"\nkind = "value"', "is a interval"),
        ('serial = "DL-77"', 'zone = "Nowhere"', "is no time zone"),
        ('serial = "DL-77"', 'sm4_key_file = "absent.key"', "cannot read"),
        ('serial = "DL-77"', 'sm4_key_file = "site.toml"', "32 hexadecimal characters"),
        ('serial = "DL-77"', f'[[hj212]]\nid = "again"\nmn = "{MN}"', "is used twice"),
    ],
)
def test_site_that_does_not_fit_refuses_to_load(
    make_plant: Callable[..., Plant], was: str, now: str, said: str
) -> None:
    assert was in SITE
    with pytest.raises(MisuseError, match=re.escape(said)):
        make_plant(SITE.replace(was, now))


def test_channel_names_logger_and_code_table(plant: Plant) -> None:
    channel = plant.catalogue.channels["GAS.HOUR"]
    assert channel.profile is not None
    assert (channel.via, channel.device, channel.serial, channel.kind) == ("hj212", "cems1", "DL-77", "interval")
    assert (channel.profile.id, channel.profile.version) == ("hj212-2017", 1)
    assert channel.poll == timedelta(hours=1)
    configs = [one.payload["data"] for one in plant.writer.call(lambda store: own_statements(store, "event"))]
    assert {"device": "cems1", "via": "hj212"} in [one.get("source") for one in configs]


def test_settings_must_name_a_port_where_the_site_has_loggers(plant: Plant) -> None:
    (plant.folder / "gateway.toml").write_text(
        'data = "."\nsite = "site.toml"\n[centre]\nurl = "http://127.0.0.1:9"\n', "utf-8"
    )
    with pytest.raises(MisuseError, match=r"\[hj212\]"):
        open_gateway(plant.folder / "gateway.toml")


async def test_running_gateway_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[LoggerListener] = []
    real = LoggerListener.__init__

    def remembered(self: LoggerListener, *given: Any) -> None:
        made.append(self)
        real(self, *given)

    monkeypatch.setattr(LoggerListener, "__init__", remembered)
    with SmallCentre() as centre:
        (tmp_path / "gateway.toml").write_text(
            f'data = "data"\n[centre]\nurl = "{centre.url}"\nsync_s = 0.1\n[hj212]\nport = 0\n', "utf-8"
        )
        (tmp_path / "site.toml").write_text(SITE, "utf-8")
        words = ["gateway", "enrol", "-c", str(tmp_path / "gateway.toml"), CODE]
        assert (await asyncio.to_thread(CliRunner().invoke, cunzheng, words)).exit_code == 0
        with open_gateway(tmp_path / "gateway.toml") as gateway:
            stop = asyncio.Event()
            task = asyncio.create_task(Service(gateway).run(stop))
            await until(lambda: bool(made))
            await made[0].ready()
            simulator = Hj212LoggerSimulator(MN, host="127.0.0.1", port=made[0].port, values=lambda at: VALUES)
            await simulator.connect()
            await simulator.send()
            await simulator.close()
            stop.set()
            await task
            stored = gateway.writer.call(lambda store: store.rows("SELECT value, flag, reason FROM reading"))
    assert [tuple(row) for row in stored] == [("12.5", "N", ""), ("-123.0723", "N", "")]


async def test_simulator_runs_and_connects_again(plant: Plant) -> None:
    async with listening(plant) as listener:
        times = iter(range(10_000))
        simulator = Hj212LoggerSimulator(
            MN,
            host="127.0.0.1",
            port=listener.port,
            values=lambda at: VALUES,
            interval_s=0.01,
            clock=lambda: NOW + timedelta(milliseconds=next(times) - 10_000),
        )
        task = asyncio.create_task(simulator.run())
        await until(lambda: simulator.count.answered >= 3)
        await simulator.close()
        await until(lambda: simulator.count.answered >= 6)
        await end_tasks((task,))


def test_simulator_writes_what_the_reader_reads() -> None:
    simulator = Hj212LoggerSimulator(MN, host="", port=0, values=lambda at: VALUES)
    packet = simulator._packet("2011", NOW, NOW, VALUES, (2, 1))
    (frame,) = FrameStream().feed(write_packet(packet))
    again = read_packet(frame)  # type: ignore[arg-type]
    assert isinstance(again, Packet)
    assert replace(again, cp="") == packet
