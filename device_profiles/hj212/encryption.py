"""SM4 as HJ 212-2025 uses it: ECB, no padding, over what stands between `CP=&&` and the closing `&&`.

Only whole groups of 16 bytes are encrypted, a shorter rest stays plain, so the length does not change. Length and
check sum belong to the plain text: a receiver decrypts first and checks then (HJ 212-2025 annex A.2, read through
two implementations; UNCONFIRMED against the text itself).
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import ECB

KEY_BYTES = 16
_OPENING = b"CP=&&"
_CLOSING = b"&&"


def encrypt(segment: bytes, key: bytes) -> bytes:
    """Encrypt the data area of a plain data segment; without one, return it as it is."""
    return _with_area(segment, key, is_encrypting=True)


def decrypt(segment: bytes, key: bytes) -> bytes:
    """Decrypt the data area of a data segment; without one, return it as it is."""
    return _with_area(segment, key, is_encrypting=False)


def area_of(segment: bytes) -> tuple[int, int] | None:
    """Return where the data area begins and ends, or None where there is none."""
    start = segment.find(_OPENING)
    if start < 0 or not segment.endswith(_CLOSING):
        return None
    start += len(_OPENING)
    end = len(segment) - len(_CLOSING)
    return None if end < start else (start, end)


def _with_area(segment: bytes, key: bytes, *, is_encrypting: bool) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"an SM4 key has {KEY_BYTES} bytes")
    area = area_of(segment)
    if area is None:
        return segment
    start, end = area
    whole = start + (end - start) // KEY_BYTES * KEY_BYTES
    cipher = Cipher(SM4(key), ECB())
    context = cipher.encryptor() if is_encrypting else cipher.decryptor()
    return segment[:start] + context.update(segment[start:whole]) + context.finalize() + segment[whole:]
