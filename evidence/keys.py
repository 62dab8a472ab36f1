"""Signing and verifying keys: Ed25519 and ES256, named by their thumbprint.

`sign` and `verify` are for notes and requests; statements go through joserfc (`statement.py`) with the `jose` key.

Makes no key from nothing: seeds come from the caller, who owns the random source.
Which key may sign what is the registry's business, not this file's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, OKPKey
from nacl.bindings import crypto_core_ed25519_is_valid_point

from evidence.encoding import b64u, jcs, sha256_hex, unb64u
from evidence.errors import Code, EvidenceError

ED25519 = "Ed25519"
ES256 = "ES256"
SIGNATURE_BYTES = 64
_JWK_MEMBERS = {ED25519: ("crv", "kty", "x"), ES256: ("crv", "kty", "x", "y")}


def thumbprint(jwk: Mapping[str, str]) -> str:
    """Name a public key by RFC 7638: base64url of SHA-256 over its required members."""
    members = _JWK_MEMBERS[_alg_of(jwk)]
    return b64u(bytes.fromhex(sha256_hex(jcs({name: jwk[name] for name in members}))))


@dataclass(frozen=True)
class PublicKey:
    """A key that can check signatures; ``kid`` is its RFC 7638 thumbprint."""

    alg: str
    kid: str
    jwk: Mapping[str, str]
    _key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, str]) -> "PublicKey":
        """Read a public JWK holding exactly the required members.

        Low-order, non-canonical and mixed-order Ed25519 points are refused: under such a key one
        signature can fit many messages (RFC 8032 s5.1.7; libsodium's point check).

        Raises:
            EvidenceError: ``ALG`` for another curve, ``ENCODING`` for anything malformed.
        """
        alg = _alg_of(jwk)
        if set(jwk) != set(_JWK_MEMBERS[alg]):
            raise EvidenceError(Code.ENCODING, f"a public {alg} key has exactly {', '.join(_JWK_MEMBERS[alg])}")
        parts = [unb64u(jwk[name]) for name in ("x", "y") if name in jwk]
        if any(len(part) != 32 for part in parts):
            raise EvidenceError(Code.ENCODING, "a key coordinate is not 32 bytes")
        key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
        try:
            if alg == ED25519:
                if not crypto_core_ed25519_is_valid_point(parts[0]):
                    raise EvidenceError(Code.ENCODING, "Ed25519 key is not a point of the main subgroup")
                key = ed25519.Ed25519PublicKey.from_public_bytes(parts[0])
            else:
                key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + parts[0] + parts[1])
        except ValueError as error:
            raise EvidenceError(Code.ENCODING, f"not a public {alg} key: {error}") from error
        return cls(alg, thumbprint(jwk), dict(jwk), key)

    @classmethod
    def from_ed25519(cls, raw: bytes) -> "PublicKey":
        """Read the 32 bytes of an Ed25519 public key, with the checks of :meth:`from_jwk`."""
        return cls.from_jwk({"crv": ED25519, "kty": "OKP", "x": b64u(raw)})

    @cached_property
    def jose(self) -> OKPKey | ECKey:
        """The key as joserfc wants it."""
        return _jose(self.jwk)

    @property
    def raw(self) -> bytes:
        """The 32 bytes of an Ed25519 key, or x‖y (64 bytes) of an ES256 key."""
        return b"".join(unb64u(self.jwk[name]) for name in ("x", "y") if name in self.jwk)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Check a 64-byte signature (ES256: r‖s) over exactly these bytes.

        Raises:
            EvidenceError: ``SIGNATURE``.
        """
        if len(signature) != SIGNATURE_BYTES:
            raise EvidenceError(Code.SIGNATURE, f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}")
        try:
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, data)
            else:
                r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                self._key.verify(encode_dss_signature(r, s), data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise EvidenceError(Code.SIGNATURE, f"signature does not fit key {self.kid[:12]}") from error


@dataclass(frozen=True)
class SigningKey:
    """A private key in memory. ``repr`` never shows it."""

    public: PublicKey
    _key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey

    @classmethod
    def from_seed(cls, seed: bytes, alg: str = ED25519) -> "SigningKey":
        """Make the key that belongs to 32 secret bytes (ES256: the private scalar)."""
        if len(seed) != 32:
            raise ValueError("a key seed has 32 bytes")
        if alg == ED25519:
            private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
            raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            return cls(PublicKey.from_ed25519(raw), private)
        if alg != ES256:
            raise ValueError(f"unknown algorithm {alg}")
        curve = ec.derive_private_key(int.from_bytes(seed, "big"), ec.SECP256R1())
        point = curve.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        jwk = {"crv": "P-256", "kty": "EC", "x": b64u(point[1:33]), "y": b64u(point[33:])}
        return cls(PublicKey.from_jwk(jwk), curve)

    @property
    def alg(self) -> str:
        """``Ed25519`` or ``ES256``."""
        return self.public.alg

    @property
    def kid(self) -> str:
        """RFC 7638 thumbprint of the public half."""
        return self.public.kid

    @property
    def jwk(self) -> Mapping[str, str]:
        """The public half as JWK."""
        return self.public.jwk

    @cached_property
    def jose(self) -> OKPKey | ECKey:
        """The private key as joserfc wants it."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            secret = self._key.private_bytes_raw()
        else:
            secret = self._key.private_numbers().private_value.to_bytes(32, "big")
        return _jose({**self.jwk, "d": b64u(secret)})

    @property
    def raw_private(self) -> ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey:
        """The library's key object, for signers outside this package (HTTP request signatures)."""
        return self._key

    def sign(self, data: bytes) -> bytes:
        """Sign; 64 bytes. ES256 is deterministic (RFC 6979), so no random source is needed."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(data)
        der = self._key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        r, s = decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def __repr__(self) -> str:
        return f"SigningKey({self.alg}, {self.kid})"


def _jose(jwk: Mapping[str, str]) -> OKPKey | ECKey:
    members: dict[str, Any] = dict(jwk)
    return OKPKey.import_key(members) if members["kty"] == "OKP" else ECKey.import_key(members)


def _alg_of(jwk: Mapping[str, str]) -> str:
    curve = (jwk.get("kty"), jwk.get("crv"))
    if curve == ("OKP", ED25519):
        return ED25519
    if curve == ("EC", "P-256"):
        return ES256
    raise EvidenceError(Code.ALG, f"key type {curve} is not accepted")
