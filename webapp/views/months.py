"""The page of one month, its body as a file, and composing its draft."""

from __future__ import annotations

from flask import Blueprint, Response, abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_login import login_required
from sqlalchemy.orm import Session

from accounting.errors import PeriodError
from webapp import challenges, store_contents
from webapp.accounts import ADMIN, PLANT_ROLES
from webapp.center import current_center
from webapp.models import Plant
from webapp.stack_data import has_stack
from webapp.views import composing
from webapp.views.access import account, plant_of, requires
from webapp.views.bundle_names import bundle_name
from webapp.views.challenge_rows import challenge_part
from webapp.views.language import pick
from webapp.views.month_page import MonthView, body_of, exists, items_by_id, load, month_page

blueprint = Blueprint("months", __name__)


@blueprint.get("/plants/<plant>/months/<period>")
@login_required
def show(plant: str, period: str) -> ResponseReturnValue:
    """Show where a month stands, what it says, and how that came about."""
    center = current_center()
    challenges.fix_due(center, plant)
    with center.database.reading() as db:
        row = plant_of(db, plant)
        view = month_view(db, row, period)
        body, digest = body_of(db, view)
        return render_template(
            "months/show.html",
            plant=row,
            body=body,
            items_by_id=items_by_id(body),
            subject_names={
                result["subject"]: pick(result["name"]["zh"], result["name"]["en"])
                for result in (body or {}).get("results", [])
            },
            has_stack=has_stack(db, row, period)
            or any(one["kind"] == "derived" for one in (body or {}).get("channels", [])),
            page=month_page(db, view, account(), digest, bundle_name(plant, period)),
            **challenge_part(db, view),
        )


@blueprint.get("/plants/<plant>/months/<period>/body.json")
@login_required
def body(plant: str, period: str) -> ResponseReturnValue:
    """Give the bytes of the body."""
    with current_center().database.reading() as db:
        view = month_view(db, plant_of(db, plant), period)
        _, digest = body_of(db, view)
        data = store_contents.data(db, plant, digest) if digest else None
    if data is None:
        abort(404)
    return Response(data, content_type="application/json")


@blueprint.post("/plants/<plant>/months/<period>/draft")
@requires(*PLANT_ROLES, ADMIN)
def compose(plant: str, period: str) -> ResponseReturnValue:
    """Compose the draft anew from what is logged now."""
    with current_center().database.reading() as db:
        month_view(db, plant_of(db, plant), period)
    problem = composing.compose(current_center(), plant, period)
    if problem:
        flash(problem, "bad")
    return redirect(url_for("months.show", plant=plant, period=period), 303)


def month_view(db: Session, plant: Plant, period: str) -> MonthView:
    """Read a month; 404 for what is no month, has not begun, or was before the plant had any."""
    now = current_center().now()
    try:
        if not exists(db, plant, period, now):
            abort(404)
    except PeriodError:
        abort(404)
    return load(db, plant, period, now)
