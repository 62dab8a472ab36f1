"""The page of a stack's month, and findings of severity E that keep a month from being declared without a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from accounting.cems_rules import rules_name
from evidence.channel import Channel, ChannelKind
from evidence.encoding import time_text
from evidence.errors import Code
from evidence.judge_rules import packaged_rules
from evidence.merkle import consistency_proof, root
from evidence.reading import Flag, Leaf
from evidence.segment import summarise
from evidence.stack import Derivation, StackMeaning
from sync import PushItem, Status
from tests.webapp import views_world as world
from webapp import create_app, drafts
from webapp.center import Center
from webapp.submission import submit

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MONTH = f"/plants/{world.PLANT}/months/{world.PERIOD}"
CEMS = f"{MONTH}/cems"
RULES = packaged_rules()
MASS, CO2, FLOW = "STACK.CO2MASS", "STACK.CO2", "STACK.FLOW"


def meaning(quantity: str) -> StackMeaning:
    return StackMeaning(quantity, Decimal(12), Decimal("0.75"), RULES.name_json())


CHANNELS = (
    Channel(
        MASS,
        "t/h",
        ChannelKind.DERIVED,
        MINUTE,
        "cems1",
        "derived",
        subject="EAF1",
        stack=meaning("co2_mass"),
        derived=Derivation("co2-mass", {"co2": CO2}, {"area_m2": Decimal("27.64")}, rules_name(), "dry"),
    ),
    Channel(CO2, "%", ChannelKind.VALUE, MINUTE, "cems1", "modbus", subject="EAF1", stack=meaning("co2_concentration")),
)


class Stack:
    """A gateway that seals hours of a stack, one reading a minute."""

    def __init__(self, center: Center) -> None:
        self.center = center
        self.gateway = world.fill(center, hours=1)
        for channel in CHANNELS:
            self.gateway.declare(channel)

    def hour(self, at: int, valid: int = 60, *, tonnes: str = "12.5", **notes: Mapping[str, Any]) -> None:
        """Seal an hour whose first minutes are valid and the rest in calibration; `notes` are said of the mass."""
        gateway, start = self.gateway, world.START + at * HOUR
        for minute in range(60):
            flag = Flag.NORMAL if minute < valid else Flag.CALIBRATION
            for channel, value in ((MASS, tonnes), (CO2, "18.4")):
                leaf = Leaf(
                    len(gateway.leaves),
                    start + minute * MINUTE,
                    channel,
                    Decimal(value),
                    gateway.channels[channel].unit,
                    flag,
                )
                gateway.leaves.append(leaf)
        new = gateway.leaves[gateway.sealed :]
        entries, gateway.baselines = summarise(new, gateway.channels, start, world.ZONE, gateway.baselines)
        entries = [{**entry, **notes} if entry["id"] == MASS else entry for entry in entries]
        hashes = gateway.hashes(len(gateway.leaves))
        tree = {"start": gateway.sealed, "end": len(gateway.leaves), "root": root(hashes).hex()}
        proof = tuple(value.hex() for value in consistency_proof(hashes, gateway.sealed))
        gateway.sealed = len(gateway.leaves)
        span = [time_text(start), time_text(start + HOUR)]
        gateway.say("segment", start + HOUR, tree=tree, span=span, ch=entries, consistency=proof)

    def stop(self, first: int, end: int) -> None:
        """Mark a stop of the stack."""
        start, finish = world.START + first * HOUR, world.START + end * HOUR
        data = {
            "record": "mark",
            "kind": "stop",
            "from": time_text(start),
            "to": time_text(finish),
            "entered": time_text(finish),
            "by": "Li",
            "reason": "planned",
            "subject": "EAF1",
        }
        self.gateway.say("event", finish, type="maintenance", data=data)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(world.copy_center(tmp_path))


def client(stack: Stack, name: str = "li.na") -> FlaskClient:
    return world.log_in(app(stack), name)


def app(stack: Stack) -> Flask:
    made: Flask = create_app(stack.center.settings, center=stack.center)
    return made


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
    said = words(world.log_in(app(stack), "wang.jun").get(f"{MONTH}/declare").text)
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
