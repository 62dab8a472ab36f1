"""What a witness answers to `add-checkpoint` (C2SP tlog-witness): a cosignature, or why there is none.

    200  the cosignature: the checkpoint continues the last one that was cosigned
    400  malformed, or `old` is larger than the checkpoint
    403  not signed by a key of the log
    404  no such log here
    409  `old` is not what was cosigned last; the body says what was
    422  the proof does not hold, or there is another root for the same size

Looking and remembering are one turn of the memory, and what is remembered is on disk before the answer is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evidence.contradiction import two_trees
from evidence.encoding import unb64
from evidence.errors import Code, EvidenceError
from evidence.keys import SigningKey
from evidence.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE, verify_consistency
from evidence.note import Checkpoint, NoteKey, cosign, parse_checkpoint, parse_note, verify_note
from witness.memory import Latest, Memory

MAX_PROOF = 63
SIZE_KIND = "text/x.tlog.size"
TEXT_KIND = "text/plain; charset=utf-8"
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})\Z", re.ASCII)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: str
    kind: str = TEXT_KIND


@dataclass(frozen=True)
class Submission:
    """An `add-checkpoint` request that was read."""

    old: int
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint

    @classmethod
    def read(cls, body: bytes) -> Submission:
        """Read the body of a request.

        Raises:
            EvidenceError: ``CHECKPOINT_FORMAT`` or ``ENCODING``.
        """
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            raise EvidenceError(Code.ENCODING, "not UTF-8") from error
        head, _, note = text.partition("\n\n")
        first, *lines = head.split("\n")
        old = _OLD.match(first)
        if old is None or int(old[1]) >= MAX_SIZE:
            raise EvidenceError(Code.CHECKPOINT_FORMAT, "the first line is not: old <size>")
        if len(lines) > MAX_PROOF:
            raise EvidenceError(Code.CHECKPOINT_FORMAT, f"more than {MAX_PROOF} lines of proof")
        proof = tuple(unb64(line) for line in lines)
        if any(len(value) != HASH_BYTES for value in proof):
            raise EvidenceError(Code.CHECKPOINT_FORMAT, "a line of proof is not 32 bytes")
        return cls(int(old[1]), proof, parse_checkpoint(note))


class Witness:
    """A witness: its name, key and memory, the logs it knows, and its clock (Unix seconds).

    `keep_evidence` is given a name and a file when a log shows two histories.
    """

    def __init__(
        self,
        name: str,
        key: SigningKey,
        memory: Memory,
        logs: Mapping[str, tuple[NoteKey, ...]],
        now: Callable[[], int],
        keep_evidence: Callable[[str, bytes], None],
    ) -> None:
        self._name, self._key, self._memory, self._logs = name, key, memory, logs
        self._now, self._keep_evidence = now, keep_evidence

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer one request."""
        try:
            asked = Submission.read(body)
        except EvidenceError as error:
            return Answer(400, f"{error.detail}\n")
        checkpoint = asked.checkpoint
        keys = self._logs.get(checkpoint.origin)
        if keys is None:
            return Answer(404, "this witness does not know this log\n")
        try:
            verify_note(checkpoint.note, keys)
        except EvidenceError:
            return Answer(403, "not signed by a key of this log\n")
        if asked.old > checkpoint.size:
            return Answer(400, "old is larger than the checkpoint\n")
        with self._memory.turn() as turn:
            latest = turn.latest(checkpoint.origin) or Latest(0, EMPTY_ROOT, "")
            if asked.old != latest.size:
                return Answer(409, f"{latest.size}\n", SIZE_KIND)
            try:
                _check_continues(asked, latest)
            except EvidenceError as error:
                self._note_contradiction(keys, checkpoint, latest)
                return Answer(422, f"{error.detail}\n")
            if checkpoint.size > latest.size or not latest.note:
                turn.keep(checkpoint.origin, Latest(checkpoint.size, checkpoint.root, checkpoint.note))
        text = parse_note(checkpoint.note).text
        return Answer(200, cosign(text, self._name, self._key, self._now()))

    def _note_contradiction(self, keys: tuple[NoteKey, ...], checkpoint: Checkpoint, latest: Latest) -> None:
        """Two roots of one size prove that the log lies; a proof that fails proves nothing: anyone can send one."""
        if checkpoint.size != latest.size or not latest.note:
            return
        for key in keys:
            try:
                proof = two_trees(key, parse_checkpoint(latest.note), checkpoint)
                proof.prove()
            except EvidenceError:
                continue
            self._keep_evidence(f"{Code.LOG_EQUIVOCATION}-{latest.size}-{checkpoint.root.hex()[:12]}", proof.to_bytes())


def _check_continues(asked: Submission, latest: Latest) -> None:
    size, root = asked.checkpoint.size, asked.checkpoint.root
    if latest.size == 0:
        if asked.proof:
            raise EvidenceError(Code.CONSISTENCY_FAIL, "from size 0 the proof is empty")
        if size == 0 and root != EMPTY_ROOT:
            raise EvidenceError(Code.CONSISTENCY_FAIL, "not the root of an empty log")
        return
    verify_consistency(latest.size, size, asked.proof, latest.root, root)
