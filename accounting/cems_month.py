"""A stack's month: CO2 hour by hour with method codes, substitution by rule set, and the cross-check with accounting.

    hours of the mass channel, this month and before ─▶ state ─▶ substitution ─▶ coded hours ─▶ totals, apart
                                                                              └▶ against the accounted tonnes (Q33)

What is measured, substituted and not operating is never mixed, and nothing of it enters the month's body. The months
before are the past that a rule looks back to; where they begin later, the past begins there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from accounting.cems_channels import figure_of
from accounting.cems_filling import Parts, Potentials, coded_hours, mean_of, parts_of
from accounting.cems_rules import CemsRules
from accounting.exact import half_up
from accounting.period import Month
from accounting.stack_hours import StackChannel
from accounting.substitution import (
    CodedHour,
    HourFigure,
    HourState,
    Totals,
    availability_of,
    long_gaps,
    totals,
)
from evidence.hours import HOUR, HourValue
from evidence.hours import HourState as Judged
from evidence.judge_finding import Finding, active, found
from evidence.judge_hours import quarter_completeness
from evidence.judge_rules import RuleSet, Severity
from evidence.marks import CalibrationRecord

PLACES = 3
"""Decimals of tonnes as they are shown."""
_MONTHS_OF_QUARTER = 3
LONGEST_QUARTER_H = 92 * 24
NO_POTENTIALS = Potentials()


@dataclass(frozen=True)
class CemsHour:
    """One hour of the month: what was judged of it, its code, and its tonnes (None where no rule gives any)."""

    value: HourValue
    figure: HourFigure
    coded: CodedHour
    signed_code: str

    @property
    def start(self) -> datetime:
        """When it begins."""
        return self.value.start

    @property
    def tonnes(self) -> Decimal | None:
        """Tonnes of CO2, rounded to be shown."""
        return None if self.coded.value is None else half_up(self.coded.value, PLACES)

    @property
    def is_substituted(self) -> bool:
        """Whether a rule gave the tonnes."""
        return self.figure.state is HourState.MISSING and self.coded.value is not None


@dataclass(frozen=True)
class CemsMonth:
    """The month of one mass channel."""

    channel: StackChannel
    rules: CemsRules
    hours: tuple[CemsHour, ...]
    totals: Totals
    availability: Fraction
    quarter: Finding | None
    notices: tuple[tuple[datetime, datetime], ...]

    @property
    def total(self) -> Fraction:
        """Measured and substituted tonnes together: what is compared with accounting, and nothing else."""
        return self.totals.measured + self.totals.substituted


@dataclass(frozen=True)
class Comparison:
    """CEMS beside accounting: both in tonnes of CO2, their difference as a share of the accounted."""

    cems: Decimal
    accounted: Decimal
    share: Decimal
    finding: Finding | None


def cems_month(
    channel: StackChannel,
    span: Month,
    month: Month,
    rules: CemsRules,
    *,
    until: datetime,
    calibrations: Sequence[CalibrationRecord] = (),
    potentials: Potentials = NO_POTENTIALS,
    channels: Sequence[StackChannel] = (),
) -> CemsMonth | None:
    """Judge, fill and add up the month of a mass channel; None where nothing of it is known.

    ``channel`` holds the entries of ``span``, which ends with ``month`` and begins as early as the rules look back.
    ``until`` cuts a month that still runs; ``calibrations`` are those of the channels it is computed from. ``channels``
    are all of the stack, for rule sets that fill concentration and flow.
    """
    first = min(channel.entries, default=None)
    if first is None or channel.rules is None or not channel.has_minutes or first >= month.end:
        return None
    known = replace(span, start=min(first, month.start), end=min(month.end, until))
    judged = channel.hours(known)
    figures = [_figure(hour, calibrations) for hour in judged]
    parts = parts_of(channel, channels)
    coded = coded_hours(
        judged,
        figures,
        rules,
        month.zone,
        parts=parts,
        hours_of=lambda one: [_controlled(hour, mean_of(hour), one, parts, calibrations) for hour in one.hours(known)],
        potentials=potentials,
    )
    hours = [
        CemsHour(value, figure, code, channel.entries[value.start].code if value.start in channel.entries else "")
        for value, figure, code in zip(judged, figures, coded, strict=True)
    ]
    mine = tuple(hour for hour in hours if month.holds(hour.start))
    if not mine:
        return None
    return CemsMonth(
        channel,
        rules,
        mine,
        totals([hour.coded for hour in mine], rules),
        availability_of(figures, len(figures) - 1, rules, month.zone),
        _quarter(judged, month, channel.rules),
        tuple(gap for gap in long_gaps(figures, rules) if gap[1] >= month.start),
    )


def look_back(month: Month, rules: CemsRules) -> datetime:
    """Return how early the past begins: the longest look-back and a quarter of it for hours not measured.

    Availability over a year is that of the hours at hand.
    """
    longest = max((band.look_back or 0 for band in rules.bands), default=0)
    return month.start - HOUR * max(longest + longest // 4, LONGEST_QUARTER_H)


def compared(month: CemsMonth, accounted: Decimal) -> Comparison:
    """Compare with the accounted tonnes of the same subject (Q33)."""
    cems = half_up(month.total, PLACES)
    share = half_up(abs(month.total - Fraction(accounted)) / Fraction(accounted), 4) if accounted else Decimal(1)
    rule = None if month.channel.rules is None else active(month.channel.rules, "Q33")
    finding = None
    if rule is not None and share > rule.limit("warn_share"):
        severity = Severity.ERROR if share > rule.limit("error_share") else Severity.WARNING
        finding = found(rule, f"{share * 100:f} % off", severity)
    return Comparison(cems, accounted, share, finding)


def out_of_control(hour: datetime, calibrations: Iterable[CalibrationRecord]) -> tuple[bool, datetime | None]:
    """Tell whether an hour lies between a failed check and the next passed one (失控), and the last passed before.

    Each channel is out of control for itself; one of them is enough.
    """
    by_channel: dict[str, list[CalibrationRecord]] = {}
    for record in calibrations:
        by_channel.setdefault(record.channel, []).append(record)
    for records in by_channel.values():
        passed: datetime | None = None
        failed: datetime | None = None
        for record in sorted(records, key=lambda one: (one.at, one.passed)):
            if record.at >= hour + HOUR:
                break
            if not record.passed:
                failed = failed or record.at
            elif record.at <= hour:
                passed, failed = record.at, None
        if failed is not None:
            return True, passed or failed
    return False, None


def _figure(hour: HourValue, calibrations: Sequence[CalibrationRecord]) -> HourFigure:
    return _out(hour, figure_of(hour), calibrations)


def _controlled(
    hour: HourValue,
    figure: HourFigure,
    channel: StackChannel,
    parts: Parts | None,
    calibrations: Sequence[CalibrationRecord],
) -> HourFigure:
    """Take out an hour of a part whose own checks failed: those of the CO2 channel, or for the flow all others."""
    is_co2 = parts is not None and channel is parts.co2
    name = parts.co2.channel.id if parts is not None else ""
    return _out(hour, figure, [one for one in calibrations if (one.channel == name) == is_co2])


def _out(hour: HourValue, figure: HourFigure, calibrations: Sequence[CalibrationRecord]) -> HourFigure:
    is_out, good = out_of_control(hour.start, calibrations)
    if is_out and hour.state is not Judged.NOT_OPERATING:
        return HourFigure(hour.start, HourState.MISSING, good_until=good)
    return figure


def _quarter(hours: Sequence[HourValue], month: Month, rules: RuleSet) -> Finding | None:
    """Q11 of the quarter, once its last month is there."""
    number = int(month.text[5:])
    if number % _MONTHS_OF_QUARTER:
        return None
    first = f"{month.text[:5]}{number - _MONTHS_OF_QUARTER + 1:02d}"
    mine = [hour.state for hour in hours if f"{hour.start.astimezone(month.zone):%Y-%m}" >= first]
    return quarter_completeness(mine, rules)


def by_day(hours: Iterable[CemsHour], month: Month) -> Mapping[str, list[CemsHour]]:
    """Group the hours by day of the plant's zone."""
    days: dict[str, list[CemsHour]] = {}
    for hour in hours:
        days.setdefault(f"{hour.start.astimezone(month.zone):%Y-%m-%d}", []).append(hour)
    return days
