"""Other people's tools on our bundles: the `jose` npm package and openssl, given statements and public keys only."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

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


def keys_of(trust: dict[str, Any]) -> dict[str, Any]:
    return {key["kid"]: key["jwk"] for key in trust["registry"]["keys"]}


def files_of(bundle: Path, folder: str) -> dict[str, bytes]:
    with zipfile.ZipFile(bundle) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.startswith(folder)}


def unb64u(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def jose_verified(bundle: Path, trust: dict[str, Any], root: Path) -> int:
    """Let jose verify every statement of a bundle; return how many it accepted, all or it fails."""
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
    return int(done.stdout)


def openssl_signers(bundle: Path, trust: dict[str, Any], folder: Path) -> list[str]:
    """Let openssl verify every statement of a bundle; return the key of each."""
    keys, signers = keys_of(trust), []
    for name, data in files_of(bundle, "statements/").items():
        header, payload, signature = data.decode().split(".")
        signers.append(json.loads(unb64u(header))["kid"])
        jwk, blob = keys[signers[-1]], unb64u(signature)
        (folder / "si").write_bytes(f"{header}.{payload}".encode())
        assert hashlib.sha256((folder / "si").read_bytes()).hexdigest() in name
        if jwk["kty"] == "OKP":
            der = ED25519_DER + unb64u(jwk["x"])
            how = ["pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "si", "-sigfile", "sg"]
        else:
            der = P256_DER + unb64u(jwk["x"]) + unb64u(jwk["y"])
            blob = encode_dss_signature(int.from_bytes(blob[:32], "big"), int.from_bytes(blob[32:], "big"))
            how = ["dgst", "-sha256", "-verify", "key.pem", "-signature", "sg", "si"]
        pem = base64.encodebytes(der).decode()
        (folder / "key.pem").write_text(f"-----BEGIN PUBLIC KEY-----\n{pem}-----END PUBLIC KEY-----\n")
        (folder / "sg").write_bytes(blob)
        done = subprocess.run(["openssl", *how], cwd=folder, capture_output=True, check=False, timeout=30)
        assert done.returncode == 0, (name, done.stderr)
    return signers
