"""What systemd is told, over a real socket: ready, stopping, alive; and that whatever is stuck ends the pings."""

from __future__ import annotations

import asyncio
import os
import queue
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Plant

from gateway.errors import StoreError
from gateway.store import Store
from gateway.systemd import Notifier
from gateway.writer import Writer

LIMIT_S = 0.08
QUIET_S = 0.5
"""Many pings long; silence for so long means that they have ended."""


class Manager:
    """A service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def heard(self, wait_s: float = 20) -> str:
        """Return the next thing said; empty when nothing is said for so long."""
        self._socket.settimeout(wait_s)
        try:
            return self._socket.recv(4096).decode()
        except TimeoutError:
            return ""

    def drain(self) -> None:
        """Forget what was said until now."""
        self._socket.setblocking(False)
        with suppress(BlockingIOError):
            while self._socket.recv(4096):
                pass

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(f"@cunzheng-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify"))
    yield made
    made.close()


def environment(manager: Manager) -> dict[str, str]:
    return {
        "NOTIFY_SOCKET": manager.address,
        "WATCHDOG_USEC": str(int(LIMIT_S * 1_000_000)),
        "WATCHDOG_PID": str(os.getpid()),
    }


def test_states_arrive_as_they_are_said(manager: Manager) -> None:
    notifier = Notifier(environment(manager))
    notifier.say("READY=1", "STATUS=runs")
    assert manager.heard() == "READY=1\nSTATUS=runs"
    notifier.reloading()
    first, second = manager.heard().split("\n")
    assert (first, second.partition("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
    assert int(second.partition("=")[2]) > 0


def test_without_a_manager_or_with_a_deaf_one_nothing_happens(tmp_path: Path) -> None:
    Notifier({}).say("READY=1")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).say("READY=1")
    assert Notifier({}).limit_s == 0
    assert Notifier({"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}).limit_s == 0
    assert Notifier({"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "5000000"}).limit_s == 5
    assert Notifier({"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "soon"}).limit_s == 0


def hold_loop(_: Writer, loop: asyncio.AbstractEventLoop, hold: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(hold)


def hold_writer(writer: Writer, _: asyncio.AbstractEventLoop, hold: Callable[[], None]) -> None:
    writer.submit(lambda store: hold())


@pytest.mark.parametrize("stop", [hold_loop, hold_writer])
def test_stuck_loop_or_writer_ends_the_pings_until_it_moves(
    plant: Plant, tmp_path: Path, stop: Callable[[Writer, asyncio.AbstractEventLoop, Callable[[], None]], None]
) -> None:
    manager = Manager(str(tmp_path / "notify"))
    loops: list[asyncio.AbstractEventLoop] = []

    async def watch() -> None:
        loops.append(asyncio.get_running_loop())
        await Notifier(environment(manager)).watchdog(plant.writer)

    def in_thread() -> None:
        with suppress(asyncio.CancelledError):
            asyncio.run(watch())

    thread = threading.Thread(target=in_thread, daemon=True)
    thread.start()
    assert [manager.heard() for _ in range(3)] == ["WATCHDOG=1"] * 3
    stuck, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        stuck.set()
        go_on.wait(20)

    try:
        stop(plant.writer, loops[0], hold)
        assert stuck.wait(20)
        manager.heard(QUIET_S)  # at most one was under way
        manager.drain()
        assert manager.heard(QUIET_S) == ""
        go_on.set()
        assert manager.heard() == "WATCHDOG=1"
    finally:
        go_on.set()
        for task in asyncio.all_tasks(loops[0]):
            loops[0].call_soon_threadsafe(task.cancel)
        thread.join()
        manager.close()


async def test_store_that_refuses_is_no_reason_for_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager, writer = Manager(str(tmp_path / "notify")), Writer(tmp_path / "gateway.db")

    def refuse(_: Store) -> None:
        raise StoreError("磁盘已满", "the disk is full")

    monkeypatch.setattr("gateway.systemd._nothing", refuse)
    task = asyncio.create_task(Notifier(environment(manager)).watchdog(writer))
    assert [await asyncio.to_thread(manager.heard) for _ in range(2)] == ["WATCHDOG=1"] * 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    writer.close()
    manager.close()


def test_job_that_meets_the_end_of_the_writer_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closing: list[threading.Thread] = []

    class Ending(queue.SimpleQueue):  # type: ignore[type-arg]
        """The writer is closed in the very moment in which a job is about to be queued."""

        def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
            if item is not None:
                closing.append(threading.Thread(target=writer.close))
                closing[0].start()
                closing[0].join(0.2)
            super().put(item, block, timeout)

    monkeypatch.setattr("gateway.writer.queue.SimpleQueue", Ending)
    writer = Writer(tmp_path / "gateway.db")
    assert writer.submit(lambda store: 7).result(10) == 7
    closing[0].join()
    with pytest.raises(StoreError):
        writer.call(lambda store: 7)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_unit_is_one_that_systemd_understands(root: Path, tmp_path: Path) -> None:
    text = (root / "examples" / "cunzheng-gateway.service").read_text("utf-8")
    unit = tmp_path / "cunzheng-gateway.service"
    # The program and its user are not installed on a machine that runs tests.
    unit.write_text(text.replace("/opt/cunzheng/bin/cunzheng", "/bin/true"), "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60, check=False
    )
    said = [line for line in (done.stdout + done.stderr).splitlines() if "cunzheng-gateway" in line]
    assert (done.returncode, said) == (0, []), done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "WatchdogSec=120",
        "User=cunzheng",
        "SupplementaryGroups=dialout",
        "Restart=always",
        "ProtectSystem=strict",
        "ReadWritePaths=/var/lib/cunzheng",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "CapabilityBoundingSet=",
        "SystemCallFilter=@system-service adjtimex clock_adjtime",
    ],
)
def test_unit_gives_the_gateway_no_more_than_it_needs(root: Path, line: str) -> None:
    assert line in (root / "examples" / "cunzheng-gateway.service").read_text("utf-8").splitlines()
