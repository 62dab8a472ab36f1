"""The real mill's electricity, as a running counter at any instant.

`MillReplay` is the recording itself, exact to the Wh: between two ends of a quarter of an hour the counter runs evenly,
at each end it stands exactly where the recorded energies add up to. `LiveMill` repeats the recording's first
25 whole weeks for ever, so that a demo has a working day's shape today. No clock is read here: instants are arguments.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from device_profiles import Profile

INTERVAL = timedelta(minutes=15)
_MICROSECOND = timedelta(microseconds=1)
#: Monday 1 January 2018 to Sunday 24 June 2018: whole weeks, so that weekdays stay weekdays.
CYCLE = timedelta(weeks=25)


class EnergySource(Protocol):
    """Anything with a running counter of energy."""

    def energy_wh(self, now: datetime) -> int:
        """Give the counter in Wh."""

    def power_w(self, now: datetime) -> Decimal:
        """Give the mean power of the running quarter of an hour in W."""


@dataclass(frozen=True, slots=True)
class MillInterval:
    """One row of the recording."""

    end: datetime
    energy_wh: int


class MillReplay:
    """The recorded half year as a counter that starts at `start_wh`. Holds still before and after."""

    def __init__(self, path: Path | Traversable, start_wh: int = 0) -> None:
        self.intervals = tuple(_rows(path))
        if not self.intervals:
            raise ValueError(f"{path} holds no rows")
        ends = [interval.end for interval in self.intervals]
        if any(later - end != INTERVAL for end, later in pairwise(ends)):
            raise ValueError(f"{path} has a gap or is out of order")
        self.begin = ends[0] - INTERVAL
        self.end = ends[-1]
        self._bounds = [self.begin, *ends]
        self._counter = list(accumulate((one.energy_wh for one in self.intervals), initial=start_wh))

    def energy_wh(self, now: datetime) -> int:
        """Give the counter in Wh, whole and never falling."""
        at = bisect_right(self._bounds, now) - 1
        if at < 0:
            return self._counter[0]
        if at >= len(self.intervals):
            return self._counter[-1]
        passed = (now - self._bounds[at]) // _MICROSECOND
        return self._counter[at] + self.intervals[at].energy_wh * passed // (INTERVAL // _MICROSECOND)

    def power_w(self, now: datetime) -> Decimal:
        """Give the mean power of the running interval in W; 0 outside the recording."""
        at = bisect_right(self._bounds, now) - 1
        if not 0 <= at < len(self.intervals):
            return Decimal(0)
        return Decimal(self.intervals[at].energy_wh * 4)

    def __iter__(self) -> Iterator[MillInterval]:
        return iter(self.intervals)


class LiveMill:
    """The recording's weeks repeated without end, laid on local wall time of `zone` from `epoch` (a Monday)."""

    def __init__(
        self, replay: MillReplay, zone: str = "Asia/Shanghai", epoch: tuple[int, int, int] = (2024, 1, 1)
    ) -> None:
        self._replay = replay
        self._epoch = datetime(*epoch, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        self._start = replay.energy_wh(replay.begin)
        self._cycle_wh = replay.energy_wh(replay.begin + CYCLE) - self._start

    def energy_wh(self, now: datetime) -> int:
        """Give the counter in Wh; 0 at the epoch."""
        cycles, passed = divmod(now - self._epoch, CYCLE)
        within = self._replay.energy_wh(self._replay.begin + passed) - self._start
        return cycles * self._cycle_wh + within

    def power_w(self, now: datetime) -> Decimal:
        """Give the mean power of the running quarter of an hour in W."""
        return self._replay.power_w(self._replay.begin + (now - self._epoch) % CYCLE)


@cache
def demo_mill() -> MillReplay:
    """Load the recording shipped in `cunzheng/demo_data`."""
    return MillReplay(resources.files("cunzheng").joinpath("demo_data", "steel_meter_2018_h1.csv"))


def electricity_values(profile: Profile, source: EnergySource, now: datetime) -> dict[str, Decimal]:
    """Fill an energy meter's points from a counter; what the recording does not know is plausible and steady."""
    power = source.power_w(now)
    energy = Decimal(source.energy_wh(now)).scaleb(-3)
    voltage = Decimal(230)
    known: dict[str, Decimal] = {
        "energy_import": energy,
        "energy_export": Decimal(0),
        "energy_total": energy,
        "frequency": Decimal("50"),
        "reactive_power": power / 4,
        "power": power.scaleb(-3) if _unit(profile, "power") == "kW" else power,
    }
    for phase in ("l1", "l2", "l3"):
        known[f"voltage_{phase}"] = voltage if profile.id == "eastron-sdm630" else Decimal(400)
        known[f"power_{phase}"] = power / 3
        known[f"current_{phase}"] = power / 3 / voltage
    return {name: value for name, value in known.items() if name in profile.points}


def gas_values(source: EnergySource, now: datetime) -> dict[str, Decimal | str]:
    """Let a gas meter follow the mill's load: 0.12 Nm3 a kWh."""
    volume = Decimal(source.energy_wh(now)).scaleb(-3) * Decimal("0.12")
    flow = source.power_w(now).scaleb(-3) * Decimal("0.12")
    return {
        "volume": volume.quantize(Decimal("0.001")),
        "flow": flow.quantize(Decimal("0.01")),
        "status": "ok",
    }


def _unit(profile: Profile, point: str) -> str:
    return profile.points[point].unit if point in profile.points else ""


def _rows(path: Path | Traversable) -> Iterator[MillInterval]:
    with path.open("r", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            energy = Decimal(row["active_energy_kwh"]).scaleb(3)
            if energy != energy.to_integral_value():
                raise ValueError(f"{path}: {row['interval_end']} is no whole number of Wh")
            yield MillInterval(datetime.fromisoformat(row["interval_end"]).astimezone(UTC), int(energy))
