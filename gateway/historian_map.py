"""The map file of an import: which column is the time, which are values, and what they mean here.

Nothing is guessed: a naive time stamp needs `zone`, an interval needs `period_label`, a unit must be known.
"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from gateway.toml_model import Section, read_toml

_INTERVAL = re.compile(r"([1-9][0-9]{0,4})(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class TimeColumn(Section):
    """How a row's time is written."""

    column: str
    format: str = "iso"
    """`iso` (ISO 8601) or a strptime pattern such as `%Y/%m/%d %H:%M`."""
    zone: str | None = None
    """Time zone of naive stamps, such as `Asia/Shanghai`; without it a naive stamp is refused."""
    period_label: Literal["start", "end", "instant"] = "instant"
    """Whether the stamp names the start or the end of its interval."""
    interval: str | None = None
    """Length of the interval, such as `15m`."""

    @field_validator("zone")
    @classmethod
    def _zone_exists(cls, zone: str | None) -> str | None:
        if zone is not None:
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError) as error:
                raise ValueError(f"time zone {zone!r} does not exist") from error
        return zone

    @model_validator(mode="after")
    def _interval_fits(self) -> TimeColumn:
        if (self.interval is None) != (self.period_label == "instant"):
            raise ValueError("period_label start or end goes with interval, such as 15m, and only with it")
        if self.interval is not None and not _INTERVAL.fullmatch(self.interval):
            raise ValueError(f"interval {self.interval!r} is not a number with s, m or h, such as 15m")
        return self

    @property
    def step(self) -> timedelta | None:
        """Length of the interval, or None for instants."""
        if self.interval is None:
            return None
        return timedelta(seconds=int(self.interval[:-1]) * _SECONDS[self.interval[-1]])


class ValueColumn(Section):
    """One column of figures and the channel it belongs to."""

    column: str
    channel: str
    unit: str
    """Unit of the figures; converted to the channel's unit exactly, or refused."""
    empty: Literal["refuse", "mark"] = "refuse"
    """What an empty cell means: an error, or a reading without a number."""


class HistorianMap(Section):
    """Everything in `MAP.toml`."""

    time: TimeColumn
    value: tuple[ValueColumn, ...] = Field(min_length=1)
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: Literal["utf-8", "utf-8-sig", "gb18030"] = "utf-8-sig"

    @model_validator(mode="after")
    def _columns_differ(self) -> HistorianMap:
        channels = [value.channel for value in self.value]
        for channel in channels:
            if channels.count(channel) > 1:
                raise ValueError(f"channel {channel} is fed by two columns")
        return self


def load_map(path: Path) -> HistorianMap:
    """Read a map file.

    Raises:
        MisuseError: see `read_toml`.
    """
    return read_toml(path, HistorianMap)
