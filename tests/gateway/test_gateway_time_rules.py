"""Rules of time: three times of a reading, offsets told and never corrected, clock steps, month limits by zone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from conftest import START, Plant

from accounting.cover import derive_cover
from accounting.period import month_of
from accounting.stack_hours import stack_channels
from evidence.channel import Channel
from evidence.reading import Flag, Reading
from evidence.segment import entry_agrees
from gateway.chain import own_statements
from gateway.clock_trust import replayed
from gateway.clock_watch import ClockWatch
from gateway.reading_store import insert_readings, leaves_between, open_readings
from gateway.settings import ClockSettings

SITE = """
[[device]]
id = "cems1"
profile = "sick-marsic300"
host = "127.0.0.1"
poll_s = 30
parameters = { co2_unit = "%" }

[[channel]]
id = "CO2"
device = "cems1"
point = "co2"
subject = "KILN"
"""
METER = """
[[device]]
id = "em1"
profile = "schneider-iem3000"
host = "127.0.0.1"
poll_s = 60
parameters = { max_power_kw = "2000" }

[[channel]]
id = "E"
device = "em1"
point = "energy_import"
"""
HOUR = timedelta(hours=1)


def reading(channel: str, time: datetime, value: str = "20", unit: str = "%", **members: Any) -> Reading:
    return Reading(channel, time, Decimal(value), unit, Flag.NORMAL, **{"received": time, **members})


def store(plant: Plant, *readings: Reading) -> list[Reading]:
    arrivals = [plant.pipeline.arrival(one) for one in readings]
    plant.writer.call(lambda db: insert_readings(db, arrivals))
    return [one.reading for one in arrivals]


def segments(plant: Plant) -> list[Mapping[str, Any]]:
    plant.pipeline.seal_due(timedelta(0))
    return [one.payload for one in plant.writer.call(lambda db: own_statements(db, "segment"))]


def clock_steps(plant: Plant) -> list[Mapping[str, Any]]:
    events = [one.payload for one in plant.writer.call(lambda db: own_statements(db, "event"))]
    return [one["data"] for one in events if one["type"] == "clock-step"]


@pytest.fixture
def kiln(make_plant: Callable[..., Plant]) -> Plant:
    return make_plant(SITE)


def test_reading_keeps_its_three_times_and_the_order_in_which_it_came(kiln: Plant) -> None:
    said = "2026-03-01 08:00:40"
    first = reading("CO2", START + timedelta(seconds=40), device_time=said, received=START + timedelta(seconds=45))
    second = reading("CO2", START + timedelta(seconds=10), "21", received=START + timedelta(seconds=46))
    store(kiln, first, second)
    kept = kiln.writer.call(lambda db: open_readings(db, "2026-03-01T00:00:00.000Z"))
    assert [(one.time, one.device_time, one.received) for one in kept] == [
        ("2026-03-01T00:00:40.000Z", said, "2026-03-01T00:00:45.000Z"),
        ("2026-03-01T00:00:10.000Z", "", "2026-03-01T00:00:46.000Z"),
    ]
    assert kept[0].seq < kept[1].seq  # the order is the sequence, not the wall clock
    assert "Q04 time goes back" in kept[1].reason


@pytest.mark.parametrize(("seconds", "rule", "found"), [(30, "", {}), (100, "Q05", {}), (400, "Q05", {"Q05": 1})])
def test_offset_of_a_device_is_told_and_corrects_nothing(kiln: Plant, seconds: int, rule: str, found: Any) -> None:
    received = START + timedelta(minutes=10)
    time = received - timedelta(seconds=seconds)
    (judged,) = store(kiln, reading("CO2", time, device_time="t", received=received))
    assert (judged.time, judged.value) == (time, Decimal(20))
    assert judged.reason[:3] == rule
    assert not rule or f"by {seconds} s" in judged.reason
    kiln.clock.advance(2 * HOUR)
    (segment,) = segments(kiln)
    assert segment["ch"][0].get("found", {}) == found


def test_every_segment_says_what_clock_it_was_signed_by(kiln: Plant) -> None:
    for hour in range(3):
        store(kiln, reading("CO2", START + hour * HOUR))
    kiln.clock.advance(4 * HOUR)
    clocks = [one["clk"] for one in segments(kiln)]
    assert len(clocks) == 3
    assert all({"boot", "mono", "src", "off_ms"} <= clock.keys() for clock in clocks)


@pytest.mark.parametrize(("step_s", "events"), [(1.9, 0), (2.1, 1), (-2.1, 1)])
async def test_step_of_the_clock_is_an_event_with_both_times(kiln: Plant, step_s: float, events: int) -> None:
    watch = ClockWatch(kiln.pipeline, replayed(kiln.clock, ClockSettings()))
    await watch.look()
    kiln.clock._now += timedelta(seconds=step_s)  # the wall alone, in either direction
    await watch.look()
    await watch.look()
    said = clock_steps(kiln)
    assert [one["step_ms"] for one in said] == [int(step_s * 1000)] * events
    assert all(one["before"] == "2026-03-01T00:00:00.000Z" for one in said)


def test_month_ends_at_local_midnight_and_a_counter_at_the_limit_closes_it(make_plant: Callable[..., Plant]) -> None:
    plant = make_plant(METER, now=datetime(2026, 2, 28, 15, tzinfo=UTC))
    limit = datetime(2026, 2, 28, 16, tzinfo=UTC)  # midnight in Shanghai
    times = (limit - timedelta(minutes=1), limit, limit + timedelta(minutes=1))
    store(plant, *(reading("E", time, str(at), "kWh") for at, time in enumerate(times, 100)))
    plant.clock.set(limit + 3 * HOUR)
    spans = {one["span"][0]: one["ch"][0]["n"] for one in segments(plant)}
    assert spans == {"2026-02-28T15:00:00.000Z": 2, "2026-02-28T16:00:00.000Z": 1}
    march = month_of("2026-03", ZoneInfo("Asia/Shanghai"))
    assert (march.start, march.holds(limit), march.holds(march.end)) == (limit, True, False)


def test_hours_of_a_zone_off_the_full_hour_keep_their_minutes(make_plant: Callable[..., Plant]) -> None:
    """In Kolkata an hour begins at half past by UTC; its letters still stand for the right minutes."""
    plant = make_plant(SITE, zone="Asia/Kolkata", now=START)
    begin = START + timedelta(minutes=30)
    # The first twenty minutes of the local hour, at two readings a minute.
    store(plant, *(reading("CO2", begin + at * timedelta(seconds=30)) for at in range(40)))
    plant.clock.advance(3 * HOUR)
    (segment,) = segments(plant)
    assert segment["span"][0] == "2026-03-01T00:30:00.000Z"
    (entry,) = segment["ch"]
    assert entry["minutes"] == "-" * 30 + "N" * 20 + "-" * 10
    events = plant.writer.call(lambda db: own_statements(db, "event"))
    declared = [one.payload["data"] for one in events if one.payload["type"] == "config"]
    channel = Channel.from_config(declared[0])
    leaves = plant.writer.call(
        lambda db: leaves_between(db, "CO2", "2026-03-01T00:00:00.000Z", "2026-03-01T02:00:00.000Z")
    )
    assert entry_agrees(entry, leaves, channel)
    month = month_of("2026-03", ZoneInfo("Asia/Kolkata"))
    said = plant.writer.call(lambda db: own_statements(db, "segment"))
    (stack,) = stack_channels(derive_cover(said, month), events, month)
    hour = next(one for one in stack.hours(month) if one.start == begin)
    assert (hour.valid, hour.quarters) == (20, (True, True, False, False))
