"""Time-stamps (RFC 3161) over the text of a checkpoint: an authority outside says that it was there.

What is stamped is the note's text, origin, size and root with their line ends, so the stamp holds whoever cosigns
later. The certificate chain is judged at the time of the stamp (RFC 3161 s2.3, RFC 5816). The library is an extra,
``cunzheng[tsa]``: without it stamps are not looked at, and the report says so.
"""

import importlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from cryptography.x509 import Certificate, load_pem_x509_certificates

from evidence.errors import Code, EvidenceError

MAX_BYTES = 65_535


class StampLibraryMissingError(Exception):
    """The extra ``cunzheng[tsa]`` is not installed; nothing was checked."""


def stamped_at(stamp: bytes, text: str, authorities: Sequence[str]) -> datetime:
    """Check a time-stamp response over a text; return its time.

    ``authorities`` are PEM certificates of those who certify the stamping authority.

    Raises:
        EvidenceError: ``TSA_FAIL``.
        StampLibraryMissingError: the library is not there.
    """
    library, errors = _library("rfc3161_client"), _library("rfc3161_client.errors")
    try:
        response = library.decode_timestamp_response(stamp)
        builder = library.VerifierBuilder()
        for certificate in _certificates(tuple(authorities)):
            builder = builder.add_root_certificate(certificate)
        builder.build().verify_message(response, text.encode())
        time: datetime = response.tst_info.gen_time
    except (errors.VerificationError, ValueError, TypeError, OverflowError) as error:
        raise EvidenceError(Code.TSA_FAIL, f"the time-stamp does not hold: {_said(error)}") from error
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def stamp_request(text: str) -> bytes:
    """Write the request for a stamp over a text: SHA-256, with a nonce and the certificate asked for.

    Raises:
        StampLibraryMissingError: the library is not there.
    """
    library, base = _library("rfc3161_client"), _library("rfc3161_client.base")
    builder = library.TimestampRequestBuilder().data(text.encode()).hash_algorithm(base.HashAlgorithm.SHA256)
    request: bytes = builder.build().as_bytes()
    return request


def check_authority(pem: str) -> str:
    """Check that a text holds certificates, and return it.

    Raises:
        EvidenceError: ``SCHEMA``.
    """
    _certificates((pem,))
    return pem


@cache
def _certificates(pems: tuple[str, ...]) -> tuple[Certificate, ...]:
    try:
        found = [certificate for pem in pems for certificate in load_pem_x509_certificates(pem.encode())]
    except (ValueError, AttributeError, TypeError) as error:
        raise EvidenceError(Code.SCHEMA, f"the time-stamp authority's certificate is malformed: {error}") from error
    return tuple(dict.fromkeys(found))


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise StampLibraryMissingError(f"{name} is not installed; install cunzheng[tsa]") from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
