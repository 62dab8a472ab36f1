"""Declaring a month: the technician first, then the responsible person; signed in the browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from evidence.blocking import blocking_issues
from evidence.roles import RESPONSIBLE, TECHNICIAN
from webapp.accounts import PLANT_ROLES
from webapp.center import current_center
from webapp.views import composing
from webapp.views.access import account, plant_of, requires
from webapp.views.blocking_words import advice_of
from webapp.views.month_page import MonthView, body_of, items_by_id
from webapp.views.months import month_view
from webapp.views.signing_box import signing_box
from webapp.views.submitting import submit_page

blueprint = Blueprint("signing", __name__)


@blueprint.route("/plants/<plant>/months/<period>/declare", methods=["GET", "POST"])
@requires(*PLANT_ROLES)
def declare(plant: str, period: str) -> ResponseReturnValue:
    """Show exactly what is declared; take the signed declaration."""
    center = current_center()
    here = url_for("months.show", plant=plant, period=period)
    if request.method == "GET" and account().role == TECHNICIAN:
        # The technician signs the newest draft: what was captured since the last one is taken in.
        with center.database.reading() as db:
            view = month_view(db, plant_of(db, plant), period)
        problem = composing.compose(center, plant, period) if _is_open(view) else ""
        if problem:
            flash(problem, "bad")
            return redirect(here, 303)
    with center.database.reading() as db:
        view = month_view(db, plant_of(db, plant), period)
        payload = _payload(view)
    if payload is None:
        flash(_("There is nothing for you to declare in this month now."), "warn")
        return redirect(here, 303)
    refused = None
    if request.method == "POST":
        answer = submit_page(request.form.get("statement", ""), payload)
        if not isinstance(answer, str):
            return answer
        refused = answer
    with center.database.reading() as db:
        return _page(db, view, payload, refused), 422 if refused else 200


def _is_open(view: MonthView) -> bool:
    return view.has_ended and view.status in ("open", "draft", "returned", "rejected")


def _payload(view: MonthView) -> dict[str, Any] | None:
    """Return what this person would sign now, without the time; None when it is not their turn."""
    rev = view.next_rev
    subjects: list[Any]
    after = None
    if account().role == TECHNICIAN:
        if not _is_open(view) or view.draft is None or view.draft.rev != rev:
            return None
        subjects = view.draft.subjects
    else:
        before = view.declared(TECHNICIAN, rev)
        if before is None or view.declared(RESPONSIBLE, rev) is not None:
            return None
        subjects, after = before.payload["subjects"], before.sid
    return {
        "v": 1,
        "kind": "declare",
        "plant": view.plant.id,
        "role": account().role,
        "period": view.period,
        "rev": rev,
        "subjects": subjects,
        "after": after,
    }


def _page(db: Session, view: MonthView, payload: Mapping[str, Any], refused: str | None) -> str:
    body, _digest = body_of(db, view)
    before = view.declared(TECHNICIAN, view.next_rev)
    return render_template(
        "signing/declare.html",
        plant=view.plant,
        period=view.period,
        body=body,
        items_by_id=items_by_id(body),
        blocking=[(issue, advice_of(issue)) for issue in blocking_issues(body or {})],
        reason=before.payload.get("reason", "") if payload["role"] != TECHNICIAN and before is not None else "",
        **signing_box(db, payload, refused),
    )
