"""MQTT: messages a second that are decoded, judged and durably stored, beside a bare paho consumer with batch commits.

Both consume the same backlog from the same mosquitto over a persistent session, at QoS 1, and acknowledge only after
the commit. The messages are published before the clock starts, so that the broker is all that either waits for.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import queue
import sqlite3
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import uvloop
from measure import Rate, show
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from plant import gateway

from cunzheng.simulator.broker import BrokerHandle, mosquitto_path, start_broker
from evidence.encoding import time_text
from gateway.clock import RealClock
from gateway.intake import MqttIntake
from gateway.mqtt import MqttSession
from gateway.settings import BrokerSettings

BATCH = 1000
SESSION_S = 3600
WAIT_S = 120
SITE = """
[[mqtt]]
id = "gas1"
profile = "plain-json-gas"
parameters = { max_flow_nm3h = "1000000" }

[[channel]]
id = "GAS.FLOW"
device = "gas1"
point = "flow"
"""
TOPIC = "plant/gas1/gas"


def payloads(count: int) -> list[bytes]:
    """Write messages a millisecond apart, as of many meters behind one channel: none is late by more than the run."""
    began = datetime.now(UTC)
    return [
        json.dumps(
            {
                "time": time_text(began + timedelta(milliseconds=number)),
                "seq": number,
                "volume_nm3": 1000 + number,
                "flow_nm3h": 60 + number % 97,
                "status": "ok",
            }
        ).encode()
        for number in range(count)
    ]


def client(name: str, broker: BrokerHandle, *, manual_ack: bool = False) -> paho.Client:
    """Make a client whose session outlives its connection."""
    made = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=manual_ack
    )
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_S
    properties.ReceiveMaximum = BATCH
    made.connect(broker.host, broker.port, clean_start=False, properties=properties)
    return made


def subscribe(name: str, broker: BrokerHandle) -> None:
    """Begin a session, so that the broker keeps what is published from now on."""
    made = client(name, broker)
    done: queue.Queue[bool] = queue.Queue()
    made.on_subscribe = lambda *_: done.put(True)
    made.loop_start()
    made.subscribe(TOPIC, qos=1)
    done.get(timeout=WAIT_S)
    made.disconnect()
    made.loop_stop()


def publish(broker: BrokerHandle, messages: list[bytes]) -> None:
    made = client("publisher", broker)
    made.loop_start()
    sent = [made.publish(TOPIC, message, qos=1) for message in messages]
    for one in sent:
        one.wait_for_publish(WAIT_S)
    made.disconnect()
    made.loop_stop()


def ours(folder: Path, broker: BrokerHandle, count: int) -> Rate:
    """Let the gateway's session and intake take the backlog."""
    clock = RealClock()
    with gateway(folder, SITE, clock) as bench:
        settings = BrokerSettings(host=broker.host, port=broker.port, client_id="gateway", receive_maximum=BATCH)
        stored = 0

        async def run() -> None:
            nonlocal stored
            done = asyncio.Event()

            def note(_: object) -> None:
                nonlocal stored
                stored += 1
                if stored == count:
                    done.set()

            intake = MqttIntake(bench.pipeline, bench.catalogue.mqtt, on_reading=note)
            session = MqttSession(settings, "gateway", intake.topics, clock)
            task = asyncio.create_task(session.run(intake.handle, intake.session))
            async with asyncio.timeout(WAIT_S):
                await done.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        gc.collect()
        gc.freeze()
        wall, cpu = time.perf_counter(), time.process_time()
        uvloop.run(run())
        rate = Rate(
            "gateway: decoded, judged, stored: messages",
            count,
            time.perf_counter() - wall,
            time.process_time() - cpu,
        )
        kept = bench.writer.call(lambda store: store.value("SELECT count(*) FROM reading"))
        if kept != count:
            raise SystemExit(f"{kept} of {count} messages are stored")
        return rate


def bare_paho(folder: Path, broker: BrokerHandle, count: int) -> Rate:
    """Take the backlog with paho and store the payloads, a batch a commit, acknowledged after it."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE message (time REAL, topic TEXT, payload BLOB)")
    came: queue.SimpleQueue[Any] = queue.SimpleQueue()
    wall, cpu = time.perf_counter(), time.process_time()
    made = client("bare", broker, manual_ack=True)
    made.on_message = lambda _client, _data, message: came.put(message)
    made.loop_start()
    stored = 0
    while stored < count:
        batch = [came.get(timeout=WAIT_S)]
        while len(batch) < BATCH and not came.empty():
            batch.append(came.get())
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO message VALUES (?, ?, ?)", [(time.time(), one.topic, one.payload) for one in batch]
        )
        connection.execute("COMMIT")
        for one in batch:
            made.ack(one.mid, one.qos)
        stored += len(batch)
    rate = Rate("bare paho, batch commit: messages", count, time.perf_counter() - wall, time.process_time() - cpu)
    made.disconnect()
    made.loop_stop()
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    count = parser.parse_args().messages
    if mosquitto_path() is None:
        print("\nMQTT: mosquitto is not installed; nothing measured")
        return
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        with start_broker(place / "broker") as broker:
            for name in ("bare", "gateway"):
                subscribe(name, broker)
            publish(broker, payloads(count))
            peer = bare_paho(place, broker, count)
            show("MQTT, QoS 1, acknowledged after the commit", ours(place / "g", broker, count), peer, "at least 0.6")


if __name__ == "__main__":
    main()
