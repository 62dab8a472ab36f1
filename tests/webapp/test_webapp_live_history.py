"""The last 24 hours: counters as use, a short history says since when, sizes that people use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from flask import Flask

from evidence.channel import Channel, ChannelKind
from evidence.totaliser import Totaliser
from tests.webapp import views_world as world
from webapp import create_app, store_readings
from webapp.center import Center
from webapp.models import LiveSample
from webapp.numerals import grouped
from webapp.views.live_units import shown_unit, shown_value

NOW = datetime(2026, 4, 2, 4, 7, tzinfo=UTC)


@pytest.fixture
def center(tmp_path: Path) -> Iterator[Center]:
    opened = world.copy_center(tmp_path)
    center = Center.open(opened.settings, lambda: NOW)
    gateway = world.TestGateway(center)
    gateway.enrol()
    rule = Totaliser(max_rate=Decimal(5000), backstep=Decimal(0))
    minute = timedelta(minutes=1)
    gateway.declare(Channel("ELEC.TOTAL", "kWh", ChannelKind.TOTAL, minute, "m1", "modbus", totaliser=rule))
    gateway.declare(Channel("ELEC.POWER", "W", ChannelKind.VALUE, minute, "m1", "modbus"))
    yield center
    center.database.close()
    opened.database.close()


@pytest.fixture
def app(center: Center) -> Flask:
    return create_app(center.settings, center=center)


def add(center: Center, channel: str, unit: str, values: list[tuple[timedelta, str, str]]) -> None:
    """Add live values, each so long ago."""
    with center.database.writing() as db:
        store_readings.add_live(
            db,
            [
                LiveSample(
                    plant=world.PLANT, channel=channel, time=NOW - ago, value=value, unit=unit, flag=flag, gw=world.GW
                )
                for ago, value, flag in values
            ],
        )


def page(app: Flask) -> str:
    return world.log_in(app, "li.na").get(f"/plants/{world.PLANT}").text


def test_a_counter_is_drawn_as_the_use_of_each_quarter(center: Center, app: Flask) -> None:
    minutes = [(timedelta(minutes=n), str(3067372 + 2 * (1440 - n)), "N") for n in range(1439, 0, -1)]
    add(center, "ELEC.TOTAL", "kWh", minutes)
    shown = page(app)
    assert "(kWh in 15 min)" in shown
    assert "Data since" not in shown
    chart = shown[shown.index('<svg class="chart"') :]
    labels = re.findall(r'text-anchor="end">([^<]+)<', chart)
    assert all(Decimal(label) < 100 for label in labels), labels  # 30 kWh a quarter, not seven digits of a counter
    assert chart.count("<polyline") == 1


def test_a_counter_that_was_set_back_leaves_a_hole_and_no_negative_use(center: Center, app: Flask) -> None:
    values = [(timedelta(minutes=n), str(1000 - n if n > 300 else 500 - n), "N") for n in range(1430, 0, -5)]
    add(center, "ELEC.TOTAL", "kWh", values)
    assert "\u2212" not in page(app).split('<svg class="chart"')[1].split("</svg>")[0]


def test_a_short_history_says_since_when_and_fills_its_chart(center: Center, app: Flask) -> None:
    add(center, "ELEC.POWER", "W", [(timedelta(minutes=n), "20000", "N") for n in range(30, 0, -1)])
    shown = page(app)
    assert re.search(r"Data since <time[^>]*>11:37</time>", shown)
    line = re.search(r'<polyline class="line" points="([^"]+)"', shown)
    assert line is not None
    xs = [float(pair.split(",")[0]) for pair in line[1].split()]
    assert max(xs) - min(xs) > 100  # half of an hour's chart, not a tick at its edge
    assert "(kW)" in shown
    assert '<span class="reading">20</span> kW' in shown


def test_values_every_few_seconds_do_not_tear_the_older_line_apart(center: Center, app: Flask) -> None:
    old = [(timedelta(minutes=5 * n), "20000", "N") for n in range(280, 12, -1)]
    new = [(timedelta(seconds=5 * n), "21000", "N") for n in range(700, 0, -1)]
    add(center, "ELEC.POWER", "W", [*old, *new])
    assert page(app).count("<polyline") == 1


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        ("20000", "W", "20 kW"),
        ("1234.5", "W", "1.2345 kW"),
        ("0", "W", "0 kW"),
        ("1E+7", "W", "10000 kW"),
        ("7", "t", "7 t"),
    ],
)
def test_power_is_shown_in_kilowatts_without_losing_a_digit(value: str, unit: str, shown: str) -> None:
    assert f"{shown_value(Decimal(value), unit):f} {shown_unit(unit)}" == shown


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("7848.532", "7\u202f848.532"),
        ("65404.64", "65\u202f404.64"),
        ("-6.23", "\u22126.23"),
        ("-1234567", "\u22121\u202f234\u202f567"),
        ("999", "999"),
        ("0.00010", "0.00010"),
        ("2026-03", "2026-03"),
        ("no value", "no value"),
        ("1e3", "1e3"),
    ],
)
def test_every_number_is_grouped_alike_and_keeps_its_digits(text: str, written: str) -> None:
    assert grouped(text) == written
