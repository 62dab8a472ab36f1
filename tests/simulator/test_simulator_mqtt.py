"""A simulated MQTT device on a real broker: mosquitto where it is installed, and the embedded one."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from cunzheng.simulator.broker import (
    BrokerHandle,
    Kind,
    has_amqtt,
    start_broker,
)
from cunzheng.simulator.dials import Dials
from cunzheng.simulator.errors import BrokerError, MqttSimulatorError
from cunzheng.simulator.mqtt_device import GARBAGE, MqttDeviceSimulator
from device_profiles import PayloadReadings, decode_payload, shipped

GAS = shipped()["plain-json-gas"]
NOW = datetime(2026, 3, 1, 0, 15, tzinfo=UTC)
KINDS = [
    "mosquitto",
    pytest.param(
        "amqtt",
        marks=pytest.mark.skipif(not has_amqtt(), reason="amqtt is not installed"),
    ),
]


@pytest.fixture(params=KINDS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerHandle]:
    with start_broker(tmp_path / "broker", kind=request.param) as handle:
        yield handle


class Listener:
    """A plain subscriber that keeps what came."""

    def __init__(self, broker: BrokerHandle, client_id: str = "listener", *, clean: bool = True) -> None:
        self.came: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._ready: queue.Queue[bool] = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean)
        self.client.on_message = lambda client, data, message: self.came.put(message)
        self.client.on_connect = lambda client, *rest: client.subscribe("plant/+/gas", qos=1)
        self.client.on_subscribe = lambda *rest: self._ready.put(True)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        self._ready.get(timeout=10)

    def next(self) -> paho.MQTTMessage:
        return self.came.get(timeout=10)

    def readings(self) -> PayloadReadings:
        message = self.next()
        return decode_payload(GAS, message.topic, message.payload, retained=message.retain)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.client.on_message = self.client.on_connect = self.client.on_subscribe = None


@pytest.fixture
def listener(broker: BrokerHandle) -> Iterator[Listener]:
    made = Listener(broker)
    yield made
    made.close()


@contextlib.contextmanager
def gas_meter(broker: BrokerHandle, dials: Dials | None = None) -> Iterator[MqttDeviceSimulator]:
    device = MqttDeviceSimulator(
        GAS,
        "gas1",
        host=broker.host,
        port=broker.port,
        client_id="simulated-gas1",
        values=lambda now: {"volume": Decimal("123456.789"), "flow": Decimal("812.5"), "status": "ok"},
        dials=dials,
        clock=lambda: NOW,
    )
    device.connect()
    try:
        yield device
    finally:
        device.close()


def test_messages_arrive_with_exact_values_and_rising_sequence(broker: BrokerHandle, listener: Listener) -> None:
    with gas_meter(broker) as device:
        for _ in range(3):
            device.publish()
        device.flush()
    readings = [listener.readings() for _ in range(3)]
    assert [one.sequence for one in readings] == [1, 2, 3]
    assert readings[0].values["volume"].value == Decimal("123456.789")
    assert readings[0].device_time == NOW
    assert device.sent == 3


def test_duplicates_have_one_name(broker: BrokerHandle, listener: Listener) -> None:
    with gas_meter(broker, Dials(duplicate=True)) as device:
        device.publish()
        device.flush()
    assert listener.readings().dedup == listener.readings().dedup


def test_reordered_messages_come_second_first(broker: BrokerHandle, listener: Listener) -> None:
    with gas_meter(broker, Dials(reorder=True)) as device:
        for _ in range(4):
            device.publish()
        device.flush()
    assert [listener.readings().sequence for _ in range(4)] == [2, 1, 4, 3]


def test_garbage_is_sent_as_such(broker: BrokerHandle, listener: Listener) -> None:
    with gas_meter(broker, Dials(garbage=True)) as device:
        device.publish()
        device.flush()
    assert listener.next().payload == GARBAGE


def test_no_value_is_null_and_marked(broker: BrokerHandle, listener: Listener) -> None:
    with gas_meter(broker, Dials(no_value=frozenset({"flow"}))) as device:
        device.publish()
        device.flush()
    decoded = listener.readings().values["flow"]
    assert (decoded.value, decoded.flag) == (None, "D")


def test_retained_message_reaches_a_late_subscriber_as_last_known(broker: BrokerHandle) -> None:
    with gas_meter(broker, Dials(retained=True)) as device:
        device.publish()
        device.flush()
    late = Listener(broker, "late")
    readings = late.readings()
    late.close()
    assert readings.retained
    assert readings.values["volume"].flag == "M"


async def test_running_device_publishes_until_cancelled(broker: BrokerHandle, listener: Listener) -> None:
    device = MqttDeviceSimulator(
        GAS,
        "gas1",
        host=broker.host,
        port=broker.port,
        client_id="simulated-gas1",
        values=lambda now: {"volume": Decimal(1), "flow": Decimal(1), "status": "ok"},
        interval_s=0.02,
    )
    task = asyncio.create_task(device.run())
    first = await asyncio.to_thread(listener.readings)
    second = await asyncio.to_thread(listener.readings)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (first.sequence, second.sequence) == (1, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_broker_that_refuses_is_a_connection_error(kind: Kind, tmp_path: Path) -> None:
    with (
        start_broker(tmp_path, kind=kind, refuse=True) as broker,
        pytest.raises(MqttSimulatorError, match="refuses"),
        gas_meter(broker),
    ):
        pass


def test_absent_broker_is_a_connection_error(tmp_path: Path) -> None:
    with start_broker(tmp_path) as broker:
        pass
    with pytest.raises(MqttSimulatorError, match="no MQTT broker"), gas_meter(broker):
        pass


def test_what_is_published_while_the_broker_is_away_goes_out_when_it_is_back(tmp_path: Path) -> None:
    handle = start_broker(tmp_path / "broker", kind="mosquitto")
    with gas_meter(handle) as device:
        handle.kill()
        for _ in range(3):
            device.publish()
        with pytest.raises(MqttSimulatorError, match="did not acknowledge"):
            device.flush(0.1)
        with start_broker(tmp_path / "broker", port=handle.port, kind="mosquitto"):
            device.flush(20)


@pytest.mark.parametrize("kill", [False, True])
def test_mosquitto_keeps_a_session_s_queue_over_a_restart(tmp_path: Path, kill: bool) -> None:
    first = start_broker(tmp_path, kind="mosquitto")
    sleeper = Listener(first, "sleeper", clean=False)
    sleeper.close()
    with gas_meter(first) as device:
        device.publish()
        device.flush()
    if kill:
        _wait_for_saving(tmp_path)
        first.kill()
    else:
        first.stop()
    with start_broker(tmp_path, kind="mosquitto", port=first.port) as second:
        assert second.port == first.port
        awake = Listener(second, "sleeper", clean=False)
        assert awake.readings().sequence == 1
        awake.close()


def _wait_for_saving(folder: Path) -> None:
    """Mosquitto saves every two seconds; wait for a save that holds the message."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        saved = folder / "mosquitto.db"
        if saved.exists() and b"volume_nm3" in saved.read_bytes():
            return
        time.sleep(0.05)
    raise AssertionError("mosquitto did not save")


def test_taken_port_is_an_error_with_the_log(tmp_path: Path) -> None:
    with start_broker(tmp_path / "a", kind="mosquitto") as broker, pytest.raises(BrokerError, match=r"mosquitto\.log"):
        start_broker(tmp_path / "b", kind="mosquitto", port=broker.port)
