"""The stack (CEMS) in a month: hours with flags and method codes, what was substituted, and what the checks found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import login_required
from markupsafe import Markup
from sqlalchemy.orm import Session

from accounting.cems_filling import STROKE, Potentials
from accounting.cems_month import CemsHour, CemsMonth, Comparison, by_day, cems_month, compared, look_back
from accounting.cems_rules import DEFAULT, CemsRules, packaged_rules, rules_named
from accounting.errors import PeriodError
from accounting.exact import down, half_up
from accounting.period import Month, month_of
from accounting.plan import Plan
from accounting.stack_checks import StackFinding
from accounting.stack_hours import StackChannel
from evidence.encoding import parse_decimal
from evidence.hours import HourState
from webapp.center import current_center
from webapp.charts import Point, line_chart
from webapp.models import Plant
from webapp.stack_data import StackData, stack_data
from webapp.views.access import plant_of
from webapp.views.cems_words import HOUR_STATES, finding_words, rule_name
from webapp.views.language import pick
from webapp.views.month_page import body_of
from webapp.views.months import month_view
from webapp.views.plan_names import plan_of

blueprint = Blueprint("cems", __name__)
TONNES = 3
"""Decimals of tonnes."""
MEANS = 4
"""Decimals of the means of an hour."""


@dataclass(frozen=True)
class DayRow:
    """One day: tonnes measured and substituted, and how many hours of each kind."""

    day: str
    measured: Decimal
    substituted: Decimal
    hours: Mapping[str, int]
    findings: int


@dataclass(frozen=True)
class HourRow:
    """One hour of the chosen day."""

    hour: CemsHour
    state: str
    kind: str
    method: str
    signed: str
    means: list[tuple[str, Decimal | None]]
    findings: list[str]


@dataclass(frozen=True)
class RuleRow:
    """What one rule found in a month, of one channel."""

    rule: str
    name: str
    severity: str
    where: str
    count: int
    first: list[tuple[datetime, str]]


@blueprint.get("/plants/<plant>/months/<period>/cems")
@login_required
def show(plant: str, period: str) -> ResponseReturnValue:
    """Show a stack's month, and the hours of the day that was chosen."""
    center = current_center()
    with center.database.reading() as db:
        row = plant_of(db, plant)
        plan, month = plan_of(db, row), _month(row, period)
        rules, potentials = _rules(plan)
        fuels = plan.fuel_channels if plan is not None else {}
        data = stack_data(db, row, month, look_back(month, rules), fuels, center.now())
        channel = _chosen(data)
        found = None
        if channel is not None:
            names = {one.channel.id for one in data.parts_of(channel)} | {channel.channel.id}
            calibrations = [one for one in data.calibrations if one.channel in names]
            found = cems_month(
                channel,
                data.span,
                month,
                rules,
                until=center.now(),
                calibrations=calibrations,
                potentials=potentials,
                channels=data.channels,
            )
        days = by_day(found.hours, month) if found is not None else {}
        day = request.args.get("day", "")
        chosen = day if day in days else next(iter(days), "")
        return render_template(
            "months/cems.html",
            plant=row,
            period=period,
            data=data,
            channel=channel,
            found=found,
            rules=rules,
            rules_name=pick(rules.name.zh, rules.name.en),
            days=[_day(text, hours, data, month) for text, hours in days.items()],
            chosen=chosen,
            parts=data.parts_of(channel) if channel is not None else [],
            hours=[_hour(one, data, found) for one in days.get(chosen, [])] if found is not None else [],
            findings=_by_rule(data.findings, data),
            quarter=None if found is None or found.quarter is None else finding_words(found.quarter),
            comparison=_comparison(db, row, period, found),
            chart=_chart(found, month) if found is not None else None,
            capture=None if found is None else f"{down(found.availability, 4):f}",
            tonnes=_tonnes,
        )


def _month(plant: Plant, period: str) -> Month:
    try:
        return month_of(period, ZoneInfo(plant.zone))
    except PeriodError:
        abort(404)


def _rules(plan: Plan | None) -> tuple[CemsRules, Potentials]:
    said = None if plan is None else plan.cems
    if said is None:
        return rules_named(DEFAULT), Potentials()
    return rules_named(said.rules), Potentials(said.potential, said.potential_co2, said.potential_flow)


def _chosen(data: StackData) -> StackChannel | None:
    wanted = request.args.get("channel", "")
    masses = data.masses
    return next((one for one in masses if one.channel.id == wanted), masses[0] if masses else None)


def _tonnes(value: Fraction) -> Decimal:
    return half_up(value, TONNES)


def _day(day: str, hours: Sequence[CemsHour], data: StackData, month: Month) -> DayRow:
    counts = {"measured": 0, "substituted": 0, "unfilled": 0, "stopped": 0}
    for hour in hours:
        counts[_kind(hour)] += 1
    measured = sum((hour.coded.value or Fraction(0) for hour in hours if _kind(hour) == "measured"), Fraction(0))
    filled = sum((hour.coded.value or Fraction(0) for hour in hours if _kind(hour) == "substituted"), Fraction(0))
    findings = sum(1 for one in data.findings if f"{one.start.astimezone(month.zone):%Y-%m-%d}" == day)
    return DayRow(day, _tonnes(measured), _tonnes(filled), counts, findings)


def _kind(hour: CemsHour) -> str:
    if hour.value.state is HourState.NOT_OPERATING:
        return "stopped"
    if hour.is_substituted:
        return "substituted"
    return "unfilled" if hour.coded.value is None else "measured"


def _hour(hour: CemsHour, data: StackData, found: CemsMonth) -> HourRow:
    means: list[tuple[str, Decimal | None]] = []
    for part in data.parts_of(found.channel):
        said = part.entries.get(hour.start)
        mean = None if said is None else said.mean
        means.append((part.channel.id, None if mean is None else half_up(mean, MEANS)))
    kind = _kind(hour)
    words = [
        f"{one.finding.rule} {finding_words(one.finding)} ({one.where})"
        for one in data.findings
        if one.start == hour.start
    ]
    colour = {"measured": "good", "substituted": "warn", "unfilled": "bad", "stopped": ""}[kind]
    return HourRow(
        hour,
        str(HOUR_STATES[kind]),
        colour,
        _method(hour.coded.code, found.rules),
        _signed(hour, kind, found),
        means,
        words,
    )


def _signed(hour: CemsHour, kind: str, found: CemsMonth) -> str:
    """Return the code the gateway signed, where it says something else of the hour than what is known now."""
    said = found.channel.channel.derived
    if not hour.signed_code or said is None or said.rules["id"] not in packaged_rules():
        return hour.signed_code
    codes = rules_named(said.rules["id"]).codes
    meanings = {codes.measured.code: "measured", codes.not_operating.code: "stopped", codes.unfilled.code: "missing"}
    now = "missing" if kind in ("substituted", "unfilled") else kind
    return "" if meanings.get(hour.signed_code) == now else hour.signed_code


def _method(code: str, rules: CemsRules) -> str:
    """Say in words what a method code stands for."""
    codes = rules.codes
    names = {one.code: one.name for one in (codes.measured, codes.not_operating, codes.unfilled)}
    names |= {band.code: band.name for band in rules.bands}
    if rules.initial is not None:
        names[rules.initial.code] = rules.initial.name
    known = [names[one] for one in code.split(STROKE) if one in names]
    return _("; ").join(pick(one.zh, one.en) for one in known)


def _by_rule(findings: Iterable[StackFinding], data: StackData) -> list[RuleRow]:
    groups: dict[tuple[str, str, str], list[StackFinding]] = {}
    for one in findings:
        groups.setdefault((one.finding.rule, one.finding.severity.value, one.where), []).append(one)
    sets = {one.where: one.rules for one in data.channels}
    return [
        RuleRow(
            rule,
            rule_name(sets[where], rule),
            severity,
            where,
            len(group),
            [(one.start, finding_words(one.finding)) for one in sorted(group, key=lambda one: one.start)[:10]],
        )
        for (rule, severity, where), group in sorted(groups.items())
    ]


def _comparison(db: Session, plant: Plant, period: str, found: CemsMonth | None) -> Comparison | None:
    """Put CEMS beside the accounted tonnes of the same subject, where the month has them all."""
    if found is None:
        return None
    body, _digest = body_of(db, month_view(db, plant, period))
    result = next((one for one in _results(body) if one["subject"] == found.channel.channel.subject), None)
    if result is None or result.get("missing"):
        return None
    return compared(found, parse_decimal(result["total"]))


def _results(body: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    return list((body or {}).get("results", ()))


def _chart(found: CemsMonth, month: Month) -> Markup:
    points = [
        Point(time=hour.start, value=hour.tonnes, accepted=not hour.is_substituted)
        for hour in found.hours
        if hour.tonnes is not None
    ]
    label = _("%(name)s in t/h, hour by hour; the same values stand in the tables below", name=found.channel.channel.id)
    return line_chart(points, start=month.start, end=month.end, zone=month.zone, label=label)
