"""One data segment: head fields and the items of CP, read leniently and with every deviation noted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from .deviation import Deviation
from .edition import ANSWER_BIT, PACKET_BIT, Edition, edition_of_flag, table
from .errors import PacketError
from .stream import Frame
from .times import parse_time

_OPENING = "CP=&&"
_CLOSING = "&&"
_CODE = {"ST": re.compile(r"[0-9]{2}\Z", re.ASCII), "CN": re.compile(r"[0-9]{4}\Z", re.ASCII)}
_NUMBER = re.compile(r"[0-9]{1,4}\Z", re.ASCII)
_PLAIN_MN = re.compile(r"[0-9A-F]*\Z", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MN_CHARACTERS = 24
_PW_CHARACTERS = 6
_MOST_MN = 64

Item = tuple[tuple[str, str], ...]
"""One item of CP: its sub-items as (name, value), in the order sent."""


@dataclass(frozen=True, slots=True)
class Packet:
    """What one frame says. Texts are as sent; `edition` is what the Flag claims."""

    qn: str
    st: str
    cn: str
    pw: str
    mn: str
    flag: int | None
    pnum: int | None
    pno: int | None
    is_backfill: bool
    cp: str
    items: tuple[Item, ...]
    edition: Edition
    deviations: tuple[Deviation, ...] = ()

    @property
    def wants_answer(self) -> bool:
        """Whether bit A of the Flag is set."""
        return bool((self.flag or 0) & ANSWER_BIT)

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Name the packet across repetitions: MN, QN, CN, PNO. Without QN its data area takes the place."""
        return (self.mn, self.qn or self.cp, self.cn, self.pno or 0)

    def value(self, name: str) -> str | None:
        """Return an item of CP by its name, or None."""
        return next((value for item in self.items for key, value in item if key == name), None)


def read_packet(frame: Frame) -> Packet:
    """Read the data segment of a frame.

    Raises:
        PacketError: the segment is not made of the fields of the standard, or a field has a wrong form.
    """
    try:
        text = frame.segment.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PacketError("charset", f"not UTF-8 at byte {error.start}") from error
    if _CONTROL.search(text):
        raise PacketError("charset", "a control character")
    head, found, rest = text.partition(_OPENING)
    if not found or not rest.endswith(_CLOSING):
        raise PacketError("cp", "no CP=&&…&& at the end")
    noted = [*frame.deviations]
    fields = _head_fields(head, noted)
    flag = _number(fields, "Flag", 255)
    pnum, pno = _number(fields, "PNUM", 9999), _number(fields, "PNO", 9999)
    rf = fields.get("RF", "0")
    if rf not in ("0", "1"):
        raise PacketError("head", f"RF={rf[:40]!r} is neither 0 nor 1")
    cp = rest.removesuffix(_CLOSING)
    _note_head(fields, flag, noted)
    edition = _edition(flag, fields["QN"], noted)
    if len(cp) > table(edition).longest_cp:
        noted.append(Deviation.LONG_CP)
    return Packet(
        qn=fields["QN"],
        st=fields["ST"],
        cn=fields["CN"],
        pw=fields["PW"],
        mn=fields["MN"],
        flag=flag,
        pnum=pnum,
        pno=pno,
        is_backfill=rf == "1",
        cp=cp,
        items=_items(cp, noted),
        edition=edition,
        deviations=tuple(dict.fromkeys(noted)),
    )


def _head_fields(head: str, noted: list[Deviation]) -> dict[str, str]:
    fields: dict[str, str] = {}
    parts = head.split(";")
    if parts.pop() != "":
        raise PacketError("head", "no ; before CP")
    for part in parts:
        name, found, value = part.partition("=")
        if not found or name in fields or not name:
            raise PacketError("head", f"{part[:40]!r} is no new field")
        fields[name] = value
    for name, form in _CODE.items():
        if not form.match(fields.get(name, "")):
            raise PacketError("head", f"{name}={fields.get(name, '')[:40]!r}")
    mn = fields.get("MN", "")
    if not 1 <= len(mn) <= _MOST_MN:
        raise PacketError("head", f"MN={mn[:40]!r}")
    names = list(fields)
    if "PNUM" in fields and "PNO" in fields and names.index("PNO") < names.index("PNUM"):
        noted.append(Deviation.PNO_BEFORE_PNUM)
    if "QN" in fields:
        if len(fields["QN"]) != 17:
            raise PacketError("head", f"QN={fields['QN'][:40]!r} has not 17 digits")
        parse_time(fields["QN"], UTC)
    else:
        fields["QN"] = ""
        noted.append(Deviation.NO_QN)
    fields.setdefault("PW", "")
    return fields


def _note_head(fields: dict[str, str], flag: int | None, noted: list[Deviation]) -> None:
    pw, mn = fields["PW"], fields["MN"]
    if not pw:
        noted.append(Deviation.EMPTY_PW)
    elif len(pw) != _PW_CHARACTERS:
        noted.append(Deviation.PW_LENGTH)
    if len(mn) != _MN_CHARACTERS:
        noted.append(Deviation.SHORT_MN if len(mn) < _MN_CHARACTERS else Deviation.MN_LENGTH)
    if not _PLAIN_MN.match(mn):
        noted.append(Deviation.MN_CHARACTERS)
    if flag is None:
        noted.append(Deviation.NO_FLAG)
    has_numbers = "PNUM" in fields and "PNO" in fields
    if has_numbers != bool((flag or 0) & PACKET_BIT):
        noted.append(Deviation.PACKET_BIT)


def _number(fields: dict[str, str], name: str, most: int) -> int | None:
    if name not in fields:
        return None
    text = fields[name]
    if not _NUMBER.match(text) or int(text) > most:
        raise PacketError("head", f"{name}={text[:40]!r} is no number up to {most}")
    return int(text)


def _edition(flag: int | None, qn: str, noted: list[Deviation]) -> Edition:
    """Take the edition from the Flag; bits nobody has given out are read as 2017."""
    edition = edition_of_flag(flag)
    if edition is None:
        noted.append(Deviation.UNKNOWN_EDITION)
        return Edition.HJ2017
    if qn:
        sent = parse_time(qn, UTC)
        if sent < datetime.fromisoformat(table(edition).issued).replace(tzinfo=UTC):
            noted.append(Deviation.EDITION_BEFORE_ISSUE)
    return edition


def _items(cp: str, noted: list[Deviation]) -> tuple[Item, ...]:
    if not cp:
        return ()
    parts = cp.split(";")
    if parts[-1] == "" and len(parts) > 1:
        noted.append(Deviation.SEMICOLON_AT_END)
        parts.pop()
    items = []
    for part in parts:
        pieces = part.split(",")
        if pieces[-1] == "" and len(pieces) > 1:
            noted.append(Deviation.COMMA_BEFORE_SEMICOLON)
            pieces.pop()
        pairs = []
        for piece in pieces:
            name, found, value = piece.partition("=")
            if not found or not name:
                raise PacketError("cp", f"{piece[:40]!r} is not name=value")
            pairs.append((name, value))
        items.append(tuple(pairs))
    return tuple(items)
