"""Months that no evidence can be of: in an address they are nothing, in the log from former days they break no page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from flask import Flask

from sync import PushItem, Status
from tests.webapp import views_world as world
from webapp import create_app, store_months
from webapp.center import Center
from webapp.models import MonthState
from webapp.submission import submit

PLANT = f"/plants/{world.PLANT}"
ODD = ("0000-01", "0001-01", "1-01", "9999-11", "9999-12", "2026-00", "２０２６-03", "-0001-01")
HOUR = "2026-03-01T00:00:00.000Z"


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    center = world.copy_center(tmp_path_factory.mktemp("centre"))
    yield center
    center.database.close()


@pytest.fixture(scope="module")
def sids(center: Center) -> list[str]:
    """Log values of odd months, as the log took them before years were limited; and months that stand so."""
    person = world.Person(center, "li.na")
    assert person.enrol() is None
    ledger = {"kind": "ledger", "plant": world.PLANT, "param": "scrap", "value": "1", "unit": "t", "mode": "measured"}
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evidence.members.FIRST_YEAR", 0)
        patch.setattr("evidence.members.LAST_YEAR", 9999)
        for when in ({"period": "0001-01"}, {"period": "9999-12"}, {"period": "0000-01"}, {"day": "0001-01-01"}):
            result = submit(center, [PushItem(person.sign(**ledger, **when, source="x", subjects=[]))])[0]
            assert result.status is Status.LOGGED, result
            found.append(result.sid)
    with center.database.writing() as db:
        for period, status in (("0001-01", "signed"), ("9999-11", "draft"), (world.PERIOD, "signed")):
            at = datetime(2026, 4, 1, tzinfo=UTC)
            state = MonthState(plant=world.PLANT, period=period, status=status, rev=1, month_sid=None, changed_at=at)
            store_months.save_state(db, state)
    return found


@pytest.fixture(scope="module")
def app(center: Center, sids: list[str]) -> Flask:
    app = create_app(center.settings, center=center)
    app.config.update(TESTING=True)
    return app


@pytest.mark.parametrize(
    ("name", "path"), [("city", "/plants"), ("city", PLANT), ("city", "/review"), ("li.na", PLANT)]
)
def test_lists_leave_out_months_that_cannot_be(app: Flask, name: str, path: str) -> None:
    page = world.log_in(app, name).get(path)
    assert page.status_code == 200
    assert f"/months/{world.PERIOD}" in page.text
    assert not [odd for odd in ODD if f"/months/{odd}" in page.text]


def test_a_statement_of_such_a_month_can_still_be_read(app: Flask, sids: list[str]) -> None:
    client = world.log_in(app, "li.na")
    for sid in sids:
        for path in (f"/statements/{sid}", f"/statements/{sid}.jws", f"/statements/{sid}.tlog-proof"):
            page = client.get(path)
            assert page.status_code == 200, path
        assert "/months/" not in client.get(f"/statements/{sid}").text


@pytest.mark.parametrize("period", ODD)
def test_an_address_of_such_a_month_leads_to_nothing(app: Flask, period: str) -> None:
    month = f"{PLANT}/months/{period}"
    paths = {
        "li.na": ("", "/body.json", "/channels/ELEC.IMPORT", f"/hours/{HOUR}/ELEC.IMPORT", "/declare", "/bundle"),
        "city": ("/review", f"/readings/{HOUR}/ELEC.IMPORT"),
    }
    for name, ends in paths.items():
        client = world.log_in(app, name)
        for end in ends:
            assert client.get(month + end).status_code == 404, (name, end)
