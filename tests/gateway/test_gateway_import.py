"""Importing a historian's export: exact, all or nothing, nothing twice, and every refusal names its line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from conftest import Plant

from gateway.chain import own_statements
from gateway.errors import ConflictError, GatewayError, MisuseError
from gateway.importer import ImportResult, import_file

MAP = """
[time]
column = "end"
period_label = "end"
interval = "15m"

[[value]]
column = "kwh"
channel = "ELEC.IMPORT"
unit = "kWh"
"""
ROWS = """
end,kwh
2026-02-01T00:15:00+08:00,3.17
2026-02-01T00:30:00+08:00,4
2026-02-01T00:45:00+08:00,3.240
2026-02-01T01:00:00+08:00,0
2026-02-01T01:15:00+08:00,-0.5
"""
MONTHS = {
    "01": "126238.29",
    "02": "91497.34",
    "03": "80230.41",
    "04": "78769.80",
    "05": "79059.28",
    "06": "65404.64",
}


def imported(plant: Plant, csv: str | bytes = ROWS, how: str = MAP) -> ImportResult:
    data, map_path = plant.import_paths(csv, how)
    return import_file(plant.pipeline, plant.catalogue.channels, data, map_path)


def segments(plant: Plant) -> list[dict[str, Any]]:
    return [dict(one.payload) for one in plant.writer.call(lambda store: own_statements(store, "segment"))]


def readings(plant: Plant) -> list[tuple[str, str, str | None, str, str]]:
    rows = plant.writer.call(lambda store: store.rows("SELECT * FROM reading ORDER BY seq"))
    return [(row["channel"], row["time"], row["value"], row["unit"], row["flag"]) for row in rows]


def test_rows_become_readings_at_the_start_of_their_interval(plant: Plant) -> None:
    result = imported(plant)
    assert (result.rows, result.stored, result.already, result.segments) == (5, 5, 0, 2)
    assert readings(plant) == [
        ("ELEC.IMPORT", "2026-01-31T16:00:00.000Z", "3.17", "kWh", "N"),
        ("ELEC.IMPORT", "2026-01-31T16:15:00.000Z", "4", "kWh", "N"),
        ("ELEC.IMPORT", "2026-01-31T16:30:00.000Z", "3.240", "kWh", "N"),
        ("ELEC.IMPORT", "2026-01-31T16:45:00.000Z", "0", "kWh", "N"),
        ("ELEC.IMPORT", "2026-01-31T17:00:00.000Z", "-0.5", "kWh", "N"),
    ]
    first, second = segments(plant)
    assert first["span"] == ["2026-01-31T16:00:00.000Z", "2026-01-31T17:00:00.000Z"]
    assert first["ch"] == [{"id": "ELEC.IMPORT", "n": 4, "valid": 4, "sum": "10.410", "min": "0", "max": "4"}]
    assert (first["tree"]["start"], first["tree"]["end"], second["tree"]["start"]) == (0, 4, 4)
    raw = plant.writer.call(lambda store: store.row("SELECT raw, device_time, imported FROM reading"))
    assert raw is not None
    assert raw["raw"].endswith(":2:kwh=3.17")
    assert (raw["device_time"], raw["imported"]) == ("2026-02-01T00:15:00+08:00", 1)


def test_same_file_again_is_nothing_new(plant: Plant) -> None:
    imported(plant)
    again = imported(plant)
    assert (again.stored, again.already, again.segments) == (0, 5, 0)


def test_same_rows_in_another_file_are_passed_over(plant: Plant) -> None:
    imported(plant)
    more = imported(plant, ROWS + "2026-02-01T01:30:00+08:00,7.25\n")
    assert (more.stored, more.already) == (1, 5)
    assert len(readings(plant)) == 6


def test_another_value_for_a_known_time_stops_the_whole_file(plant: Plant) -> None:
    imported(plant)
    changed = ROWS.replace("3.240", "3.241") + "2026-02-01T01:30:00+08:00,7.25\n"
    with pytest.raises(ConflictError, match=r"line 4: ELEC.IMPORT .* stored as 3.240 kWh, the file says 3.241 kWh"):
        imported(plant, changed)
    assert len(readings(plant)) == 5


@pytest.mark.parametrize(
    ("change", "how", "says"),
    [
        pytest.param(
            ("+08:00,4", ",4"), MAP, r"line 3: time '2026-02-01T00:30:00' has no offset; give zone", id="naive"
        ),
        pytest.param((",4\n", ",4,5\n"), MAP, r"line 3: 3 columns, the header has 2", id="columns"),
        pytest.param((",4\n", ",\n"), MAP, r"line 3: column kwh: '' is not a plain decimal", id="empty"),
        pytest.param((",4\n", ",4e3\n"), MAP, r"line 3: column kwh: '4e3' is not a plain decimal", id="exponent"),
        pytest.param((",4\n", ",NaN\n"), MAP, r"line 3: column kwh: 'NaN' is not a plain decimal", id="nan"),
        pytest.param((",4\n", ',"1,234"\n'), MAP, r"line 3: column kwh: '1,234' is not a plain", id="thousands"),
        pytest.param(("00:45", "00:30"), MAP, r"line 4: time .* repeats line 3", id="duplicate row"),
        pytest.param(("00:45", "00:40"), MAP, r"line 4: its interval overlaps the one of line 3", id="overlap"),
        pytest.param(("2026-02-01T00:45", "2026-04-01T00:45"), MAP, r"line 4: time .* lies in the future", id="future"),
        pytest.param(
            ("2026-02-01T00:45", "0001-01-01T00:45"), MAP, r"line 4: time .* is out of range", id="before UTC"
        ),
        pytest.param(
            ("2026-02-01T00:45:00+08:00", "0001-01-01T00:00:00Z"), MAP, r"line 4: time .* is out of range", id="year 1"
        ),
        pytest.param(("2026-02-01T00:45", "1999-02-01T00:45"), MAP, r"line 4: time .* is out of range", id="year 1999"),
        pytest.param(
            ("00:45:00+", "00:45:00.1234+"), MAP, r"line 4: time .* finer than a millisecond", id="microseconds"
        ),
        pytest.param((ROWS, "end,kwh\n"), MAP, r"line 1: there is a header and no row", id="header alone"),
        pytest.param(("01T00:45", "32T00:45"), MAP, r"line 4: time .* is not of the format iso", id="no such day"),
        pytest.param(
            ("end,kwh", "end,kWh"), MAP, r"line 1: column 'kwh' is missing .* columns are: end, kWh", id="column"
        ),
        pytest.param(("end,kwh", "end,kwh,kwh"), MAP, r"line 1: column 'kwh' is missing or there twice", id="twice"),
        pytest.param(("", ""), MAP.replace('"kWh"', '"kwh"'), r"unknown unit 'kwh' of column kwh", id="unknown unit"),
        pytest.param(("", ""), MAP.replace('"kWh"', '"t"'), r"t cannot be converted exactly to kWh", id="wrong unit"),
        pytest.param(("", ""), MAP.replace("ELEC.IMPORT", "X"), r"channel X is not in the site file", id="channel"),
        pytest.param(
            ("", ""), MAP.replace('period_label = "end"\ninterval = "15m"', ""), r"of kind interval", id="label"
        ),
        pytest.param(
            ("", ""), MAP.replace("15m", "15"), r"interval '15' is not a number with s, m or h", id="interval"
        ),
        pytest.param(("", ""), MAP + "\n[tiem]\n", r"unknown key tiem", id="unknown key"),
        pytest.param(
            ("", ""), MAP.replace("[time]", '[time]\nzone = "Asia/Peking"'), r"'Asia/Peking' does not", id="zone"
        ),
    ],
)
def test_bad_file_or_map_is_refused_whole(plant: Plant, change: tuple[str, str], how: str, says: str) -> None:
    with pytest.raises(MisuseError, match=says) as refused:
        imported(plant, ROWS.replace(*change) if change[0] else ROWS, how)
    assert refused.value.exit_code == 3
    assert refused.value.zh != refused.value.en
    assert readings(plant) == []


def test_bytes_that_are_no_text_are_named_by_line(plant: Plant) -> None:
    with pytest.raises(MisuseError, match="line 3: not utf-8"):
        imported(plant, b"end,kwh\n2026-02-01T00:15:00+08:00,1\n\xff\xfe,1\n")


def test_naive_times_take_the_zone_of_the_map(plant: Plant) -> None:
    naive = ROWS.replace("+08:00", "")
    imported(plant, naive, MAP.replace("[time]", '[time]\nzone = "Asia/Shanghai"'))
    assert readings(plant)[0][1] == "2026-01-31T16:00:00.000Z"


@pytest.mark.parametrize(
    ("stamp", "zone"), [("2025-03-30T02:30:00", "Europe/Berlin"), ("2025-10-26T02:30:00", "Europe/Berlin")]
)
def test_local_times_around_a_clock_change_are_refused(plant: Plant, stamp: str, zone: str) -> None:
    with pytest.raises(MisuseError, match="does not exist or is ambiguous"):
        imported(plant, f"end,kwh\n{stamp},1\n", MAP.replace("[time]", f'[time]\nzone = "{zone}"'))


def test_units_are_converted_exactly(plant: Plant) -> None:
    imported(plant, ROWS, MAP.replace('"kWh"', '"MWh"'))
    assert [row[2] for row in readings(plant)] == ["3170", "4000", "3240", "0", "-500"]


def test_empty_cell_may_be_marked_instead(plant: Plant) -> None:
    imported(plant, ROWS.replace(",4\n", ",\n"), MAP + 'empty = "mark"\n')
    assert readings(plant)[1][2:] == (None, "kWh", "D")
    assert segments(plant)[0]["ch"][0]["valid"] == 3


def test_late_import_for_a_sealed_hour_makes_another_segment(plant: Plant) -> None:
    imported(plant, ROWS)
    before = segments(plant)
    imported(
        plant,
        "time,c\n2026-02-01T00:10:00+08:00,21.5\n",
        '[time]\ncolumn = "time"\n[[value]]\ncolumn = "c"\nchannel = "TEMP"\nunit = "degC"\n',
    )
    after = segments(plant)
    assert after[:2] == before
    assert after[2]["span"] == before[0]["span"]
    assert after[2]["tree"]["start"] == before[1]["tree"]["end"]


@pytest.mark.no_cover
@pytest.mark.parametrize("start", ["00:20:00", "00:14:59.999", "01:29:59"])
def test_interval_that_shares_time_with_a_stored_one_is_a_conflict(plant: Plant, start: str) -> None:
    imported(plant)
    stored = readings(plant)
    with pytest.raises(
        ConflictError, match=r"line 2: the interval of ELEC.IMPORT from .* overlaps the stored one"
    ) as no:
        imported(plant, f"end,kwh\n2026-02-01T{start}+08:00,999\n")
    assert no.value.zh != no.value.en
    assert readings(plant) == stored


def test_interval_right_behind_a_stored_one_is_no_overlap(plant: Plant) -> None:
    imported(plant)
    assert imported(plant, "end,kwh\n2026-02-01T01:30:00+08:00,2\n2026-02-01T00:00:00+08:00,3\n").stored == 2


def test_half_year_of_the_mill_gives_its_six_totals(make_plant: Callable[..., Plant], root: Path) -> None:
    plant = make_plant(zone="Asia/Seoul", now=datetime(2018, 8, 1, tzinfo=UTC))
    how = MAP.replace('"end"\nperiod', '"interval_end"\nperiod').replace('"kwh"', '"active_energy_kwh"')
    _, map_path = plant.import_paths("", how)
    result = import_file(
        plant.pipeline, plant.catalogue.channels, root / "cunzheng/demo_data/steel_meter_2018_h1.csv", map_path
    )
    assert (result.stored, result.segments) == (17_376, 4_344)
    totals: dict[str, Decimal] = {}
    for segment in segments(plant):
        month = f"{datetime.fromisoformat(segment['span'][0]).astimezone(ZoneInfo('Asia/Seoul')):%m}"
        totals[month] = totals.get(month, Decimal(0)) + sum(Decimal(entry["sum"]) for entry in segment["ch"])
    assert {month: str(total) for month, total in totals.items()} == MONTHS


def test_errors_carry_both_languages(plant: Plant) -> None:
    with pytest.raises(GatewayError) as refused:
        imported(plant, ROWS.replace("+08:00,4", ",4"))
    assert "没有时区" in refused.value.zh
