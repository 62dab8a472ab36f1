"""Data loggers at a gateway's door: site, frames, listener and simulated logger for the HJ 212 tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from conftest import Plant

from cunzheng.simulator.hj212_logger import Hj212LoggerSimulator
from device_profiles.hj212 import write_frame
from gateway.field import end_tasks
from gateway.hj212 import LoggerListener
from gateway.hj212_intake import LoggerIntake
from gateway.settings import LoggerSettings
from gateway.store import Row

MN = "010000A8900016F000169DC0"
FRAMES: dict[str, str] = json.loads(
    (Path(__file__).parents[1] / "device_profiles" / "data" / "hj212_frames.json").read_text("utf-8")
)
NOW = datetime(2026, 3, 1, 0, 0, 5, tzinfo=UTC)
WAIT_S = 10.0
KEY = "000102030405060708090a0b0c0d0e0f"
VALUES = {"a05001-Rtd": "12.5", "a01013-Rtd": "-123.0723", "a19001-Rtd": "8.1"}

SITE = f"""
[[hj212]]
id = "cems1"
mn = "{MN}"
serial = "DL-77"

[[channel]]
id = "CO2"
device = "cems1"
point = "a05001-Rtd"
unit = "%"
limits = {{ high = "40" }}

[[channel]]
id = "PRESSURE"
device = "cems1"
point = "a01013-Rtd"
unit = "Pa"

[[channel]]
id = "FLOW.HOUR"
device = "cems1"
point = "a00000-Avg/hour"

[[channel]]
id = "GAS.HOUR"
device = "cems1"
point = "a00000-Cou/hour"
"""


def site_with(*, logger: str = "", mn: str = MN) -> str:
    return SITE.replace(f'mn = "{MN}"', f'mn = "{mn}"\n{logger}')


@asynccontextmanager
async def listening(plant: Plant, **options: Any) -> AsyncIterator[LoggerListener]:
    intake = LoggerIntake(plant.pipeline, plant.catalogue.loggers, on_reading=lambda reading: None)
    listener = LoggerListener(LoggerSettings(port=0, **options), intake)
    task = asyncio.create_task(listener.run())
    try:
        async with asyncio.timeout(WAIT_S):
            await listener.ready()
        yield listener
    finally:
        await end_tasks((task,))


@asynccontextmanager
async def logger(plant: Plant, listener: LoggerListener, **options: Any) -> AsyncIterator[Hj212LoggerSimulator]:
    given: dict[str, Any] = {"values": lambda at: VALUES, "clock": plant.clock.now, "timeout_s": WAIT_S, **options}
    simulator = Hj212LoggerSimulator(given.pop("mn", MN), host="127.0.0.1", port=listener.port, **given)
    await simulator.connect()
    try:
        yield simulator
    finally:
        await simulator.close()


def rows(plant: Plant, sql: str, *parameters: object) -> list[Row]:
    return plant.writer.call(lambda store: store.rows(sql, parameters))


def readings(plant: Plant, channel: str = "CO2") -> list[Row]:
    return rows(plant, "SELECT * FROM reading WHERE channel = ? ORDER BY seq", channel)


def quarantined(plant: Plant) -> list[Row]:
    return rows(plant, "SELECT * FROM quarantine ORDER BY id")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def send_raw(port: int, *pieces: bytes) -> bytes:
    """Send, close our side, and return everything that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
    async with asyncio.timeout(WAIT_S):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def upload(cp: str, **changed: str) -> bytes:
    head = {"QN": "20260301080000123", "ST": "31", "CN": "2011", "PW": "123456", "MN": MN, "Flag": "5", **changed}
    return write_frame((";".join(f"{name}={value}" for name, value in head.items()) + f";CP=&&{cp}&&").encode())
