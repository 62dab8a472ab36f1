"""Proof that 256 stored readings belong to a gateway's tree: the raw tile behind a figure.

The roots of raw tiles form a Merkle tree of their own, which is the upper part of the gateway's tree; so one
short path proves a whole tile. A last, partial tile is a node of that tree as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evidence.encoding import b64, unb64
from evidence.errors import Code, EvidenceError
from evidence.merkle import RangeHash, inclusion_path, leaf_hash, root, verify_inclusion
from evidence.reading import TILE_SALT_BYTES, Leaf, parse_leaf_members, salted_line
from evidence.tiles import TILE_WIDTH


@dataclass(frozen=True)
class TileProof:
    """A raw tile: number, tree size, secret salt, lines without salt, and the path of the tile's root.

    ``raw`` holds, line by line, what came over the wire. It helps to understand a reading but is not committed to.
    """

    number: int
    size: int
    salt: bytes
    lines: tuple[str, ...]
    path: tuple[bytes, ...]
    raw: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "tile": self.number,
            "size": self.size,
            "salt": b64(self.salt),
            "lines": list(self.lines),
            "path": [b64(value) for value in self.path],
            "raw": list(self.raw),
        }

    @classmethod
    def from_json(cls, value: Any) -> "TileProof":
        """Read the JSON form.

        Raises:
            EvidenceError: ``ENCODING``.
        """
        try:
            if not all(isinstance(value[name], list) for name in ("lines", "path", "raw")):
                raise TypeError("lines, path and raw are lists")
            proof = cls(
                number=value["tile"],
                size=value["size"],
                salt=unb64(value["salt"]),
                lines=tuple(value["lines"]),
                path=tuple(unb64(text) for text in value["path"]),
                raw=tuple(value["raw"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise EvidenceError(Code.ENCODING, f"not a tile proof: {error!r}") from error
        numbers = (proof.number, proof.size)
        if any(not isinstance(n, int) or isinstance(n, bool) for n in numbers):
            raise EvidenceError(Code.ENCODING, "not a tile proof: tile and size are integers")
        if not all(isinstance(text, str) for text in (*proof.lines, *proof.raw)):
            raise EvidenceError(Code.ENCODING, "not a tile proof: lines are texts")
        return proof


def tile_path(mth: RangeHash, number: int, size: int) -> list[bytes]:
    """Compute the path of a tile's root; ``mth`` gives hashes of leaf ranges of the tree."""

    def tile_range(start: int, end: int) -> bytes:
        return mth(start * TILE_WIDTH, min(end * TILE_WIDTH, size))

    return inclusion_path(tile_range, number, -(-size // TILE_WIDTH))


@dataclass(frozen=True)
class ProvenTile:
    """A raw tile that leads to a signed root: its leaves and their hashes, and where it stands in the tree."""

    number: int
    size: int
    root: bytes
    leaves: tuple[Leaf, ...]
    hashes: tuple[bytes, ...]
    path: tuple[bytes, ...]

    @property
    def first(self) -> int:
        """Index of its first leaf."""
        return self.number * TILE_WIDTH

    @property
    def end(self) -> int:
        """Index after its last leaf."""
        return self.first + len(self.leaves)


def verify_tile(proof: TileProof, expected_root: bytes) -> list[Leaf]:
    """Check a raw tile against a signed root and return its leaves.

    Raises:
        EvidenceError: ``LEAF_MISMATCH``, ``INDEX_MISMATCH`` or ``INCLUSION_FAIL``.
    """
    return list(prove_tile(proof, expected_root).leaves)


def prove_tile(proof: TileProof, expected_root: bytes) -> ProvenTile:
    """Check a raw tile against a signed root.

    Raises:
        EvidenceError: ``LEAF_MISMATCH``, ``INDEX_MISMATCH`` or ``INCLUSION_FAIL``.
    """
    first = proof.number * TILE_WIDTH
    count = min(TILE_WIDTH, proof.size - first)
    if proof.number < 0 or count < 1 or len(proof.lines) != count:
        raise EvidenceError(Code.INDEX_MISMATCH, f"tile {proof.number} of a tree of {proof.size} has {count} leaves")
    if len(proof.salt) != TILE_SALT_BYTES:
        raise EvidenceError(Code.LEAF_MISMATCH, f"a tile salt has {TILE_SALT_BYTES} bytes")
    leaves, hashes = [], []
    for index, line in enumerate(proof.lines, first):
        leaf = parse_leaf_members(line)
        if leaf.index != index:
            raise EvidenceError(Code.INDEX_MISMATCH, f"leaf {leaf.index} stands at {index}")
        leaves.append(leaf)
        hashes.append(leaf_hash(salted_line(line, index, proof.salt)))
    own_root = root(hashes)
    verify_inclusion(own_root, proof.number, -(-proof.size // TILE_WIDTH), proof.path, expected_root)
    return ProvenTile(proof.number, proof.size, own_root, tuple(leaves), tuple(hashes), proof.path)


def reading_path(hashes_in_tile: Sequence[bytes], offset: int, tile: Sequence[bytes]) -> list[bytes]:
    """Join the path inside a tile and the path of the tile into the path of one leaf."""
    inside = inclusion_path(lambda start, end: root(hashes_in_tile[start:end]), offset, len(hashes_in_tile))
    return [*inside, *tile]
