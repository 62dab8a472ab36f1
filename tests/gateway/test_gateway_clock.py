"""A wall clock that is not to be trusted: nothing is signed under its time, readings are marked, and it is said."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from conftest import START, Plant
from hypothesis import given
from hypothesis import strategies as st

from accounting.gap_words import gap_text
from evidence.encoding import parse_time, time_text
from evidence.reading import Flag, Reading
from gateway.chain import Signer, append_event, own_statements
from gateway.clock import ClockState, SteppedClock
from gateway.clock_trust import EARLIEST, GuardedClock, guarded, newest_known, note_time
from gateway.clock_watch import CENTRE_PROBLEM, TRUST_PROBLEM, ClockWatch
from gateway.pipeline import Pipeline
from gateway.problems import problems
from gateway.reading_store import insert_readings
from gateway.settings import ClockSettings

LIMITS = ClockSettings()
BOOTS = itertools.count(1)
WRONG = {
    "1970": datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC),
    "build date": datetime(2025, 11, 3, tzinfo=UTC),
    "an hour before": START - timedelta(hours=1),
    "a year ahead": START + timedelta(days=365),
    "2106": datetime(2106, 2, 7, tzinfo=UTC),
}


class Disciplined(SteppedClock):
    """A stepped clock that the kernel holds for synchronised."""

    def state(self) -> ClockState:
        """Say that NTP sets it."""
        return replace(super().state(), src="ntp", off_ms=3)


def started(plant: Plant, wall: SteppedClock) -> tuple[Pipeline, GuardedClock, ClockWatch]:
    """Start the gateway's machine anew on this wall clock."""
    wall._boot = f"boot{next(BOOTS):04}"
    clock = plant.writer.call(lambda store: guarded(store, wall, LIMITS))
    pipeline = Pipeline(
        plant.writer, Signer(plant.identity, plant.pipeline.signer.key, clock), plant.pipeline.raw, plant.pipeline.judge
    )
    pipeline.open()
    watch = ClockWatch(pipeline, clock)
    plant.writer.call(watch.started)
    return pipeline, clock, watch


def read(pipeline: Pipeline, clock: GuardedClock, value: int) -> dict[str, Any]:
    """Store a reading of now; return its row."""
    now = clock.now()
    reading = Reading("TEMP", now, Decimal(value), "degC", Flag.NORMAL, now)
    pipeline.writer.call(lambda store: insert_readings(store, [pipeline.arrival(reading)]))
    return dict(pipeline.writer.call(lambda store: store.rows("SELECT * FROM reading ORDER BY seq DESC LIMIT 1"))[0])


def steps(plant: Plant) -> list[dict[str, Any]]:
    events = plant.writer.call(lambda store: own_statements(store, "event"))
    return [dict(one.payload["data"]) for one in events if one.payload["type"] == "clock-step"]


@pytest.fixture
def lived(plant: Plant) -> Plant:
    """A gateway that read something at START and was switched off."""
    wall = SteppedClock(START)
    pipeline, clock, _ = started(plant, wall)
    assert clock.doubt is None
    assert read(pipeline, clock, 1)["flag"] == "N"
    return plant


@pytest.mark.parametrize("name", list(WRONG))
def test_untrusted_clock_signs_nothing_under_its_time_and_says_so(lived: Plant, name: str) -> None:
    wall = SteppedClock(WRONG[name])
    pipeline, clock, watch = started(lived, wall)
    assert clock.doubt is not None
    assert clock.doubt.why == ("ahead" if WRONG[name] > START else "behind")
    wall.advance(timedelta(minutes=3))
    row = read(pipeline, clock, 2)
    assert (row["flag"], row["reason"], row["value"]) == ("D", "time uncertain", "2")
    assert row["time"] == time_text(START + timedelta(minutes=3))
    wall.advance(timedelta(hours=2))
    assert pipeline.seal_due(timedelta(0)).readings == 2
    statements = lived.writer.call(own_statements)
    assert max(parse_time(one.payload["t"]) for one in statements) <= START + timedelta(hours=3)
    assert statements[-1].payload["clk"]["src"] == "none"
    (event,) = steps(lived)
    assert (event["trusted"], event["after"]) == (False, time_text(WRONG[name]))
    (problem,) = [one for one in lived.writer.call(problems) if one.key == TRUST_PROBLEM]
    assert time_text(WRONG[name]) in problem.zh
    assert time_text(WRONG[name]) in problem.en

    right = START + timedelta(days=2)
    wall._now = right
    asyncio.run(watch.look())
    assert clock.doubt is None
    assert read(pipeline, clock, 3)["flag"] == "N"
    assert (steps(lived)[1]["trusted"], steps(lived)[1]["after"]) == (True, time_text(right))
    assert TRUST_PROBLEM not in {one.key for one in lived.writer.call(problems)}


def test_doubted_time_is_never_the_newest_known(lived: Plant) -> None:
    wall = SteppedClock(START + timedelta(days=365))
    pipeline, clock, _ = started(lived, wall)
    read(pipeline, clock, 2)
    lived.writer.call(lambda store: note_time(store, clock))
    assert lived.writer.call(newest_known) == START
    assert started(lived, SteppedClock(START + timedelta(hours=1)))[1].doubt is None


def test_time_goes_on_over_several_untrusted_starts(lived: Plant) -> None:
    first = GuardedClock(SteppedClock(WRONG["1970"]), START, EARLIEST, LIMITS)
    second = GuardedClock(SteppedClock(WRONG["1970"]), START, START + timedelta(hours=5), LIMITS)
    assert (first.now(), second.now()) == (START, START + timedelta(hours=5))


@pytest.mark.parametrize("name", list(WRONG))
def test_disciplined_clock_is_trusted(lived: Plant, name: str) -> None:
    clock = started(lived, Disciplined(WRONG[name]))[1]
    assert (clock.doubt, clock.now(), clock.state().src) == (None, WRONG[name], "ntp")


def test_centre_confirms_a_clock_after_a_long_rest(lived: Plant) -> None:
    late = START + timedelta(days=200)
    pipeline, clock, watch = started(lived, SteppedClock(late))
    assert clock.doubt is not None
    clock.heard(late + timedelta(seconds=4))
    assert clock.doubt is None
    assert read(pipeline, clock, 2)["flag"] == "N"
    asyncio.run(watch.look())
    (_, regained) = steps(lived)
    assert (regained["trusted"], regained["before"], regained["after"]) == (True, time_text(START), time_text(late))


def test_centre_that_contradicts_an_untrusted_clock_gives_the_time_but_no_trust(lived: Plant) -> None:
    wall = SteppedClock(WRONG["1970"])
    pipeline, clock, watch = started(lived, wall)
    assert clock.request_time() == wall.now()
    centre = START + timedelta(days=3)
    clock.heard(centre)
    wall.advance(timedelta(seconds=10))
    assert clock.request_time() == clock.now() == centre + timedelta(seconds=10)
    assert read(pipeline, clock, 2)["flag"] == "D"
    lived.writer.call(watch.note)
    assert CENTRE_PROBLEM in {one.key for one in lived.writer.call(problems)}
    clock.heard(START - timedelta(days=900))
    assert clock.now() == centre + timedelta(seconds=10), "time never goes back on the centre's word"


def test_clock_that_runs_away_while_running_is_no_longer_trusted(lived: Plant) -> None:
    wall = SteppedClock(START)
    pipeline, clock, watch = started(lived, wall)
    wall.advance(timedelta(seconds=5))
    asyncio.run(watch.look())
    wall._now += timedelta(days=400)
    wall._mono += 5_000
    asyncio.run(watch.look())
    assert clock.now() == START + timedelta(seconds=10)
    assert read(pipeline, clock, 2)["flag"] == "D"
    assert [one["trusted"] for one in steps(lived)] == [False]


@pytest.mark.parametrize("hours", [-7, 7])
def test_small_step_while_running_is_an_event_only(lived: Plant, hours: int) -> None:
    wall = SteppedClock(START + timedelta(hours=1))
    _, clock, watch = started(lived, wall)
    wall._now += timedelta(hours=hours)
    asyncio.run(watch.look())
    assert clock.doubt is None
    assert [one["step_ms"] for one in steps(lived)] == [hours * 3_600_000]


@pytest.mark.parametrize("seconds", [-90, 3, 86_400])
def test_step_while_the_gateway_was_not_running_is_declared_by_whoever_signs_next(lived: Plant, seconds: int) -> None:
    wall = SteppedClock(START + timedelta(hours=1))
    pipeline, _, _ = started(lived, wall)
    lived.writer.call(lambda store: append_event(store, pipeline.signer, "maintenance", {"note": "before"}))
    wall.advance(timedelta(minutes=5))
    wall._now += timedelta(seconds=seconds)
    lived.writer.call(lambda store: append_event(store, pipeline.signer, "maintenance", {"note": "after"}))
    lived.writer.call(lambda store: append_event(store, pipeline.signer, "maintenance", {"note": "and on"}))
    assert [one["step_ms"] for one in steps(lived)] == [seconds * 1000]
    kinds = [one.payload["type"] for one in lived.writer.call(lambda store: own_statements(store, "event"))]
    assert kinds[-4:] == ["maintenance", "clock-step", "maintenance", "maintenance"]


@pytest.mark.parametrize("seconds", [-90, 600])
def test_step_before_the_gateway_starts_again_within_one_boot_is_declared_once(lived: Plant, seconds: int) -> None:
    wall = SteppedClock(START + timedelta(hours=1))
    pipeline, _, _ = started(lived, wall)
    lived.writer.call(lambda store: append_event(store, pipeline.signer, "maintenance", {"note": "before"}))
    wall.advance(timedelta(hours=1))
    wall._now += timedelta(seconds=seconds)
    clock = lived.writer.call(lambda store: guarded(store, wall, LIMITS))
    watch = ClockWatch(pipeline, clock)
    lived.writer.call(watch.started)
    asyncio.run(watch.look())
    assert [one["step_ms"] for one in steps(lived)] == [seconds * 1000]


def test_time_without_a_trusted_clock_is_a_declared_gap(lived: Plant) -> None:
    wall = SteppedClock(WRONG["1970"])
    pipeline, clock, watch = started(lived, wall)
    wall.advance(timedelta(minutes=1))
    read(pipeline, clock, 2)
    right = START + timedelta(hours=4)
    wall._now = right
    asyncio.run(watch.look())
    row = read(pipeline, clock, 3)
    assert (row["flag"], row["reason"]) == ("N", "")
    gap = lived.writer.call(lambda store: own_statements(store, "event"))[-1].payload
    assert (gap["type"], gap["data"]["reason"]) == ("gap", "clock not trusted")
    assert (gap["data"]["from"], gap["data"]["to"]) == (time_text(START), time_text(right))
    assert gap_text(gap["data"])[0].endswith("网关时钟不可信")


@given(
    wall=st.datetimes(datetime(1970, 1, 1), datetime(2180, 1, 1)),
    known=st.datetimes(datetime(2026, 1, 2), datetime(2100, 1, 1)),
    passed=st.lists(st.integers(0, 10**9), max_size=5),
)
def test_guarded_time_never_lies_before_the_known_one(wall: datetime, known: datetime, passed: list[int]) -> None:
    start = known.replace(tzinfo=UTC)
    inner = SteppedClock(wall.replace(tzinfo=UTC))
    clock = GuardedClock(inner, start, EARLIEST, LIMITS)
    before = clock.now()
    assert before >= start - timedelta(seconds=LIMITS.behind_s) - timedelta(milliseconds=1)
    assert before <= start + timedelta(days=LIMITS.ahead_days)
    for ms in passed:
        inner.advance(timedelta(milliseconds=ms))
        assert clock.now() >= before
        before = clock.now()


def test_longer_rest_is_allowed_by_setting() -> None:
    clock = GuardedClock(SteppedClock(START + timedelta(days=90)), START, EARLIEST, ClockSettings(ahead_days=100))
    assert clock.doubt is None
