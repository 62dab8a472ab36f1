"""The field's words for where a month stands."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Flask
from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString

STATES: Mapping[str, tuple[LazyString, str]] = {
    "open": (_("collecting data"), ""),
    "ended": (_("month is over, to be declared"), "now"),
    "draft": (_("draft, to be declared"), "now"),
    "declared_technician": (_("waits for the responsible person"), "now"),
    "declared": (_("waits for the gateway’s signature"), "now"),
    "signed": (_("waits for city review"), "now"),
    "approved_city": (_("waits for province review"), "now"),
    "approved_province": (_("approved"), "good"),
    "returned": (_("returned for correction"), "bad"),
    "rejected": (_("rejected; to be declared anew"), "bad"),
}
"""Words and kind of tag for each status of `month_rules.STATUSES`, and for a month without any, running or over."""

TURNS: Mapping[str, LazyString] = {
    "open": _("technician"),
    "ended": _("technician"),
    "draft": _("technician"),
    "declared_technician": _("responsible person"),
    "declared": _("gateway"),
    "signed": _("city reviewer"),
    "approved_city": _("province reviewer"),
    "returned": _("technician"),
    "rejected": _("technician"),
}

SETTLED = ("approved_province",)


def prepare(app: Flask) -> None:
    """Give the templates the words."""
    app.jinja_env.filters.update(
        month_state=lambda status: str(STATES[status][0]) if status in STATES else status,
        month_kind=lambda status: STATES[status][1] if status in STATES else "",
    )


def is_settled(status: str) -> bool:
    """Tell whether nobody has to do anything any more."""
    return status in SETTLED


def turn_of(status: str) -> str:
    """Say whose turn it is."""
    return str(TURNS.get(status, "–"))
