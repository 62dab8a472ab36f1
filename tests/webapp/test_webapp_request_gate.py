"""Requests that no honest client sends get 400, whichever page or interface they name."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from tests.webapp import views_world as world
from webapp import create_app


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    center = world.copy_center(tmp_path)
    return create_app(center.settings, center=center)


@pytest.mark.parametrize("host", ["a" * 64 + ".b", "a b", "[::1", "a..b", "-a", "a:b", "a" * 300, "x/y"])
@pytest.mark.parametrize("path", ["/login", "/healthz"])
def test_host_that_is_none_is_refused(app: Flask, host: str, path: str) -> None:
    answer = app.test_client().get(path, headers={"Host": host})
    assert (answer.status_code, b"Host" in answer.data) == (400, True)


@pytest.mark.parametrize("host", ["localhost", "center.example:8443", "127.0.0.1:80", "[::1]:8080", "a_b.example."])
def test_host_that_is_one_is_served(app: Flask, host: str) -> None:
    assert app.test_client().get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/plants/%00", "/plants/a%00b/months/2026-10", "/statements/%00.jws", "/login?next=%00"]
)
def test_nul_in_an_address_is_refused(app: Flask, path: str) -> None:
    assert app.test_client().get(path).status_code == 400


def test_nul_in_a_form_is_refused(app: Flask) -> None:
    assert app.test_client().post("/login", data={"name": "a\0b", "password": "x"}).status_code == 400


def test_half_a_surrogate_pair_is_refused_by_the_enrolment(app: Flask) -> None:
    answer = app.test_client().post("/api/v1/enrol/start", data=rb'{"code":"\ud800"}', content_type="application/json")
    assert (answer.status_code, answer.get_json()["code"]) == (400, "MESSAGE")
