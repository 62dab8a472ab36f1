"""MQTT over a real broker: acknowledged after the commit, never twice, poison aside, refusals said."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from conftest import START, Plant
from paho.mqtt.enums import CallbackAPIVersion

from cunzheng.demo.processes import free_port
from cunzheng.simulator.broker import BrokerHandle, start_broker
from cunzheng.simulator.edge_node import EdgeNode
from device_profiles.sparkplug import metrics_of
from gateway.chain import own_statements
from gateway.clock import RealClock
from gateway.errors import StoreError
from gateway.field import end_tasks
from gateway.intake import MqttIntake
from gateway.mqtt import Incoming, MqttSession
from gateway.patience import AWAY_S
from gateway.settings import BrokerSettings

TOPIC = "plant/gas1/gas"
SITE = """
[[mqtt]]
id = "gas1"
profile = "plain-json-gas"
parameters = { max_flow_nm3h = "5000" }

[[channel]]
id = "GAS.TOTAL"
device = "gas1"
point = "volume"

[[channel]]
id = "GAS.FLOW"
device = "gas1"
point = "flow"
"""
WAIT_S = 10.0
SECOND = timedelta(seconds=1)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerHandle]:
    with start_broker(tmp_path / "broker", kind="mosquitto") as handle:  # without mosquitto these tests fail
        yield handle


@pytest.fixture
def plant(make_plant: Callable[..., Plant]) -> Plant:
    return make_plant(SITE)


def message(sequence: int, **members: Any) -> bytes:
    said = {
        "time": f"2026-03-01T00:{sequence // 60 % 60:02d}:{sequence % 60:02d}Z",
        "seq": sequence,
        "volume_nm3": 1000 + sequence,
        "flow_nm3h": 60,
        "status": "ok",
    }
    return json.dumps({**said, **members}).encode()


def publish(
    broker: BrokerHandle,
    payloads: Sequence[bytes],
    topic: str = TOPIC,
    *,
    retain: bool = False,
    login: tuple[str, str] | None = None,
    ca_file: Path | None = None,
) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    if login is not None:
        client.username_pw_set(*login)
    if ca_file is not None:
        client.tls_set(ca_certs=str(ca_file))
    client.connect(broker.host, broker.port)
    client.loop_start()
    sent = [client.publish(topic, payload, qos=1, retain=retain) for payload in payloads]
    for one in sent:
        one.wait_for_publish(WAIT_S)
    client.disconnect()
    client.loop_stop()


def count(plant: Plant, table: str = "reading") -> int:
    return int(plant.writer.call(lambda store: store.value(f"SELECT count(*) FROM {table}")))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def listening(
    plant: Plant, broker: BrokerHandle, *, handle: Callable[..., Awaitable[None]] | None = None, **options: Any
) -> Any:
    settings = BrokerSettings(host=broker.host, port=broker.port, **options)
    intake = MqttIntake(plant.pipeline, plant.catalogue.mqtt, on_reading=lambda reading: None)
    session = MqttSession(settings, "gw-test", intake.topics, RealClock())
    ready = asyncio.Event()

    async def on_session(present: bool) -> None:
        await intake.session(present)
        ready.set()

    task = asyncio.create_task(session.run(handle or intake.handle, on_session))
    try:
        if not options.get("expect_refusal"):
            async with asyncio.timeout(WAIT_S):
                await ready.wait()
        yield session
    finally:
        await end_tasks((task,))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_messages_become_readings(plant: Plant, broker: BrokerHandle, protocol: str) -> None:
    async with listening(plant, broker, protocol=protocol):
        await asyncio.to_thread(publish, broker, [message(n) for n in range(1, 301)])
        await until(lambda: count(plant) == 600)
    rows = plant.writer.call(lambda store: store.rows("SELECT * FROM reading WHERE channel = 'GAS.TOTAL' ORDER BY seq"))
    assert [row["value"] for row in rows] == [str(1000 + n) for n in range(1, 301)]
    assert rows[0]["time"] == "2026-03-01T00:00:01.000Z"
    assert rows[0]["device_time"] == "2026-03-01T00:00:01Z"


async def test_message_is_acknowledged_only_after_its_commit(plant: Plant, broker: BrokerHandle) -> None:
    seen: list[Incoming] = []

    async def dies(batch: Sequence[Incoming]) -> None:
        seen.extend(batch)
        await asyncio.sleep(3600)

    async with listening(plant, broker, handle=dies):
        await asyncio.to_thread(publish, broker, [message(n) for n in range(1, 51)])
        await until(lambda: len(seen) > 0)
    assert count(plant) == 0
    async with listening(plant, broker):
        await until(lambda: count(plant) == 100)


async def test_redelivered_messages_are_stored_once(plant: Plant, broker: BrokerHandle) -> None:
    intake = MqttIntake(plant.pipeline, plant.catalogue.mqtt, on_reading=lambda reading: None)
    committed = asyncio.Event()

    async def commits_and_dies(batch: Sequence[Incoming]) -> None:
        await intake.handle(batch)
        committed.set()
        await asyncio.sleep(3600)

    async with listening(plant, broker, handle=commits_and_dies):
        await asyncio.to_thread(publish, broker, [message(n) for n in range(1, 51)])
        async with asyncio.timeout(WAIT_S):
            await committed.wait()
    before = count(plant)
    assert before > 0
    async with listening(plant, broker):
        await until(lambda: count(plant) == 100)
    values = plant.writer.call(
        lambda store: store.rows("SELECT value FROM reading WHERE channel = 'GAS.TOTAL' ORDER BY seq")
    )
    assert [row["value"] for row in values] == [str(1000 + n) for n in range(1, 51)]


async def test_duplicates_from_the_device_are_stored_once(plant: Plant, broker: BrokerHandle) -> None:
    async with listening(plant, broker):
        await asyncio.to_thread(publish, broker, [message(1), message(1), message(2), message(1)])
        await until(lambda: count(plant) == 4)


async def test_messages_wait_at_the_broker_while_the_gateway_is_away(plant: Plant, broker: BrokerHandle) -> None:
    async with listening(plant, broker):
        pass
    await asyncio.to_thread(publish, broker, [message(n) for n in range(1, 1001)])
    async with listening(plant, broker):
        await until(lambda: count(plant) == 2000)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff\xfe", b"{", b"[1]", b'{"seq":1}', b'{"time":"now","seq":1}', b"[" * 4000, message(1, seq="x")],
)
async def test_poison_goes_aside_and_blocks_nobody(plant: Plant, broker: BrokerHandle, payload: bytes) -> None:
    async with listening(plant, broker, receive_maximum=1):
        await asyncio.to_thread(publish, broker, [payload, message(2)])
        await until(lambda: count(plant) == 2)
    row = plant.writer.call(lambda store: store.row("SELECT * FROM quarantine"))
    assert row is not None
    assert (row["source"], row["payload"]) == (TOPIC, payload)
    async with listening(plant, broker):
        await asyncio.to_thread(publish, broker, [message(3)])
        await until(lambda: count(plant) == 4)
    assert count(plant, "quarantine") == 1


async def test_message_is_kept_as_it_came_beside_each_reading(
    plant: Plant, broker: BrokerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.intake.RAW_BYTES", 300)
    spelt = message(1).replace(b'"flow_nm3h": 60', b'"flow_nm3h": 6.0e1')
    long = message(2, note="x" * 1000)
    async with listening(plant, broker):
        await asyncio.to_thread(publish, broker, [spelt, long])
        await until(lambda: count(plant) >= 4)
    rows = plant.writer.call(lambda store: store.rows("SELECT channel, raw FROM reading ORDER BY time, channel"))
    half = len(rows) // 2
    assert {row["raw"] for row in rows[:half]} == {spelt.decode()}
    digest = f" sha256:{hashlib.sha256(long).hexdigest()}"
    assert all(row["raw"].endswith(digest) and len(row["raw"]) < 300 for row in rows[half:])
    assert any(row["raw"] == f"60{digest}" for row in rows[half:])


async def test_value_without_number_is_marked(plant: Plant, broker: BrokerHandle) -> None:
    async with listening(plant, broker):
        await asyncio.to_thread(publish, broker, [message(1, flow_nm3h=None)])
        await until(lambda: count(plant) == 2)
    row = plant.writer.call(lambda store: store.row("SELECT * FROM reading WHERE channel = 'GAS.FLOW'"))
    assert row is not None
    assert (row["value"], row["flag"], row["reason"].rpartition("; ")[2]) == (None, "D", "null")


async def test_retained_message_is_no_new_measurement(plant: Plant, broker: BrokerHandle) -> None:
    await asyncio.to_thread(publish, broker, [message(1)], retain=True)
    async with listening(plant, broker):
        await until(lambda: count(plant) == 2)
    flags = plant.writer.call(lambda store: {row["flag"] for row in store.rows("SELECT flag FROM reading")})
    assert flags == {"M"}


async def test_store_that_refuses_is_tried_again(
    plant: Plant, broker: BrokerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.intake.RETRY_S", 0.02)
    failures = [True, True]
    real = plant.writer.do

    async def refuses(function: Callable[..., Any]) -> Any:
        if "MqttIntake._handle" in getattr(function, "__qualname__", "") and failures:
            failures.pop()
            raise StoreError("满", "full")
        return await real(function)

    monkeypatch.setattr(plant.writer, "do", refuses)
    async with listening(plant, broker):
        await asyncio.to_thread(publish, broker, [message(1)])
        await until(lambda: count(plant) == 2)
    assert not failures


async def test_forgotten_session_becomes_a_gap_event(plant: Plant, tmp_path: Path) -> None:
    with start_broker(tmp_path / "first", kind="mosquitto") as first:
        async with listening(plant, first):
            await asyncio.to_thread(publish, first, [message(1)])
            await until(lambda: count(plant) == 2)
    plant.clock.set(START)
    with start_broker(tmp_path / "second", kind="mosquitto") as second:
        async with listening(plant, second):
            pass
    events = [one.payload for one in plant.writer.call(lambda store: own_statements(store, "event"))]
    (gap,) = [one["data"] for one in events if one["type"] == "gap"]
    assert (gap["source"], gap["reason"]) == ("mqtt", "the broker forgot the session")


async def test_broker_that_refuses_is_named_and_tried_again(plant: Plant, tmp_path: Path) -> None:
    settings_port = 0
    with start_broker(tmp_path / "refusing", kind="mosquitto", refuse=True) as refusing:
        settings_port = refusing.port
        settings = BrokerSettings(host=refusing.host, port=refusing.port, backoff_max_s=1)
        session = MqttSession(settings, "gw-test", [TOPIC], RealClock())
        intake = MqttIntake(plant.pipeline, plant.catalogue.mqtt, on_reading=lambda reading: None)
        task = asyncio.create_task(session.run(intake.handle, intake.session))
        await until(lambda: session.error is not None)
        assert session.error == "refused: Not authorized"
    with start_broker(tmp_path / "open", kind="mosquitto", port=settings_port):
        await until(lambda: session.error is None)
    await end_tasks((task,))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses before the next try, as they are chosen; the tries themselves follow at once."""
    chosen: list[float] = []
    real = paho.Client.reconnect_delay_set

    def note(client: paho.Client, least: float, most: float) -> None:
        chosen.append(most)
        real(client, 0.01, 0.01)  # type: ignore[arg-type]

    monkeypatch.setattr(paho.Client, "reconnect_delay_set", note)
    return chosen


async def nothing(_: object) -> None:
    """Take what comes and keep nothing of it."""


@asynccontextmanager
async def connecting(port: int, *, sessions: int = 1) -> Any:
    made = [
        MqttSession(BrokerSettings(host="127.0.0.1", port=port), "gw", [TOPIC], RealClock()) for _ in range(sessions)
    ]
    tasks = [asyncio.create_task(session.run(nothing, nothing)) for session in made]
    try:
        yield made[0]
    finally:
        await end_tasks(tasks)


async def test_broker_that_is_away_is_looked_for_every_second_however_long(pauses: list[float]) -> None:
    async with connecting(free_port()):
        await until(lambda: len(pauses) > 20)
    assert max(pauses) <= AWAY_S


async def test_broker_that_refuses_is_tried_ever_more_seldom(pauses: list[float], tmp_path: Path) -> None:
    with start_broker(tmp_path / "refusing", kind="mosquitto", refuse=True) as refusing:
        async with connecting(refusing.port):
            await until(lambda: max(pauses) > 30)
    assert pauses[1:6] == sorted(pauses[1:6])


async def test_two_clients_of_one_id_do_not_chase_each_other(pauses: list[float], broker: BrokerHandle) -> None:
    async with connecting(broker.port, sessions=2):
        await until(lambda: max(pauses) > 30)
    assert len(pauses) < 40


async def test_broker_that_was_there_for_long_is_tried_at_once(
    pauses: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.mqtt.STEADY_S", 0.0)
    with start_broker(tmp_path / "b", kind="mosquitto") as first:
        async with connecting(first.port) as session:
            for _ in range(2):
                await until(lambda: session.error is None and session._since is not None)
                before = len(pauses)
                first.stop()
                await until(lambda before=before: len(pauses) > before + 3)
                assert pauses[before] <= 0.25
                first = await asyncio.to_thread(start_broker, tmp_path / "b", port=first.port, kind="mosquitto")
            first.stop()


SPARKPLUG_SITE = """
[[mqtt]]
id = "meter1"
name = "steel/edge1/meter1"
profile = "sparkplug-b-meter"
parameters = { max_power_kw = "2000" }

[[channel]]
id = "ELEC.TOTAL"
device = "meter1"
point = "energy_import"
"""


async def test_sparkplug_node_is_read_from_birth_to_death(
    make_plant: Callable[..., Plant], broker: BrokerHandle
) -> None:
    plant = make_plant(SPARKPLUG_SITE)
    node = EdgeNode(plant.catalogue.mqtt[0].profile, "steel/edge1/meter1")

    def say(messages: Sequence[tuple[str, bytes]]) -> None:
        for topic, payload in messages:
            publish(broker, [payload], topic)

    async with listening(plant, broker):
        values = {"energy_import": Decimal("123456.789")}
        early = [(node.topic("DDATA"), metrics_of(node.profile, values, 1, 5, birth=False))]
        await asyncio.to_thread(say, early)
        await until(lambda: count(plant, "quarantine") == 1)
        await asyncio.to_thread(say, [*node.messages(values, START), *node.messages(values, START + SECOND)])
        await until(lambda: count(plant) == 2)
        await asyncio.to_thread(say, [node.death(START)])
        await until(lambda: count(plant) == 3)
    rows = plant.writer.call(lambda store: store.rows("SELECT value, flag, reason FROM reading ORDER BY seq"))
    # The node's times are of a day long past, which check Q05 says of them.
    said = [[one for one in row["reason"].split("; ") if not one.startswith("Q05 ")] for row in rows]
    assert [(row["value"], row["flag"]) for row in rows] == [("123456.789", "N"), ("123456.789", "N"), (None, "B")]
    assert said == [[], [], ["device-offline"]]
