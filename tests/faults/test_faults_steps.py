"""A fault at each named step of a hand-off: one scenario, the fault is the parameter.

Import and sync with the fault, then again without it: the result is that of an undisturbed run.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fault_audit import audit
from fault_injection import Deed, Fault, FileLimit, Injection, Setting
from fault_programs import Program, wait_until
from fault_world import World, digest, done, is_answering

from gateway.errors import StoreError
from gateway.rawtile import write_file

KILLED = -signal.SIGKILL


def long(*values: object) -> Any:
    """Mark a parameter that only `make faults` tries."""
    return pytest.param(*values, marks=pytest.mark.faults)


IMPORT_FAULTS = (
    long(Fault("gateway.pipeline:Pipeline.open", "die after")),  # opened, nothing done
    Fault("gateway.pipeline:Pipeline.seal_due", "die before"),  # readings stored, nothing sealed
    long(Fault("gateway.sealer:ReadingTree.append", "die after", 100)),  # in the middle of a tile
    Fault("os:write", "die halfway"),  # torn raw tile
    long(Fault("os:fsync", "die before")),  # raw tile not on the disk
    Fault("gateway.rawtile:_write_durably", "die after"),  # raw tile renamed, state not committed
    long(Fault("gateway.rawtile:_write_durably", "die after", 2)),
    long(Fault("gateway.sealer:append", "die after", 30)),  # statements signed, not committed
    long(Fault("gateway.tree:ReadingTree.save", "die before")),
    Fault("gateway.tree:ReadingTree.save", "die after", 2),  # first hours committed, the others not
)
SYNC_FAULTS = (
    long(Fault("gateway.uplink:Uplink.post", "die before")),
    Fault("gateway.uplink:Uplink.post", "die after"),  # logged, the answer never read
    long(Fault("gateway.uplink:Uplink.post", "die after", 3)),
    long(Fault("gateway.syncing:Syncing._watch_log", "die before")),  # receipts good, log not yet watched
    Fault("gateway.syncing:Syncing._keep", "die before"),  # answered, no receipt stored
    Fault("gateway.chain:store_receipt", "die after", 30),  # in the middle of storing receipts
    long(Fault("gateway.syncing:Syncing._pull", "die before")),
)


def in_request(target: str, deed: Deed, nth: int = 1) -> Fault:
    """A fault while the centre answers, not while it starts."""
    return Fault(target, deed, nth, in_request=True)


CENTRE_FAULTS = (
    long(in_request("webapp.store_log:take_turn", "die after")),
    long(in_request("webapp.log:Log._write_tiles", "die before", 2)),
    long(in_request("webapp.tile_files:write_durably", "die after", 1)),  # some tiles written
    in_request("webapp.log:Log._write_tiles", "die after", 2),  # tiles written, nothing signed
    in_request("webapp.log:Log._sign", "die after"),  # signed, not committed
    long(in_request("webapp.store_log:set_size", "die after", 2)),
    in_request("webapp.log:Log.publish", "die before", 1),  # committed, not published
    in_request("webapp.log:Log.publish", "die alone before", 2),  # the same, other workers go on
    in_request("webapp.submission:answers", "die before"),  # committed and published, not answered
    long(in_request("webapp.submission:answers", "die alone after", 2)),
    long(in_request("webapp.tile_files:write_durably", "no space", 1)),
    long(in_request("webapp.log:write_durably", "no space", 1)),  # the checkpoint cannot be published
    long(in_request("os:fsync", "no space", 2)),
)


@pytest.fixture(scope="module")
def files_and_body(template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The body of the undisturbed run."""
    folder = tmp_path_factory.mktemp("plain") / "world"
    shutil.copytree(template, folder, ignore=shutil.ignore_patterns("logs"))
    world = World(folder)
    try:
        (file,) = world.exports(1, 3)
        world.start_centre()
        world.import_file(file)
        world.sync()
        return digest(world.body())
    finally:
        world.close()


def finish(world: World, file: Path, expected: str) -> None:
    """Go on without the fault until nothing waits; check everything."""
    acknowledged = world.receipts()
    if world.centre is None or not world.centre.is_running:
        world.start_centre()
    world.import_file(file)
    world.sync()
    audit(world, files=[file], acknowledged=acknowledged)
    assert digest(world.body()) == expected


@pytest.mark.parametrize("fault", IMPORT_FAULTS, ids=str)
def test_gateway_that_dies_at_a_step_of_an_import_goes_on(world: World, files_and_body: str, fault: Fault) -> None:
    (file,) = world.exports(1, 3)
    assert world.start_import(file, faults=[fault]).wait() == KILLED
    assert world.programs.happened() == 1
    finish(world, file, files_and_body)


@pytest.mark.parametrize("fault", SYNC_FAULTS, ids=str)
def test_gateway_that_dies_at_a_step_of_a_sync_goes_on(world: World, files_and_body: str, fault: Fault) -> None:
    (file,) = world.exports(1, 3)
    world.start_centre()
    world.import_file(file)
    assert world.gateway("sync", faults=[fault]).wait() == KILLED
    assert world.programs.happened() == 1
    finish(world, file, files_and_body)


@pytest.mark.parametrize("fault", CENTRE_FAULTS, ids=str)
def test_centre_that_fails_at_a_step_goes_on(world: World, files_and_body: str, fault: Fault) -> None:
    (file,) = world.exports(1, 3)
    world.import_file(file)
    world.start_centre(faults=[fault])
    program = world.gateway("sync")
    code = program.wait()
    assert world.programs.happened() >= 1
    if code:
        assert (code, "history" in program.line()) == (2, False), program.said()
    world.kill_centre()
    finish(world, file, files_and_body)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("os:fsync", "no space"),
        long(Fault("os:write", "no space")),
        long(Fault("gateway.rawtile:_write_durably", "no space", 2)),
        FileLimit(300_000),
        long(FileLimit(50_000)),
    ],
    ids=str,
)
def test_full_disk_stops_an_import_in_one_line_and_loses_nothing(
    world: World, files_and_body: str, fault: Injection
) -> None:
    (file,) = world.exports(1, 3)
    program = world.start_import(file, faults=[fault])
    assert program.wait() == 2, program.said()
    said = program.line()
    assert "disk" in said or "space" in said
    finish(world, file, files_and_body)


def test_full_disk_while_a_file_of_the_centre_is_kept_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        write_file(tmp_path / "content", b"{}")
    assert not (tmp_path / "content").exists()


@pytest.mark.parametrize("what", ["import", long("sync")])
def test_database_locked_for_seconds_is_waited_for(world: World, files_and_body: str, what: str) -> None:
    (file,) = world.exports(1, 3)
    world.start_centre()
    if what == "sync":
        world.import_file(file)
    with closing(sqlite3.connect(world.folder / "gateway" / "gateway.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        program = world.start_import(file) if what == "import" else world.gateway("sync")
        held_until = time.monotonic() + 2
        wait_until(lambda: time.monotonic() > held_until, "two seconds")
        assert program.is_running
        other.execute("ROLLBACK")
    done(program)
    finish(world, file, files_and_body)


def test_database_locked_for_ever_is_one_line(world: World, files_and_body: str) -> None:
    (file,) = world.exports(1, 3)
    with closing(sqlite3.connect(world.folder / "gateway" / "gateway.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        program = world.start_import(file, faults=[Setting("gateway.store:BUSY_TIMEOUT_S", 0.2)])
        assert program.wait() == 2
        other.execute("ROLLBACK")
    assert "locked by another process" in program.line()
    finish(world, file, files_and_body)


@pytest.mark.parametrize("harm", ["half", *map(long, ("empty", "garbled", "gone"))])
def test_damaged_last_raw_tile_is_found_and_repaired_from_the_rows(
    world: World, files_and_body: str, harm: str
) -> None:
    (file,) = world.exports(1, 3)
    world.import_file(file)
    tile = sorted((world.folder / "gateway" / "raw").rglob("*.json.gz"))[-1]
    data = tile.read_bytes()
    if harm == "gone":
        tile.unlink()
    else:
        tile.write_bytes({"empty": b"", "half": data[: len(data) // 2], "garbled": bytes(len(data))}[harm])
    # To look repairs nothing; a command that goes on with the tree does, and writes it down.
    assert world.gateway("check").wait() == 1
    assert world.gateway("close").wait() == 0
    assert tile.read_bytes() == data
    checked = done(world.gateway("check"))
    assert (checked["repaired"], checked["ok"]) == (0, True)
    finish(world, file, files_and_body)


@pytest.mark.parametrize("at_commit", [2, *map(long, (1, 3))])
def test_files_as_a_power_cut_leaves_them_open_and_go_on(world: World, files_and_body: str, at_commit: int) -> None:
    """Database and write-ahead log are copied while the process stands still in the middle of a transaction."""
    (file,) = world.exports(1, 3)
    program = world.start_import(file, faults=[Fault("gateway.tree:ReadingTree.save", "die after", 2)])
    stopped = _stop_when(program, lambda: len(_tiles(world)) >= at_commit)
    copy = world.folder / "gateway-copy"
    shutil.copytree(world.folder / "gateway", copy)
    if stopped:
        program.signal(signal.SIGCONT)
    program.kill()
    shutil.rmtree(world.folder / "gateway")
    copy.rename(world.folder / "gateway")
    finish(world, file, files_and_body)


def test_restored_backup_of_a_gateway_is_found_out_and_forks_nothing(world: World) -> None:
    first, second = world.exports(2, 1)
    world.start_centre()
    world.import_file(first)
    backup = world.folder / "backup"
    shutil.copytree(world.folder / "gateway", backup)
    world.sync()
    world.import_file(second)
    world.sync()
    log = world.log()
    shutil.rmtree(world.folder / "gateway")
    backup.rename(world.folder / "gateway")
    world.import_file(second)
    program = world.gateway("sync")
    assert program.wait() == 1
    assert "not accepted" in program.line()
    problems = done(world.gateway("status"))["problems"]
    assert any("FORK" in problem["en"] for problem in problems)
    assert world.log() == log
    assert is_answering(world.url)


def _tiles(world: World) -> list[Path]:
    return list((world.folder / "gateway" / "raw").rglob("*.json.gz"))


def _stop_when(program: Program, ask: Callable[[], bool]) -> bool:
    while program.is_running:
        if ask():
            return program.signal(signal.SIGSTOP)
    return False
