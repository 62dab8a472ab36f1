"""Where one is and where one goes next: months that exist, crumbs, what follows a signature, how a statement reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from evidence.encoding import time_text
from evidence.statement import parse_envelope
from tests.webapp import views_world as world
from tests.webapp.test_webapp_views_flow import Month
from webapp import create_app, month_files
from webapp.center import Center
from webapp.log_entries import logged_payload
from webapp.models import LogEntry
from webapp.views import drilldown
from webapp.views.next_steps import next_words

PLANT = f"/plants/{world.PLANT}"
MONTH = f"{PLANT}/months/{world.PERIOD}"
HOURS = [f"{MONTH}/hours/{time_text(world.START + timedelta(hours=n))}/ELEC.IMPORT?gw={world.GW}" for n in range(3)]


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Month]:
    """A month that its gateway has signed; the tests of this file only read it."""
    month = Month(tmp_path_factory.mktemp("centre"))
    month.declare()
    yield month
    month.center.database.close()


@pytest.mark.parametrize("path", [f"{PLANT}/months/{{}}", f"{PLANT}/months/{{}}/channels/ELEC.IMPORT"])
@pytest.mark.parametrize(
    ("period", "status"), [("2026-01", 404), (world.PERIOD, 200), ("2020-01", 404), ("2199-01", 404)]
)
def test_a_month_that_never_was_is_not_found(month: Month, path: str, period: str, status: int) -> None:
    assert month.client("li.na").get(path.format(period)).status_code == status


def test_a_new_plant_has_the_month_before_it_was_added_and_the_running_one(tmp_path: Path) -> None:
    center = world.copy_center(tmp_path)
    clock = center.now()
    app = create_app(center.settings, center=Center.open(center.settings, lambda: clock))
    client = world.log_in(app, "li.na")
    page = client.get(f"{PLANT}/ledger").text
    periods = re.findall(r'<option[^>]*value="(\d{4}-\d{2})"', page)
    assert len(periods) == 2
    assert re.search(rf'<option selected value="{periods[1]}">', page)  # the month that has just ended
    for period in periods:
        assert client.get(f"{PLANT}/months/{period}").status_code == 200


@pytest.mark.parametrize("path", ["/login", "/healthz"])
def test_head_is_answered_like_get(month: Month, path: str) -> None:
    client = month.app.test_client()
    assert client.head(path).status_code == client.get(path).status_code == 200


def test_head_of_a_form_validates_nothing(month: Month) -> None:
    assert month.client("li.na").head(f"{PLANT}/ledger").status_code == 200


def test_the_hours_of_a_month_are_read_once_until_a_segment_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = Month(tmp_path)
    reads: list[str] = []
    real = drilldown.hours_of
    monkeypatch.setattr(drilldown, "hours_of", lambda *given: (reads.append("read"), real(*given))[1])
    client = month.client("li.na")
    for path in HOURS:
        assert client.get(path).status_code == 200
    assert reads == ["read"]
    assert month.gateway is not None
    late = [("ELEC.IMPORT", "1", world.Flag.NORMAL)]
    month.gateway.hour(world.START + timedelta(hours=3), late)
    assert (
        "of 1 accepted"
        in client.get(HOURS[0].replace(time_text(world.START), time_text(world.START + timedelta(hours=3)))).text
    )
    assert reads == ["read", "read"]


def test_what_was_logged_reads_the_same_without_the_checks_of_its_form(month: Month) -> None:
    with month.center.database.reading() as db:
        rows = list(db.query(LogEntry))
    assert {row.kind for row in rows} >= {"segment", "event", "key", "declare", "month"}
    for row in rows:
        assert logged_payload(row) == dict(parse_envelope(row.jws).payload)


def test_an_hour_is_named_from_its_start_to_its_end_under_its_plants(month: Month) -> None:
    page = month.client("li.na").get(HOURS[0]).text
    assert "2026-03-01 00:00–01:00" in page
    assert page.index('<a href="/plants">Plants</a>') < page.index(f'<a href="{MONTH}">')


def test_who_has_signed_is_told_what_comes_next_and_led_back(month: Month) -> None:
    client = month.client("wang.jun")
    declared = client.get(f"/statements/{month.declared[1]}?signed=1").text
    assert "Next: the gateway computes the month again and signs it" in declared
    assert f'<a class="button" href="{MONTH}">Back to the month</a>' in declared
    assert "Next:" not in client.get(f"/statements/{month.declared[1]}").text


@pytest.mark.parametrize(
    ("decision", "level", "words"),
    [
        ("approve", "city", "Next: the province reviews the month."),
        ("approve", "province", "The month is approved."),
        ("return", "city", "Next: the plant corrects the month"),
        ("query", "city", "Next: the on-site check"),
    ],
)
def test_a_decision_says_what_comes_next(month: Month, decision: str, level: str, words: str) -> None:
    with month.center.database.reading() as db:
        row = db.query(LogEntry).filter(LogEntry.kind == "declare").first()
        assert row is not None
        one = parse_envelope(row.jws)
        assert month_files.has_gateway(db, world.PLANT)
    review = type(one)(
        one.jws, one.alg, one.kid, one.typ, {"kind": "review", "decision": decision, "level": level}, one.sid
    )
    with month.app.test_request_context("/", headers={"Cookie": "lang=en"}):
        assert next_words(review, has_gateway=True).startswith(words)


def test_a_statement_is_read_without_json(month: Month) -> None:
    page = month.client("city").get(f"/statements/{month.subject}").text
    says = page[page.index('id="says-h"') : page.index("</section>")]
    assert "epoch 1: readings 0 to 11" in says
    assert "synchronised by NTP" in says
    assert "{&#34;" not in says
    assert re.search(r"<time datetime=[^>]+>\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}</time>", says)
    assert ">kind <span" not in says  # a label that only repeats the member's own name


def test_phones_keep_the_way_to_the_account() -> None:
    css = (Path(drilldown.__file__).parents[1] / "static" / "css" / "cunzheng.css").read_text(encoding="utf-8")
    assert not re.search(r"\.person \.name \{[^}]*display: none", css)


def test_what_is_missing_is_said_in_the_language_of_the_page(month: Month) -> None:
    client = month.client("li.na")
    assert "Please tick this box" in client.get("/account").text
    client.set_cookie("lang", "zh")
    assert "\\u8bf7\\u52fe\\u9009" in client.get("/account").text or "请勾选此项" in client.get("/account").text
