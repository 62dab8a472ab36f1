"""Receipts: the proof that a statement is in the central log (tlog-proof, frozen in docs/protocol.md).

A receipt never changes and needs nothing but the log's public key to be checked.
"""

import re
from dataclasses import dataclass

from evidence.encoding import b64, unb64
from evidence.errors import Code, EvidenceError
from evidence.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from evidence.note import Checkpoint, CosigningRule, NoteKey, parse_checkpoint, verify_checkpoint

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PATH = 63
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})\Z", re.ASCII)


@dataclass(frozen=True)
class Receipt:
    """Position of a leaf, the path to the root, and the checkpoint that fixes the root."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: str

    def to_text(self) -> str:
        """Write the proof file."""
        hashes = "".join(f"{b64(value)}\n" for value in self.path)
        return f"{HEADER}\nindex {self.index}\n{hashes}\n{self.checkpoint}"

    @classmethod
    def from_text(cls, text: str) -> "Receipt":
        """Read a proof file; the unauthenticated ``extra`` line is not accepted here.

        Raises:
            EvidenceError: ``CHECKPOINT_FORMAT`` (the whole container has one code).
        """
        head, separator, checkpoint = text.partition("\n\n")
        lines = head.split("\n")
        index = _INDEX.match(lines[1]) if len(lines) > 1 else None
        if not separator or lines[0] != HEADER or index is None or len(lines) - 2 > MAX_PATH:
            raise EvidenceError(Code.CHECKPOINT_FORMAT, "not a proof file")
        path = []
        for line in lines[2:]:
            try:
                value = unb64(line)
            except EvidenceError as error:
                raise EvidenceError(Code.CHECKPOINT_FORMAT, f"proof hash: {error.detail}") from error
            if len(value) != HASH_BYTES:
                raise EvidenceError(Code.CHECKPOINT_FORMAT, "a proof hash is not 32 bytes")
            path.append(value)
        parse_checkpoint(checkpoint)
        return cls(int(index[1]), tuple(path), checkpoint)


def verify_receipt(receipt: Receipt, jws: str, log: NoteKey, rule: CosigningRule | None = None) -> Checkpoint:
    """Check that a statement, byte for byte, is in the log at the receipt's index.

    Raises:
        EvidenceError: ``CHECKPOINT_FORMAT``, ``LOG_ORIGIN``, ``SIGNATURE``, ``QUORUM`` or ``INCLUSION_FAIL``.
    """
    checkpoint = verify_checkpoint(receipt.checkpoint, log, rule)
    leaf = leaf_hash(jws.encode("ascii"))
    verify_inclusion(leaf, receipt.index, checkpoint.size, receipt.path, checkpoint.root)
    return checkpoint
