"""What the centre does with a statement that arrives: log it, answer again, hold it, or refuse a fork.

Only the order of a device's chain is judged here, from facts that the caller looked up under the
sequencer's lock. Signatures, roles and contents are judged by admission, before and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Place(Enum):
    """Where a statement stands to its device's logged chain."""

    ALREADY = "already logged"
    TAKEN = "its number belongs to another statement"
    FIRST = "the first of a new epoch"
    NEXT = "follows the logged one before it"
    EARLY = "the one before it is not logged yet"
    BESIDE = "names a logged predecessor that is not the one before it"
    OUTSIDE = "not of a device: it has no chain"


class Decision(Enum):
    """What to do with it."""

    LOG = "log"
    ANSWER_AGAIN = "answer again"
    HOLD = "hold"
    REFUSE_FORK = "refuse: FORK"
    REFUSE_ORDER = "refuse: SEQ_REGRESSION"


DECISIONS: Mapping[Place, Decision] = {
    Place.ALREADY: Decision.ANSWER_AGAIN,
    Place.TAKEN: Decision.REFUSE_FORK,
    Place.FIRST: Decision.LOG,
    Place.NEXT: Decision.LOG,
    Place.EARLY: Decision.HOLD,
    Place.BESIDE: Decision.REFUSE_ORDER,
    Place.OUTSIDE: Decision.LOG,
}


@dataclass(frozen=True)
class Link:
    """The place a device statement claims in its chain."""

    gw: str
    epoch: int
    seq: int
    prev: str | None


@dataclass(frozen=True)
class Known:
    """What the log holds: this statement, its number, its predecessor."""

    is_logged: bool = False
    sid_at_number: str | None = None
    prev_seq: int | None = None
    """Number of the logged statement that `prev` names, in the same chain; None when it is not logged."""


@dataclass(frozen=True)
class Verdict:
    """The decision; `missing` is what a held statement waits for."""

    decision: Decision
    missing: str | None = None


def place(link: Link | None, known: Known) -> Place:
    """Find where a statement stands to the logged chain."""
    if known.is_logged:
        return Place.ALREADY
    if link is None:
        return Place.OUTSIDE
    if known.sid_at_number is not None:
        return Place.TAKEN
    if link.prev is None:
        return Place.FIRST if link.seq == 1 else Place.BESIDE
    if known.prev_seq is None:
        return Place.EARLY
    return Place.NEXT if known.prev_seq == link.seq - 1 else Place.BESIDE


def decide(link: Link | None, known: Known) -> Verdict:
    """Decide what to do with a statement."""
    decision = DECISIONS[place(link, known)]
    missing = link.prev if decision is Decision.HOLD and link is not None else None
    return Verdict(decision, missing)
