"""Crimes against a month, each named by the verdict's code; and the honest month that passes."""

import io
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from evidence_world import NOW, World, indexed, seed

from evidence.bundle import read_bundle, write_bundle
from evidence.encoding import sha256_hex
from evidence.errors import BundleError, Code, EvidenceError
from evidence.keys import SigningKey
from evidence.statement import parse_envelope, sign
from evidence.trust import Trust
from evidence.verdict import Report, Verdict
from evidence.verify import verify_bundle


def verify(world: World, **trust: Any) -> Report:
    return verify_bundle(world.pack(), world.trust(**trust), NOW)


def codes(report: Report) -> set[Code]:
    return {finding.code for finding in report.findings}


def test_honest_month_is_valid(approved: World) -> None:
    report = verify(approved)
    assert report.findings == ()
    assert report.verdict is Verdict.VALID
    assert report.counts == {"statements": 11, "receipts": 11, "months": 1, "contents": 3, "readings": 2}
    assert report.subject["period"] == "2026-03"
    assert report.subject["province"] == "approve"


def test_month_without_approval_is_indeterminate(world: World) -> None:
    world.close_month()
    report = verify(world)
    assert report.verdict is Verdict.INDETERMINATE
    assert codes(report) == {Code.NOT_APPROVED}


@pytest.mark.no_cover
def test_flipped_bytes_all_over_every_file_are_invalid(approved: World) -> None:
    """Flip every twentieth part of each file and its last byte, one at a time: no flip may pass, whatever it hits."""
    bundle = approved.pack(readings=(0,))
    trust = approved.trust()
    assert verify_bundle(bundle, trust, NOW).verdict is Verdict.VALID
    groups = ("statements", "proofs", "content", "readings")
    survivors = []
    for group in groups:
        for name, data in getattr(bundle, group).items():
            step = max(1, len(data) // 20)
            for position in {*range(0, len(data), step), len(data) - 1}:
                flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
                forged = indexed(replace(bundle, **{group: {**getattr(bundle, group), name: flipped}}))
                if verify_bundle(forged, trust, NOW).verdict is not Verdict.INVALID:
                    survivors.append((group, name[:12], position))
    assert survivors == []


def test_flipped_index_is_a_malformed_bundle(approved: World) -> None:
    bundle = approved.pack()
    assert bundle.index is not None
    for position in range(0, len(bundle.index), 97):
        forged = bundle.index[:position] + bytes([bundle.index[position] ^ 4]) + bundle.index[position + 1 :]
        report = verify_bundle(replace(bundle, index=forged), approved.trust(), NOW)
        assert codes(report) == {Code.BUNDLE_FORMAT}
    assert codes(verify_bundle(replace(bundle, index=None), approved.trust(), NOW)) == {Code.BUNDLE_FORMAT}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("segment", Code.CHAIN_INCOMPLETE),
        ("declare", Code.DECLARE_MISSING),
        ("review", Code.NOT_APPROVED),
        ("month", Code.CHAIN_INCOMPLETE),
    ],
)
def test_dropped_statement_is_missed(approved: World, kind: str, expected: Code) -> None:
    bundle = approved.pack(readings=())
    victims = [sid for sid, jws in bundle.statements.items() if f'"{kind}"'.encode() in decoded(jws)]
    for sid in victims:
        statements = {name: data for name, data in bundle.statements.items() if name != sid}
        proofs = {name: data for name, data in bundle.proofs.items() if name != sid}
        report = verify_bundle(indexed(replace(bundle, statements=statements, proofs=proofs)), approved.trust(), NOW)
        assert report.verdict in (Verdict.INVALID, Verdict.INDETERMINATE)
        assert codes(report) & {expected, Code.SEGMENT_MISSING}, report.findings


def decoded(jws: bytes) -> bytes:
    return repr(dict(parse_envelope(jws.decode()).payload)).replace("'", '"').encode()


def test_dropped_receipt_is_not_logged(approved: World) -> None:
    bundle = approved.pack()
    sid = min(bundle.proofs)
    forged = indexed(replace(bundle, proofs={name: data for name, data in bundle.proofs.items() if name != sid}))
    report = verify_bundle(forged, approved.trust(), NOW)
    assert report.verdict is Verdict.INDETERMINATE
    assert Code.NOT_LOGGED in codes(report)


def test_missing_and_extra_contents(approved: World) -> None:
    bundle = approved.pack()
    for digest in bundle.content:
        rest = {name: data for name, data in bundle.content.items() if name != digest}
        report = verify_bundle(indexed(replace(bundle, content=rest)), approved.trust(), NOW)
        assert codes(report) == {Code.CONTENT_MISSING}
    extra = {**bundle.content, sha256_hex(b"x"): b"x"}
    report = verify_bundle(indexed(replace(bundle, content=extra)), approved.trust(), NOW)
    assert codes(report) == {Code.CONTENT_EXTRA}


def test_report_of_a_review_that_is_left_out_is_missed(approved: World) -> None:
    bundle = approved.pack()
    rest = {name: data for name, data in bundle.content.items() if data != b"report"}
    report = verify_bundle(indexed(replace(bundle, content=rest)), approved.trust(), NOW)
    assert (report.verdict, codes(report)) == (Verdict.INDETERMINATE, {Code.CONTENT_MISSING})


def test_declaration_of_a_channel_that_is_left_out_is_missed(approved: World) -> None:
    bundle = approved.pack(readings=())
    (victim,) = [sid for sid, jws in bundle.statements.items() if b'"type": "config"' in decoded(jws)]
    statements, proofs = ({**group} for group in (bundle.statements, bundle.proofs))
    del statements[victim], proofs[victim]
    report = verify_bundle(indexed(replace(bundle, statements=statements, proofs=proofs)), approved.trust(), NOW)
    assert (report.verdict, codes(report)) == (Verdict.INDETERMINATE, {Code.CHAIN_INCOMPLETE})
    assert "declaration of channel E.KWH" in report.findings[0].detail


def test_changed_sum_signed_by_everyone_is_an_aggregate_mismatch(world: World) -> None:
    world.edit_body = lambda body: body["channels"][0].update(sum="1.00")
    world.approve(world.close_month())
    assert codes(verify(world)) == {Code.AGGREGATE_MISMATCH}


def test_responsible_person_before_technician(world: World) -> None:
    subjects = [world.attach("body.json", world.body()), world.attach("plan.json", b'{"plan":1}')]
    world.approve(world.close_month(declared=world.declare(subjects)[::-1]))
    assert Code.DECLARE_ORDER in codes(verify(world))


def test_one_person_may_not_declare_twice(world: World) -> None:
    for position, entry in enumerate(world.entries):
        if entry.owner_id == "wang":
            world.entries[position] = replace(entry, owner_id="li")
    world.approve(world.close_month())
    assert codes(verify(world)) == {Code.SEPARATION_OF_DUTY}


def test_declared_other_attachments_than_the_month_lists(world: World) -> None:
    subjects = [world.attach("body.json", world.body()), world.attach("report.pdf", b"forged report")]
    world.approve(world.close_month(declared=world.declare(subjects)))
    assert Code.DECLARE_MISMATCH in codes(verify(world))


@pytest.mark.parametrize(
    ("issue", "reason", "found"),
    [
        ("QUALITY_ERROR", None, {Code.QUALITY_OPEN}),
        ("QUALITY_ERROR", " ", {Code.QUALITY_OPEN}),
        ("QUALITY_ERROR", "meter changed on the 3rd", set()),
        ("QUALITY_REMARK", None, set()),
    ],
)
def test_error_findings_ask_for_the_technicians_reason(
    world: World, issue: str, reason: str | None, found: set[Code]
) -> None:
    world.edit_body = lambda body: body.update(issues=[{"code": issue, "where": "GW-1/E.KWH", "zh": "–", "en": "–"}])
    subjects = [world.attach("body.json", world.body()), world.attach("plan.json", b'{"plan":1}')]
    said: dict[str, Any] = {"period": "2026-03", "rev": 1, "subjects": subjects}
    why = {} if reason is None else {"reason": reason}
    first = world.say("technician", "declare", role="technician", after=None, **said, **why)
    second = world.say("responsible", "declare", role="responsible", after=first.sid, **said)
    world.approve(world.close_month(declared=[first.sid, second.sid]))
    assert codes(verify(world)) == found


def test_approval_of_revision_1_does_not_approve_revision_2(world: World) -> None:
    first = world.close_month()
    world.approve(first)
    world.close_month(rev=2, supersedes=first.sid)
    report = verify(world)
    assert Code.NOT_APPROVED in codes(report)
    assert report.subject["rev"] == "2"


def test_month_superseded_twice(world: World) -> None:
    first = world.close_month()
    world.close_month(rev=2, supersedes=first.sid)
    world.close_month(rev=2, supersedes=first.sid)
    assert Code.SUPERSEDE_FORK in codes(verify(world))


def test_other_months_of_the_chain_are_carried_along_unjudged(world: World) -> None:
    subjects = [{"name": "body.json", "size": 1, "sha256": "ab" * 32, "type": "application/json"}]
    world.device(
        "month", period="2026-02", rev=1, supersedes=None, prev_month=None, subjects=subjects,
        declared=["cd" * 32, "ef" * 32], cover=[],
    )  # fmt: skip
    world.approve(world.close_month())
    report = verify(world)
    assert report.verdict is Verdict.VALID
    assert report.subject["period"] == "2026-03"


def test_segment_that_is_disclosed_whole_is_recomputed(approved: World) -> None:
    report = verify_bundle(approved.pack(readings=tuple(range(4, 8))), approved.trust(), NOW)
    assert (report.verdict, report.counts["hours"]) == (Verdict.VALID, 1)


@pytest.mark.parametrize(
    "lie", [{"sum": "8.00"}, {"max": "99"}, {"min": "0.1"}, {"valid": 3}, {"hour": "2026-02-28T15:00:00.000Z"}]
)
def test_gateway_that_lies_about_its_own_readings_is_caught_by_them(lie: dict[str, Any]) -> None:
    world = World()
    world.edit_entries = lambda entries: entries[0].update(lie)
    world.run_hours(2)
    world.approve(world.close_month())
    report = verify_bundle(world.pack(readings=tuple(range(8))), world.trust(), NOW)
    details = [one.detail for one in report.findings if one.code is Code.AGGREGATE_MISMATCH]
    assert any("what its readings say" in detail for detail in details), report.findings


def test_second_signature_that_nobody_asks_for_is_refused(approved: World) -> None:
    bundle = approved.pack()
    forged = indexed(replace(bundle, sm2={min(bundle.statements): b"0"}))
    assert codes(verify_bundle(forged, approved.trust(), NOW)) == {Code.CONTENT_EXTRA}


def test_trust_file_with_a_time_zone_that_does_not_exist_is_refused(approved: World) -> None:
    trust = approved.trust().to_json()
    trust["registry"]["plants"][0]["zone"] = "Asia/Nowhere"
    with pytest.raises(EvidenceError, match="Asia/Nowhere"):
        Trust.from_json(trust)


@pytest.mark.parametrize(
    ("cut", "code"),
    [
        (lambda cover: [*cover, *cover], Code.RANGE_OVERLAP),
        (lambda cover: [], Code.SEGMENT_MISSING),
    ],
)
def test_cover_that_repeats_or_leaves_out_segments(world: World, cut: Any, code: Code) -> None:
    world.approve(world.close_month(cover=cut(world.cover())))
    assert code in codes(verify(world))
    assert verify(world).verdict is Verdict.INVALID


def test_cover_of_the_first_half_leaves_out_the_second(world: World) -> None:
    segments = world.segments
    world.segments = segments[:2]
    half = world.cover()
    valid = [str(leaf.value) for leaf in world.leaves[:8]]
    world.edit_body = lambda body: body.update(
        cover=half, channels=[{**body["channels"][0], "n": 8, "valid": 8, "sum": str(sum(map(Decimal, valid)))}]
    )
    month = world.close_month(cover=half)
    world.segments = segments
    world.approve(month)
    report = verify(world)
    assert {(one.code, one.grade) for one in report.findings} == {(Code.SEGMENT_MISSING, Verdict.INVALID)}


def test_segment_that_came_after_the_declaration_is_a_supplement(world: World) -> None:
    month = world.close_month()
    world.read_hour(1, ["9.5"])
    world.seal(1)
    world.segments.pop()
    world.approve(month)
    assert verify(world).verdict is Verdict.VALID


def test_hour_that_does_not_start_on_the_hour() -> None:
    world = World()
    world.edit_entries = lambda entries: entries[0].update(hour="2026-02-28T16:01:00.000Z")
    world.run_hours(2)
    world.approve(world.close_month())
    assert Code.SCHEMA in codes(verify(world))


def test_declarer_may_not_review_the_month(world: World) -> None:
    for position, entry in enumerate(world.entries):
        if "city" in entry.roles:
            world.entries[position] = replace(entry, owner_id="li")
    world.approve(world.close_month())
    assert codes(verify(world)) == {Code.SEPARATION_OF_DUTY}


def test_month_logged_before_its_declarations(world: World) -> None:
    world.approve(world.close_month())
    kinds = [world_kind(jws) for jws in world.log]
    first = kinds.index("declare")
    world.log[first : first + 3] = [world.log[first + 2], world.log[first], world.log[first + 1]]
    assert Code.DECLARE_ORDER in codes(verify(world))


def world_kind(jws: str) -> str:
    return str(parse_envelope(jws).payload["kind"])


@pytest.mark.parametrize(
    "around",
    [
        lambda data: b"junk" + data,
        lambda data: data + b"junk",
        lambda data: data + data,
        lambda data: data[:-2] + b"\x01\x00!",
    ],
)
def test_bundle_holds_nothing_but_its_files(approved: World, around: Any) -> None:
    data = write_bundle(approved.pack())
    with pytest.raises(BundleError):
        read_bundle(io.BytesIO(around(data)))


@pytest.mark.parametrize(
    "change",
    [
        {"policy": "quorum w1\n"},
        {"policy": "log example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\nquorum none\n"},
        {"policy": 1},
        {"size": -1},
        {"expires": "2001-01-01T00:00:00.000Z"},
        {"issued": "soon"},
        {"v": 2},
    ],
)
def test_impossible_trust_file_is_refused(approved: World, change: dict[str, Any]) -> None:
    with pytest.raises(EvidenceError):
        Trust.from_json({**approved.trust().to_json(), **change})


@pytest.mark.parametrize("change", [{"until": "9"}, {"region": None}, {"roles": None}, {"jwk": {}}, {"kid": "x"}])
def test_impossible_registry_entry_is_refused(approved: World, change: dict[str, Any]) -> None:
    trust = approved.trust().to_json()
    trust["registry"]["keys"][0].update(change)
    with pytest.raises(EvidenceError):
        Trust.from_json(trust)


def test_two_first_revisions(world: World) -> None:
    world.close_month()
    world.close_month()
    assert Code.PERIOD_DUPLICATE in codes(verify(world))


def test_province_before_city(world: World) -> None:
    month = world.close_month()
    world.review("province", month.sid, month.sid)
    assert Code.NOT_APPROVED in codes(verify(world))


def test_returned_month_is_not_approved(world: World) -> None:
    month = world.close_month()
    world.review("city", month.sid, month.sid, "return")
    assert codes(verify(world)) == {Code.NOT_APPROVED}


def test_reviewer_of_another_region(world: World) -> None:
    world.add_key("stranger", "city-9", {"city"}, region="3301")
    month = world.close_month()
    world.review("city", month.sid, month.sid, who="stranger")
    assert Code.SUBJECT_SCOPE in codes(verify(world))


def test_city_key_may_not_sign_for_the_province(world: World) -> None:
    month = world.close_month()
    city = world.review("city", month.sid, month.sid)
    world.review("province", month.sid, city.sid, who="city")
    assert Code.ROLE in codes(verify(world))


def test_another_plants_statement(approved: World) -> None:
    payload = {**approved.segments[0].payload, "plant": "P-2"}
    approved.put(sign(payload, approved.keys["gateway"]))
    assert Code.SUBJECT_SCOPE in codes(verify(approved))


def test_two_statements_with_one_number(approved: World) -> None:
    payload = {**approved.segments[1].payload, "t": "2026-03-01T09:00:00.000Z"}
    approved.put(sign(payload, approved.keys["gateway"]))
    assert Code.FORK in codes(verify(approved))


def test_gap_and_overlap_of_tree_ranges(world: World) -> None:
    world.read_hour(4, ["1"])
    world.sealed += 1
    world.read_hour(5, ["1", "2"])
    world.seal(5)
    world.approve(world.close_month())
    assert Code.RANGE_GAP in codes(verify(world))
    world = World()
    world.run_hours(2)
    world.sealed -= 1
    world.read_hour(2, ["1"])
    world.seal(2)
    world.approve(world.close_month())
    assert Code.RANGE_OVERLAP in codes(verify(world))


def test_clock_running_backwards_within_a_boot(world: World) -> None:
    world.read_hour(4, ["1"])
    world.seq -= 0
    clock = {"boot": "b1", "mono": 1, "off_ms": 0, "src": "ntp"}
    world.device("event", type="maintenance", data={"note": "x"}, clk=clock)
    world.seal(4)
    world.approve(world.close_month())
    assert Code.CLOCK_STEP_UNDECLARED in codes(verify(world))


def test_statement_anchored_after_its_own_entry(world: World) -> None:
    anchor = {"origin": "log.example/evidence", "size": 10_000, "root": "00" * 32}
    world.device("event", type="maintenance", data={"note": "x"}, anchor=anchor)
    world.approve(world.close_month())
    assert Code.TIME_CONTRADICTION in codes(verify(world))


def test_unknown_and_ended_keys(approved: World) -> None:
    thief = SigningKey.from_seed(seed("thief"))
    approved.put(sign({**approved.segments[0].payload, "seq": 99, "prev": "0" * 64}, thief))
    assert Code.KEY_UNKNOWN in codes(verify(approved))
    entry = approved.entries[0]
    for reason, code in (("compromised", Code.KEY_REVOKED), ("superseded", Code.KEY_SUPERSEDED)):
        approved.entries[0] = replace(entry, until_index=3, reason=reason)
        assert code in codes(verify(approved))


def test_old_trust_file_is_graded(approved: World) -> None:
    bundle = approved.pack()
    trust = approved.trust()
    for age, verdict in (
        (timedelta(days=6), Verdict.VALID),
        (timedelta(days=8), Verdict.VALID_WITH_WARNINGS),
        (timedelta(days=38), Verdict.INDETERMINATE),
    ):
        assert verify_bundle(bundle, trust, NOW + age).verdict is verdict
