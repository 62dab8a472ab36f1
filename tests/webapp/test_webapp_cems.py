"""The page of a stack's month, and findings of severity E that keep a month from being declared without a reason."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from evidence.encoding import strict_json, time_text
from evidence.errors import Code
from sync import PushItem, Status
from tests.webapp import views_world as world
from tests.webapp.stack_world import MASS, Stack
from webapp import create_app, drafts, store_contents
from webapp.submission import submit

MONTH = f"/plants/{world.PLANT}/months/{world.PERIOD}"
CEMS = f"{MONTH}/cems"


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(world.copy_center(tmp_path))


def client(stack: Stack, name: str = "li.na") -> FlaskClient:
    """Log in, once for each person: hashing a password takes its time."""
    if name not in stack.clients:
        stack.clients[name] = world.log_in(app(stack), name)
    return stack.clients[name]


def app(stack: Stack) -> Flask:
    if stack.app is None:
        stack.app = create_app(stack.center.settings, center=stack.center)
    return stack.app


def page(stack: Stack, url: str = CEMS) -> str:
    answer = client(stack).get(url)
    assert answer.status_code == 200, answer.status
    return words(answer.text)


def words(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


def test_month_of_a_stack_shows_hours_by_code_and_tonnes_apart(stack: Stack) -> None:
    for at in (1, 2):
        stack.hour(at, code="CN-M")
    stack.hour(3, valid=20, code="CN-X")
    stack.stop(4, 5)
    stack.hour(5)
    said = page(stack)
    assert "measured 3 37.500" in said
    assert "12.500 CN-M measured 18.4" in said  # tonnes, code with its words, mean of the part
    assert "missing, not filled C calibration" in said
    assert "20 / 60" in said
    assert "not operating" in said
    assert "Q09 Every quarter of an hour has data" in said
    assert "no valid data in quarter 3, 4 of the hour" in said
    assert "signed by the gateway: CN-M" not in said


def test_hour_page_shows_minutes_code_findings_and_an_uncertain_clock(stack: Stack) -> None:
    stack.hour(1, valid=20, code="CN-X", found={"Q34": 2})
    stack.gateway.clock = "none"
    stack.hour(2, code="CN-M")
    first, second = (
        page(stack, f"{MONTH}/hours/{time_text(world.START + timedelta(hours=at))}/{MASS}") for at in (1, 2)
    )
    assert "20 of 60 valid · method code CN-X NNNNNNNNNNNNNNN NNNNNCCCCCCCCCC CCCCCCCCCCCCCCC" in first
    assert "Finding of severity E Q34 2" in first
    assert "time uncertain" not in first
    assert "time uncertain the gateway’s clock was not synchronised" in second


def test_hour_opens_to_its_readings_and_the_month_leads_to_the_page(stack: Stack) -> None:
    stack.hour(1, code="CN-M")
    html = client(stack).get(CEMS).text
    link = re.search(rf'href="([^"]*/hours/[^"]*{re.escape(MASS)}[^"]*)"', html)
    assert link is not None
    assert client(stack).get(unescape(link[1])).status_code == 200
    assert f'href="{CEMS}"' in client(stack).get(MONTH).text
    assert 'role="img"' in html


def test_plant_without_a_stack_has_no_link_and_an_empty_page(tmp_path: Path) -> None:
    center = world.copy_center(tmp_path)
    world.fill(center, hours=2)
    visitor = world.log_in(create_app(center.settings, center=center), "li.na")
    assert "/cems" not in visitor.get(MONTH).text
    assert "has no derived channel for it" in visitor.get(CEMS).text
    assert visitor.get(f"/plants/{world.PLANT}/months/2026-13/cems").status_code == 404
    assert world.log_in(create_app(center.settings, center=center), "other.city").get(CEMS).status_code in (403, 404)


def test_tonnes_stand_beside_the_accounted_ones(stack: Stack) -> None:
    for at in (1, 2):
        stack.hour(at, code="CN-M")
    person = technician(stack)
    for param, value in (("scrap", "100"), ("crude_steel", "90")):
        jws = person.sign(
            kind="ledger", plant=world.PLANT, param=param, period=world.PERIOD, value=value, unit="t", mode="measured",
            source="weighbridge", subjects=[],
        )  # fmt: skip
        assert submit(stack.center, [PushItem(jws)])[0].status is Status.LOGGED
    assert "no whole accounting result" in page(stack)
    body = strict_json(draft_body(stack))
    (result,) = [one for one in body["results"] if one["subject"] == "EAF1"]
    said = page(stack)
    assert f"Stack, measured and substituted 25.000 tCO₂ Accounting, same boundary {result['total']}" in said
    assert "Q33 E" in said


def draft_body(stack: Stack) -> bytes:
    draft = drafts.compose(stack.center, world.PLANT, world.PERIOD)
    with stack.center.database.reading() as db:
        data = store_contents.data(db, world.PLANT, draft.body_sha256)
    assert data is not None
    return data


def test_page_speaks_chinese(stack: Stack) -> None:
    stack.hour(1, valid=30, code="CN-X")
    visitor = client(stack)
    visitor.set_cookie("lang", "zh")
    said = words(visitor.get(CEMS).text)
    for expected in ("烟气监测", "实测", "替代", "停运", "每刻钟均有数据", "本小时第 3, 4 刻钟没有有效数据"):
        assert expected in said


def declaration(stack: Stack, person: world.Person, **members: Any) -> tuple[Status, str | None]:
    draft = drafts.compose(stack.center, world.PLANT, world.PERIOD)
    common = {"kind": "declare", "plant": world.PLANT, "period": world.PERIOD, "rev": 1, "subjects": draft.subjects}
    result = submit(stack.center, [PushItem(person.sign(**common, **members))])[0]
    return result.status, result.code


def technician(stack: Stack) -> world.Person:
    person = world.Person(stack.center, "li.na")
    assert person.enrol() is None
    return person


def test_error_finding_blocks_the_month_until_a_reason_is_given(stack: Stack) -> None:
    stack.hour(1, code="CN-F")
    person = technician(stack)
    first: dict[str, Any] = {"role": "technician", "after": None}
    assert declaration(stack, person, **first) == (Status.REFUSED, Code.QUALITY_OPEN.value)
    assert declaration(stack, person, **first, reason="  ") == (Status.REFUSED, Code.QUALITY_OPEN.value)
    assert declaration(stack, person, **first, reason="the mark was signed late") == (Status.LOGGED, None)
    assert "the mark was signed late" in page(stack, MONTH)  # in the trail of the month
    said = words(client(stack, "wang.jun").get(f"{MONTH}/declare").text)
    assert "The technician’s reason: the mark was signed late" in said


def test_declaration_page_lists_what_to_do_and_asks_for_the_reason(stack: Stack) -> None:
    stack.hour(1, found={"Q34": 1})
    technician(stack)
    html = client(stack).get(f"{MONTH}/declare").text
    assert "1 finding stands against this month" in words(html)
    assert "Record the maintenance with “cunzheng gateway mark maintenance”" in words(html)
    assert re.search(r'<textarea id="reason"[^>]* required [^>]*data-member="reason"', html)


def test_month_without_error_findings_asks_for_no_reason(stack: Stack) -> None:
    stack.hour(1, valid=40, code="CN-X")
    person = technician(stack)
    assert 'id="reason"' not in client(stack).get(f"{MONTH}/declare").text
    assert declaration(stack, person, role="technician", after=None) == (Status.LOGGED, None)
