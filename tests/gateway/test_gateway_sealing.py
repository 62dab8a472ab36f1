"""Hours are sealed each on its own: what one of them does never keeps the others open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from conftest import START, Plant

from evidence.reading import Flag, Reading
from evidence.statement import MAX_BYTES
from gateway import reading_store
from gateway.chain import own_statements
from gateway.hours import HOUR
from gateway.problems import problems
from gateway.reading_store import Arrival, insert_readings, open_hours

ABSURD = Decimal("1" + "0" * 70)
"""More digits than a statement can hold; a gateway that ran before this was judged may have stored one."""


def store(plant: Plant, hour: int, value: Decimal, channel: str = "TEMP", *, unit: str = "degC") -> None:
    time = START + hour * HOUR + timedelta(minutes=10)
    place = plant.pipeline.arrival(Reading(channel, time, Decimal(1), unit, Flag.NORMAL, time)).hour
    arrival = Arrival(Reading(channel, time, value, unit, Flag.NORMAL, time), place)
    plant.writer.call(lambda store: insert_readings(store, [arrival]))


def sealed_hours(plant: Plant) -> list[str]:
    return [one.payload["span"][0] for one in plant.writer.call(lambda store: own_statements(store, "segment"))]


def seal(plant: Plant, now: datetime) -> int:
    plant.clock.set(now)
    return plant.pipeline.seal_due(timedelta(0)).segments


def test_hour_that_cannot_be_sealed_is_shown_and_stops_no_other(plant: Plant) -> None:
    for hour in range(5):
        store(plant, hour, ABSURD if hour == 1 else Decimal(20 + hour))
    assert seal(plant, START + 5 * HOUR) == 4
    assert [hour[11:13] for hour in sealed_hours(plant)] == ["00", "02", "03", "04"]
    (problem,) = plant.writer.call(problems)
    assert problem.key == "seal:2026-03-01T01:00:00.000Z"
    assert "SCHEMA" in problem.en
    store(plant, 5, Decimal(3))
    assert seal(plant, START + 6 * HOUR) == 1


def test_problem_of_an_hour_is_over_when_it_is_sealed(plant: Plant) -> None:
    store(plant, 0, ABSURD)
    assert seal(plant, START + HOUR) == 0
    plant.writer.call(lambda store: store.execute("UPDATE reading SET value = '21'"))
    assert seal(plant, START + HOUR) == 1
    assert (plant.writer.call(problems), plant.writer.call(open_hours)) == ([], [])


def test_open_hours_are_those_not_sealed_and_found_without_reading_their_readings(plant: Plant) -> None:
    for hour in (3, 0, 0, 1):
        store(plant, hour, Decimal(20 + hour))
    seal(plant, START + HOUR)
    assert [hour[11:13] for hour in plant.writer.call(open_hours)] == ["01", "03"]
    (step,) = plant.writer.call(lambda store: store.rows(f"EXPLAIN QUERY PLAN {reading_store.NEXT_OPEN_HOUR}", ("",)))
    assert "SEARCH reading USING INDEX reading_open" in step["detail"]


def test_leaves_of_scattered_rows_are_written_down_as_those_of_rows_in_a_row(plant: Plant) -> None:
    for hour in (0, 1, 0, 0, 1, 0):
        store(plant, hour, Decimal(20 + hour))
    seal(plant, START + 2 * HOUR)
    rows = plant.writer.call(lambda store: store.rows("SELECT hour, seq, leaf FROM reading ORDER BY leaf"))
    assert [(row["hour"][11:13], row["leaf"]) for row in rows] == [
        *(("00", leaf) for leaf in range(4)), *(("01", leaf) for leaf in (4, 5))
    ]  # fmt: skip
    assert [row["seq"] for row in rows] == [1, 3, 4, 6, 2, 5]


def test_hour_of_many_long_channels_becomes_several_statements(make_plant: Callable[..., Plant]) -> None:
    names = [f"{'C' * 29}{number:03d}" for number in range(200)]
    channel = '[[channel]]\nid = "{}"\ndevice = "h"\nkind = "value"\nunit = "kWh"\n'
    plant = make_plant('[[import]]\nid = "h"\n' + "".join(map(channel.format, names)))
    for name in names:
        store(plant, 0, Decimal("9" * 50), name, unit="kWh")
    assert seal(plant, START + HOUR) > 1
    segments = plant.writer.call(lambda store: own_statements(store, "segment"))
    assert sorted(entry["id"] for one in segments for entry in one.payload["ch"]) == names
    assert all(len(one.jws) < MAX_BYTES for one in segments)
    ends = [(one.payload["tree"]["start"], one.payload["tree"]["end"]) for one in segments]
    assert all(before[1] == after[0] for before, after in pairwise(ends))
    assert plant.writer.call(problems) == []
