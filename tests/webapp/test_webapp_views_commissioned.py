"""The channel page says who took the instrument into use, and keeps silent about another instrument's record."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask

from evidence.channel import Channel, ChannelKind, Profile
from evidence.commissioning import Commissioned, Display, Read, compare
from tests.webapp import views_world as world
from webapp import create_app
from webapp.center import Center
from webapp.views.declared_channel import commissioned_for

PROFILE = Profile("schneider-iem3000", 1, "0" * 64)
POWER = Channel(
    "ELEC.POWER", "kW", ChannelKind.VALUE, timedelta(minutes=1), "em1", "modbus", serial="A-1",
    profile=PROFILE,
)  # fmt: skip
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    center = world.copy_center(tmp_path_factory.mktemp("centre"))
    yield center
    center.database.close()


@pytest.fixture(scope="module")
def app(center: Center) -> Flask:
    gateway = world.TestGateway(center)
    gateway.enrol()
    for channel, shown, reason in ((POWER, "12.5", ""), (replace(POWER, id="ELEC.OLD"), "99", "display broken")):
        gateway.declare(channel)
        first, second = (
            compare(channel, Display(shown, world.START + at * MINUTE), Read("12.5", "4148 0000", world.START))
            for at in (0, 1)
        )
        made = Commissioned(
            channel=channel, at=world.START + 2 * MINUTE, by="李磊", point="power", table="holding", address=3059,
            order="ABCD", compared=(first, second), reason=reason,
        )  # fmt: skip
        gateway.say("event", made.at, type="config", data=made.event_data())
    # A faster rhythm is the same instrument; another serial number is not.
    gateway.declare(replace(POWER, poll=timedelta(seconds=10)))
    gateway.declare(replace(POWER, id="ELEC.NEW"))
    app = create_app(center.settings, center=center)
    app.config.update(TESTING=True)
    return app


def page(app: Flask, channel: str, language: str = "en") -> str:
    client = world.log_in(app, "city")
    text = client.get(f"/plants/{world.PLANT}/months/{world.PERIOD}/channels/{channel}?lang={language}").text
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


def test_page_names_person_time_and_both_displays(app: Flask) -> None:
    shown = page(app, "ELEC.POWER")
    assert "by 李磊" in shown
    assert "display agrees" in shown
    assert shown.count("display 12.5, read 12.5") == 2


def test_contradiction_is_shown_with_its_reason(app: Flask) -> None:
    assert "display contradicts display broken" in page(app, "ELEC.OLD")


def test_channel_that_nobody_commissioned_says_so(app: Flask) -> None:
    assert "Commissioned not recorded" in page(app, "ELEC.NEW")


def test_record_of_the_instrument_before_is_not_shown_for_the_next(app: Flask, center: Center) -> None:
    known = replace(POWER, id="ELEC.OLD")
    with center.database.reading() as db:
        found = [
            commissioned_for(db, world.PLANT, "ELEC.OLD", None, one.config_data())
            for one in (known, replace(known, serial="B-2"), replace(known, profile=replace(PROFILE, version=2)))
        ]
    assert [one is not None for one in found] == [True, False, False]
