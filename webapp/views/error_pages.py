"""Error pages in words, in the reader's language. The API and the log answer for themselves."""

from __future__ import annotations

from flask import Flask, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

PROGRAMS = ("/api/", "/log/", "/trust.json", "/trust/", "/metrics")
"""Paths that programs read; they get no HTML."""


def prepare(app: Flask) -> None:
    """Answer every HTTP error of a page with a page."""
    app.register_error_handler(CSRFError, _csrf_page)
    app.register_error_handler(HTTPException, _page)


def _page(error: HTTPException) -> ResponseReturnValue:
    if request.path.startswith(PROGRAMS) or error.code is None or error.code < 400:
        return error
    title, words = _words(error.code)
    return render_template("error.html", title=title, words=words, detail=None), error.code


def _csrf_page(error: CSRFError) -> ResponseReturnValue:
    if request.path.startswith(PROGRAMS):
        return error
    words = _(
        "The page was open too long or was sent from elsewhere. Go back, load it again and repeat; nothing was changed."
    )
    return render_template("error.html", title=_("The form has expired"), words=words, detail=None), 419


def _words(code: int) -> tuple[str, str]:
    if code == 403:
        return _("Not yours to see"), _(
            "Your role does not allow this page. If it should, ask the administrator of your authority."
        )
    if code == 404:
        return _("Not found"), _(
            "There is nothing at this address. Perhaps it was typed wrong, or the item does not exist yet."
        )
    if code == 405:
        return _("Not done this way"), _("This address is for a form. Go back and use the button on the page.")
    if code == 413:
        return _("Too large"), _("The file or form is larger than this site takes.")
    if code == 429:
        return _("Too many attempts"), _("Wait a minute and try again.")
    if code >= 500:
        return _("Something broke here"), _(
            "The error was noted. What you signed and sent before is safe. Try again in a moment."
        )
    return _("Not accepted"), _("The request was not understood (%(code)s). Go back and try again.", code=code)
