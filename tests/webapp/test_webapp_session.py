"""What a browser is given with the settings as they come: cookies, headers, and how a password is kept."""

from __future__ import annotations

import dataclasses
import re
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from tests.webapp import views_world as world
from webapp import create_app
from webapp.center import Center
from webapp.settings import from_mapping

PLANT = f"/plants/{world.PLANT}"


def logged_in(client: FlaskClient, base: str) -> TestResponse:
    """Log in as the technician."""
    page = client.get("/login", base_url=base).get_data(as_text=True)
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found is not None
    form = {"name": "li.na", "password": world.PASSWORD, "csrf_token": found[1]}
    answer = client.post("/login", data=form, base_url=base, headers={"Referer": f"{base}/login"})
    assert answer.status_code == 303
    return answer


def test_session_cookie_and_headers_are_strict_by_default(tmp_path: Path) -> None:
    world.copy_center(tmp_path).database.close()
    settings = from_mapping({name: value for name, value in world.SETTINGS.items() if name != "web"}, tmp_path)
    center = Center.open(settings)
    client = create_app(settings, center=center).test_client()
    answer = logged_in(client, "https://localhost")
    (cookie,) = [one for one in answer.headers.getlist("Set-Cookie") if one.startswith("__Host-cunzheng=")]
    attributes = {one.strip().lower() for one in cookie.split(";")[1:]}
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= attributes
    assert not any(one.startswith("domain") for one in attributes)
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    center.database.close()


def test_passwords_are_kept_as_argon2id(tmp_path: Path) -> None:
    center = world.copy_center(tmp_path)
    with center.database.reading() as db:
        kept = db.execute(text("SELECT password_hash FROM user_account")).scalars().all()
    center.database.close()
    assert len(kept) == len(set(kept)) == len(world.PEOPLE)
    assert all(one.startswith("$argon2id$") for one in kept)


@pytest.mark.parametrize("minutes", [0, 14, 29, 44, 59])
def test_plant_page_draws_the_last_day_and_htmx_fetches_it_alone(tmp_path: Path, minutes: int) -> None:
    center = world.copy_center(tmp_path)
    start = center.now().replace(minute=0, second=30) + timedelta(hours=1, minutes=minutes)
    center = dataclasses.replace(center, clock=lambda: start)
    world.fill(center, hours=1)
    world.add_live(center)
    client = create_app(center.settings, center=center).test_client()
    logged_in(client, "http://localhost")
    whole, part = (client.get(path).get_data(as_text=True) for path in (PLANT, f"{PLANT}/history"))
    center.database.close()
    for page in (whole, part):
        assert re.search(r'<svg class="chart', page)
        assert "159.7" in page  # the highest of all, whichever hour it falls in
    assert "<html" in whole
    assert "<html" not in part
