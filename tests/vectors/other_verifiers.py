"""Verifiers of JWS that are not ours, asked one question: does this signature hold under this key and algorithm?

Each is given the trusted key and one algorithm; none is asked what a statement may say.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import jwcrypto.jwk
import jwcrypto.jws
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jws as joserfc_jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from evidence.keys import ED25519, PublicKey

ROOT = Path(__file__).resolve().parents[2]
PREFIX = {
    ED25519: bytes.fromhex("302a300506032b6570032100"),
    "ES256": bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"),
}
"""What stands before the bytes of a public key in its DER form (RFC 8410 s4, RFC 5480 s2)."""
NODE = """
import { readFileSync } from "node:fs";
import { compactVerify, importJWK } from "jose";
const { jwk, alg, texts } = JSON.parse(readFileSync(0, "utf8"));
const key = await importJWK(jwk, alg);
const answers = [];
for (const text of texts) {
  answers.push(await compactVerify(text, key, { algorithms: [alg] }).then(() => true, () => false));
}
console.log(JSON.stringify(answers));
"""
Answers = Mapping[str, Sequence[bool | None]]
"""By tool: what it says of each text; None where it was not asked."""


def answers(texts: Sequence[str], key: PublicKey, folder: Path, asked_of_openssl: Container[int]) -> Answers:
    """Ask every tool about every text, but openssl, a process a question, about some of them."""
    return {
        "joserfc": [_joserfc(text, key) for text in texts],
        "jwcrypto": [_jwcrypto(text, key) for text in texts],
        "jose": _jose(texts, key),
        "openssl": [_openssl(text, key, folder) if at in asked_of_openssl else None for at, text in enumerate(texts)],
    }


def _joserfc(text: str, key: PublicKey) -> bool:
    members = dict(key.jwk)
    imported = OKPKey.import_key(members) if key.alg == ED25519 else ECKey.import_key(members)
    try:
        joserfc_jws.deserialize_compact(text, imported, algorithms=[key.alg])
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return False
    return True


def _jwcrypto(text: str, key: PublicKey) -> bool:
    token = jwcrypto.jws.JWS()
    token.allowed_algs = [key.alg]
    try:
        token.deserialize(text, jwcrypto.jwk.JWK(**key.jwk))
    except Exception:  # it raises what it likes
        return False
    return bool(token.is_valid)


def _jose(texts: Sequence[str], key: PublicKey) -> list[bool]:
    node = shutil.which("node")
    assert node is not None, "node is set up by make test"
    asked = json.dumps({"jwk": dict(key.jwk), "alg": key.alg, "texts": list(texts)})
    done = subprocess.run(
        [node, "--input-type=module", "-e", NODE], input=asked.encode(), capture_output=True, cwd=ROOT, check=True
    )
    found: list[bool] = json.loads(done.stdout)
    return found


def pem(key: PublicKey) -> str:
    """Write a public key as openssl reads it."""
    der = base64.encodebytes(PREFIX[key.alg] + key.raw).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{der}-----END PUBLIC KEY-----\n"


def _openssl(text: str, key: PublicKey, folder: Path) -> bool:
    """Split at the dots, decode the signature as leniently as base64 tools do, and ask."""
    signed, _, signature = text.rpartition(".")
    try:
        blob = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    except ValueError:
        return False
    if len(blob) != 64:
        return False
    (folder / "key.pem").write_text(pem(key))
    (folder / "si").write_bytes(signed.encode())
    if key.alg == ED25519:
        how = ["pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "si", "-sigfile", "sg"]
    else:
        blob = encode_dss_signature(int.from_bytes(blob[:32], "big"), int.from_bytes(blob[32:], "big"))
        how = ["dgst", "-sha256", "-verify", "key.pem", "-signature", "sg", "si"]
    (folder / "sg").write_bytes(blob)
    return subprocess.run(["openssl", *how], cwd=folder, capture_output=True, check=False).returncode == 0
