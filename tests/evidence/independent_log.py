"""A second reading of the log's formats, written from the texts of RFC 9162 and C2SP alone, and differently.

Trees and proofs follow the recursive definitions (s2.1.1, s2.1.3.1, s2.1.4.1) and not the loops of the verification
sections; notes are taken apart as bytes; signatures are checked by libsodium. It shares no code with ``evidence``.
"""

from __future__ import annotations

import base64
import hashlib

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey


def h(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def k_of(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def mth(entries: list[bytes]) -> bytes:
    """MTH of s2.1.1, over the entries themselves."""
    if not entries:
        return h(b"")
    if len(entries) == 1:
        return h(b"\x00" + entries[0])
    k = k_of(len(entries))
    return h(b"\x01" + mth(entries[:k]) + mth(entries[k:]))


def path(m: int, entries: list[bytes]) -> list[bytes]:
    """PATH of s2.1.3.1."""
    if len(entries) == 1:
        return []
    k = k_of(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def proof(m: int, entries: list[bytes]) -> list[bytes]:
    """PROOF of s2.1.4.1."""
    return subproof(m, entries, True)


def subproof(m: int, entries: list[bytes], b: bool) -> list[bytes]:
    n = len(entries)
    if m == n:
        return [] if b else [mth(entries)]
    k = k_of(n)
    if m <= k:
        return [*subproof(m, entries[:k], b), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


def root_from_inclusion(leaf: bytes, m: int, n: int, given: list[bytes]) -> bytes | None:
    """Undo PATH: the root that a leaf hash and a path lead to; None where the path is not of the right length."""
    if n == 1:
        return leaf if not given else None
    if not given:
        return None
    k = k_of(n)
    last, rest = given[-1], given[:-1]
    if m < k:
        left = root_from_inclusion(leaf, m, k, rest)
        return None if left is None else h(b"\x01" + left + last)
    right = root_from_inclusion(leaf, m - k, n - k, rest)
    return None if right is None else h(b"\x01" + last + right)


def roots_from_consistency(
    m: int, n: int, given: list[bytes], old: bytes, b: bool = True
) -> tuple[bytes, bytes] | None:
    """Undo SUBPROOF: the roots of the old and the new tree that a proof leads to."""
    if m == n:
        if b:
            return (old, old) if not given else None
        return (given[0], given[0]) if len(given) == 1 else None
    if not given:
        return None
    k = k_of(n)
    last, rest = given[-1], given[:-1]
    if m <= k:
        found = roots_from_consistency(m, k, rest, old, b)
        return None if found is None else (found[0], h(b"\x01" + found[1] + last))
    found = roots_from_consistency(m - k, n - k, rest, old, False)
    return None if found is None else (h(b"\x01" + last + found[0]), h(b"\x01" + last + found[1]))


def is_included(leaf: bytes, m: int, n: int, given: list[bytes], root: bytes) -> bool:
    return m < n and all(len(one) == 32 for one in given) and root_from_inclusion(leaf, m, n, given) == root


def is_consistent(m: int, n: int, given: list[bytes], old: bytes, new: bytes) -> bool:
    if not 1 <= m <= n or any(len(one) != 32 for one in [old, new, *given]):
        return False
    return roots_from_consistency(m, n, given, old) == (old, new)


def strict_b64(data: bytes) -> bytes | None:
    try:
        value = base64.standard_b64decode(data)
    except ValueError:
        return None
    return value if base64.standard_b64encode(value) == data else None


def signers_of(note: bytes, keys: dict[tuple[bytes, bytes], tuple[int, bytes]]) -> set[bytes] | None:
    """Names of the known keys (name, key id) → (type, public) that signed; None: the note is refused."""
    try:
        note.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if any((byte < 0x20 and byte != 0x0A) or byte == 0x7F for byte in note) or not note.endswith(b"\n"):
        return None
    at = note.rfind(b"\n\n")
    if at < 1:
        return None
    text, lines = note[: at + 1], note[at + 2 : -1].split(b"\n")
    if len(lines) > 100:
        return None
    signers = set()
    for line in lines:
        words = line.split(b" ")
        if len(words) != 3 or words[0] != "—".encode() or not words[1] or b"+" in words[1]:
            return None
        if words[1].decode().split() != [words[1].decode()]:
            return None
        blob = strict_b64(words[2])
        if blob is None or len(blob) < 5:
            return None
        known = keys.get((words[1], blob[:4]))
        if known is None:
            continue
        type_, public = known
        message, signature = text, blob[4:]
        if type_ == 4:
            if len(blob) != 76:
                return None
            time = int.from_bytes(blob[4:12], "big")
            message, signature = b"cosignature/v1\ntime %d\n" % time + text, blob[12:]
        try:
            VerifyKey(public).verify(message, signature)
        except (BadSignatureError, ValueError):
            return None
        signers.add(words[1])
    return signers or None


def checkpoint_of(note: bytes) -> tuple[str, int, bytes] | None:
    """Origin, size and root of a checkpoint without extension lines."""
    lines = note[: note.rfind(b"\n\n")].split(b"\n")
    if len(lines) != 3 or not lines[0]:
        return None
    origin, size, root = lines
    if not size.isdigit() or (size[:1] == b"0" and size != b"0") or int(size) >= 2**63:
        return None
    value = strict_b64(root)
    return None if value is None or len(value) != 32 else (origin.decode(), int(size), value)
