"""An hour of many readings is sealed in short transactions: the same segments, whatever happens between two of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from conftest import START, Plant
from test_gateway_derived import PARTS
from test_gateway_derived import SITE as STACK

from evidence.reading import Flag, Reading, leaf_line
from gateway import long_hour, sealer
from gateway.begun_segment import Begun, begun, go_on
from gateway.chain import own_statements
from gateway.errors import GarbledError, IntegrityError
from gateway.hours import HOUR
from gateway.integrity import check_store
from gateway.problems import problems
from gateway.reading_store import Arrival, insert_readings, open_hours, sealed_readings
from gateway.store import Store

AT_ONCE = 40
MINUTES = 60
SITE = (
    STACK
    + """
[[device]]
id = "em1"
profile = "schneider-iem3000"
host = "127.0.0.1"
port = 502
unit = 3
serial = "3155-0042"
poll_s = 60
parameters = { max_power_kw = "2000" }

[[channel]]
id = "COUNTER"
device = "em1"
point = "energy_import"
param = "electricity"
subject = "enterprise"
"""
)
NUMBERS = {
    "COUNTER": ("Wh", Decimal(950_000)),
    **{name: (unit, Decimal(value)) for name, (unit, _, value) in PARTS.items()},
}


class PowerCutError(BaseException):
    """Nothing goes on."""


def fill(plant: Plant, hours: int = 2) -> int:
    """Store a reading a minute of every channel; some are bad."""
    arrivals = []
    for minute in range(1, hours * MINUTES):
        for at, (channel, (unit, first)) in enumerate(NUMBERS.items()):
            time = START + timedelta(minutes=minute)
            number = first + minute * 7 if channel == "COUNTER" else first + Decimal(minute * 7 % 10 + at) / 10
            is_bad = (minute + at) % 17 == 0
            reading = Reading(
                channel,
                time,
                None if is_bad else number,
                unit,
                Flag.NO_COMMUNICATION if is_bad else Flag.NORMAL,
                time,
                "timeout" if is_bad else "",
            )
            arrivals.append(plant.pipeline.arrival(reading))
    plant.clock.set(START + hours * HOUR)
    return plant.writer.call(lambda store: insert_readings(store, arrivals))


def said(plant: Plant) -> list[tuple[Any, ...]]:
    """What the segments say of the readings, apart from roots, which hold secrets."""
    segments = [one.payload for one in plant.writer.call(lambda store: own_statements(store, "segment"))]
    return [(one["span"], one["tree"]["start"], one["tree"]["end"], one["ch"]) for one in segments]


def lines(plant: Plant) -> list[bytes]:
    rows = plant.writer.call(lambda store: sealed_readings(store, 1, 0, 1 << 40))
    return [leaf_line(row.to_leaf(), bytes(32)) for row in rows]


def assert_sound(plant: Plant) -> None:
    report = plant.writer.call(lambda store: check_store(store, plant.pipeline.raw, repair=False))
    assert report.faults == []
    ends = [(one[1], one[2]) for one in said(plant)]
    assert [start for start, _ in ends] == [0, *(end for _, end in ends[:-1])]
    assert report.segments == len(ends)


def seal(plant: Plant, at_once: int = AT_ONCE) -> None:
    plant.pipeline.readings_at_once = at_once
    plant.pipeline.seal_due(timedelta(0))


@pytest.fixture
def whole(make_plant: Callable[..., Plant]) -> tuple[list[tuple[Any, ...]], list[bytes]]:
    """What one transaction an hour makes of the readings."""
    plant = make_plant(SITE)
    fill(plant)
    seal(plant, 100_000)
    found = said(plant), lines(plant)
    plant.writer.close()
    for path in (plant.folder / "gateway.db", *plant.folder.glob("gateway.db-*")):
        path.unlink()
    return found


@pytest.mark.parametrize("at_once", [1, 7, 40, 235])
def test_long_hour_says_what_one_transaction_says(
    whole: tuple[list[tuple[Any, ...]], list[bytes]], make_plant: Callable[..., Plant], at_once: int
) -> None:
    plant = make_plant(SITE)
    stored = fill(plant)
    seal(plant, at_once)
    assert (said(plant), lines(plant)) == whole
    assert len(lines(plant)) > stored  # the derived ones, too
    assert_sound(plant)


def cut_at_call(plant: Plant, monkeypatch: pytest.MonkeyPatch, number: int) -> bool:
    """Seal, and end everything before the writer's call of this number; tell whether there was one."""
    calls = 0
    real = plant.writer.call

    def call(function: Callable[[Store], Any]) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            raise PowerCutError
        return real(function)

    with monkeypatch.context() as patch:
        patch.setattr(plant.writer, "call", call)
        try:
            seal(plant)
        except PowerCutError:
            return True
    return False


def test_kill_between_any_two_transactions_changes_nothing_of_what_is_sealed(
    whole: tuple[list[tuple[Any, ...]], list[bytes]],
    make_plant: Callable[..., Plant],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sealer, "ENTRY_BYTES_PER_SEGMENT", 100)  # a part for each channel
    plant = make_plant(SITE)
    fill(plant)
    number, seen = 1, set()
    # Each life ends one call later than the one before, so that every state is a beginning and an end.
    while cut_at_call(plant, monkeypatch, number):
        part = plant.writer.call(begun)
        seen.add(None if part is None else (part.hour, part.at))
        plant = plant.reopen()
        number += 1
    assert len(seen) > 6
    assert plant.writer.call(begun) is None
    assert plant.writer.call(open_hours) == []
    assert sorted(lines_without_index(plant)) == sorted(lines_of(whole[1]))
    for hour in {one[0][0] for one in whole[0]}:
        entries = [entry for one in said(plant) if one[0][0] == hour for entry in one[3]]
        expected = [entry for one in whole[0] if one[0][0] == hour for entry in one[3]]
        assert sorted(entries, key=lambda one: str(one["id"])) == expected
    assert_sound(plant)
    plant.writer.close()


def cut_in_the_middle(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> Begun:
    """Seal, and end everything when three transactions have given readings their leaves; return what is under way."""
    steps = 0

    def step(*args: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > 3:
            raise PowerCutError
        return go_on(*args)

    with monkeypatch.context() as patch:
        patch.setattr(long_hour, "go_on", step)
        with pytest.raises(PowerCutError):
            seal(plant)
    part = plant.writer.call(begun)
    assert part is not None
    assert 0 < part.at < part.upto
    return part


def lines_of(found: list[bytes]) -> list[bytes]:
    return [b",".join(line.split(b",")[2:-1]) for line in found]


def lines_without_index(plant: Plant) -> list[bytes]:
    return lines_of(lines(plant))


def test_reading_that_comes_while_its_hour_is_sealed_waits_for_a_segment_of_its_own(
    make_plant: Callable[..., Plant], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = make_plant(SITE)
    fill(plant, hours=1)
    part = cut_in_the_middle(plant, monkeypatch)
    time = START + timedelta(minutes=30, seconds=5)
    late = Reading("T", time, Decimal("21.5"), "degC", Flag.NORMAL, time)
    plant.writer.call(lambda store: insert_readings(store, [Arrival(late, part.hour)]))
    seal(plant)
    (_, first_end), (start, end) = [(one[1], one[2]) for one in said(plant)]
    assert (start, end) == (first_end, first_end + 1)
    (entry,) = said(plant)[1][3]
    assert (entry["id"], entry["sum"]) == ("T", "21.5")
    assert_sound(plant)


def test_no_transaction_of_a_long_hour_takes_more_readings_than_it_may(
    make_plant: Callable[..., Plant], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = make_plant(SITE)
    fill(plant)
    taken: list[int] = []
    for name in ("long_hour", "begun_segment"):
        real = __import__(f"gateway.{name}", fromlist=[name]).window_readings

        def look(*args: Any, real: Callable[..., list[Any]] = real) -> list[Any]:
            found = real(*args)
            taken.append(len(found))
            return found

        monkeypatch.setattr(f"gateway.{name}.window_readings", look)
    seal(plant)
    assert len(taken) > 20
    assert max(taken) == AT_ONCE


@pytest.mark.parametrize("asked", range(1, 60, 7))
async def test_gateway_that_is_told_to_stop_leaves_a_long_hour_after_the_transaction_under_way(
    whole: tuple[list[tuple[Any, ...]], list[bytes]], make_plant: Callable[..., Plant], asked: int
) -> None:
    plant = make_plant(SITE)
    fill(plant)
    plant.pipeline.readings_at_once = AT_ONCE
    calls, real = 0, plant.writer.call
    sealing: asyncio.Task[Any] = asyncio.create_task(asyncio.sleep(0))
    loop = asyncio.get_running_loop()

    def call(function: Callable[[Store], Any]) -> Any:
        nonlocal calls
        calls += 1
        if calls == asked:
            done = threading.Event()
            loop.call_soon_threadsafe(lambda: (sealing.cancel(), loop.call_soon(done.set)))
            assert done.wait(5)
        return real(function)

    plant.writer.call = call  # type: ignore[method-assign, assignment]
    sealing = asyncio.create_task(plant.pipeline.seal_due_async(timedelta(0)))
    with suppress(asyncio.CancelledError):
        await sealing
    await loop.shutdown_default_executor()
    assert calls <= asked + 12  # derived channels and minutes are short jobs of their own
    plant.writer.call = real  # type: ignore[method-assign]
    seal(plant)
    assert (said(plant), lines(plant)) == whole
    assert_sound(plant)


def test_long_hour_that_cannot_be_signed_begins_nothing_and_stops_no_other(make_plant: Callable[..., Plant]) -> None:
    plant = make_plant(SITE)
    fill(plant, hours=1)
    plant.writer.call(
        lambda store: store.execute("UPDATE reading SET value = ? WHERE channel = 'T'", ("1" + "0" * 70,))
    )
    time = START + HOUR + timedelta(minutes=5)
    fine = Reading("T", time, Decimal(20), "degC", Flag.NORMAL, time)
    plant.writer.call(lambda store: insert_readings(store, [plant.pipeline.arrival(fine)]))
    plant.clock.set(START + 2 * HOUR)
    seal(plant)
    assert plant.writer.call(begun) is None
    assert [one[0][0][11:13] for one in said(plant)] == ["01"]
    (problem,) = plant.writer.call(problems)
    assert "SCHEMA" in problem.en
    assert_sound(plant)


def test_damaged_edge_of_a_tree_that_is_ahead_of_its_segment_is_computed_again(
    make_plant: Callable[..., Plant], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = make_plant(SITE)
    fill(plant)
    cut_in_the_middle(plant, monkeypatch)
    plant.writer.call(lambda store: store.execute("UPDATE tree SET edge = zeroblob(length(edge))"))
    again = plant.reopen()
    seal(again)
    restarts = [
        one.payload["data"]
        for one in again.writer.call(lambda store: own_statements(store, "event"))
        if one.payload["type"] == "restart"
    ]
    assert [one["repaired"] for one in restarts] == [[{"what": "edge", "count": 1}]]
    assert_sound(again)
    again.writer.close()


def test_readings_lost_while_their_hour_is_sealed_are_never_signed_for(
    make_plant: Callable[..., Plant], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = make_plant(SITE)
    fill(plant)
    part = cut_in_the_middle(plant, monkeypatch)
    plant.writer.call(lambda store: store.execute("DELETE FROM reading WHERE seq = ?", (part.upto,)))
    with pytest.raises(IntegrityError, match="went missing"):
        seal(plant)
    assert plant.writer.call(begun) is not None


@pytest.mark.parametrize("text", ["{", "5", "null", '[{"id": 5}]', '[{"n": "x", "id": "T"}]'])
@pytest.mark.parametrize("column", ["entries", "baselines"])
def test_garbled_record_of_a_long_hour_ends_in_a_sentence(
    make_plant: Callable[..., Plant], monkeypatch: pytest.MonkeyPatch, column: str, text: str
) -> None:
    plant = make_plant(SITE)
    fill(plant)
    cut_in_the_middle(plant, monkeypatch)
    plant.writer.call(lambda store: store.execute(f"UPDATE sealing SET {column} = ?", (text,)))
    with pytest.raises(GarbledError, match="2026-03-01T00"):
        plant.reopen()


def test_new_epoch_opens_again_what_the_old_one_did_not_sign(
    make_plant: Callable[..., Plant], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = make_plant(SITE)
    stored = fill(plant)
    cut_in_the_middle(plant, monkeypatch)
    plant.writer.close()
    object.__setattr__(plant.identity, "epoch", 2)
    monkeypatch.setitem(Plant.reopen.__globals__, "adopt", lambda store, identity: None)
    again = plant.reopen()
    seal(again)
    of_first = [one for one in again.writer.call(own_statements) if one.payload["epoch"] == 1 and one.kind == "segment"]
    of_second = [
        one for one in again.writer.call(own_statements) if one.payload["epoch"] == 2 and one.kind == "segment"
    ]
    assert of_first == []
    assert of_second[0].payload["tree"]["start"] == 0
    assert of_second[-1].payload["tree"]["end"] > stored
    again.writer.close()
