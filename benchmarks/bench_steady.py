"""1,000 channels at one reading a second each, for a while: processor time a value, memory over time, beside a minimum.

The gateway is the real program (`cunzheng gateway run`) with its centre away; the peer is `minimal_program.py`. Both
poll the same server, twenty devices of fifty values, at the same time. `--hour` runs them for the hour of the target.
"""

from __future__ import annotations

import argparse
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from modbus_server import modbus_server
from plant import FIFTY, enrolled, fifty_site

from cunzheng.simulator.broker import mosquitto_path, start_broker

DEVICES = 20
START_S = 120.0
SETTLE_S = 4.0
SHORT_S = 24.0
HOUR_S = 3600.0
LOOKS = 8


@dataclass(frozen=True)
class Look:
    """What a process had used at one time."""

    at: float
    cpu_s: float
    mib: float


def look(process: psutil.Process) -> Look:
    used = process.cpu_times()
    return Look(time.monotonic(), used.user + used.system, process.memory_info().rss / (1 << 20))


@contextmanager
def running(*command: str, log: Path) -> Iterator[psutil.Process]:
    """Run a program beside this one; whatever it says goes to a file."""
    with log.open("wb") as said:
        child = subprocess.Popen([sys.executable, *command], stdout=said, stderr=said)
        try:
            yield psutil.Process(child.pid)
        finally:
            child.terminate()
            child.wait(30)


def count(database: Path) -> int:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT count(*) FROM reading").fetchone()[0])
    except sqlite3.OperationalError:  # it is only just made
        return 0
    finally:
        connection.close()


def await_first(databases: tuple[Path, ...], log: Path) -> None:
    """Wait until both programs have stored something."""
    until = time.monotonic() + START_S
    while not all(one.exists() and count(one) for one in databases):
        if time.monotonic() > until:
            raise SystemExit("\n".join(["nothing was stored:", *log.read_text("utf-8").splitlines()[-5:]]))
        time.sleep(0.2)


def cpu_us(looks: list[Look], values: int) -> float:
    return (looks[-1].cpu_s - looks[0].cpu_s) / values * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hour", action="store_true")
    parser.add_argument("--seconds", type=float, default=SHORT_S)
    given = parser.parse_args()
    seconds = HOUR_S if given.hour else given.seconds
    here = Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder = Path(temporary)
        port = stack.enter_context(modbus_server())
        broker = [str(stack.enter_context(start_broker(folder / "b")).port)] if mosquitto_path() is not None else []
        settings = enrolled(folder / "g", fifty_site(folder / "g", port, DEVICES))
        databases = (folder / "g" / "data" / "gateway.db", folder / "minimal.db")
        ours = stack.enter_context(
            running("-m", "cunzheng", "gateway", "run", "-c", str(settings), log=folder / "gateway.log")
        )
        program, arguments = here / "minimal_program.py", (str(port), str(DEVICES), str(folder), *broker)
        peer = stack.enter_context(running(str(program), *arguments, log=folder / "minimal.log"))
        await_first(databases, folder / "gateway.log")
        time.sleep(SETTLE_S)
        before = [count(one) for one in databases]
        looks: tuple[list[Look], list[Look]] = ([look(ours)], [look(peer)])
        for _ in range(LOOKS):
            time.sleep(seconds / LOOKS)
            for process, seen in zip((ours, peer), looks, strict=True):
                seen.append(look(process))
        values = [count(one) - had for one, had in zip(databases, before, strict=True)]
        said = (folder / "gateway.log").read_text("utf-8").splitlines()
    took = looks[0][-1].at - looks[0][0].at
    print(
        f"\nSteady: {DEVICES} devices of {FIFTY} values once a second, {took:.0f} s (minimum with paho: {bool(broker)})"
    )
    for name, seen, stored in zip(("gateway", "minimum"), looks, values, strict=True):
        memory = " ".join(f"{one.mib:.0f}" for one in seen)
        each = f"{cpu_us(seen, stored):>6.1f} µs CPU each"
        print(f"  {name:<8} {stored / took:>6,.0f} values/s stored  {each}   MiB {memory}")
    ratio = cpu_us(looks[0], values[0]) / cpu_us(looks[1], values[1])
    memory_now, grown = looks[0][-1].mib, looks[0][-1].mib - looks[0][0].mib
    print(f"  processor time a value, gateway : minimum {ratio:.2f}   (target: at most 2.0)")
    print(f"  gateway's memory {memory_now:.0f} MiB, {grown:+.1f} since it settled   (target: at most 150 MiB, flat)")
    alarms = [line for line in said if " WARNING " in line or " ERROR " in line]
    print(f"  warnings of the gateway: {len(alarms)}", *alarms[:3], sep="\n    ")


if __name__ == "__main__":
    main()
