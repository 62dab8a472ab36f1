"""SQL over what devices said of themselves: identities and clocks. Contains no business logic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from evidence.encoding import decimal_text, parse_decimal, parse_time, time_text
from gateway.store import Store


@dataclass(frozen=True, slots=True)
class Known:
    """What an identity point of a device said, and when it last said so."""

    value: str
    seen: datetime


def known_identity(store: Store, device: str) -> dict[str, Known]:
    """Return what a device last said it is, by point."""
    rows = store.rows("SELECT point, value, seen FROM device_identity WHERE device = ?", (device,))
    return {row["point"]: Known(row["value"], parse_time(row["seen"])) for row in rows}


def keep_identity(store: Store, device: str, said: Iterable[tuple[str, str]], seen: datetime) -> None:
    """Keep what a device says it is; since when is kept where nothing changed."""
    store.execute_many(
        "INSERT INTO device_identity (device, point, value, since, seen) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (device, point) DO UPDATE SET"
        " since = CASE WHEN value = excluded.value THEN since ELSE excluded.since END,"
        " value = excluded.value, seen = excluded.seen",
        ((device, point, value, time_text(seen), time_text(seen)) for point, value in said),
    )


def keep_clock(store: Store, device: str, shown: datetime, read: datetime, offset_s: Decimal) -> None:
    """Keep how far a device's clock was off when it was last read."""
    store.execute(
        "INSERT INTO device_clock (device, shown, read, offset_s) VALUES (?, ?, ?, ?) ON CONFLICT (device)"
        " DO UPDATE SET shown = excluded.shown, read = excluded.read, offset_s = excluded.offset_s",
        (device, time_text(shown), time_text(read), decimal_text(offset_s)),
    )


def devices_told(store: Store) -> list[dict[str, Any]]:
    """Return for a status what each device said of itself.

    Raises:
        EvidenceError: an offset is no number any more.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in store.rows("SELECT device, point, value, since FROM device_identity ORDER BY device, point"):
        one = found.setdefault(row["device"], {"device": row["device"], "identity": {}, "clock": None})
        one["identity"][row["point"]] = {"value": row["value"], "since": row["since"]}
    for row in store.rows("SELECT device, shown, read, offset_s FROM device_clock ORDER BY device"):
        one = found.setdefault(row["device"], {"device": row["device"], "identity": {}, "clock": None})
        offset = decimal_text(parse_decimal(row["offset_s"]))
        one["clock"] = {"shown": row["shown"], "read": row["read"], "offset_s": offset}
    return [found[device] for device in sorted(found)]


def quarantine(store: Store, frames: Iterable[tuple[datetime, str, bytes, str]]) -> None:
    """Keep frames aside as they came: when, of which source, the bytes, and why."""
    store.execute_many(
        "INSERT INTO quarantine (received, source, payload, reason) VALUES (?, ?, ?, ?)",
        ((time_text(received), source, raw, reason) for received, source, raw, reason in frames),
    )
