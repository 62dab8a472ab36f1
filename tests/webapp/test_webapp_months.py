"""A month from draft to approval and bundle, and every step taken out of turn."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from device_double import GW, Device, bare_center
from views_world import Person

from accounting.errors import AccountingError
from accounting.recompute import recompute
from evidence.bundle import read_bundle
from evidence.encoding import b64u, sha256_hex, strict_json, time_text
from evidence.errors import EvidenceError
from evidence.keys import ES256
from evidence.statement import parse
from evidence.verify import verify_bundle
from sync import ItemResult, PushItem, Status
from webapp import (
    accounts,
    administration,
    drafts,
    enrolment,
    export,
    reports,
    store_contents,
    store_log,
    store_readings,
    store_users,
    tile_wants,
)
from webapp.center import Center
from webapp.errors import CenterError
from webapp.models import Draft, MonthState, User
from webapp.submission import submit, submit_for

PERIOD = "2026-03"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PEOPLE = {
    "tech": ("technician", ["P-0001"], ""),
    "tech2": ("technician", ["P-0001"], ""),
    "resp": ("responsible", ["P-0001"], ""),
    "city": ("city", [], "4201"),
    "city2": ("city", [], "4201"),
    "far": ("city", [], "3101"),
    "prov": ("province", [], "42"),
    "nation": ("nation", [], ""),
}


@dataclass
class Chain:
    """A centre, its gateway and people who act in the order a test says."""

    center: Center
    device: Device = field(default_factory=Device)
    people: dict[str, Person] = field(default_factory=dict)

    def person(self, name: str) -> Person:
        """Make the account and its key when it is first needed."""
        if name not in self.people:
            role, plants, region = PEOPLE[name]
            administration.add_user(
                self.center, name=name, role=role, password="long enough", plants=plants, region=region
            )
            self.people[name] = Person(self.center, name)
            assert self.people[name].enrol() is None
        return self.people[name]

    def submit(self, name: str, **members: Any) -> ItemResult:
        person = self.person(name)
        with self.center.database.reading() as session:
            account = store_users.find(session, name)
        assert account is not None
        return submit_for(self.center, account, person.sign(plant="P-0001", **members))

    def ledger(self, param: str, value: str, name: str = "tech", **members: Any) -> ItemResult:
        return self.submit(
            name,
            kind="ledger",
            **{
                "param": param,
                "period": PERIOD,
                "value": value,
                "unit": "t",
                "mode": "measured",
                "source": "weighbridge",
                "subjects": [],
                **members,
            },
        )

    def declare(self, name: str, draft: Draft, after: str | None = None, **members: Any) -> ItemResult:
        given = {
            "role": PEOPLE[name][0],
            "period": PERIOD,
            "rev": draft.rev,
            "subjects": draft.subjects,
            "after": after,
        }
        return self.submit(name, kind="declare", **{**given, **members})

    def month(self, draft: Draft, said: list[str], **members: Any) -> ItemResult:
        given = {
            "t": time_text(self.center.now()),
            "period": PERIOD,
            "rev": draft.rev,
            "supersedes": None,
            "prev_month": None,
            "subjects": draft.subjects,
            "declared": said,
            "cover": draft.cover,
        }
        before = (self.device.seq, self.device.prev)
        result = submit(self.center, [PushItem(self.device.make("month", **{**given, **members}).jws)])[0]
        if result.status is not Status.LOGGED:
            self.device.seq, self.device.prev = before
        return result

    def review(self, name: str, subject: str, after: str, decision: str = "approve", **members: Any) -> ItemResult:
        return self.submit(
            name,
            kind="review",
            **{
                "level": PEOPLE[name][0],
                "subject": subject,
                "decision": decision,
                "after": after,
                "report": self.report(),
                "note": "",
                "anchor": None,
                **members,
            },
        )

    def report(self) -> str:
        """The verifier's report as the review page hands it over."""
        with self.center.database.writing() as session:
            return reports.keep(session, "P-0001", PERIOD, b'{"verdict":"VALID"}', self.center.now())

    def signed_month(self) -> tuple[Draft, str]:
        """Go as far as the signed month."""
        draft = drafts.compose(self.center, "P-0001", PERIOD)
        first = logged(self.declare("tech", draft))
        second = logged(self.declare("resp", draft, first))
        return draft, logged(self.month(draft, [first, second]))

    def status(self) -> str:
        with self.center.database.reading() as session:
            state = session.get(MonthState, ("P-0001", PERIOD))
        assert state is not None
        return state.status


def logged(result: ItemResult) -> str:
    assert result.status is Status.LOGGED, result
    return result.sid


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    monkeypatch.setattr(accounts, "hash_password", lambda password: "no login in these tests")
    chain = Chain(bare_center(tmp_path))
    chain.device.enrol(chain.center)
    items = [chain.device.config(), *(chain.device.segment(hour) for hour in range(5))]
    assert {result.status for result in submit(chain.center, items)} == {Status.LOGGED}
    logged(chain.ledger("scrap", "100.5"))
    logged(chain.ledger("crude_steel", "90"))
    return chain


def test_month_goes_from_draft_to_province_and_its_bundle_verifies_offline(chain: Chain) -> None:
    draft, month = chain.signed_month()
    assert chain.status() == "signed"
    city = logged(chain.review("city", month, month))
    assert chain.status() == "approved_city"
    logged(chain.review("prov", month, city))
    assert chain.status() == "approved_province"
    data = export.month_bundle(chain.center, "P-0001", PERIOD)
    assert data is not None
    assert export.month_bundle(chain.center, "P-0001", PERIOD) == data
    bundle = read_bundle(io.BytesIO(data))
    report = verify_bundle(bundle, export.trust(chain.center), chain.center.now()).to_json()
    assert report["verdict"] == "VALID", report
    assert chain.report() in bundle.content
    body = strict_json(bundle.content[draft.body_sha256])
    electricity = next(item for item in body["items"] if item["id"] == "electricity")
    assert electricity["quantity"].rstrip("0") == "2.41"


def test_bundle_recomputes_to_the_same_body(chain: Chain) -> None:
    _, month = chain.signed_month()
    logged(chain.ledger("scrap", "7"))
    data = export.month_bundle(chain.center, "P-0001", PERIOD)
    assert data is not None
    results = recompute(read_bundle(io.BytesIO(data)))
    assert [(one.sid, one.same) for one in results] == [(month, True)]


def test_draft_is_kept_until_something_changes(chain: Chain) -> None:
    first = drafts.compose(chain.center, "P-0001", PERIOD)
    assert drafts.compose(chain.center, "P-0001", PERIOD).made_at == first.made_at
    logged(chain.ledger("scrap", "1"))
    assert drafts.compose(chain.center, "P-0001", PERIOD).body_sha256 != first.body_sha256
    with chain.center.database.reading() as session:
        body = store_contents.data(session, "P-0001", first.body_sha256)
    assert body is not None
    assert sha256_hex(body) == first.body_sha256


def test_draft_of_no_plant_or_no_month_is_refused_in_words(chain: Chain) -> None:
    with pytest.raises(CenterError):
        drafts.compose(chain.center, "P-0404", PERIOD)
    with pytest.raises(AccountingError):
        drafts.compose(chain.center, "P-0001", "2026-13")


def test_declarations_out_of_turn(chain: Chain) -> None:
    draft = drafts.compose(chain.center, "P-0001", PERIOD)
    assert chain.declare("resp", draft, "f" * 64).code == "DECLARE_MISSING"
    assert chain.declare("tech", draft, rev=2).code == "SUPERSEDE_FORK"
    assert chain.declare("tech", draft, subjects=draft.subjects[1:]).code == "DECLARE_MISMATCH"
    assert chain.declare("resp", draft, None, role="technician").code == "ROLE"
    foreign = [{**draft.subjects[0], "sha256": "0" * 64}, *draft.subjects[1:]]
    assert chain.declare("tech", draft, subjects=foreign).code == "CONTENT_MISSING"
    wrong_size = [{**draft.subjects[0], "size": 1}, *draft.subjects[1:]]
    assert chain.declare("tech", draft, subjects=wrong_size).code == "CONTENT_HASH"
    first = logged(chain.declare("tech", draft))
    assert chain.status() == "declared_technician"
    assert chain.declare("resp", draft, first, subjects=draft.subjects[:1]).code == "DECLARE_MISMATCH"
    logged(chain.declare("resp", draft, first))
    assert chain.status() == "declared"


def test_a_value_captured_after_the_draft_makes_it_stale(chain: Chain) -> None:
    draft = drafts.compose(chain.center, "P-0001", PERIOD)
    logged(chain.ledger("scrap", "2"))
    assert chain.declare("tech", draft).code == "DECLARE_MISMATCH"
    logged(chain.declare("tech", drafts.compose(chain.center, "P-0001", PERIOD)))


def test_one_person_does_not_declare_twice(chain: Chain) -> None:
    draft = drafts.compose(chain.center, "P-0001", PERIOD)
    first = logged(chain.declare("tech", draft))
    # The same person, promoted and with a new key: still the same person.
    with chain.center.database.writing() as session:
        row = session.get_one(User, "tech")
        row.role, row.enrolments_left = "responsible", 1
    person = chain.people["tech"]
    person.key = type(person.key).from_seed(b"second key of the same person ..", "ES256")
    assert person.enrol() is None
    result = chain.declare("tech", draft, first, role="responsible")
    assert result.code == "SEPARATION_OF_DUTY"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"declared": ["f" * 64, "e" * 64]}, "DECLARE_MISSING"),
        ({"rev": 2, "supersedes": "f" * 64, "reason": "x"}, "SUPERSEDE_FORK"),
        ({"prev_month": "f" * 64}, "CHAIN_INCOMPLETE"),
        ({"cover": []}, "AGGREGATE_MISMATCH"),
    ],
)
def test_month_that_does_not_fit_is_refused(chain: Chain, changes: Mapping[str, Any], code: str) -> None:
    draft = drafts.compose(chain.center, "P-0001", PERIOD)
    first = logged(chain.declare("tech", draft))
    second = logged(chain.declare("resp", draft, first))
    declared = list(changes.get("declared", [first, second]))
    assert chain.month(draft, declared, **{**changes, "declared": declared}).code == code
    logged(chain.month(draft, [first, second]))
    assert chain.month(draft, [first, second]).code == "PERIOD_DUPLICATE"


def test_month_with_declarations_in_the_wrong_order_is_refused(chain: Chain) -> None:
    draft = drafts.compose(chain.center, "P-0001", PERIOD)
    first = logged(chain.declare("tech", draft))
    second = logged(chain.declare("resp", draft, first))
    assert chain.month(draft, [second, first]).code == "DECLARE_ORDER"


def test_reviews_out_of_turn(chain: Chain) -> None:
    _, month = chain.signed_month()
    assert chain.review("prov", month, month).code == "NOT_APPROVED"
    assert chain.review("far", month, month).code == "SUBJECT_SCOPE"
    assert chain.review("city", "f" * 64, "f" * 64).code == "NOT_LOGGED"
    assert chain.review("city", month, "f" * 64).code == "NOT_APPROVED"
    assert chain.review("tech", month, month, level="city").code == "ROLE"
    city = logged(chain.review("city", month, month))
    assert chain.review("city2", month, month).code == "NOT_APPROVED"
    assert chain.review("prov", month, month).code == "NOT_APPROVED"
    logged(chain.review("prov", month, city))
    assert chain.review("city2", month, month, decision="return").code == "NOT_APPROVED"


@pytest.mark.parametrize("named", ["0" * 64, "body"])
def test_a_decision_on_a_report_nobody_wrote_is_refused(chain: Chain, named: str) -> None:
    draft, month = chain.signed_month()
    answer = chain.review("city", month, month, report=draft.body_sha256 if named == "body" else named)
    assert answer.code == "CONTENT_MISSING"
    assert chain.status() == "signed"


def test_return_reopens_the_month_and_the_next_revision_supersedes(chain: Chain) -> None:
    draft, month = chain.signed_month()
    logged(chain.review("city", month, month, decision="return", note="scrap?"))
    assert chain.status() == "returned"
    assert chain.review("city2", month, month).code == "NOT_APPROVED"
    assert chain.declare("tech", draft).code == "PERIOD_DUPLICATE"
    logged(chain.ledger("scrap", "101"))
    second = drafts.compose(chain.center, "P-0001", PERIOD)
    assert second.rev == 2
    first = logged(chain.declare("tech", second))
    declared = [first, logged(chain.declare("resp", second, first))]
    assert chain.month(second, declared, supersedes="f" * 64, reason="x").code == "SUPERSEDE_FORK"
    newer = logged(chain.month(second, declared, supersedes=month, reason="scrap corrected"))
    assert chain.review("city", month, month).code == "SUPERSEDE_FORK"
    city = logged(chain.review("city", newer, newer))
    logged(chain.review("prov", newer, city))
    data = export.month_bundle(chain.center, "P-0001", PERIOD)
    assert data is not None
    report = verify_bundle(read_bundle(io.BytesIO(data)), export.trust(chain.center), chain.center.now()).to_json()
    assert report["verdict"] == "VALID", report


def test_nation_may_return_what_the_province_approved(chain: Chain) -> None:
    _, month = chain.signed_month()
    city = logged(chain.review("city", month, month))
    province = logged(chain.review("prov", month, city))
    logged(chain.review("nation", month, province, decision="return", note="spot check"))
    assert chain.status() == "returned"


def test_a_browser_key_is_for_its_own_person_only(chain: Chain) -> None:
    draft = drafts.compose(chain.center, "P-0001", PERIOD)
    chain.person("tech"), chain.person("tech2")
    chain.people["tech2"].key = chain.people["tech"].key
    assert chain.declare("tech2", draft).code == "SUBJECT_SCOPE"


def test_enrolments_are_counted_and_nonces_work_once(chain: Chain) -> None:
    person = chain.person("tech")
    result = person.enrol()
    assert result is not None
    assert result.code == "ROLE"
    with chain.center.database.writing() as session:
        store_users.allow_enrolment(session, "tech")
    nonce = enrolment.give_nonce(chain.center, "someone.else")
    person.key = type(person.key).from_seed(b"another key of the same person .", "ES256")
    with chain.center.database.reading() as session:
        account = store_users.find(session, "tech")
    assert account is not None
    jws = person.sign(kind="key", plant="", op="enrol", kid=person.key.kid, jwk=dict(person.key.jwk), nonce=nonce)
    stolen = enrolment.enrol_person(chain.center, account, jws)
    assert stolen is not None
    assert stolen.code == "KEY_UNKNOWN"


def test_proven_tiles_travel_in_the_bundle(chain: Chain) -> None:
    with chain.center.database.writing() as session:
        tile_wants.ask(session, "P-0001", GW, 1, 0, "city", chain.center.now())
    with chain.center.database.writing() as session:
        want = store_readings.open_wants(session, GW, 10)[0]
        tile_wants.take(session, GW, "P-0001", chain.device.tile(want.id, 0), chain.center.now())
        assert store_readings.open_wants(session, GW, 10) == []
    chain.signed_month()
    data = export.month_bundle(chain.center, "P-0001", PERIOD)
    assert data is not None
    bundle = read_bundle(io.BytesIO(data))
    (tile,) = bundle.tiles
    assert tile.endswith("-0")
    report = verify_bundle(bundle, export.trust(chain.center), chain.center.now()).to_json()
    assert {finding["code"] for finding in report["findings"]} == {"NOT_APPROVED"}
    # The tile was proven against the last segment; all five hours are in it.
    assert (report["counts"]["tiles"], report["counts"]["readings"], report["counts"]["hours"]) == (1, 20, 5)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"id": "unknown"}, "NOT_LOGGED"),
        ({"size": 3}, "NOT_LOGGED"),
        ({"tile_salt": "01" * 32}, "INCLUSION_FAIL"),
        ({"tile_salt": "zz"}, "ENCODING"),
        ({"path": ("00" * 32,)}, "INCLUSION_FAIL"),
        ({"raw": ("x",)}, "INDEX_MISMATCH"),
        ({"lines": ("[]",) * 20, "raw": ()}, "LEAF_MISMATCH"),
    ],
)
def test_a_tile_that_does_not_prove_itself_is_refused(chain: Chain, changes: Mapping[str, Any], code: str) -> None:
    with chain.center.database.writing() as session:
        tile_wants.ask(session, "P-0001", GW, 1, 0, "city", chain.center.now())
        want = store_readings.open_wants(session, GW, 10)[0]
    answer = chain.device.tile(**{"want": want.id, "number": 0, **changes})
    with chain.center.database.writing() as session, pytest.raises(EvidenceError) as caught:
        tile_wants.take(session, GW, "P-0001", answer, chain.center.now())
    assert caught.value.code == code


def test_a_reading_changed_in_a_tile_is_noticed(chain: Chain) -> None:
    with chain.center.database.writing() as session:
        tile_wants.ask(session, "P-0001", GW, 1, 0, "city", chain.center.now())
        want = store_readings.open_wants(session, GW, 10)[0]
    honest = chain.device.tile(want.id, 0)
    lines = (honest.lines[0].replace("120.5", "12.05"), *honest.lines[1:])
    with chain.center.database.writing() as session, pytest.raises(EvidenceError) as caught:
        tile_wants.take(session, GW, "P-0001", chain.device.tile(want.id, 0, lines=lines), chain.center.now())
    assert caught.value.code == "INCLUSION_FAIL"


def test_late_readings_make_a_supplement_and_change_no_signed_month(chain: Chain) -> None:
    draft, month = chain.signed_month()
    logged(submit(chain.center, [chain.device.segment(40)])[0])
    again = drafts.compose(chain.center, "P-0001", PERIOD)
    assert again.rev == 2
    with chain.center.database.reading() as session:
        row = store_log.by_sid(session, month)
        body = strict_json(store_contents.data(session, "P-0001", again.body_sha256) or b"{}")
    assert row is not None
    assert draft.body_sha256 != again.body_sha256
    assert any(issue["code"] == "SUPPLEMENT" for issue in body["issues"]), body["issues"]


def test_a_plant_without_a_gateway_submits_by_its_second_declaration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "hash_password", lambda password: "no login in these tests")
    chain = Chain(bare_center(tmp_path))
    logged(chain.ledger("scrap", "100.5"))
    draft = drafts.compose(chain.center, "P-0001", PERIOD)
    first = logged(chain.declare("tech", draft))
    second = logged(chain.declare("resp", draft, first))
    assert chain.status() == "signed"
    assert chain.declare("tech", draft).code == "PERIOD_DUPLICATE"
    city = logged(chain.review("city", second, second))
    logged(chain.review("prov", second, city))
    assert chain.status() == "approved_province"
    data = export.month_bundle(chain.center, "P-0001", PERIOD)
    assert data is not None
    assert set(read_bundle(io.BytesIO(data)).statements) >= {first, second, city}


def test_es256_twin_is_answered_with_the_receipt_of_what_was_logged(chain: Chain) -> None:
    """Everybody can turn (r, s) into (r, n-s); the statement stays one."""
    first = chain.ledger("scrap", "1")
    assert first.status is Status.LOGGED
    with chain.center.database.reading() as session:
        row, account = store_log.by_sid(session, first.sid), store_users.find(session, "tech")
    assert row is not None
    assert account is not None
    signed = parse(row.jws)
    assert signed.alg == ES256
    s = P256_ORDER - int.from_bytes(signed.signature[32:], "big")
    twin = f"{row.jws.rpartition('.')[0]}.{b64u(signed.signature[:32] + s.to_bytes(32, 'big'))}"
    assert twin != row.jws
    again = submit_for(chain.center, account, twin)
    assert (again.status, again.sid, again.receipt) == (Status.LOGGED, first.sid, first.receipt)
    with chain.center.database.reading() as session:
        assert store_log.by_sid(session, first.sid).jws == row.jws
