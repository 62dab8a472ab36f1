"""One statement with its receipt, files by digest, and the bundle of a month: what an inspector takes away."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import login_required
from sqlalchemy.orm import Session

from evidence.encoding import jcs
from evidence.note import parse_checkpoint
from evidence.statement import Statement, parse_envelope
from webapp import export, fork_files, month_files, store_contents, store_log, store_plants, store_users
from webapp.accounts import ADMIN
from webapp.center import current_center
from webapp.models import LogEntry
from webapp.views.access import account, plant_of
from webapp.views.bundle_names import bundle_name
from webapp.views.deadline import is_month
from webapp.views.language import period as period_words
from webapp.views.next_steps import next_words
from webapp.views.signer_names import signer_name
from webapp.views.wording import plant_name

blueprint = Blueprint("inspect", __name__)
DEFAULT_ZONE = "Asia/Shanghai"
SHOWN_INLINE = {"application/json", "image/jpeg", "image/png"}
"""Types that a browser shows and never runs; the others are given as downloads."""


@dataclass(frozen=True)
class Found:
    """A logged statement this person may read."""

    entry: LogEntry
    statement: Statement


@blueprint.get("/statements/<sid>")
@login_required
def statement(sid: str) -> ResponseReturnValue:
    """Show what a statement says, who signed it, and its receipt."""
    center = current_center()
    with center.database.reading() as db:
        found = _find(db, sid)
        plant = store_plants.find(db, found.statement.plant) if found.statement.plant else None
        receipt = center.log.receipt(db, found.entry.idx)
        crumbs, month = [(_("Plants"), url_for("plants.index"))], None
        if plant is not None:
            crumbs.append((plant_name(plant), url_for("plants.show", plant=plant.id)))
            period = _period(db, found.statement)
            if period is not None:
                month = url_for("months.show", plant=plant.id, period=period)
                crumbs.append((period_words(period), month))
        return render_template(
            "inspect/statement.html",
            statement=found.statement,
            canonical=jcs(dict(found.statement.payload)).decode("utf-8"),
            index=found.entry.idx,
            received=found.entry.received_at,
            signer=signer_name(db, found.statement.kid),
            receipt=None if receipt is None else receipt.to_text(),
            size=None if receipt is None else parse_checkpoint(receipt.checkpoint).size,
            zone=plant.zone if plant is not None else DEFAULT_ZONE,
            crumbs=crumbs,
            month=month,
            fresh="signed" in request.args,
            next_words=next_words(found.statement, has_gateway=month is not None and _has_gateway(db, found.statement)),
        )


@blueprint.get("/statements/<sid>.jws")
@login_required
def jws(sid: str) -> ResponseReturnValue:
    """Give the statement's bytes."""
    with current_center().database.reading() as db:
        return _file(_find(db, sid).entry.jws.encode("ascii"), "application/jose", f"{sid}.jws")


@blueprint.get("/statements/<sid>.tlog-proof")
@login_required
def receipt(sid: str) -> ResponseReturnValue:
    """Give the statement's receipt."""
    center = current_center()
    with center.database.reading() as db:
        found = center.log.receipt(db, _find(db, sid).entry.idx)
    if found is None:
        abort(404)
    return _file(found.to_text().encode("utf-8"), "text/plain; charset=utf-8", f"{sid}.tlog-proof")


@blueprint.get("/plants/<plant>/forks/<sid>.json")
@login_required
def fork(plant: str, sid: str) -> ResponseReturnValue:
    """Give the proof that a gateway signed two statements with one number."""
    with current_center().database.reading() as db:
        plant_of(db, plant)
        found = store_plants.find_fork(db, sid)
        if found is None or found.plant != plant:
            abort(404)
        file = fork_files.file_of(db, found)
    return _file(file.data, "application/json", file.name)


@blueprint.get("/plants/<plant>/content/<sha256>")
@login_required
def content(plant: str, sha256: str) -> ResponseReturnValue:
    """Give a file by its digest."""
    with current_center().database.reading() as db:
        plant_of(db, plant)
        row = store_contents.find(db, plant, sha256)
        if row is None:
            abort(404)
        subject = store_contents.subject(db, plant, sha256) or {}
        name = str(subject.get("name", sha256))
        return _file(row.data, row.type, name, inline=row.type in SHOWN_INLINE)


@blueprint.get("/plants/<plant>/months/<period>/bundle")
@login_required
def bundle(plant: str, period: str) -> ResponseReturnValue:
    """Give the bundle of a signed month, for checking without this site."""
    center = current_center()
    with center.database.reading() as db:
        plant_of(db, plant)
    if not is_month(period):
        abort(404)
    data = export.month_bundle(center, plant, period)
    if data is None:
        abort(404)
    with center.database.writing() as db:
        store_users.note_act(db, at=center.now(), actor=account().name, action="export", object_=period, plant=plant)
    return _file(data, "application/zip", bundle_name(plant, period))


def _find(db: Session, sid: str) -> Found:
    entry = store_log.by_sid(db, sid)
    if entry is None:
        abort(404)
    if entry.plant:
        plant_of(db, entry.plant)
    elif account().role != ADMIN and entry.kid != account().kid:
        abort(403)  # a reviewer's key statement is the business of that reviewer and the administrator
    # What was logged is shown, also by a form that would not be taken any more.
    return Found(entry, parse_envelope(entry.jws))


def _period(db: Session, statement: Statement) -> str | None:
    """The month a statement is about; a review names it through what it reviews."""
    period = statement.payload.get("period")
    if statement.kind == "review":
        row = store_log.by_sid(db, str(statement.payload["subject"]))
        period = None if row is None else parse_envelope(row.jws).payload.get("period")
    if statement.kind == "inspect":
        row = store_log.by_sid(db, statement.sid)
        period = next(iter(store_log.periods_of_entry(db, row)), None) if row is not None else None
    return period if isinstance(period, str) and is_month(period) else None


def _has_gateway(db: Session, statement: Statement) -> bool:
    return month_files.has_gateway(db, statement.plant)


def _file(data: bytes, type_: str, name: str, *, inline: bool = False) -> Response:
    response = Response(data, content_type=type_)
    response.headers.set("Content-Disposition", "inline" if inline else "attachment", filename=name)
    return response
