"""Time: crimes against the clock, each named; and honest lateness, which is marked and not refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from evidence_world import NOW, ORIGIN, World, indexed
from hypothesis import given
from hypothesis import strategies as st
from witnessed import checkpoint, with_checkpoints, witnessed_trust

from evidence.encoding import time_text
from evidence.errors import Code
from evidence.merkle import leaf_hash, root
from evidence.statement import Statement
from evidence.timeline import Mark, Timeline, cosigned_at
from evidence.verdict import Report, Verdict
from evidence.verify import verify_bundle

SIGNED = NOW - timedelta(days=1)
"""When everything in the world says it was signed."""
MINUTE = timedelta(minutes=1)


def codes(report: Report) -> set[Code]:
    return {finding.code for finding in report.findings}


def judged(world: World, marks: dict[int, datetime | Sequence[datetime]], *, quorum: int = 0) -> Report:
    notes = {
        size: checkpoint(world, size, *((times,) if isinstance(times, datetime) else times))
        for size, times in marks.items()
    }
    return verify_bundle(with_checkpoints(world.pack(), notes), witnessed_trust(world, quorum), NOW)


def anchor(world: World, size: int) -> dict[str, Any]:
    return {"origin": ORIGIN, "size": size, "root": root([leaf_hash(jws.encode()) for jws in world.log[:size]]).hex()}


def test_month_between_its_witnesses_times_is_valid(approved: World) -> None:
    size = len(approved.log)
    report = judged(approved, {3: SIGNED + MINUTE, size: SIGNED + 2 * MINUTE})
    assert report.verdict is Verdict.VALID, report.findings
    names = {check.name: (check.passed, check.failed) for check in report.checks}
    assert names["between"] == (size, 0)
    assert names["checkpoint"] == (2, 0)


def test_statement_that_claims_a_time_after_the_log_had_it(approved: World) -> None:
    size = len(approved.log)
    within = judged(approved, {size: SIGNED - timedelta(minutes=5)})
    assert within.verdict is Verdict.VALID
    beyond = judged(approved, {size: SIGNED - timedelta(minutes=6)})
    assert codes(beyond) == {Code.TIME_CONTRADICTION}
    assert len(beyond.findings) == size


@pytest.mark.parametrize(("minutes", "expected"), [(4, set()), (6, {Code.TIME_CONTRADICTION})])
def test_statement_that_claims_a_time_before_its_anchor(approved: World, minutes: int, expected: set[Code]) -> None:
    """The clock was set back: the statement knows a checkpoint that was cosigned later than it says it was signed."""
    said = anchor(approved, 4)
    approved.device(
        "event", type="maintenance", data={}, anchor=said, boot="b2", t=time_text(SIGNED - minutes * MINUTE)
    )
    report = judged(approved, {4: SIGNED, len(approved.log): SIGNED + MINUTE})
    assert codes(report) == expected
    assert {finding.sid for finding in report.findings} <= {approved.prev}


def test_checkpoint_smaller_than_the_anchor_bounds_it_too(approved: World) -> None:
    said = anchor(approved, 6)
    approved.device("event", type="maintenance", data={}, anchor=said, boot="b2", t=time_text(SIGNED - 6 * MINUTE))
    assert codes(judged(approved, {4: SIGNED})) == {Code.TIME_CONTRADICTION}


def test_anchor_to_a_tree_that_the_log_never_signed(approved: World) -> None:
    said = {**anchor(approved, 4), "root": "ab" * 32}
    approved.device("event", type="maintenance", data={}, anchor=said)
    assert codes(judged(approved, {4: SIGNED})) == {Code.LOG_EQUIVOCATION}


@pytest.mark.parametrize(
    ("hours", "expected"), [(24, set()), (25, {Code.LATE_COMMITMENT}), (900, {Code.LATE_COMMITMENT})]
)
def test_late_commitment_is_marked_and_stays_valid(approved: World, hours: int, expected: set[Code]) -> None:
    report = judged(approved, {len(approved.log): SIGNED + timedelta(hours=hours)})
    assert codes(report) == expected
    assert report.verdict is (Verdict.VALID_WITH_WARNINGS if expected else Verdict.VALID)
    owners = {key.owner_id for key in approved.entries} - {"nat-1"}
    assert len(report.findings) == (len(owners) if expected else 0)


def test_late_statement_is_told_by_the_first_checkpoint_that_holds_it(approved: World) -> None:
    size = len(approved.log)
    report = judged(approved, {size - 1: SIGNED + MINUTE, size: SIGNED + timedelta(hours=72)})
    (late,) = report.findings
    assert (late.code, late.detail[:24]) == (Code.LATE_COMMITMENT, "1 statements of prov-1 a")
    assert "72 h" in late.detail


def test_one_witness_of_a_quorum_of_two_moves_no_time(approved: World) -> None:
    """A single witness with a wrong clock neither condemns a statement nor hides that it came late."""
    size = len(approved.log)
    early, late = SIGNED - timedelta(days=20), SIGNED + timedelta(days=3)
    assert codes(judged(approved, {size: (early, SIGNED, SIGNED)}, quorum=0)) == {Code.TIME_CONTRADICTION}
    for times, expected in (((early, SIGNED), set()), ((early, late), {Code.LATE_COMMITMENT})):
        report = verify_bundle(
            with_checkpoints(quorate(approved, size, times), {}), witnessed_trust(approved, quorum=2), NOW
        )
        assert codes(report) == expected


def quorate(world: World, size: int, times: Sequence[datetime]) -> Any:
    """Pack with receipts against a checkpoint that two witnesses cosigned."""
    bundle, plain = world.pack(), checkpoint(world, size)
    note = checkpoint(world, size, *times)
    proofs = {sid: data.decode().replace(plain, note).encode() for sid, data in bundle.proofs.items()}
    return indexed(replace(bundle, proofs=proofs))


@pytest.mark.parametrize(
    ("crime", "code"),
    [
        (lambda note: note.replace("/evidence", "/other"), Code.LOG_ORIGIN),
        (lambda note: note[:-12] + ("B" if note[-12] == "A" else "A") + note[-11:], Code.SIGNATURE),
        (lambda note: note.replace("\n\n", "\n"), Code.CHECKPOINT_FORMAT),
        (lambda note: note.replace(f"{ORIGIN}\n4", f"{ORIGIN}\n5"), Code.BUNDLE_FORMAT),
    ],
)
def test_checkpoint_beside_the_receipts_must_hold(approved: World, crime: Any, code: Code) -> None:
    note = checkpoint(approved, 4, SIGNED)
    bundle = with_checkpoints(approved.pack(), {4: crime(note)})
    report = verify_bundle(bundle, witnessed_trust(approved), NOW)
    assert report.verdict is Verdict.INVALID
    assert codes(report) == {code}


def test_two_trees_of_one_size_are_the_logs_own_crime(approved: World) -> None:
    size = len(approved.log)
    other = World()
    other.log = [*approved.log[:-1], approved.log[0]]
    bundle = with_checkpoints(approved.pack(), {size: checkpoint(other, size, SIGNED)})
    report = verify_bundle(bundle, witnessed_trust(approved), NOW)
    assert codes(report) == {Code.LOG_EQUIVOCATION}


def test_statement_without_a_receipt_for_more_than_a_month_is_overdue(world: World) -> None:
    world.close_month()
    world.device("event", type="maintenance", data={}, t=time_text(NOW - timedelta(days=31)))
    world.device("event", type="maintenance", data={}, t=time_text(NOW - timedelta(days=29)))
    bundle = world.pack()
    waiting = [statement_sid(jws) for jws in world.log[-2:]]
    left = {sid: proof for sid, proof in bundle.proofs.items() if sid not in waiting}
    report = verify_bundle(indexed(replace(bundle, proofs=left)), world.trust(), NOW)
    found = [(finding.code, finding.sid) for finding in report.findings if finding.code is Code.PENDING_OVERDUE]
    assert found == [(Code.PENDING_OVERDUE, waiting[0])]
    grades = {finding.grade for finding in report.findings if finding.code is Code.PENDING_OVERDUE}
    assert grades == {Verdict.INDETERMINATE}


def statement_sid(jws: str) -> str:
    from evidence.statement import parse_envelope

    return parse_envelope(jws).sid


# --- the gateway's own clock -------------------------------------------------------------------------


def stepped(world: World, minutes: float, **step: Any) -> Statement:
    """Step the clock between two hours, say so in an event where `step` has its data, and go on."""
    new = SIGNED + minutes * MINUTE
    if step:
        world.device("event", type="clock-step", data=step, t=time_text(new))
    world.read_hour(9, ["1", "2"])
    world.edit_entries = lambda entries: None
    say = world.say
    world.say = lambda who, kind, **members: say(who, kind, **{"t": time_text(new), **members})  # type: ignore[method-assign]
    segment = world.seal(9)
    world.say = say  # type: ignore[method-assign]
    return segment


def declared(minutes: float) -> dict[str, str]:
    return {"before": time_text(SIGNED), "after": time_text(SIGNED + minutes * MINUTE)}


@pytest.mark.parametrize(
    ("minutes", "step", "is_found"),
    [
        (-60, {}, True),
        (60, {}, True),
        (0.5, {}, False),
        (-60, declared(-60), False),
        (60, declared(60), False),
        (-60, declared(-10), True),
        (-60, declared(60), True),
        (-60, {"trusted": False, **declared(-3)}, False),
        (-60, {"before": "yesterday", "after": 7}, True),
    ],
)
def test_wall_clock_that_jumps_within_a_boot_is_declared_or_found(
    world: World, minutes: float, step: dict[str, Any], is_found: bool
) -> None:
    stepped(world, minutes, **step)
    world.approve(world.close_month())
    found = codes(verify_bundle(world.pack(), world.trust(), NOW))
    assert (Code.CLOCK_STEP_UNDECLARED in found) is is_found, found


@pytest.mark.parametrize(("minutes", "is_found"), [(9, False), (11, True)])
def test_clock_of_another_boot_may_be_a_little_behind_the_one_before(
    world: World, minutes: int, is_found: bool
) -> None:
    world.device("event", type="restart", data={}, boot="b2", t=time_text(SIGNED - timedelta(minutes=minutes)))
    world.approve(world.close_month(clk={"boot": "b2", "mono": 99_000_000, "off_ms": 0, "src": "ntp"}))
    found = codes(verify_bundle(world.pack(), world.trust(), NOW))
    assert (Code.CLOCK_STEP_UNDECLARED in found) is is_found


# --- the month's anchor ------------------------------------------------------------------------------


@pytest.mark.parametrize(("behind", "expected"), [(0, set()), (1, {Code.ANCHOR_STALE})])
def test_month_anchored_before_what_it_names_is_stale(world: World, behind: int, expected: set[Code]) -> None:
    subjects = [world.attach("body.json", world.body()), world.attach("plan.json", b'{"plan":1}')]
    sids = world.declare(subjects)
    world.declare = lambda subjects, rev=1: sids  # type: ignore[method-assign]
    world.approve(world.close_month(anchor=anchor(world, len(world.log) - behind)))
    report = verify_bundle(world.pack(), world.trust(), NOW)
    assert codes(report) & {Code.ANCHOR_STALE} == expected
    assert report.verdict is (Verdict.VALID_WITH_WARNINGS if expected else Verdict.VALID), report.findings


# --- the timeline itself -----------------------------------------------------------------------------

MARKS = st.lists(
    st.builds(
        Mark,
        st.integers(1, 40),
        st.integers(0, 1000).map(lambda second: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)),
        st.booleans(),
    ),
    max_size=12,
)


@given(MARKS, st.integers(0, 45))
def test_timeline_answers_as_a_plain_search_would(marks: list[Mark], place: int) -> None:
    timeline = Timeline(marks)
    first = min((mark.time for mark in marks if mark.size > place), default=None)
    last = max((mark.time for mark in marks if mark.is_cosigned and mark.size <= place), default=None)
    assert (timeline.first_with(place), timeline.last_before(place)) == (first, last)


def test_checkpoint_without_witnesses_bears_no_time(approved: World) -> None:
    assert cosigned_at(checkpoint(approved, 3), witnessed_trust(approved)) is None
    assert cosigned_at(checkpoint(approved, 3, SIGNED), witnessed_trust(approved)) == SIGNED
