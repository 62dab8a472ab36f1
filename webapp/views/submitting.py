"""Sends what a person signed in the browser to the log, and puts a refusal into words."""

from __future__ import annotations

from collections.abc import Mapping

from flask import redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext
from flask_babel.speaklater import LazyString

from evidence.code_words import CODE_WORDS
from evidence.errors import Code, EvidenceError
from evidence.statement import parse
from sync import ItemResult, Status
from webapp.center import current_center
from webapp.submission import submit_for
from webapp.views.access import account
from webapp.views.language import pick

ADVICE: Mapping[str, LazyString] = {
    "KEY_UNKNOWN": lazy_gettext("The key in this browser is not registered. Register it on the page “My signing key”."),
    "KEY_REVOKED": lazy_gettext("This key was revoked. Register a new one on the page “My signing key”."),
    "KEY_SUPERSEDED": lazy_gettext(
        "This key was replaced by a newer one. Use the newer one, or register this browser anew."
    ),
    "SIGNATURE": lazy_gettext("The signature does not fit the text. Load the page again and sign once more."),
    "TIME_FUTURE": lazy_gettext("The clock of this computer is ahead. Set it right and sign again."),
    "DECLARE_MISMATCH": lazy_gettext(
        "The figures have changed since this page was opened. Load the month again and check it anew."
    ),
    "QUALITY_OPEN": lazy_gettext(
        "Findings of severity E stand against this month. Remove their cause, or write the reason why it is right."
    ),
    "DECLARE_MISSING": lazy_gettext("The technician has not declared this revision yet."),
    "PERIOD_DUPLICATE": lazy_gettext("This revision of the month was submitted already."),
    "SUPERSEDE_FORK": lazy_gettext("There is a newer revision. Load the month again."),
    "NOT_APPROVED": lazy_gettext("The order of review does not allow this decision now. Load the month again."),
    "CONTENT_MISSING": lazy_gettext("A file of this month is missing. Upload it and try again."),
}
"""What the person at this page should do; every other code has its general words."""


def submit_page(jws: str, expected: Mapping[str, object]) -> ResponseReturnValue | str:
    """Log a statement that must say what the page showed; answer a redirect to its receipt, or the refusal in words."""
    try:
        payload = parse(jws).payload
    except EvidenceError as error:
        return refusal_text(error.code.value, error.detail)
    for name, value in expected.items():
        if payload.get(name) != value:
            return _("What was signed is not what this page showed (%(member)s). Load the page again.", member=name)
    result = submit_for(current_center(), account(), jws)
    if result.status in (Status.LOGGED, Status.WAITING):
        return redirect(url_for("inspect.statement", sid=result.sid, signed=1), 303)
    return refusal_words(result)


def refusal_words(result: ItemResult) -> str:
    """Say why a statement was not taken, and what to do."""
    return refusal_text(result.code or "", result.detail or "")


def refusal_text(code: str, detail: str) -> str:
    """Say what a code means for the person, with the code and its detail for the one who helps."""
    words = ADVICE.get(code) or (pick(*CODE_WORDS[Code(code)]) if code in CODE_WORDS else "")
    return f"{words} [{code}: {detail}]".lstrip()
