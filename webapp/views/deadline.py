"""When a month's evidence is due, and how near that is: in words, with a colour that only repeats them."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from flask_babel import ngettext

from accounting.errors import PeriodError
from accounting.period import month_of

DAYS_AFTER_MONTH = 40
"""Calendar days after the end of the month (work plan for the expansion of the carbon market)."""
SOON = timedelta(days=7)


def is_month(period: str) -> bool:
    """Tell whether evidence can be of a month; the log may hold others, from before years were limited."""
    try:
        month_of(period, ZoneInfo("UTC"))
    except PeriodError:
        return False
    return True


def due_day(period: str, zone: str) -> datetime:
    """Return the moment after which a month is overdue, in the plant's legal time."""
    tz = ZoneInfo(zone)
    return month_of(period, tz).end.astimezone(tz) + timedelta(days=DAYS_AFTER_MONTH) - timedelta(seconds=1)


def due_words(due: datetime, now: datetime, *, is_settled: bool) -> tuple[str, str]:
    """Return how near the deadline is, and the kind of its tag."""
    if is_settled:
        return _("settled"), "good"
    left = due - now
    if left < timedelta(0):
        days = -(left // timedelta(days=1))
        return ngettext("overdue by %(num)d day", "overdue by %(num)d days", int(days)), "bad"
    days = left // timedelta(days=1)
    return ngettext("%(num)d day left", "%(num)d days left", int(days)), "warn" if left < SOON else "good"
