"""The offline verifier page, given as a file: it is opened from a disk, not from this site."""

from __future__ import annotations

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from webapp.verifier_build import PAGE

blueprint = Blueprint("offline_verifier", __name__)
NAME = "cunzheng-verifier.html"


@blueprint.get("/verifier.html")
def page() -> ResponseReturnValue:
    """Give the page to anyone; this site's policy would not let it run here, its own lets it reach no site."""
    response = Response(PAGE.read_bytes(), content_type="text/html; charset=utf-8")
    response.headers.set("Content-Disposition", "attachment", filename=NAME)
    return response
