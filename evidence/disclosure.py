"""Disclosure of one reading: its leaf line and the path to the root that a segment signed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evidence.encoding import b64, canonical_json, jcs, unb64
from evidence.errors import Code, EvidenceError
from evidence.merkle import leaf_hash, verify_inclusion
from evidence.reading import Leaf, parse_leaf


@dataclass(frozen=True)
class Disclosure:
    """One reading shown to somebody: leaf line with salt, tree position, and the segment it leads to."""

    gw: str
    epoch: int
    segment: str
    line: str
    index: int
    size: int
    path: tuple[bytes, ...]

    @property
    def name(self) -> str:
        """The name of its file in a bundle, without folder and ending."""
        return f"{self.epoch}-{self.index}"

    def to_bytes(self) -> bytes:
        """Write the canonical JSON of a ``readings/`` file."""
        return jcs(
            {
                "v": 1,
                "gw": self.gw,
                "epoch": self.epoch,
                "segment": self.segment,
                "line": self.line,
                "index": self.index,
                "size": self.size,
                "path": [b64(value) for value in self.path],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Disclosure":
        """Read a ``readings/`` file.

        Raises:
            EvidenceError: ``PAYLOAD`` or ``LEAF_MISMATCH``.
        """
        value = canonical_json(data)
        try:
            members = {"v", "gw", "epoch", "segment", "line", "index", "size", "path"}
            if set(value) != members or value["v"] != 1 or not isinstance(value["path"], list):
                raise EvidenceError(Code.LEAF_MISMATCH, "not the members of a disclosure")
            path = tuple(unb64(text) for text in value["path"])
            numbers = [value[name] for name in ("v", "epoch", "index", "size")]
            texts = [value[name] for name in ("gw", "segment", "line")]
        except (KeyError, TypeError, AttributeError) as error:
            raise EvidenceError(Code.LEAF_MISMATCH, f"not a disclosure: {error!r}") from error
        if any(not isinstance(n, int) or isinstance(n, bool) for n in numbers) or any(
            not isinstance(text, str) for text in texts
        ):
            raise EvidenceError(Code.LEAF_MISMATCH, "a member of a disclosure has the wrong type")
        return cls(value["gw"], value["epoch"], value["segment"], value["line"], value["index"], value["size"], path)

    def verify(self, segment: Mapping[str, Any]) -> Leaf:
        """Check the reading against the payload of its (already verified) segment.

        Raises:
            EvidenceError: ``LEAF_MISMATCH``, ``INDEX_MISMATCH`` or ``INCLUSION_FAIL``.
        """
        leaf = parse_leaf(self.line.encode("utf-8"))
        tree = segment["tree"]
        if (segment["gw"], segment["epoch"]) != (self.gw, self.epoch) or self.size != tree["end"]:
            raise EvidenceError(Code.INDEX_MISMATCH, "a reading of another gateway, epoch or tree size")
        if leaf.index != self.index or not tree["start"] <= leaf.index < tree["end"]:
            raise EvidenceError(
                Code.INDEX_MISMATCH, f"leaf {leaf.index} is not in its segment, or shown as {self.index}"
            )
        expected = bytes.fromhex(tree["root"])
        verify_inclusion(leaf_hash(self.line.encode("utf-8")), self.index, self.size, self.path, expected)
        return leaf
