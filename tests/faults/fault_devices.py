"""Simulated devices for a world, in threads of the test: a Modbus meter, a gas meter over MQTT, their broker."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from fault_programs import wait_until

from cunzheng.commands_profile import find_profile
from cunzheng.demo.processes import free_port
from cunzheng.simulator.broker import BrokerHandle, start_broker
from cunzheng.simulator.mill import LiveMill, demo_mill, electricity_values
from cunzheng.simulator.modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from cunzheng.simulator.mqtt_device import MqttDeviceSimulator

METER, GAS = "eastron-sdm630", "plain-json-gas"


@contextmanager
def meter(port: int, clock: Callable[[], datetime] | None = None) -> Iterator[ModbusDeviceSimulator]:
    """Serve an SDM630 that shows the mill's counter."""
    profile = find_profile(METER)
    mill = LiveMill(demo_mill())
    device = ModbusDeviceSimulator(
        profile,
        1,
        lambda now: electricity_values(profile, mill, now),
        clock=clock or (lambda: datetime.now(UTC)),
    )
    loop = asyncio.new_event_loop()
    server = ModbusSimulatorServer([device], port=port)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(20)
    try:
        yield device
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


class GasMeter:
    """Publishes numbered messages and remembers which the broker acknowledged."""

    def __init__(self, port: int) -> None:
        self._total = Decimal(1000)
        self._device = MqttDeviceSimulator(
            find_profile(GAS), "gas1", host="127.0.0.1", port=port, client_id="gas1", values=self._values
        )
        self._device.connect()
        self.published = 0

    def _values(self, now: datetime) -> dict[str, Decimal | str | None]:
        self._total += Decimal("0.001")
        return {"volume": self._total, "flow": Decimal("3.5"), "status": "ok"}

    def publish(self, count: int, pause_s: float = 0.0) -> None:
        """Publish messages."""
        for _ in range(count):
            self._device.publish()
            self.published += 1
            if pause_s:
                time.sleep(pause_s)

    def flush(self) -> None:
        """Wait until the broker has acknowledged everything."""
        self._device.flush(30)

    def close(self) -> None:
        """Disconnect."""
        self._device.close()


class Broker:
    """A broker on one port that can be killed and comes back with what it had saved."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_port()
        self._handle: BrokerHandle | None = None
        self.start()

    def start(self) -> None:
        """Start it on its port."""
        self._handle = start_broker(self._folder, port=self.port, kind="mosquitto")

    def kill(self) -> None:
        """Kill it as a power cut does."""
        assert self._handle is not None
        self._handle.kill()

    def stop(self) -> None:
        """Stop it in order: it saves everything."""
        assert self._handle is not None
        self._handle.stop()

    def freeze(self) -> None:
        """Let it stand still, as a machine does that lost its disk: connections stay, nothing is answered."""
        assert self._handle is not None
        self._handle.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on where it stood."""
        assert self._handle is not None
        self._handle.process.send_signal(signal.SIGCONT)

    def wait_until_saved(self) -> None:
        """Wait for a save that began after now: what the broker acknowledged before survives its death."""
        saved = self._folder / "mosquitto.db"
        now = time.time()
        wait_until(lambda: saved.exists() and saved.stat().st_mtime > now + 0.05, "the broker's next save")


def readings_of(database: Path, channel: str) -> list[str]:
    """Return the values of a live channel in the order stored."""
    connection = sqlite3.connect(database, timeout=30)
    try:
        rows = connection.execute("SELECT value FROM reading WHERE channel = ? ORDER BY seq", (channel,)).fetchall()
    finally:
        connection.close()
    return [row[0] for row in rows]
