"""The signed statement: one JWS compact string that says one thing, once.

Makes and takes apart the envelope and checks its form (steps 1–3 and 7 of the verification order).
Knows no registry: whether the signer may say it is decided in ``verify_statement.py``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from evidence.encoding import canonical_json, jcs, sha256_hex, unb64u
from evidence.errors import Code, EvidenceError
from evidence.keys import ED25519, ES256, PublicKey, SigningKey
from evidence.kinds import validate

MAX_BYTES = 65_535
"""Longest statement: the entry length field of a log tile has 16 bits."""
MAX_HEADER = 512
"""Longest header, in characters of base64url; an honest one has 150."""
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}\Z", re.ASCII)


@dataclass(frozen=True)
class Statement:
    """A statement of good form; its signature may still be wrong."""

    jws: str
    alg: str
    kid: str
    typ: str
    payload: Mapping[str, Any]
    sid: str

    @property
    def kind(self) -> str:
        """What is said: ``segment``, ``event``, ``month`` …"""
        return str(self.payload["kind"])

    @property
    def plant(self) -> str:
        """The plant it is about; empty for keys of reviewers."""
        return str(self.payload["plant"])

    @property
    def signing_input(self) -> bytes:
        """The bytes that are signed (RFC 7515 s5.1)."""
        return self.jws.rpartition(".")[0].encode("ascii")

    @property
    def signature(self) -> bytes:
        """The 64 signature bytes."""
        return unb64u(self.jws.rpartition(".")[2])

    @property
    def leaf(self) -> bytes:
        """The leaf data of this statement in the central log: its ASCII bytes."""
        return self.jws.encode("ascii")

    def verify_signature(self, key: PublicKey) -> None:
        """Check the signature with a key that the caller trusts.

        Raises:
            EvidenceError: ``ALG`` or ``SIGNATURE``.
        """
        if self.alg != key.alg:
            raise EvidenceError(Code.ALG, f"header says {self.alg}, the key is {key.alg}", self.sid)
        try:
            jws.deserialize_compact(self.jws, key.jose, algorithms=[key.alg])
        except (JoseError, ValueError) as error:
            raise EvidenceError(Code.SIGNATURE, f"signature does not fit key {key.kid[:12]}", self.sid) from error


def sign(payload: Mapping[str, Any], key: SigningKey) -> Statement:
    """Sign a payload, after checking its schema.

    Raises:
        EvidenceError: ``SCHEMA`` or ``PAYLOAD``; nothing was signed.
    """
    validate(payload)
    # joserfc writes the members in this order and without spaces, which is their canonical form; parse insists on it.
    header = {"alg": key.alg, "kid": key.kid, "typ": f"ev-{payload['kind']}+jws"}
    return parse(jws.serialize_compact(header, jcs(payload), key.jose, algorithms=[key.alg]))


def parse(text: str) -> Statement:
    """Take a statement apart, refusing every form but the one.

    Raises:
        EvidenceError: ``ENCODING``, ``HEADER``, ``PAYLOAD``, ``SCHEMA`` or ``TYP_MISMATCH``.
    """
    statement = parse_envelope(text)
    check_payload(statement)
    return statement


def parse_envelope(text: str) -> Statement:
    """Do steps 1–3 and read the payload; its schema is left to :func:`check_payload`.

    Split so that a verifier can check the signature before it believes the payload's form.
    """
    if len(text) > MAX_BYTES or not _FORM.match(text):
        raise EvidenceError(Code.ENCODING, "not one compact JWS")
    header_part, payload_part, signature_part = text.split(".")
    sid = sha256_hex(f"{header_part}.{payload_part}".encode("ascii"))
    try:
        header_bytes, payload_bytes = unb64u(header_part), unb64u(payload_part)
        unb64u(signature_part)
    except EvidenceError as error:
        raise EvidenceError(error.code, error.detail, sid) from error
    if len(header_part) > MAX_HEADER:
        raise EvidenceError(Code.HEADER, f"a header has at most {MAX_HEADER} characters", sid)
    try:
        header = canonical_json(header_bytes)
    except EvidenceError as error:
        raise EvidenceError(Code.HEADER, error.detail, sid) from error
    if not isinstance(header, dict) or set(header) != {"alg", "kid", "typ"}:
        raise EvidenceError(Code.HEADER, "a header has exactly alg, kid and typ", sid)
    if not all(isinstance(value, str) for value in header.values()):
        raise EvidenceError(Code.HEADER, "alg, kid and typ are strings", sid)
    if header["alg"] not in (ED25519, ES256):
        raise EvidenceError(Code.ALG, f"algorithm {header['alg'][:20]!r} is not accepted", sid)
    return Statement(text, header["alg"], header["kid"], header["typ"], _LazyPayload(payload_bytes), sid)


def check_payload(statement: Statement) -> None:
    """Do step 7: the payload is canonical, fits its kind, and the header names that kind.

    Raises:
        EvidenceError: ``PAYLOAD``, ``SCHEMA`` or ``TYP_MISMATCH``.
    """
    try:
        payload = dict(statement.payload)
        validate(payload)
    except EvidenceError as error:
        raise EvidenceError(error.code, error.detail, statement.sid) from error
    if statement.typ != f"ev-{payload['kind']}+jws":
        raise EvidenceError(Code.TYP_MISMATCH, f"header says {statement.typ[:40]}", statement.sid)


class _LazyPayload(Mapping[str, Any]):
    """A payload parsed when first looked at, so that a bad signature is reported before bad JSON."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._value: dict[str, Any] | None = None

    def _load(self) -> dict[str, Any]:
        if self._value is None:
            value = canonical_json(self._data)
            if not isinstance(value, dict):
                raise EvidenceError(Code.SCHEMA, "a payload is an object")
            self._value = value
        return self._value

    def __getitem__(self, name: str) -> Any:
        return self._load()[name]

    def __iter__(self) -> Any:
        return iter(self._load())

    def __len__(self) -> int:
        return len(self._load())
