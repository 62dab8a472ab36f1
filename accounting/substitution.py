"""Missing hours of a stack measurement filled by rule, a method code on every hour, and the check of both.

    hours (measured, missing, not operating) ─▶ fill ─▶ coded hours ─▶ totals, measured and substituted apart
                                                          └─▶ check: code permitted (Q26), value recomputes (Q27)

Which rule applies follows from availability and length of the gap, and stands in the rule set (`cems_rules.py`).
Hours in which the plant did not run are neither missing nor filled. What the rule cannot fill stays without a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Context, Decimal
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

from accounting.cems_rules import Band, CemsRules, CodeName, Quantity
from accounting.errors import AccountingError
from accounting.exact import half_up

HOUR = timedelta(hours=1)
_ROOT = Context(prec=34)
"""Digits of a standard deviation: the only figure here that has no exact form."""


class HourState(StrEnum):
    """What is known of an hour before anything is filled."""

    MEASURED = "measured"
    MISSING = "missing"
    NOT_OPERATING = "not-operating"


class SeriesError(AccountingError):
    """The hours do not follow one another, or say two things at once."""


@dataclass(frozen=True)
class HourFigure:
    """One hour as measured.

    ``value`` is there for measured hours only. ``good_until`` is for a missing hour out of control (失控): the last
    good calibration, before which the look-back begins; otherwise it begins where the gap begins.
    """

    start: datetime
    state: HourState
    value: Fraction | None = None
    good_until: datetime | None = None

    def __post_init__(self) -> None:
        if (self.state is HourState.MEASURED) != (self.value is not None):
            raise SeriesError(
                f"hour {self.start.isoformat()}: a value belongs to a measured hour and only there",
                f"{self.start.isoformat()}：只有实测小时才有数值，且必须有",
            )
        if self.start.tzinfo is None:
            raise SeriesError("an hour has its time zone", "小时必须带时区")


@dataclass(frozen=True)
class CodedHour:
    """One hour with its method code; ``value`` is None where it does not operate or the rule gives none."""

    start: datetime
    code: str
    value: Fraction | None


@dataclass(frozen=True)
class Totals:
    """Sums of coded hours; what was substituted is never mixed with what was measured."""

    measured: Fraction
    substituted: Fraction
    hours_measured: int
    hours_substituted: int
    hours_unfilled: int
    hours_not_operating: int


@dataclass(frozen=True)
class Finding:
    """One hour that a check objects to."""

    rule: str
    start: datetime
    en: str
    zh: str


@dataclass(frozen=True)
class _Gap:
    """Missing hours in a row; hours out of operation between them neither count nor end it."""

    indices: tuple[int, ...]

    @property
    def first(self) -> int:
        return self.indices[0]

    @property
    def last(self) -> int:
        return self.indices[-1]


def fill(
    hours: Sequence[HourFigure],
    rules: CemsRules,
    quantity: Quantity,
    zone: tzinfo,
    *,
    potential: Decimal | None = None,
) -> list[CodedHour]:
    """Give every hour its code, and the missing ones the value that the rule set says.

    ``potential`` is the maximum potential value of the plan, where the rule set asks for one.

    Raises:
        SeriesError: hours are out of order or absent, or the rule set does not fill this quantity.
    """
    _check_series(hours)
    if quantity not in rules.substitutes:
        raise SeriesError(
            f"rule set {rules.id} fills {', '.join(rules.substitutes)}, not {quantity}",
            f"规则集 {rules.id} 只补 {', '.join(rules.substitutes)}，不补 {quantity}",
        )
    coded = [_uncovered(hour, rules) for hour in hours]
    for gap in _gaps(hours):
        before = _Past(hours, gap)
        availability = availability_of(hours, gap.first, rules, zone)
        for index in gap.indices:
            code, value = _filled(hours, index, gap, before, availability, rules, zone, potential)
            coded[index] = CodedHour(hours[index].start, code, value)
    return coded


def availability_of(hours: Sequence[HourFigure], index: int, rules: CemsRules, zone: tzinfo) -> Fraction:
    """Return the share of valid hours among operating ones that decides about the gap starting at ``index``.

    By quarter (季度有效数据捕集率) or year of the hour, over the hours at hand, or over the last operating hours
    before. Without any operating hour it is 1.
    """
    window = rules.availability
    if window.window == "hours":
        before = [hour for hour in hours[:index] if hour.state is not HourState.NOT_OPERATING]
        chosen = before[-(window.hours or 0) :]
    else:
        period = _period(hours[index].start, window.window, zone)
        chosen = [hour for hour in hours if _period(hour.start, window.window, zone) == period]
    return capture_rate(chosen)


def capture_rate(hours: Sequence[HourFigure]) -> Fraction:
    """Return (hours - invalid - stopped) / (hours - stopped); 1 where nothing operated."""
    operating = sum(1 for hour in hours if hour.state is not HourState.NOT_OPERATING)
    valid = sum(1 for hour in hours if hour.state is HourState.MEASURED)
    return Fraction(valid, operating) if operating else Fraction(1)


def totals(coded: Sequence[CodedHour], rules: CemsRules) -> Totals:
    """Add measured and substituted hours, each for itself."""
    codes = rules.codes
    measured = [hour for hour in coded if hour.code == codes.measured.code]
    stopped = sum(1 for hour in coded if hour.code == codes.not_operating.code)
    others = [hour for hour in coded if hour.code not in (codes.measured.code, codes.not_operating.code)]
    filled = [hour.value for hour in others if hour.value is not None]
    return Totals(
        measured=sum((hour.value for hour in measured if hour.value is not None), Fraction(0)),
        substituted=sum(filled, Fraction(0)),
        hours_measured=len(measured),
        hours_substituted=len(filled),
        hours_unfilled=len(others) - len(filled),
        hours_not_operating=stopped,
    )


def long_gaps(hours: Sequence[HourFigure], rules: CemsRules) -> list[tuple[datetime, datetime]]:
    """Return first and last hour of every gap that the rule set wants told to the authority."""
    if rules.notice_hours is None:
        return []
    return [
        (hours[gap.first].start, hours[gap.last].start) for gap in _gaps(hours) if len(gap.indices) > rules.notice_hours
    ]


def check(
    hours: Sequence[HourFigure],
    coded: Sequence[CodedHour],
    rules: CemsRules,
    quantity: Quantity,
    zone: tzinfo,
    *,
    potential: Decimal | None = None,
    places: int | None = None,
) -> list[Finding]:
    """Prove that every code was permitted in its hour (Q26) and that every value follows from it (Q27).

    ``places`` is the number of decimals that values were rounded to when they were written down.

    Raises:
        SeriesError: see `fill`.
    """
    expected = fill(hours, rules, quantity, zone, potential=potential)
    given = {hour.start: hour for hour in coded}
    known = {hour.start for hour in hours}
    found = [
        Finding("Q26", start, "an hour was coded that was not measured at all", "该小时没有任何记录，却有方法代码")
        for start in sorted(given.keys() - known)
    ]
    for right in expected:
        here = given.get(right.start)
        if here is None:
            found.append(
                Finding("Q26", right.start, f"no code; {right.code} is permitted", f"缺少代码，应为 {right.code}")
            )
        elif here.code != right.code:
            found.append(
                Finding(
                    "Q26",
                    right.start,
                    f"code {here.code} was not permitted; {right.code} was",
                    f"不允许使用代码 {here.code}，应为 {right.code}",
                )
            )
        elif not _same(here.value, right.value, places):
            found.append(
                Finding(
                    "Q27",
                    right.start,
                    f"code {here.code} gives {_shown(right.value)}, not {_shown(here.value)}",
                    f"按代码 {here.code} 应为 {_shown(right.value)}，而不是 {_shown(here.value)}",
                )
            )
    return found


class _Past:
    """Valid hours before a gap: what look-backs choose from."""

    def __init__(self, hours: Sequence[HourFigure], gap: _Gap) -> None:
        bound = hours[gap.first].good_until or hours[gap.first].start
        self.values = [hour.value for hour in hours[: gap.first] if hour.value is not None and hour.start < bound]

    def last(self, count: int) -> list[Fraction]:
        return self.values[-count:]


def _filled(
    hours: Sequence[HourFigure],
    index: int,
    gap: _Gap,
    before: _Past,
    availability: Fraction,
    rules: CemsRules,
    zone: tzinfo,
    potential: Decimal | None,
) -> tuple[str, Fraction | None]:
    if (
        rules.initial is not None
        and sum(1 for hour in hours[: gap.first] if hour.value is not None) < rules.initial.hours
    ):
        return _said(rules.initial.code, _neighbours(hours, gap), rules.codes.unfilled)
    band = rules.band(availability, len(gap.indices))
    value = _value(band, hours, index, gap, before, zone, potential)
    return _said(band.code, value, rules.codes.unfilled)


def _said(code: str, value: Fraction | None, unfilled: CodeName) -> tuple[str, Fraction | None]:
    return (code, value) if value is not None else (unfilled.code, None)


def _value(
    band: Band,
    hours: Sequence[HourFigure],
    index: int,
    gap: _Gap,
    before: _Past,
    zone: tzinfo,
    potential: Decimal | None,
) -> Fraction | None:
    if band.method == "maximum":
        return max(before.last(band.look_back or 0), default=None)
    if band.method == "neighbours":
        return _neighbours(hours, gap)
    if band.method == "percentile-or-neighbours":
        past, between = before.last(band.look_back or 0), _neighbours(hours, gap)
        if not past or between is None:
            return None
        return max(_percentile(past, Fraction(band.percentile or 0)), between)
    if band.method == "mean-and-deviation":
        year = _period(hours[index].start, "year", zone)
        values = [hour.value for hour in hours if hour.value is not None and _period(hour.start, "year", zone) == year]
        return _mean_and_deviation(values, Fraction(band.deviations or 0))
    if band.method == "potential":
        return None if potential is None else Fraction(potential)
    return None


def _neighbours(hours: Sequence[HourFigure], gap: _Gap) -> Fraction | None:
    """The mean of the last valid hour before and the first after; None while one of them is not there."""
    before = next((hour.value for hour in reversed(hours[: gap.first]) if hour.value is not None), None)
    after = next((hour.value for hour in hours[gap.last + 1 :] if hour.value is not None), None)
    return None if before is None or after is None else (before + after) / 2


def _percentile(values: Sequence[Fraction], share: Fraction) -> Fraction:
    """The value of nearest rank: the smallest that at least this share of all does not exceed."""
    ranked = sorted(values)
    rank = -(-share * len(ranked) // 1)
    return ranked[max(int(rank), 1) - 1]


def _mean_and_deviation(values: Sequence[Fraction], deviations: Fraction) -> Fraction | None:
    """Mean plus so many standard deviations, the latter estimated from the sample (n - 1)."""
    if len(values) < 2:
        return None
    mean = sum(values, Fraction(0)) / len(values)
    variance = sum(((value - mean) ** 2 for value in values), Fraction(0)) / (len(values) - 1)
    return mean + deviations * _root(variance)


def _root(value: Fraction) -> Fraction:
    return Fraction(_ROOT.sqrt(_ROOT.divide(Decimal(value.numerator), Decimal(value.denominator))))


def _uncovered(hour: HourFigure, rules: CemsRules) -> CodedHour:
    codes = {
        HourState.MEASURED: rules.codes.measured,
        HourState.NOT_OPERATING: rules.codes.not_operating,
        HourState.MISSING: rules.codes.unfilled,
    }
    return CodedHour(hour.start, codes[hour.state].code, hour.value)


def _gaps(hours: Sequence[HourFigure]) -> list[_Gap]:
    found: list[_Gap] = []
    run: list[int] = []
    for index, hour in enumerate(hours):
        if hour.state is HourState.MISSING:
            run.append(index)
        elif hour.state is HourState.MEASURED and run:
            found.append(_Gap(tuple(run)))
            run = []
    return [*found, _Gap(tuple(run))] if run else found


def _check_series(hours: Sequence[HourFigure]) -> None:
    for earlier, later in pairwise(hours):
        if later.start - earlier.start != HOUR:
            raise SeriesError(
                f"after {_hour(earlier)} comes {_hour(later)}; say of every hour that it is missing or not operating",
                f"{_hour(earlier)} 之后是 {_hour(later)}；每个小时都应写明缺失或停运",
            )


def _hour(hour: HourFigure) -> str:
    return hour.start.astimezone(UTC).isoformat()


def _period(start: datetime, window: str, zone: tzinfo) -> tuple[int, int]:
    local = start.astimezone(zone)
    return (local.year, (local.month - 1) // 3 if window == "quarter" else 0)


def _same(given: Fraction | None, right: Fraction | None, places: int | None) -> bool:
    if given is None or right is None or places is None:
        return given == right
    return half_up(given, places) == half_up(right, places)


def _shown(value: Fraction | None) -> str:
    return "no value" if value is None else str(half_up(value, 6).normalize())
