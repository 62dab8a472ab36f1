"""What all tests share: a fixed, printed seed and a reproducible Hypothesis.

Each package's own fixtures live in a conftest.py beside its tests.
"""

from __future__ import annotations

import os
import random
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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put browser tests last, in their random order.

    Playwright keeps an event loop running in the main thread as long as its browser is open, and no asyncio
    test can start one of its own meanwhile.
    """
    items.sort(key=lambda item: "browser" in getattr(item, "fixturenames", ()))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random choices of one test: the same in every run and in any order."""
    return random.Random(f"{SEED}:{request.node.nodeid}")


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return ROOT


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are English unless a test says otherwise, whatever the machine's locale."""
    monkeypatch.setenv("CUNZHENG_LANG", "en")
