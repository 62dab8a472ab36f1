"""Worlds to break: a centre and a gateway each test may kill."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_world import World, build_template

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long forms to `make faults`, which says how many rounds."""
    if "CUNZHENG_FAULT_ROUNDS" in os.environ:
        return
    long = [item for item in items if item.path.parent == HERE and item.get_closest_marker("faults")]
    config.hook.pytest_deselected(items=long)
    items[:] = [item for item in items if item not in long]


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
