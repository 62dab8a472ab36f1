"""A wall clock that is wrong by hours, or steps while the gateway runs: order by sequence, nothing lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fault_audit import audit
from fault_injection import Injection, Setting, WrongClock
from fault_programs import wait_until
from fault_world import World

from evidence.encoding import parse_time
from evidence.statement import parse


class Clocks:
    """The wrong clocks of both sides."""

    def __init__(self, world: World) -> None:
        self.gateway_file, self.centre_file = world.folder / "gateway-clock", world.folder / "centre-clock"
        self.set(0)
        self.centre_file.write_text("0")
        self.gateway: list[Injection] = [
            WrongClock("gateway.clock:datetime", str(self.gateway_file)),
            Setting("gateway.service:CLOCK_CHECK_S", 0.1),
        ]
        self.centre: list[Injection] = [WrongClock("webapp.center:datetime", str(self.centre_file))]

    def set(self, hours: float) -> None:
        """Step the gateway's wall clock; written whole, so that no reader sees a part."""
        _replace(self.gateway_file, hours)

    def set_centre(self, hours: float) -> None:
        """Step the centre's."""
        _replace(self.centre_file, hours)


def _replace(path: Path, hours: float) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(str(hours * 3600))
    fresh.replace(path)


def events(world: World, type_: str) -> list[dict[str, Any]]:
    rows = world.gateway_rows("SELECT jws FROM statement WHERE kind = 'event' ORDER BY seq")
    payloads = [dict(parse(row[0]).payload) for row in rows]
    return [one for one in payloads if one["type"] == type_]


def test_request_of_a_fast_clock_is_refused_clearly_and_goes_through_later(world: World) -> None:
    (file,) = world.exports(1, 1)
    clocks = Clocks(world)
    world.start_centre()
    world.import_file(file)
    clocks.set(5)
    program = world.gateway("sync", faults=clocks.gateway)
    assert program.wait() == 2
    said = program.line()
    assert "REQUEST_EXPIRED" in said
    assert "set the gateway's clock" in said
    assert world.receipts() == {}
    clocks.set(0)
    assert world.gateway("sync", faults=clocks.gateway).wait() == 0
    audit(world, files=[file])


def test_clock_before_the_newest_known_time_asks_under_the_time_of_the_centre(world: World) -> None:
    (file,) = world.exports(1, 1)
    clocks = Clocks(world)
    world.start_centre()
    world.import_file(file)
    clocks.set(-5)
    program = world.gateway("sync", faults=clocks.gateway)
    assert program.wait() == 0, program.said()
    clocks.set(0)
    audit(world, files=[file])


@pytest.mark.parametrize("hours", [-7, 7])
def test_stepping_clock_is_declared_and_nothing_is_lost(world: World, hours: int) -> None:
    (file,) = world.exports(1, 1)
    clocks = Clocks(world)
    world.start_centre(faults=clocks.centre)
    world.import_file(file)
    service = world.gateway("run", faults=clocks.gateway)
    wait_until(lambda: world.waiting() == 0, "an empty queue")
    clocks.set(hours)
    steps = wait_until(lambda: events(world, "clock-step"), "a clock-step event")
    assert abs(steps[0]["data"]["step_ms"] - hours * 3_600_000) < 2_000
    before, after = parse_time(steps[0]["data"]["before"]), parse_time(steps[0]["data"]["after"])
    assert abs((after - before).total_seconds() - hours * 3600) < 2
    clocks.set(0)
    wait_until(lambda: len(events(world, "clock-step")) == 2, "the step back")
    # What was signed in the future is logged when that time has come.
    clocks.set(max(hours, 0))
    clocks.set_centre(max(hours, 0))
    wait_until(lambda: world.waiting() == 0, "an empty queue")
    assert service.terminate() == 0
    assert world.gateway("sync", faults=clocks.gateway).wait() == 0
    audit(world, files=[file])


def test_statement_of_the_future_waits_and_says_so(world: World) -> None:
    (file,) = world.exports(1, 1)
    clocks = Clocks(world)
    world.start_centre(faults=clocks.centre)
    clocks.set(3)
    assert world.start_import(file, faults=clocks.gateway).wait() == 0
    clocks.set(0)
    program = world.gateway("sync", faults=clocks.gateway)
    assert program.wait() == 1
    assert "not accepted" in program.line()
    details = {row[0].split(":")[0] for row in world.gateway_rows("SELECT detail FROM outbox WHERE detail != ''")}
    assert "TIME_FUTURE" in details
    clocks.set(3.5)
    clocks.set_centre(3.5)
    assert world.gateway("sync", faults=clocks.gateway).wait() == 0
    audit(world, files=[file])


@pytest.mark.parametrize("hours", [-24 * 365 * 57, 24 * 365])
def test_clock_that_cannot_be_right_at_start_spoils_nothing(world: World, hours: int) -> None:
    (file,) = world.exports(1, 1)
    clocks = Clocks(world)
    world.start_centre()
    world.import_file(file)
    real = datetime.now(UTC)
    clocks.set(hours)
    service = world.gateway("run", faults=clocks.gateway)
    # The centre tells the time, so what is signed meanwhile arrives; the readings stay marked.
    wait_until(lambda: world.waiting() == 0 and len(world.receipts()) > 3, "an empty queue")
    marked = "SELECT count(*), sum(flag = 'N'), sum(reason LIKE 'time uncertain%') FROM reading WHERE imported = 0"
    wait_until(lambda: world.gateway_rows(marked)[0][0] > 0, "readings")
    assert world.gateway_rows("SELECT count(*) FROM problem WHERE key = 'clock'") == [(1,)]
    (told,) = events(world, "clock-step")
    assert told["data"]["trusted"] is False
    clocks.set(0)
    wait_until(lambda: len(events(world, "clock-step")) == 2, "the clock to be trusted again")
    (count, normal, uncertain), again = world.gateway_rows(marked)[0], events(world, "clock-step")[1]
    assert (normal, uncertain > 0, again["data"]["trusted"]) == (0, True, True)
    print(f"readings={count} uncertain={uncertain}")
    wait_until(lambda: world.gateway_rows("SELECT count(*) FROM problem WHERE key = 'clock'") == [(0,)], "no problem")
    wait_until(lambda: world.waiting() == 0, "an empty queue")
    assert service.terminate() == 0
    signed = [parse_time(row[0]) for row in world.gateway_rows("SELECT t FROM statement")]
    assert min(signed) > real - timedelta(days=1)
    assert max(signed) < datetime.now(UTC) + timedelta(seconds=5)
    world.sync()
    audit(world, files=[file])
