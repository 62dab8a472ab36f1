"""An MQTT broker for demo and tests: mosquitto where it is installed, else amqtt, installed as an extra.

Listens on the loopback only. With mosquitto, sessions and queues live in the folder and survive a restart; amqtt keeps
them in memory and speaks MQTT 3.1.1 only (`mqtt5` tells).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import BrokerError

HOST = "127.0.0.1"
_START_TIMEOUT_S = 20.0
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
    process: subprocess.Popen[bytes]
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
            _end_process(self.process, kill=kill)

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


def start_broker(
    folder: Path, *, port: int = 0, refuse: bool = False, kind: Kind | None = None, more: Sequence[str] = ()
) -> BrokerHandle:
    """Start a broker and wait until it answers.

    `port` 0 takes a free one; `refuse` makes it turn every client away (authentication required, no users).
    `more` lines for mosquitto's configuration: certificates, a password file.
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
        mosquitto = program
        return _start(
            chosen,
            lambda at: [mosquitto, "-c", str(_mosquitto_config(folder, at, more, refuse=refuse))],
            folder / "mosquitto.log",
            port,
        )
    if not has_amqtt():
        raise BrokerError(
            "没有 MQTT 代理：请安装 mosquitto，或带 embedded-broker 附加组件的 cunzheng",
            "no MQTT broker: install mosquitto, or cunzheng with the extra embedded-broker",
        )
    words = ["refuse"] if refuse else []
    module = [sys.executable, "-m", "cunzheng.simulator.embedded_broker"]
    return _start(chosen, lambda at: [*module, str(at), *words], folder / "amqtt.log", port)


def _start(kind: Kind, command: Callable[[int], list[str]], log: Path, port: int) -> BrokerHandle:
    for _ in range(1 if port else 5):
        chosen = port or _free_port()
        if _answers(chosen):
            continue
        with log.open("ab") as errors:
            process = subprocess.Popen(
                command(chosen), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            )
        if _wait_for(chosen, process):
            return BrokerHandle(HOST, chosen, kind, kind == "mosquitto", process)
        _end_process(process, kill=True)
    raise BrokerError(
        f"{kind} 无法在端口 {chosen} 启动：端口被占用，或见 {log}",
        f"{kind} does not start on port {chosen}: taken, or see {log}",
    )


def _mosquitto_config(folder: Path, port: int, more: Sequence[str], *, refuse: bool) -> Path:
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
        *more,
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
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
