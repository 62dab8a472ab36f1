"""What the newest `config` event says of a channel: unit, kind, instrument, device profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from evidence.statement import parse_envelope
from webapp import store_log


def declared_channel(
    db: Session, plant: str, channel: str, gw: str | None
) -> tuple[Mapping[str, Any] | None, str | None]:
    """Return the data of the newest declaration and the statement's id, or twice None."""
    for row in reversed(store_log.plant_entries(db, plant, kinds=["event"])):
        if gw is not None and row.gw != gw:
            continue
        payload = parse_envelope(row.jws).payload
        if payload["type"] == "config" and payload["data"].get("channel") == channel:
            return payload["data"], row.sid
    return None, None
