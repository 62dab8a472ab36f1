"""The hour of the plant's legal time zone that a reading belongs to, as the store names it.

The rule itself is evidence's (`evidence.segment`): counters belong to (from, to], everything else to [from, to).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from evidence.channel import ChannelKind
from evidence.encoding import time_text
from evidence.segment import HOUR, hour_of

__all__ = ["HOUR", "hour_text"]

_TICK = timedelta(milliseconds=1)


def hour_text(time: datetime, kind: ChannelKind, zone: ZoneInfo) -> str:
    """Name the hour a reading belongs to by its start."""
    return time_text(hour_of(time - _TICK if kind is ChannelKind.TOTAL else time, zone))
