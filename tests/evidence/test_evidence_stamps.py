"""Time-stamps over checkpoints by a local openssl authority, judged by us and by openssl."""

from __future__ import annotations

import builtins
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from evidence_world import NOW, World, indexed
from stamp_authority import Authority
from witnessed import checkpoint

from evidence.bundle import Bundle
from evidence.errors import Code, EvidenceError
from evidence.stamp import StampLibraryMissingError, stamp_request, stamped_at
from evidence.trust import Trust
from evidence.verdict import Report, Verdict
from evidence.verify import verify_bundle

TEXT = "log.example/evidence\n3\nAAAA\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tsa"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"))


def codes(report: Report) -> set[Code]:
    return {finding.code for finding in report.findings}


def stamped(world: World, size: int, authority: Authority) -> Bundle:
    """Pack with a stamped checkpoint of a size."""
    note = checkpoint(world, size)
    text = note[: note.rindex("\n\n") + 1]
    stamp = authority.answer(stamp_request(text))
    return indexed(replace(world.pack(), checkpoints={str(size): note.encode()}, stamps={str(size): stamp}))


def test_stamp_is_accepted_by_us_and_by_openssl(authority: Authority) -> None:
    stamp = authority.answer(stamp_request(TEXT))
    assert authority.confirms(stamp, TEXT)
    at = stamped_at(stamp, TEXT, [authority.certificate])
    assert abs(at - datetime.now(UTC)) < timedelta(hours=1)
    assert at.tzinfo is UTC


def test_stamp_of_another_text_is_refused_by_us_and_by_openssl(authority: Authority) -> None:
    stamp = authority.answer(stamp_request(TEXT))
    other = TEXT.replace("3", "4")
    assert not authority.confirms(stamp, other)
    with pytest.raises(EvidenceError) as caught:
        stamped_at(stamp, other, [authority.certificate])
    assert caught.value.code is Code.TSA_FAIL


def test_every_changed_byte_of_a_stamp_is_refused(authority: Authority) -> None:
    stamp = authority.answer(stamp_request(TEXT))
    at = stamped_at(stamp, TEXT, [authority.certificate])
    taken = []
    for position in range(len(stamp)):
        forged = stamp[:position] + bytes([stamp[position] ^ 0x01]) + stamp[position + 1 :]
        try:
            if stamped_at(forged, TEXT, [authority.certificate]) != at:
                taken.append(position)
        except EvidenceError as error:
            if error.code is not Code.TSA_FAIL:
                taken.append(position)
    assert taken == []


def test_stamp_of_a_stranger_or_of_a_certificate_for_something_else(authority: Authority, stranger: Authority) -> None:
    stamp = stranger.answer(stamp_request(TEXT))
    assert not authority.confirms(stamp, TEXT)
    with pytest.raises(EvidenceError) as caught:
        stamped_at(stamp, TEXT, [authority.certificate])
    assert caught.value.code is Code.TSA_FAIL
    assert stamped_at(stamp, TEXT, [authority.certificate, stranger.certificate])
    web = Authority(authority.folder.parent / "web", purpose="web")
    with pytest.raises(subprocess.CalledProcessError):
        web.answer(stamp_request(TEXT))


@pytest.mark.parametrize("data", [b"", b"\x30\x03\x02\x01\x02", b"not DER at all"])
def test_what_is_no_stamp_at_all(authority: Authority, data: bytes) -> None:
    with pytest.raises(EvidenceError) as caught:
        stamped_at(data, TEXT, [authority.certificate])
    assert caught.value.code is Code.TSA_FAIL


def test_stamp_bounds_the_time_of_statements(approved: World, authority: Authority) -> None:
    """The world was signed long before this machine's clock: it is late, and not contradictory."""
    trust = approved.trust(tsa=(authority.certificate,))
    size = len(approved.log)
    report = verify_bundle(stamped(approved, size, authority), trust, NOW)
    assert codes(report) == {Code.LATE_COMMITMENT}
    assert report.verdict is Verdict.VALID_WITH_WARNINGS
    assert next(check for check in report.checks if check.name == "stamp").passed == 1


def test_statement_from_after_its_stamp_is_a_contradiction(approved: World, authority: Authority) -> None:
    future = datetime.now(UTC) + timedelta(days=2)
    said = future.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    approved.device("event", type="maintenance", data={}, t=said)
    trust = approved.trust(tsa=(authority.certificate,), expires=future + timedelta(days=9))
    report = verify_bundle(stamped(approved, len(approved.log), authority), trust, future)
    assert {finding.code for finding in report.findings if finding.sid == approved.prev} == {Code.TIME_CONTRADICTION}


def test_forged_stamp_and_one_without_its_checkpoint_are_named(approved: World, authority: Authority) -> None:
    trust = approved.trust(tsa=(authority.certificate,))
    bundle = stamped(approved, 4, authority)
    forged = {size: data[:-5] + b"\x00" + data[-4:] for size, data in bundle.stamps.items()}
    alone: dict[str, bytes] = {}
    for changed in (replace(bundle, stamps=forged), replace(bundle, checkpoints=alone)):
        report = verify_bundle(indexed(changed), trust, NOW)
        assert codes(report) == {Code.TSA_FAIL}
        assert report.verdict is Verdict.INVALID


def test_stamp_that_nobody_can_judge_is_told_and_changes_nothing(
    approved: World, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = stamped(approved, 4, authority)
    untrusted = verify_bundle(bundle, approved.trust(), NOW)
    without_library(monkeypatch)
    with pytest.raises(StampLibraryMissingError):
        stamp_request(TEXT)
    missing = verify_bundle(bundle, approved.trust(tsa=(authority.certificate,)), NOW)
    for report in (untrusted, missing):
        assert codes(report) == {Code.TSA_FAIL}
        assert report.verdict is Verdict.VALID_WITH_WARNINGS
    assert "cunzheng[tsa]" in missing.findings[0].detail


def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as if the extra were not installed."""
    real = builtins.__import__

    def refusing(name: str, *rest: Any) -> Any:
        if name.startswith("rfc3161_client"):
            raise ImportError(name)
        return real(name, *rest)

    for name in [name for name in sys.modules if name.startswith("rfc3161_client")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refusing)
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)


def test_certificates_are_part_of_what_is_trusted(approved: World, authority: Authority) -> None:
    trust = approved.trust(tsa=(authority.certificate,))
    said = trust.to_json()
    assert Trust.from_json(said) == trust
    assert "tsa" not in approved.trust().to_json()
    for wrong in ("no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 7):
        with pytest.raises(EvidenceError):
            Trust.from_json({**said, "tsa": [wrong]})
