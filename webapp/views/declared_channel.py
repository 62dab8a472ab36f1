"""What a `config` event says of a channel: unit, kind, instrument, device profile.

A reading is read by the declaration that stood when its segment was signed, not by a later one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from evidence.channel import Channel
from evidence.statement import parse_envelope
from webapp import store_log
from webapp.models import LogEntry
from webapp.views.channel_hours import ChannelHour, SegmentRef


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


def _read(row: LogEntry | None) -> Declared | None:
    return None if row is None else Declared(parse_envelope(row.jws).payload["data"], row.sid)
