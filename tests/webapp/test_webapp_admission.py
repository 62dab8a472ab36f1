"""What the log takes, holds and refuses, statement by statement; every refusal names its code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from device_double import GW, HOUR, START, Device, bare_center
from sqlalchemy.exc import OperationalError

from evidence.encoding import time_text
from evidence.errors import EvidenceError
from evidence.keys import SigningKey
from evidence.statement import Statement, sign
from sync import ItemResult, PushItem, Status
from webapp import chain_rules, enrolment, keyring, log_recovery, store_keys, store_log, store_plants
from webapp.admission import Admission
from webapp.center import Center
from webapp.submission import submit


@pytest.fixture
def center(tmp_path: Path) -> Center:
    return bare_center(tmp_path)


@pytest.fixture
def device(center: Center) -> Device:
    device = Device()
    device.enrol(center)
    return device


def one(center: Center, item: PushItem) -> ItemResult:
    return submit(center, [item])[0]


def refused(center: Center, item: PushItem) -> str | None:
    before = size(center)
    result = one(center, item)
    assert result.status is Status.REFUSED, result
    assert size(center) == before
    return result.code


def size(center: Center) -> int:
    with center.database.reading() as session:
        return store_log.size_of(session)


def test_segments_are_logged_in_order_with_receipts(center: Center, device: Device) -> None:
    results = submit(center, [device.config(), *(device.segment(hour) for hour in range(6))])
    assert {result.status for result in results} == {Status.LOGGED}
    with center.database.reading() as session:
        head = store_plants.chain(session, GW, 1)
        rows = store_log.period_entries(session, "P-0001", "2026-03", ["segment"])
    assert head is not None
    assert (head.seq, head.tree_end) == (7, 24)
    assert [row.tree_end for row in rows] == [4, 8, 12, 16, 20, 24]


def test_duplicate_push_gets_the_same_receipt_and_no_second_leaf(center: Center, device: Device) -> None:
    item = device.event()
    first = one(center, item)
    one(center, device.event())
    before = size(center)
    assert one(center, item) == first
    assert submit(center, [item, item]) == [first, first]
    assert size(center) == before


def test_reordered_statements_are_held_and_released_in_order(center: Center, device: Device) -> None:
    items = [device.config(), device.segment(0), device.segment(1), device.segment(2)]
    early = submit(center, [items[3], items[2], items[1]])
    assert [result.status for result in early] == [Status.HELD] * 3
    assert early[2].missing is not None
    assert one(center, items[0]).status is Status.LOGGED
    again = submit(center, items)
    assert {result.status for result in again} == {Status.LOGGED}
    with center.database.reading() as session:
        assert [row.seq for row in store_log.chain_entries(session, GW, 1, 1, 9)] == [1, 2, 3, 4]
        assert store_plants.count_held(session, GW) == 0


def test_fork_is_refused_and_both_statements_are_kept(center: Center, device: Device) -> None:
    honest = device.make("event", is_next=False, type="maintenance", data={"note": "a"})
    other = device.make("event", is_next=False, type="maintenance", data={"note": "b"})
    assert one(center, PushItem(honest.jws)).status is Status.LOGGED
    assert refused(center, PushItem(other.jws)) == "FORK"
    with center.database.reading() as session:
        forks = store_plants.forks(session, "P-0001")
    assert [(fork.jws, fork.logged_jws) for fork in forks] == [(other.jws, honest.jws)]


def test_a_refused_item_does_not_stop_the_others(center: Center, device: Device) -> None:
    items = [device.event(), PushItem("garbage"), device.event()]
    assert [result.status for result in submit(center, items)] == [Status.LOGGED, Status.REFUSED, Status.LOGGED]


def stumble(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let the centre's own code fail on an event that says so, after it was appended."""
    fold = chain_rules.fold

    def failing(session: Any, statement: Statement) -> Any:
        if statement.kind == "event" and statement.payload["data"].get("note") == "stumble":
            raise error
        return fold(session, statement)

    monkeypatch.setattr(chain_rules, "fold", failing)


def test_an_item_the_centre_stumbles_over_is_refused_alone(
    center: Center, device: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stumble(monkeypatch, OverflowError("date value out of range"))
    first = device.event()
    bad = PushItem(device.make("event", is_next=False, type="maintenance", data={"note": "stumble"}).jws)
    results = submit(center, [first, bad, device.event(), bad])
    assert [(result.status, result.code) for result in results] == [
        (Status.LOGGED, None),
        (Status.REFUSED, "SCHEMA"),
        (Status.LOGGED, None),
        (Status.REFUSED, "FORK"),
    ]
    assert "OverflowError" in caplog.text
    assert one(center, device.event()).status is Status.LOGGED
    with center.database.reading() as session:
        assert log_recovery.check(center.log, session) == size(center) == 5


def test_a_follower_the_centre_stumbles_over_does_not_spoil_its_predecessor(
    center: Center, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    stumble(monkeypatch, OverflowError("date value out of range"))
    first = device.event()
    follower = PushItem(device.make("event", is_next=False, type="maintenance", data={"note": "stumble"}).jws)
    assert one(center, follower).status is Status.HELD
    assert one(center, first).status is Status.LOGGED
    with center.database.reading() as session:
        assert store_plants.count_held(session, GW) == 0
        assert log_recovery.check(center.log, session) == 3


def test_a_failing_database_stops_the_batch_and_refuses_nothing(
    center: Center, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    stumble(monkeypatch, OperationalError("INSERT", {}, Exception("disk I/O error")))
    before = size(center)
    with pytest.raises(OperationalError):
        submit(center, [device.event(), device.event(data={"note": "stumble"})])
    assert size(center) == before


def test_times_of_an_event_that_no_month_can_have_count_for_no_month(center: Center, device: Device) -> None:
    data = {"from": "0001-01-01T00:00:00.000Z", "to": "9999-12-31T23:59:59.999Z", "reason": "clock"}
    assert one(center, device.event("gap", data=data)).status is Status.LOGGED
    with center.database.reading() as session:
        assert store_log.periods_of(session, "P-0001") == ["2026-03"]


Make = Callable[[Device, Center], PushItem]


def _stranger(device: Device, center: Center) -> PushItem:
    return replace(device, key=SigningKey.from_seed(b"s" * 32)).event()


def _forged(device: Device, center: Center) -> PushItem:
    head, _, signature = device.event().jws.rpartition(".")
    flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
    return PushItem(f"{head}.{flipped}")


def _other_plant(device: Device, center: Center) -> PushItem:
    return device.event(plant="P-0002")


def _other_gateway(device: Device, center: Center) -> PushItem:
    return device.event(gw="GW-9999")


def _future(device: Device, center: Center) -> PushItem:
    return device.event(t=time_text(center.now() + timedelta(minutes=6)))


def _two_dots(device: Device, center: Center) -> PushItem:
    return PushItem(device.event().jws.replace(".", "..", 1))


def _ledger(device: Device, center: Center) -> PushItem:
    payload = {
        "v": 1,
        "kind": "ledger",
        "plant": device.plant,
        "t": time_text(center.now()),
        "param": "scrap",
        "period": "2026-03",
        "value": "1",
        "unit": "t",
        "mode": "measured",
        "source": "x",
        "subjects": [],
    }
    return PushItem(sign(payload, device.key).jws)


def _self_enrolled(device: Device, center: Center) -> PushItem:
    return PushItem(device.enrolment(center, "no nonce of ours"))


def _approves_itself(device: Device, center: Center) -> PushItem:
    payload = {
        "v": 1,
        "kind": "key",
        "plant": device.plant,
        "t": time_text(center.now()),
        "op": "approve",
        "kid": device.key.kid,
        "owner": {"type": "person", "id": "me"},
        "roles": ["province"],
        "scope": {"region": ""},
    }
    return PushItem(sign(payload, device.key).jws)


def _ahead(device: Device, center: Center) -> PushItem:
    return device.event(anchor={"origin": "log.example/evidence", "size": 10_000, "root": "0" * 64})


def _other_log(device: Device, center: Center) -> PushItem:
    return device.event(anchor={"origin": "log.example/other", "size": 1, "root": "0" * 64})


def _never_signed(device: Device, center: Center) -> PushItem:
    return device.event(anchor={"origin": "log.example/evidence", "size": 2, "root": "0" * 64})


def _gap(device: Device, center: Center) -> PushItem:
    return device.segment(0, tree={"start": 1, "end": 5, "root": "0" * 64})


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (_stranger, "KEY_UNKNOWN"),
        (_forged, "SIGNATURE"),
        (_other_plant, "SUBJECT_SCOPE"),
        (_other_gateway, "SUBJECT_SCOPE"),
        (_future, "TIME_FUTURE"),
        (_two_dots, "ENCODING"),
        (_ledger, "ROLE"),
        (_self_enrolled, "ROLE"),
        (_approves_itself, "ROLE"),
        (_ahead, "TIME_CONTRADICTION"),
        (_other_log, "LOG_ORIGIN"),
        (_never_signed, "LOG_EQUIVOCATION"),
        (_gap, "RANGE_GAP"),
    ],
)
def test_refusal_names_its_code(center: Center, device: Device, make: Make, code: str) -> None:
    assert refused(center, make(device, center)) == code


def test_tree_must_go_on_where_it_ended(center: Center, device: Device) -> None:
    submit(center, [device.config(), device.segment(0)])
    for tree, code in (((3, 9), "RANGE_OVERLAP"), ((5, 9), "RANGE_GAP"), ((4, 9), "CONSISTENCY_FAIL")):
        start, end = tree
        wrong = device.make(
            "segment",
            is_next=False,
            tree={"start": start, "end": end, "root": "0" * 64},
            span=[time_text(START + HOUR), time_text(START + 2 * HOUR)],
            ch=[{"id": "ELEC.IMPORT", "n": end - start, "valid": 0}],
        )
        assert refused(center, PushItem(wrong.jws, ())) == code
    good = device.segment(1)
    assert refused(center, PushItem(good.jws, tuple("0" * 64 for _ in good.consistency or ()))) == "CONSISTENCY_FAIL"
    assert refused(center, PushItem(good.jws, ("zz",))) == "CONSISTENCY_FAIL"
    assert refused(center, PushItem(good.jws)) == "CONSISTENCY_FAIL"
    assert one(center, good).status is Status.LOGGED


def test_anchor_never_falls_and_must_be_ours(center: Center, device: Device) -> None:
    published = center.log.published()
    assert published is not None
    device.anchor = {"origin": published.origin, "size": published.size, "root": published.root.hex()}
    assert one(center, device.event()).status is Status.LOGGED
    stale = device.make("event", is_next=False, type="maintenance", data={}, anchor=None)
    assert refused(center, PushItem(stale.jws)) == "ANCHOR_STALE"


def test_monotonic_clock_runs_forward_within_a_boot(center: Center, device: Device) -> None:
    one(center, device.event())
    clock = {"boot": "b1", "mono": 5, "src": "ntp", "off_ms": 0}
    back = device.make("event", is_next=False, type="maintenance", data={}, clk=clock)
    assert refused(center, PushItem(back.jws)) == "CLOCK_STEP_UNDECLARED"
    rebooted = device.make("event", type="restart", data={"reason": "power"}, clk={**clock, "boot": "b2"})
    assert one(center, PushItem(rebooted.jws)).status is Status.LOGGED


def test_an_old_epoch_does_not_come_back(center: Center, device: Device) -> None:
    one(center, device.event())
    newer = replace(device, epoch=3, seq=0, prev=None)
    assert one(center, newer.event()).status is Status.LOGGED
    older = replace(device, epoch=2, seq=0, prev=None)
    assert refused(center, older.event()) == "SEQ_REGRESSION"
    assert one(center, device.event()).status is Status.LOGGED


@pytest.mark.parametrize("epoch", [18, 2**31, 2**53 - 1])
def test_an_epoch_far_ahead_is_refused_because_none_could_follow_it(center: Center, device: Device, epoch: int) -> None:
    one(center, device.event())
    ahead = replace(device, epoch=epoch, seq=0, prev=None)
    assert refused(center, ahead.event()) == "SEQ_REGRESSION"
    assert refused(center, ahead.event()) == "SEQ_REGRESSION"
    with center.database.reading() as session:
        assert store_plants.count_held(session, GW) == 0
    # A gateway may enrol anew several times before anything of an epoch gets through.
    assert one(center, replace(device, epoch=17, seq=0, prev=None).event()).status is Status.LOGGED


def test_a_predecessor_that_is_not_the_one_before_is_refused(center: Center, device: Device) -> None:
    first = device.event()
    submit(center, [first, device.event(), device.event()])
    with center.database.reading() as session:
        begin = store_log.by_number(session, GW, 1, 1)
    assert begin is not None
    skipping = device.make("event", is_next=False, type="maintenance", data={}, prev=begin.sid)
    assert refused(center, PushItem(skipping.jws)) == "SEQ_REGRESSION"


def test_a_held_forgery_costs_nothing_later(center: Center, device: Device) -> None:
    first, second = device.event(), device.event()
    forged = replace(device, seq=1, prev="f" * 64).event()
    assert one(center, forged).status is Status.HELD
    assert {result.status for result in submit(center, [first, second])} == {Status.LOGGED}


def test_reenrolment_ends_the_old_key_by_log_index(center: Center, device: Device) -> None:
    old = device.event()
    assert one(center, old).status is Status.LOGGED
    new = replace(device, key=SigningKey.from_seed(b"n" * 32), epoch=2, seq=0, prev=None)
    new.enrol(center)
    assert refused(center, device.event()) == "KEY_SUPERSEDED"
    assert one(center, new.event()).status is Status.LOGGED
    assert one(center, old).status is Status.LOGGED
    with center.database.reading() as session:
        entry = store_keys.find(session, device.key.kid)
    assert entry is not None
    assert entry.reason == "superseded"
    assert entry.until_index is not None
    assert entry.until_index > entry.from_index


def test_a_revoked_key_signs_nothing_more(center: Center, device: Device) -> None:
    def revoke(turn: Any) -> None:
        statement = keyring.revocation(center.registrar_key, device.key.kid, "P-0001", "compromised", turn.now)
        Admission(turn, center.log.origin).admit(statement.jws)

    center.log.sequence(revoke)
    assert refused(center, device.event()) == "KEY_REVOKED"


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"nonce": "another"}, "KEY_UNKNOWN"), ({"plant": "P-0002"}, "SUBJECT_SCOPE"), ({"kid": "A" * 43}, "KEY_UNKNOWN")],
)
def test_an_enrolment_must_answer_the_invitation(center: Center, changes: dict[str, Any], code: str) -> None:
    device = Device()
    invite = enrolment.invite_gateway(center, device.plant, device.gw)
    nonce = enrolment.start(center, invite).nonce
    with pytest.raises(EvidenceError) as caught:
        enrolment.finish(center, invite, device.enrolment(center, **{"nonce": nonce, **changes}))
    assert caught.value.code == code
    assert size(center) == 0
    enrolment.finish(center, invite, device.enrolment(center, nonce))


def test_a_code_works_once_but_a_lost_answer_can_be_asked_again(center: Center) -> None:
    device = Device()
    code = enrolment.invite_gateway(center, device.plant, device.gw)
    jws = device.enrolment(center, enrolment.start(center, code).nonce)
    first = enrolment.finish(center, code, jws)
    assert enrolment.finish(center, code, jws) == first
    assert size(center) == 2
    with pytest.raises(EvidenceError):
        enrolment.start(center, code)
    other = replace(device, key=SigningKey.from_seed(b"o" * 32))
    with pytest.raises(EvidenceError):
        enrolment.finish(center, code, other.enrolment(center, "x"))


def test_many_held_statements_have_a_limit(center: Center, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webapp.admission.MAX_HELD", 3)
    items = [device.event() for _ in range(6)]
    assert {result.status for result in submit(center, items[1:])} == {Status.HELD}
    with center.database.reading() as session:
        assert store_plants.count_held(session, GW) == 3
    one(center, items[0])
    assert {result.status for result in submit(center, items)} == {Status.LOGGED}


def test_a_statement_whose_predecessor_never_comes_is_forgotten_after_a_week(center: Center, device: Device) -> None:
    clock = [center.now()]
    center = replace(center, clock=lambda: clock[0])
    _, early, _, late = (device.event() for _ in range(4))
    assert one(center, early).status is Status.HELD
    clock[0] += timedelta(days=6)
    assert one(center, late).status is Status.HELD
    with center.database.reading() as session:
        assert store_plants.count_held(session, GW) == 2
    clock[0] += timedelta(days=2)
    assert one(center, late).status is Status.HELD
    with center.database.reading() as session:
        assert store_plants.count_held(session, GW) == 1
