"""A gateway whose plant asks for SM2: its key, its enrolment, and a second signature with everything it sends."""

from __future__ import annotations

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import Plant
from small_centre import CODE, SmallCentre

from evidence.sm2 import verify_sm2
from evidence.statement import parse
from evidence.verify_sm2 import signing_input
from gateway.chain import append_event, own_statements
from gateway.enrol import enrol
from gateway.errors import MisuseError
from gateway.problems import problems
from gateway.second_key import make_second_key, read_second_key, second_key_file
from gateway.syncing import Syncing
from gateway.uplink import Uplink
from gateway.writer import Writer


def event(plant: Plant) -> str:
    signer = plant.pipeline.signer
    return plant.writer.call(lambda store: append_event(store, signer, "maintenance", {"note": "x"})).sid


def test_key_file_is_for_its_owner_only_and_made_once(tmp_path: Path) -> None:
    file = tmp_path / "gateway.key.sm2"
    key = make_second_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert make_second_key(file) == key
    assert key.secret.hex() not in repr(key)
    verify_sm2(key.public, key.sign(b"data"), b"data")
    for mode, content in ((0o644, None), (0o600, "ab cd"), (0o600, "")):
        file.chmod(mode)
        if content is not None:
            file.write_text(content)
        with pytest.raises(MisuseError):
            read_second_key(file)
    with pytest.raises(MisuseError, match="enrol --again"):
        read_second_key(tmp_path / "nowhere")


def test_enrolment_presents_the_second_key_and_proves_it(enrolled: Plant, centre: SmallCentre, tmp_path: Path) -> None:
    centre.dials.sm2_from = 0
    folder = tmp_path / "second"
    folder.mkdir()
    writer = Writer(folder / "gateway.db")
    with Uplink(centre.url, None, enrolled.clock, timeout_s=2) as uplink:
        enrol(writer, uplink, enrolled.clock, folder / "gateway.key", CODE, again=False)
    writer.close()
    key = read_second_key(second_key_file(folder / "gateway.key"))
    jws = next(jws for jws in reversed(centre.log) if parse(jws).payload.get("op") == "enrol")
    assert parse(jws).payload["sm2"] == key.public
    verify_sm2(key.public, bytes.fromhex(centre.seconds["enrolment"]), signing_input(jws))
    assert not list(folder.glob("*.new*"))


def test_everything_sent_is_signed_twice_once_the_policy_is_known(
    enrolled: Plant, centre: SmallCentre, syncing: Syncing
) -> None:
    """The policy came after the gateway knew the plant: what waits is refused once, then sent with both signatures."""
    syncing.round()
    key = make_second_key(second_key_file(enrolled.folder / "gateway.key"))
    centre.dials.sm2_from = len(centre.log)
    sids = [event(enrolled), event(enrolled)]
    assert syncing.round().refused == 2
    enrolled.clock.advance(timedelta(minutes=10))
    syncing.round()
    statements = {one.sid: one.jws for one in enrolled.writer.call(own_statements)}
    assert set(sids) <= set(centre.seconds)
    for sid in sids:
        verify_sm2(key.public, bytes.fromhex(centre.seconds[sid]), signing_input(statements[sid]))
        assert statements[sid] in centre.log


def test_gateway_without_the_key_says_what_to_do_and_keeps_everything(
    enrolled: Plant, centre: SmallCentre, syncing: Syncing
) -> None:
    syncing.round()
    centre.dials.sm2_from = len(centre.log)
    event(enrolled)
    syncing.round()
    enrolled.clock.advance(timedelta(minutes=10))
    assert syncing.round().waiting == 1
    said = " ".join(str(one) for one in enrolled.writer.call(problems))
    assert "enrol --again" in said
