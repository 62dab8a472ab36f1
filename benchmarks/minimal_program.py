"""The peer of the steady benchmark: the least program that polls, stores durably and publishes, without any care.

asyncio protocols ask each device once a second, every answer is committed (WAL, FULL) and published as one JSON object
at QoS 1. It judges nothing, proves nothing and believes every answer.  minimal_program.py PORT DEVICES FOLDER [BROKER]
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import struct
import sys
import time
from pathlib import Path
from typing import cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

_VALUES = 50
_ANSWER_BYTES = 9 + 4 * _VALUES
_ASK = struct.pack(">HHHBBHH", 1, 0, 6, 1, 4, 0, 2 * _VALUES)


class Device(asyncio.Protocol):
    """One connection: a request a second, an answer, a commit, a message."""

    def __init__(self, name: str, store: sqlite3.Connection, broker: paho.Client | None) -> None:
        self._name, self._store, self._broker, self._came = name, store, broker, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.out = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._came += data
        if len(self._came) < _ANSWER_BYTES:
            return
        values = struct.unpack(f">{_VALUES}f", self._came[9:])
        self._came.clear()
        now = time.time()
        self._store.execute("BEGIN IMMEDIATE")
        rows = [(f"{self._name}.{at}", now, value) for at, value in enumerate(values)]
        self._store.executemany("INSERT INTO reading VALUES (?, ?, ?)", rows)
        self._store.execute("COMMIT")
        if self._broker is not None:
            self._broker.publish(f"minimal/{self._name}", json.dumps({"time": now, "values": values}), qos=1)


async def main(port: int, devices: int, folder: Path, broker_port: int | None) -> None:
    store = sqlite3.connect(folder / "minimal.db", isolation_level=None)
    store.execute("PRAGMA journal_mode = WAL")
    store.execute("PRAGMA synchronous = FULL")
    store.execute("CREATE TABLE reading (channel TEXT, time REAL, value REAL)")
    broker = None
    if broker_port is not None:
        broker = paho.Client(CallbackAPIVersion.VERSION2)
        broker.connect("127.0.0.1", broker_port)
        broker.loop_start()
    loop = asyncio.get_running_loop()

    async def poll(number: int) -> None:
        _, device = await loop.create_connection(lambda: Device(f"d{number}", store, broker), "127.0.0.1", port)
        await asyncio.sleep(number / devices)
        while True:
            device.out.write(_ASK)
            await asyncio.sleep(1)

    await asyncio.gather(*(poll(number) for number in range(devices)))


if __name__ == "__main__":
    asyncio.run(
        main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else None)
    )
