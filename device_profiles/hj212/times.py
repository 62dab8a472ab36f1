"""The times of HJ 212: digits in the logger's local time, without a zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from .errors import PacketError

_SECONDS = re.compile(r"[0-9]{14}\Z", re.ASCII)
_MILLISECONDS = re.compile(r"[0-9]{17}\Z", re.ASCII)
_OFFSET = re.compile(r"([+-])([01][0-9]):([0-5][0-9])\Z", re.ASCII)


def parse_zone(text: str) -> tzinfo:
    """Read the logger's zone: an offset such as `+08:00`, or a name such as `Asia/Shanghai`.

    Raises: ValueError for anything else.
    """
    found = _OFFSET.match(text)
    if found is None:
        try:
            return ZoneInfo(text)
        except (KeyError, OSError) as error:
            raise ValueError(f"{text!r} is no time zone; write it like +08:00") from error
    sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == "-" else offset)


def parse_time(text: str, zone: tzinfo) -> datetime:
    """Read `YYYYMMDDhhmmss`, or with three digits of milliseconds behind it, as UTC.

    Raises: PacketError("time").
    """
    if not _SECONDS.match(text) and not _MILLISECONDS.match(text):
        raise PacketError("time", f"{text[:40]!r} is no time of 14 or 17 digits")
    try:
        local = datetime(
            int(text[0:4]),
            int(text[4:6]),
            int(text[6:8]),
            int(text[8:10]),
            int(text[10:12]),
            int(text[12:14]),
            int(text[14:17] or "0") * 1000,
            tzinfo=zone,
        )
        return local.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise PacketError("time", f"{text!r}: {error}") from error


def time_of(moment: datetime, zone: tzinfo, *, milliseconds: bool = False) -> str:
    """Write an instant in the logger's local time; with milliseconds it is a QN."""
    local = moment.astimezone(zone)
    text = local.strftime("%Y%m%d%H%M%S").zfill(14)
    return f"{text}{local.microsecond // 1000:03d}" if milliseconds else text
