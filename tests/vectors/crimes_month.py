"""Cases of whole months: the honest ones, and what is done to declarations, sums, covers, revisions and approvals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from evidence_world import START
from vector_case import Files, World, approved, case, month, opened, without

from evidence.channel import Channel, ChannelKind
from evidence.encoding import sha256_hex
from evidence.reading import Flag, Leaf
from evidence.statement import parse_envelope
from evidence.totaliser import Totaliser

INDETERMINATE = "INDETERMINATE"


@case("bundle/honest", "an approved month of two hours, with two readings disclosed")
def _() -> Files:
    return month(approved(2), shown=(0, 5))


@case("bundle/honest-hour-disclosed", "an approved month whose hour is disclosed whole and can be recomputed")
def _() -> Files:
    return month(approved(), shown=(0, 1, 2, 3))


@case("bundle/honest-total-disclosed", "a running total of four digits rolls over; its hour is disclosed whole")
def _() -> Files:
    return month(total_of("9991.5", "9999.5", "", "14.5"), shown=(0, 1, 2, 3))


@case("bundle/total-counts-too-much", "a running total says more use than its readings", "AGGREGATE_MISMATCH")
def _() -> Files:
    more = lambda entries: entries[0].update(use="230.0")  # noqa: E731
    return month(total_of("9991.5", "9999.5", "", "14.5", edit=more), shown=(0, 1, 2, 3))


def total_of(*values: str, edit: Callable[[list[dict[str, Any]]], None] = lambda entries: None) -> World:
    """Return an approved month of one hour whose meter is a running total; a missing value was not read."""
    world, rule = World(edit_entries=edit), Totaliser(Decimal(60), Decimal(1), modulus=Decimal(10_000))
    meter = Channel("E.KWH", "kWh", ChannelKind.TOTAL, timedelta(minutes=10), "meter", "modbus", totaliser=rule)
    world.channels = {meter.id: meter}
    world.run_hours(0)
    for index, value in enumerate(values):
        time, flag = START + timedelta(minutes=10 * index + 10), Flag.NORMAL if value else Flag.NO_COMMUNICATION
        world.leaves.append(Leaf(index, time, meter.id, Decimal(value) if value else None, "kWh", flag))
    (segment,) = [world.seal(0)]
    (entry,) = segment.payload["ch"]
    figures = {name: entry[name] for name in ("id", "n", "valid", "use")}
    world.edit_body = lambda body: body.update(channels=[{"gw": "GW-1", **figures}])
    world.approve(world.close_month())
    return world


@case("bundle/not-approved", "a month that nobody has reviewed", "NOT_APPROVED", verdict=INDETERMINATE)
def _() -> Files:
    world = opened()
    world.close_month()
    return month(world)


@case("bundle/returned", "the city returned the month", "NOT_APPROVED", verdict=INDETERMINATE)
def _() -> Files:
    world = opened()
    closed = world.close_month()
    world.review("city", closed.sid, closed.sid, "return")
    return month(world)


@case("bundle/rejected-by-the-nation", "approved twice, then rejected above", "NOT_APPROVED", verdict=INDETERMINATE)
def _() -> Files:
    world = opened()
    closed = world.close_month()
    world.approve(closed)
    world.review("nation", closed.sid, closed.sid, "reject")
    return month(world)


@case("bundle/province-before-city", "the province approved what no city had", "NOT_APPROVED", verdict=INDETERMINATE)
def _() -> Files:
    world = opened()
    closed = world.close_month()
    world.review("province", closed.sid, closed.sid)
    return month(world)


@case(
    "bundle/approval-of-revision-1-shown-for-revision-2",
    "only the superseded revision was approved",
    "NOT_APPROVED",
    verdict=INDETERMINATE,
)
def _() -> Files:
    world = opened()
    first = world.close_month()
    world.approve(first)
    world.close_month(rev=2, supersedes=first.sid)
    return month(world)


@case("bundle/second-revision", "revision 2 supersedes revision 1 and is approved")
def _() -> Files:
    world = opened()
    world.approve(world.close_month(rev=2, supersedes=world.close_month().sid))
    return month(world)


@case("bundle/superseded-twice", "two statements supersede one revision", "SUPERSEDE_FORK", "NOT_APPROVED")
def _() -> Files:
    world = opened()
    first = world.close_month()
    world.close_month(rev=2, supersedes=first.sid)
    world.close_month(rev=2, supersedes=first.sid)
    return month(world)


@case("bundle/revision-skipped", "revision 3 supersedes revision 1", "SUPERSEDE_FORK")
def _() -> Files:
    world = opened()
    world.approve(world.close_month(rev=3, supersedes=world.close_month().sid))
    return month(world)


@case("bundle/superseded-revision-left-out", "revision 2 alone", "CHAIN_INCOMPLETE", verdict=INDETERMINATE)
def _() -> Files:
    world = opened()
    world.approve(world.close_month(rev=2, supersedes="ab" * 32))
    return month(world)


@case("bundle/supersedes-another-statement", "revision 2 names another statement than revision 1", "SUPERSEDE_FORK")
def _() -> Files:
    world = opened()
    world.close_month()
    world.approve(world.close_month(rev=2, supersedes="ab" * 32))
    return month(world)


@case("bundle/month-before-is-a-later-one", "what it names as the month before is no earlier one", "CHAIN_INCOMPLETE")
def _() -> Files:
    world = opened()
    body = {"name": "body.json", "size": 1, "sha256": "ab" * 32, "type": "application/json"}
    said = {"period": "2026-04", "rev": 1, "supersedes": None, "prev_month": None, "subjects": [body]}
    later = world.device("month", **said, declared=["cd" * 32, "ef" * 32], cover=[])
    world.approve(world.close_month(prev_month=later.sid))
    return month(world)


@case("bundle/province-decides-for-the-nation", "province and nation are one person", "SEPARATION_OF_DUTY")
def _() -> Files:
    world = opened()
    closed = world.close_month()
    world.approve(closed)
    world.review("nation", closed.sid, closed.sid)
    return month(as_one_person(world, "nat-1", "prov-1"))


@case("bundle/submitted-twice", "two first revisions of one month", "PERIOD_DUPLICATE", "NOT_APPROVED", "DECLARE_ORDER")
def _() -> Files:
    world = opened()
    world.close_month()
    world.close_month()  # its declarations are those of the first, signed again and logged later
    return month(world)


@case("bundle/other-month-carried-along", "the chain carries another month along, which is not judged")
def _() -> Files:
    world = opened()
    body = {"name": "body.json", "size": 1, "sha256": "ab" * 32, "type": "application/json"}
    said = {"period": "2026-02", "rev": 1, "supersedes": None, "prev_month": None, "subjects": [body]}
    world.device("month", **said, declared=["cd" * 32, "ef" * 32], cover=[])
    world.approve(world.close_month())
    return month(world)


@case("bundle/aggregate-changed-and-signed", "the body's sum was changed, everybody signed it", "AGGREGATE_MISMATCH")
def _() -> Files:
    world = opened()
    world.edit_body = lambda body: body["channels"][0].update(sum="1.00")
    world.approve(world.close_month())
    return month(world)


@case("bundle/body-of-another-period", "the body speaks of another month", "AGGREGATE_MISMATCH")
def _() -> Files:
    world = opened()
    world.edit_body = lambda body: body.update(period="2026-02")
    world.approve(world.close_month())
    return month(world)


@case("bundle/body-without-channels", "body.json is no body", "PAYLOAD")
def _() -> Files:
    world = opened()
    world.edit_body = lambda body: body.pop("channels")
    world.approve(world.close_month())
    return month(world)


@case("bundle/body-counts-true", "true for 1 in the body", "AGGREGATE_MISMATCH")
def _() -> Files:
    world = World()
    world.run_hours(0)
    world.read_hour(0, ["1.5"])
    world.seal(0)
    world.edit_body = lambda body: body["channels"][0].update(n=True)
    world.approve(world.close_month())
    return month(world)


@case("bundle/body-is-a-list", "body.json holds a list", "PAYLOAD")
def _() -> Files:
    world = opened()
    body, plan = world.attach("body.json", b"[]"), world.attach("plan.json", b'{"plan":1}')
    world.approve(world.close_month(subjects=[body, plan], declared=world.declare([body, plan])))
    return month(world, content=without(world.content, sha256_hex(world.body())))


@case("bundle/body-names-a-gateway-by-number", "a channel's gateway is 1, no text", "PAYLOAD")
def _() -> Files:
    world = opened()
    world.edit_body = lambda body: body["channels"].append({**body["channels"][0], "gw": 1})
    world.approve(world.close_month())
    return month(world)


@case("bundle/gateway-lies-about-its-readings", "a segment's sum is not that of its readings", "AGGREGATE_MISMATCH")
def _() -> Files:
    world = World()
    world.edit_entries = lambda entries: entries[0].update(sum="7.93")
    world.run_hours(1)
    world.edit_body = lambda body: body["channels"][0].update(sum="7.93")
    world.approve(world.close_month())
    return month(world, shown=(0, 1, 2, 3))


@case("bundle/hour-that-starts-late", "an entry speaks of an hour that begins at 00:01", "SCHEMA")
def _() -> Files:
    world = World()
    world.edit_entries = lambda entries: entries[0].update(hour="2026-02-28T16:01:00.000Z")
    world.run_hours(1)
    world.approve(world.close_month())
    return month(world)


@case("bundle/declarations-missing", "nobody's declarations are here", "DECLARE_MISSING")
def _() -> Files:
    world = opened()
    world.approve(world.close_month(declared=["cd" * 32, "ef" * 32]))
    world.log = [jws for jws in world.log if parse_envelope(jws).payload["kind"] != "declare"]
    return month(world)


@case("bundle/declared-in-reverse", "the responsible person stands first", "DECLARE_ORDER")
def _() -> Files:
    world = opened()
    subjects = [world.attach("body.json", world.body()), world.attach("plan.json", b'{"plan":1}')]
    sids = world.declare(subjects)
    world.approve(world.close_month(declared=sids[::-1]))
    return month(world)


@case("bundle/month-logged-before-its-declarations", "the log took the month first", "DECLARE_ORDER")
def _() -> Files:
    world = approved()
    first = [parse_envelope(jws).payload["kind"] for jws in world.log].index("declare")
    world.log[first : first + 3] = [world.log[first + 2], world.log[first], world.log[first + 1]]
    return month(world)


def as_one_person(world: World, owner: str, other: str) -> World:
    """Let the key of one person belong to another one too."""
    world.entries = [replace(one, owner_id=other) if one.owner_id == owner else one for one in world.entries]
    return world


@case("bundle/one-person-declared-twice", "technician and responsible person are one", "SEPARATION_OF_DUTY")
def _() -> Files:
    return month(as_one_person(approved(), "wang", "li"))


@case("bundle/declarer-reviewed", "the city's reviewer is the plant's technician", "SEPARATION_OF_DUTY")
def _() -> Files:
    return month(as_one_person(approved(), "city-1", "li"))


@case("bundle/one-person-reviewed-twice", "city and province are one person", "SEPARATION_OF_DUTY")
def _() -> Files:
    return month(as_one_person(approved(), "prov-1", "city-1"))


def declared_otherwise(change: Callable[[dict[str, Any]], Any]) -> World:
    """Return a month whose attachment was changed between declaration and seal."""
    world = opened()
    body, plan = world.attach("body.json", world.body()), world.attach("plan.json", b'{"plan":1}')
    change(plan)
    world.approve(world.close_month(declared=world.declare([body, plan])))
    return world


@case("bundle/attachment-swapped", "people declared another plan than the month lists", "DECLARE_MISMATCH")
def _() -> Files:
    return month(declared_otherwise(lambda plan: plan.update(sha256="ab" * 32)))


@case("bundle/attachment-renamed", "people declared the file under another name", "DECLARE_MISMATCH")
def _() -> Files:
    return month(declared_otherwise(lambda plan: plan.update(name="report.json")))


@case("bundle/attachment-retyped", "people declared the file as another type", "DECLARE_MISMATCH")
def _() -> Files:
    return month(declared_otherwise(lambda plan: plan.update(type="text/plain")))


@case("bundle/attachment-of-another-size", "month and declarations state a wrong size", "CONTENT_HASH")
def _() -> Files:
    world = opened()
    subjects = [world.attach("body.json", world.body()), {**world.attach("plan.json", b'{"plan":1}'), "size": 11}]
    world.approve(world.close_month(subjects=subjects, declared=world.declare(subjects)))
    return month(world)


@case("bundle/body-is-not-first", "the first subject is not body.json", "DECLARE_MISMATCH")
def _() -> Files:
    world = opened()
    subjects = [world.attach("plan.json", b'{"plan":1}'), world.attach("body.json", world.body())]
    world.approve(world.close_month(subjects=subjects, declared=world.declare(subjects)))
    return month(world)


def with_errors(reason: str | None) -> World:
    """Return a month whose body has a finding of severity E, declared with or without a reason."""
    world = opened()
    world.edit_body = lambda body: body.update(issues=[{"code": "QUALITY_ERROR", "where": "GW-1/E.KWH"}])
    subjects = [world.attach("body.json", world.body()), world.attach("plan.json", b'{"plan":1}')]
    said: dict[str, Any] = {"period": "2026-03", "rev": 1, "subjects": subjects}
    why = {} if reason is None else {"reason": reason}
    first = world.say("technician", "declare", role="technician", after=None, **said, **why)
    second = world.say("responsible", "declare", role="responsible", after=first.sid, **said)
    world.approve(world.close_month(declared=[first.sid, second.sid]))
    return world


@case("bundle/errors-without-a-reason", "findings of severity E, and no word why they stand", "QUALITY_OPEN")
def _() -> Files:
    return month(with_errors(None))


@case("bundle/errors-with-a-blank-reason", "the reason is an ideographic space", "QUALITY_OPEN")
def _() -> Files:
    return month(with_errors("\u3000"))


@case("bundle/errors-with-a-reason", "findings of severity E, and the technician said why they stand")
def _() -> Files:
    return month(with_errors("电表三日更换，见附件"))


@case("bundle/cover-repeats", "the cover names one gateway and epoch twice", "RANGE_OVERLAP", "AGGREGATE_MISMATCH")
def _() -> Files:
    world = opened()
    twice = world.cover() * 2
    world.edit_body = lambda body: body.update(cover=twice)
    world.approve(world.close_month(cover=twice))
    return month(world)


@case(
    "bundle/cover-runs-backwards",
    "the cover begins with the last hour and ends with the first",
    "SEGMENT_MISSING",
    "AGGREGATE_MISMATCH",
)
def _() -> Files:
    world = opened(2)
    (cover,) = world.cover()
    turned = [{**cover, "first": cover["last"], "last": cover["first"]}]
    world.edit_body = lambda body: body.update(cover=turned)
    world.approve(world.close_month(cover=turned))
    return month(world)


@case("bundle/cover-leaves-out-an-hour", "the cover ends before the last hour", "SEGMENT_MISSING")
def _() -> Files:
    world = opened(2)
    segments, world.segments = world.segments, world.segments[:1]
    half, counted = world.cover(), {"n": 4, "valid": 4, "sum": "7.92"}
    world.edit_body = lambda body: body.update(cover=half, channels=[{**body["channels"][0], **counted}])
    closed, world.segments = world.close_month(cover=half), segments
    world.approve(closed)
    return month(world)


@case("bundle/late-hour-is-a-supplement", "an hour that was logged after the declarations changes nothing")
def _() -> Files:
    world = opened()
    closed = world.close_month()
    world.read_hour(1, ["9.5"])
    world.seal(1)
    world.segments.pop()
    world.approve(closed)
    return month(world)
