"""The reviewers' queue and their decisions, signed in the browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from evidence.roles import REVIEW_LEVELS
from webapp import reports, store_months
from webapp.accounts import REVIEW_ROLES
from webapp.center import current_center
from webapp.models import Plant
from webapp.month_rules import STATUSES
from webapp.views import verifying
from webapp.views.access import account, plant_of, requires
from webapp.views.deadline import due_day, due_words, is_month
from webapp.views.menu import can_fetch_parts
from webapp.views.month_page import MonthView, body_of, items_by_id, review_level
from webapp.views.month_words import is_settled, turn_of
from webapp.views.months import month_view
from webapp.views.signing_box import signing_box
from webapp.views.slices import Slice
from webapp.views.submitting import submit_page

blueprint = Blueprint("review", __name__)
MINE: Mapping[str, tuple[str, ...]] = {
    "city": ("signed",),
    "province": ("approved_city",),
    "nation": ("approved_province",),
}
NEEDS_NOTE = ("return", "query", "reject")


@dataclass(frozen=True)
class QueueRow:
    """One month of the queue."""

    plant: Plant
    period: str
    status: str
    mine: bool
    turn: str
    due: datetime
    due_words: str
    due_kind: str


@blueprint.get("/review")
@requires(*REVIEW_ROLES)
def queue() -> ResponseReturnValue:
    """List the months of this person's region: to do, settled, all; my turn and nearest deadline first."""
    center = current_center()
    with center.database.reading() as db:
        found = store_months.queue(db, account().region, STATUSES)
    rows = [_row(plant, state.period, state.status, center.now()) for plant, state in found if is_month(state.period)]
    rows.sort(key=lambda row: (not row.mine, is_settled(row.status), row.due, row.plant.id))
    groups = {
        "todo": [row for row in rows if row.mine],
        "open": [row for row in rows if not is_settled(row.status)],
        "all": rows,
    }
    show = request.args.get("show", "todo" if groups["todo"] else "all")
    names = {"todo": _("To do"), "open": _("In progress"), "all": _("All")}
    tabs = [(key, names[key], len(group)) for key, group in groups.items()]
    shown = Slice.of(groups.get(show, rows), request.args.get("page", 1, type=int))
    return render_template("review/queue.html", rows=shown.rows, slice=shown, tabs=tabs, show=show)


@blueprint.route("/plants/<plant>/months/<period>/review", methods=["GET", "POST"])
@requires(*REVIEW_ROLES)
def decide(plant: str, period: str) -> ResponseReturnValue:
    """Show the verifier's findings and the figures; take the signed decision."""
    center = current_center()
    with center.database.reading() as db:
        view = month_view(db, plant_of(db, plant), period)
    if review_level(view, account()) is None or view.submitted is None:
        flash(_("There is nothing for you to decide in this month now."), "warn")
        return redirect(url_for("months.show", plant=plant, period=period), 303)
    refused = None
    if request.method == "POST":
        if request.form.get("decision") in NEEDS_NOTE and not request.form.get("note", "").strip():
            refused = _("Write a note: what must be corrected or checked, and until when.")
        else:
            _keep_report(view, request.form.get("verified", ""))
            answer = submit_page(request.form.get("statement", ""), _expected(view))
            if not isinstance(answer, str):
                return answer
            refused = answer
    report = None
    if refused or "now" in request.args or not can_fetch_parts() or verifying.is_at_hand(center, plant, period):
        report = verifying.month_report(center, plant, period, _secret())
    with center.database.reading() as db:
        return _page(db, view, report, refused), 422 if refused else 200


def _secret() -> str | bytes:
    secret = current_app.secret_key
    assert secret is not None  # the factory sets it
    return secret


def _keep_report(view: MonthView, sealed: str) -> None:
    """Keep the report that the reviewer saw, so that the log takes a decision that names it."""
    data = reports.unseal(_secret(), view.plant.id, view.period, sealed)
    if data is None:
        return  # the log will refuse the decision, because nobody knows its report
    center = current_center()
    with center.database.writing() as db:
        reports.keep(db, view.plant.id, view.period, data, center.now())


def _row(plant: Plant, period: str, status: str, now: datetime) -> QueueRow:
    due = due_day(period, plant.zone)
    words, kind = due_words(due, now, is_settled=is_settled(status))
    return QueueRow(plant, period, status, status in MINE[account().role], turn_of(status), due, words, kind)


def _expected(view: MonthView) -> dict[str, Any]:
    """Return what a decision must say whatever is decided."""
    assert view.submitted is not None
    standing = view.file.standing(view.submitted.sid)
    level = account().role
    lower = [standing[name].sid for name in REVIEW_LEVELS[: REVIEW_LEVELS.index(level)] if name in standing]
    return {
        "v": 1,
        "kind": "review",
        "plant": view.plant.id,
        "level": level,
        "subject": view.submitted.sid,
        "after": lower[-1] if lower else view.submitted.sid,
    }


def _page(db: Session, view: MonthView, report: verifying.MonthReport | None, refused: str | None) -> str:
    """Show the page; without a report yet it says so, fetches it and then lets the person decide."""
    log = current_center().log
    checkpoint, origin = log.newest_shown(db), log.origin
    anchor = None if checkpoint is None else {"origin": origin, "size": checkpoint.size, "root": checkpoint.root}
    payload = {**_expected(view), "decision": "", "report": "", "note": "", "anchor": anchor}
    if report is not None:
        payload["report"] = report.sha256
    body, _digest = body_of(db, view)
    return render_template(
        "review/decide.html",
        plant=view.plant,
        period=view.period,
        report=report,
        body=body,
        items_by_id=items_by_id(body),
        **signing_box(db, payload, refused),
    )
