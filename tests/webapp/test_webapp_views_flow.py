"""What the pages say as a month moves on: whose turn it is, what came back, what is not yet due."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from accounting.recompute import verify_recomputed
from evidence.encoding import jcs, strict_json, time_text
from evidence.statement import sign
from sync import PushItem, Status
from tests.webapp import views_world as world
from webapp import administration, create_app, drafts, reports, store_contents, store_logins
from webapp.center import Center
from webapp.charts import Point, line_chart
from webapp.models import Content, Draft
from webapp.submission import submit
from webapp.views import review, verifying
from webapp.views.deadline import due_day, due_words
from webapp.views.slices import ROWS, Slice

PLANT = f"/plants/{world.PLANT}"
MONTH = f"{PLANT}/months/{world.PERIOD}"
VERIFIED = f"{MONTH}/review?now=1"
"""The review page with the verifier's report; without `now` the report may be fetched after the page."""


class Month:
    """A month and the people who sign in it; each step checks that the log took it."""

    def __init__(self, folder: Path, *, has_gateway: bool = True) -> None:
        self.center: Center = world.copy_center(folder)
        self.gateway = world.fill(self.center, hours=3) if has_gateway else None
        self.people: dict[str, world.Person] = {}
        self.app = create_app(self.center.settings, center=self.center)
        self.subject = self.after = ""
        self.declared = ("", "")

    def person(self, name: str) -> world.Person:
        """Somebody with a registered key."""
        if name not in self.people:
            self.people[name] = world.Person(self.center, name)
            assert self.people[name].enrol() is None
        return self.people[name]

    def put(self, jws: str) -> str:
        """Log a statement."""
        result = submit(self.center, [PushItem(jws)])[0]
        assert result.status is Status.LOGGED, result
        return result.sid

    def declare(self, rev: int = 1) -> None:
        """Declare by both, and sign by the gateway when there is one."""
        draft = drafts.compose(self.center, world.PLANT, world.PERIOD)
        common: dict[str, Any] = {
            "kind": "declare", "plant": world.PLANT, "period": world.PERIOD, "rev": rev, "subjects": draft.subjects,
        }  # fmt: skip
        first = self.put(self.person("li.na").sign(**common, role="technician", after=None))
        second = self.put(self.person("wang.jun").sign(**common, role="responsible", after=first))
        self.subject = self.after = second
        self.declared = (first, second)
        if self.gateway is not None:
            month = self.gateway.sign_month((first, second), draft.subjects, draft.cover)
            self.subject = self.after = month.sid

    def review(self, level: str, decision: str, note: str = "") -> None:
        """Decide at a level."""
        with self.center.database.writing() as db:
            report = reports.keep(db, world.PLANT, world.PERIOD, b"{}", self.center.now())
        jws = self.person(level).sign(
            kind="review", plant=world.PLANT, level=level, subject=self.subject, decision=decision, after=self.after,
            report=report, note=note, anchor=None,
        )  # fmt: skip
        self.after = self.put(jws)

    def client(self, name: str) -> FlaskClient:
        """Log in as somebody who reads English."""
        return world.log_in(self.app, name)


def test_each_person_is_told_when_it_is_their_turn(tmp_path: Path) -> None:
    month = Month(tmp_path)
    assert "Your turn: check the figures" in month.client("li.na").get(MONTH).text
    assert "Your turn" not in month.client("wang.jun").get(MONTH).text
    month.declare()
    assert "Your turn" not in month.client("li.na").get(MONTH).text
    assert "Your turn: review this month." in month.client("city").get(MONTH).text
    assert "Your turn" not in month.client("province").get(MONTH).text
    assert month.client("province").get(f"{MONTH}/review").status_code == 303
    month.review("city", "approve")
    assert "Your turn: review this month." in month.client("province").get(MONTH).text
    month.review("province", "approve")
    page = month.client("li.na").get(MONTH).text
    assert page.count('<li class="done">') == 6
    assert "settled" in page


def test_a_returned_month_says_why_and_may_be_declared_again(tmp_path: Path) -> None:
    month = Month(tmp_path)
    month.declare()
    month.review("city", "return", "correct the scrap weight until the 20th")
    client = month.client("li.na")
    page = client.get(MONTH).text
    assert "returned for correction" in page
    assert "correct the scrap weight until the 20th" in page
    assert "Your turn: check the figures" in page
    declare = client.get(f"{MONTH}/declare")
    assert declare.status_code == 200
    assert "&#34;rev&#34;:2" in declare.text
    queue = month.client("city").get("/review?show=all").text
    assert "returned for correction" in queue


def test_a_rejected_month_is_declared_anew_like_a_returned_one(tmp_path: Path) -> None:
    month = Month(tmp_path)
    month.declare()
    month.review("city", "reject", "the meter was bypassed")
    client = month.client("li.na")
    page = client.get(MONTH).text
    assert "the meter was bypassed" in page
    assert "Your turn: check the figures" in page
    assert "settled" not in page
    assert "&#34;rev&#34;:2" in client.get(f"{MONTH}/declare").text
    queue = month.client("city").get("/review?show=open").text
    assert "rejected; to be declared anew" in queue
    assert "technician" in queue


def test_a_query_keeps_the_turn_with_the_reviewer(tmp_path: Path) -> None:
    month = Month(tmp_path)
    month.declare()
    month.review("city", "query", "please show meter E-4711")
    page = month.client("city").get(MONTH).text
    assert "on-site check wanted" in page
    assert "Your turn: review this month." in page
    assert month.client("city").get(f"{MONTH}/review").status_code == 200


def test_a_return_without_a_note_is_not_taken(tmp_path: Path) -> None:
    month = Month(tmp_path)
    month.declare()
    client = month.client("city")
    page = client.get(VERIFIED).text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert token is not None
    assert not re.search(r'name="decision"[^>]*checked', page)
    data = {"csrf_token": token[1], "decision": "return", "note": " ", "statement": "x"}
    answer = client.post(f"{MONTH}/review", data=data)
    assert answer.status_code == 422
    assert "Write a note" in answer.text


def test_the_review_page_says_what_only_waits_for_approval(tmp_path: Path) -> None:
    month = Month(tmp_path)
    month.declare()
    page = month.client("city").get(VERIFIED).text
    assert "consistent; approvals outstanding" in page
    assert "incomplete" in page  # scrap and steel were not captured: no total is shown as if it were whole
    assert "&#39;scrap&#39; was not captured" in page
    assert "0.00" not in page
    report = re.search(r"<pre data-report>([^<]+)</pre>", page)
    assert report is not None
    assert json.loads(unescape(report[1]))["verdict"] == "INDETERMINATE"


def test_the_review_page_comes_before_the_verification_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    month = Month(tmp_path)
    month.declare()
    client = month.client("city")
    runs: list[str] = []
    monkeypatch.setattr(
        verifying, "verify_recomputed", lambda *given: (runs.append("run"), verify_recomputed(*given))[1]
    )
    monkeypatch.setattr(review, "can_fetch_parts", lambda: True)
    early = client.get(f"{MONTH}/review").text
    assert runs == []
    assert "verifying …" in early
    assert f'hx-get="{VERIFIED}"' in early
    assert f'<a href="{VERIFIED}">' in early  # without JavaScript
    assert "data-payload" not in early
    assert "data-payload" in client.get(VERIFIED).text
    for path in (VERIFIED, f"{MONTH}/review"):
        assert "data-payload" in client.get(path).text
    assert runs == ["run"]
    month.person("city")  # a new key that signed nothing changes nothing
    assert "data-payload" in client.get(VERIFIED).text
    assert runs == ["run"]
    month.review("city", "query", "show the meter")
    assert "data-payload" in client.get(VERIFIED).text
    assert runs == ["run"] * 2
    administration.revoke_key(month.center, month.person("city").key.kid, "compromised")
    assert "data-payload" in client.get(VERIFIED).text
    assert runs == ["run"] * 3
    administration.revoke_key(month.center, month.person("li.na").key.kid, "compromised")
    assert "data-payload" in client.get(VERIFIED).text
    assert runs == ["run"] * 4


def test_without_htmx_the_review_page_comes_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    month = Month(tmp_path)
    month.declare()
    monkeypatch.setattr(review, "can_fetch_parts", lambda: False)
    assert "data-payload" in month.client("city").get(f"{MONTH}/review").text


def test_an_approval_that_is_being_decided_is_no_warning(tmp_path: Path) -> None:
    month = Month(tmp_path)
    month.declare()
    page = month.client("city").get(VERIFIED).text
    assert '<span class="tag ">NOT_APPROVED</span>' in page
    assert "That is what you are deciding on now." in page
    assert '<details><summary>Technical detail</summary><p lang="en">no approval at city level' in page


def test_who_has_no_key_cannot_press_the_sign_button(tmp_path: Path) -> None:
    month = Month(tmp_path)
    page = month.client("li.na").get(f"{MONTH}/declare").text
    assert page.count("You have no valid signing key yet") == 1
    assert "data-locked" in page
    month.person("li.na")
    page = month.client("li.na").get(f"{MONTH}/declare").text
    assert "You have no valid signing key yet" not in page
    assert "data-locked" not in page


def contents(center: Center) -> int:
    """How many files the centre keeps."""
    with center.database.reading() as db:
        return db.scalar(select(func.count()).select_from(Content)) or 0


def decide(month: Month, page: str, **changes: str) -> TestResponse:
    """Sign what the review page shows, and send its form as the browser does."""
    shown = re.search(r"<pre data-payload hidden>([^<]+)</pre>", page)
    assert shown is not None
    payload = {**json.loads(unescape(shown[1])), "decision": "approve"}
    statement = sign({**payload, "t": time_text(month.center.now())}, month.person("city").key).jws
    fields = dict(re.findall(r'name="(csrf_token|verified)"[^>]*value="([^"]+)"', page))
    return month.client("city").post(f"{MONTH}/review", data={**fields, "statement": statement, **changes})


def test_looking_at_a_review_stores_nothing_and_deciding_keeps_the_report(tmp_path: Path) -> None:
    month = Month(tmp_path)
    month.declare()
    client = month.client("city")
    month.person("city")
    before = contents(month.center)
    page = [client.get(VERIFIED).text for _ in range(3)][-1]
    assert contents(month.center) == before
    month.app.config["WTF_CSRF_ENABLED"] = False
    assert decide(month, page, verified="forged").status_code == 422
    assert contents(month.center) == before
    assert decide(month, page).status_code == 303
    assert contents(month.center) == before + 1


def test_a_body_that_does_not_follow_from_its_statements_is_found_for_the_reviewer(tmp_path: Path) -> None:
    month = Month(tmp_path)
    draft = drafts.compose(month.center, world.PLANT, world.PERIOD)
    with month.center.database.writing() as db:
        body = strict_json(store_contents.data(db, world.PLANT, draft.body_sha256) or b"")
        next(one for one in body["items"] if one["id"] == "electricity")["quantity"] = "0.1"
        data = jcs(body)
        sha256 = store_contents.add(db, world.PLANT, "body.json", "application/json", data, month.center.now())
        row = db.get_one(Draft, (world.PLANT, world.PERIOD))
        row.body_sha256 = sha256
        row.subjects = [{**draft.subjects[0], "size": len(data), "sha256": sha256}, *draft.subjects[1:]]
    month.declare()
    page = month.client("city").get(VERIFIED).text
    assert "AGGREGATE_MISMATCH" in page
    assert "does not follow from the statements" in page


def test_a_plant_without_gateway_goes_from_declaration_to_review(tmp_path: Path) -> None:
    month = Month(tmp_path, has_gateway=False)
    jws = month.person("li.na").sign(
        kind="ledger", plant=world.PLANT, param="scrap", period=world.PERIOD, value="12.50", unit="t",
        mode="measured", source="x", subjects=[],
    )  # fmt: skip
    month.put(jws)
    month.declare()
    page = month.client("city").get(MONTH).text
    assert "Gateway signature" not in page
    assert "Your turn: review this month." in page


def test_a_running_month_cannot_be_declared(tmp_path: Path) -> None:
    month = Month(tmp_path)
    period = f"{datetime.now(ZoneInfo('Asia/Shanghai')):%Y-%m}"
    client = month.client("li.na")
    assert "still running" in client.get(f"{PLANT}/months/{period}").text
    assert client.get(f"{PLANT}/months/{period}/declare").status_code == 303


def test_too_many_logins_are_told_to_wait(tmp_path: Path) -> None:
    center = world.copy_center(tmp_path)
    limits = center.settings.limits.model_copy(update={"login_per_minute": 3})
    settings = center.settings.model_copy(update={"limits": limits})
    client = create_app(settings, center=Center.open(settings)).test_client()
    client.set_cookie("lang", "en")
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/login").text)
    assert found is not None
    data = {"csrf_token": found[1], "name": "li.na", "password": "wrong password"}
    answers = [client.post("/login", data=data, environ_base={"REMOTE_ADDR": "192.0.2.77"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
    assert "Wait a minute" in answers[-1].text


@pytest.mark.parametrize("limit", ["login_failures_of_account", "login_failures_of_address"])
def test_failed_logins_count_for_all_workers_and_after_a_restart(tmp_path: Path, limit: str) -> None:
    center = world.copy_center(tmp_path)
    settings = center.settings.model_copy(
        update={"limits": center.settings.limits.model_copy(update={"login_per_minute": 1000, limit: 3})}
    )

    def attempt(password: str, number: int) -> int:
        client = create_app(settings, center=Center.open(settings)).test_client()
        found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/login").text)
        assert found is not None
        data = {"csrf_token": found[1], "name": "li.na", "password": password}
        if "address" in limit and password == "wrong":
            data["name"] = f"guess.{number}"
        address = "192.0.2.77" if "address" in limit else f"192.0.2.{number}"
        return client.post("/login", data=data, environ_base={"REMOTE_ADDR": address}).status_code

    assert [attempt("wrong", number) for number in range(4)] == [401, 401, 401, 429]
    assert attempt(world.PASSWORD, 5) == 429
    administration.change_password(center, "li.na", world.PASSWORD)
    assert attempt(world.PASSWORD, 6) == (429 if "address" in limit else 303)


def test_a_login_that_succeeds_forgets_the_failures_before_it(tmp_path: Path) -> None:
    month = Month(tmp_path, has_gateway=False)
    with month.center.database.writing() as db:
        for _ in range(9):
            store_logins.note_failure(db, "li.na", "192.0.2.1", month.center.now())
        store_logins.note_failure(db, "li.na", "192.0.2.1", month.center.now() - timedelta(minutes=16))
    month.client("li.na")
    with month.center.database.reading() as db:
        assert store_logins.count_of_account(db, "li.na", month.center.now() - timedelta(days=1)) == 0


def test_a_notice_of_the_site_stands_on_every_page(tmp_path: Path) -> None:
    center = world.copy_center(tmp_path)
    app = create_app(center.settings, center=center)
    app.config["SITE_NOTICE"] = {"zh": "演示数据", "en": "Demonstration data"}
    client = app.test_client()
    assert "演示数据" in client.get("/login").text
    client.set_cookie("lang", "en")
    assert "Demonstration data" in client.get("/login").text


@pytest.mark.parametrize(
    ("now", "settled", "words", "kind"),
    [
        ("2026-05-01T00:00:00+08:00", False, "9 days left", "good"),
        ("2026-05-09T00:00:00+08:00", False, "1 day left", "warn"),
        ("2026-05-11T00:00:01+08:00", False, "overdue by 1 day", "bad"),
        ("2026-06-11T00:00:01+08:00", True, "settled", "good"),
    ],
)
def test_the_deadline_is_said_in_words(tmp_path: Path, now: str, settled: bool, words: str, kind: str) -> None:
    due = due_day("2026-03", "Asia/Shanghai")
    assert due == datetime.fromisoformat("2026-05-10T23:59:59+08:00")
    center = world.copy_center(tmp_path)
    app = create_app(center.settings, center=center)
    with app.test_request_context("/", headers={"Cookie": "lang=en"}):
        assert due_words(due, datetime.fromisoformat(now), is_settled=settled) == (words, kind)


@pytest.mark.parametrize(("page", "expected"), [(1, (0, 50)), (3, (100, 120)), (99, (100, 120)), (-5, (0, 50))])
def test_a_long_list_is_shown_in_pages(page: int, expected: tuple[int, int]) -> None:
    shown = Slice.of(range(2 * ROWS + 20), page)
    assert (shown.rows[0], shown.rows[-1] + 1) == expected
    assert shown.pages == 3
    assert Slice.of([], 1).pages == 1


def test_a_minute_series_is_drawn_small_and_keeps_its_extremes() -> None:
    end = datetime(2026, 3, 2, tzinfo=UTC)
    points = [
        Point(time=end - timedelta(seconds=5 * n), value=Decimal(1000 if n == 7000 else n % 10)) for n in range(17_280)
    ]
    drawn = str(line_chart(points, start=end - timedelta(days=1), end=end, zone=ZoneInfo("UTC"), label="x"))
    assert len(drawn) < 40_000
    assert ",12.0" in drawn  # the one high value reaches the top of the frame


def test_a_plant_of_an_empty_log_has_a_page(tmp_path: Path) -> None:
    month = Month(tmp_path, has_gateway=False)
    page = month.client("li.na").get(PLANT)
    assert page.status_code == 200
    assert "No gateway is enrolled" in page.text


def test_a_second_key_needs_the_administrator(tmp_path: Path) -> None:
    month = Month(tmp_path, has_gateway=False)
    client = month.client("li.na")
    assert "You have registered a key already" not in client.get("/keys/mine").text
    month.person("li.na")
    assert "You have registered a key already. If it is lost, ask the administrator" in client.get("/keys/mine").text
