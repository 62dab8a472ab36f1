"""The demonstration tells one story: its plan fits what is imported, its history is what its meters show."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from accounting.plan import read_plan
from cunzheng.demo.history import live_history
from cunzheng.demo.plant import GATEWAY, MAP_TOML, PLANT, plan, site_toml
from cunzheng.simulator.mill import LiveMill, demo_mill

NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)


def test_the_imported_channels_are_the_ones_the_plan_asks_first() -> None:
    master = read_plan(json.dumps(plan(), ensure_ascii=False).encode("utf-8"))
    imported = {column["channel"] for column in tomllib.loads(MAP_TOML)["value"]}
    assert {item.source.channel for item in master.items if item.source.channel is not None} == imported


def test_every_live_channel_has_a_name_and_a_day_of_history() -> None:
    site = tomllib.loads(site_toml(502))
    live = {one["id"] for one in site["channel"] if one["device"] != "historian"}
    samples = list(live_history(PLANT, GATEWAY, NOW))
    assert {one.channel for one in samples} == live
    master = read_plan(json.dumps(plan(), ensure_ascii=False).encode("utf-8"))
    named = {one.id for one in master.channels} | {name for item in master.items for name in item.source.channels}
    assert live <= named
    counter = {one.time: one.value for one in samples if one.channel == "ELEC.TOTAL"}
    assert min(counter) == NOW - timedelta(hours=24)
    mill = LiveMill(demo_mill())
    assert all(Decimal(value or "") * 1000 == mill.energy_wh(time) for time, value in counter.items())
