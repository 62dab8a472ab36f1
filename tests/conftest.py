"""What all tests share: a fixed, printed seed and a reproducible Hypothesis.

Each package's own fixtures live in a conftest.py beside its tests.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

SEED = int(os.environ.get("CUNZHENG_SEED", "20260301"))
ROOT = Path(__file__).resolve().parent.parent

settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=True, database=None)
settings.register_profile("search", deadline=None, print_blob=True, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_report_header() -> str:
    """Print what a person needs to run the same tests again."""
    return f"cunzheng: CUNZHENG_SEED={SEED} (random choices in tests; their order has its own seed, above)"


SLOW = ("journey", "faults", "browser")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep the tests of a file in one worker, because they share what its fixtures set up."""
    item.add_marker(pytest.mark.xdist_group(_group(item)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long forms to `make faults`, which says how many rounds; let the slow tests begin, else at random."""
    if "CUNZHENG_FAULT_ROUNDS" not in os.environ:
        long = [item for item in items if _rank(item) < len(SLOW) and item.get_closest_marker("faults")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    items.sort(key=_rank)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Do not trace, set-up included, tests that walk again through what others cover: it takes four times as long.

    What the slow folders test runs in processes of its own anyway.
    """
    plugin = item.config.pluginmanager.get_plugin("_cov")
    controller = getattr(plugin, "cov_controller", None)
    is_traced = item.path.parent.name not in SLOW and item.get_closest_marker("no_cover") is None
    if controller is None or is_traced:
        return (yield)
    controller.pause()
    try:
        return (yield)
    finally:
        controller.resume()


def _group(item: pytest.Item) -> str:
    fixtures = getattr(item, "fixturenames", ())
    for chain in ("metered", "imported"):
        if chain in fixtures:
            return f"journey-{chain}"
    return item.path.stem


def _rank(item: pytest.Item) -> int:
    folder = item.path.parent.name
    return SLOW.index(folder) if folder in SLOW else len(SLOW)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random choices of one test: the same in every run, in any order and any number of workers."""
    return random.Random(f"{SEED}:{request.node.nodeid.partition('@')[0]}")


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return ROOT


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are English unless a test says otherwise, whatever the machine's locale."""
    monkeypatch.setenv("CUNZHENG_LANG", "en")
