"""Merkle trees of RFC 6962 / RFC 9162: hashes, roots, proofs and their verification.

Works on leaf *hashes*; where they are stored is the caller's business. House rules on top of the
RFC (``docs/protocol.md``): hashes are 32 bytes, sizes below 2^63, a consistency check starts at
size 1, and equal sizes need an empty proof.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from evidence.errors import Code, EvidenceError

HASH_BYTES = 32
MAX_SIZE = 2**63
EMPTY_ROOT = hashlib.sha256(b"").digest()
"""MTH of no leaves (RFC 9162 s2.1.1)."""


def leaf_hash(data: bytes) -> bytes:
    """Hash a leaf: SHA-256(0x00 ‖ data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash an inner node: SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def split_point(size: int) -> int:
    """Return the largest power of two smaller than ``size`` (size ≥ 2)."""
    return 1 << (size - 1).bit_length() - 1


RangeHash = Callable[[int, int], bytes]
"""Gives MTH(D[start:end]) of the tree at hand."""


def _range_hash(leaves: Sequence[bytes]) -> RangeHash:
    def mth(start: int, end: int) -> bytes:
        return root(leaves[start:end])

    return mth


def root(leaves: Sequence[bytes]) -> bytes:
    """Compute the tree head of leaf hashes."""
    if not leaves:
        return EMPTY_ROOT
    edge = RightEdge()
    for leaf in leaves:
        edge.append(leaf)
    return edge.root()


def inclusion_path(mth: RangeHash, index: int, size: int) -> list[bytes]:
    """Compute the siblings from leaf ``index`` upwards (RFC 9162 s2.1.3.1)."""
    if not 0 <= index < size:
        raise IndexError(f"leaf {index} of a tree of {size}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split_point(end - start)
        if index < middle:
            path.append(mth(middle, end))
            end = middle
        else:
            path.append(mth(start, middle))
            start = middle
    return path[::-1]


def consistency_path(mth: RangeHash, old: int, new: int) -> list[bytes]:
    """Compute the proof that the first ``old`` leaves are unchanged (RFC 9162 s2.1.4.1)."""
    if not 0 < old <= new:
        raise IndexError(f"no consistency proof from {old} to {new}")
    path: list[bytes] = []
    start, end, whole = 0, new, True
    while old != end:
        middle = start + split_point(end - start)
        if old <= middle:
            path.append(mth(middle, end))
            end = middle
        else:
            path.append(mth(start, middle))
            start, whole = middle, False
    if not whole:
        path.append(mth(start, end))
    return path[::-1]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Prove a leaf in a tree held in memory."""
    return inclusion_path(_range_hash(leaves), index, len(leaves))


def consistency_proof(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """Prove that the tree of the first ``old`` leaves grew into this one."""
    return consistency_path(_range_hash(leaves), old, len(leaves))


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected_root: bytes) -> None:
    """Check an inclusion proof (RFC 9162 s2.1.3.2).

    Raises:
        EvidenceError: ``INCLUSION_FAIL``.
    """
    _check_hashes([leaf, expected_root, *path], Code.INCLUSION_FAIL)
    if not 0 <= index < size < MAX_SIZE:
        raise EvidenceError(Code.INCLUSION_FAIL, f"leaf {index} is outside a tree of {size}")
    fn, sn, computed = index, size - 1, leaf
    for sibling in path:
        if sn == 0:
            raise EvidenceError(Code.INCLUSION_FAIL, "proof is longer than the tree is high")
        if fn & 1 or fn == sn:
            computed = node_hash(sibling, computed)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            computed = node_hash(computed, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise EvidenceError(Code.INCLUSION_FAIL, "proof is shorter than the tree is high")
    if computed != expected_root:
        raise EvidenceError(Code.INCLUSION_FAIL, f"leaf {index} does not lead to the root at size {size}")


def verify_consistency(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Check a consistency proof (RFC 9162 s2.1.4.2).

    Raises:
        EvidenceError: ``CONSISTENCY_FAIL``.
    """
    _check_hashes([old_root, new_root, *path], Code.CONSISTENCY_FAIL)
    if not 1 <= old <= new < MAX_SIZE:
        raise EvidenceError(Code.CONSISTENCY_FAIL, f"no consistency from size {old} to {new}")
    if old == new:
        if path or old_root != new_root:
            raise EvidenceError(Code.CONSISTENCY_FAIL, f"two roots for size {old}")
        return
    if not path:
        raise EvidenceError(Code.CONSISTENCY_FAIL, "empty proof for a tree that grew")
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = hashes[0]
    for sibling in hashes[1:]:
        if sn == 0:
            raise EvidenceError(Code.CONSISTENCY_FAIL, "proof is too long")
        if fn & 1 or fn == sn:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn or first != old_root or second != new_root:
        raise EvidenceError(Code.CONSISTENCY_FAIL, f"tree of {new} does not continue the tree of {old}")


@dataclass
class RightEdge:
    """A growing tree kept as the roots of its full subtrees, largest first.

    ``hashes`` has one entry for each bit set in ``size``: all that is needed to go on after a restart.
    """

    size: int = 0
    hashes: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, leaves: Iterable[bytes]) -> "RightEdge":
        """Build the edge of a tree from its leaf hashes."""
        edge = cls()
        for leaf in leaves:
            edge.append(leaf)
        return edge

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        computed, size = leaf, self.size
        while size & 1:
            computed = node_hash(self.hashes.pop(), computed)
            size >>= 1
        self.hashes.append(computed)
        self.size += 1

    def root(self) -> bytes:
        """Return the tree head at the present size."""
        if not self.hashes:
            return EMPTY_ROOT
        computed = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            computed = node_hash(left, computed)
        return computed

    def copy(self) -> "RightEdge":
        """Return an edge that grows on its own."""
        return RightEdge(self.size, list(self.hashes))


def _check_hashes(hashes: Iterable[bytes], code: Code) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise EvidenceError(code, f"a hash is not {HASH_BYTES} bytes")
