"""An MQTT broker for demo and tests: mosquitto where it is installed, else amqtt inside this process.

Listens on the loopback only. With mosquitto, sessions and queues live in the folder and survive a restart; amqtt keeps
them in memory and speaks MQTT 3.1.1 only (`mqtt5` tells).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .errors import BrokerError

HOST = "127.0.0.1"
_START_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 10.0
#: Where Debian puts it, which is not on every user's PATH.
_SBIN = "/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin"

Kind = Literal["mosquitto", "amqtt"]


@dataclass
class BrokerHandle:
    """A running broker."""

    host: str
    port: int
    kind: Kind
    mqtt5: bool
    _stop: Callable[[bool], None]
    _stopped: bool = False

    def stop(self) -> None:
        """Stop in order; mosquitto saves its state."""
        self._end(kill=False)

    def kill(self) -> None:
        """Stop at once, as a power cut does."""
        self._end(kill=True)

    def _end(self, *, kill: bool) -> None:
        if not self._stopped:
            self._stopped = True
            self._stop(kill)

    def __enter__(self) -> BrokerHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def mosquitto_path() -> str | None:
    """Find the mosquitto server, or None."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=_SBIN)


def has_amqtt() -> bool:
    """Tell whether the optional embedded broker is installed."""
    return importlib.util.find_spec("amqtt") is not None


def start_broker(folder: Path, *, port: int = 0, refuse: bool = False, kind: Kind | None = None) -> BrokerHandle:
    """Start a broker and wait until it answers.

    `port` 0 takes a free one; `refuse` makes it turn every client away (authentication required, no users).
    Raises: BrokerError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    program = mosquitto_path()
    chosen = kind or ("mosquitto" if program else "amqtt")
    if chosen == "mosquitto":
        if program is None:
            raise BrokerError(
                "未安装 mosquitto；请安装，或使用 embedded-broker 附加组件",
                "mosquitto is not installed; install it or use the extra embedded-broker",
            )
        return _start_mosquitto(program, folder, port, refuse=refuse)
    if not has_amqtt():
        raise BrokerError(
            "没有 MQTT 代理：请安装 mosquitto，或带 embedded-broker 附加组件的 cunzheng",
            "no MQTT broker: install mosquitto, or cunzheng with the extra embedded-broker",
        )
    return _start_amqtt(port or _free_port(), refuse=refuse)


def _start_mosquitto(program: str, folder: Path, port: int, *, refuse: bool) -> BrokerHandle:
    attempts = 1 if port else 5
    for _ in range(attempts):
        chosen = port or _free_port()
        if _answers(chosen):
            continue
        process = subprocess.Popen(
            [program, "-c", str(_mosquitto_config(folder, chosen, refuse=refuse))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if _wait_for(chosen, lambda process=process: process.poll() is None):  # type: ignore[misc]

            def stop(kill: bool, process: subprocess.Popen[bytes] = process) -> None:
                _end_process(process, kill=kill)

            return BrokerHandle(HOST, chosen, "mosquitto", True, stop)
        _end_process(process, kill=True)
    raise BrokerError(
        f"mosquitto 无法在端口 {chosen} 启动：端口被占用，或见 {folder / 'mosquitto.log'}",
        f"mosquitto does not start on port {chosen}: taken, or see {folder / 'mosquitto.log'}",
    )


def _mosquitto_config(folder: Path, port: int, *, refuse: bool) -> Path:
    lines = [
        f"listener {port} {HOST}",
        f"allow_anonymous {'false' if refuse else 'true'}",
        "persistence true",
        f"persistence_location {folder.resolve()}/",
        "autosave_interval 2",
        "max_queued_messages 0",
        "max_inflight_messages 100",
        f"log_dest file {folder.resolve() / 'mosquitto.log'}",
        "log_type error",
        "log_type warning",
        "log_type notice",
    ]
    if os.geteuid() == 0:
        lines.insert(0, "user root")  # else it gives up the right to write into the folder
    config = folder / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config


def _end_process(process: subprocess.Popen[bytes], *, kill: bool) -> None:
    if kill:
        process.kill()
    else:
        process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _start_amqtt(port: int, *, refuse: bool) -> BrokerHandle:
    from amqtt.broker import Broker

    loop = asyncio.new_event_loop()
    config: dict[str, Any] = {
        "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
        "plugins": {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": not refuse},
        },
    }
    thread = threading.Thread(target=loop.run_forever, name="amqtt", daemon=True)
    thread.start()

    async def build() -> Any:
        broker = Broker(config)
        await broker.start()
        return broker

    def end_loop() -> None:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_STOP_TIMEOUT_S)
        loop.close()

    try:
        broker = asyncio.run_coroutine_threadsafe(build(), loop).result(_START_TIMEOUT_S)
    except Exception as error:
        end_loop()
        raise BrokerError(
            f"内置代理无法在端口 {port} 启动：{error}",
            f"the embedded broker does not start on port {port}: {error}",
        ) from error

    def stop(kill: bool) -> None:
        asyncio.run_coroutine_threadsafe(broker.shutdown(), loop).result(_STOP_TIMEOUT_S)
        end_loop()

    return BrokerHandle(HOST, port, "amqtt", False, stop)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, is_alive: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and is_alive():
        if _answers(port):
            return True
        time.sleep(0.02)
    return False


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), 0.5):
            return True
    except OSError:
        return False
