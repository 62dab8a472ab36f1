"""A raw tile as a file of a bundle: 256 readings with their secret salt, proven against one segment's root."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evidence.encoding import canonical_json, jcs
from evidence.errors import Code, EvidenceError
from evidence.tile_proof import ProvenTile, TileProof, prove_tile

_MEMBERS = frozenset({"v", "segment", "tile", "size", "salt", "lines", "path"})


@dataclass(frozen=True)
class TileFile:
    """A tile and the sid of the segment whose root it leads to; what came over the wire is not part of it."""

    segment: str
    proof: TileProof

    @property
    def name(self) -> str:
        """The name of its file in a bundle, without folder and ending."""
        return f"{self.segment}-{self.proof.number}"

    def to_bytes(self) -> bytes:
        """Write the canonical JSON of a ``tiles/`` file."""
        proof = self.proof.to_json()
        del proof["raw"]
        return jcs({"v": 1, "segment": self.segment, **proof})

    @classmethod
    def from_bytes(cls, data: bytes) -> "TileFile":
        """Read a ``tiles/`` file.

        Raises:
            EvidenceError: ``PAYLOAD``, ``LEAF_MISMATCH`` or ``ENCODING``.
        """
        value = canonical_json(data)
        if not isinstance(value, dict) or set(value) != _MEMBERS or value["v"] != 1:
            raise EvidenceError(Code.LEAF_MISMATCH, "not the members of a raw tile")
        if not isinstance(value["segment"], str) or isinstance(value["v"], bool):
            raise EvidenceError(Code.LEAF_MISMATCH, "a member of a raw tile has the wrong type")
        return cls(value["segment"], TileProof.from_json({**value, "raw": []}))

    def verify(self, segment: Mapping[str, Any]) -> ProvenTile:
        """Check the tile against the payload of its (already verified) segment.

        Raises:
            EvidenceError: ``LEAF_MISMATCH``, ``INDEX_MISMATCH`` or ``INCLUSION_FAIL``.
        """
        if self.proof.size != segment["tree"]["end"]:
            raise EvidenceError(Code.INDEX_MISMATCH, "a tile of another tree size than its segment's")
        return prove_tile(self.proof, bytes.fromhex(segment["tree"]["root"]))
