"""The mill's recording as a counter: exact at every quarter of an hour, whole and never falling between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cunzheng.simulator.mill import CYCLE, LiveMill, MillReplay, demo_mill, electricity_values, gas_values
from device_profiles import shipped

KOREA = ZoneInfo("Asia/Seoul")
MONTHS = {1: "126238.29", 2: "91497.34", 3: "80230.41", 4: "78769.80", 5: "79059.28", 6: "65404.64"}


@pytest.mark.parametrize("month", MONTHS)
def test_month_totals_are_those_of_the_recording(month: int) -> None:
    mill = demo_mill()
    begin, end = (datetime(2018, number, 1, tzinfo=KOREA) for number in (month, month + 1))
    used = mill.energy_wh(end) - mill.energy_wh(begin)
    assert Decimal(used).scaleb(-3) == Decimal(MONTHS[month])


def test_counter_is_exact_at_every_interval_end() -> None:
    mill = demo_mill()
    total = 0
    for interval in mill:
        total += interval.energy_wh
        assert mill.energy_wh(interval.end) == total
    assert len(mill.intervals) == 17_376


def test_counter_holds_still_outside_the_recording() -> None:
    mill = demo_mill()
    assert mill.energy_wh(mill.begin - timedelta(days=1)) == 0
    assert mill.energy_wh(mill.end + timedelta(days=1)) == mill.energy_wh(mill.end)
    assert mill.power_w(mill.end) == mill.power_w(mill.begin - timedelta(seconds=1)) == 0


@given(at=st.integers(0, 181 * 86_400_000), step=st.integers(0, 3_600_000))
def test_counter_never_falls(at: int, step: int) -> None:
    mill = demo_mill()
    now = mill.begin + timedelta(milliseconds=at)
    assert mill.energy_wh(now) <= mill.energy_wh(now + timedelta(milliseconds=step))


@given(at=st.integers(-(10**9), 10**9), step=st.integers(0, 10**7))
def test_live_counter_never_falls_and_never_ends(at: int, step: int) -> None:
    live = LiveMill(demo_mill())
    now = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=at)
    later = now + timedelta(seconds=step)
    assert live.energy_wh(now) <= live.energy_wh(later)
    assert live.power_w(now) >= 0


def test_live_mill_repeats_the_recorded_weeks() -> None:
    live, mill = LiveMill(demo_mill()), demo_mill()
    monday = datetime(2024, 1, 1, tzinfo=ZoneInfo("Asia/Shanghai"))
    assert live.energy_wh(monday) == 0
    assert live.energy_wh(monday + CYCLE) == mill.energy_wh(mill.begin + CYCLE)
    assert live.power_w(monday + CYCLE + timedelta(hours=10)) == mill.power_w(mill.begin + timedelta(hours=10))


def test_meter_values_fit_both_meters_and_their_units() -> None:
    mill = demo_mill()
    now = mill.begin + timedelta(days=8, hours=10)
    for name, unit in (("eastron-sdm630", Decimal(1)), ("schneider-iem3000", Decimal(1000))):
        profile = shipped()[name]
        values = electricity_values(profile, mill, now)
        assert set(values) == set(profile.points)
        assert values["power"] * unit == mill.power_w(now)
        assert values["energy_import"] == Decimal(mill.energy_wh(now)).scaleb(-3)
    assert set(gas_values(mill, now)) == set(shipped()["plain-json-gas"].points)


@pytest.mark.parametrize(
    "rows",
    [
        "",
        "2018-01-01T00:15:00+09:00,1\n2018-01-01T00:45:00+09:00,1\n",
        "2018-01-01T00:30:00+09:00,1\n2018-01-01T00:15:00+09:00,1\n",
        "2018-01-01T00:15:00+09:00,1.23456\n",
    ],
    ids=["empty", "gap", "order", "digits"],
)
def test_broken_recording_is_refused(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "mill.csv"
    path.write_text("interval_end,active_energy_kwh\n" + rows, "utf-8")
    with pytest.raises(ValueError):
        MillReplay(path)
