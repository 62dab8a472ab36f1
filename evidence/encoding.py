"""Encodings that every signed byte goes through: base64url, canonical JSON, times, decimals.

Each decoder is strict: a text is accepted only if encoding its value gives the same text again,
so that one value has one spelling. Nothing here knows what the values mean.
"""

import base64
import binascii
import hashlib
import json
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, NoReturn

import rfc8785

from evidence.errors import Code, EvidenceError

MAX_DEPTH = 16
"""Deepest nesting of a signed JSON value."""
FIRST_YEAR, LAST_YEAR = 2000, 2199
"""Years that a time in evidence can lie in; others come from clocks that were never set."""
MAX_SAFE_INTEGER = 2**53 - 1
"""Largest integer that every JSON reader keeps exactly (RFC 7493 s2.2)."""

_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?\Z", re.ASCII)
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}\.[0-9]{3}Z\Z", re.ASCII)
_B64U = re.compile(r"[A-Za-z0-9_-]*\Z", re.ASCII)


def b64u(data: bytes) -> str:
    """Encode as base64url without padding (RFC 7515 s2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def unb64u(text: str) -> bytes:
    """Decode base64url without padding.

    Raises:
        EvidenceError: ``ENCODING`` for any character, length or trailing bit out of place.
    """
    if not _B64U.match(text) or len(text) % 4 == 1:
        raise EvidenceError(Code.ENCODING, "not base64url without padding")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if b64u(data) != text:
        raise EvidenceError(Code.ENCODING, "base64url with loose trailing bits")
    return data


def b64(data: bytes) -> str:
    """Encode as standard base64 with padding (RFC 4648 s4, used by signed notes)."""
    return base64.b64encode(data).decode("ascii")


def unb64(text: str) -> bytes:
    """Decode standard base64 with padding.

    Raises:
        EvidenceError: ``ENCODING`` unless the text is the one spelling of its value.
    """
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise EvidenceError(Code.ENCODING, "not base64") from error
    if b64(data) != text:
        raise EvidenceError(Code.ENCODING, "base64 with loose trailing bits")
    return data


def sha256_hex(data: bytes) -> str:
    """Name bytes by their SHA-256, 64 lower-case hexadecimal characters."""
    return hashlib.sha256(data).hexdigest()


def jcs(value: Any) -> bytes:
    """Serialise to canonical JSON (RFC 8785) without floating point.

    Raises:
        EvidenceError: ``PAYLOAD`` for a float, a number that is not safe, a lone surrogate or any other type.
    """
    _check_values(value, 0)
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise EvidenceError(Code.PAYLOAD, f"no canonical JSON: {error}") from error


def strict_json(data: bytes | str) -> Any:
    """Parse JSON, refusing everything two readers could understand differently.

    UTF-8 without byte order mark, no duplicate names, no floats or exponents, no NaN, no lone
    surrogates, integers within ±(2^53−1), nesting at most 16, nothing after the value.

    Raises:
        EvidenceError: ``PAYLOAD``.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EvidenceError(Code.PAYLOAD, f"not UTF-8 at byte {error.start}") from error
    if text.startswith("\ufeff"):
        raise EvidenceError(Code.PAYLOAD, "byte order mark")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_float=_no_float,
            parse_int=_integer,
            parse_constant=_no_float,
        )
    except (json.JSONDecodeError, RecursionError) as error:
        raise EvidenceError(Code.PAYLOAD, f"not JSON: {error}") from error
    _check_values(value, 0)
    return value


def canonical_json(data: bytes) -> Any:
    """Parse strictly and insist that the bytes are the canonical form of their value.

    Raises:
        EvidenceError: ``PAYLOAD``.
    """
    value = strict_json(data)
    if jcs(value) != data:
        raise EvidenceError(Code.PAYLOAD, "JSON is not in canonical form")
    return value


def time_text(moment: datetime) -> str:
    """Write an aware moment as RFC 3339 in UTC with exactly three decimals (truncated)."""
    if moment.tzinfo is None:
        raise ValueError("a naive time has no place in evidence")
    # Only UTC is remembered: in other zones two moments can compare equal (the hour that comes twice in autumn).
    return _utc_text(moment if moment.tzinfo is UTC else moment.astimezone(UTC))


@lru_cache(maxsize=4096)
def _utc_text(utc: datetime) -> str:
    return f"{utc.isoformat(timespec='milliseconds')[:-6]}Z"


def parse_time(text: str) -> datetime:
    """Read the one accepted spelling of a time.

    Raises:
        EvidenceError: ``SCHEMA``.
    """
    return _parsed_time(text)


@lru_cache(maxsize=4096)
def _parsed_time(text: str) -> datetime:
    if not _TIME.match(text):
        raise EvidenceError(Code.SCHEMA, f"not a UTC time with three decimals: {text[:40]!r}")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise EvidenceError(Code.SCHEMA, f"no such time: {text}") from error


def decimal_text(value: Decimal) -> str:
    """Write a finite decimal plainly, keeping its digits: no exponent, no negative zero."""
    if not value.is_finite():
        raise ValueError(f"not a number that can be written: {value}")
    text = format(value, "f")
    return text[1:] if text.startswith("-") and not value else text


def parse_decimal(text: str) -> Decimal:
    """Read a decimal string as statements carry it.

    Raises:
        EvidenceError: ``SCHEMA`` for an exponent, a plus sign, ``-0``, leading zeros and the like.
    """
    if not _DECIMAL.match(text):
        raise EvidenceError(Code.SCHEMA, f"not a decimal string: {text[:40]!r}")
    try:
        value = Decimal(text)
    except InvalidOperation as error:  # pragma: no cover - the pattern leaves no such text
        raise EvidenceError(Code.SCHEMA, f"not a decimal string: {text[:40]!r}") from error
    if not value and text.startswith("-"):
        raise EvidenceError(Code.SCHEMA, "negative zero")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise EvidenceError(Code.PAYLOAD, "an object names a member twice")
    return members


def _integer(text: str) -> int:
    if text == "-0" or len(text) > 17:
        raise EvidenceError(Code.PAYLOAD, f"integer out of range: {text[:20]}")
    return int(text)


def _no_float(text: str) -> NoReturn:
    raise EvidenceError(Code.PAYLOAD, f"floating point is not evidence: {text[:20]}")


def _check_values(value: Any, depth: int) -> None:
    if depth >= MAX_DEPTH and isinstance(value, dict | list | tuple):
        raise EvidenceError(Code.PAYLOAD, f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        for name, member in value.items():
            if not isinstance(name, str):
                raise EvidenceError(Code.PAYLOAD, "a member name is not a string")
            _check_text(name)
            _check_values(member, depth + 1)
    elif isinstance(value, list | tuple):
        for member in value:
            _check_values(member, depth + 1)
    elif isinstance(value, str):
        _check_text(value)
    elif value is None or isinstance(value, bool):
        return
    elif isinstance(value, int):
        if abs(value) > MAX_SAFE_INTEGER:
            raise EvidenceError(Code.PAYLOAD, "integer beyond 2^53-1")
    else:
        raise EvidenceError(Code.PAYLOAD, f"a {type(value).__name__} is not evidence")


def _check_text(text: str) -> None:
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise EvidenceError(Code.PAYLOAD, "lone surrogate in a string")
