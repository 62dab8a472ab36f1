"""Live intake under kill -9 of gateway, broker and devices: what the broker had is stored, once."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from fault_audit import audit
from fault_devices import Broker, GasMeter, meter, readings_of
from fault_injection import Setting
from fault_programs import wait_until
from fault_world import World

from cunzheng.demo.processes import free_port
from evidence.encoding import parse_time
from evidence.statement import parse


@pytest.fixture
def broker(world: World) -> Iterator[Broker]:
    made = Broker(world.folder / "broker")
    world.broker_port, world.modbus_port = made.port, free_port()
    world.write_settings()
    yield made
    made.kill()


def events(world: World, type_: str) -> list[dict[str, Any]]:
    rows = world.gateway_rows("SELECT jws FROM statement WHERE kind = 'event' ORDER BY seq")
    return [one for one in (dict(parse(row[0]).payload) for row in rows) if one["type"] == type_]


def volumes(world: World) -> list[Decimal]:
    return [Decimal(one) for one in readings_of(world.folder / "gateway/gateway.db", "GAS.TOTAL")]


def listen(world: World, gas: GasMeter) -> int:
    """Publish until the gateway has subscribed and stored; return the number of the first message it got."""

    def has_stored() -> bool:
        gas.publish(1)
        gas.flush()
        return bool(volumes(world))

    wait_until(has_stored, "a subscription")
    return int((volumes(world)[0] - 1000) * 1000)


def expected(first: int, last: int) -> list[Decimal]:
    return [Decimal(1000) + Decimal("0.001") * n for n in range(first, last + 1)]


def polls(world: World) -> int:
    return len(readings_of(world.folder / "gateway/gateway.db", "ELEC.TOTAL"))


def run_and_kill(world: World, broker: Broker, rng: random.Random, kills: int) -> None:
    gas = GasMeter(broker.port)
    with meter(world.modbus_port):
        service = world.gateway("run")
        wait_until(lambda: polls(world) > 0, "a first reading")
        first = listen(world, gas)
        for _ in range(kills):
            gas.publish(rng.randint(1, 20), rng.choice((0.0, 0.002, 0.02)))
            service.kill()
            gas.publish(rng.randint(0, 10))
            before = polls(world)
            service = world.gateway("run")
            if rng.random() < 0.5:
                wait_until(lambda before=before: polls(world) > before, "readings after a restart")  # type: ignore[misc]
        gas.flush()
        wait_until(lambda: len(volumes(world)) > gas.published - first, "all messages")
        assert service.terminate() == 0
    gas.close()
    assert sorted(volumes(world)) == expected(first, gas.published)
    print(f"kills={kills} messages={gas.published - first + 1} polls={polls(world)}")
    # A kill may come before the start was committed; what started to read has said so.
    assert 2 <= len(events(world, "restart")) <= kills + 1


def test_killed_gateway_stores_each_message_of_the_broker_once(
    world: World, broker: Broker, rng: random.Random
) -> None:
    world.start_centre()
    run_and_kill(world, broker, rng, 6)
    world.sync()
    audit(world)


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_gateway_killed_forty_times_stores_each_message_once(world: World, broker: Broker, rng: random.Random) -> None:
    world.start_centre()
    run_and_kill(world, broker, rng, 40)
    world.sync()
    audit(world)


def test_killed_broker_and_gateway_lose_no_message_that_the_broker_had_saved(world: World, broker: Broker) -> None:
    gas = GasMeter(broker.port)
    service = world.gateway("run")
    first = listen(world, gas)
    service.kill()
    gas.publish(40)
    gas.flush()
    broker.wait_until_saved()
    broker.kill()
    broker.start()
    service = world.gateway("run")
    wait_until(lambda: len(volumes(world)) > gas.published - first, "the saved messages")
    # The broker dies while the gateway listens: the meter sends again what was not acknowledged.
    broker.kill()
    gas.publish(10)
    broker.start()
    gas.flush()
    wait_until(lambda: len(volumes(world)) > gas.published - first, "the messages after the broker came back")
    assert service.terminate() == 0
    gas.close()
    assert sorted(volumes(world)) == expected(first, gas.published)
    world.start_centre()
    world.sync()
    audit(world)


@pytest.mark.parametrize("who", ["broker", "centre"])
def test_frozen_peer_that_is_given_up_meanwhile_costs_nothing(world: World, broker: Broker, who: str) -> None:
    """The connection stands and nothing comes: it is given up and made anew, until the peer goes on."""
    world.write("gateway.toml", (world.folder / "gateway.toml").read_text().replace("timeout_s = 5", "timeout_s = 0.3"))
    (file,) = world.exports(1, 2)
    centre = world.start_centre()
    gas = GasMeter(broker.port)
    service = world.gateway("run", faults=[Setting("gateway.mqtt:KEEPALIVE_S", 1)])
    first = listen(world, gas)
    wait_until(lambda: world.waiting() == 0, "an empty queue")
    if who == "broker":
        broker.freeze()
    else:
        os.killpg(centre.pid, signal.SIGSTOP)
    gas.publish(30)
    world.import_file(file)
    said = {"broker": "mqtt unavailable", "centre": "sync waits"}[who]
    wait_until(lambda: said in service.said(), "a peer that is given up")
    frozen_until = time.monotonic() + 1.5
    wait_until(lambda: time.monotonic() > frozen_until, "some more tries")
    if who == "broker":
        broker.go_on()
    else:
        os.killpg(centre.pid, signal.SIGCONT)
    gas.publish(10)
    gas.flush()
    wait_until(lambda: len(volumes(world)) > gas.published - first, "all messages")
    wait_until(lambda: world.waiting() == 0, "an empty queue")
    assert service.terminate() == 0
    gas.close()
    assert sorted(volumes(world)) == expected(first, gas.published)
    world.sync()
    audit(world, files=[file])


def test_time_without_gateway_is_a_gap_from_last_to_first_reading(world: World, broker: Broker) -> None:
    with meter(world.modbus_port):
        service = world.gateway("run")
        wait_until(lambda: polls(world) > 1, "readings")
        service.kill()
        last = world.gateway_rows("SELECT max(received) FROM reading WHERE imported = 0")[0][0]
        began = parse_time(last).timestamp()
        wait_until(lambda: time.time() - began > 1.0, "a second without a gateway")
        before = polls(world)
        service = world.gateway("run")
        wait_until(lambda: polls(world) > before, "readings after the gap")
        assert service.terminate() == 0
    (gap,) = [one for one in events(world, "gap") if one["data"]["source"] == "gateway"]
    assert (gap["data"]["from"], gap["data"]["reason"]) == (last, "not running")
    assert parse_time(gap["data"]["to"]) >= parse_time(last)
    assert [one["data"]["reason"] for one in events(world, "restart")] == ["start", "start"]


def test_meter_that_dies_gives_marked_readings_and_comes_back(world: World, broker: Broker) -> None:
    def flags() -> list[str]:
        return [row[0] for row in world.gateway_rows("SELECT flag FROM reading WHERE channel = 'ELEC.TOTAL'")]

    with meter(world.modbus_port):
        service = world.gateway("run")
        wait_until(lambda: "N" in flags(), "good readings")
    wait_until(lambda: "B" in flags(), "marked readings")
    with meter(world.modbus_port):
        wait_until(lambda: flags()[-1] == "N", "good readings again", 90)
        assert service.terminate() == 0


@pytest.mark.parametrize("messages", [0, pytest.param(20, marks=pytest.mark.faults)])
def test_locked_database_and_broker_that_comes_back_meanwhile_stop_nothing(
    world: World, broker: Broker, messages: int
) -> None:
    gas = GasMeter(broker.port)
    impatient = Setting("gateway.store:BUSY_TIMEOUT_S", 0.1)
    with meter(world.modbus_port):
        service = world.gateway("run", faults=[impatient])
        first = listen(world, gas)
        wait_until(lambda: expected(first, gas.published)[-1] in volumes(world), "nothing on its way")
        with closing(sqlite3.connect(world.folder / "gateway/gateway.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            gas.publish(messages)
            connected = service.said().count("mqtt connected")
            broker.kill()
            broker.start()
            wait_until(lambda: service.said().count("mqtt connected") > connected, "a new connection")
            locked_until = time.monotonic() + 1.5
            wait_until(lambda: time.monotonic() > locked_until, "some refusals")
            other.execute("ROLLBACK")
        gas.publish(5)
        gas.flush()
        before = polls(world)
        wait_until(lambda: polls(world) > before, "polls after the lock")
        wait_until(lambda: expected(first, gas.published)[-1] in volumes(world), "messages after the lock")
        assert service.is_running, service.said()
        assert service.terminate() == 0
    gas.close()
    assert len(volumes(world)) == len(set(volumes(world)))
