"""Fixtures of the verification tests."""

import pytest
from evidence_world import World


@pytest.fixture
def world() -> World:
    """A world in which four hours were read and nothing is closed yet."""
    world = World()
    world.run_hours()
    return world


@pytest.fixture
def approved(world: World) -> World:
    """A world with an approved month."""
    world.approve(world.close_month())
    return world
