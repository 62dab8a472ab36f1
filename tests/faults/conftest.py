"""Worlds to break: a centre and a gateway each test may kill."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_world import World, build_template


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A centre with a plant and two enrolled gateways; nothing runs."""
    folder = tmp_path_factory.mktemp("faults")
    build_template(folder)
    return folder


@pytest.fixture
def make_world(template: Path, tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Make copies of the template, each on its own ports."""
    made: list[World] = []

    def make() -> World:
        folder = tmp_path / f"world-{len(made)}"
        shutil.copytree(template, folder, ignore=shutil.ignore_patterns("logs"))
        made.append(World(folder))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def world(make_world: Callable[[], World]) -> World:
    return make_world()
