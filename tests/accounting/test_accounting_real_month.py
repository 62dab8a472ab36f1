"""Half a year of a real steel mill's meter: each month's electricity to the last digit."""

from __future__ import annotations

import copy
import csv
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from signed_plant import PLAN, Chain, body_of

from accounting.month import compose
from accounting.parameter_set import packaged_bytes
from evidence.channel import Channel
from evidence.encoding import jcs
from evidence.reading import Flag, Leaf
from evidence.segment import hour_of, summarise
from evidence.statement import Statement

SEOUL = ZoneInfo("Asia/Seoul")
QUARTER = timedelta(minutes=15)
TOTALS = {
    "2018-01": "126238.29",
    "2018-02": "91497.34",
    "2018-03": "80230.41",
    "2018-04": "78769.80",
    "2018-05": "79059.28",
    "2018-06": "65404.64",
}


pytestmark = pytest.mark.no_cover


@pytest.fixture(scope="module")
def statements(root: Path) -> list[Statement]:
    chain = Chain()
    event = chain.config("ELEC.IMPORT", "kWh", "interval", via="import")
    channels = {"ELEC.IMPORT": Channel.from_config(event.payload["data"])}
    hours: dict[datetime, list[Leaf]] = defaultdict(list)
    with (root / "cunzheng/demo_data/steel_meter_2018_h1.csv").open(encoding="utf-8") as file:
        for index, row in enumerate(csv.DictReader(file)):
            start = datetime.fromisoformat(row["interval_end"]) - QUARTER
            value = Decimal(row["active_energy_kwh"])
            hours[hour_of(start, SEOUL)].append(Leaf(index, start, "ELEC.IMPORT", value, "kWh", Flag.NORMAL))
    for hour, leaves in sorted(hours.items()):
        entries, _ = summarise(leaves, channels, hour, SEOUL, {})
        chain.segment(hour, entries)
    return chain.statements


@pytest.mark.parametrize("period", sorted(TOTALS))
def test_month_total_is_exact(statements: list[Statement], period: str) -> None:
    plan = copy.deepcopy(PLAN)
    plan["zone"] = "Asia/Seoul"
    body = body_of(
        compose(
            plant="P-0001",
            period=period,
            statements=statements,
            plan=jcs(plan),
            parameters=packaged_bytes("cn-steel-2024"),
        )
    )
    [channel] = body["channels"]
    assert channel["sum"] == TOTALS[period]
    assert channel["covered"] == channel["hours"]
    assert channel["imported"] is True
    item = next(one for one in body["items"] if one["id"] == "electricity")
    assert Decimal(item["quantity"]) * 1000 == Decimal(TOTALS[period])
    assert item["coverage"] == "1.0000"
