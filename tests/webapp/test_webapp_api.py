"""The gateways' interface over real HTTP, with honest calls and with every trick that must not work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from device_double import GW, Device, bare_center
from signed_calls import Caller
from views_world import serving

from evidence.encoding import sha256_hex, time_text
from evidence.keys import SigningKey
from evidence.merkle import leaf_hash, root
from evidence.note import NoteKey, verify_checkpoint
from evidence.receipt import Receipt, verify_receipt
from evidence.trust import Trust
from sync import Live, LiveSample, PullResult, Push, PushResult, Status, TileRefusal
from webapp import create_app, enrolment, store_contents, store_readings, submission, tile_wants
from webapp.center import Center


@dataclass
class Site:
    """A centre that is being served, its gateway, and the gateway's way of calling."""

    center: Center
    device: Device
    caller: Caller
    base: str

    def push(self, *items: Any, **dials: Any) -> httpx.Response:
        return self.caller.call("POST", "/api/v1/statements", Push(items).to_json().encode(), **dials)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    center = bare_center(tmp_path, web={"secure_cookies": False})
    app = create_app(center.settings, center=center)
    device = Device()
    with serving(app) as base:
        caller = Caller(base, device.key)
        enrol(base, center, device)
        yield Site(center, device, caller, base)
        caller.close()
    center.database.close()


def enrol(base: str, center: Center, device: Device) -> dict[str, Any]:
    code = enrolment.invite_gateway(center, device.plant, device.gw)
    with httpx.Client(base_url=base, trust_env=False) as client:
        start = client.post("/api/v1/enrol/start", json={"code": code})
        assert start.status_code == 200, start.text
        facts = start.json()
        assert (facts["gw"], facts["plant"], facts["origin"]) == (GW, "P-0001", "log.example/evidence")
        assert (facts["plan"]["plant"], facts["epoch"]) == ("P-0001", 1)
        assert NoteKey.parse(facts["log_vkey"]) == center.log.vkey
        statement = device.enrolment(center, facts["nonce"])
        finish = client.post("/api/v1/enrol/finish", json={"code": code, "statement": statement})
        assert finish.status_code == 200, finish.text
        done: dict[str, Any] = finish.json()
    trust = Trust.from_json(done["trust"])
    assert trust.registry.key(device.key.kid).owner_id == GW
    verify_receipt(Receipt.from_text(done["receipts"][0]), statement, trust.log)
    verify_receipt(Receipt.from_text(done["receipts"][1]), done["approve"], trust.log)
    return done


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_statements_come_in_and_receipts_go_out(site: Site) -> None:
    items = [site.device.config(), site.device.segment(0), site.device.segment(1)]
    response = site.push(*items)
    assert response.status_code == 200
    results = PushResult.from_json(response.content).results
    for item, result in zip(items, results, strict=True):
        verify_receipt(Receipt.from_text(result.receipt or ""), item.jws, site.center.log.vkey)
    assert PushResult.from_json(site.push(*items).content).results == results


def test_body_other_than_signed_is_refused(site: Site) -> None:
    body = Push((site.device.event(),)).to_json().encode()
    for sent in (body + b" ", body[:-1], b"{}"):
        assert code_of(site.caller.call("POST", "/api/v1/statements", body, sent=sent)) == (401, "DIGEST")


def test_body_that_was_cut_off_is_noticed(site: Site) -> None:
    body = Push((site.device.event(),)).to_json().encode()
    assert code_of(site.caller.call("POST", "/api/v1/statements", body, sent=b"")) == (401, "DIGEST")


def test_request_sent_twice_is_refused_and_nothing_burns_early(site: Site) -> None:
    body = Push((site.device.event(),)).to_json().encode()
    assert site.caller.call("POST", "/api/v1/statements", body, content_type="text/plain").status_code == 415
    spoiled = site.caller.call("POST", "/api/v1/statements", body, sent=b"{}", nonce="same-nonce-1")
    assert code_of(spoiled) == (401, "DIGEST")
    assert site.caller.call("POST", "/api/v1/statements", body, nonce="same-nonce-1").status_code == 200
    assert code_of(site.caller.call("POST", "/api/v1/statements", body, nonce="same-nonce-1")) == (401, "NONCE_USED")


@pytest.mark.parametrize("age", [timedelta(minutes=11), timedelta(minutes=-6)])
def test_request_of_another_time_is_refused_with_the_centres_time(site: Site, age: timedelta) -> None:
    response = site.push(site.device.event(), created=datetime.now(UTC) - age)
    assert code_of(response) == (401, "REQUEST_EXPIRED")
    assert "clock" in response.json()["detail"]


def test_request_that_lives_too_long_is_refused(site: Site) -> None:
    assert code_of(site.push(site.device.event(), life=timedelta(minutes=30))) == (401, "REQUEST_EXPIRED")


@pytest.mark.parametrize(
    ("dials", "code"),
    [
        ({"tag": "other"}, "SIGNATURE"),
        ({"key_id": "A" * 43}, "KEY_UNKNOWN"),
        ({"covered": ("@method", "@target-uri")}, "SIGNATURE"),
        ({"covered": ("@method", "content-digest", "content-type")}, "SIGNATURE"),
        ({"signed_path": "/api/v1/live"}, "SIGNATURE"),
        ({"nonce": "short"}, "SIGNATURE"),
    ],
)
def test_request_that_is_signed_wrongly_is_refused(site: Site, dials: dict[str, Any], code: str) -> None:
    assert code_of(site.push(site.device.event(), **dials)) == (401, code)


def test_unsigned_and_strangers_requests_are_refused(site: Site) -> None:
    with httpx.Client(base_url=site.base, trust_env=False) as client:
        assert code_of(client.get("/api/v1/pull")) == (401, "SIGNATURE")
        assert code_of(client.post("/api/v1/statements", content=b"{}")) == (401, "SIGNATURE")
    stranger = Caller(site.base, SigningKey.from_seed(b"s" * 32))
    assert code_of(stranger.call("GET", "/api/v1/pull")) == (401, "KEY_UNKNOWN")
    stranger.close()
    forged = Caller(site.base, SigningKey.from_seed(b"s" * 32))
    assert code_of(forged.call("GET", "/api/v1/pull", key_id=site.device.key.kid)) == (401, "SIGNATURE")
    forged.close()


def test_ended_key_calls_no_more(site: Site) -> None:
    new = replace(site.device, key=SigningKey.from_seed(b"n" * 32))
    new.enrol(site.center)
    assert code_of(site.caller.call("GET", "/api/v1/pull")) == (401, "KEY_UNKNOWN")


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{}", 400), (b"[]", 400), (b"\xff", 400), (b'{"items":[],"x":1}', 400), (b'\xef\xbb\xbf{"items":[]}', 400)],
)
def test_what_is_no_message_is_refused(site: Site, body: bytes, status: int) -> None:
    response = site.caller.call("POST", "/api/v1/statements", body)
    assert (response.status_code, response.json()["code"]) == (status, "MESSAGE")


def test_batches_and_bodies_have_limits(site: Site) -> None:
    limit = site.center.settings.limits.batch_items
    items = [site.device.event() for _ in range(limit + 1)]
    assert site.push(*items).status_code == 413
    large = b"x" * (site.center.settings.limits.request_mb * 2**20 + 1)
    assert site.caller.call("PUT", f"/api/v1/content/{sha256_hex(large)}", large).status_code == 413


def test_pull_brings_others_statements_files_and_wants_once(site: Site) -> None:
    first = PullResult.from_json(site.caller.call("GET", "/api/v1/pull?after=-1&wait=0").content)
    assert first.items == ()
    assert len(first.contents) == 2
    with site.center.database.writing() as session:
        tile_wants.ask(session, "P-0001", GW, 1, 3, "city", site.center.now())
    again = PullResult.from_json(site.caller.call("GET", f"/api/v1/pull?after={first.next}&wait=0").content)
    assert (again.items, again.contents) == ((), ())
    assert [(want.epoch, want.tile) for want in again.wants] == [(1, 3)]


def test_pull_brings_what_the_plants_other_devices_signed(site: Site) -> None:
    second = Device(key=SigningKey.from_seed(b"2" * 32), gw="GW-SECOND")
    second.enrol(site.center)
    caller = Caller(site.base, second.key)
    theirs = [second.config(), second.segment(0)]
    pushed = caller.call("POST", "/api/v1/statements", Push(tuple(theirs)).to_json().encode())
    caller.close()
    assert pushed.status_code == 200
    site.push(site.device.config(), site.device.segment(0))
    found = PullResult.from_json(site.caller.call("GET", "/api/v1/pull?epoch=1&wait=0").content)
    assert [item.jws for item in found.items] == [item.jws for item in theirs]
    mine = PullResult.from_json(site.caller.call("GET", "/api/v1/pull?epoch=2&wait=0").content)
    assert len(mine.items) == 4
    assert PullResult.from_json(site.caller.call("GET", "/api/v1/pull?wait=0").content).items == ()


@pytest.mark.parametrize("after", [2**63, 2**64, 2**53, 10**30, -(2**63) - 1])
def test_a_number_that_cannot_be_is_refused(site: Site, after: int) -> None:
    assert site.caller.call("GET", f"/api/v1/pull?epoch={after}").status_code == 422
    assert code_of(site.caller.call("GET", f"/api/v1/pull?after={after}")) == (422, "UNPROCESSABLE_ENTITY")


def test_a_log_number_to_come_brings_nothing(site: Site) -> None:
    pulled = PullResult.from_json(site.caller.call("GET", f"/api/v1/pull?after={2**53 - 1}").content)
    assert pulled.items == ()


def test_files_come_and_go_by_digest_and_only_for_the_plant(site: Site) -> None:
    data = b'{"a":"1"}'
    name = sha256_hex(data)
    assert site.caller.call("PUT", f"/api/v1/content/{name}", data).status_code == 201
    assert site.caller.call("PUT", f"/api/v1/content/{name}", data).status_code == 201
    assert site.caller.call("GET", f"/api/v1/content/{name}").content == data
    assert code_of(site.caller.call("PUT", f"/api/v1/content/{'0' * 64}", data)) == (422, "CONTENT_HASH")
    assert site.caller.call("PUT", f"/api/v1/content/{name}", data, content_type="image/png").status_code == 415
    html = b"<html><script>alert(1)</script>"
    assert site.caller.call("PUT", f"/api/v1/content/{sha256_hex(html)}", html).status_code == 415
    with site.center.database.writing() as session:
        other = store_contents.add(session, "P-OTHER", "x", "text/plain", b"not yours", site.center.now())
    assert site.caller.call("GET", f"/api/v1/content/{other}").status_code == 404


def test_a_wanted_tile_is_taken_when_it_proves_itself(site: Site) -> None:
    site.push(site.device.config(), *(site.device.segment(hour, count=100) for hour in range(4)))
    with site.center.database.writing() as session:
        tile_wants.ask(session, "P-0001", GW, 1, 1, "city", site.center.now())
        want = store_readings.open_wants(session, GW, 9)[0]
    bad = site.device.tile(want.id, 1, tile_salt="07" * 32).to_json().encode()
    assert code_of(site.caller.call("POST", "/api/v1/tiles", bad)) == (422, "INCLUSION_FAIL")
    good = site.device.tile(want.id, 1).to_json().encode()
    assert site.caller.call("POST", "/api/v1/tiles", good).status_code == 200
    with site.center.database.reading() as session:
        answer = store_readings.answers_of(session, GW, 1, 1, 1)[0]
    assert len(answer.lines) == 144
    assert tile_wants.raw_side(answer, 0)["raw"] == "0100"


def test_tile_that_a_gateway_cannot_show_is_known_as_such_and_may_be_asked_for_again(site: Site) -> None:
    site.push(site.device.config(), *(site.device.segment(hour, count=100) for hour in range(4)))
    with site.center.database.writing() as session:
        tile_wants.ask(session, "P-0001", GW, 1, 1, "city", site.center.now())
        (want,) = store_readings.open_wants(session, GW, 10)
    refusal = TileRefusal(want.id, 1, 1, "CHALLENGE_FAIL", "数据块已损坏", "the tile is damaged")
    other = replace(refusal, tile=2)
    assert code_of(site.caller.call("POST", "/api/v1/tiles", other.to_json().encode())) == (422, "NOT_LOGGED")
    answer = site.caller.call("POST", "/api/v1/tiles", refusal.to_json().encode())
    assert (answer.status_code, answer.json()["status"]) == (200, "refused")
    with site.center.database.writing() as session:
        assert store_readings.answers_of(session, GW, 1, 1, 1) == []
        (row,) = store_readings.refusals_of(session, GW, 1, 1, 1)
        assert tile_wants.refusal_of(row, "zh") == "CHALLENGE_FAIL: 数据块已损坏"
        assert tile_wants.refusal_of(row, "en") == "CHALLENGE_FAIL: the tile is damaged"
        assert store_readings.open_wants(session, GW, 10) == []
        tile_wants.ask(session, "P-0001", GW, 1, 1, "city", site.center.now())
        assert [one.id for one in store_readings.open_wants(session, GW, 10)] == [want.id]
    shown = site.device.tile(want.id, 1).to_json().encode()
    assert site.caller.call("POST", "/api/v1/tiles", shown).status_code == 200
    assert site.caller.call("POST", "/api/v1/tiles", refusal.to_json().encode()).status_code == 200
    with site.center.database.reading() as session:
        assert len(store_readings.answers_of(session, GW, 1, 1, 1)) == 1
        assert store_readings.refusals_of(session, GW, 1, 1, 1) == []


def test_live_values_are_kept_two_days_and_never_logged(site: Site) -> None:
    site.push(site.device.config())
    now = site.center.now()
    samples = [
        LiveSample("ELEC.IMPORT", time_text(now - age), value, "kWh", flag)
        for age, value, flag in (
            (timedelta(minutes=1), "12.5", "N"),
            (timedelta(0), None, "B"),
            (timedelta(hours=49), "1", "N"),
            (timedelta(minutes=-20), "1", "N"),
        )
    ]
    before = site.center.log.published()
    response = site.caller.call("POST", "/api/v1/live", Live(tuple(samples)).to_json().encode())
    assert response.json() == {"kept": 2}
    with site.center.database.reading() as session:
        assert [row.value for row in store_readings.latest(session, "P-0001")] == [None]
        assert len(store_readings.series(session, "P-0001", "ELEC.IMPORT", now - timedelta(hours=24))) == 2
    assert site.center.log.published() == before
    bad = Live((LiveSample("x", time_text(now), "1e5", "kWh", "N"),)).to_json().encode()
    assert code_of(site.caller.call("POST", "/api/v1/live", bad)) == (422, "SCHEMA")


def test_live_values_count_only_for_declared_channels_in_their_unit(site: Site) -> None:
    site.push(site.device.config("ELEC.IMPORT"))
    now = time_text(site.center.now())
    sent = [("ELEC.IMPORT", "MWh"), ("ELEC.EXPORT", "kWh"), *((f"C.{n}", "看") for n in range(50))]
    samples = tuple(LiveSample(channel, now, "1", unit, "N") for channel, unit in sent)
    assert site.caller.call("POST", "/api/v1/live", Live(samples).to_json().encode()).json() == {"kept": 0}
    site.push(site.device.config("ELEC.EXPORT"))
    assert site.caller.call("POST", "/api/v1/live", Live(samples).to_json().encode()).json() == {"kept": 1}
    with site.center.database.reading() as session:
        assert [row.channel for row in store_readings.latest(session, "P-0001")] == ["ELEC.EXPORT"]


def test_live_values_of_another_gateways_channel_are_not_kept(site: Site) -> None:
    other = Device(gw="GW-0002", key=SigningKey.from_seed(b"o" * 32))
    other.enrol(site.center)
    submission.submit(site.center, [other.config("GAS.TOTAL")])
    sample = LiveSample("GAS.TOTAL", time_text(site.center.now()), "1", "kWh", "N")
    assert site.caller.call("POST", "/api/v1/live", Live((sample,)).to_json().encode()).json() == {"kept": 0}


def test_live_values_in_one_message_have_a_limit(site: Site) -> None:
    now = time_text(site.center.now())
    samples = tuple(LiveSample("ELEC.IMPORT", now, "1", "kWh", "N") for _ in range(1001))
    assert site.caller.call("POST", "/api/v1/live", Live(samples).to_json().encode()).status_code == 413


def test_anyone_can_rebuild_the_tree_from_the_public_side(site: Site) -> None:
    site.push(*(site.device.event() for _ in range(150)))
    items = [site.device.event() for _ in range(150)]
    site.push(*items)
    with httpx.Client(base_url=site.base, trust_env=False) as client:
        trust = Trust.from_json(client.get("/trust.json").json())
        checkpoint = verify_checkpoint(client.get("/log/checkpoint").text, trust.log)
        assert checkpoint.size == 302
        data = client.get("/log/tile/0/000").content + client.get("/log/tile/0/001.p/46").content
        hashes = [data[at : at + 32] for at in range(0, len(data), 32)]
        assert root(hashes) == checkpoint.root
        assert [leaf_hash(item.jws.encode()) for item in items] == hashes[-150:]
        assert len(client.get("/log/tile/0/001.p/3").content) == 96
        for path in (
            "0/001",
            "0/001.p/47",
            "0/002.p/1",
            "2/000.p/1",
            "0/1",
            "0/..%2f..%2fcenter.sqlite",
        ):
            assert client.get(f"/log/tile/{path}").status_code == 404, path


def test_answers_carry_the_security_headers_and_no_insides(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with httpx.Client(base_url=site.base, trust_env=False) as client:
        response = client.get("/trust.json")
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "BEGIN" not in json.dumps(response.json())


def test_a_locked_database_is_answered_with_try_again(site: Site) -> None:
    from sqlalchemy.exc import OperationalError

    def locked(*args: object) -> None:
        raise OperationalError("UPDATE", {}, Exception("database is locked"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(submission, "submit", locked)
        response = site.push(site.device.event())
    assert code_of(response) == (503, "DATABASE")
    assert response.headers["Retry-After"]


def test_guessing_codes_is_slowed_down(site: Site) -> None:
    with httpx.Client(base_url=site.base, trust_env=False) as client:
        codes = [client.post("/api/v1/enrol/start", json={"code": f"guess-{n}"}).status_code for n in range(15)]
    assert codes[0] == 422
    assert codes[-1] == 429


def test_results_are_answered_item_by_item(site: Site) -> None:
    late = [site.device.event(), site.device.event()]
    results = PushResult.from_json(site.push(late[1]).content).results
    assert results[0].status is Status.HELD
    assert results[0].missing == PushResult.from_json(site.push(late[0]).content).results[0].sid
