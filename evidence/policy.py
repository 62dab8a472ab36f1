"""The policy file: which logs and witnesses are known, and which cosignatures a checkpoint needs (C2SP tlog-policy).

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> <k|any|all> <name>…
    quorum <name|none>

Names mean something within the file only. A line refers to names of lines before it, and a name is a member of at most
one group, so every witness counts in one way.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from evidence.errors import Code, EvidenceError
from evidence.note import ED25519_COSIGNATURE, ED25519_NOTE, NoteKey

NONE = "none"
"""The quorum that needs no witness."""
MAX_LINES = 1_000
MAX_CHARACTERS = 200_000
_SPACE = re.compile(r"[ \t]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_NUMBER = re.compile(r"[1-9][0-9]{0,3}\Z", re.ASCII)


@dataclass(frozen=True)
class Witness:
    """A witness: its name in the file, its key, and where it is asked (may be empty)."""

    name: str
    key: NoteKey
    url: str = ""


@dataclass(frozen=True)
class Group:
    """Counts as one witness as soon as `threshold` of its members have cosigned."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """A policy file that was read; ``text`` is the file itself."""

    text: str
    logs: tuple[NoteKey, ...]
    witnesses: tuple[Witness, ...]
    groups: Mapping[str, Group] = field(hash=False)
    quorum: str

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """Read a policy file.

        Raises:
            EvidenceError: ``SCHEMA``; the detail names the line.
        """
        return _Reader().read(text)

    @classmethod
    def of_number(cls, witnesses: Iterable[NoteKey], quorum: int) -> "Policy":
        """Write the policy "any ``quorum`` of these witnesses", which older trust files state as a number.

        Raises:
            EvidenceError: ``SCHEMA``.
        """
        keys = tuple(witnesses)
        if not 0 <= quorum <= len(keys):
            raise EvidenceError(Code.SCHEMA, f"a quorum of {quorum} among {len(keys)} witnesses is impossible")
        lines = [f"witness w{number} {key.text}" for number, key in enumerate(keys, 1)]
        if quorum:
            members = " ".join(f"w{number}" for number in range(1, len(keys) + 1))
            lines.append(f"group witnesses {quorum} {members}")
        lines.append(f"quorum {'witnesses' if quorum else NONE}")
        return cls.parse("\n".join(lines) + "\n")

    @property
    def witness_keys(self) -> tuple[NoteKey, ...]:
        """The keys whose cosignatures are looked at."""
        return tuple(witness.key for witness in self.witnesses)

    @property
    def needs_witnesses(self) -> bool:
        """Tell whether a checkpoint without any cosignature falls short."""
        return self.quorum != NONE

    def is_met(self, cosigners: Collection[NoteKey]) -> bool:
        """Tell whether these witnesses' cosignatures suffice."""
        if self.quorum == NONE:
            return True
        signed = {witness.name for witness in self.witnesses if witness.key in cosigners}
        for name, group in self.groups.items():  # a group stands behind its members
            if len(signed.intersection(group.members)) >= group.threshold:
                signed.add(name)
        return self.quorum in signed

    def require(self, cosigners: Collection[NoteKey]) -> None:
        """Refuse a checkpoint that too few have cosigned.

        Raises:
            EvidenceError: ``QUORUM``.
        """
        if not self.is_met(cosigners):
            names = [witness.name for witness in self.witnesses if witness.key in cosigners]
            who = ", ".join(names) if names else "no known witness"
            raise EvidenceError(Code.QUORUM, f"cosigned by {who}; the quorum is {self.quorum}")


class _Reader:
    """What the lines read so far have defined."""

    def __init__(self) -> None:
        self._logs: dict[bytes, NoteKey] = {}
        self._witnesses: dict[bytes, Witness] = {}
        self._groups: dict[str, Group] = {}
        self._names: set[str] = set()
        self._members: set[str] = set()
        self._quorum: str | None = None

    def read(self, text: str) -> Policy:
        if len(text) > MAX_CHARACTERS or text.count("\n") > MAX_LINES:
            raise EvidenceError(Code.SCHEMA, f"a policy has at most {MAX_LINES} lines")
        if not text.endswith("\n"):
            raise EvidenceError(Code.SCHEMA, "the last line of the policy does not end")
        for number, line in enumerate(text[:-1].split("\n"), 1):
            try:
                self._line(line)
            except EvidenceError as error:
                raise EvidenceError(Code.SCHEMA, f"policy line {number}: {error.detail}") from error
        if self._quorum is None:
            raise EvidenceError(Code.SCHEMA, "the policy has no quorum line")
        return Policy(
            text,
            tuple(self._logs.values()),
            tuple(self._witnesses.values()),
            MappingProxyType(dict(self._groups)),
            self._quorum,
        )

    def _line(self, line: str) -> None:
        if _CONTROL.search(line):
            raise _wrong("it holds a control character")
        words = _SPACE.split(line.strip(" \t"))
        if words == [""] or words[0].startswith("#"):
            return
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                self._log(vkey)
            case ["witness", name, vkey]:
                self._witness(name, vkey, "")
            case ["witness", name, vkey, url]:
                self._witness(name, vkey, url)
            case ["group", name, count, *members] if members:
                self._group(name, count, members)
            case ["quorum", name]:
                self._set_quorum(name)
            case _:
                raise _wrong(f"not a line of a policy: {line[:40]!r}")

    def _log(self, vkey: str) -> None:
        key = _key(vkey, ED25519_NOTE)
        if self._logs.setdefault(key.public, key) is not key:
            raise _wrong(f"log {key.name} has the key of another line")

    def _witness(self, name: str, vkey: str, url: str) -> None:
        self._define(name)
        witness = Witness(name, _key(vkey, ED25519_COSIGNATURE), url)
        if self._witnesses.setdefault(witness.key.public, witness) is not witness:
            raise _wrong(f"witness {name} has the key of another line")

    def _group(self, name: str, count: str, members: list[str]) -> None:
        for member in members:
            if member not in self._names or member in self._members:
                raise _wrong(f"{member} is not defined before, or is a member of two groups")
            self._members.add(member)
        threshold = {"any": 1, "all": len(members)}.get(count) or (int(count) if _NUMBER.match(count) else 0)
        if not 1 <= threshold <= len(members):
            raise _wrong(f"{count[:20]} of {len(members)} members is impossible")
        self._define(name)
        self._groups[name] = Group(threshold, tuple(members))

    def _set_quorum(self, name: str) -> None:
        if self._quorum is not None:
            raise _wrong("a second quorum")
        if name != NONE and name not in self._names:
            raise _wrong(f"{name} is not defined before")
        self._quorum = name

    def _define(self, name: str) -> None:
        if name == NONE or name in self._names:
            raise _wrong(f"{name} is defined already")
        self._names.add(name)


def _key(text: str, type_: int) -> NoteKey:
    key = NoteKey.parse(text)
    if key.type != type_:
        raise _wrong(f"key {key.name} is of type {key.type}, not {type_}")
    return key


def _wrong(detail: str) -> EvidenceError:
    return EvidenceError(Code.SCHEMA, detail)


NO_WITNESSES = Policy.parse(f"quorum {NONE}\n")
"""A log without witnesses."""
