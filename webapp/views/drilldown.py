"""From a channel's month down to one raw reading and its proof."""

from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, current_app, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import login_required
from sqlalchemy.orm import Session

from accounting.errors import PeriodError
from accounting.period import month_of
from evidence.encoding import parse_time
from evidence.errors import EvidenceError
from webapp import store_log
from webapp.center import current_center
from webapp.models import Plant
from webapp.remembered import Remembered
from webapp.views import raw_readings
from webapp.views.access import account, is_fragment, plant_of
from webapp.views.channel_hours import ChannelHour, days_of, hours_of, total_of
from webapp.views.declared_channel import commissioned_for, declared_in
from webapp.views.month_page import exists
from webapp.views.plan_names import channel_names

blueprint = Blueprint("drilldown", __name__)
ROOM = 40
"""Channel months a process remembers; one is about a megabyte."""


@blueprint.get("/plants/<plant>/months/<period>/channels/<path:channel>")
@login_required
def channel(plant: str, period: str, channel: str) -> ResponseReturnValue:
    """Show the days of a channel in a month, and the hours of the day that was chosen."""
    gw = request.args.get("gw")
    with current_center().database.reading() as db:
        row = plant_of(db, plant)
        zone = ZoneInfo(row.zone)
        hours = _hours(db, row, period, channel, gw)
        days = days_of(hours, zone)
        chosen = _day(request.args.get("day"))
        return render_template(
            "months/channel.html",
            **_common(db, row, period, channel, gw, hours),
            days=days,
            chosen=chosen,
            hours=next((day.hours for day in days if day.day == chosen), []),
            total=total_of(day.amount for day in days),
            total_hours=len(hours),
            total_n=sum(hour.n for hour in hours),
        )


@blueprint.get("/plants/<plant>/months/<period>/hours/<hour>/<path:channel>")
@login_required
def hour(plant: str, period: str, hour: str, channel: str) -> ResponseReturnValue:
    """Show what was signed of one hour, and its raw readings once they are here."""
    return _hour_page("months/hour.html", plant, period, hour, channel)


@blueprint.get("/plants/<plant>/months/<period>/readings/<hour>/<path:channel>")
@login_required
def readings(plant: str, period: str, hour: str, channel: str) -> ResponseReturnValue:
    """Show the raw readings alone: what htmx fetches while tiles are on their way."""
    return _hour_page("months/readings.html", plant, period, hour, channel)


@blueprint.post("/plants/<plant>/months/<period>/readings/<hour>/<path:channel>")
@login_required
def ask(plant: str, period: str, hour: str, channel: str) -> ResponseReturnValue:
    """Ask the gateway for the raw tiles of an hour."""
    center = current_center()
    with center.database.reading() as db:
        found = _one_hour(db, plant_of(db, plant), period, hour, channel)
    with center.database.writing() as db:
        raw_readings.ask(db, plant, found, account().name, center.now())
    if is_fragment():
        return _hour_page("months/readings.html", plant, period, hour, channel)
    gw = request.args.get("gw")
    return redirect(url_for("drilldown.hour", plant=plant, period=period, hour=hour, channel=channel, gw=gw), 303)


def _hour_page(template: str, plant: str, period: str, hour: str, channel: str) -> str:
    gw = request.args.get("gw")
    with current_center().database.reading() as db:
        row = plant_of(db, plant)
        found = _one_hour(db, row, period, hour, channel)
        return render_template(
            template,
            **_common(db, row, period, channel, gw, [found]),
            hour=found,
            local_day=found.start.astimezone(ZoneInfo(row.zone)).date(),
            **raw_readings.page(db, row, found, channel),
        )


def _hours(db: Session, plant: Plant, period: str, channel: str, gw: str | None) -> list[ChannelHour]:
    zone = ZoneInfo(plant.zone)
    try:
        month = month_of(period, zone)
    except PeriodError:
        abort(404)
    if not exists(db, plant, period, current_center().now()):
        abort(404)

    def read() -> list[ChannelHour]:
        entries = store_log.period_entries(db, plant.id, period, ["segment"])
        return [hour for hour in hours_of(entries, channel, gw, zone) if month.holds(hour.start)]

    # The hours follow from the segments logged of the month alone; reading a month's takes most of a second.
    newest = store_log.newest_index(db, plant.id, period, ["segment"])
    return _remembered().get((plant.id, period, channel, gw, newest), read)


def _remembered() -> Remembered[list[ChannelHour]]:
    found = current_app.extensions.setdefault("channel_hours", Remembered[list[ChannelHour]](ROOM))
    assert isinstance(found, Remembered)
    return found


def _one_hour(db: Session, plant: Plant, period: str, hour: str, channel: str) -> ChannelHour:
    try:
        start = parse_time(hour)
    except EvidenceError:
        abort(404)
    for found in _hours(db, plant, period, channel, request.args.get("gw")):
        if found.start == start:
            return found
    abort(404)


def _common(
    db: Session, plant: Plant, period: str, channel: str, gw: str | None, hours: list[ChannelHour]
) -> dict[str, Any]:
    found = declared_in(db, plant.id, channel, gw, hours)
    declared = found.data if found is not None else None
    kind = declared.get("kind") if declared else None
    return {
        "plant": plant,
        "period": period,
        "channel": channel,
        "gw": gw,
        "name": channel_names(db, plant).get(channel, channel),
        "declared": declared,
        "declared_sid": found.sid if found is not None else None,
        "commissioned": commissioned_for(db, plant.id, channel, gw, declared) if declared is not None else None,
        "unit": declared["unit"] if declared else "",
        "is_imported": declared is not None and declared["source"]["via"] == "import",
        "amount_name": {"total": _("Use"), "interval": _("Amount")}.get(str(kind), _("Sum of readings")),
    }


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None
