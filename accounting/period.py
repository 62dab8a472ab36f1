"""A month in a plant's legal time zone: its limits, hours and days. Half open, UTC inside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from accounting.errors import PeriodError
from evidence.encoding import FIRST_YEAR, LAST_YEAR
from evidence.segment import HOUR

_PERIOD = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])\Z", re.ASCII)


@dataclass(frozen=True)
class Month:
    """One month: `start` belongs to it, `end` does not."""

    text: str
    zone: ZoneInfo
    start: datetime
    end: datetime

    @property
    def hours(self) -> int:
        """How many hours it has, a changed clock included."""
        return int((self.end - self.start) / HOUR)

    @property
    def year(self) -> str:
        """The year, as the yearly factors are listed."""
        return self.text[:4]

    def days(self) -> list[str]:
        """Return its days as `YYYY-MM-DD`."""
        first = date.fromisoformat(f"{self.text}-01")
        return [
            day.isoformat() for n in range(31) if (day := first + timedelta(days=n)).isoformat().startswith(self.text)
        ]

    def holds(self, moment: datetime) -> bool:
        """Tell whether a moment lies in the month."""
        return self.start <= moment < self.end

    def missing_spans(self, covered: set[datetime]) -> list[tuple[datetime, datetime]]:
        """Return the runs of hours of the month that are not covered."""
        spans: list[tuple[datetime, datetime]] = []
        hour = self.start
        while hour < self.end:
            if hour not in covered:
                if spans and spans[-1][1] == hour:
                    spans[-1] = (spans[-1][0], hour + HOUR)
                else:
                    spans.append((hour, hour + HOUR))
            hour += HOUR
        return spans


def month_of(period: str, zone: ZoneInfo) -> Month:
    """Return the month of a period text.

    Raises:
        PeriodError: not `YYYY-MM`, or of a year that no evidence can be of.
    """
    match = _PERIOD.match(period)
    if match is None or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        raise PeriodError(
            f"{period!r} is no month; write YYYY-MM, from {FIRST_YEAR} to {LAST_YEAR}",
            f"“{period}”不是月份，请写成 YYYY-MM，年份在 {FIRST_YEAR} 至 {LAST_YEAR} 之间",
        )
    year, month = int(match[1]), int(match[2])
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    start = datetime(year, month, 1, tzinfo=zone).astimezone(UTC)
    end = datetime(*following, 1, tzinfo=zone).astimezone(UTC)
    return Month(period, zone, start, end)
