"""The gateway's judge in its place: what is stored, signed, counted and remembered of what the checks find."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import START, Plant

from evidence.judge_rules import packaged_rules
from evidence.marks import CalibrationRecord, Mark, MarkKind
from evidence.reading import Flag, Reading
from gateway.catalogue import load_catalogue
from gateway.chain import own_statements
from gateway.errors import MisuseError, StoreError
from gateway.quality_store import counts_by_rule, records_after
from gateway.reading_store import insert_readings
from gateway.store import Store

SITE = """
[[rule]]
id = "Q03"
limit = "ahead_s"
value = "300"
reason = "gateway clock is set by hand"

[[import]]
id = "cems"
interval_s = 5

[[import]]
id = "meter"
interval_s = 60

[[channel]]
id = "CO2"
device = "cems"
kind = "value"
unit = "%"
subject = "KILN"
quantity = "co2"
range = { low = "0", high = "25" }
calibrated_every_h = 26

[[channel.rule]]
id = "Q18"
limit = "minutes"
value = "240"
reason = "steady kiln"

[[channel]]
id = "O2"
device = "cems"
kind = "value"
unit = "%"
quantity = "o2"

[[channel]]
id = "RESTARTS"
device = "meter"
kind = "state"
unit = "count"
identity = true

[[channel]]
id = "POWER"
device = "meter"
kind = "value"
unit = "kW"
restart_counter = "RESTARTS"
"""


def reading(channel: str, seconds: float, value: object, unit: str = "%", flag: Flag = Flag.NORMAL) -> Reading:
    time = START + timedelta(seconds=seconds)
    return Reading(channel, time, None if value is None else Decimal(str(value)), unit, flag, time)


def store_all(plant: Plant, *readings: Reading) -> int:
    arrivals = [plant.pipeline.arrival(one) for one in readings]
    return asyncio.run(plant.pipeline.store(arrivals))


def events(plant: Plant, event_type: str) -> list[dict[str, Any]]:
    found = plant.writer.call(lambda store: own_statements(store, "event"))
    return [dict(one.payload["data"]) for one in found if one.payload["type"] == event_type]


def counts(plant: Plant) -> dict[str, int]:
    return plant.writer.call(counts_by_rule)


def rows(plant: Plant, channel: str) -> list[tuple[str, str, str]]:
    found = plant.writer.call(
        lambda store: store.rows("SELECT value, flag, reason FROM reading WHERE channel = ? ORDER BY seq", (channel,))
    )
    return [tuple(row) for row in found]


@pytest.fixture
def kiln(make_plant: Callable[..., Plant]) -> Plant:
    return make_plant(SITE)


def test_findings_are_stored_as_flag_reason_and_count(kiln: Plant) -> None:
    store_all(kiln, reading("O2", 0, 22), reading("O2", 5, 10), reading("CO2", 0, 26))
    assert rows(kiln, "O2") == [("22", "T", "Q15 above 21.5"), ("10", "N", "")]
    assert rows(kiln, "CO2")[0][1:] == (
        "T",
        "Q16 above the range of 25; Q28 out of control: no passed calibration is known",
    )
    assert counts(kiln) == {"Q15": 1, "Q16": 1, "Q28": 1}


def test_equal_repetition_is_counted_and_not_stored_again(kiln: Plant) -> None:
    assert store_all(kiln, reading("O2", 0, 10), reading("O2", 0, 10), reading("O2", 0, 11)) == 2
    assert [row[0] for row in rows(kiln, "O2")] == ["10", "11"]
    assert counts(kiln) == {"Q02": 2}


def test_gap_of_a_device_is_one_event_of_all_its_channels(kiln: Plant) -> None:
    store_all(kiln, reading("O2", 0, 10), reading("CO2", 0, 20), reading("POWER", 0, 1, "kW"))
    silent = [
        replace(reading(channel, seconds, None, flag=Flag.NO_COMMUNICATION), reason="timeout")
        for seconds in (5, 10)
        for channel in ("O2", "CO2")
    ]
    store_all(kiln, *silent)
    assert events(kiln, "gap") == []
    store_all(kiln, reading("O2", 60, 10), reading("CO2", 60.5, 20), reading("POWER", 60, 1, "kW"))
    assert events(kiln, "gap") == [
        {
            "source": "cems",
            "channels": ["CO2", "O2"],
            "from": "2026-03-01T00:00:00.000Z",
            "to": "2026-03-01T00:01:00.500Z",
            "reason": "timeout",
        }
    ]
    assert counts(kiln)["Q06"] == 2
    store_all(kiln, reading("O2", 600, 10))
    assert events(kiln, "gap")[1] == {
        "channel": "O2",
        "from": "2026-03-01T00:01:00.000Z",
        "to": "2026-03-01T00:10:00.000Z",
        "reason": "no readings",
    }


def test_findings_wait_when_the_store_refuses(kiln: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    arrivals = [kiln.pipeline.arrival(one) for one in (reading("O2", 0, 10), reading("O2", 600, 22))]

    def full(*_: object) -> int:
        raise StoreError("磁盘已满", "the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("gateway.pipeline.insert_readings", full)
        with pytest.raises(StoreError):
            asyncio.run(kiln.pipeline.store(arrivals))
    assert (counts(kiln), events(kiln, "gap")) == ({}, [])
    asyncio.run(kiln.pipeline.store(arrivals))
    assert counts(kiln) == {"Q06": 1, "Q15": 1}
    assert len(events(kiln, "gap")) == 1


def test_refused_frame_is_counted_by_source(kiln: Plant) -> None:
    kiln.pipeline.judge.frame_refused("logger-1", "CRC", START)
    kiln.pipeline.store_findings()
    assert counts(kiln) == {"Q01": 1}


def test_calibration_and_mark_are_signed_and_known_after_a_restart(kiln: Plant) -> None:
    record = CalibrationRecord("CO2", "zero-span", START, START, "Han Mei", passed=True)
    mark = Mark(
        MarkKind.MAINTENANCE, START, START + timedelta(hours=1), START, "Li Lei", "new firmware", channels=("RESTARTS",)
    )
    kiln.pipeline.calibration(record)
    kiln.pipeline.mark(mark)
    assert events(kiln, "calibration") == [record.event_data()]
    assert events(kiln, "maintenance") == [mark.event_data()]
    store_all(kiln, reading("RESTARTS", 0, 4, "count"))
    again = kiln.reopen()
    try:
        assert again.writer.call(lambda store: records_after(store, 0)) == [(1, record), (2, mark)]
        store_all(again, reading("CO2", 60, 20), reading("RESTARTS", 60, 5, "count"))
        assert counts(again) == {}
        store_all(again, reading("RESTARTS", 3600, 6, "count"))
        assert counts(again)["Q34"] == 1
    finally:
        again.writer.close()


def test_hours_are_judged_when_they_are_sealed_and_again_when_late_readings_come(kiln: Plant) -> None:
    kiln.pipeline.calibration(CalibrationRecord("CO2", "zero-span", START, START, "Han Mei", passed=True))
    values = [reading("CO2", seconds, 20 + seconds % 4) for seconds in range(0, 2640, 5)]
    kiln.writer.call(lambda store: insert_readings(store, [kiln.pipeline.arrival(one) for one in values]))
    kiln.clock.advance(timedelta(hours=2))
    kiln.pipeline.seal_due(timedelta(0))
    assert counts(kiln) == {"Q07": 16, "Q08": 1}
    late = [replace(reading("CO2", seconds, 20), imported=True) for seconds in range(2640, 2700, 5)]
    kiln.writer.call(lambda store: insert_readings(store, [kiln.pipeline.arrival(one) for one in late]))
    kiln.pipeline.seal_due(timedelta(0))
    assert counts(kiln) == {"Q07": 15}


def test_hour_of_a_marked_stop_is_not_judged(kiln: Plant) -> None:
    stop = Mark(MarkKind.STOP, START, START + timedelta(hours=1), START, "Li Lei", "relining", subject="KILN")
    kiln.pipeline.mark(stop)
    store_all(kiln, reading("O2", 0, 20), reading("CO2", 0, "0.1"))
    kiln.clock.advance(timedelta(hours=2))
    kiln.pipeline.seal_due(timedelta(0))
    # The stop is the kiln's; the oxygen channel names no subject.
    found = kiln.writer.call(lambda store: store.rows("SELECT rule, channel FROM quality_count ORDER BY rule, channel"))
    assert [tuple(row) for row in found] == [("Q07", "O2"), ("Q08", "O2"), ("Q28", "CO2")]


def test_restart_record_names_rule_set_and_overrides(kiln: Plant) -> None:
    rules = packaged_rules()
    assert kiln.pipeline.judge.rules_record() == {
        "id": rules.id,
        "version": rules.version,
        "hash": rules.hash,
        "overrides": [
            {"rule": "Q03", "reason": "gateway clock is set by hand", "limit": "ahead_s", "value": "300"},
            {"channel": "CO2", "rule": "Q18", "reason": "steady kiln", "limit": "minutes", "value": "240"},
        ],
    }


def test_overrides_hold_where_they_are_given(kiln: Plant) -> None:
    bases = kiln.catalogue.bases
    assert [bases[name].rules.rule("Q18").limit("minutes") for name in ("CO2", "O2")] == [240, 60]
    assert {one.rules.rule("Q03").limit("ahead_s") for one in bases.values()} == {300}


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('id = "Q18"', 'id = "Q88"', "rule.Q88"),
        ('limit = "minutes"', 'limit = "hours"', "rule.Q18.hours"),
        ('reason = "steady kiln"', 'reason = ""', "rule.Q18.reason"),
        ('reason = "steady kiln"', "", "channel.0.rule.0.reason"),
        ('value = "240"', 'value = "240"\noff = true', "channel.0.rule.0"),
        ('quantity = "o2"', 'quantity = "o3"', "channel.O2.quantity"),
        ('quantity = "o2"', 'quantitty = "o2"', "channel.1.quantitty"),
        ('restart_counter = "RESTARTS"', 'restart_counter = "REBOOTS"', "restart_counter"),
    ],
)
def test_mistake_in_the_site_names_file_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    (tmp_path / "site.toml").write_text(SITE.replace(old, new), "utf-8")
    with pytest.raises(MisuseError) as caught:
        load_catalogue(tmp_path / "site.toml")
    assert "site.toml" in str(caught.value)
    assert key in str(caught.value)


METER_SITE = """
[[device]]
id = "meter"
profile = "eastron-sdm630"
host = "127.0.0.1"
poll_s = 60
parameters = { max_power_kw = "100" }

[[channel]]
id = "RESTARTS"
device = "meter"
point = "frequency"

[[channel]]
id = "ENERGY"
device = "meter"
point = "energy_in"
restart_counter = "RESTARTS"
"""


def test_restart_counter_explains_a_total_that_stepped_back(make_plant: Callable[..., Plant]) -> None:
    plant = make_plant(METER_SITE.replace("energy_in", _total_point()))
    channel = plant.pipeline.judge.channels["ENERGY"]
    assert channel.totaliser is not None
    stepping = replace(channel, totaliser=replace(channel.totaliser, backstep=Decimal(5), resettable=False))
    judge = plant.pipeline.judge
    judge.bases["ENERGY"] = replace(judge.bases["ENERGY"], channel=stepping)

    def at(minute: int, energy: object, restarts: int) -> list[Flag]:
        time: datetime = START + timedelta(minutes=minute)
        said = [
            Reading("RESTARTS", time, Decimal(restarts), "Hz", Flag.NORMAL, time),
            Reading("ENERGY", time, Decimal(str(energy)), "kWh", Flag.NORMAL, time),
        ]
        return [judge.judged(one).flag for one in said]

    assert at(0, 1000, 50) == [Flag.NORMAL, Flag.NORMAL]
    assert at(1, 999, 51) == [Flag.NORMAL, Flag.FAULT]
    assert at(2, "999.5", 51) == [Flag.NORMAL, Flag.FAULT]
    assert at(3, "1000.5", 51) == [Flag.NORMAL, Flag.NORMAL]
    assert at(4, "999.9", 51) == [Flag.NORMAL, Flag.FAULT]
    taken = judge.take()
    assert sum(taken.counts.values()) == 3


@pytest.mark.parametrize(
    ("totals", "gaps"),
    [([1000, 1002, 1], ["Q31 reset: from 1002 to 1"]), ([1000, 90_000, 1004], ["Q31 error: from 1000 to 90000"])],
)
def test_count_that_breaks_is_a_signed_event_with_both_readings(
    make_plant: Callable[..., Plant], totals: list[int], gaps: list[str]
) -> None:
    plant = make_plant(METER_SITE.replace("energy_in", _total_point()).replace('restart_counter = "RESTARTS"', ""))
    times: list[datetime] = [START + timedelta(minutes=minute) for minute in range(len(totals))]
    for time, total in zip(times, totals, strict=True):
        store_all(plant, Reading("ENERGY", time, Decimal(total), "kWh", Flag.NORMAL, time))
    assert [event["reason"] for event in events(plant, "gap") if event["channel"] == "ENERGY"] == gaps
    assert counts(plant)["Q31"] == 1


def _total_point() -> str:
    import device_profiles

    points = device_profiles.shipped()["eastron-sdm630"].points
    return next(name for name, point in points.items() if point.kind == "total")


def test_counts_outlive_the_program(kiln: Plant) -> None:
    store_all(kiln, reading("O2", 0, 22))
    again = kiln.reopen()
    try:
        store_all(again, reading("O2", 60, 22))
        assert counts(again)["Q15"] == 2
    finally:
        again.writer.close()


def test_store_of_the_first_release_gets_the_new_tables(tmp_path: Path) -> None:
    Store(tmp_path / "gateway.db").close()
    store = Store(tmp_path / "gateway.db")
    with store.transaction():
        store.execute("DROP TABLE quality_count")
        store.execute("DROP TABLE quality_record")
        store.execute("DELETE FROM _sqlite_migrations WHERE name = 'm_quality'")
    store.close()
    store = Store(tmp_path / "gateway.db")
    assert counts_by_rule(store) == {}
    store.close()
