"""Answers lost, requests sent twice, cut and late: everything arrives once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fault_audit import audit
from fault_programs import wait_until
from fault_proxy import Deed, Proxy
from fault_world import World, done

STATEMENTS, PULL, CHECKPOINT = "/api/v1/statements", "/api/v1/pull", "/log/checkpoint"


@pytest.fixture
def proxy(world: World) -> Iterator[Proxy]:
    made = Proxy(world.port)
    world.write_settings(centre_url=made.url)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("deed", "path", "times", "rounds"),
    [
        ("lose answer", STATEMENTS, 3, 4),
        pytest.param("lose answer", PULL, 1, 2, marks=pytest.mark.faults),
        pytest.param("lose answer", CHECKPOINT, 2, 3, marks=pytest.mark.faults),
        pytest.param("cut request", STATEMENTS, 2, 3, marks=pytest.mark.faults),
        ("cut answer", STATEMENTS, 2, 3),
        ("send twice", "/api/", 1_000, 1),
        pytest.param("delay", "/", 1_000, 1, marks=pytest.mark.faults),
    ],
)
def test_network_that_harms_requests_only_delays(
    world: World, proxy: Proxy, deed: Deed, path: str, times: int, rounds: int
) -> None:
    (file,) = world.exports(1, 2)
    world.start_centre()
    world.import_file(file)
    proxy.deed, proxy.path, proxy.times = deed, path, times
    codes = []
    while len(codes) < rounds:
        program = world.gateway("sync")
        codes.append(program.wait())
        if codes[-1] == 0:
            break
        assert "cannot reach the centre" in program.line()
    assert codes == [2] * (rounds - 1) + [0]
    assert proxy.done >= min(times, 1)
    assert set(proxy.replayed) <= {401}, "a request that was sent twice was taken twice"
    assert bool(proxy.replayed) == (deed == "send twice")
    audit(world, files=[file])


def test_running_gateway_gets_everything_through_a_bad_network(world: World, proxy: Proxy) -> None:
    (file,) = world.exports(1, 2)
    world.start_centre()
    world.import_file(file)
    proxy.deed, proxy.path, proxy.times = "lose answer", STATEMENTS, 4
    service = world.gateway("run")
    wait_until(lambda: world.waiting() == 0, "an empty queue")
    assert proxy.done == 4
    assert service.terminate() == 0
    world.sync()
    audit(world, files=[file])


@pytest.mark.faults
def test_gateway_and_centre_killed_behind_a_bad_network(world: World, proxy: Proxy) -> None:
    files = world.exports(4, 1)
    deeds: tuple[Deed, ...] = ("lose answer", "cut answer", "send twice", "cut request")
    for number, (file, deed) in enumerate(zip(files, deeds, strict=True)):
        world.start_centre()
        world.import_file(file)
        proxy.deed, proxy.path, proxy.times, proxy.done = deed, STATEMENTS, 2, 0
        service = world.gateway("run")
        wait_until(lambda: proxy.done >= 1, "a harmed request")
        (service.kill if number % 2 else service.terminate)()
        world.kill_centre()
    proxy.deed = "pass"
    world.start_centre()
    world.sync()
    audit(world, files=files)


def test_enrolment_whose_answer_was_lost_can_be_repeated(make_world: Callable[[], World]) -> None:
    world = make_world()
    proxy = Proxy(world.port)
    try:
        world.write_settings(centre_url=proxy.url)
        world.start_centre()
        world.sync()
        invited = done(world.programs.start("center", "gateway", "invite", "P-4201-0001", "GW-0001", "--json"))
        proxy.deed, proxy.path, proxy.times = "lose answer", "/api/v1/enrol/finish", 1
        first = world.gateway("enrol", invited["code"], "--again")
        assert first.wait() == 2
        assert "cannot reach the centre" in first.line()
        again = done(world.gateway("enrol", invited["code"], "--again"))
        assert again["epoch"] == 2
        world.sync()
    finally:
        proxy.close()
