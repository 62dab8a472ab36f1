"""Evidence of cheating as a file of its own that anyone can check alone.

    FORK              two statements of one device that bear one number, and the keys that signed them
    LOG_EQUIVOCATION  two checkpoints of one log that cannot both be true: one size and two roots; or an older one,
                      and a proof that the newer tree began otherwise; or two receipts for one index

The file is canonical JSON. It shows what the holder of a key signed; who that is says the trust file (``prove``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evidence.encoding import b64, canonical_json, jcs, unb64
from evidence.errors import Code, EvidenceError
from evidence.keys import PublicKey
from evidence.merkle import HASH_BYTES, verify_consistency, verify_inclusion
from evidence.note import Checkpoint, NoteKey, verify_checkpoint
from evidence.receipt import MAX_PATH, Receipt
from evidence.statement import Statement, parse
from evidence.trust import Trust

MAX_BYTES = 300_000
"""A file of evidence holds two statements or two receipts, so it is never long."""


@dataclass(frozen=True)
class Proven:
    """What a file of evidence proves: the code, who is bound by it, and the facts in words of the file."""

    code: Code
    signer: str
    """Key thumbprint, or the log's origin."""
    facts: Mapping[str, str | int]
    is_known: bool
    """Whether a trust file says that the key is this very gateway's, or the log the one that is trusted."""


@dataclass(frozen=True)
class Fork:
    """Two statements with one (gateway, epoch, number)."""

    statements: tuple[str, str]
    keys: tuple[Mapping[str, str], ...]
    """Public JWKs of the keys that signed them: one, or two."""

    def to_bytes(self) -> bytes:
        """Write the file."""
        return _written(Code.FORK, {"statements": list(self.statements), "keys": [dict(key) for key in self.keys]})

    def prove(self, trust: Trust | None = None) -> Proven:
        """Check it; raises as :func:`prove`."""
        keys = {key.kid: key for key in (PublicKey.from_jwk(jwk) for jwk in self.keys)}
        first, second = (_signed(jws, keys) for jws in self.statements)
        if first.sid == second.sid:
            raise _nothing("both are the same statement")
        if "gw" not in first.payload or _number(first) != _number(second):
            raise _nothing("the statements bear different numbers")
        gateway = str(first.payload["gw"])
        kids = {first.kid, second.kid}
        if trust is not None:
            for kid in sorted(kids):
                if trust.registry.key(kid).owner_id != gateway:
                    raise EvidenceError(Code.SUBJECT_SCOPE, f"key {kid[:12]} is not that of {gateway}", first.sid)
        elif len(kids) > 1:
            raise EvidenceError(Code.KEY_UNKNOWN, f"only the trust file says whether both keys are {gateway}'s")
        facts: dict[str, str | int] = {
            "gw": gateway,
            "epoch": int(first.payload["epoch"]),
            "seq": int(first.payload["seq"]),
            "first": first.sid,
            "second": second.sid,
        }
        return Proven(Code.FORK, first.kid, facts, trust is not None)


@dataclass(frozen=True)
class TwoTrees:
    """Two checkpoints, the smaller first; `began` is the root that the larger tree has at the smaller size.

    The path proves it (RFC 9162 s2.1.4.2); for checkpoints of one size neither is needed.
    """

    log: NoteKey
    checkpoints: tuple[str, str]
    began: bytes | None = None
    path: tuple[bytes, ...] = ()

    def to_bytes(self) -> bytes:
        """Write the file."""
        members: dict[str, Any] = {"log": self.log.text, "checkpoints": list(self.checkpoints)}
        if self.began is not None:
            members |= {"began": b64(self.began), "path": [b64(value) for value in self.path]}
        return _written(Code.LOG_EQUIVOCATION, members)

    def prove(self, trust: Trust | None = None) -> Proven:
        """Check it; raises as :func:`prove`."""
        older, newer = (verify_checkpoint(note, self.log) for note in self.checkpoints)
        if self.began is None:
            if older.size != newer.size or older.root == newer.root:
                raise _nothing("the checkpoints are not two roots of one size")
        else:
            verify_consistency(older.size, newer.size, self.path, self.began, newer.root)
            if self.began == older.root:
                raise _nothing("the newer tree continues the older one")
        facts: dict[str, str | int] = {
            "size": older.size,
            "other_size": newer.size,
            "root": older.root.hex(),
            "other_root": newer.root.hex(),
        }
        return Proven(Code.LOG_EQUIVOCATION, self.log.name, facts, _is_trusted(self.log, trust))


@dataclass(frozen=True)
class TwoLeaves:
    """Two receipts of one log that put different leaves (their hashes) at one index."""

    log: NoteKey
    receipts: tuple[str, str]
    leaves: tuple[bytes, bytes]

    def to_bytes(self) -> bytes:
        """Write the file."""
        members = {
            "log": self.log.text,
            "receipts": list(self.receipts),
            "leaves": [leaf.hex() for leaf in self.leaves],
        }
        return _written(Code.LOG_EQUIVOCATION, members)

    def prove(self, trust: Trust | None = None) -> Proven:
        """Check it; raises as :func:`prove`."""
        first, second = (Receipt.from_text(text) for text in self.receipts)
        for receipt, leaf in zip((first, second), self.leaves, strict=True):
            checkpoint = verify_checkpoint(receipt.checkpoint, self.log)
            verify_inclusion(leaf, receipt.index, checkpoint.size, receipt.path, checkpoint.root)
        if first.index != second.index or self.leaves[0] == self.leaves[1]:
            raise _nothing("the receipts do not put two leaves at one index")
        facts: dict[str, str | int] = {
            "index": first.index,
            "leaf": self.leaves[0].hex(),
            "other_leaf": self.leaves[1].hex(),
        }
        return Proven(Code.LOG_EQUIVOCATION, self.log.name, facts, _is_trusted(self.log, trust))


Contradiction = Fork | TwoTrees | TwoLeaves


def read_contradiction(data: bytes) -> Contradiction:
    """Read a file of evidence; what it claims is not checked yet.

    Raises:
        EvidenceError: ``SCHEMA``, ``PAYLOAD`` or ``ENCODING``.
    """
    if len(data) > MAX_BYTES:
        raise EvidenceError(Code.SCHEMA, f"evidence of a contradiction has at most {MAX_BYTES} bytes")
    value = canonical_json(data)
    if not isinstance(value, dict) or value.pop("v", None) != 1:
        raise EvidenceError(Code.SCHEMA, "not evidence of a contradiction of version 1")
    match value:
        case {"contradiction": "FORK", "statements": list(), "keys": list(), **rest} if not rest:
            first, second = _texts(value["statements"])
            return Fork((first, second), tuple(_jwk(key) for key in value["keys"][:3]))
        case {"contradiction": "LOG_EQUIVOCATION", "log": str(log), "receipts": list(), "leaves": list(), **rest} if (
            not rest
        ):
            first, second = _texts(value["receipts"])
            one, other = (_hash_of(text) for text in _texts(value["leaves"]))
            return TwoLeaves(NoteKey.parse(log), (first, second), (one, other))
        case {"contradiction": "LOG_EQUIVOCATION", "log": str(log), "checkpoints": list(), **rest} if not rest:
            first, second = _texts(value["checkpoints"])
            return TwoTrees(NoteKey.parse(log), (first, second))
        case {
            "contradiction": "LOG_EQUIVOCATION",
            "log": str(log),
            "checkpoints": list(),
            "began": str(began),
            "path": list(path),
            **rest,
        } if not rest and len(path) <= MAX_PATH:
            first, second = _texts(value["checkpoints"])
            hashes = tuple(unb64(text) if isinstance(text, str) else b"" for text in path)
            return TwoTrees(NoteKey.parse(log), (first, second), unb64(began), hashes)
    raise EvidenceError(Code.SCHEMA, "not evidence of a contradiction of a known form")


def prove(data: bytes, trust: Trust | None = None) -> Proven:
    """Read and check a file of evidence, alone or with a trust file that says whose the keys are.

    Raises:
        EvidenceError: it proves nothing: ``SCHEMA``, or the code of what does not verify; with a trust file
            ``KEY_UNKNOWN``, ``SUBJECT_SCOPE`` or ``LOG_ORIGIN`` where it is about somebody else.
    """
    return read_contradiction(data).prove(trust)


def two_trees(
    log: NoteKey, one: Checkpoint, other: Checkpoint, began: bytes | None = None, path: Sequence[bytes] = ()
) -> TwoTrees:
    """Put two verified checkpoints that contradict each other in order; `began` and `path` for different sizes."""
    older, newer = sorted((one, other), key=lambda checkpoint: checkpoint.size)
    return TwoTrees(log, (older.note, newer.note), began if older.size < newer.size else None, tuple(path))


def contradiction_among(shown: Iterable[tuple[Receipt, bytes]], log: NoteKey) -> TwoTrees | TwoLeaves | None:
    """Find two of the receipts (each with its leaf's hash) that cannot both be true.

    All must have been verified. Receipts against different sizes contradict each other only where they
    are for one index; that their trees continue each other they do not show.
    """
    roots: dict[int, Checkpoint] = {}
    leaves: dict[int, tuple[Receipt, bytes]] = {}
    for receipt, leaf in shown:
        checkpoint = verify_checkpoint(receipt.checkpoint, log)
        before = roots.setdefault(checkpoint.size, checkpoint)
        if before.root != checkpoint.root:
            return two_trees(log, before, checkpoint)
        other, other_leaf = leaves.setdefault(receipt.index, (receipt, leaf))
        if other_leaf != leaf:
            return TwoLeaves(log, (other.to_text(), receipt.to_text()), (other_leaf, leaf))
    return None


def _written(code: Code, members: Mapping[str, Any]) -> bytes:
    return jcs({"v": 1, "contradiction": code.value, **members})


def _signed(jws: str, keys: Mapping[str, PublicKey]) -> Statement:
    statement = parse(jws)
    if statement.kid not in keys:
        raise EvidenceError(Code.KEY_UNKNOWN, f"key {statement.kid[:12]} is not in the file", statement.sid)
    statement.verify_signature(keys[statement.kid])
    return statement


def _number(statement: Statement) -> tuple[Any, ...]:
    return tuple(statement.payload.get(name) for name in ("gw", "epoch", "seq"))


def _is_trusted(log: NoteKey, trust: Trust | None) -> bool:
    if trust is not None and trust.log != log:
        raise EvidenceError(Code.LOG_ORIGIN, f"this is about log {log.name[:60]}, not the trusted {trust.origin}")
    return trust is not None


def _nothing(detail: str) -> EvidenceError:
    return EvidenceError(Code.SCHEMA, f"this proves nothing: {detail}")


def _texts(values: list[Any]) -> tuple[str, str]:
    if len(values) != 2 or not all(isinstance(value, str) for value in values):
        raise EvidenceError(Code.SCHEMA, "a contradiction has two sides")
    return values[0], values[1]


def _jwk(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(member, str) for member in value.values()):
        raise EvidenceError(Code.SCHEMA, "a key is no public JWK")
    return value


def _hash_of(text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError as error:
        raise EvidenceError(Code.ENCODING, "a leaf is no hexadecimal hash") from error
    if len(value) != HASH_BYTES or value.hex() != text:
        raise EvidenceError(Code.ENCODING, "a leaf is no hexadecimal hash")
    return value
