"""The page of an hour: what its readings prove, what is asked for, and by which declaration they are read."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from evidence.channel import Channel, ChannelKind
from evidence.reading import Flag
from tests.webapp import views_world as world
from webapp import create_app, store_readings
from webapp.center import Center
from webapp.views import raw_readings
from webapp.views.channel_hours import ChannelHour, SegmentRef

MONTH = f"/plants/{world.PLANT}/months/{world.PERIOD}"
VALUES = [("ELEC.IMPORT", f"120.{quarter}", Flag.NORMAL) for quarter in range(4)]


@pytest.fixture
def center(tmp_path: Path) -> Center:
    return world.copy_center(tmp_path)


@pytest.fixture
def gateway(center: Center) -> world.TestGateway:
    return world.fill(center, hours=1)


def browse(center: Center, path: str) -> str:
    """Open a page as the city reviewer."""
    return world.log_in(create_app(center.settings, center=center), "city").get(path).text


def fetch(center: Center, gateway: world.TestGateway) -> None:
    """Have all raw tiles brought."""
    segment = SegmentRef("", 0, world.GW, 1, 1, 0, gateway.sealed, {})
    with center.database.writing() as db:
        raw_readings.ask(db, world.PLANT, _hour(segment), "city", center.now())
    gateway.answer_wants()


def _hour(*segments: SegmentRef) -> ChannelHour:
    return ChannelHour(world.START, 0, 0, None, None, None, has_gap=False, segments=segments)


def hour_page(start: int) -> str:
    """Address of the page of an hour of the first day."""
    when = (world.START + timedelta(hours=start)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return f"{MONTH}/hours/{when}/ELEC.IMPORT?gw={world.GW}"


def test_sums_are_computed_again_from_the_readings_on_the_page(center: Center, gateway: world.TestGateway) -> None:
    gateway.hour(world.START + timedelta(hours=1), list(VALUES), sum="480.7")
    fetch(center, gateway)
    assert "counts and sums computed again from them agree" in browse(center, hour_page(0))
    lie = browse(center, hour_page(1))
    assert "the signed figures do not follow from the readings" in lie
    assert "AGGREGATE_MISMATCH" in lie


def test_each_click_asks_for_the_next_tiles(center: Center, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_readings, "MAX_TILES", 2)
    hour = _hour(
        SegmentRef("a", 1, world.GW, 1, 1, 0, 700, {}),
        SegmentRef("b", 2, world.GW, 1, 2, 700, 900, {}),
    )
    asked = []
    for _ in range(3):
        with center.database.writing() as db:
            raw_readings.ask(db, world.PLANT, hour, "city", center.now())
            asked.append(len(store_readings.open_wants(db, world.GW, 100)))
    assert asked == [2, 4, 4]


def test_long_figures_are_added_without_rounding(center: Center, gateway: world.TestGateway) -> None:
    figures = ("1234567890123456789012345678", "0.00000000000000000001")
    for start, value in enumerate(figures, start=1):
        gateway.hour(world.START + timedelta(hours=start), [("ELEC.IMPORT", value, Flag.NORMAL)])
    page = browse(center, f"{MONTH}/channels/ELEC.IMPORT?gw={world.GW}").replace("\u202f", "")
    first = sum(Decimal(f"120.{quarter}") for quarter in range(4))
    assert f"{int(figures[0]) + int(first)}.60000000000000000001" in page


def test_an_hour_is_read_by_the_declaration_before_its_segment(center: Center, gateway: world.TestGateway) -> None:
    gateway.declare(
        Channel("ELEC.IMPORT", "kWh", ChannelKind.INTERVAL, timedelta(minutes=15), "meter-2", "modbus", serial="E-NEW")
    )
    page = f"{MONTH}/channels/ELEC.IMPORT?gw={world.GW}"
    assert "E-4711" in browse(center, page)
    gateway.hour(world.START + timedelta(hours=1), list(VALUES))
    assert "E-NEW" in browse(center, page)
