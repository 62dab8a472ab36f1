"""How the benchmarks measure and print: work per second of two things in one run, and their ratio.

Absolute figures drift with the machine; the ratio is what counts (domain notes of the gateway, section 4).
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


@dataclass(frozen=True)
class Rate:
    """So many pieces of work in so many seconds of wall clock and of processor."""

    name: str
    count: int
    wall_s: float
    cpu_s: float

    @property
    def per_s(self) -> float:
        return self.count / self.wall_s

    @property
    def cpu_us(self) -> float:
        return self.cpu_s / self.count * 1e6

    def line(self) -> str:
        return f"{self.name:<58} {self.per_s:>12,.0f} /s  {self.cpu_us:>9.1f} µs CPU each"


def measure(name: str, count: int, work: Callable[[], object]) -> Rate:
    """Run some work once and time it."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Rate(name, count, time.perf_counter() - wall, time.process_time() - cpu)


def show(title: str, ours: Rate, peer: Rate, target: str) -> None:
    """Print two rates and the ratio, beside what was aimed at."""
    by_time, by_cpu = ours.per_s / peer.per_s, peer.cpu_us / ours.cpu_us
    print(f"\n{title}\n  {ours.line()}\n  {peer.line()}")
    print(f"  ratio {by_time:.2f} by the clock, {by_cpu:.2f} by processor time   (target: {target})", flush=True)


def peak_mib() -> float:
    """Return the peak memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def own_peak_mib() -> float:
    """Return the peak memory of this process since its program began; `peak_mib` has that of its parent in it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
