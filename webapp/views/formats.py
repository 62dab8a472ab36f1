"""Template filters for what is neither a word nor a time of day: shares, sizes, JSON, verdicts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask
from flask_babel import gettext, lazy_gettext
from flask_babel.speaklater import LazyString
from markupsafe import Markup, escape

from evidence.encoding import jcs, parse_time, time_text

_ = lazy_gettext
VERDICTS: Mapping[str, tuple[LazyString, str]] = {
    "VALID": (_("consistent"), "good"),
    "VALID_WITH_WARNINGS": (_("consistent, with remarks"), "warn"),
    "INDETERMINATE": (_("cannot be decided"), "warn"),
    "INVALID": (_("not consistent"), "bad"),
}
COUNTS: Mapping[str, LazyString] = {
    "statements": _("Statements checked"),
    "receipts": _("Receipts checked"),
    "segments": _("Segments checked"),
    "contents": _("Files checked"),
    "content": _("Files checked"),
    "months": _("Months checked"),
    "reviews": _("Reviews checked"),
    "declares": _("Declarations checked"),
    "readings": _("Readings checked"),
    "hours": _("Hours computed again from all their readings"),
    "tiles": _("Raw tiles checked"),
}
PAYLOAD_ORDER = (
    "kind",
    "plant",
    "role",
    "level",
    "period",
    "day",
    "rev",
    "param",
    "value",
    "unit",
    "mode",
    "source",
    "subject",
    "decision",
    "note",
    "subjects",
    "findings",
    "challenge",
    "after",
    "report",
    "anchor",
)
"""Members in the order in which people read them; others follow, `v` last."""


def prepare(app: Flask) -> None:
    """Give the templates these filters."""
    app.jinja_env.filters.update(
        percent=percent,
        bytes=byte_size,
        json_text=lambda value: jcs(value).decode("utf-8"),
        payload_order=payload_order,
        time_text=time_text,
        parsed=parse_time,
        breakable=breakable,
        clock_seconds=clock_seconds,
        verdict_name=lambda verdict: str(VERDICTS[str(verdict)][0]) if str(verdict) in VERDICTS else str(verdict),
        verdict_kind=lambda verdict: VERDICTS[str(verdict)][1] if str(verdict) in VERDICTS else "",
        count_name=lambda name: str(COUNTS.get(name, name)),
    )


def percent(text: str | None) -> str:
    """Write a share `0.9931` as `99.31%`; nothing is rounded."""
    if text is None:
        return gettext("none")
    share = Decimal(text) * 100
    return f"{share.normalize():f}%" if share else "0%"


def byte_size(size: int) -> str:
    """Write a size in a unit that suits it."""
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} kB" if size < 1024 * 1024 else f"{size / 1024 / 1024:.1f} MB"


def payload_order(payload: Mapping[str, Any]) -> list[str]:
    """Return a payload's members in reading order."""
    known = [name for name in PAYLOAD_ORDER if name in payload]
    return [*known, *sorted(set(payload) - set(known) - {"v"}), *(["v"] if "v" in payload else [])]


def breakable(text: str) -> Markup:
    """Let a long raw text break after its colons and equal signs."""
    return Markup(re.sub("([:=])", r"\1<wbr>", str(escape(text))))  # escaped before it is marked


def clock_seconds(time: datetime | str, zone: str) -> Markup:
    """Write the time of day to the second."""
    moment = parse_time(time) if isinstance(time, str) else time
    local = moment.astimezone(ZoneInfo(zone))
    return Markup(f'<time datetime="{escape(moment.isoformat())}">{local:%m-%d %H:%M:%S}</time>')
