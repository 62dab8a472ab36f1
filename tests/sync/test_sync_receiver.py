"""The receiver decides by the place of a statement in its device's chain."""

import pytest

from sync import Decision, Known, Link, decide

FIRST = Link("GW-1", 1, 1, None)
FIFTH = Link("GW-1", 1, 5, "p" * 64)


@pytest.mark.parametrize(
    ("link", "known", "decision"),
    [
        (None, Known(), Decision.LOG),
        (None, Known(is_logged=True), Decision.ANSWER_AGAIN),
        (FIRST, Known(), Decision.LOG),
        (FIRST, Known(is_logged=True, sid_at_number="s"), Decision.ANSWER_AGAIN),
        (FIRST, Known(sid_at_number="other"), Decision.REFUSE_FORK),
        (FIFTH, Known(prev_seq=4), Decision.LOG),
        (FIFTH, Known(), Decision.HOLD),
        (FIFTH, Known(prev_seq=3), Decision.REFUSE_ORDER),
        (FIFTH, Known(prev_seq=5), Decision.REFUSE_ORDER),
        (FIFTH, Known(sid_at_number="other", prev_seq=4), Decision.REFUSE_FORK),
        (Link("GW-1", 1, 2, None), Known(), Decision.REFUSE_ORDER),
    ],
)
def test_decision_follows_from_the_place(link: Link | None, known: Known, decision: Decision) -> None:
    verdict = decide(link, known)
    assert verdict.decision is decision
    assert verdict.missing == (FIFTH.prev if decision is Decision.HOLD else None)
