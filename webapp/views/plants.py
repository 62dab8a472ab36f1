"""The plants a person may see, and the page of one plant with its live values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user, login_required
from sqlalchemy.orm import Session

from webapp import store_log, store_months, store_plants, store_readings
from webapp.accounts import PLANT_ROLES
from webapp.center import current_center
from webapp.models import Plant
from webapp.views.access import account, plant_of, plants_of
from webapp.views.deadline import due_day, is_month
from webapp.views.live_history import ChannelHistory, histories
from webapp.views.live_units import shown_unit, shown_value
from webapp.views.month_page import month_end
from webapp.views.plan_names import channel_names
from webapp.views.slices import Slice

blueprint = Blueprint("plants", __name__)
OLD_AFTER = timedelta(minutes=30)
"""A live value older than this is marked: the gateway or the meter may be silent."""
SILENT_AFTER = timedelta(hours=2)
"""A gateway that was not heard for this long is marked: segments are hourly."""


@dataclass(frozen=True)
class GatewayRow:
    """How a gateway is doing."""

    id: str
    state_name: str
    state_kind: str
    last_seen_at: datetime | None
    sid: str
    seq: int
    tree_end: int


@dataclass(frozen=True)
class MonthRow:
    """One month of the list."""

    period: str
    status: str
    rev: int
    due: datetime


@dataclass(frozen=True)
class PlantRow:
    """One plant of the list."""

    plant: Plant
    gateways: list[GatewayRow]
    month: MonthRow | None


@dataclass(frozen=True)
class LiveChannel:
    """The newest live value of a channel."""

    id: str
    name: str
    value: Decimal | None
    unit: str
    flag: str
    time: datetime
    age: timedelta
    is_old: bool


@blueprint.get("/")
def home() -> ResponseReturnValue:
    """Go where this person's work is."""
    if not current_user.is_authenticated:
        return redirect(url_for("auth.login"))
    if account().is_reviewer:
        return redirect(url_for("review.queue"))
    if account().role in PLANT_ROLES and len(account().plants) == 1:
        return redirect(url_for("plants.show", plant=account().plants[0]))
    return redirect(url_for("plants.index"))


@blueprint.get("/plants")
@login_required
def index() -> ResponseReturnValue:
    """List the plants of this person, with gateways and newest month; a page at a time."""
    center = current_center()
    wanted = request.args.get("q", "").strip()
    with center.database.reading() as db:
        found = [plant for plant in plants_of(db) if _matches(plant, wanted)]
        shown = Slice.of(found, request.args.get("page", 1, type=int))
        rows = [
            PlantRow(plant, _gateways(db, plant, center.now()), next(iter(_months(db, plant, center.now())), None))
            for plant in shown.rows
        ]
    return render_template("plants/list.html", rows=rows, slice=shown, wanted=wanted)


def _matches(plant: Plant, wanted: str) -> bool:
    texts = (plant.id, plant.name_zh, plant.name_en, plant.region)
    return any(wanted.casefold() in text.casefold() for text in texts)


@blueprint.get("/plants/<plant>")
@login_required
def show(plant: str) -> ResponseReturnValue:
    """Show one plant: months, gateways, live values."""
    center = current_center()
    with center.database.reading() as db:
        row = plant_of(db, plant)
        return render_template(
            "plants/show.html",
            plant=row,
            months=_months(db, row, center.now()),
            gateways=_gateways(db, row, center.now()),
            channels=_live(db, row, center.now()),
            series=_histories(db, row, center.now()),
            checkpoint=center.log.newest_shown(db),
            forks=store_plants.forks(db, row.id),
            may_enter=account().role in PLANT_ROLES,
        )


@blueprint.get("/plants/<plant>/live")
@login_required
def live(plant: str) -> ResponseReturnValue:
    """Show the live values alone: what htmx fetches again and again."""
    center = current_center()
    with center.database.reading() as db:
        row = plant_of(db, plant)
        return render_template("plants/live.html", plant=row, channels=_live(db, row, center.now()))


@blueprint.get("/plants/<plant>/history")
@login_required
def history(plant: str) -> ResponseReturnValue:
    """Show the last 24 hours alone: what htmx fetches now and then."""
    center = current_center()
    with center.database.reading() as db:
        row = plant_of(db, plant)
        return render_template("plants/history.html", plant=row, series=_histories(db, row, center.now()))


def _months(db: Session, plant: Plant, now: datetime) -> list[MonthRow]:
    def undeclared(period: str) -> str:
        return "ended" if month_end(period, plant.zone) <= now else "open"

    states = store_months.states(db, plant.id)
    periods = sorted({*store_log.periods_of(db, plant.id), *states}, reverse=True)
    return [
        MonthRow(
            period,
            states[period].status if period in states else undeclared(period),
            states[period].rev if period in states else 1,
            due_day(period, plant.zone),
        )
        for period in periods
        if is_month(period)
    ]


def _gateways(db: Session, plant: Plant, now: datetime) -> list[GatewayRow]:
    heads = {head.gw: head for head in store_plants.chains(db, plant.id)}  # newest epoch wins
    rows = []
    for gateway in store_plants.gateways(db, plant.id):
        head = heads.get(gateway.id)
        if gateway.kid is None:
            state = _("not enrolled"), "warn"
        elif gateway.last_seen_at is None or now - gateway.last_seen_at > SILENT_AFTER:
            state = _("silent"), "bad"
        else:
            state = _("in contact"), "good"
        rows.append(
            GatewayRow(
                gateway.id,
                *state,
                gateway.last_seen_at,
                head.sid if head else "",
                head.seq if head else 0,
                head.tree_end if head else 0,
            )
        )
    return rows


def _live(db: Session, plant: Plant, now: datetime) -> list[LiveChannel]:
    names = channel_names(db, plant)
    return [
        LiveChannel(
            id=sample.channel,
            name=names.get(sample.channel, sample.channel),
            value=None if sample.value is None else shown_value(Decimal(sample.value), sample.unit),
            unit=shown_unit(sample.unit),
            flag=sample.flag,
            time=sample.time,
            age=now - sample.time,
            is_old=now - sample.time > OLD_AFTER,
        )
        for sample in store_readings.latest(db, plant.id)
    ]


def _histories(db: Session, plant: Plant, now: datetime) -> list[ChannelHistory]:
    return histories(db, plant, store_readings.latest(db, plant.id), channel_names(db, plant), now)
