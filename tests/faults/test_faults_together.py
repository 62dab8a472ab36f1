"""Several processes at once over the same files: one chain, one log, nothing twice."""

from __future__ import annotations

import pytest
from fault_audit import audit
from fault_injection import Pause, Setting
from fault_programs import Program, wait_until
from fault_world import SECOND_GATEWAY, World, done, is_answering

from cunzheng.demo.processes import free_port


def test_imports_syncs_and_a_running_gateway_share_one_chain(world: World) -> None:
    files = world.exports(3, 2)
    world.start_centre()
    service = world.gateway("run")
    programs = [world.start_import(file) for file in files]
    programs += [world.gateway("sync"), world.gateway("sync"), world.gateway("close")]
    codes = [program.wait() for program in programs]
    assert codes == [0] * 6, [program.said() for program in programs]
    wait_until(lambda: world.waiting() == 0, "an empty queue")
    assert service.terminate() == 0
    world.sync()
    audit(world, files=files)
    # The site's broker is nowhere, which a service that runs long enough says; nothing else is wrong.
    assert {problem["key"] for problem in done(world.gateway("status"))["problems"]} <= {"mqtt"}


def test_the_same_import_twice_at_once_stores_it_once(world: World) -> None:
    (file,) = world.exports(1, 3)
    world.start_centre()
    both = [world.start_import(file), world.start_import(file)]
    facts = [done(program) for program in both]
    assert sorted(one["stored"] for one in facts) == [0, 3 * 96 * 2]
    world.sync()
    audit(world, files=[file])


@pytest.mark.faults
def test_many_syncs_at_once_keep_the_newest_anchor(world: World) -> None:
    """Each verifies its own head of the log; the oldest of them must not win."""
    files = world.exports(3, 2)
    world.start_centre()
    for file in files:
        world.import_file(file)
        programs = [world.gateway("sync") for _ in range(4)]
        for program in programs:
            assert program.wait() == 0, program.said()
        sizes = [int(row[0]) for row in world.centre_rows("SELECT size FROM log_head")]
        assert done(world.gateway("status"))["anchor"]["size"] <= sizes[0]
    audit(world, files=files)


def test_two_centres_and_two_gateways_append_to_one_log(world: World) -> None:
    files = world.exports(2, 3)
    world.start_centre()
    other_port = free_port()
    world.write("center2.toml", (world.folder / "center.toml").read_text().replace(str(world.port), str(other_port)))
    second = world.programs.start("center", "run", "-c", "center2.toml")
    wait_until(lambda: is_answering(f"http://127.0.0.1:{other_port}"), "the second centre")
    text = (world.folder / "gateway2.toml").read_text()
    world.write("gateway2.toml", text.replace(str(world.port), str(other_port)))
    for file, who in zip(files, ("gateway", "gateway2"), strict=True):
        world.import_file(file, who)
    programs = [world.gateway("sync", who=who) for who in ("gateway", "gateway2") * 2]
    for program in programs:
        assert program.wait() == 0, program.said()
    for who in ("gateway", "gateway2"):
        world.sync(who)
        audit(world, who=who)
    assert SECOND_GATEWAY in {row[0] for row in world.centre_rows("SELECT DISTINCT gw FROM log_entry")}
    second.kill()


@pytest.mark.parametrize("wait_s", [0.05, pytest.param(30.0, marks=pytest.mark.faults)])
def test_writers_that_do_not_wait_are_refused_not_lost(world: World, wait_s: float) -> None:
    files = world.exports(3, 1)
    patience = Setting("gateway.store:BUSY_TIMEOUT_S", wait_s)
    programs: list[Program] = [world.start_import(file, faults=[patience]) for file in files]
    codes = [program.wait() for program in programs]
    assert set(codes) <= ({0, 2} if wait_s < 1 else {0})
    for code, program in zip(codes, programs, strict=True):
        if code:
            assert "locked by another process" in program.line()
    world.start_centre()
    for file in files:
        world.import_file(file)
    world.sync()
    audit(world, files=files)


def test_slow_sync_does_not_set_the_anchor_back(world: World) -> None:
    """One verified its head of the log, another got further meanwhile: the chain must never fall back."""
    first, second = world.exports(2, 1)
    world.start_centre()
    world.import_file(first)
    go_on = world.folder / "go-on"
    slow = world.gateway("sync", faults=[Pause("gateway.syncing:verified_head", str(go_on))])
    wait_until(lambda: world.programs.happened(), "a verified head")
    world.import_file(second)
    world.sync()
    newest = done(world.gateway("status"))["anchor"]["size"]
    go_on.touch()
    done(slow)
    assert done(world.gateway("status"))["anchor"]["size"] >= newest
    # A changed site declares its channel anew: the next statement carries the anchor.
    site = world.folder / "site.toml"
    site.write_text(
        site.read_text().replace('high = "2000000"', 'high = "1500000"').replace("poll_s = 0.2", "poll_s = 1")
    )
    done(world.gateway("close"))
    world.sync()
    audit(world, files=[first, second])


def test_receipts_are_never_ahead_of_the_published_checkpoint(world: World) -> None:
    """A worker stands still after its commit; what another worker answers must not look like a log that shrank."""
    (file,) = world.exports(1, 1)
    go_on = world.folder / "go-on"
    world.start_centre(faults=[Pause("webapp.log:Log.publish", str(go_on), before=True, in_request=True)])
    world.import_file(file)
    waits = world.gateway("sync")
    wait_until(lambda: world.programs.happened(), "a commit that is not published")
    waits.kill()
    program = world.gateway("sync")
    code = program.wait()
    go_on.touch()
    assert code == 0, program.said()
    audit(world, files=[file])
