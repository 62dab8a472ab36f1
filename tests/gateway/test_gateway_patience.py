"""Pauses before a peer is tried again: short while nobody is there, ever longer while it refuses, never in step."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import StoreError
from gateway.patience import AWAY_S, CENTRE_AWAY_S, Patience
from gateway.service import pause_after
from gateway.uplink import CentreAwayError, RefusedByCentreError

LONGEST_S = 300.0
seeds = st.integers(0, 1000)


@given(seeds, st.integers(1, 3000), st.floats(0.1, 3600))
def test_peer_that_is_away_however_long_is_looked_for_every_second(seed: int, tries: int, longest_s: float) -> None:
    patience = Patience(longest_s, draw=random.Random(seed))
    pauses = [patience.away() for _ in range(tries)]
    assert max(pauses) <= min(AWAY_S, longest_s)
    assert min(pauses) > 0


@given(seeds)
def test_pauses_of_a_peer_that_refuses_double_up_to_the_longest(seed: int) -> None:
    patience = Patience(LONGEST_S, draw=random.Random(seed))
    pauses = [patience.refused() for _ in range(40)]
    assert all(0.75 * bound <= pause <= bound for pause, bound in zip(pauses, (1, 2, 4, 8, 16), strict=False))
    assert 0.75 * LONGEST_S <= pauses[-1] <= LONGEST_S


def test_refusals_are_not_forgotten_because_the_peer_was_away_in_between_but_when_it_is_well() -> None:
    patience = Patience(LONGEST_S)
    for _ in range(12):
        patience.refused()
    assert [patience.away() <= AWAY_S for _ in range(30)] == [True] * 30
    assert patience.refused() > 100
    patience.well()
    assert patience.refused() <= 1
    assert patience.away() <= 0.25


@given(seeds)
def test_two_gateways_do_not_come_back_in_step(seed: int) -> None:
    one, other = Patience(LONGEST_S, draw=random.Random(seed)), Patience(LONGEST_S, draw=random.Random(seed + 1))
    assert [one.away() for _ in range(8)] != [other.away() for _ in range(8)]


def refusal(status: int, retry_after_s: int | None = None) -> RefusedByCentreError:
    return RefusedByCentreError(
        status, "GET /", "no", None if retry_after_s is None else timedelta(seconds=retry_after_s)
    )


@pytest.mark.parametrize(
    ("error", "least", "most"),
    [
        (CentreAwayError("无法连接", "cannot reach"), 0.0, CENTRE_AWAY_S),
        (refusal(502), 0.0, CENTRE_AWAY_S),
        (refusal(502, 20), 20.0, LONGEST_S),
        (refusal(503), 100.0, LONGEST_S),
        (refusal(429), 100.0, LONGEST_S),
        (refusal(500), 100.0, LONGEST_S),
        (StoreError("锁定", "locked"), 100.0, LONGEST_S),
    ],
    ids=["nobody", "proxy", "proxy asks", "busy", "too many", "broken", "own store"],
)
def test_centre_is_asked_soon_only_while_nobody_answers(error: Exception, least: float, most: float) -> None:
    patience = Patience(LONGEST_S, CENTRE_AWAY_S)
    pauses = [pause_after(error, patience) for _ in range(20)]
    assert least <= pauses[-1] <= most
    assert max(pauses) <= most


@pytest.mark.parametrize(("asked_s", "kept_s"), [(45, 45.0), (3600, LONGEST_S)])
def test_pause_that_the_centre_asks_for_is_kept_up_to_the_longest(asked_s: int, kept_s: float) -> None:
    assert pause_after(refusal(503, asked_s), Patience(LONGEST_S)) == kept_s
