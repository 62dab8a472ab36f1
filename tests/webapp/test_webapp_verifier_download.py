"""The offline verifier is handed out beside every bundle: by the centre to anyone, and by the command."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cunzheng.cli import cunzheng
from tests.webapp import views_world as world
from webapp import create_app
from webapp.verifier_build import PAGE


def test_anyone_may_download_the_page_and_it_does_not_run_on_this_site(tmp_path: Path) -> None:
    center = world.copy_center(tmp_path)
    answer = create_app(center.settings, center=center).test_client().get("/verifier.html")
    center.database.close()
    assert answer.data == PAGE.read_bytes()
    assert answer.headers["Content-Disposition"] == "attachment; filename=cunzheng-verifier.html"
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("as_json", [True, False])
def test_command_writes_the_page_and_tells_its_digest(tmp_path: Path, as_json: bool) -> None:
    target = tmp_path / "page.html"
    done = CliRunner().invoke(cunzheng, ["verify", "--page", str(target), *(["--json"] if as_json else [])])
    digest = hashlib.sha256(PAGE.read_bytes()).hexdigest()
    assert (done.exit_code, target.read_bytes()) == (0, PAGE.read_bytes())
    if as_json:
        assert json.loads(done.stdout) == {"page": str(target), "size": PAGE.stat().st_size, "sha256": digest}
    else:
        assert done.stdout == f"wrote the verifier to {target}  SHA-256 {digest}\n"


def test_command_without_bundle_and_page_is_misuse() -> None:
    done = CliRunner().invoke(cunzheng, ["verify"])
    assert (done.exit_code, done.stdout) == (3, "")
    assert "name the bundle to check" in done.stderr


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(cunzheng, ["verify", "--page", str(tmp_path / "nowhere" / "page.html")])
    assert done.exit_code == 3
    assert "cannot write the verifier to" in done.stderr


def test_an_installation_without_the_centre_says_where_to_get_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "webapp" else find(name))
    done = CliRunner().invoke(cunzheng, ["verify", "--page", str(tmp_path / "page.html")])
    assert done.exit_code == 1
    assert "download it from a month's page" in done.stderr
    assert list(tmp_path.iterdir()) == []
