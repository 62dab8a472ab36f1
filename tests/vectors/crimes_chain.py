# ruff: noqa: E501 - tables of cases read better on one line each
"""Cases of the gateway's chain, its readings and the files: what a plant edits, drops, back-dates, replays or clones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from evidence_world import NOW, ORIGIN, START, indexed
from vector_case import Files, World, alone, approved, case, few, flipped, month, opened, packed, sign, without

from evidence.disclosure import Disclosure
from evidence.encoding import canonical_json, jcs, sha256_hex, time_text
from evidence.merkle import inclusion_proof, root
from evidence.reading import Flag, Leaf
from evidence.statement import parse_envelope

INDETERMINATE = "INDETERMINATE"


def disclosed(change: dict[str, Any], index: int = 1) -> Files:
    """Disclose one reading of a segment, with members of the disclosure replaced."""
    world = opened()
    said = {**canonical_json(world.disclosure(index).to_bytes()), **change}
    return alone(world.segments[0], "reading.json", jcs(said), world)


def line(old: str, new: str) -> dict[str, Any]:
    """Change the line of reading 1."""
    return {"line": opened().disclosure(1).line.replace(old, new)}


@case("reading/edited", "a stored reading was edited: 3.17 became 3.18", "INCLUSION_FAIL")
def _() -> Files:
    return disclosed(line('"3.17"', '"3.18"'))


@case("reading/flagged-away", "the flag of a reading was changed", "INCLUSION_FAIL")
def _() -> Files:
    return disclosed(line('"N"', '"D"'))


@case("reading/in-another-spelling", "3.17 written 03.17", "LEAF_MISMATCH")
def _() -> Files:
    return disclosed(line('"3.17"', '"03.17"'))


@case("reading/with-spaces", "a leaf line with a space in it", "LEAF_MISMATCH")
def _() -> Files:
    return disclosed(line('"r1",1', '"r1", 1'))


@case("reading/with-loose-salt", "the salt has loose trailing bits", "ENCODING")
def _() -> Files:
    text = opened().disclosure(1).line
    return disclosed({"line": text[:-3] + chr(ord(text[-3]) + 1) + text[-2:]})


@case("reading/whose-salt-is-a-number", "the salt is no text", "LEAF_MISMATCH")
def _() -> Files:
    text = opened().disclosure(1).line
    return disclosed({"line": f"{text.rpartition(',')[0]},7]"})


@case("reading/whose-path-is-a-text", "the path of a proof is no list", "LEAF_MISMATCH")
def _() -> Files:
    return disclosed({"path": ""})


@case("reading/of-version-true", "true for 1", "LEAF_MISMATCH")
def _() -> Files:
    return disclosed({"v": True})


@case("reading/at-another-place", "reading 1 is shown as reading 2", "INDEX_MISMATCH")
def _() -> Files:
    return disclosed({"index": 2})


@case("reading/of-another-gateway", "the disclosure names another gateway", "INDEX_MISMATCH")
def _() -> Files:
    return disclosed({"gw": "GW-2"})


@case("reading/of-an-unknown-segment", "the segment of the reading is not here", "LEAF_MISMATCH")
def _() -> Files:
    return disclosed({"segment": "ab" * 32})


@case("reading/with-one-member-more", "a disclosure has exactly eight members", "LEAF_MISMATCH")
def _() -> Files:
    return disclosed({"note": "x"})


@case("reading/with-a-short-path", "the proof of a reading is too short", "INCLUSION_FAIL")
def _() -> Files:
    return disclosed({"path": canonical_json(opened().disclosure(1).to_bytes())["path"][:-1]})


@case("reading/honest", "a reading and the segment that commits to it")
def _() -> Files:
    return disclosed({})


@case("bundle/reading-edited", "a stored reading was edited: 3.17 became 3.18", "INCLUSION_FAIL")
def _() -> Files:
    world = approved()
    return month(world, readings={"1-1": world.disclosure(1).to_bytes().replace(b"3.17", b"3.18")})


@case("reading/not-canonical", "a disclosure with a line break behind it", "PAYLOAD")
def _() -> Files:
    world = opened()
    return alone(world.segments[0], "reading.json", world.disclosure(1).to_bytes() + b"\n", world)


@case("bundle/reading-file-renamed", "the file name is that of another reading", "INDEX_MISMATCH")
def _() -> Files:
    world = opened()
    return few(world, shown=(), readings={"1-2": world.disclosure(1).to_bytes()})


@case(
    "reading/moved-up-as-another-was-cut-out",
    "a reading was cut out after the seal, the rest moved up",
    "INCLUSION_FAIL",
)
def _() -> Files:
    world = opened()
    segment = world.segments[0]
    del world.leaves[1]
    world.leaves = [replace(leaf, index=index) for index, leaf in enumerate(world.leaves)]
    path = tuple(inclusion_proof(world.hashes(), 1))
    cut = Disclosure("GW-1", 1, segment.sid, world.line(world.leaves[1]).decode(), 1, 4, path)
    return alone(segment, "reading.json", cut.to_bytes(), world)


def drop(world: World, kind: str, position: int = 0) -> Files:
    """Leave one statement and its receipt out of the bundle."""
    bundle = world.pack(readings=())
    sids = [
        sha256_hex(jws.rpartition(".")[0].encode()) for jws in world.log if parse_envelope(jws).payload["kind"] == kind
    ]
    rest = {name: without(getattr(bundle, name), sids[position]) for name in ("statements", "proofs")}
    return packed(indexed(replace(bundle, **rest)), world.trust())


@case(
    "bundle/segment-dropped",
    "the middle hour of three is left out",
    "CHAIN_INCOMPLETE",
    "RANGE_GAP",
    "SEGMENT_MISSING",
    "AGGREGATE_MISMATCH",
)
def _() -> Files:
    return drop(approved(3), "segment", 1)


@case("bundle/last-segment-dropped", "the last hour is left out", "SEGMENT_MISSING", "AGGREGATE_MISMATCH")
def _() -> Files:
    return drop(approved(2), "segment", 1)


@case(
    "bundle/declaration-of-a-channel-dropped",
    "nobody can tell what the channel is",
    "CHAIN_INCOMPLETE",
    verdict=INDETERMINATE,
)
def _() -> Files:
    return drop(approved(), "event", 0)


@case("bundle/declaration-dropped", "the technician's declaration is left out", "DECLARE_MISSING")
def _() -> Files:
    return drop(approved(), "declare")


@case("bundle/review-dropped", "the city's approval is left out", "NOT_APPROVED", verdict=INDETERMINATE)
def _() -> Files:
    return drop(approved(), "review")


@case("bundle/month-dropped", "no month is here", "CHAIN_INCOMPLETE", verdict=INDETERMINATE)
def _() -> Files:
    return drop(approved(), "month")


@case("bundle/empty", "a bundle of nothing but its index", "CHAIN_INCOMPLETE", verdict=INDETERMINATE)
def _() -> Files:
    return month(World())


@case("bundle/event-dropped-between-hours", "a restart between two hours is left out", "CHAIN_INCOMPLETE")
def _() -> Files:
    world = opened()
    world.device("event", type="restart", data={"reason": "power"})
    world.read_hour(1, ["1"])
    world.seal(1)
    world.approve(world.close_month())
    return drop(world, "event", 1)


@case("bundle/renumbered-and-signed-again", "an hour was cut out, the next renumbered and signed", "FORK")
def _() -> Files:
    world = approved(2)
    payload = {**world.segments[1].payload, "seq": 2, "prev": world.segments[0].payload["prev"]}
    world.put(sign(payload, world.keys["gateway"]))
    return month(world)


@case("bundle/two-gateways-with-one-key", "a clone signs under the numbers of the gateway", "FORK")
def _() -> Files:
    world = opened()
    clone = world.segments[0].payload
    world.put(sign({**clone, "clk": {**clone["clk"], "boot": "clone"}}, world.keys["gateway"]))
    return few(world)


@case("bundle/key-lent-to-another-gateway", "the key of GW-1 signs as GW-2", "SUBJECT_SCOPE")
def _() -> Files:
    world = opened()
    world.put(sign({**world.segments[0].payload, "gw": "GW-2"}, world.keys["gateway"]))
    return few(world)


@case("bundle/restored-from-an-old-image", "old numbers and an old anchor come again", "FORK", "ANCHOR_STALE")
def _() -> Files:
    world = opened()
    image = (world.seq, world.prev)
    for size, boot in ((2, "b1"), (1, "b2")):
        world.seq, world.prev = image
        anchor = {"origin": ORIGIN, "size": size, "root": "00" * 32}
        world.device("event", type="restart", data={"reason": "power"}, boot=boot, anchor=anchor)
    world.read_hour(1, ["1"])
    world.seal(1)
    world.approve(world.close_month())
    return month(world)


@case("bundle/range-gap", "a reading between two hours belongs to none", "RANGE_GAP")
def _() -> Files:
    world = opened()
    world.read_hour(1, ["1"])
    world.sealed += 1
    world.read_hour(2, ["1", "2"])
    world.seal(2)
    counted = world.leaves[:4] + world.leaves[5:]
    figures = {"n": 6, "valid": 6, "sum": str(sum(leaf.value for leaf in counted if leaf.value is not None))}
    world.edit_body = lambda body: body["channels"][0].update(figures)
    world.approve(world.close_month())
    return month(world)


@case("bundle/range-overlap", "two hours cover one reading", "RANGE_OVERLAP", "AGGREGATE_MISMATCH")
def _() -> Files:
    world = opened()
    world.sealed -= 1
    world.read_hour(1, ["1"])
    world.seal(1)
    world.approve(world.close_month())
    return month(world)


@case("bundle/chain-broken", "a statement names another predecessor", "CHAIN_INCOMPLETE")
def _() -> Files:
    world = opened()
    world.prev = "ab" * 32
    world.read_hour(1, ["1"])
    world.seal(1)
    world.approve(world.close_month())
    return month(world)


@case("bundle/clock-set-back", "the monotonic clock ran backwards within one boot", "CLOCK_STEP_UNDECLARED")
def _() -> Files:
    world = opened()
    clock = {"boot": "b1", "mono": 1, "off_ms": 0, "src": "ntp"}
    world.device("event", type="maintenance", data={"note": "x"}, clk=clock)
    world.read_hour(1, ["1"])
    world.seal(1)
    world.approve(world.close_month())
    return month(world)


def anchored(*sizes: int | None, origin: str = ORIGIN) -> World:
    """Return a month in which the events between two hours bear these anchors."""
    world = opened()
    for size in sizes:
        anchor = None if size is None else {"origin": origin, "size": size, "root": "00" * 32}
        world.device("event", type="maintenance", data={"note": "x"}, anchor=anchor)
    world.read_hour(1, ["1"])
    world.seal(1)
    world.approve(world.close_month())
    return world


@case(
    "bundle/anchor-fell-behind",
    "the anchor is smaller than that of the statement before",
    "ANCHOR_STALE",
)
def _() -> Files:
    return month(anchored(2, 1))


@case("bundle/logged-against-the-numbers", "the log took a statement before the one it follows", "SEQ_REGRESSION")
def _() -> Files:
    world = opened(2)
    at = [parse_envelope(jws).sid for jws in world.log].index(world.segments[0].sid)
    world.log[at : at + 2] = world.log[at : at + 2][::-1]
    return few(world)


def second_epoch(place: int) -> World:
    """Return an hour after which the gateway's next epoch begins, logged at a place."""
    world = opened()
    world.seq, world.prev = 0, None
    world.device("event", type="epoch-open", data={"reason": "lost tree"}, epoch=2, boot="b2")
    world.log.insert(place, world.log.pop())
    return world


@case("bundle/second-epoch", "a gateway began a new epoch after its month")
def _() -> Files:
    return few(second_epoch(99))


@case("bundle/second-epoch-before-the-first", "the log took the second epoch before the first began", "SEQ_REGRESSION")
def _() -> Files:
    return few(second_epoch(0))


def then(*events: dict[str, Any]) -> World:
    """Return an hour after which the gateway signed these events."""
    world = opened()
    for event in events:
        world.device("event", **{"type": "maintenance", "data": {"note": "x"}, **event})
    return world


@case("bundle/boot-that-comes-back", "a boot goes on after another began", "CLOCK_STEP_UNDECLARED")
def _() -> Files:
    return few(then({"boot": "b2"}, {"boot": "b1"}))


@case("bundle/boots-one-after-another", "a gateway started twice")
def _() -> Files:
    return few(then({"boot": "b2"}, {"boot": "b3"}))


@case("bundle/clock-fell", "the wall clock fell by an hour, and no event says so", "CLOCK_STEP_UNDECLARED")
def _() -> Files:
    return few(then({"t": "2026-04-03T23:00:00.000Z"}))


@case("bundle/clock-fell-and-the-gateway-said-so", "the wall clock fell by an hour, and an event beside it says so")
def _() -> Files:
    return few(then({"t": "2026-04-03T23:00:00.000Z"}, {"type": "clock-step", "data": {"before": "x", "after": "y"}}))


@case("bundle/clock-fell-by-two-seconds", "two seconds are no step")
def _() -> Files:
    return few(then({"t": "2026-04-03T23:59:58.000Z"}))


@case(
    "bundle/statement-before-its-anchor",
    "logged at an index that its anchor already counts",
    "TIME_CONTRADICTION",
    "ANCHOR_STALE",
)
def _() -> Files:
    return month(anchored(10_000))


@case("bundle/anchor-of-another-log", "the anchor names another log", "LOG_ORIGIN", "ANCHOR_STALE")
def _() -> Files:
    return month(anchored(2, origin="log.example/other"))


@case(
    "bundle/signed-in-the-future",
    "signed ten minutes after the moment of checking",
    "TIME_FUTURE",
    at=NOW - timedelta(days=1, minutes=10),
)
def _() -> Files:
    return month(approved())


@case(
    "bundle/reading-of-the-last-day-of-the-calendar",
    "a reading of which no zone can tell the hour",
    "AGGREGATE_MISMATCH",
)
def _() -> Files:
    world = World()
    world.run_hours(0)
    world.leaves.append(Leaf(0, datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "E.KWH", Decimal(1), "kWh", Flag.NORMAL))
    entry = {"id": "E.KWH", "n": 1, "valid": 1, "sum": "1", "min": "1", "max": "1"}
    tree = {"start": 0, "end": 1, "root": root(world.hashes()).hex()}
    span = [time_text(START), time_text(START + timedelta(hours=1))]
    world.segments.append(world.device("segment", tree=tree, span=span, ch=[entry]))
    world.approve(world.close_month())
    return month(world, shown=(0,))


@case("bundle/another-plants-statement", "a segment of a plant that the key is not for", "SUBJECT_SCOPE")
def _() -> Files:
    world = opened()
    world.put(sign({**world.segments[0].payload, "plant": "P-2"}, world.keys["gateway"]))
    return few(world)


PLAN, REPORT = (sha256_hex(data) for data in (b'{"plan":1}', b"report"))


@case("bundle/attachment-edited", "a byte of the plan was changed", "CONTENT_HASH")
def _() -> Files:
    world = approved()
    return month(world, content={**world.content, PLAN: flipped(world.content[PLAN], -2)})


@case("bundle/body-edited", "a byte of the body was changed and not signed again", "CONTENT_HASH", "AGGREGATE_MISMATCH")
def _() -> Files:
    world = approved()
    digest, body = next((name, data) for name, data in world.content.items() if b'"channels"' in data)
    return month(world, content={**world.content, digest: body.replace(b'"sum":"7.92"', b'"sum":"7.93"')})


@case("bundle/attachment-missing", "the plan is not here", "CONTENT_MISSING", verdict=INDETERMINATE)
def _() -> Files:
    world = approved()
    return month(world, content=without(world.content, PLAN))


@case("bundle/report-missing", "what the reviewers looked at is not here", "CONTENT_MISSING", verdict=INDETERMINATE)
def _() -> Files:
    world = approved()
    return month(world, content=without(world.content, REPORT))


@case("bundle/body-missing", "the body is not here", "CONTENT_MISSING", verdict=INDETERMINATE)
def _() -> Files:
    world = approved()
    return month(world, content={name: data for name, data in world.content.items() if b'"channels"' not in data})


@case("bundle/attachment-extra", "a file that nobody listed", "CONTENT_EXTRA")
def _() -> Files:
    world = approved()
    return month(world, content={**world.content, sha256_hex(b"x"): b"x"})


@case("bundle/second-signature-extra", "an SM2 signature that no plant's policy asks for", "CONTENT_EXTRA")
def _() -> Files:
    world = approved()
    return month(world, sm2={world.segments[0].sid: b"0"})


@case(
    "bundle/trust-expired",
    "the trust file expired six days ago",
    "TRUST_STALE",
    verdict="VALID_WITH_WARNINGS",
    at=NOW + timedelta(days=13),
)
def _() -> Files:
    return month(approved())


@case(
    "bundle/trust-much-too-old",
    "the trust file expired 31 days ago",
    "TRUST_STALE",
    verdict=INDETERMINATE,
    at=NOW + timedelta(days=38),
)
def _() -> Files:
    return month(approved())
