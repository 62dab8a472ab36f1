"""The power goes at any moment: what a gateway had said was done is there, once, and it goes on by itself.

The states of the disk are worked out from the system calls of a real process (`fault_power.py`).
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import fault_power_work as plant
import pytest
from fault_power import Call, Disk, record, write_state

from gateway.clock import SteppedClock
from gateway.integrity import check_store
from gateway.problems import problems

ROUNDS = int(os.environ.get("CUNZHENG_FAULT_ROUNDS", "0"))
CUTS = 24
CUTS_A_ROUND = 20


def can_trace() -> bool:
    """Tell whether one process may watch another here."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not can_trace(), reason="needs strace, and the right to trace a process")


@dataclass
class Told:
    """What was said before the cut."""

    stored: int = 0
    size: int = 0
    statements: int = 0

    def hear(self, line: str) -> None:
        """Take in a line of the work."""
        what, *numbers = line.split()
        if what == "stored":
            self.stored = int(numbers[0])
        else:
            self.size, self.statements = int(numbers[0]), int(numbers[1])


@dataclass
class Outcome:
    """What the cuts did, for the person who reads the test's output."""

    cuts: int = 0
    repaired: int = 0
    unsaid: int = 0
    lost: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Call]]:
    """The calls of one life of a gateway."""
    return live(tmp_path_factory.mktemp("power"), "power:0")


def live(folder: Path, seed: str) -> tuple[Path, list[Call]]:
    below = folder / "plant"
    below.mkdir()
    calls = record([sys.executable, plant.__file__, str(below), seed], below, folder / "trace")
    (folder / "trace").unlink()
    return below, calls


def cut(calls: list[Call], below: Path, cuts: int, rng: random.Random, folder: Path, deaf_to: str = "") -> Outcome:
    """Cut the power at random calls; open what is left, and look."""
    outcome = Outcome()
    moments = sorted(rng.randint(0, len(calls)) for _ in range(cuts))
    disk, told, done = Disk(deaf_to), Told(), 0
    for moment in moments:
        for call in calls[done:moment]:
            if call.name == "say":
                for line in call.data.decode().splitlines():
                    told.hear(line)
            else:
                disk.play(call)
        done = moment
        state = folder / f"cut-{outcome.cuts}"
        state.mkdir()
        write_state(disk.after_cut(rng), str(below), state)
        said = look(state, told, outcome)
        outcome.lost += [f"call {moment}: {said}"] if said else []
        outcome.cuts += 1
        shutil.rmtree(state)
    return outcome


def look(folder: Path, told: Told, outcome: Outcome) -> str:
    """Start the gateway on what is left; return what is wrong."""
    clock = SteppedClock(plant.BEGIN.replace(hour=plant.HOURS + 1))
    try:
        pipeline = plant.open_pipeline(folder, clock)
    except Exception as error:
        return f"does not start: {error!r}"
    writer = pipeline.writer
    try:
        values = writer.call(
            lambda store: [row["value"] for row in store.rows("SELECT value FROM reading ORDER BY seq")]
        )
        size, statements = writer.call(plant.sizes)
        if [Decimal(value) for value in values] != list(range(len(values))):
            return "readings are missing or twice"
        if (len(values), size, statements) < (told.stored, told.size, told.statements) or len(values) < told.stored:
            return f"told {told}, found {len(values)} readings, a tree of {size}, {statements} statements"
        outcome.unsaid += len(values) > told.stored or size > told.size
        outcome.repaired += bool(writer.call(problems))
        faults = writer.call(lambda store: check_store(store, pipeline.raw, repair=False)).faults
        if faults:
            return f"check: {faults}"
        after = plant.add(pipeline, len(values), 300)
        sealed, _ = plant.seal(pipeline, clock)
        faults = writer.call(lambda store: check_store(store, pipeline.raw, repair=False)).faults
        return f"afterwards: sealed {sealed} of {after}, {faults}" if faults or sealed != after else ""
    finally:
        writer.close()


def test_power_cut_loses_nothing_that_was_said(
    lived: tuple[Path, list[Call]], tmp_path: Path, rng: random.Random
) -> None:
    below, calls = lived
    outcome = cut(calls, below, CUTS, rng, tmp_path)
    print(f"calls={len(calls)} {outcome}")
    assert outcome.lost == []
    assert outcome.cuts == CUTS


def test_disk_that_does_not_sync_is_noticed_by_this_test(
    lived: tuple[Path, list[Call]], tmp_path: Path, rng: random.Random
) -> None:
    below, calls = lived
    outcome = cut(calls, below, CUTS // 2, rng, tmp_path, deaf_to="-wal")
    print(f"calls={len(calls)} {outcome}")
    assert any("found" in one for one in outcome.lost), "readings that were told of are not missed"


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(max(1, ROUNDS // 10)))
def test_power_cuts_of_other_lives_lose_nothing(tmp_path: Path, seed: int) -> None:
    print(f"seed={seed}")
    below, calls = live(tmp_path, f"power:{seed + 1}")
    outcome = cut(calls, below, 10 * CUTS_A_ROUND, random.Random(f"cuts:{seed}"), tmp_path)
    print(f"calls={len(calls)} {outcome}")
    assert outcome.lost == []
