"""What comes from the centre: nothing that fails once is lost, and nothing that fails stays unseen."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import START, Plant
from plant_life import RESPONSIBLE, People, measure, months
from small_centre import SmallCentre

from gateway.problems import problems
from gateway.pulled_store import pulled_statements
from gateway.syncing import Syncing


@pytest.fixture
def plant(enrolled: Plant) -> Plant:
    return enrolled


def problem_keys(plant: Plant) -> list[str]:
    return [one.key.partition(":")[0] for one in plant.writer.call(problems)]


def test_declaration_whose_key_becomes_known_later_counts_then(
    plant: Plant, centre: SmallCentre, syncing: Syncing, people: People
) -> None:
    measure(plant, 5)
    syncing.round()
    entry = centre.keys.pop(RESPONSIBLE.kid)
    people.declare()
    for _ in range(2):
        assert syncing.round().months == 0
        assert problem_keys(plant) == ["pulled"]
    centre.keys[RESPONSIBLE.kid] = entry
    result = syncing.round()
    assert (result.pulled, result.months) == (1, 1)
    assert problem_keys(plant) == []


def test_logged_statement_is_not_judged_by_the_gateways_own_slow_clock(
    plant: Plant, syncing: Syncing, people: People
) -> None:
    measure(plant, 5)
    syncing.round()
    plant.clock.advance(timedelta(days=2))
    people.declare()
    plant.clock.set(START + timedelta(hours=5))
    assert syncing.round().months == 1
    assert (problem_keys(plant), len(months(plant))) == ([], 1)
    assert len(plant.writer.call(lambda store: pulled_statements(store, "declare"))) == 2


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"{}")])
def test_content_whose_file_was_lost_or_damaged_is_fetched_again(
    plant: Plant, centre: SmallCentre, syncing: Syncing, people: People, damage: Callable[[Path], object]
) -> None:
    measure(plant, 5)
    syncing.round()
    entry = centre.keys.pop(RESPONSIBLE.kid)
    people.declare()
    syncing.round()
    files = [path for path in (plant.folder / "content").rglob("*") if path.is_file()]
    assert len(files) == 3
    for path in files:
        damage(path)
    centre.keys[RESPONSIBLE.kid] = entry
    for _ in range(4):
        syncing.round()
    assert (len(months(plant)), problem_keys(plant)) == (1, [])


def test_content_the_centre_does_not_give_is_a_problem_until_it_does(
    plant: Plant, centre: SmallCentre, syncing: Syncing, people: People
) -> None:
    measure(plant, 5)
    syncing.round()
    people.declare()
    kept, centre.contents = centre.contents, {}
    assert syncing.round().months == 0
    assert problem_keys(plant) == ["content"] * 3
    centre.contents = dict.fromkeys(kept, b"something else")
    assert syncing.round().months == 0
    assert problem_keys(plant) == ["content"] * 3
    centre.contents = kept
    assert syncing.round().months == 1
    assert problem_keys(plant) == []
