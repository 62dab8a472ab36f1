"""The administrator's page of people: a lost key is no dead end, and what was done is written down."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from tests.webapp import views_world as world
from webapp import create_app, store_keys
from webapp.center import Center
from webapp.models import Act


@pytest.fixture
def center(tmp_path: Path) -> Iterator[Center]:
    center = world.copy_center(tmp_path)
    yield center
    center.database.close()


@pytest.fixture
def app(center: Center) -> Flask:
    return create_app(center.settings, center=center)


def press(client: FlaskClient, path: str, **fields: str) -> TestResponse:
    """Send a form of the page of people."""
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/people").text)
    assert token is not None
    return client.post(path, data={"csrf_token": token[1], **fields})


def acts(center: Center) -> list[tuple[str, str, str]]:
    """Who did what to whom."""
    with center.database.reading() as db:
        return [(act.actor, act.action, act.object) for act in db.scalars(select(Act).order_by(Act.id))]


def test_a_lost_key_is_replaced_without_the_command_line(center: Center, app: Flask) -> None:
    first = world.Person(center, "li.na")
    assert first.enrol() is None
    keys = world.log_in(app, "li.na").get("/keys/mine").text
    assert "ask the administrator to allow a new one" in keys
    assert "Make a new key and register it" in keys
    second = world.Person(center, "li.na")
    second.key = world.SigningKey.from_seed(bytes(range(32)), "ES256")
    refused = second.enrol()
    assert refused is not None
    assert refused.code == "ROLE"
    admin = world.log_in(app, "admin")
    assert '<a href="/people">People</a>' in admin.get("/plants").text
    for _ in range(2):  # pressed twice, it allows one key all the same
        assert press(admin, "/people/li.na/key/allow").status_code == 303
    assert ("admin", "user-key", "li.na") in acts(center)
    assert second.enrol() is None
    assert second.enrol() is not None
    ended = world.log_in(app, "li.na").get("/keys/mine").text
    assert f'data-ended="[&#34;{first.key.kid}&#34;]"' in ended


def test_ending_a_key_is_logged_and_written_down(center: Center, app: Flask) -> None:
    person = world.Person(center, "city")
    assert person.enrol() is None
    admin = world.log_in(app, "admin")
    for fields in ({"kid": person.key.kid, "reason": "bored"}, {"kid": "x" * 43, "reason": "lost"}):
        assert press(admin, "/people/city/key/revoke", **fields).status_code == 400
    assert press(admin, "/people/city/key/revoke", kid=person.key.kid, reason="compromised").status_code == 303
    with center.database.reading() as db:
        row = store_keys.find_row(db, person.key.kid)
        assert row is not None
        assert (row.reason, row.until_index is not None) == ("compromised", True)
    assert ("admin", "key-revoke", person.key.kid) in acts(center)
    page = admin.get("/people").text
    assert "The key of city has ended" in page
    assert "revoked" in page


@pytest.mark.parametrize("name", sorted(set(world.PEOPLE) - {"admin"}))
def test_only_the_administrator_sees_people(app: Flask, name: str) -> None:
    client = world.log_in(app, name)
    assert client.get("/people").status_code == 403
    assert 'href="/people"' not in client.get("/account").text


def test_every_reason_has_words_in_both_languages(app: Flask) -> None:
    admin = world.log_in(app, "admin")
    assert admin.get("/people").status_code == 200
    admin.set_cookie("lang", "zh")
    page = admin.get("/people").text
    assert "允许登记新密钥" not in page  # nobody has used up the first one
    assert "已允许" in page
    assert press(admin, "/people/nobody/key/allow").status_code == 404
