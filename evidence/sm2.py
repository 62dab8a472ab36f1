"""The second signature of a statement: SM2 with SM3 (GB/T 32918.2, GM/T 0009) over the same signing input.

DER SEQUENCE{r, s}, signer id ``1234567812345678``. Such a signature is not unique, so nothing is named or compared by
it. The library is an extra, ``cunzheng[sm2]``; without it second signatures are not judged, and the report says so.
"""

import importlib
import re
from typing import Any

from evidence.errors import Code, EvidenceError

MOST_BYTES = 72
"""A DER signature has 70 to 72 bytes, rarely fewer."""
_PUBLIC = re.compile(r"[0-9a-f]{128}\Z", re.ASCII)


class Sm2LibraryMissingError(Exception):
    """The extra ``cunzheng[sm2]`` is not installed; nothing was checked."""


def check_public(text: str) -> str:
    """Check the form of a public key, x‖y in 128 hexadecimal characters, and return it.

    Raises:
        EvidenceError: ``ENCODING``.
    """
    if not _PUBLIC.match(text):
        raise EvidenceError(Code.ENCODING, "an SM2 key is x and y in 128 lower-case hexadecimal characters")
    return text


def verify_sm2(public: str, signature: bytes, data: bytes) -> None:
    """Check a signature over exactly these bytes.

    Raises:
        EvidenceError: ``SIGNATURE``, or ``ENCODING`` for a key that is no point of the curve.
        Sm2LibraryMissingError: the library is not there.
    """
    library = sm2_library()
    try:
        key = library.normalize_sm2_public_key(bytes.fromhex(check_public(public)))
    except (library.InvalidValueError, library.GmsslInnerError) as error:
        raise EvidenceError(Code.ENCODING, f"not a public SM2 key: {error}") from error
    if len(signature) > MOST_BYTES:
        raise EvidenceError(Code.SIGNATURE, f"an SM2 signature has at most {MOST_BYTES} bytes, not {len(signature)}")
    try:
        is_good = library.sm2_verify(key, data, signature)
    except (library.InvalidValueError, library.GmsslInnerError) as error:
        raise EvidenceError(Code.SIGNATURE, f"not an SM2 signature: {error}") from error
    if not is_good:
        raise EvidenceError(Code.SIGNATURE, f"the SM2 signature does not fit key {public[:12]}")


def sm2_library() -> Any:
    """Return the library.

    Raises:
        Sm2LibraryMissingError: it is not there.
    """
    try:
        return importlib.import_module("gmssl_pyx")
    except ImportError as error:
        raise Sm2LibraryMissingError("gmssl_pyx is not installed; install cunzheng[sm2]") from error
