"""A historian's export for a past month: the real mill's electricity under new dates, with simulated gas beside it.

The figures of electricity are those of a month of the recording that is long enough, day by day and quarter by
quarter; only the dates (and the zone's offset) are new. Gas follows the load at a fixed ratio and is called simulated.
"""

from __future__ import annotations

import csv
from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from cunzheng.simulator.mill import demo_mill

QUARTER = timedelta(minutes=15)
GAS_PER_KWH = Decimal("0.12")
"""Nm3 of natural gas a kWh: invented, so that both move together."""
RECORDED = ZoneInfo("Asia/Seoul")
_SOURCE_MONTHS = {31: (1, 3, 5), 30: (4, 6), 29: (1, 3, 5), 28: (2,)}
"""Months of 2018 to take for a month of so many days; a longer one is cut."""


def month_before(day: date, months: int = 1) -> str:
    """Return the month so many months before a day's month, as YYYY-MM."""
    index = day.year * 12 + day.month - 1 - months
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def source_month(period: str) -> int:
    """Return which month of the recording fills a month; months of equal length take turns."""
    year, month = (int(part) for part in period.split("-"))
    candidates = _SOURCE_MONTHS[monthrange(year, month)[1]]
    return candidates[(year * 12 + month) % len(candidates)]


def write_export(path: Path, period: str, zone: str) -> int:
    """Write the month's CSV; return its number of rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["interval_end", "active_energy_kwh", "gas_nm3_simulated"])
        count = 0
        for end, energy in _quarters(period, zone):
            gas = (energy * GAS_PER_KWH).quantize(Decimal("0.001"))
            writer.writerow([end.isoformat(), format(energy, "f"), format(gas, "f")])
            count += 1
    return count


def _quarters(period: str, zone: str) -> Iterator[tuple[datetime, Decimal]]:
    year, month = (int(part) for part in period.split("-"))
    days = monthrange(year, month)[1]
    begin = datetime(2018, source_month(period), 1, tzinfo=RECORDED)
    start = datetime(year, month, 1, tzinfo=ZoneInfo(zone))
    for interval in demo_mill():
        passed = interval.end - begin
        if timedelta(0) < passed <= timedelta(days=days):
            yield start + passed, Decimal(interval.energy_wh).scaleb(-3).normalize()
