"""The hour of the plant's legal time zone that a reading belongs to, fast enough for every reading.

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
_QUARTER_S = 900


def hour_text(time: datetime, kind: ChannelKind, zone: ZoneInfo) -> str:
    """Name the hour a reading belongs to by its start."""
    moment = time - _TICK if kind is ChannelKind.TOTAL else time
    return _hour_of_quarter(int(moment.timestamp()) // _QUARTER_S, zone)


@lru_cache(maxsize=4096)
def _hour_of_quarter(quarter: int, zone: ZoneInfo) -> str:
    """Offsets of all zones are whole quarters of an hour since 1972, so a quarter lies in one hour."""
    return time_text(hour_of(datetime.fromtimestamp(quarter * _QUARTER_S, UTC), zone))
