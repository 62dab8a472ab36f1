"""Collects from the log what a month's page of a stack stands on: segments, declarations, marks, calibrations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from accounting.cover import Covered
from accounting.period import Month, month_of
from accounting.stack_checks import StackFinding, fuel_hours, stack_findings
from accounting.stack_hours import StackChannel, stack_channels
from evidence.marks import CalibrationRecord
from evidence.statement import Statement, parse_envelope
from webapp import store_log
from webapp.models import LogEntry, Plant

MASS_CASE = "co2-mass"


@dataclass(frozen=True)
class StackData:
    """The stack channels of a month with the hours before it, and what the checks found in the month."""

    month: Month
    span: Month
    channels: tuple[StackChannel, ...]
    findings: tuple[StackFinding, ...]
    calibrations: tuple[CalibrationRecord, ...]

    @property
    def masses(self) -> list[StackChannel]:
        """The channels that hold tonnes of CO2 an hour."""
        return [one for one in self.channels if one.channel.derived and one.channel.derived.rule == MASS_CASE]

    def parts_of(self, channel: StackChannel) -> list[StackChannel]:
        """Return the channels that a derived one is computed from, in the order of their names."""
        names = set(channel.channel.derived.inputs.values()) if channel.channel.derived is not None else set()
        return [one for one in self.channels if one.gw == channel.gw and one.channel.id in names]


def stack_data(
    db: Session, plant: Plant, month: Month, begin: datetime, fuels: dict[str, frozenset[str]], now: datetime
) -> StackData:
    """Read a month and the time before it from `begin` on.

    `fuels` are the channels of each subject's fuels; hours after `now` have not been and are not judged.
    """
    span = replace(month, start=min(begin, month.start))
    segments = {row.sid: row for period in _periods(span) for row in _segments(db, plant.id, period)}
    covered = Covered((), tuple(_ordered(segments.values())))
    events = [parse_envelope(row.jws) for row in store_log.plant_entries(db, plant.id, kinds=["event"])]
    channels = tuple(stack_channels(covered, events, span))
    mine = [replace(one, entries={at: said for at, said in one.entries.items() if month.holds(at)}) for one in channels]
    moved = fuel_hours(covered, month, fuels)
    findings = stack_findings([one for one in mine if one.entries], month, moved, until=now)
    return StackData(month, span, channels, tuple(findings), tuple(_calibrations(events)))


def has_stack(db: Session, plant: Plant, period: str) -> bool:
    """Tell whether the month's newest segment speaks of a stack."""
    row = store_log.newest_of_period(db, plant.id, period, "segment")
    return row is not None and any("minutes" in entry for entry in parse_envelope(row.jws).payload["ch"])


def _segments(db: Session, plant: str, period: str) -> list[LogEntry]:
    return store_log.period_entries(db, plant, period, ["segment"])


def _ordered(rows: Iterable[LogEntry]) -> list[Statement]:
    statements = [parse_envelope(row.jws) for row in rows]
    return sorted(statements, key=lambda one: (one.payload["gw"], one.payload["epoch"], one.payload["seq"]))


def _calibrations(events: list[Statement]) -> Iterator[CalibrationRecord]:
    for event in events:
        payload = event.payload
        if payload["type"] == "calibration" and payload["data"].get("record") == "calibration":
            yield CalibrationRecord.from_event(payload["data"])


def _periods(span: Month) -> list[str]:
    """List the months a span touches, oldest first."""
    found: list[str] = []
    zone: ZoneInfo = span.zone
    at = span.start
    while at < span.end:
        period = f"{at.astimezone(zone):%Y-%m}"
        found.append(period)
        at = max(month_of(period, zone).end, at + timedelta(hours=1))
    return found
