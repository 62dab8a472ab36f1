"""kill -9 of gateway and centre at random moments of import and sync: nothing missing, nothing twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fault_audit import audit
from fault_programs import Program, wait_until
from fault_world import World, digest, is_answering

ROUNDS = int(os.environ.get("CUNZHENG_FAULT_ROUNDS", "50"))


def undisturbed(world: World, files: list[Path]) -> str:
    """Do the same work without a fault; return the digest of the month's body."""
    world.start_centre()
    for file in files:
        world.import_file(file)
        world.sync()
    audit(world, files=files)
    return digest(world.body())


class Killer:
    """Kills processes of a world at random moments and brings the centre back."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self.world, self._rng = world, rng
        self.kills = 0
        self.killed: dict[str, int] = {}
        self.lasts = {"import": 0.4, "sync": 0.4}
        self.acknowledged: dict[str, str] = {}

    def attempt(self, name: str, start: Callable[[], Program], *, kill: bool) -> bool:
        """Run a command, kill something meanwhile if told so; tell whether the command came to its good end."""
        began = time.monotonic()
        program = start()
        if kill:
            self._kill_something(program, began + self._rng.uniform(0.0, 1.2 * self.lasts[name]))
        code = program.wait()
        if code == 0 and not kill:
            self.lasts[name] = time.monotonic() - began
        assert code in (0, 1, 2, -signal.SIGKILL), program.said()
        assert "Traceback" not in program.said(), program.said()
        if code in (1, 2):
            program.line()
        self.acknowledged.update(self.world.receipts())
        self._revive()
        return code == 0

    def _kill_something(self, program: Program, moment: float) -> None:
        while program.is_running and time.monotonic() < moment:
            time.sleep(0.002)
        if not program.is_running:
            return
        victim = self._rng.choice(("gateway", "gateway", "centre", "worker", "both"))
        centre = self.world.centre
        assert centre is not None
        if victim in ("gateway", "both"):
            program.kill()
        if victim in ("centre", "both"):
            centre.kill()
        if victim == "worker":
            workers = centre.workers()
            if not workers:
                return
            with suppress(ProcessLookupError):
                os.kill(self._rng.choice(workers), signal.SIGKILL)
        self.kills += 1
        self.killed[victim] = self.killed.get(victim, 0) + 1

    def _revive(self) -> None:
        centre = self.world.centre
        if centre is None or not centre.is_running:
            self.world.start_centre(wait=self._rng.random() < 0.7)


def work(world: World, files: list[Path]) -> Iterator[tuple[str, Callable[[], Program]]]:
    """List the commands of a plant's day, again and again: the same file twice is nothing new."""
    while True:
        for file in files:
            yield "import", lambda file=file: world.start_import(file)  # type: ignore[misc]
            yield "sync", lambda: world.gateway("sync")


def kill_and_compare(make_world: Callable[[], World], rng: random.Random, kills: int, days: int) -> Killer:
    plain, world = make_world(), make_world()
    files = plain.exports(3, days)
    expected = undisturbed(plain, files)
    plain.close()
    files = world.exports(3, days)
    killer = Killer(world, rng)
    world.start_centre()
    steps = work(world, files)
    name, start = next(steps)
    while killer.kills < kills:
        if killer.attempt(name, start, kill=rng.random() < 0.9):
            name, start = next(steps)
    wait_until(lambda: is_answering(world.url), "the centre")
    for file in files:
        world.import_file(file)
    world.sync()
    print(f"kills={killer.kills} {killer.killed} acknowledged={len(killer.acknowledged)} log={len(world.log())}")
    audit(world, files=files, acknowledged=killer.acknowledged)
    assert digest(world.body()) == expected
    return killer


def test_fifty_kills_of_import_and_sync_change_nothing(make_world: Callable[[], World], rng: random.Random) -> None:
    killer = kill_and_compare(make_world, rng, 50, days=3)
    assert set(killer.killed) == {"gateway", "centre", "worker", "both"}


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(max(1, ROUNDS // 50)))
def test_kills_with_other_seeds_and_longer_files_change_nothing(make_world: Callable[[], World], seed: int) -> None:
    print(f"seed={seed}")
    kill_and_compare(make_world, random.Random(f"kills:{seed}"), 60, days=10)
