"""Fixtures of the witness's tests: a log, a witness in this process, and real ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from witness_world import LOG, NAME, NOW, ORIGIN, WITNESS, WITNESS_KEY, Desk, Running, TestLog, run_command

from evidence.note import NoteKey
from witness.judging import Witness
from witness.memory import Memory


@pytest.fixture
def log() -> TestLog:
    return TestLog()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    memory = Memory.make(tmp_path / "memory.sqlite", WITNESS.text)
    kept: dict[str, bytes] = {}
    yield Desk(Witness(NAME, WITNESS_KEY, memory, {ORIGIN: (LOG,)}, lambda: NOW, kept.__setitem__), memory, kept)
    memory.close()


@pytest.fixture
def make_running(tmp_path: Path) -> Iterator[Callable[[], Running]]:
    made: list[Running] = []

    def make() -> Running:
        folder = tmp_path / f"witness-{len(made)}"
        folder.mkdir()
        config = folder / "witness.toml"
        done = run_command("init", "-c", str(config), "--name", NAME, "--log", LOG.text, "--port", "0", "--json")
        assert done.returncode == 0, done.stderr
        running = Running(folder, config, NoteKey.parse(json.loads(done.stdout)["vkey"]))
        running.start()
        made.append(running)
        return running

    yield make
    for running in made:
        if running.process is not None:
            running.stop()
