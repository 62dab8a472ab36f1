"""Gateway, centre, broker, meters and a publisher as real processes that can be killed, frozen and brought back.

Everything lies in one folder. The gateway is enrolled at the centre; of its settings only the rhythm of its rounds is
shorter than usual, all pauses after a failure are those of the product.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as paho
from bench_mqtt import SITE as GAS_SITE
from bench_mqtt import TOPIC
from modbus_server import MeterServer
from paho.mqtt.enums import CallbackAPIVersion
from plant import fifty_site

from cunzheng.demo.plant import GATEWAY, PLANT, plan
from cunzheng.demo.processes import free_port
from cunzheng.simulator.broker import BrokerHandle, start_broker
from evidence.encoding import time_text

DEVICES = 20
MESSAGES_PER_S = 50
PATIENCE_S = 120.0
_GAS_TOTAL = '[[channel]]\nid = "GAS.TOTAL"\ndevice = "gas1"\npoint = "volume"\n'


class Peer(Protocol):
    """Somebody the gateway talks to; `start` returns when it answers again."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def freeze(self) -> None: ...

    def go_on(self) -> None: ...


class Program:
    """A `cunzheng` command that goes on; a process group of its own, what it says goes to a file."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        self._folder, self._log, self._arguments = folder, folder / f"{name}.log", arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        with self._log.open("ab") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cunzheng", "--lang", "en", *self._arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def end(self, number: signal.Signals) -> int:
        """Send a signal to all of it and wait for the end."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            os.killpg(self._process.pid, number)
        code, self._process = self._process.wait(PATIENCE_S), None
        return code

    def require(self) -> None:
        """Insist that it runs."""
        if self._process is None or self._process.poll() is not None:
            raise SystemExit("\n".join([f"{self._log.name}: it has ended", *self.said()[-8:]]))

    def said(self) -> list[str]:
        return self._log.read_text("utf-8", "replace").splitlines() if self._log.exists() else []


class Meters(MeterServer):
    """The Modbus server as a peer."""

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


class Broker:
    """mosquitto as a peer; it saves its sessions when it is stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handle: BrokerHandle | None = None
        self.port = free_port()

    def start(self) -> None:
        self._handle = start_broker(self._folder, port=self.port, kind="mosquitto")

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.stop()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._handle is not None
        self._handle.process.send_signal(number)


class Centre:
    """`cunzheng center run` with its workers as a peer."""

    def __init__(self, folder: Path) -> None:
        self._program = Program(folder, "centre", "center", "run", "-c", "center.toml")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._program.start()
        until = time.monotonic() + PATIENCE_S
        while not self._answers():
            self._program.require()
            if time.monotonic() > until:
                raise SystemExit("the centre does not answer")
            time.sleep(0.01)

    def stop(self) -> None:
        self._program.end(signal.SIGTERM)

    def freeze(self) -> None:
        os.killpg(self._program.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.killpg(self._program.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=1):
                return True
        except OSError:
            return False


class Publisher:
    """Publishes numbered messages at QoS 1 and knows which the broker has acknowledged."""

    def __init__(self, port: int) -> None:
        self._port, self._ended = port, threading.Event()
        self._waiting: dict[int, tuple[float, str]] = {}
        self._done: list[tuple[float, str]] = []
        self._heard: deque[int] = deque()
        """Numbers that the broker has acknowledged; paho's thread may know one before it is waited for."""
        # Sooner back than the gateway: its reconnect is not what is measured.
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="publisher", clean_session=False)
        self._client.reconnect_delay_set(0.05, 0.05)  # type: ignore[arg-type]
        self._client.on_publish = lambda _client, _data, mid, _reason, _properties: self._heard.append(mid)
        self._thread = threading.Thread(target=self._publish, daemon=True)

    def start(self) -> None:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        self._thread.start()

    def end(self) -> None:
        """Publish no more, and wait until the broker has acknowledged everything."""
        self._ended.set()
        self._thread.join()
        until = time.monotonic() + PATIENCE_S
        while self._waiting and time.monotonic() < until:
            time.sleep(0.05)
            self._tick_off()
        self._client.disconnect()
        self._client.loop_stop()

    def acknowledged(self) -> list[tuple[float, str]]:
        """List what the broker has acknowledged: when it was published, and the message."""
        return sorted(self._done)

    def _tick_off(self) -> None:
        for _ in range(len(self._heard)):
            mid = self._heard.popleft()
            if mid in self._waiting:
                self._done.append(self._waiting.pop(mid))
            else:
                self._heard.append(mid)

    def _publish(self) -> None:
        number = 0
        while not self._ended.wait(1 / MESSAGES_PER_S):
            number += 1
            said = {
                "time": time_text(datetime.now(UTC)),
                "seq": number,
                "volume_nm3": 1000 + number / 1000,
                "flow_nm3h": 60 + number % 97,
                "status": "ok",
            }
            payload = json.dumps(said)
            now = time.time()
            # A number comes again only after it was ticked off; what is sent while the broker is away waits in paho.
            self._tick_off()
            self._waiting[self._client.publish(TOPIC, payload, qos=1).mid] = now, payload


class World:
    """All of them, and where they keep what they have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / "meters.txt"
        self.meters = Meters(self.journal)
        self.broker, self.centre = Broker(folder / "broker"), Centre(folder)
        self.gateway = Program(folder, "gateway", "gateway", "run", "-c", "gateway.toml")
        self.publisher = Publisher(self.broker.port)

    @property
    def peers(self) -> dict[str, Peer]:
        return {"broker": self.broker, "meters": self.meters, "centre": self.centre}

    def set_up(self) -> None:
        """Start the peers and enrol the gateway."""
        folder = self.folder
        self.meters.start()
        self.broker.start()
        (folder / "center.toml").write_text(
            'data_dir = "center"\n[log]\norigin = "bench.example/evidence"\n'
            f"[web]\nport = {self.centre.port}\nsecure_cookies = false\n[limits]\ngateway_per_minute = 1000000\n"
        )
        (folder / "plan.json").write_text(json.dumps(plan()), "utf-8")
        self.call("center", "init", "-c", "center.toml")
        self.call("center", "plant", "add", "-c", "center.toml", "plan.json")
        invited = self.call("center", "gateway", "invite", "-c", "center.toml", PLANT, GATEWAY)
        self.centre.start()
        (folder / "site.toml").write_text(
            fifty_site(folder, self.meters.port, DEVICES, live=1) + GAS_SITE + _GAS_TOTAL, "utf-8"
        )
        (folder / "gateway.toml").write_text(
            f'data = "gateway"\n[centre]\nurl = "{self.centre.url}"\nsync_s = 1\nlive_s = 1\n'
            f'[mqtt]\nhost = "127.0.0.1"\nport = {self.broker.port}\n'
        )
        self.call("gateway", "enrol", "-c", "gateway.toml", invited["code"])

    def call(self, *arguments: str) -> Any:
        """Run a command to its end; return the facts it prints."""
        command = [sys.executable, "-m", "cunzheng", "--lang", "en", *arguments, "--json"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(arguments[:3])}: {done.stderr.strip() or done.stdout.strip()}")
        return json.loads(done.stdout)

    def mark(self) -> None:
        """Have a person sign something, so that a statement waits for the centre."""
        now = datetime.now(UTC)
        times = ("--from", time_text(now - timedelta(minutes=1)), "--to", time_text(now))
        said = ("--by", "bench", "--reason", "outage", "--channel", "d0.v00")
        self.call("gateway", "mark", "-c", "gateway.toml", "stop", *times, *said)

    @property
    def gateway_database(self) -> Path:
        return self.folder / "gateway" / "gateway.db"

    @property
    def centre_database(self) -> Path:
        return self.folder / "center" / "center.sqlite"


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """Make a world; whatever still runs at the end is killed."""
    made = World(folder)
    try:
        yield made
    finally:
        made.publisher._ended.set()
        for end in (lambda: made.gateway.end(signal.SIGKILL), made.meters.stop, made.broker.stop, made.centre.stop):
            end()


def rows(database: Path, sql: str, *given: object) -> list[tuple[Any, ...]]:
    """Ask a database that others write to."""
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        connection.execute("PRAGMA query_only = ON")
        return connection.execute(sql, given).fetchall()
