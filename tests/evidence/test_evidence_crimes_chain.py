"""Crimes against a gateway's chain and a month's line: forks, renumbering, restored machines, turned clocks, swaps."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from evidence_world import NOW, World, indexed

from evidence.bundle import Bundle
from evidence.encoding import sha256_hex, time_text
from evidence.errors import Code
from evidence.registry import PlantEntry, Registry
from evidence.statement import parse, sign
from evidence.verdict import Report, Verdict
from evidence.verify import verify_bundle


def verify(world: World, bundle: Bundle | None = None) -> Report:
    return verify_bundle(bundle or world.pack(), world.trust(), NOW)


def codes(report: Report) -> set[Code]:
    return {finding.code for finding in report.findings}


def without(bundle: Bundle, *sids: str) -> Bundle:
    return indexed(
        replace(
            bundle,
            statements={sid: data for sid, data in bundle.statements.items() if sid not in sids},
            proofs={sid: data for sid, data in bundle.proofs.items() if sid not in sids},
        )
    )


# --- numbers ---------------------------------------------------------------------------------------


def renumbered(world: World) -> list[str]:
    """Sign the chain anew without its second segment, each statement with the number before its own."""
    victim, anew, prev = world.segments[1].payload["seq"], [], ""
    for jws in world.log:
        payload = dict(parse(jws).payload)
        if payload.get("seq") == victim - 1:
            prev = parse(jws).sid
        if payload.get("seq", 0) > victim:
            statement = sign({**payload, "seq": payload["seq"] - 1, "prev": prev}, world.keys["gateway"])
            anew.append(statement.jws)
            prev = statement.sid
    return anew


def test_segment_dropped_and_the_rest_renumbered_without_the_log(approved: World) -> None:
    """Whoever holds the gateway's key can sign again; what the log has they cannot sign."""
    bundle = approved.pack(readings=())
    anew = {parse(jws).sid: jws.encode() for jws in renumbered(approved)}
    old = {parse(jws).sid for jws in approved.log if parse(jws).payload.get("seq", 0) >= 4}
    rest = without(bundle, *old)
    forged = indexed(replace(rest, statements={**rest.statements, **anew}))
    assert verify(approved, forged).verdict is Verdict.INVALID
    assert Code.NOT_LOGGED in codes(verify(approved, forged))
    proofs = dict(zip(anew, [bundle.proofs[sid] for sid in sorted(old)], strict=False))
    receipts = indexed(replace(forged, proofs={**rest.proofs, **proofs}))
    assert verify(approved, receipts).verdict is Verdict.INVALID
    assert Code.INCLUSION_FAIL in codes(verify(approved, receipts))


def test_chain_renumbered_and_logged_a_second_time_is_a_fork(approved: World) -> None:
    approved.log += renumbered(approved)
    report = verify(approved)
    assert (report.verdict, Code.FORK in codes(report)) == (Verdict.INVALID, True)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_dropped_segment_leaves_a_hole(approved: World, number: int) -> None:
    report = verify(approved, without(approved.pack(readings=()), approved.segments[number].sid))
    assert report.verdict in (Verdict.INVALID, Verdict.INDETERMINATE)
    assert codes(report) & {Code.CHAIN_INCOMPLETE, Code.SEGMENT_MISSING}


def test_second_statement_of_a_number_that_no_month_covers_is_a_fork(approved: World) -> None:
    first = approved.device("event", type="maintenance", data={"note": "one"})
    approved.put(sign({**first.payload, "data": {"note": "other"}}, approved.keys["gateway"]))
    assert codes(verify(approved)) == {Code.FORK}


def test_log_that_took_a_later_number_first(approved: World) -> None:
    places = [place for place, jws in enumerate(approved.log) if "seq" in parse(jws).payload]
    early, late = places[-2], places[-1]
    approved.log[early], approved.log[late] = approved.log[late], approved.log[early]
    assert Code.SEQ_REGRESSION in codes(verify(approved))


def test_gateway_restored_from_an_old_image_begins_an_older_epoch(approved: World) -> None:
    for epoch in (3, 2):
        approved.seq, approved.prev = 0, None
        approved.device("event", type="epoch-open", data={"reason": "re-enrolment"}, epoch=epoch, boot=f"e{epoch}")
    assert codes(verify(approved)) == {Code.SEQ_REGRESSION}


def test_epochs_that_follow_each_other_are_no_crime(approved: World) -> None:
    for epoch in (2, 3):
        approved.seq, approved.prev = 0, None
        approved.device("event", type="epoch-open", data={"reason": "re-enrolment"}, epoch=epoch, boot=f"e{epoch}")
    assert verify(approved).verdict is Verdict.VALID


def test_gateway_restored_from_last_weeks_image_signs_its_numbers_again(approved: World) -> None:
    """It does not know what it signed since; the log does."""
    chain = [parse(jws) for jws in approved.log if "seq" in parse(jws).payload]
    approved.seq, approved.prev = chain[3].payload["seq"], chain[3].sid
    approved.device("event", type="restart", data={"reason": "restored"}, boot="b2")
    assert Code.FORK in codes(verify(approved))


# --- clocks ----------------------------------------------------------------------------------------


def clocked(world: World, at: list[timedelta], boots: str = "aaaa", steps: tuple[int, ...] = ()) -> World:
    """Go on with events at these times after now, each in its boot; some of them declare a clock step."""
    for number, (after, boot) in enumerate(zip(at, boots, strict=False)):
        data = {"before": "x", "after": "y"}
        kind = "clock-step" if number in steps else "maintenance"
        world.device("event", type=kind, data=data, t=time_text(NOW - timedelta(hours=12) + after), boot=boot)
    return world


HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@pytest.mark.parametrize(
    ("at", "boots", "steps", "is_crime"),
    [
        ([HOUR, 2 * HOUR, 3 * HOUR], "aaa", (), False),
        ([HOUR, HOUR, HOUR], "aaa", (), False),
        ([HOUR, HOUR - 60 * SECOND], "aa", (), False),
        ([HOUR, HOUR - 61 * SECOND], "aa", (), True),
        ([HOUR, HOUR - 600 * SECOND], "ab", (), False),
        ([HOUR, HOUR - 601 * SECOND], "ab", (), True),
        ([2 * HOUR, HOUR, 3 * HOUR], "aaa", (), True),
        ([2 * HOUR, HOUR, 3 * HOUR], "aba", (), True),
        ([2 * HOUR, HOUR, 3 * HOUR], "abb", (), True),
        ([2 * HOUR, HOUR, HOUR + SECOND], "aaa", (2,), False),
        ([2 * HOUR, HOUR], "aa", (1,), False),
        ([HOUR, 2 * HOUR, 3 * HOUR], "abc", (), False),
        ([HOUR, 2 * HOUR, 3 * HOUR], "aba", (), True),
        ([HOUR, 2 * HOUR, 3 * HOUR], "aba", (1,), True),
        ([HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR], "abba", (), True),
    ],
)
def test_clock_set_back_and_boot_that_comes_back_are_named(
    approved: World, at: list[timedelta], boots: str, steps: tuple[int, ...], is_crime: bool
) -> None:
    report = verify(clocked(approved, at, boots, steps))
    assert codes(report) == ({Code.CLOCK_STEP_UNDECLARED} if is_crime else set())
    assert report.verdict is (Verdict.INVALID if is_crime else Verdict.VALID)


@pytest.mark.parametrize(
    ("sizes", "is_crime"),
    [((None, 2, 2, 3), False), ((2, 1), True), ((2, None), True), ((0, None), True), ((3, 3, 2, 4), True)],
)
def test_anchor_never_falls(world: World, sizes: tuple[int | None, ...], is_crime: bool) -> None:
    for hour, size in enumerate(sizes, 4):
        world.read_hour(hour, ["1"])
        anchor = None if size is None else {"origin": "log.example/evidence", "size": size, "root": "00" * 32}
        world.anchor = anchor
        world.seal(hour)
    world.approve(world.close_month())
    fallen = [one for one in verify(world).findings if one.code is Code.ANCHOR_STALE and "fell" in one.detail]
    assert bool(fallen) == is_crime
    assert all(one.grade is Verdict.INVALID for one in fallen)


# --- the line of a month's revisions ---------------------------------------------------------------


def test_revision_that_supersedes_what_is_not_the_one_before(world: World) -> None:
    first = world.close_month()
    world.approve(world.close_month(rev=2, supersedes="ab" * 32))
    report = verify(world)
    assert Code.SUPERSEDE_FORK in codes(report)
    assert first.sid in {jws_sid(jws) for jws in world.log}


def jws_sid(jws: str) -> str:
    return sha256_hex(jws.rpartition(".")[0].encode())


def test_revision_whose_predecessor_is_left_out(world: World) -> None:
    first = world.close_month()
    world.approve(world.close_month(rev=2, supersedes=first.sid))
    report = verify(world, without(world.pack(), first.sid))
    assert (report.verdict, codes(report)) == (Verdict.INDETERMINATE, {Code.CHAIN_INCOMPLETE})


def test_month_before_that_is_no_month_before(world: World) -> None:
    first = world.close_month()
    world.approve(world.close_month(rev=2, supersedes=first.sid, prev_month=first.sid))
    assert Code.CHAIN_INCOMPLETE in codes(verify(world))


# --- attachments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "other.json"}, {Code.DECLARE_MISMATCH}),
        ({"type": "application/pdf"}, {Code.DECLARE_MISMATCH}),
        ({"size": 3}, {Code.DECLARE_MISMATCH, Code.CONTENT_HASH}),
        ({"sha256": sha256_hex(b'{"plan":2}')}, {Code.DECLARE_MISMATCH, Code.CONTENT_MISSING, Code.CONTENT_EXTRA}),
    ],
    ids=["renamed", "retyped", "another size", "swapped"],
)
def test_attachment_changed_between_declaration_and_seal(
    world: World, change: dict[str, Any], expected: set[Code]
) -> None:
    """Whoever holds the gateway cannot swap what people declared."""
    subjects = [world.attach("body.json", world.body()), world.attach("plan.json", b'{"plan":1}')]
    said = world.declare(subjects)
    world.approve(world.close_month(declared=said, subjects=[subjects[0], {**subjects[1], **change}]))
    report = verify(world)
    # The declared plan is still listed by the declarations, so it is not extra.
    assert codes(report) == expected - {Code.CONTENT_EXTRA}
    assert report.verdict is Verdict.INVALID


def test_attachments_exchanged_under_their_names(world: World) -> None:
    subjects = [world.attach("body.json", world.body()), world.attach("a.pdf", b"one"), world.attach("b.pdf", b"two")]
    said = world.declare(subjects)
    turned = [
        subjects[0],
        {**subjects[1], "sha256": subjects[2]["sha256"]},
        {**subjects[2], "sha256": subjects[1]["sha256"]},
    ]
    world.approve(world.close_month(declared=said, subjects=turned))
    assert codes(verify(world)) == {Code.DECLARE_MISMATCH}


# --- what belongs to others ------------------------------------------------------------------------


def test_receipts_exchanged_between_two_statements(approved: World) -> None:
    bundle = approved.pack()
    one, other = sorted(bundle.proofs)[:2]
    swapped = {**bundle.proofs, one: bundle.proofs[other], other: bundle.proofs[one]}
    report = verify(approved, indexed(replace(bundle, proofs=swapped)))
    assert Code.INCLUSION_FAIL in codes(report)


def test_gateway_that_signs_in_the_name_of_another(approved: World) -> None:
    payload = {**approved.segments[0].payload, "gw": "GW-2"}
    approved.put(sign(payload, approved.keys["gateway"]))
    assert codes(verify(approved)) == {Code.SUBJECT_SCOPE}


def test_segment_of_another_plant_cannot_be_covered(world: World) -> None:
    world.add_key("foreign", "GW-9", {"gateway"}, plants={"P-9"})
    theirs = sign(
        {**world.segments[0].payload, "gw": "GW-9", "plant": "P-9", "seq": 1, "prev": None}, world.keys["foreign"]
    )
    world.put(theirs)
    cover = {**world.cover()[0], "gw": "GW-9", "first": theirs.sid, "last": theirs.sid, "n": 1, "end": 4}
    world.approve(world.close_month(cover=[*world.cover(), cover]))
    plants = [PlantEntry("P-1", "Asia/Shanghai", "420100"), PlantEntry("P-9", "Asia/Shanghai", "420100")]
    trust = world.trust(registry=Registry.of(world.entries, plants))
    report = verify_bundle(world.pack(), trust, NOW)
    assert Code.SEGMENT_MISSING in codes(report)
    assert report.verdict is Verdict.INVALID


def test_one_person_at_province_and_nation(world: World) -> None:
    for position, entry in enumerate(world.entries):
        if "nation" in entry.roles:
            world.entries[position] = replace(entry, owner_id="prov-1")
    month = world.close_month()
    world.approve(month)
    world.review("nation", month.sid, month.sid)
    assert codes(verify(world)) == {Code.SEPARATION_OF_DUTY}


@pytest.mark.parametrize("turn", [lambda said: said[::-1], lambda said: [said[0]] * 2, lambda said: [said[1]] * 2])
def test_declarations_turned_round_or_named_twice(world: World, turn: Callable[[list[str]], list[str]]) -> None:
    subjects = [world.attach("body.json", world.body()), world.attach("plan.json", b'{"plan":1}')]
    world.approve(world.close_month(declared=turn(world.declare(subjects))))
    report = verify(world)
    assert Code.DECLARE_ORDER in codes(report)
    assert report.verdict is Verdict.INVALID
