"""The hour of the plant's legal time zone that a reading belongs to, as the store names it.

The rule itself is evidence's (`evidence.segment`): counters belong to (from, to], everything else to [from, to).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from evidence.channel import ChannelKind
from evidence.encoding import time_text
from evidence.segment import HOUR, hour_of

__all__ = ["HOUR", "hour_text"]

_TICK = timedelta(milliseconds=1)


def hour_text(time: datetime, kind: ChannelKind, zone: ZoneInfo) -> str:
    """Name the hour a reading belongs to by its start."""
    # Only UTC is remembered, as in `time_text`; the readings of one answer share their time.
    return _hour_text(time if time.tzinfo is UTC else time.astimezone(UTC), kind is ChannelKind.TOTAL, zone)


@lru_cache(maxsize=4096)
def _hour_text(utc: datetime, is_total: bool, zone: ZoneInfo) -> str:
    return time_text(hour_of(utc - _TICK if is_total else utc, zone))
