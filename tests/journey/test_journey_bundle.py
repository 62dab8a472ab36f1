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
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from mill_chain import HISTORIAN, MillChain
from nacl.signing import VerifyKey

from evidence.bundle import Bundle, read_bundle
from evidence.encoding import strict_json
from evidence.errors import BundleError, Code
from evidence.trust import Trust
from evidence.verdict import Verdict
from evidence.verify import verify_bundle

PERIOD = "2018-02"
HOUR = "2018-02-14T03:00:00.000Z"
"""One hour of the month, whose raw readings are asked for and travel in the bundle."""
ED25519_DER = bytes.fromhex("302a300506032b6570032100")
P256_DER = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
JOSE = """
import { readFileSync } from "node:fs";
import { compactVerify, importJWK } from "jose";
const { keys, statements } = JSON.parse(readFileSync(0, "utf8"));
let count = 0;
for (const jws of statements) {
  const header = JSON.parse(Buffer.from(jws.split(".")[0], "base64url"));
  const jwk = keys[header.kid];
  const alg = jwk.kty === "OKP" ? "Ed25519" : "ES256";
  await compactVerify(jws, await importJWK(jwk, alg), { algorithms: [alg] });
  count += 1;
}
console.log(count);
"""


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


def keys_of(trust: dict[str, Any]) -> dict[str, Any]:
    return {key["kid"]: key["jwk"] for key in trust["registry"]["keys"]}


def files_of(bundle: Path, folder: str) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.startswith(folder)}


def unb64u(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_command_verifies_a_copy_without_network(exported: tuple[Path, Any]) -> None:
    bundle, _ = exported
    command = [sys.executable, "-m", "cunzheng", "verify", str(bundle), "--json"]
    if shutil.which("unshare") and subprocess.run(["unshare", "-n", "true"], check=False).returncode == 0:
        command = ["unshare", "-n", *command]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    report = json.loads(done.stdout)
    assert (done.returncode, report["verdict"], report["findings"]) == (0, "VALID", [])
    assert report["subject"]["period"] == PERIOD
    assert report["counts"]["readings"] == 4
    assert report["counts"]["hours"] == 1


def test_jose_verifies_every_statement(exported: tuple[Path, Any], root: Path) -> None:
    bundle, trust = exported
    statements = [data.decode() for data in files_of(bundle, "statements/").values()]
    node = shutil.which("node")
    assert node is not None, "node is set up by make test"
    done = subprocess.run(
        [node, "--input-type=module", "-e", JOSE],
        input=json.dumps({"keys": keys_of(trust), "statements": statements}).encode(),
        capture_output=True,
        cwd=root,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert int(done.stdout) == len(statements) > 672


def test_openssl_verifies_every_statement(exported: tuple[Path, Any], tmp_path: Path) -> None:
    bundle, trust = exported
    keys = keys_of(trust)
    signers, count = set(), 0
    for name, data in files_of(bundle, "statements/").items():
        header, payload, signature = data.decode().split(".")
        kid = json.loads(unb64u(header))["kid"]
        signers.add(kid)
        count += 1
        jwk, blob = keys[kid], unb64u(signature)
        (tmp_path / "si").write_bytes(f"{header}.{payload}".encode())
        assert hashlib.sha256((tmp_path / "si").read_bytes()).hexdigest() in name
        if jwk["kty"] == "OKP":
            der = ED25519_DER + unb64u(jwk["x"])
            how = ["pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "si", "-sigfile", "sg"]
        else:
            der = P256_DER + unb64u(jwk["x"]) + unb64u(jwk["y"])
            blob = encode_dss_signature(int.from_bytes(blob[:32], "big"), int.from_bytes(blob[32:], "big"))
            how = ["dgst", "-sha256", "-verify", "key.pem", "-signature", "sg", "si"]
        pem = base64.encodebytes(der).decode()
        (tmp_path / "key.pem").write_text(f"-----BEGIN PUBLIC KEY-----\n{pem}-----END PUBLIC KEY-----\n")
        (tmp_path / "sg").write_bytes(blob)
        done = subprocess.run(["openssl", *how], cwd=tmp_path, capture_output=True, check=False, timeout=30)
        assert done.returncode == 0, (name, done.stderr)
    assert len(signers) == 5
    assert count > 672


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


EXPECTED = {
    "statements": {Code.ENCODING, Code.HEADER, Code.ALG, Code.SIGNATURE, Code.PAYLOAD, Code.BUNDLE_FORMAT},
    "proofs": {Code.CHECKPOINT_FORMAT, Code.LOG_ORIGIN, Code.SIGNATURE, Code.QUORUM, Code.INCLUSION_FAIL},
    "content": {Code.CONTENT_HASH},
    "readings": {Code.ENCODING, Code.PAYLOAD, Code.LEAF_MISMATCH, Code.INDEX_MISMATCH, Code.INCLUSION_FAIL},
    "index.json": {Code.BUNDLE_FORMAT},
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
    others = [f"content/{digest}" for digest in bundle.content] + [f"readings/{name}.json" for name in bundle.readings]
    assert len(bundle.readings) == 4
    for name in sorted(whole) + others:
        report = verify_bundle(flipped(bundle, name, rng), trust, datetime.now(UTC))
        assert report.verdict is Verdict.INVALID, name
        codes = {finding.code for finding in report.findings if finding.grade is Verdict.INVALID}
        assert codes & EXPECTED[name.partition("/")[0]], (name, report.findings[:3])
    for sid in bundle.statements:
        for folder in ("statements", "proofs"):
            small = Bundle({sid: bundle.statements[sid]}, {sid: bundle.proofs[sid]})
            name = f"{folder}/{sid}.{'jws' if folder == 'statements' else 'tlog-proof'}"
            report = verify_bundle(flipped(small, name, rng), trust, datetime.now(UTC))
            codes = {finding.code for finding in report.findings if finding.grade is Verdict.INVALID}
            assert codes & EXPECTED[folder], (name, report.findings[:3])


def flipped(bundle: Bundle, name: str, rng: random.Random) -> Bundle:
    """Flip one bit of one file; every other file, and the index unless it is meant, stays right."""
    if name == "index.json":
        assert bundle.index is not None
        return replace(bundle, index=flip(bundle.index, rng))
    folder, _, rest = name.partition("/")
    key = rest.partition(".")[0]
    files = dict(getattr(bundle, folder))
    files[key] = flip(files[key], rng)
    changed = replace(bundle, **{folder: files})
    return replace(changed, index=changed.expected_index())


def flip(data: bytes, rng: random.Random) -> bytes:
    position = rng.randrange(len(data))
    return data[:position] + bytes([data[position] ^ (1 << rng.randrange(8))]) + data[position + 1 :]


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
