"""What a `config` event says of a channel: unit, kind, instrument, device profile.

A reading is read by the declaration that stood when its segment was signed, not by a later one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from evidence.channel import Channel
from evidence.commissioning import Commissioned, commissioned_from
from evidence.statement import parse_envelope
from webapp import store_log
from webapp.models import LogEntry
from webapp.views.channel_hours import ChannelHour, SegmentRef

_LOOK_BACK = 50
"""Declarations looked through for the one that a person made; a channel has few."""


@dataclass(frozen=True)
class Declared:
    """The data of a declaration, and the statement it stands in."""

    data: Mapping[str, Any]
    sid: str

    @property
    def channel(self) -> Channel:
        """The channel with its rules."""
        return Channel.from_config(self.data)


def declared_for(db: Session, segment: SegmentRef, channel: str) -> Declared | None:
    """Return what held for a segment: the newest declaration before it in its gateway's epoch."""
    return _read(store_log.declaration_before(db, segment.gw, segment.epoch, segment.seq, channel))


def declared_in(db: Session, plant: str, channel: str, gw: str | None, hours: list[ChannelHour]) -> Declared | None:
    """Return what held for the last of these hours; without hours what was declared last."""
    if hours:
        return declared_for(db, hours[-1].segments[-1], channel)
    return _read(store_log.newest_declaration(db, plant, channel, gw))


@dataclass(frozen=True)
class CommissionedBy:
    """Who took a channel into use and when, with the statement that says so."""

    record: Commissioned
    sid: str

    @property
    def agrees(self) -> bool:
        """Whether the device's display confirmed both readings."""
        return all(one.agrees for one in self.record.compared)


def commissioned_for(
    db: Session, plant: str, channel: str, gw: str | None, declared: Mapping[str, Any]
) -> CommissionedBy | None:
    """Return the newest record that this instrument, read by this profile, was taken into use; None without one."""
    for row in store_log.declarations(db, plant, channel, gw, _LOOK_BACK):
        data = parse_envelope(row.jws).payload["data"]
        same = all(data.get(name) == declared.get(name) for name in ("serial", "profile", "source"))
        record = commissioned_from(data) if same else None
        if record is not None:
            return CommissionedBy(record, row.sid)
    return None


def _read(row: LogEntry | None) -> Declared | None:
    return None if row is None else Declared(parse_envelope(row.jws).payload["data"], row.sid)
