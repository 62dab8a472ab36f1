"""Entering a value from the plant's ledgers: form, check, signature in the browser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, abort, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs

from evidence.errors import EvidenceError
from evidence.statement import parse
from webapp import store_contents
from webapp.accounts import PLANT_ROLES
from webapp.center import current_center
from webapp.forms import LedgerForm
from webapp.models import Plant
from webapp.views import attachments
from webapp.views.access import plant_of, requires
from webapp.views.attachments import AttachmentError
from webapp.views.language import period as period_words
from webapp.views.language import pick
from webapp.views.month_page import known_months
from webapp.views.plan_names import plan_of
from webapp.views.signing_box import signing_box
from webapp.views.submitting import submit_page

blueprint = Blueprint("ledger", __name__)


@dataclass(frozen=True)
class LedgerItem:
    """A value the control plan asks for: parameter, accounting subject, unit."""

    name: str
    param: str
    subject: str | None
    unit: str

    @property
    def key(self) -> str:
        """What the form's choice carries."""
        return f"{self.param}|{self.subject or ''}"


@blueprint.route("/plants/<plant>/ledger", methods=["GET", "POST"])
@requires(*PLANT_ROLES)
def entry(plant: str) -> ResponseReturnValue:
    """Take a value; when it can be one, show exactly what will be signed."""
    center = current_center()
    with center.database.reading() as db:
        row = plant_of(db, plant)
        items = _items(db, row)
        months = known_months(db, row, center.now())
    # Most values are of the month that has just ended.
    form = LedgerForm(period=request.args.get("period") or months[min(1, len(months) - 1)])
    form.period.choices = [SelectChoice(month, period_words(month)) for month in months]
    form.param.choices = [SelectChoice(item.key, f"{item.name} ({item.unit})") for item in items]
    if request.method != "POST":
        return _form(row, form), 200
    if not form.validate():
        return _form(row, form), 422
    try:
        subjects = _keep_attachment(plant, form)
    except AttachmentError as error:
        form.attachment.errors = [str(error)]
        return _form(row, form), 422
    item = next(item for item in items if item.key == form.param.data)
    payload: dict[str, Any] = {
        "v": 1,
        "kind": "ledger",
        "plant": plant,
        "param": item.param,
        "period": form.period.data,
        "value": form.value.data,
        "unit": item.unit,
        "mode": form.mode.data,
        "source": (form.source.data or "").strip(),
        "subjects": subjects,
    }
    if item.subject is not None:
        payload["subject"] = item.subject
    with center.database.reading() as db:
        return _signing(db, row, item.name, payload, None), 200


@blueprint.post("/plants/<plant>/ledger/signed")
@requires(*PLANT_ROLES)
def sign(plant: str) -> ResponseReturnValue:
    """Take the signed value; it must be one of the plan's, in the plan's unit."""
    with current_center().database.reading() as db:
        row = plant_of(db, plant)
        items = _items(db, row)
    jws = request.form.get("statement", "")
    try:
        payload = dict(parse(jws).payload)
    except EvidenceError as error:
        abort(400, error.detail)
    item = next(
        (item for item in items if (item.param, item.subject) == (payload.get("param"), payload.get("subject"))), None
    )
    if item is None:
        abort(400)
    answer = submit_page(jws, {"kind": "ledger", "plant": plant, "unit": item.unit})
    if not isinstance(answer, str):
        return answer
    payload.pop("t", None)
    with current_center().database.reading() as db:
        return _signing(db, row, item.name, payload, answer), 422


def _items(db: Session, plant: Plant) -> list[LedgerItem]:
    """List what the control plan takes from ledgers."""
    plan = plan_of(db, plant)
    items = [] if plan is None else plan.items
    return [
        LedgerItem(pick(item.name.zh, item.name.en), item.source.ledger, item.source.subject, item.unit)
        for item in items
        if item.source.ledger is not None
    ]


def _keep_attachment(plant: str, form: LedgerForm) -> list[dict[str, object]]:
    upload = form.attachment.data
    if not upload or not upload.filename:
        return []
    center = current_center()
    accepted = attachments.accept(upload.filename, upload.read(attachments.MAX_BYTES + 1))
    with center.database.writing() as db:
        sha256 = store_contents.add(db, plant, accepted.name, accepted.type, accepted.data, center.now())
    return [{"name": accepted.name, "size": len(accepted.data), "sha256": sha256, "type": accepted.type}]


def _form(plant: Plant, form: LedgerForm) -> str:
    return render_template("ledger/entry.html", plant=plant, form=form, max_mb=attachments.MAX_BYTES // 2**20)


def _signing(db: Session, plant: Plant, name: str, payload: Mapping[str, Any], refused: str | None) -> str:
    return render_template(
        "ledger/sign.html",
        plant=plant,
        item_name=name,
        **signing_box(db, payload, refused),
    )
