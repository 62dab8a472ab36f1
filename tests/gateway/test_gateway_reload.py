"""Another site file while the gateway runs: what changed is taken in, everything else goes on untouched."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from small_centre import CODE, SmallCentre

import device_profiles
from cunzheng.cli import cunzheng
from cunzheng.simulator.broker import start_broker
from cunzheng.simulator.hj212_logger import Hj212LoggerSimulator
from cunzheng.simulator.modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from gateway.assembly import Gateway, open_gateway
from gateway.chain import own_statements
from gateway.hj212 import LoggerListener
from gateway.problems import problems
from gateway.reload import FileWatch, Outcome
from gateway.runlock import runner_of, running_alone
from gateway.service import Service
from gateway.site_change import CHANNELS_IN_EVENT, SiteChange
from gateway.store import Store

POLL_S = 0.05
NUMBERS = {"l1": "010000A8900016F000169DC0", "l2": "010000A8900016F000169DC1"}


def device(name: str, port: int, *, unit: int = 1, serial: str = "") -> str:
    return (
        f'[[device]]\nid = "{name}"\nprofile = "schneider-iem3000"\nhost = "127.0.0.1"\nport = {port}\nunit = {unit}\n'
        f'serial = "{serial}"\npoll_s = {POLL_S}\nparameters = {{ max_power_kw = "2000" }}\n'
        f'[[channel]]\nid = "E.{name}"\ndevice = "{name}"\npoint = "energy_import"\n'
    )


@pytest.fixture
def centre() -> Iterator[SmallCentre]:
    with SmallCentre() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, centre: SmallCentre) -> Path:
    settings = f'data = "data"\n[centre]\nurl = "{centre.url}"\nsync_s = 1\n[poll]\ncommit_s = 0.02\nstagger_s = 0\n'
    (tmp_path / "gateway.toml").write_text(settings, "utf-8")
    (tmp_path / "site.toml").write_text(device("a", 9), "utf-8")
    assert called(tmp_path, "enrol", CODE).exit_code == 0
    return tmp_path


def called(folder: Path, *words: str) -> Result:
    command, *rest = words
    return CliRunner().invoke(cunzheng, ["gateway", command, "-c", str(folder / "gateway.toml"), *rest])


@dataclass
class Running:
    """A service at work on two meters, `a` at unit 1 and `b` at unit 2 of one line or of two."""

    folder: Path
    gateway: Gateway
    service: Service
    meters: dict[str, ModbusDeviceSimulator]
    ports: dict[str, int]

    def site(self, *names: str, **serials: str) -> str:
        return "".join(device(one, self.ports[one], unit=self.unit(one), serial=serials.get(one, "")) for one in names)

    def unit(self, name: str) -> int:
        return self.meters[name].unit_id

    async def reload(self, text: str) -> Outcome:
        (self.folder / "site.toml").write_text(text, "utf-8")
        return await self.service.reload.once()

    async def polled(self, name: str, times: int = 3) -> None:
        """Wait until a meter was read so many times more."""
        before = self.meters[name].reads
        async with asyncio.timeout(20):
            while self.meters[name].reads < before + times:
                await asyncio.sleep(0.01)

    async def events(self) -> list[tuple[str, dict[str, Any]]]:
        found = await self.gateway.writer.do(lambda store: own_statements(store, "event"))
        return [(one.payload["type"], one.payload["data"]) for one in found]

    async def problems(self) -> dict[str, str]:
        return {one.key: one.en for one in await self.gateway.writer.do(problems)}

    async def stored(self, channel: str) -> list[tuple[str, str]]:
        rows = await self.gateway.writer.do(
            lambda store: store.rows("SELECT time, flag FROM reading WHERE channel = ? ORDER BY seq", (channel,))
        )
        return [(row["time"], row["flag"]) for row in rows]


@asynccontextmanager
async def running(folder: Path, *names: str, share: bool = False) -> AsyncIterator[Running]:
    profile = device_profiles.shipped()["schneider-iem3000"]
    meters = {
        name: ModbusDeviceSimulator(profile, unit, lambda now: {"energy_import": Decimal("1.5")})
        for unit, name in enumerate(("a", "b"), 1)
    }
    groups = [list(meters.values())] if share else [[one] for one in meters.values()]
    servers = [ModbusSimulatorServer(group) for group in groups]
    ports = [await server.start() for server in servers]
    try:
        site = Running(folder, None, None, meters, {"a": ports[0], "b": ports[-1]})  # type: ignore[arg-type]
        (folder / "site.toml").write_text(site.site(*names), "utf-8")
        with await asyncio.to_thread(open_gateway, folder / "gateway.toml") as opened:
            stop = asyncio.Event()
            site.gateway, site.service = opened, Service(opened)
            task = asyncio.create_task(site.service.run(stop))
            try:
                for name in names:
                    await site.polled(name)
                yield site
            finally:
                stop.set()
                await task
    finally:
        for server in servers:
            await server.stop()


@pytest.mark.parametrize("share", [False, True], ids=["two lines", "one line"])
async def test_device_is_added_changed_and_removed_while_another_is_polled_without_a_gap(
    folder: Path, share: bool
) -> None:
    async with running(folder, "a", share=share) as site:
        (poller,) = site.service.pollers
        assert (await site.reload(site.site("a", "b"))).result == "applied"
        await site.polled("b")
        site.meters["b"].dials.delay_s = 0.0 if share else 0.3  # a poll is under way when the change comes
        await site.polled("b", 1)
        before = site.meters["a"].reads
        assert (await site.reload(site.site("a", "b", b="B-0002"))).result == "applied"
        assert share or site.meters["a"].reads > before
        site.meters["b"].dials.delay_s = 0.0
        await site.polled("b")
        changed = site.service.pollers[1]
        assert (await site.reload(site.site("a"))).result == "applied"
        reads = site.meters["b"].reads
        await site.polled("a")
        assert site.meters["b"].reads == reads
        # One and the same poller on one and the same connection, and every poll of it is stored once.
        assert site.service.pollers == [poller]
        assert poller.endpoint.connections == 1
        times = [time for time, _ in await site.stored("E.a")]
        assert len(times) == len(set(times))
        assert poller.state.polls - len(times) <= 2
        # What was being read of b when it was changed and removed is there too.
        assert len(await site.stored("E.b")) >= changed.state.polls
        events = await site.events()
    assert [what for what, _ in events] == ["epoch-open", "config", "restart", *["config", "restart"] * 2, "restart"]
    said = [data for what, data in events if what == "restart"][1:]
    assert [{key: one[key] for key in one if key in ("added", "changed", "removed")} for one in said] == [
        {"added": ["E.b"]},
        {"changed": ["E.b"]},
        {"removed": ["E.b"]},
    ]
    assert {one["reason"] for one in said} == {"reload"}
    assert all(one["rules"]["id"] for one in said)
    assert events[5][1]["serial"] == "B-0002"


async def test_unchanged_site_touches_nothing(folder: Path) -> None:
    async with running(folder, "a", "b") as site:
        before, pollers, judge = len(await site.events()), list(site.service.pollers), site.gateway.pipeline.judge
        outcome = await site.reload("# the same, said otherwise\n" + site.site("a", "b"))
        assert outcome.result == "unchanged"
        assert len(await site.events()) == before
        assert site.service.pollers == pollers
        assert site.gateway.pipeline.judge is judge


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("point", "punto"), "channel.0.punto"),
        (('"energy_import"', '"no_such_point"'), "channel.E.a.point"),
        (('"schneider-iem3000"', '"mine.yaml"'), "mine.yaml"),
        (("[[device]]", "[[device"), "is not TOML"),
        (('point = "energy_import"', 'point = "power"'), "declared as total"),
    ],
    ids=["unknown key", "unknown point", "missing profile", "not TOML", "another kind"],
)
async def test_wrong_site_changes_nothing_and_is_shown_until_a_right_one_comes(
    folder: Path, change: tuple[str, str], says: str
) -> None:
    async with running(folder, "a") as site:
        (poller,), before = site.service.pollers, len(await site.events())
        good = site.site("a")
        outcome = await site.reload(good.replace(*change))
        assert (outcome.result, says in outcome.en) == ("refused", True), outcome.en
        assert outcome.zh != outcome.en
        assert says in (await site.problems())["site"]
        assert len(await site.events()) == before
        await site.polled("a")
        is_same = "declared" not in says  # there the poller was ended and started before the refusal
        assert (site.service.pollers == [poller]) == is_same
        assert (await site.reload(good)).result == "unchanged"
        assert "site" not in await site.problems()


async def test_judge_goes_on_where_it_was_and_hours_of_a_removed_channel_are_sealed(folder: Path) -> None:
    async with running(folder, "a", "b") as site:
        await site.reload(site.site("b"))
        await site.polled("b")
        assert [data for what, data in await site.events() if what == "gap"] == []
        judge = site.gateway.pipeline.judge
        assert set(judge.channels) == {"E.b"}
        count = await site.gateway.writer.do(lambda store: store.execute("UPDATE reading SET hour = ?", (PAST,)))
        assert count > 0
        sealed = await site.gateway.pipeline.seal_due_async(timedelta(0))
        assert sealed.readings >= count


PAST = "2026-03-01T00:00:00.000Z"


async def test_store_that_refuses_leaves_the_old_site_at_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.errors import StoreError

    async with running(folder, "a") as site:

        def refuse(*_: object) -> None:
            raise StoreError("磁盘已满", "the disk is full")

        with monkeypatch.context() as patched:
            patched.setattr("gateway.pipeline.remember_channel", refuse)
            outcome = await site.reload(site.site("a", "b"))
        assert (outcome.result, outcome.en) == ("refused", "the disk is full")
        await site.polled("a")
        assert [poller.site.id for poller in site.service.pollers] == ["a"]
        assert (await site.reload(site.site("a", "b"))).result == "applied"
        await site.polled("b")


async def test_topics_follow_the_site_over_one_connection_and_nothing_goes_to_quarantine(folder: Path) -> None:
    from paho.mqtt import publish

    def meter(name: str) -> str:
        return (
            f'[[mqtt]]\nid = "{name}"\nprofile = "plain-json-gas"\nparameters = {{ max_flow_nm3h = "5000" }}\n'
            f'[[channel]]\nid = "G.{name}"\ndevice = "{name}"\npoint = "volume"\n'
        )

    with start_broker(folder / "broker", kind="mosquitto") as broker:
        with (folder / "gateway.toml").open("a") as settings:
            settings.write(f'[mqtt]\nhost = "{broker.host}"\nport = {broker.port}\n')
        async with running(folder, "a") as site:

            async def say(name: str, n: int) -> None:
                profile = device_profiles.shipped()["plain-json-gas"]
                topics = device_profiles.filters_of(profile, name)
                topic = next(iter(topics)).replace("+", "x")
                payload = json.dumps({"time": f"2026-03-01T00:00:{n:02d}Z", "seq": n, "volume_nm3": n, "status": "ok"})
                await asyncio.to_thread(publish.single, topic, payload, 1, False, broker.host, broker.port)

            async def came(name: str, n: int, patience: float = 20) -> None:
                async with asyncio.timeout(patience):
                    while len(await site.stored(f"G.{name}")) < n:
                        await asyncio.sleep(0.02)

            assert (await site.reload(site.site("a") + meter("g1"))).result == "applied"
            async with asyncio.timeout(20):
                while not await site.gateway.writer.do(lambda store: store.get("mqtt_session")):
                    await asyncio.sleep(0.02)
            await say("g1", 1)
            await came("g1", 1)
            assert (await site.reload(site.site("a") + meter("g1") + meter("g2"))).result == "applied"
            while not await site.stored("G.g2"):  # what is said before the broker knows of the wish is not heard
                await say("g2", 1)
            for n in range(2, 4):
                await say("g2", n)
            for n in range(2, 5):
                await say("g1", n)
            await came("g2", 3)
            await came("g1", 4)
            forgotten = threading.Event()
            broker_session = site.service._field._broker
            assert broker_session is not None
            broker_session[0]._client.on_unsubscribe = lambda *_: forgotten.set()
            assert (await site.reload(site.site("a") + meter("g2"))).result == "applied"
            assert await asyncio.to_thread(forgotten.wait, 20)
            await say("g1", 9)
            await say("g2", 9)
            await came("g2", 4)
            assert len(await site.stored("G.g1")) == 4
            quarantined = await site.gateway.writer.do(lambda store: store.rows("SELECT reason FROM quarantine"))
            assert [row["reason"] for row in quarantined] == []


async def test_logger_is_added_and_removed_while_another_stays_connected(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[LoggerListener] = []

    class Noted(LoggerListener):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            made.append(self)

    monkeypatch.setattr("gateway.field.LoggerListener", Noted)
    with (folder / "gateway.toml").open("a") as settings:
        settings.write("[hj212]\nport = 0\n")

    def logger(name: str) -> str:
        return (
            f'[[hj212]]\nid = "{name}"\nmn = "{NUMBERS[name]}"\n'
            f'[[channel]]\nid = "P.{name}"\ndevice = "{name}"\npoint = "a01013-Rtd"\nunit = "Pa"\n'
        )

    async with running(folder, "a") as site:
        assert (await site.reload(site.site("a") + logger("l1"))).result == "applied"
        (listener,) = made
        async with asyncio.timeout(20):
            await listener.ready()

        def simulator(name: str) -> Hj212LoggerSimulator:
            start, ticks = datetime.now(UTC) - timedelta(minutes=10), count()
            return Hj212LoggerSimulator(
                NUMBERS[name],
                host="127.0.0.1",
                port=listener.port,
                values=lambda at: {"a01013-Rtd": "-123.0723"},
                clock=lambda: start + timedelta(seconds=next(ticks)),
                timeout_s=20,
            )

        first, second = simulator("l1"), simulator("l2")
        await first.connect()
        await first.send()
        assert (await site.reload(site.site("a") + logger("l1") + logger("l2"))).result == "applied"
        await second.connect()
        await second.send()
        await first.send()
        assert (await site.reload(site.site("a") + logger("l1"))).result == "applied"
        await first.send()
        await first.close()
        await second.close()
        assert (len(await site.stored("P.l1")), len(await site.stored("P.l2"))) == (3, 1)
        assert await site.gateway.writer.do(lambda store: store.value("SELECT count(*) FROM quarantine")) == 0
        assert made == [listener]


def test_running_gateway_reloads_by_command_and_a_wrong_site_is_refused_before_it_is_told(
    folder: Path, root: Path
) -> None:
    assert (called(folder, "reload").exit_code, runner_of(folder / "data")) == (1, None)
    child = subprocess.Popen(
        [sys.executable, "-m", "cunzheng", "gateway", "run", "-c", str(folder / "gateway.toml")],
        cwd=root,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr is not None
    try:
        lines = []
        for line in child.stderr:
            lines.append(line)
            if "gateway runs gw=" in line:
                break
        assert runner_of(folder / "data") == child.pid
        (folder / "site.toml").write_text(device("a", 9) + device("b", 9, unit=2), "utf-8")
        done = json.loads(called(folder, "reload", "--json").stdout)
        assert (done["result"], "channels added 1" in done["en"]) == ("applied", True)
        (folder / "site.toml").write_text(device("a", 9).replace("unit", "units"), "utf-8")
        wrong = called(folder, "reload")
        assert (wrong.exit_code, "device.0.units" in wrong.stderr) == (3, True), wrong.stderr
        os.kill(child.pid, signal.SIGHUP)
        for line in child.stderr:
            lines.append(line)
            if "reload result=refused" in line:
                break
        status = json.loads(called(folder, "status", "--json").stdout)
        assert [one["key"] for one in status["problems"]] == ["site"]
    finally:
        child.terminate()
        child.stderr.read()
        child.stderr.close()
        assert child.wait() == 0
    assert "Traceback" not in "".join(lines)
    assert ("runs as root" in "".join(lines)) == (os.geteuid() == 0)


def test_lock_names_its_holder_and_nobody_after_it(tmp_path: Path) -> None:
    with running_alone(tmp_path, takes_signals=True):
        assert runner_of(tmp_path) == os.getpid()
    with running_alone(tmp_path):
        assert runner_of(tmp_path) == 0
    assert runner_of(tmp_path) is None


def test_files_are_looked_at_by_content_once_their_time_or_size_differs(tmp_path: Path) -> None:
    site, profile = tmp_path / "site.toml", tmp_path / "own.yaml"
    site.write_text(device("a", 9).replace("schneider-iem3000", "own.yaml"), "utf-8")
    profile.write_text("id: own\n", "utf-8")
    watch = FileWatch(site)
    assert not watch.has_changed()
    os.utime(site, ns=(1, 1))
    assert not watch.has_changed()
    profile.write_text("id: other\n", "utf-8")
    assert watch.has_changed()
    assert not watch.has_changed()
    site.write_text("nonsense", "utf-8")
    assert watch.has_changed()
    assert not watch.has_changed()


async def test_watched_site_file_is_taken_in_by_itself(folder: Path) -> None:
    with (folder / "gateway.toml").open("a") as settings:
        settings.write("[reload]\nwatch_s = 1\n")
    async with running(folder, "a") as site:
        (folder / "site.toml").write_text(site.site("a", "b"), "utf-8")
        await site.polled("b")


@given(
    st.integers(0, 3 * CHANNELS_IN_EVENT), st.integers(0, 3 * CHANNELS_IN_EVENT), st.integers(0, 3 * CHANNELS_IN_EVENT)
)
def test_events_of_a_change_name_everything_once_and_none_is_long(added: int, changed: int, removed: int) -> None:
    names = [
        tuple(f"{what}{n}" for n in range(count)) for what, count in zip("acr", (added, changed, removed), strict=True)
    ]
    events = SiteChange(*names, devices=(), is_other=False).events({"id": "r"})
    for what, wanted in zip(("added", "changed", "removed"), names, strict=True):
        assert tuple(name for one in events for name in one.get(what, ())) == wanted
    assert all(
        sum(len(one.get(what, ())) for what in ("added", "changed", "removed")) <= CHANNELS_IN_EVENT for one in events
    )
    assert [index for index, one in enumerate(events) if "rules" in one] == [0]


def test_outcome_is_remembered_over_a_restart(tmp_path: Path) -> None:
    from gateway.reload import last_outcome
    from gateway.snapshot import Snapshot

    store = Store(tmp_path / "gateway.db")
    assert last_outcome(store) is None
    text = json.dumps({"number": 3, "at": PAST, "result": "unchanged", "zh": "无", "en": "none"})
    with store.transaction():
        store.put("reload", text)
    store.close()
    with Snapshot(tmp_path / "gateway.db") as view:
        outcome = last_outcome(view)
    assert outcome is not None
    assert (outcome.number, str(outcome.result)) == (3, "unchanged")
