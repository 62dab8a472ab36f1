"""Who may read what of the log: hashes and checkpoints anyone, statements only those who may see all plants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask

from evidence.merkle import leaf_hash, root
from evidence.note import verify_checkpoint
from evidence.tiles import parse_entries
from tests.webapp import views_world as world
from webapp import create_app
from webapp.center import Center


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    center = world.copy_center(tmp_path_factory.mktemp("centre"))
    world.fill(center, hours=3)
    yield center
    center.database.close()


@pytest.fixture(scope="module")
def app(center: Center) -> Flask:
    return create_app(center.settings, center=center)


@pytest.fixture
def tile(center: Center) -> str:
    """The width of the one tile there is, as addresses end."""
    published = center.log.published()
    assert published is not None
    return f"000.p/{published.size}"


def test_statements_of_all_plants_are_not_for_strangers(app: Flask, tile: str) -> None:
    stranger = app.test_client()
    for path in (f"entries/{tile}", "entries/000.p/1", "entries/000", "entries/099"):
        answer = stranger.get(f"/log/tile/{path}")
        assert answer.status_code == 401, path
        assert answer.json is not None
        assert answer.json["code"] == "UNAUTHORIZED"
        assert b"eyJ" not in answer.data
    assert stranger.get(f"/log/tile/0/{tile}").status_code == 200
    assert stranger.get("/log/checkpoint").status_code == 200
    assert stranger.get("/trust.json").status_code == 200


@pytest.mark.parametrize(
    ("name", "status"),
    [("li.na", 403), ("wang.jun", 403), ("city", 403), ("province", 403), ("nation", 200), ("admin", 200)],
)
def test_statements_of_all_plants_are_for_those_who_see_all_plants(
    app: Flask, tile: str, name: str, status: int
) -> None:
    assert world.log_in(app, name).get(f"/log/tile/entries/{tile}").status_code == status


def test_who_sees_all_plants_can_rebuild_the_log(app: Flask, center: Center, tile: str) -> None:
    client = world.log_in(app, "admin")
    checkpoint = verify_checkpoint(client.get("/log/checkpoint").text, center.log.vkey)
    answer = client.get(f"/log/tile/entries/{tile}")
    assert root([leaf_hash(entry) for entry in parse_entries(answer.data)]) == checkpoint.root
    assert answer.headers["Cache-Control"] == "no-store"
    assert "public" in client.get(f"/log/tile/0/{tile}").headers["Cache-Control"]
