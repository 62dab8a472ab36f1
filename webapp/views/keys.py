"""The page "My signing key": what is registered for this person, and registering the key of this browser."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import login_required
from sqlalchemy.orm import Session

from webapp import enrolment, store_keys
from webapp.accounts import PLANT_ROLES
from webapp.center import current_center
from webapp.views.access import account
from webapp.views.submitting import refusal_words

blueprint = Blueprint("keys", __name__)


@dataclass(frozen=True)
class KeyState:
    """A person's registered key; `state` is active, pending or revoked."""

    kid: str
    state: str
    from_index: int | None

    @property
    def is_ready(self) -> bool:
        """Whether statements signed with it are taken now."""
        return self.state == "active"


def key_of(db: Session) -> KeyState | None:
    """Return the newest key of the person who is logged in."""
    return key_state_of(db, account().kid)


def key_state_of(db: Session, kid: str | None) -> KeyState | None:
    """Return how a person's newest key stands."""
    row = store_keys.find_row(db, kid) if kid else None
    if row is None:
        return None
    if row.until_index is not None:
        return KeyState(row.kid, "revoked", row.from_index)
    return KeyState(row.kid, "pending" if row.from_index is None else "active", row.from_index)


def key_plant() -> str:
    """Return the plant a key statement of this person names; reviewers' name none."""
    who = account()
    return who.plants[0] if who.role in PLANT_ROLES and who.plants else ""


@blueprint.get("/keys/mine")
@login_required
def mine() -> ResponseReturnValue:
    """Show the registered key and, by script, the key in this browser."""
    with current_center().database.reading() as db:
        ended = [row.kid for row in store_keys.of_owner(db, account().name) if row.until_index is not None]
        return render_template(
            "keys/mine.html",
            key=key_of(db),
            plant=key_plant(),
            may_enrol=account().enrolments_left > 0,
            ended=ended,
        )


@blueprint.post("/keys/nonce")
@login_required
def nonce() -> ResponseReturnValue:
    """Give a nonce to sign, good for ten minutes."""
    return jsonify(nonce=enrolment.give_nonce(current_center(), account().name))


@blueprint.post("/keys/mine")
@login_required
def enrol() -> ResponseReturnValue:
    """Register the key that signed this statement."""
    answer = enrolment.enrol_person(current_center(), account(), request.form.get("statement", ""))
    if answer is not None:
        flash(refusal_words(answer), "bad")
    else:
        flash(_("Your key is registered."), "good")
    return redirect(url_for("keys.mine"), 303)
