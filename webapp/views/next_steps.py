"""What comes after a statement that somebody has just signed: who is next, and how soon."""

from __future__ import annotations

from flask_babel import gettext as _

from evidence.roles import CITY, PROVINCE, TECHNICIAN
from evidence.statement import Statement


def next_words(statement: Statement, *, has_gateway: bool) -> str:
    """Say what happens next; empty for what asks nothing of anybody."""
    payload = statement.payload
    if statement.kind == "ledger":
        return _("Next: enter what is still missing; then the month is declared.")
    if statement.kind == "declare":
        if payload["role"] == TECHNICIAN:
            return _("Next: the responsible person declares the same figures.")
        if has_gateway:
            return _(
                "Next: the gateway computes the month again and signs it at its next contact, usually within a minute."
            )
        return _("Next: the city reviews the month.")
    if statement.kind == "review":
        if payload["decision"] in ("return", "reject"):
            return _("Next: the plant corrects the month and declares it anew.")
        if payload["decision"] == "query":
            return _("Next: the on-site check; the month stays with you until you decide.")
        return {CITY: _("Next: the province reviews the month."), PROVINCE: _("The month is approved.")}.get(
            str(payload["level"]), ""
        )
    return ""
