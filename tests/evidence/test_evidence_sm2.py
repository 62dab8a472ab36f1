"""Second signatures: judged by us as by openssl, there where the policy asks, and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gmssl_pyx
import pytest
from evidence_world import NOW, World, indexed
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.bundle import Bundle
from evidence.errors import Code, EvidenceError
from evidence.registry import PlantEntry, Registry
from evidence.sm2 import verify_sm2
from evidence.trust import Trust
from evidence.verdict import Report, Verdict
from evidence.verify import verify_bundle
from evidence.verify_sm2 import signing_input

PUBLIC, SECRET = gmssl_pyx.sm2_key_generate()
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")
"""Beginning of a public key file (SubjectPublicKeyInfo) on the curve 1.2.156.10197.1.301."""


def second(data: bytes) -> bytes:
    signature: bytes = gmssl_pyx.sm2_sign(SECRET, PUBLIC, data)
    return signature


def openssl_says(tmp_path: Path, public: bytes, signature: bytes, data: bytes) -> bool:
    for name, content in (("key.der", SPKI + public), ("sig", signature), ("data", data)):
        (tmp_path / name).write_bytes(content)
    subprocess.run(
        ["openssl", "pkey", "-pubin", "-inform", "DER", "-in", "key.der", "-out", "key.pem"],
        cwd=tmp_path, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    done = subprocess.run(
        ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-digest", "sm3", "-in", "data",
         "-sigfile", "sig", "-pkeyopt", "distid:1234567812345678"],
        cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.returncode == 0 and "Verified Successfully" in done.stdout


def codes(report: Report) -> set[Code]:
    return {finding.code for finding in report.findings}


def asking(world: World, since: int = 0, *, with_key: bool = True) -> Trust:
    """The world's trust in which the plant signs twice from an entry on."""
    entries = [
        replace(entry, sm2=PUBLIC.hex() if with_key else None) if entry.owner_type == "gateway" else entry
        for entry in world.entries
    ]
    registry = Registry.of(entries, [PlantEntry("P-1", "Asia/Shanghai", "420100", since)])
    return world.trust(registry=registry)


def twice(world: World, since: int = 0) -> Bundle:
    """Pack with the second signatures of the gateway's statements from an entry on."""
    bundle = world.pack()
    device = {
        sid: second(signing_input(jws.decode()))
        for index, text in enumerate(world.log)
        for sid, jws in bundle.statements.items()
        if jws.decode() == text and index >= since and b'"gw"' in payload(text)
    }
    return indexed(replace(bundle, sm2=device))


def payload(jws: str) -> bytes:
    from evidence.encoding import unb64u

    return unb64u(jws.split(".")[1])


def test_signature_is_judged_as_openssl_does(tmp_path: Path) -> None:
    data = b"header.payload"
    signature = second(data)
    verify_sm2(PUBLIC.hex(), signature, data)
    assert openssl_says(tmp_path, PUBLIC, signature, data)
    assert not openssl_says(tmp_path, PUBLIC, signature, data + b"x")
    other = gmssl_pyx.sm2_key_generate()[0]
    for public, forged, text in (
        (PUBLIC, signature, data + b"x"),
        (PUBLIC, signature[:-1] + bytes([signature[-1] ^ 1]), data),
        (other, signature, data),
    ):
        with pytest.raises(EvidenceError) as caught:
            verify_sm2(public.hex(), forged, text)
        assert caught.value.code is Code.SIGNATURE
        assert not openssl_says(tmp_path, public, forged, text)


def test_openssl_signs_and_we_judge(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"header.payload")
    for command in (
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:SM2 -out key.pem",
        "openssl pkey -in key.pem -pubout -outform DER -out public.der",
        "openssl pkeyutl -sign -inkey key.pem -rawin -digest sm3 -in data -out sig -pkeyopt distid:1234567812345678",
    ):
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, timeout=60)
    public = (tmp_path / "public.der").read_bytes()[-64:]
    verify_sm2(public.hex(), (tmp_path / "sig").read_bytes(), b"header.payload")


@settings(max_examples=60)
@given(st.binary(max_size=300), st.integers(0, 71), st.integers(1, 255))
def test_what_is_signed_verifies_and_what_is_changed_does_not(data: bytes, position: int, change: int) -> None:
    signature = second(data)
    verify_sm2(PUBLIC.hex(), signature, data)
    at = position % len(signature)
    forged = signature[:at] + bytes([signature[at] ^ change]) + signature[at + 1 :]
    with pytest.raises(EvidenceError):
        verify_sm2(PUBLIC.hex(), forged, data)


@pytest.mark.parametrize(
    ("public", "signature", "code"),
    [
        ("00" * 64, b"x", Code.ENCODING),
        ("11" * 64, b"x", Code.ENCODING),
        ("AB" * 64, b"x", Code.ENCODING),
        ("ab", b"x", Code.ENCODING),
        (PUBLIC.hex(), b"", Code.SIGNATURE),
        (PUBLIC.hex(), b"\x30" * 200, Code.SIGNATURE),
    ],
)
def test_what_is_no_key_or_no_signature(public: str, signature: bytes, code: Code) -> None:
    with pytest.raises(EvidenceError) as caught:
        verify_sm2(public, signature, b"data")
    assert caught.value.code is code


@pytest.mark.parametrize("since", [0, 3])
def test_month_signed_twice_is_valid(approved: World, since: int) -> None:
    report = verify_bundle(twice(approved, since), asking(approved, since), NOW)
    assert report.verdict is Verdict.VALID, report.findings
    asked = len(twice(approved, since).sm2)
    assert next((check.passed, check.failed) for check in report.checks if check.name == "sm2") == (asked, 0)


def test_missing_forged_and_exchanged_second_signatures(approved: World) -> None:
    bundle, trust = twice(approved), asking(approved)
    first, other = sorted(bundle.sm2)[:2]
    crimes = [
        ({sid: data for sid, data in bundle.sm2.items() if sid != first}, Code.SM2_MISSING, Verdict.INDETERMINATE),
        ({**bundle.sm2, first: bundle.sm2[other]}, Code.SIGNATURE, Verdict.INVALID),
        ({**bundle.sm2, first: b"forged"}, Code.SIGNATURE, Verdict.INVALID),
    ]
    for changed, code, verdict in crimes:
        report = verify_bundle(indexed(replace(bundle, sm2=changed)), trust, NOW)
        assert [(finding.code, finding.sid) for finding in report.findings] == [(code, first)]
        assert report.verdict is verdict


def test_gateway_without_a_second_key_cannot_sign_twice(approved: World) -> None:
    report = verify_bundle(twice(approved), asking(approved, with_key=False), NOW)
    assert codes(report) == {Code.SM2_MISSING}
    assert report.verdict is Verdict.INDETERMINATE


def test_second_signature_from_before_the_policy_or_of_a_person_is_extra(approved: World) -> None:
    report = verify_bundle(twice(approved, 0), asking(approved, 3), NOW)
    assert codes(report) == {Code.CONTENT_EXTRA}
    bundle = twice(approved)
    person = next(sid for sid, jws in bundle.statements.items() if b'"declare"' in payload(jws.decode()))
    extra = indexed(replace(bundle, sm2={**bundle.sm2, person: b"x"}))
    assert codes(verify_bundle(extra, asking(approved), NOW)) == {Code.CONTENT_EXTRA}


def test_without_the_library_nothing_is_called_good(approved: World, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle, trust = twice(approved), asking(approved)
    monkeypatch.setitem(sys.modules, "gmssl_pyx", None)
    report = verify_bundle(bundle, trust, NOW)
    assert codes(report) == {Code.SM2_MISSING}
    assert "cunzheng[sm2]" in report.findings[0].detail
    assert report.verdict is Verdict.INDETERMINATE


def test_policy_and_second_key_are_part_of_what_is_trusted(approved: World) -> None:
    trust = asking(approved, 5)
    said = trust.to_json()
    assert Trust.from_json(said) == trust
    assert "sm2" not in str(approved.trust().to_json())
    for change in ({"sm2_from": -1}, {"sm2_from": "5"}, {"sm2_from": True}):
        plants = [{**plant, **change} for plant in said["registry"]["plants"]]
        with pytest.raises(EvidenceError):
            Trust.from_json({**said, "registry": {**said["registry"], "plants": plants}})
    keys = [{**entry, "sm2": "ab"} for entry in said["registry"]["keys"]]
    with pytest.raises(EvidenceError):
        Trust.from_json({**said, "registry": {**said["registry"], "keys": keys}})
