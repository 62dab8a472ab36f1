"""Retention challenges on the page of a month, and the inspector's record, signed in the browser."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import login_required
from sqlalchemy.orm import Session

from webapp import challenges, store_log, store_users
from webapp.accounts import CHALLENGE_ROLES, INSPECTOR
from webapp.center import current_center
from webapp.challenges import Standing
from webapp.views.access import account, is_fragment, plant_of, requires
from webapp.views.challenge_rows import challenge_part, challenge_row
from webapp.views.month_page import MonthView, body_of, items_by_id
from webapp.views.months import month_view
from webapp.views.signing_box import signing_box
from webapp.views.submitting import submit_page

blueprint = Blueprint("challenges", __name__)


@blueprint.get("/plants/<plant>/months/<period>/challenges")
@login_required
def show(plant: str, period: str) -> ResponseReturnValue:
    """Show the challenges of a month alone: what htmx fetches while one is open."""
    challenges.fix_due(current_center(), plant)
    with current_center().database.reading() as db:
        view = month_view(db, plant_of(db, plant), period)
        return render_template("months/challenges.html", plant=view.plant, period=period, **challenge_part(db, view))


@blueprint.post("/plants/<plant>/months/<period>/challenges")
@requires(*CHALLENGE_ROLES)
def ask(plant: str, period: str) -> ResponseReturnValue:
    """Challenge a signed month."""
    center = current_center()
    settings, now = center.settings.challenge, center.now()
    with center.database.writing() as db:
        view = month_view(db, plant_of(db, plant), period)
        submitted = view.submitted
        why = (
            "none"
            if submitted is None
            else challenges.why_not(db, view.plant, period, submitted.statement, now, settings.days)
        )
        if submitted is not None and not why:
            challenges.ask(db, plant, period, submitted.sid, settings, account().name, now)
            store_users.note_act(db, at=now, actor=account().name, action="challenge", object_=period, plant=plant)
    if why:
        flash(_refusal(why), "warn")
    elif is_fragment():
        return show(plant, period)
    return redirect(url_for("months.show", plant=plant, period=period), 303)


@blueprint.route("/plants/<plant>/months/<period>/inspect", methods=["GET", "POST"])
@requires(INSPECTOR)
def inspect(plant: str, period: str) -> ResponseReturnValue:
    """Take what an inspector found, with the result of the newest challenge that no statement tells yet."""
    center = current_center()
    with center.database.reading() as db:
        view = month_view(db, plant_of(db, plant), period)
        if view.submitted is None:
            flash(_("This month has not been submitted; there is nothing to inspect yet."), "warn")
            return redirect(url_for("months.show", plant=plant, period=period), 303)
        standing = _untold(db, view)
        expected = _expected(view, standing)
    refused = None
    if request.method == "POST":
        answer = submit_page(request.form.get("statement", ""), expected)
        if not isinstance(answer, str):
            return answer
        refused = answer
    with center.database.reading() as db:
        checkpoint = store_log.last_checkpoint(db)
        anchor = None
        if checkpoint is not None:
            anchor = {"origin": center.log.origin, "size": checkpoint.size, "root": checkpoint.root}
        body, _digest = body_of(db, view)
        page = render_template(
            "inspect/record.html",
            plant=view.plant,
            period=period,
            body=body,
            items_by_id=items_by_id(body),
            told=None if standing is None else challenge_row(db, standing),
            shown={**expected, "anchor": anchor},
            is_open=any(not one.is_finished for one in challenges.standings(db, plant, period, view.now)),
            **signing_box(db, {**expected, "findings": [], "anchor": anchor}, refused),
        )
    return page, 422 if refused else 200


def _untold(db: Session, view: MonthView) -> Standing | None:
    found = challenges.standings(db, view.plant.id, view.period, view.now)
    return next((one for one in reversed(found) if one.is_finished and not one.sid), None)


def _expected(view: MonthView, standing: Standing | None) -> dict[str, Any]:
    """Return what the record must say whatever was found."""
    assert view.submitted is not None
    subjects = [view.submitted.sid]
    said: dict[str, Any] = {"v": 1, "kind": "inspect", "plant": view.plant.id, "subjects": subjects}
    if standing is not None:
        said["challenge"] = challenges.stated(standing)
        # A challenge is of the revision that was asked for, which may have been superseded since.
        said["subjects"] = list(dict.fromkeys([standing.row.month, *subjects]))
    return said


def _refusal(why: str) -> str:
    return {
        "none": _("This month has no raw readings that could be asked for."),
        "open": _("A challenge of this month is running; its result comes first."),
        "old": _("The raw readings of this month are older than the gateway must keep them."),
    }[why]
