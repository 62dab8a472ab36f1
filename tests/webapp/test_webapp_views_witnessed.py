"""What people see of a log that waits for its witnesses, and of a gateway that signed twice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from evidence.contradiction import prove
from evidence.errors import Code
from evidence.keys import SigningKey
from evidence.note import NoteKey
from sync import PushItem, Status
from tests.webapp import views_world as world
from webapp import create_app, export, store_log
from webapp.center import Center
from webapp.submission import submit

PLANT = f"/plants/{world.PLANT}"
WITNESS = NoteKey("witness.example/city", 4, SigningKey.from_seed(b"\x08" * 32).public.raw)


@pytest.fixture
def center(tmp_path: Path) -> Center:
    center = world.copy_center(tmp_path)
    gateway = world.fill(center, hours=2)
    first = gateway.say("event", world.START, type="maintenance", data={"note": "one"})
    gateway.seq, gateway.prev = gateway.seq - 1, first.payload["prev"]
    with pytest.raises(AssertionError, match="FORK"):
        gateway.say("event", world.START, type="maintenance", data={"note": "another"})
    return center


def reader(center: Center, lang: str) -> FlaskClient:
    client = create_app(center.settings, center=center).test_client()
    client.set_cookie("lang", lang)
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/login").text)
    assert found is not None
    form = {"csrf_token": found[1], "name": "li.na", "password": world.PASSWORD}
    assert client.post("/login", data=form).status_code == 303
    return client


@pytest.mark.parametrize(("lang", "words"), [("en", "Two statements with one number"), ("zh", "同一序号有两份声明")])
def test_plant_page_shows_a_fork_and_gives_its_proof(center: Center, lang: str, words: str) -> None:
    client = reader(center, lang)
    page = client.get(PLANT).text
    assert words in page
    link = re.search(rf'href="({PLANT}/forks/[0-9a-f]+\.json)"', page)
    assert link is not None
    answer = client.get(link[1])
    assert "FORK-" in answer.headers["Content-Disposition"]
    proven = prove(answer.data, export.trust(center))
    assert (proven.code, proven.facts["gw"]) == (Code.FORK, world.GW)
    assert client.get(f"{PLANT}/forks/{'0' * 64}.json").status_code == 404
    assert client.get(link[1].replace(world.PLANT, world.OTHER_PLANT)).status_code in (403, 404)


@pytest.mark.parametrize(("lang", "words"), [("en", "awaiting cosignatures"), ("zh", "待联署")])
def test_statement_page_says_that_a_receipt_waits(center: Center, tmp_path: Path, lang: str, words: str) -> None:
    center.database.close()
    policy = tmp_path / "policy.txt"
    policy.write_text(f"witness city {WITNESS.text} http://127.0.0.1:9\nquorum city\n", encoding="utf-8")
    log = center.settings.log.model_copy(update={"policy": policy, "witness_timeout_s": 1.0})
    again = Center.open(center.settings.model_copy(update={"log": log}))
    with again.database.reading() as session:
        (row,) = store_log.chain_entries(session, world.GW, 1, 1, 1)
    assert submit(again, [PushItem(row.jws)])[0].status is Status.WAITING
    client = reader(again, lang)
    page = client.get(f"/statements/{row.sid}").text
    assert words in page
    assert client.get(f"/statements/{row.sid}.tlog-proof").status_code == 404
    assert client.get(f"/statements/{row.sid}.jws").data.decode() == row.jws
