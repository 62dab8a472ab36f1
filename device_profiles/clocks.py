"""Device clocks: registers of a date and time to an instant, and back.

The value of a clock point is the instant as RFC 3339 text in UTC, its number the seconds since 1970. What the device
shows is never corrected here: how far it is off is for the gateway to record.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

from .units import plain

#: Parts of a written date; and the two ways to count since 1970.
DATE_FIELDS = ("year", "month", "day", "hour", "minute", "second")
COUNT_FIELDS = ("unix_s", "unix_ms")
FIELDS = (*DATE_FIELDS, *COUNT_FIELDS)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def instant_of(fields: Mapping[str, Decimal], zone: str, hours: Decimal | None) -> datetime:
    """Build the instant from the parts of a date, or from a count since 1970 (which has no zone).

    `hours` is the offset that the device shows, `zone` the name the profile gives.
    Raises: ValueError, OverflowError where that is no instant.
    """
    if "unix_s" in fields or "unix_ms" in fields:
        seconds = fields["unix_s"] if "unix_s" in fields else fields["unix_ms"].scaleb(-3)
        return _EPOCH + timedelta(microseconds=int(seconds.scaleb(6)))
    whole = {name: int(fields.get(name, Decimal(0))) for name in DATE_FIELDS}
    local = datetime(**whole)  # type: ignore[arg-type]  # noqa: DTZ001
    if hours is not None:
        return local.replace(tzinfo=timezone(timedelta(minutes=int(hours * 60)))).astimezone(UTC)
    return local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def fields_of(instant: datetime, zone: str, hours: Decimal | None) -> dict[str, Decimal]:
    """Give every part that a device could show of an instant."""
    local = instant.astimezone(
        timezone(timedelta(minutes=int(hours * 60))) if hours is not None else ZoneInfo(zone or "UTC")
    )
    found = {name: Decimal(getattr(local, name)) for name in DATE_FIELDS}
    found["unix_s"] = Decimal((instant - _EPOCH) // timedelta(seconds=1))
    found["unix_ms"] = Decimal((instant - _EPOCH) // timedelta(milliseconds=1))
    return found


def seconds_of(instant: datetime) -> Decimal:
    """Count the seconds since 1970."""
    return plain(Decimal((instant - _EPOCH) // _MICROSECOND).scaleb(-6))
