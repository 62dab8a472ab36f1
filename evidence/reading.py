"""Readings: one value of one channel at one time, and its leaf in the gateway's tree.

A reading that has no usable number is a reading all the same: its value is None, its flag and
reason say why. Judging values is ``judge.py``; sums over hours are ``segment.py``.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

from evidence.encoding import b64u, decimal_text, parse_decimal, parse_time, strict_json, time_text, unb64u
from evidence.errors import Code, EvidenceError

LEAF_TAG = "r1"
_PLAIN = re.compile(
    r'\["r1",(0|[1-9][0-9]{0,14}),"([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}\.[0-9]{3}Z)",'
    r'"([ !#-\[\]-~]*)","((?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)?)","([ !#-\[\]-~]*)","([NFMSDCTB])"\]\Z',
    re.ASCII,
)
"""A stored line in printable ASCII without anything to escape."""
SALT_BYTES = 16
TILE_SALT_BYTES = 32


class Flag(StrEnum):
    """Data flags of HJ 212-2017; only ``N`` is a valid measurement."""

    NORMAL = "N"
    STOPPED = "F"
    MAINTENANCE = "M"
    SET_VALUE = "S"
    FAULT = "D"
    CALIBRATION = "C"
    OVER_RANGE = "T"
    NO_COMMUNICATION = "B"


FLAG_NAMED: Mapping[str, Flag] = {flag.value: flag for flag in Flag}
"""The flag of each letter, for those who read many."""


@dataclass(frozen=True)
class Reading:
    """One value as read, with the three times of a reading.

    ``time`` is when the value holds (UTC, milliseconds); ``device_time`` the device's own text, if it sent one;
    ``received`` when the gateway had it. ``raw`` is what came over the wire: hexadecimal words or the payload.
    """

    channel: str
    time: datetime
    value: Decimal | None
    unit: str
    flag: Flag
    received: datetime
    reason: str = ""
    raw: str = ""
    device_time: str = ""
    imported: bool = False

    def __post_init__(self) -> None:
        if self.value is None and self.flag is Flag.NORMAL:
            raise ValueError(f"{self.channel}: a reading without a number cannot be normal")
        if self.time.tzinfo is None or self.received.tzinfo is None:
            raise ValueError(f"{self.channel}: a naive time has no place in evidence")

    @property
    def is_valid(self) -> bool:
        """Whether the reading counts as a measurement."""
        return self.flag is Flag.NORMAL and self.value is not None


@dataclass(frozen=True)
class Leaf:
    """What a leaf line commits to; ``value`` is None where no number was read."""

    index: int
    time: datetime
    channel: str
    value: Decimal | None
    unit: str
    flag: Flag

    @property
    def is_valid(self) -> bool:
        """Whether the reading counts as a measurement."""
        return self.flag is Flag.NORMAL and self.value is not None


def leaf_of(index: int, reading: Reading) -> Leaf:
    """Take from a reading what its leaf commits to."""
    return Leaf(index, reading.time, reading.channel, reading.value, reading.unit, reading.flag)


def leaf_salt(tile_salt: bytes, index: int) -> str:
    """Derive the salt of one leaf from the secret of its tile (B4); 22 base64url characters."""
    keyed = _keyed(tile_salt).copy()
    keyed.update(index.to_bytes(8, "big"))
    return b64u(keyed.digest()[:SALT_BYTES])


@lru_cache(maxsize=8)
def _keyed(tile_salt: bytes) -> hmac.HMAC:
    """Take in the secret that the leaves of a tile share; this costs as much as a salt."""
    return hmac.new(tile_salt, digestmod=hashlib.sha256)


def leaf_members(leaf: Leaf) -> list[object]:
    """Return the members of the leaf line without its salt."""
    value = "" if leaf.value is None else decimal_text(leaf.value)
    return [LEAF_TAG, leaf.index, time_text(leaf.time), leaf.channel, value, leaf.unit, leaf.flag.value]


def leaf_text(index: int, time: str, channel: str, value: str, unit: str, flag: str) -> str:
    """Write a leaf line without its salt, from the texts of its members: a JSON array without spaces.

    Time, value and flag must be texts as `leaf_members` gives them; nothing in them needs an escape.
    """
    return f'["{LEAF_TAG}",{index},"{time}",{_quoted(channel)},"{value}",{_quoted(unit)},"{flag}"]'


def salted_line(text: str, index: int, tile_salt: bytes) -> bytes:
    """Write the leaf data from a leaf line without its salt."""
    return f'{text[:-1]},"{leaf_salt(tile_salt, index)}"]'.encode()


def leaf_line(leaf: Leaf, tile_salt: bytes) -> bytes:
    """Write the leaf data: a JSON array without spaces, the salt last."""
    return salted_line(_text_of(leaf), leaf.index, tile_salt)


def _text_of(leaf: Leaf) -> str:
    value = "" if leaf.value is None else decimal_text(leaf.value)
    return leaf_text(leaf.index, time_text(leaf.time), leaf.channel, value, leaf.unit, leaf.flag.value)


_quoted = lru_cache(maxsize=4096)(json.JSONEncoder(ensure_ascii=False).encode)


def parse_leaf(line: bytes) -> Leaf:
    """Read a leaf line with its salt, accepting only its one spelling.

    Raises:
        EvidenceError: ``LEAF_MISMATCH``.
    """
    leaf, salt = _parse_members(line, 8)
    if not isinstance(salt, str) or len(unb64u(salt)) != SALT_BYTES:
        raise EvidenceError(Code.LEAF_MISMATCH, f"leaf {leaf.index}: salt is not {SALT_BYTES} bytes")
    if f'{_text_of(leaf)[:-1]},"{salt}"]'.encode() != line:
        raise EvidenceError(Code.LEAF_MISMATCH, f"leaf {leaf.index} is not in its one spelling")
    return leaf


def parse_leaf_members(line: str) -> Leaf:
    """Read a stored line, which is a leaf line without its salt, accepting only its one spelling.

    Raises:
        EvidenceError: ``LEAF_MISMATCH``.
    """
    leaf = _plain_leaf(line)
    if leaf is None:
        leaf = _parse_members(line, 7)[0]
        if _text_of(leaf) != line:
            raise EvidenceError(Code.LEAF_MISMATCH, f"leaf {leaf.index} is not in its one spelling")
    return leaf


def _plain_leaf(line: str) -> Leaf | None:
    """Read a line of the form that nearly all have, which is the only spelling of what it says; else None."""
    match = _PLAIN.match(line)
    if match is None:
        return None
    index, time, channel, value, unit, flag = match.groups()
    number = Decimal(value) if value else None
    if not number and value.startswith("-"):
        return None
    try:
        return Leaf(int(index), datetime.fromisoformat(time), channel, number, unit, FLAG_NAMED[flag])
    except ValueError:
        return None


def _parse_members(line: bytes | str, count: int) -> tuple[Leaf, object]:
    try:
        members = strict_json(line)
        if not isinstance(members, list) or len(members) != count or members[0] != LEAF_TAG:
            raise EvidenceError(Code.LEAF_MISMATCH, f"not a leaf: {line[:60]!r}")
        _, index, time, channel, value, unit, flag = members[:7]
        if isinstance(index, bool) or not isinstance(index, int) or index < 0:
            raise EvidenceError(Code.LEAF_MISMATCH, "leaf index is not a count")
        number = None if value == "" else parse_decimal(value)
        leaf = Leaf(index, parse_time(time), str(channel), number, str(unit), Flag(flag))
    except (EvidenceError, ValueError, TypeError) as error:
        detail = error.detail if isinstance(error, EvidenceError) else str(error)
        raise EvidenceError(Code.LEAF_MISMATCH, detail) from error
    return leaf, members[7] if count == 8 else ""
