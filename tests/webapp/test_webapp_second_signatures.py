"""Second signatures at a real centre: asked for by the plant's policy, checked, kept, and shown in the bundle."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import gmssl_pyx
import pytest
from click.testing import CliRunner
from device_double import GW, PLANT, Device, bare_center
from views_world import serving

from cunzheng.cli import cunzheng
from evidence.bundle import Bundle
from evidence.keys import SigningKey
from evidence.statement import parse
from evidence.verify import verify_bundle
from evidence.verify_sm2 import signing_input
from gateway.clock import RealClock
from gateway.enrol import enrol
from gateway.identity import read_key
from gateway.second_key import read_second_key, second_key_file
from gateway.uplink import Uplink
from gateway.writer import Writer
from sync import ItemResult, PushItem, Status
from webapp import create_app, enrolment, export, second_signatures, store_keys
from webapp.center import Center
from webapp.errors import CenterError
from webapp.submission import submit

OTHER = gmssl_pyx.sm2_key_generate()


@pytest.fixture
def center(tmp_path: Path) -> Iterator[Center]:
    made = bare_center(tmp_path)
    yield made
    made.database.close()


@pytest.fixture
def device(center: Center, tmp_path: Path) -> Device:
    """A gateway that enrolled over HTTP with both keys, since its plant signs twice."""
    second_signatures.ask(center, PLANT, is_wanted=True)
    code, folder = enrolment.invite_gateway(center, PLANT, GW), tmp_path / "gateway"
    folder.mkdir()
    writer = Writer(folder / "gateway.db")
    app = create_app(center.settings, center=center)
    with serving(app) as url, Uplink(url, None, RealClock(), timeout_s=20) as uplink:
        enrol(writer, uplink, RealClock(), folder / "gateway.key", code, again=False)
    writer.close()
    made = Device(key=read_key(folder / "gateway.key"))
    made.second = read_second_key(second_key_file(folder / "gateway.key"))  # type: ignore[attr-defined]
    return made


def twice(device: Device, item: PushItem) -> PushItem:
    signature = device.second.sign(signing_input(item.jws))  # type: ignore[attr-defined]
    return PushItem(item.jws, item.consistency, signature.hex())


def sent(center: Center, *items: PushItem) -> list[tuple[Status, str | None]]:
    results: list[ItemResult] = submit(center, items)
    return [(result.status, result.code) for result in results]


def test_second_key_is_in_the_registry_after_enrolment(center: Center, device: Device) -> None:
    with center.database.reading() as session:
        entry = store_keys.find(session, device.key.kid)
    assert entry is not None
    assert entry.sm2 == device.second.public  # type: ignore[attr-defined]
    assert export.trust(center).registry.plant(PLANT).sm2_from == 0


def test_statement_without_or_with_a_wrong_second_signature_is_refused(center: Center, device: Device) -> None:
    item = device.config()
    forged = gmssl_pyx.sm2_sign(OTHER[1], OTHER[0], signing_input(item.jws)).hex()
    for sm2, code in ((None, "SM2_MISSING"), (forged, "SIGNATURE"), ("no hex", "ENCODING"), ("00", "SIGNATURE")):
        assert sent(center, PushItem(item.jws, None, sm2)) == [(Status.REFUSED, code)]
    assert sent(center, twice(device, item)) == [(Status.LOGGED, None)]
    assert sent(center, item) == [(Status.LOGGED, None)]  # it is there: the same receipt again


def test_follower_that_was_held_comes_with_its_second_signature(center: Center, device: Device) -> None:
    first, then = twice(device, device.config()), twice(device, device.event())
    assert sent(center, then) == [(Status.HELD, None)]
    assert sent(center, first, then) == [(Status.LOGGED, None), (Status.LOGGED, None)]


def test_bundle_carries_second_signatures_that_hold(center: Center, device: Device) -> None:
    items = [twice(device, device.config()), twice(device, device.segment(0)), twice(device, device.segment(1))]
    assert {status for status, _ in sent(center, *items)} == {Status.LOGGED}
    sids = [parse(item.jws).sid for item in items]
    with center.database.reading() as session:
        kept = second_signatures.of_statements(session, sids)
        receipts = center.log.receipts(session, range(2, 5))
    assert sorted(kept) == sorted(sids)
    bundle = Bundle(
        {sid: item.jws.encode() for sid, item in zip(sids, items, strict=True)},
        {sid: one.to_text().encode() for sid, one in zip(sids, receipts, strict=True)},
        sm2=kept,
    )
    report = verify_bundle(bundle, export.trust(center), center.now())
    assert next((check.passed, check.failed) for check in report.checks if check.name == "sm2") == (3, 0)


@pytest.mark.parametrize("crime", ["missing", "forged"])
def test_second_key_that_proves_nothing_is_not_enrolled(center: Center, crime: str) -> None:
    second_signatures.ask(center, PLANT, is_wanted=True)
    code = enrolment.invite_gateway(center, PLANT, GW)
    device = Device(key=SigningKey.from_seed(bytes(32)))
    jws = device.enrolment(center, enrolment.start(center, code).nonce, sm2=OTHER[0].hex())
    stranger = gmssl_pyx.sm2_key_generate()
    forged = gmssl_pyx.sm2_sign(stranger[1], stranger[0], signing_input(jws)).hex()
    client = create_app(center.settings, center=center).test_client()
    question = {"code": code, "statement": jws, **({"sm2": forged} if crime == "forged" else {})}
    answer = client.post("/api/v1/enrol/finish", data=json.dumps(question), content_type="application/json")
    assert (answer.status_code, answer.json["code"]) == (422, "SM2_MISSING" if crime == "missing" else "SIGNATURE")


def test_policy_is_switched_by_command(center: Center, tmp_path: Path) -> None:
    config = tmp_path / "center.toml"
    config.write_text(f'data_dir = "data"\n[log]\norigin = "{center.log.origin}"\n')

    def run(name: str, flag: str) -> tuple[int, str]:
        words = ["center", "plant", "second-signature", name, flag, "-c", str(config), "--json"]
        result = CliRunner().invoke(cunzheng, words)
        return result.exit_code, result.stdout

    assert json.loads(run(PLANT, "--on")[1]) == {"plant": PLANT, "sm2_from": 0}
    assert json.loads(run(PLANT, "--off")[1]) == {"plant": PLANT, "sm2_from": None}
    assert run("P-9999", "--on")[0] == 1


def test_centre_without_the_library_cannot_ask_for_it(center: Center, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gmssl_pyx", None)
    with pytest.raises(CenterError) as caught:
        second_signatures.ask(center, PLANT, is_wanted=True)
    assert caught.value.exit_code == 3
