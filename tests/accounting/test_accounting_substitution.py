"""Missing hours: which code, which value, by three rule sets; and a checker that is not fooled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from accounting.cems_rules import CemsRules, rules_named
from accounting.substitution import (
    CodedHour,
    HourFigure,
    HourState,
    SeriesError,
    availability_of,
    capture_rate,
    check,
    fill,
    long_gaps,
    totals,
)

ZONE = ZoneInfo("Asia/Shanghai")
START = datetime(2025, 12, 31, 16, tzinfo=UTC)
"""The first hour of 2026 in Shanghai."""
CN, US, EU = (rules_named(name) for name in ("cn-hj75", "us-part75", "eu-mrr"))
MISSING, STOPPED = "missing", "stopped"


def series(*parts: object) -> list[HourFigure]:
    """Hours from numbers, MISSING, STOPPED or (one of these, how often)."""
    hours: list[HourFigure] = []
    for part in parts:
        what, times = part if isinstance(part, tuple) else (part, 1)
        for _ in range(times):
            start = START + timedelta(hours=len(hours))
            if what == MISSING:
                hours.append(HourFigure(start, HourState.MISSING))
            elif what == STOPPED:
                hours.append(HourFigure(start, HourState.NOT_OPERATING))
            else:
                hours.append(HourFigure(start, HourState.MEASURED, Fraction(str(what))))
    return hours


def codes(
    hours: list[HourFigure], rules: CemsRules, quantity: str, **more: Decimal
) -> list[tuple[str, Fraction | None]]:
    coded = fill(hours, rules, quantity, ZONE, **more)  # type: ignore[arg-type]
    return [(hour.code, hour.value) for hour in coded]


def test_measured_and_stopped_hours_keep_what_they_are() -> None:
    assert codes(series(5, STOPPED, 7), CN, "mass") == [("CN-M", 5), ("CN-F", None), ("CN-M", 7)]


@pytest.mark.parametrize(
    ("parts", "code", "value"),
    [
        ([(9, 100), (5, 200), (MISSING, 24), (5, 300)], "CN-180", 5),
        ([(9, 100), (5, 200), (MISSING, 25), (5, 300)], "CN-720", 9),
        ([(9, 100), (5, 100), (MISSING, 50), (5, 100)], "CN-2160", 9),
        ([(9, 100), (5, 100), (MISSING, 100), (5, 90)], "CN-X", None),
        # Hours out of operation neither count for the rate nor end the gap.
        ([(9, 100), (5, 200), (STOPPED, 900), (MISSING, 12), (STOPPED, 9), (MISSING, 12), (5, 200)], "CN-180", 5),
        ([(9, 100), (5, 200), (MISSING, 13), (STOPPED, 9), (MISSING, 12), (5, 300)], "CN-720", 9),
    ],
)
def test_national_rule_chooses_by_capture_rate_and_length(parts: list[object], code: str, value: int | None) -> None:
    hours = series(*parts)
    filled = [one for one, hour in zip(codes(hours, CN, "mass"), hours, strict=True) if hour.state is HourState.MISSING]
    assert set(filled) == {(code, value)}


def test_look_back_of_an_hour_out_of_control_begins_at_the_last_good_calibration() -> None:
    hours = series((5, 100), (9, 20), (MISSING, 4), (5, 100))
    assert codes(hours, CN, "mass")[120] == ("CN-180", 9)
    good = START + timedelta(hours=100)
    controlled = [replace(hour, good_until=good) if hour.state is HourState.MISSING else hour for hour in hours]
    assert codes(controlled, CN, "mass")[120] == ("CN-180", 5)


def test_only_mass_is_filled_under_the_national_rule() -> None:
    with pytest.raises(SeriesError, match="fills mass, not concentration"):
        fill(series(1), CN, "concentration", ZONE)


def test_quarter_is_one_of_the_plants_zone() -> None:
    """The first quarter of Shanghai has 2160 hours; the hour after them belongs to the second."""
    hours = series((5, 2159), MISSING, (MISSING, 3), 5)
    assert availability_of(hours, 2159, CN, ZONE) == Fraction(2159, 2160)
    assert availability_of(hours, 2160, CN, ZONE) == Fraction(1, 4)
    assert capture_rate(series((STOPPED, 5))) == 1


@pytest.mark.parametrize(
    ("parts", "code", "value"),
    [
        ([(4, 719), MISSING, 6], "07", 5),
        ([(4, 1000), (MISSING, 24), 6], "06", 5),
        ([(4, 281), (8, 600), (3, 120), (MISSING, 25), 5], "08", 8),
        ([(4, 950), (MISSING, 30), 50], "08", 27),
        ([(4, 300), (MISSING, 60), (4, 500), (MISSING, 8), 6], "06", 5),
        ([(4, 300), (MISSING, 60), (4, 500), (MISSING, 9), 6], "09", 5),
        ([(9, 80), (4, 220), (MISSING, 120), (4, 500), MISSING, 6], "10", 4),
        ([(9, 300), (MISSING, 120), (4, 500), MISSING, 6], "10", 9),
        ([(4, 500), (MISSING, 300), (4, 500), MISSING, 6], "12", 25),
    ],
)
def test_american_rule_chooses_by_availability_and_length(parts: list[object], code: str, value: int) -> None:
    hours = series(*parts)
    last = max(index for index, hour in enumerate(hours) if hour.state is HourState.MISSING)
    assert codes(hours, US, "concentration", potential=Decimal(25))[last] == (code, value)


def test_neighbour_that_is_not_there_yet_leaves_the_hour_open() -> None:
    assert codes(series((4, 1000), MISSING), US, "flow")[-1] == ("XX", None)
    assert codes(series((4, 500), (MISSING, 300), (4, 500), MISSING, 6), US, "flow")[-2] == ("XX", None)


def test_european_rule_is_mean_and_two_deviations_of_the_year() -> None:
    hours = series(2, 4, 4, 4, 5, 5, 7, MISSING, 9)
    code, value = codes(hours, EU, "concentration")[7]
    assert code == "EU-45"
    assert value is not None
    # Mean 5, sample deviation sqrt(32/7).
    assert abs(value - Fraction("9.2761798705987903")) < Fraction(1, 10**15)
    assert codes(series(2, MISSING), EU, "flow")[1] == ("EU-X", None)


def test_long_gap_is_told_to_the_authority_where_the_rule_set_says_so() -> None:
    assert long_gaps(series(1, (MISSING, 120), 1), EU) == []
    hours = series(1, (MISSING, 121), 1)
    assert long_gaps(hours, EU) == [(hours[1].start, hours[121].start)]
    assert long_gaps(hours, CN) == []


def test_substituted_hours_are_totalled_apart() -> None:
    hours = series((5, 100), (MISSING, 3), (STOPPED, 7), (2, 50))
    found = totals(fill(hours, CN, "mass", ZONE), CN)
    assert (found.measured, found.substituted) == (600, 15)
    assert (found.hours_measured, found.hours_substituted, found.hours_unfilled, found.hours_not_operating) == (
        150,
        3,
        0,
        7,
    )
    assert totals(fill(series(5, (MISSING, 3)), CN, "mass", ZONE), CN).hours_unfilled == 3


HOURS = series((5, 100), (MISSING, 3), STOPPED, (6, 50))


def changed(index: int, **members: object) -> Callable[[list[CodedHour]], list[CodedHour]]:
    def change(coded: list[CodedHour]) -> list[CodedHour]:
        return [replace(one, **members) if at == index else one for at, one in enumerate(coded)]  # type: ignore[arg-type]

    return change


@pytest.mark.parametrize(
    ("change", "rules_fired"),
    [
        (lambda coded: coded, []),
        (changed(101, code="CN-720"), ["Q26"]),
        (changed(101, code="CN-M"), ["Q26"]),
        (changed(0, code="CN-180"), ["Q26"]),
        (changed(103, code="CN-180", value=Fraction(5)), ["Q26"]),
        (lambda coded: coded[1:], ["Q26"]),
        (lambda coded: [*coded, CodedHour(START - timedelta(hours=1), "CN-M", Fraction(5))], ["Q26"]),
        (changed(101, value=Fraction(4)), ["Q27"]),
        (changed(101, value=None), ["Q27"]),
        (changed(0, value=Fraction(4)), ["Q27"]),
        (changed(101, value=Fraction("5.0004")), []),
    ],
)
def test_checker_proves_every_code_and_value(
    change: Callable[[list[CodedHour]], list[CodedHour]], rules_fired: list[str]
) -> None:
    coded = change(fill(HOURS, CN, "mass", ZONE))
    found = check(HOURS, coded, CN, "mass", ZONE, places=3)
    assert [one.rule for one in found] == rules_fired
    assert all(one.en and one.zh for one in found)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: HourFigure(START, HourState.MEASURED),
        lambda: HourFigure(START, HourState.MISSING, Fraction(1)),
        lambda: HourFigure(START.replace(tzinfo=None), HourState.MISSING),
        lambda: fill([HOURS[0], HOURS[2]], CN, "mass", ZONE),
    ],
)
def test_series_that_says_two_things_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(SeriesError):
        wrong()
