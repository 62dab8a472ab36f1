"""Every code of the protocol is reached by a crime that is committed here, or it stands in the list of exceptions.

One crime a code, the simplest; the many others have test files of their own. A new code without a crime fails.
"""

import io
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from evidence_world import NOW, World, indexed, seed

from evidence.bundle import Bundle, read_bundle
from evidence.encoding import b64u, jcs, time_text
from evidence.errors import Code, EvidenceError
from evidence.keys import SigningKey
from evidence.statement import parse, sign
from evidence.verdict import Finding, Report, Verdict
from evidence.verify import verify_bundle

ELSEWHERE = {
    Code.KEY_SUSPECT: "keys under suspicion",
    Code.QUORUM: "witnesses",
    Code.CHALLENGE_FAIL: "the retention challenge",
    Code.LATE_COMMITMENT: "the time sandwich",
    Code.PENDING_OVERDUE: "the time sandwich",
    Code.TSA_FAIL: "time-stamps",
    Code.SM2_MISSING: "second signatures",
}
"""Codes whose crimes are committed where their subject is tested, or will be."""


def opened() -> World:
    world = World()
    world.run_hours(2)
    return world


def approved(**members: Any) -> World:
    world = opened()
    world.approve(world.close_month(**members))
    return world


def judged(world: World, bundle: Bundle | None = None, **trust: Any) -> Report:
    return verify_bundle(bundle or world.pack(), world.trust(**trust), NOW)


def with_statement(edit: Callable[[str], str]) -> Report:
    """Change the text of the first statement in its file."""
    world = approved()
    bundle = world.pack()
    sid = min(bundle.statements)
    changed = edit(bundle.statements[sid].decode()).encode()
    return judged(world, indexed(replace(bundle, statements={**bundle.statements, sid: changed})))


def with_header(**changes: Any) -> Report:
    def edit(jws: str) -> str:
        statement = parse(jws)
        header = {"alg": statement.alg, "kid": statement.kid, "typ": statement.typ, **changes}
        return f"{b64u(jcs(header))}.{jws.partition('.')[2]}"

    return with_statement(edit)


def with_forged(header: dict[str, Any], payload: bytes) -> Report:
    """Have the gateway sign something that it must not say."""
    world = approved()
    key = world.keys["gateway"]
    signing_input = f"{b64u(jcs({'alg': key.alg, 'kid': key.kid, **header}))}.{b64u(payload)}"
    world.log.append(f"{signing_input}.{b64u(key.sign(signing_input.encode()))}")
    return judged(world)


def with_file(folder: str, edit: Callable[[bytes], bytes | None]) -> Report:
    """Change one file of a folder, or leave it out."""
    world = approved()
    bundle = world.pack()
    files = dict(getattr(bundle, folder))
    name = min(files)
    changed = edit(files.pop(name))
    return judged(world, indexed(replace(bundle, **{folder: files if changed is None else {**files, name: changed}})))


def with_proof(edit: Callable[[str], str]) -> Report:
    return with_file("proofs", lambda data: edit(data.decode()).encode())


def put_after(who: str = "gateway", **changes: Any) -> Report:
    """Log a segment once more, with changes."""
    world = approved()
    world.put(sign({**world.segments[0].payload, **changes}, world.keys[who]))
    return judged(world)


def event_after(**members: Any) -> Report:
    world = approved()
    world.device("event", type="maintenance", data={"note": "x"}, **members)
    return judged(world)


def ended_key(reason: str) -> Report:
    world = approved()
    world.entries[0] = replace(world.entries[0], until_index=3, reason=reason)
    return judged(world)


def owners(name: str, owner: str) -> Report:
    world = opened()
    world.entries = [replace(one, owner_id=owner) if one.owner_id == name else one for one in world.entries]
    world.approve(world.close_month())
    return judged(world)


def two_at_one_place() -> Report:
    """The log gives two different entries for one place: its operator signs two checkpoints of one size."""
    one, other = approved(), approved()
    said = other.say("technician", "ledger", **LEDGER).jws
    other.log[-2:] = [said]
    bundle, theirs = one.pack(), other.pack()
    sid = parse(other.log[-1]).sid
    statements, proofs = {**bundle.statements, sid: theirs.statements[sid]}, {**bundle.proofs, sid: theirs.proofs[sid]}
    return judged(one, indexed(replace(bundle, statements=statements, proofs=proofs)))


LEDGER = {
    "param": "x",
    "value": "1",
    "unit": "t",
    "mode": "measured",
    "source": "s",
    "subjects": [],
    "period": "2026-03",
}


def another_past() -> Report:
    world = opened()
    truth = world.leaves[1]
    world.leaves[1] = replace(truth, unit="MWh")
    world.read_hour(2, ["1"])
    world.seal(2)
    world.leaves[1] = truth
    world.read_hour(3, ["1"])
    world.seal(3)
    world.approve(world.close_month())
    return judged(world, world.pack(tiles=(world.tile(0),)))


def exchanged_log() -> Report:
    world = approved()
    places = [place for place, jws in enumerate(world.log) if "seq" in parse(jws).payload]
    world.log[places[1]], world.log[places[0]] = world.log[places[0]], world.log[places[1]]
    return judged(world)


def without_kind(kind: str) -> Report:
    world = approved()
    bundle = world.pack(readings=())
    gone = next(sid for sid, jws in bundle.statements.items() if parse(jws.decode()).kind == kind)
    statements, proofs = dict(bundle.statements), dict(bundle.proofs)
    del statements[gone], proofs[gone]
    return judged(world, indexed(replace(bundle, statements=statements, proofs=proofs)))


def shifted(by: int) -> Report:
    world = opened()
    world.sealed += by
    world.read_hour(2, ["1", "2"])
    world.seal(2)
    world.approve(world.close_month())
    return judged(world)


def moved_reading() -> Report:
    world = approved()
    shown = world.disclosure(0)
    bundle = world.pack(readings=())
    return judged(world, indexed(replace(bundle, readings={"1-1": replace(shown, index=1).to_bytes()})))


def months(*, rev: int) -> Report:
    world = opened()
    first = world.close_month()
    for _ in range(2 if rev == 2 else 1):
        world.close_month(rev=rev, supersedes=first.sid if rev == 2 else None)
    return judged(world)


def declared(turn: Callable[[World, list[dict[str, Any]]], list[str]]) -> Report:
    world = opened()
    subjects = [world.attach("body.json", world.body()), world.attach("plan.json", b'{"plan":1}')]
    world.approve(world.close_month(declared=turn(world, subjects)))
    return judged(world)


def open_quality() -> Report:
    world = opened()
    world.edit_body = lambda body: body.update(issues=[{"code": "QUALITY_ERROR"}])
    world.approve(world.close_month())
    return judged(world)


def other_sum() -> Report:
    world = opened()
    world.edit_body = lambda body: body["channels"][0].update(sum="1.00")
    world.approve(world.close_month())
    return judged(world)


def fallen_anchor() -> Report:
    world = opened()
    for hour, size in ((2, 2), (3, 1)):
        world.anchor = {"origin": "log.example/evidence", "size": size, "root": "00" * 32}
        world.read_hour(hour, ["1"])
        world.seal(hour)
    world.approve(world.close_month())
    return judged(world)


def no_zip() -> Report:
    try:
        read_bundle(io.BytesIO(b"no zip"))
    except EvidenceError as error:
        return Report((Finding.of(error),), {}, NOW, 0)
    raise AssertionError("it was read")


THIEF = SigningKey.from_seed(seed("thief"))
EVENT = {"typ": "ev-event+jws"}
CRIMES: dict[Code, Callable[[], Report]] = {
    Code.ENCODING: lambda: with_statement(lambda jws: jws + "="),
    Code.HEADER: lambda: with_header(crit=["b64"]),
    Code.ALG: lambda: with_header(alg="none"),
    Code.KEY_UNKNOWN: lambda: with_header(kid=THIEF.kid),
    Code.KEY_REVOKED: lambda: ended_key("compromised"),
    Code.KEY_SUPERSEDED: lambda: ended_key("superseded"),
    Code.ROLE: lambda: put_after("technician"),
    Code.SUBJECT_SCOPE: lambda: put_after(plant="P-2"),
    Code.SIGNATURE: lambda: with_statement(lambda jws: jws[:-2] + ("AA" if not jws.endswith("AA") else "QQ")),
    Code.PAYLOAD: lambda: with_forged(EVENT, b'{"a":1,"a":1}'),
    Code.SCHEMA: lambda: with_forged(EVENT, b'{"v":1}'),
    Code.TYP_MISMATCH: lambda: with_forged({"typ": "ev-month+jws"}, jcs(dict(approved().segments[0].payload))),
    Code.NOT_LOGGED: lambda: with_file("proofs", lambda data: None),
    Code.LEAF_MISMATCH: lambda: with_file("readings", lambda data: data.replace(b'\\"N\\"', b'\\"X\\"')),
    Code.INCLUSION_FAIL: lambda: with_file("readings", lambda data: data.replace(b'\\"0.25\\"', b'\\"0.26\\"')),
    Code.CONSISTENCY_FAIL: another_past,
    Code.LOG_ORIGIN: lambda: event_after(anchor={"origin": "log.other", "size": 0, "root": "00" * 32}),
    Code.LOG_EQUIVOCATION: two_at_one_place,
    Code.CHECKPOINT_FORMAT: lambda: with_proof(lambda text: text.replace("index ", "index  ")),
    Code.FORK: lambda: put_after(t="2026-03-01T09:00:00.000Z"),
    Code.SEQ_REGRESSION: exchanged_log,
    Code.CHAIN_INCOMPLETE: lambda: without_kind("month"),
    Code.RANGE_GAP: lambda: shifted(1),
    Code.RANGE_OVERLAP: lambda: shifted(-1),
    Code.SEGMENT_MISSING: lambda: without_kind("segment"),
    Code.INDEX_MISMATCH: moved_reading,
    Code.PERIOD_DUPLICATE: lambda: months(rev=1),
    Code.SUPERSEDE_FORK: lambda: months(rev=2),
    Code.NOT_APPROVED: lambda: judged_unapproved(),
    Code.DECLARE_MISSING: lambda: without_kind("declare"),
    Code.DECLARE_ORDER: lambda: declared(lambda world, subjects: world.declare(subjects)[::-1]),
    Code.DECLARE_MISMATCH: lambda: declared(lambda world, subjects: world.declare(subjects[:1])),
    Code.SEPARATION_OF_DUTY: lambda: owners("wang", "li"),
    Code.QUALITY_OPEN: open_quality,
    Code.CONTENT_HASH: lambda: with_file("content", lambda data: data + b" "),
    Code.CONTENT_MISSING: lambda: with_file("content", lambda data: None),
    Code.CONTENT_EXTRA: lambda: with_extra_content(),
    Code.AGGREGATE_MISMATCH: other_sum,
    Code.ANCHOR_STALE: fallen_anchor,
    Code.TIME_CONTRADICTION: lambda: event_after(
        anchor={"origin": "log.example/evidence", "size": 10_000, "root": "00" * 32}
    ),
    Code.TIME_FUTURE: lambda: event_after(t=time_text(NOW + timedelta(minutes=6))),
    Code.CLOCK_STEP_UNDECLARED: lambda: event_after(t="2026-03-01T00:00:00.000Z"),
    Code.TRUST_STALE: lambda: judged(approved(), expires=NOW - timedelta(days=1), issued=NOW - timedelta(days=9)),
    Code.BUNDLE_FORMAT: no_zip,
}


def judged_unapproved() -> Report:
    world = opened()
    world.close_month()
    return judged(world)


def with_extra_content() -> Report:
    world = approved()
    world.attach("never listed", b"something else")
    return judged(world)


@pytest.mark.parametrize("code", CRIMES)
def test_crime_is_named_by_its_code(code: Code) -> None:
    report = CRIMES[code]()
    assert code in {finding.code for finding in report.findings}, report.findings
    assert report.verdict is not Verdict.VALID
    assert all(finding.detail and len(finding.detail) < 400 for finding in report.findings)


def test_honest_world_of_these_crimes_is_valid() -> None:
    assert judged(approved()).verdict is Verdict.VALID


def test_every_code_has_its_crime() -> None:
    assert missing(Code) == set()
    assert set(CRIMES) & set(ELSEWHERE) == set()


def missing(codes: Iterable[Code]) -> set[Code]:
    return set(codes) - set(CRIMES) - set(ELSEWHERE)
