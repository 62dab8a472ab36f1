"""The values of a packet: per DataTime and factor, as texts, numbers and flags."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from decimal import Decimal

from .deviation import Deviation
from .errors import PacketError
from .packet import Packet
from .times import parse_time

DATA_TIME = "DataTime"
FLAG = "Flag"
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class FactorValue:
    """One factor in one packet: its fields by name, and the text as sent."""

    code: str
    fields: Mapping[str, str]
    raw: str

    @property
    def flag(self) -> str:
        """The data flag as sent; empty where there is none."""
        return self.fields.get(FLAG, "")


@dataclass(frozen=True, slots=True)
class Group:
    """The values that share one DataTime."""

    data_time: str
    time: datetime
    factors: Mapping[str, FactorValue]
    deviations: tuple[Deviation, ...]


@dataclass
class _Open:
    """A group while it is being read."""

    data_time: str
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    raw: dict[str, list[str]] = field(default_factory=dict)


def number_of(text: str) -> Decimal | None:
    """Read a number as the standard writes them; None for anything else. No digit is lost."""
    return Decimal(text) if _NUMBER.match(text) else None


def groups(packet: Packet, zone: tzinfo, before: str = "") -> tuple[Group, ...]:
    """Return the values of a packet by DataTime; `before` stands in where the packet has none.

    Raises:
        PacketError: values without a time, a time that is none, or a field that comes twice.
    """
    found: list[_Open] = []
    if before and packet.value(DATA_TIME) is None:
        found.append(_Open(before))
    for item in packet.items:
        for name, value in item:
            if name == DATA_TIME:
                found.append(_Open(value))
                continue
            code, separated, part = name.partition("-")
            if not separated:
                continue
            if not found:
                raise PacketError("time", f"{name[:40]!r} stands before any DataTime")
            values = found[-1].fields.setdefault(code, {})
            if part in values:
                raise PacketError("cp", f"{name[:40]!r} comes twice")
            values[part] = value
            found[-1].raw.setdefault(code, []).append(f"{name}={value}")
    is_borrowed = bool(before) and packet.value(DATA_TIME) is None
    return tuple(_closed(one, zone, is_borrowed=is_borrowed) for one in found)


def _closed(group: _Open, zone: tzinfo, *, is_borrowed: bool) -> Group:
    noted = []
    if len(group.data_time) == 17:
        noted.append(Deviation.DATATIME_17)
    if is_borrowed:
        noted.append(Deviation.DATATIME_BEFORE)
    factors = {code: FactorValue(code, fields, ",".join(group.raw[code])) for code, fields in group.fields.items()}
    return Group(group.data_time, parse_time(group.data_time, zone), factors, tuple(noted))


class PacketSeries:
    """Remembers the DataTime of split uploads on one connection, for packets that leave it out."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str, str], tuple[int, int, str]] = {}

    def data_time_before(self, packet: Packet) -> str:
        """Return the DataTime of the packet right before this one in its series, or nothing."""
        if packet.pnum is None or packet.pno is None:
            return ""
        series = (packet.mn, packet.st, packet.cn)
        pnum, pno, known = self._newest.get(series, (0, 0, ""))
        own = packet.value(DATA_TIME)
        if own is None and (pnum, pno + 1) != (packet.pnum, packet.pno) and (pnum, pno) != (packet.pnum, packet.pno):
            return ""
        self._newest[series] = (packet.pnum, packet.pno, own if own is not None else known)
        return "" if own is not None else known
