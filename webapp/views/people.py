"""The administrator's page of people: who there is, how their keys stand, allowing a new key, ending one.

Adding people and passwords stay on the command line; a lost key must not need it.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from webapp import administration, store_users
from webapp.accounts import ADMIN, Account
from webapp.center import current_center
from webapp.errors import CenterError
from webapp.views.access import account, requires
from webapp.views.keys import KeyState, key_state_of
from webapp.views.language import pick
from webapp.views.slices import Slice

blueprint = Blueprint("people", __name__)


@dataclass(frozen=True)
class PersonRow:
    """One person of the list."""

    person: Account
    name: str
    key: KeyState | None

    @property
    def may_enrol(self) -> bool:
        """Whether the person may register a key now."""
        return self.person.enrolments_left > 0


@blueprint.get("/people")
@requires(ADMIN)
def index() -> ResponseReturnValue:
    """List the people with their keys; a page at a time."""
    with current_center().database.reading() as db:
        shown = Slice.of(store_users.list_all(db), request.args.get("page", 1, type=int))
        rows = [_row(db, person) for person in shown.rows]
    return render_template("people/list.html", rows=rows, slice=shown, reasons=administration.REVOCATION_REASONS)


@blueprint.post("/people/<name>/key/allow")
@requires(ADMIN)
def allow(name: str) -> ResponseReturnValue:
    """Let a person register one more key; twice is once."""
    center = current_center()
    if _person(name).enrolments_left < 1:
        administration.allow_key(center, name, actor=account().name)
    flash(_("%(name)s may register a new key now, on the page “My signing key”.", name=name), "good")
    return redirect(url_for("people.index"), 303)


@blueprint.post("/people/<name>/key/revoke")
@requires(ADMIN)
def revoke(name: str) -> ResponseReturnValue:
    """End a person's key; what it signed before stays valid."""
    kid, reason = request.form.get("kid", ""), request.form.get("reason", "")
    if not kid or kid != _person(name).kid or reason not in administration.REVOCATION_REASONS:
        abort(400)
    try:
        administration.revoke_key(current_center(), kid, reason, actor=account().name)
    except CenterError as error:
        flash(pick(error.zh, error.en), "bad")
    else:
        flash(_("The key of %(name)s has ended. What it signed before stays valid.", name=name), "good")
    return redirect(url_for("people.index"), 303)


def _row(db: Session, person: Account) -> PersonRow:
    return PersonRow(person, pick(person.name_zh, person.name_en), key_state_of(db, person.kid))


def _person(name: str) -> Account:
    with current_center().database.reading() as db:
        found = store_users.find(db, name)
    if found is None:
        abort(404)
    return found
