"""Signed notes and checkpoints (C2SP signed-note v1.0.0, tlog-checkpoint v1.0.0, tlog-cosignature v1.0.1).

A note is text plus signature lines; a checkpoint is a note that states origin, size and root of a
log. Which keys are trusted is passed in; unknown signature lines are ignored as the standard says.
"""

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from evidence.encoding import b64, unb64
from evidence.errors import Code, EvidenceError
from evidence.keys import PublicKey, SigningKey
from evidence.merkle import HASH_BYTES, MAX_SIZE

ED25519_NOTE = 0x01
ED25519_COSIGNATURE = 0x04
MAX_SIGNATURES = 100
_LINE = re.compile(r"— ([^ +\n]+) ([A-Za-z0-9+/=]+)\Z")
_FORBIDDEN = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\ud800-\udfff]")
_SIZE = re.compile(r"(?:0|[1-9][0-9]*)\Z", re.ASCII)


@dataclass(frozen=True)
class NoteKey:
    """A verifier key: name, type and Ed25519 public key; ``text`` is the published vkey."""

    name: str
    type: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """First 4 bytes of SHA-256(name ‖ newline ‖ type ‖ public key)."""
        data = self.name.encode() + b"\n" + bytes([self.type]) + self.public
        return hashlib.sha256(data).digest()[:4]

    @property
    def text(self) -> str:
        """Return ``name+keyid+base64``."""
        return f"{self.name}+{self.key_id.hex()}+{b64(bytes([self.type]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> "NoteKey":
        """Read a vkey, checking its key id and the point.

        Raises:
            EvidenceError: ``ENCODING``.
        """
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        blob = unb64(encoded)
        if not name or len(blob) != 33 or blob[0] not in (ED25519_NOTE, ED25519_COSIGNATURE):
            raise EvidenceError(Code.ENCODING, f"not a verifier key: {text[:60]!r}")
        PublicKey.from_ed25519(blob[1:])
        key = cls(name, blob[0], blob[1:])
        if key.key_id.hex() != key_id or key.text != text:
            raise EvidenceError(Code.ENCODING, f"key id of {name} does not fit the key")
        return key

    def verify(self, text: str, blob: bytes) -> int | None:
        """Check one signature blob (without its key id); return the time of a cosignature.

        Raises:
            EvidenceError: ``SIGNATURE`` or ``CHECKPOINT_FORMAT``.
        """
        public = PublicKey.from_ed25519(self.public)
        if self.type == ED25519_NOTE:
            public.verify(blob, text.encode())
            return None
        if len(blob) != 72:
            raise EvidenceError(Code.CHECKPOINT_FORMAT, f"cosignature of {self.name} has {len(blob)} bytes, not 72")
        time = int.from_bytes(blob[:8], "big")
        public.verify(blob[8:], f"cosignature/v1\ntime {time}\n{text}".encode())
        return time


@dataclass(frozen=True)
class Note:
    """A note taken apart: the signed text and its signature lines (name, key id, blob)."""

    text: str
    signatures: tuple[tuple[str, bytes, bytes], ...]


def parse_note(note: str) -> Note:
    """Take a note apart.

    Raises:
        EvidenceError: ``CHECKPOINT_FORMAT``.
    """
    if _FORBIDDEN.search(note):
        raise EvidenceError(Code.CHECKPOINT_FORMAT, "control character or half a surrogate pair in a note")
    head, separator, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not separator or not head or lines[-1] != "" or len(lines) < 2:
        raise EvidenceError(Code.CHECKPOINT_FORMAT, "a note is text, an empty line and signature lines")
    if len(lines) - 1 > MAX_SIGNATURES:
        raise EvidenceError(Code.CHECKPOINT_FORMAT, f"more than {MAX_SIGNATURES} signatures")
    signatures = []
    for line in lines[:-1]:
        match = _LINE.match(line)
        if match is None or any(character.isspace() for character in match[1]):
            raise EvidenceError(Code.CHECKPOINT_FORMAT, f"not a signature line: {line[:40]!r}")
        try:
            blob = unb64(match[2])
        except EvidenceError as error:
            raise EvidenceError(Code.CHECKPOINT_FORMAT, f"signature of {match[1]}: {error.detail}") from error
        if len(blob) < 5:
            raise EvidenceError(Code.CHECKPOINT_FORMAT, f"signature of {match[1]} is too short")
        signatures.append((match[1], blob[:4], blob[4:]))
    return Note(head + "\n", tuple(signatures))


def verify_note(note: str, keys: Iterable[NoteKey]) -> tuple[Note, dict[NoteKey, int | None]]:
    """Check every signature by a known key; return the note and who signed (with cosignature time).

    Raises:
        EvidenceError: ``CHECKPOINT_FORMAT``, ``SIGNATURE`` (a known key's line fails) or ``QUORUM`` (none known).
    """
    parsed = parse_note(note)
    known = {(key.name, key.key_id): key for key in keys}
    signers: dict[NoteKey, int | None] = {}
    for name, key_id, blob in parsed.signatures:
        key = known.get((name, key_id))
        if key is not None:
            signers[key] = key.verify(parsed.text, blob)
    if not signers:
        raise EvidenceError(Code.QUORUM, "no signature by a known key")
    return parsed, signers


def cosign(text: str, name: str, key: SigningKey, time: int) -> str:
    """Cosign a checkpoint's text (what stands before the empty line) at a time in Unix seconds; return the line.

    It means: the largest consistent tree of this log that the witness has seen as of that time.
    """
    note_key = NoteKey(name, ED25519_COSIGNATURE, key.public.raw)
    signature = time.to_bytes(8, "big") + key.sign(f"cosignature/v1\ntime {time}\n{text}".encode())
    return f"— {name} {b64(note_key.key_id + signature)}\n"


def sign_note(text: str, name: str, key: SigningKey) -> str:
    """Sign a text that ends in a newline, with an Ed25519 note key."""
    note_key = NoteKey(name, ED25519_NOTE, key.public.raw)
    return f"{text}\n— {name} {b64(note_key.key_id + key.sign(text.encode()))}\n"


@dataclass(frozen=True)
class Checkpoint:
    """State of a log: its origin, size and root, with the note that says so."""

    origin: str
    size: int
    root: bytes
    note: str


def sign_checkpoint(origin: str, size: int, root: bytes, key: SigningKey) -> str:
    """Write and sign a checkpoint; the key's name is the origin."""
    return sign_note(f"{origin}\n{size}\n{b64(root)}\n", origin, key)


def parse_checkpoint(note: str) -> Checkpoint:
    """Read a checkpoint without judging its signatures.

    Raises:
        EvidenceError: ``CHECKPOINT_FORMAT``.
    """
    lines = parse_note(note).text.split("\n")
    if len(lines) != 4 or not lines[0]:
        raise EvidenceError(Code.CHECKPOINT_FORMAT, "a checkpoint has origin, size and root")
    if not _SIZE.match(lines[1]) or len(lines[1]) > 19 or int(lines[1]) >= MAX_SIZE:
        raise EvidenceError(Code.CHECKPOINT_FORMAT, f"not a tree size: {lines[1][:20]!r}")
    try:
        root = unb64(lines[2])
    except EvidenceError as error:
        raise EvidenceError(Code.CHECKPOINT_FORMAT, f"root: {error.detail}") from error
    if len(root) != HASH_BYTES:
        raise EvidenceError(Code.CHECKPOINT_FORMAT, "the root is not 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root, note)


class CosigningRule(Protocol):
    """Which witnesses are looked at, and which of them must have cosigned (``policy.py``)."""

    @property
    def witness_keys(self) -> Collection[NoteKey]:
        """The keys of all witnesses."""
        ...

    def require(self, cosigners: Collection[NoteKey]) -> None:
        """Refuse a checkpoint that too few have cosigned (``QUORUM``)."""
        ...


def verify_checkpoint(note: str, log: NoteKey, rule: CosigningRule | None = None) -> Checkpoint:
    """Check origin, log signature and, where there is a rule for them, cosignatures of a checkpoint.

    Raises:
        EvidenceError: ``CHECKPOINT_FORMAT``, ``LOG_ORIGIN``, ``SIGNATURE`` or ``QUORUM``.
    """
    checkpoint = parse_checkpoint(note)
    if checkpoint.origin != log.name:
        raise EvidenceError(Code.LOG_ORIGIN, f"checkpoint of {checkpoint.origin[:60]!r}, not of {log.name}")
    witnesses = () if rule is None else rule.witness_keys
    _, signers = verify_note(note, [log, *witnesses])
    if log not in signers:
        raise EvidenceError(Code.SIGNATURE, "the log did not sign its checkpoint")
    if rule is not None:
        rule.require(signers.keys() - {log})
    return checkpoint
