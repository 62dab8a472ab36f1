"""Signed requests of gateways (RFC 9421): who sent this, unchanged, just now, and only once.

The one file that knows the signature library. Order: signature, then the digest against the real body, then
the nonce is used up; a request that fails early burns nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from http_message_signatures import HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms
from http_message_signatures.digests import ContentDigest
from http_message_signatures.exceptions import HTTPMessageSignaturesException

from evidence.keys import ED25519 as ED25519_ALG
from evidence.keys import PublicKey
from evidence.registry import KeyEntry

TAG = "cunzheng"
TOLERANCE = timedelta(minutes=5)
LONGEST_LIFE = timedelta(minutes=5)
_KEYID = re.compile(r';keyid="([A-Za-z0-9_-]{43})"(?:;|\Z)')
_NONCE = re.compile(r"[\x21-\x7e]{8,128}\Z")
ALWAYS_COVERED = ("@method", "@target-uri")
COVERED_WITH_BODY = (*ALWAYS_COVERED, "content-digest", "content-type")


class RequestRefusedError(Exception):
    """A request is not what a gateway signed; `code` names which check failed."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class SignedMessage:
    """The parts of a request that the signature library looks at."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Signer:
    """Who signed a request; the nonce is used up until `expires`."""

    entry: KeyEntry
    nonce: str
    expires: datetime


def verify_request(message: SignedMessage, *, find_key: Callable[[str], KeyEntry | None], now: datetime) -> Signer:
    """Check signature and digest of a request; the nonce is left to the caller, as the last step.

    Raises:
        RequestRefusedError: `KEY_UNKNOWN`, `SIGNATURE`, `REQUEST_EXPIRED` or `DIGEST`.
    """
    inputs = message.headers.get("signature-input", "")
    match = _KEYID.search(inputs)
    if match is None:
        raise RequestRefusedError("SIGNATURE", "the request is not signed with a key id")
    entry = find_key(match[1])
    if entry is None or entry.until_index is not None:
        raise RequestRefusedError("KEY_UNKNOWN", f"key {match[1][:12]} is not in force; enrol the gateway")
    parameters = _check_signature(message, entry, now)
    # A digest that is there is checked for an empty body too: somebody may have cut the body off.
    if message.body or "content-digest" in message.headers:
        _check_digest(message)
    return Signer(entry, *_nonce_and_life(parameters, now))


def _check_signature(message: SignedMessage, entry: KeyEntry, now: datetime) -> dict[str, Any]:
    algorithm = algorithms.ED25519 if entry.alg == ED25519_ALG else algorithms.ECDSA_P256_SHA256
    verifier = _Verifier(signature_algorithm=algorithm, key_resolver=_OneKey(entry))
    verifier.now = now
    covered = COVERED_WITH_BODY if message.body else ALWAYS_COVERED
    try:
        results = verifier.verify(message, max_age=None, expect_tag=TAG, require_components=covered)
    except _OutsideLifeError as error:
        raise RequestRefusedError("REQUEST_EXPIRED", str(error)) from error
    except HTTPMessageSignaturesException as error:
        raise RequestRefusedError("SIGNATURE", f"the request's signature does not hold: {error}") from error
    if len(results) != 1 or results[0].parameters.get("keyid") != entry.kid:
        raise RequestRefusedError("SIGNATURE", "the request must have exactly one signature")
    return dict(results[0].parameters)


def _check_digest(message: SignedMessage) -> None:
    covered = {'"content-digest"': message.headers.get("content-digest", "")}
    try:
        is_right = ContentDigest.verify_components(covered, message.body)
    except HTTPMessageSignaturesException as error:
        raise RequestRefusedError("DIGEST", f"the body is not what was signed: {error}") from error
    if not is_right:
        raise RequestRefusedError("DIGEST", "the body has no signed digest")


def _nonce_and_life(parameters: dict[str, Any], now: datetime) -> tuple[str, datetime]:
    nonce = parameters.get("nonce")
    if not isinstance(nonce, str) or not _NONCE.match(nonce):
        raise RequestRefusedError("SIGNATURE", "the request has no nonce of 8 to 128 characters")
    return nonce, datetime.fromtimestamp(parameters["expires"], tz=UTC) + TOLERANCE


class _OutsideLifeError(HTTPMessageSignaturesException):
    """The request was signed too long ago, for too long, or in the future."""


class _Verifier(HTTPMessageVerifier):
    """The library's verifier, with the centre's clock and stricter limits."""

    now: datetime

    def validate_created_and_expires(self, sig_input: Any, max_age: timedelta | None = None) -> None:
        """Both times must be there, at most five minutes apart, and now between them (± 5 minutes)."""
        created, expires = sig_input.params.get("created"), sig_input.params.get("expires")
        if type(created) is not int or type(expires) is not int:
            raise _OutsideLifeError("created and expires are both needed")
        seconds = int(self.now.timestamp())
        tolerance = int(TOLERANCE.total_seconds())
        if not 0 <= expires - created <= int(LONGEST_LIFE.total_seconds()):
            raise _OutsideLifeError("a request may live for five minutes")
        if created > seconds + tolerance or expires < seconds - tolerance:
            raise _OutsideLifeError(
                f"signed {abs(seconds - created)} seconds {'ago' if created < seconds else 'ahead'}; "
                f"the centre's time is {self.now:%Y-%m-%dT%H:%M:%SZ}, set the gateway's clock"
            )


class _OneKey(HTTPSignatureKeyResolver):
    """Knows exactly the key that was looked up."""

    def __init__(self, entry: KeyEntry) -> None:
        self._entry = entry

    def resolve_public_key(self, key_id: str) -> Any:
        return _library_key(self._entry.public) if key_id == self._entry.kid else None

    def resolve_private_key(self, key_id: str) -> Any:
        raise LookupError("the centre holds no gateway's private key")


def _library_key(key: PublicKey) -> ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey:
    if key.alg == ED25519_ALG:
        return ed25519.Ed25519PublicKey.from_public_bytes(key.raw)
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + key.raw)
