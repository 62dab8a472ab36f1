"""An exported bundle convinces tools that are not ours, and a changed one convinces nobody."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mill_chain import HISTORIAN, MillChain
from nacl.signing import VerifyKey
from other_tools import files_of, jose_verified, openssl_signers

from evidence.bundle import Bundle, read_bundle, write_bundle
from evidence.encoding import strict_json
from evidence.errors import BundleError, Code
from evidence.trust import Trust
from evidence.verdict import Verdict
from evidence.verify import verify_bundle

PERIOD = "2018-02"
HOUR = "2018-02-14T03:00:00.000Z"
"""One hour of the month, whose raw readings are asked for and travel in the bundle."""


@pytest.fixture(scope="module")
def exported(imported: MillChain) -> tuple[Path, dict[str, Any]]:
    """The bundle of a month and its trust file, copied to a folder of their own."""
    settings = str(imported.folder / HISTORIAN / "gateway.toml")
    imported.people["city"].ask_readings(HISTORIAN, PERIOD, HOUR, "ELEC")
    imported.sync(settings)
    target = imported.folder / "elsewhere"
    target.mkdir(exist_ok=True)
    bundle = Path(shutil.copy(imported.bundle(HISTORIAN, PERIOD), target))
    shutil.copy(imported.folder / "trust.json", target)
    return bundle, json.loads((target / "trust.json").read_text("utf-8"))


NO_SOCKETS = """
import sys

def refuse(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(f"verification reached for the network: {event}")

sys.addaudithook(refuse)
from cunzheng.cli import main
sys.exit(main())
"""
"""The command in an interpreter that ends at the first use of a socket."""


def test_command_verifies_a_copy_without_network(exported: tuple[Path, Any]) -> None:
    bundle, _ = exported
    command = [sys.executable, "-c", NO_SOCKETS, "verify", str(bundle), "--json"]
    if shutil.which("unshare") and subprocess.run(["unshare", "-n", "true"], check=False).returncode == 0:
        command = ["unshare", "-n", *command]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    report = json.loads(done.stdout)
    assert (done.returncode, report["verdict"], report["findings"]) == (0, "VALID", [])
    assert report["subject"]["period"] == PERIOD
    assert report["counts"]["tiles"] >= 1
    assert report["counts"]["readings"] > 4
    assert report["counts"]["hours"] > 1


def test_jose_verifies_every_statement(exported: tuple[Path, Any], root: Path) -> None:
    assert jose_verified(*exported, root) == len(files_of(exported[0], "statements/")) > 672


def test_openssl_verifies_every_statement(exported: tuple[Path, Any], tmp_path: Path) -> None:
    signers = openssl_signers(*exported, tmp_path)
    assert len(signers) > 672
    assert len(set(signers)) == 5


def independent_checkpoint(note: str, vkey: str) -> tuple[str, int, bytes]:
    """Read a checkpoint with nothing of ours: split, decode, verify with PyNaCl."""
    name, key_id, key = vkey.split("+", 2)
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    line = next(line for line in signatures.splitlines() if line.startswith(f"\u2014 {name} "))
    blob = base64.b64decode(line.split(" ")[2], validate=True)
    assert blob[:4].hex() == key_id
    VerifyKey(base64.b64decode(key)[1:]).verify(text.encode(), blob[4:])
    origin, size, root, end = text.split("\n")
    assert end == ""
    return origin, int(size), base64.b64decode(root)


def independent_inclusion(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """Compute the root by recursion over the tree's shape, as RFC 6962 draws it."""

    def climb(index: int, size: int, rest: list[bytes]) -> bytes:
        if size == 1:
            assert rest == []
            return leaf
        half = 1
        while half * 2 < size:
            half *= 2
        if index < half:
            return hashlib.sha256(b"\x01" + climb(index, half, rest[:-1]) + rest[-1]).digest()
        return hashlib.sha256(b"\x01" + rest[-1] + climb(index - half, size - half, rest[:-1])).digest()

    return climb(index, size, path)


def test_independent_reading_of_every_receipt(exported: tuple[Path, Any]) -> None:
    bundle, trust = exported
    statements = files_of(bundle, "statements/")
    for name, proof in files_of(bundle, "proofs/").items():
        head, _, note = proof.decode().partition("\n\n")
        magic, index, *hashes = head.split("\n")
        assert magic == "c2sp.org/tlog-proof@v1"
        origin, size, root = independent_checkpoint(note, trust["log"])
        assert origin == "log.example/evidence"
        jws = statements[name.replace("proofs/", "statements/").replace(".tlog-proof", ".jws")]
        leaf = hashlib.sha256(b"\x00" + jws).digest()
        path = [base64.b64decode(text, validate=True) for text in hashes]
        assert independent_inclusion(leaf, int(index.removeprefix("index ")), size, path) == root


STATEMENT = {
    "alg": {Code.ENCODING, Code.HEADER, Code.ALG},
    "kid": {Code.ENCODING, Code.HEADER, Code.KEY_UNKNOWN},
    "typ": {Code.ENCODING, Code.HEADER, Code.SIGNATURE},
    "payload": {Code.ENCODING, Code.SIGNATURE},
    "signature": {Code.ENCODING, Code.SIGNATURE},
}
"""Where in a statement the flip is, and what the first failed step of its verification may be."""
EXPECTED = {
    "proofs": {Code.CHECKPOINT_FORMAT, Code.LOG_ORIGIN, Code.SIGNATURE, Code.QUORUM, Code.INCLUSION_FAIL},
    "content": {Code.CONTENT_HASH},
    "tiles": {Code.ENCODING, Code.PAYLOAD, Code.LEAF_MISMATCH, Code.INDEX_MISMATCH, Code.INCLUSION_FAIL},
    "index.json": {Code.BUNDLE_FORMAT},
}
KID_CHARACTERS = 43


def regions(jws: bytes) -> dict[str, range]:
    """Where the header's members, payload and signature stand in a statement, in characters."""
    first, second = (at for at, byte in enumerate(jws) if byte == ord("."))
    before = len(base64.urlsafe_b64decode(jws[:first] + b"==").decode().partition('"kid":"')[0]) + len('"kid":"')
    kid = range((before + 2) // 3 * 4, (before + KID_CHARACTERS) // 3 * 4)
    return {
        "alg": range(kid.start),
        "kid": kid,
        "typ": range((before + KID_CHARACTERS + 2) // 3 * 4, first),
        "payload": range(first + 1, second),
        "signature": range(second + 1, len(jws)),
    }


def test_one_flipped_byte_in_any_file_is_invalid_with_the_right_code(
    exported: tuple[Path, Any], rng: random.Random
) -> None:
    """Every file of the bundle, one random byte each, every file as it would be after unpacking and packing again."""
    path, trust_json = exported
    trust = Trust.from_json(strict_json(json.dumps(trust_json)))
    bundle = read_bundle(io.BytesIO(path.read_bytes()))
    # A month's chain is long; verifying it whole for each flip would take minutes, so most flips look at
    # one statement and its receipt, which is where the flip must be named.
    whole = {*rng.sample(sorted(bundle.files()), 12), "index.json"}
    others = [f"content/{digest}" for digest in bundle.content] + [f"tiles/{name}.json" for name in bundle.tiles]
    assert len(bundle.tiles) >= 1
    for name in sorted(whole) + others:
        report = verify_bundle(flipped(bundle, name, rng), trust, datetime.now(UTC))
        assert report.verdict is Verdict.INVALID, name
        codes = {finding.code for finding in report.findings}
        assert codes & EXPECTED.get(name.partition("/")[0], set().union(*STATEMENT.values())), (name, report.findings)
    for sid in bundle.statements:
        small = Bundle({sid: bundle.statements[sid]}, {sid: bundle.proofs[sid]})
        flips = [(f"statements/{sid}.jws", at, span) for at, span in regions(small.statements[sid]).items()]
        for name, at, span in (*flips, (f"proofs/{sid}.tlog-proof", "", None)):
            report = verify_bundle(flipped(small, name, rng, span), trust, datetime.now(UTC))
            assert report.verdict is Verdict.INVALID, (name, at)
            expected = STATEMENT[at] if at else EXPECTED["proofs"]
            assert {finding.code for finding in report.findings} & expected, (name, at, report.findings)


def flipped(bundle: Bundle, name: str, rng: random.Random, span: range | None = None) -> Bundle:
    """Flip one bit of one file; every other file, and the index unless it is meant, stays right."""
    if name == "index.json":
        assert bundle.index is not None
        return replace(bundle, index=flip(bundle.index, rng))
    folder, _, rest = name.partition("/")
    key = rest.partition(".")[0]
    files = dict(getattr(bundle, folder))
    files[key] = flip(files[key], rng, span)
    changed = replace(bundle, **{folder: files})
    return replace(changed, index=changed.expected_index())


def flip(data: bytes, rng: random.Random, span: range | None = None) -> bytes:
    position = rng.choice(span or range(len(data)))
    return data[:position] + bytes([data[position] ^ (1 << rng.randrange(8))]) + data[position + 1 :]


def test_command_says_invalid_for_a_flipped_byte_of_each_kind_of_file(
    exported: tuple[Path, Any], rng: random.Random, tmp_path: Path
) -> None:
    path, _ = exported
    shutil.copy(path.with_name("trust.json"), tmp_path)
    bundle = read_bundle(io.BytesIO(path.read_bytes()))
    for folder in ("statements", "proofs", "content", "tiles"):
        name = rng.choice([name for name in sorted(bundle.files()) if name.startswith(folder)])
        forged = tmp_path / f"{folder}.evb"
        forged.write_bytes(write_bundle(flipped(bundle, name, rng)))
        done = subprocess.run(
            [sys.executable, "-m", "cunzheng", "verify", str(forged)], capture_output=True, check=False, timeout=120
        )
        assert (done.returncode, done.stdout[:7], done.stderr) == (1, b"INVALID", b""), name


def test_flipped_byte_of_the_packed_file_is_never_valid(
    exported: tuple[Path, Any], rng: random.Random, tmp_path: Path
) -> None:
    """Unless every file stays the same: one file may be deflated in several ways."""
    bundle, _ = exported
    data = bundle.read_bytes()
    shutil.copy(bundle.with_name("trust.json"), tmp_path)
    damaged = data
    while unpacked(damaged) == unpacked(data):
        damaged = flip(data[: len(data) // 2], rng) + data[len(data) // 2 :]
    target = tmp_path / "damaged.evb"
    target.write_bytes(damaged)
    done = subprocess.run(
        [sys.executable, "-m", "cunzheng", "verify", str(target)], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stdout.startswith(b"INVALID")
    assert b"Traceback" not in done.stderr


def unpacked(data: bytes) -> dict[str, bytes] | None:
    try:
        return read_bundle(io.BytesIO(data)).files()
    except BundleError:
        return None
