"""What all tests share: a fixed, printed seed and a reproducible Hypothesis.

Each package's own fixtures live in a conftest.py beside its tests.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

SEED = int(os.environ.get("CUNZHENG_SEED", "20260301"))
ROOT = Path(__file__).resolve().parent.parent

settings.register_profile("fixed", derandomize=True, deadline=None, print_blob=True, database=None)
settings.register_profile("search", deadline=None, print_blob=True, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


def pytest_report_header() -> str:
    """Print what a person needs to run the same tests again."""
    return f"cunzheng: CUNZHENG_SEED={SEED} (random choices in tests; their order has its own seed, above)"


SLOW = ("journey", "faults", "browser")


IMPORTED = frozenset({"test_journey_bundle.py", "test_journey_six_months.py"})
"""Files that walk through the same imported half-year, which takes minutes to set up."""


class ByWorld(LoadFileScheduling):
    """Gives the tests of a file to one worker, because they share what its fixtures set up."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "imported half-year" if Path(file).name in IMPORTED else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByWorld:
    """Tell xdist how to spread the tests (its own groups go unseen with pytest 9.2)."""
    return ByWorld(config, log)


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


def _rank(item: pytest.Item) -> int:
    folder = item.path.parent.name
    return SLOW.index(folder) if folder in SLOW else len(SLOW)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random choices of one test: the same in every run, in any order and any number of workers."""
    return random.Random(f"{SEED}:{request.node.nodeid}")


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return ROOT


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are English unless a test says otherwise, whatever the machine's locale."""
    monkeypatch.setenv("CUNZHENG_LANG", "en")
