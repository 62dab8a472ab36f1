"""Minutes, hours and marks: when they count, what they are worth, and what other regimes would say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from evidence.hours import HourState, HourValue, hour_value, minutes_needed, operating_minutes
from evidence.judge_finding import Finding
from evidence.judge_hours import (
    day_completeness,
    european_hour,
    flag_of_period,
    hour_validity,
    mark_against_values,
    minute_validity,
    month_completeness,
    quadrants,
    quarter_completeness,
)
from evidence.judge_rules import Override, Severity, packaged_rules
from evidence.marks import CalibrationRecord, Mark, MarkKind, marks_at
from evidence.minutes import MinuteValue, expected_samples, mean_of, minute_values
from evidence.reading import Flag, Reading
from evidence.totaliser import MeterSwap, StepKind, Totaliser, is_over_gap, longest_poll, split_linear, swap_use

RULES = packaged_rules()
T0 = datetime(2026, 3, 1, tzinfo=UTC)
S = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def samples(count: int, *, every: int = 5, bad: int = 0, flag: Flag = Flag.FAULT, value: str = "20") -> list[Reading]:
    """Readings of one minute, the last ``bad`` of them with another flag."""
    return [
        Reading("C", T0 + at * every * S, Decimal(value), "%", flag if at >= count - bad else Flag.NORMAL, T0)
        for at in range(count)
    ]


def minute(readings: list[Reading], poll: int = 5, quantity: str = "") -> MinuteValue:
    (found,) = minute_values(readings, poll * S, RULES, quantity=quantity)
    return found


@pytest.mark.parametrize(
    ("count", "every", "bad", "is_valid"),
    [
        (12, 5, 0, True),
        (12, 5, 3, True),
        (12, 5, 4, False),
        (9, 5, 0, True),
        (8, 5, 0, False),
        (60, 1, 48, True),  # twelve samples are enough, however fast the poll
        (60, 1, 49, False),
        (1, 60, 0, True),
        (1, 60, 1, False),
        (2, 30, 1, False),
    ],
)
def test_minute_needs_twelve_samples_or_three_quarters_of_the_expected(
    count: int, every: int, bad: int, is_valid: bool
) -> None:
    found = minute(samples(count, every=every, bad=bad), every)
    assert (found.is_valid, found.n, found.valid) == (is_valid, count, count - bad)
    assert found.flag is (Flag.NORMAL if is_valid else Flag.FAULT)
    assert (minute_validity(found, RULES) is None) == is_valid


def test_minute_says_what_was_in_it() -> None:
    readings = [*samples(8), *(replace(one, value=Decimal("26"), flag=Flag.OVER_RANGE) for one in samples(2))]
    found = minute(readings)
    assert (found.mean, found.lowest, found.highest, found.is_lower_bound) == (20, 20, 20, True)
    assert minute(samples(12, bad=12, flag=Flag.CALIBRATION)).dominant is Flag.CALIBRATION


def test_small_negative_is_used_as_zero_where_there_is_nothing_below_zero() -> None:
    readings = [*samples(6, value="-0.3"), *(replace(one, time=one.time + 30 * S) for one in samples(6, value="1"))]
    assert (minute(readings, quantity="co2").mean, minute(readings, quantity="co2").zeroed) == (Decimal("0.5"), 6)
    assert (minute(readings).mean, minute(readings).zeroed) == (Decimal("0.35"), 0)


def test_mean_is_the_same_whoever_computes_it() -> None:
    assert mean_of([Decimal(1), Decimal(1), Decimal(0)]) == Decimal("0." + "6" * 33 + "7")
    assert mean_of([]) is None


def test_channel_polled_less_than_once_a_minute_has_no_minutes() -> None:
    assert expected_samples(7 * S) == 8
    with pytest.raises(ValueError):
        expected_samples(61 * S)


def hour(
    good: int, *, operating: int | None = None, first: int = 0, high: str | None = None, flag: Flag = Flag.FAULT
) -> HourValue:
    """An hour whose minutes are valid from ``first`` on, ``good`` of them, and operating up to ``operating``."""
    minutes = [
        replace(
            minute(samples(12, bad=0 if first <= at < first + good else 12, flag=flag)),
            start=T0 + at * MINUTE,
        )
        for at in range(60)
    ]
    ran = None if operating is None else [T0 + at * MINUTE for at in range(operating)]
    return hour_value(T0, "C", minutes, RULES, operating=ran, range_high=None if high is None else Decimal(high))


@pytest.mark.parametrize(
    ("good", "operating", "state", "top"),
    [
        (60, None, HourState.VALID, "1"),
        (45, None, HourState.VALID, "1"),
        (44, None, HourState.INVALID, "1"),
        (23, 30, HourState.VALID, "0.5"),
        (22, 30, HourState.INVALID, "0.5"),
        (60, 0, HourState.NOT_OPERATING, "0"),
        (0, 0, HourState.NOT_OPERATING, "0"),
    ],
)
def test_hour_needs_forty_five_valid_minutes_while_operating(
    good: int, operating: int | None, state: HourState, top: str
) -> None:
    found = hour(good, operating=operating)
    assert (found.state, found.top) == (state, Decimal(top))
    assert (found.mean is not None) == (state is HourState.VALID)
    assert (hour_validity(found, RULES) is not None) == (state is HourState.INVALID)
    assert (found.flag is Flag.STOPPED) == (state is HourState.NOT_OPERATING)


def test_hour_above_the_range_is_the_end_of_the_range_and_a_lower_bound() -> None:
    found = hour(10, high="25", flag=Flag.OVER_RANGE)
    assert (found.state, found.mean, found.is_lower_bound) == (HourState.INVALID, Decimal(25), True)
    assert hour(10, high="25").mean is None


def test_needed_minutes_follow_the_rule() -> None:
    assert [minutes_needed(operating, RULES) for operating in (60, 59, 30, 1)] == [45, 45, 23, 1]


IDLE = HourState.NOT_OPERATING
VALID, INVALID = HourState.VALID, HourState.INVALID


def mark(kind: MarkKind = MarkKind.STOP, **members: object) -> Mark:
    said = Mark(kind, T0, T0 + HOUR, T0, "Li Lei", "kiln relining", subject="KILN")
    return replace(said, **members)  # type: ignore[arg-type]


STOP = [mark()]
RUN: list[Mark] = []


@pytest.mark.parametrize(
    ("rule", "fires", "does_not"),
    [
        ("Q07", lambda r: minute_validity(minute(samples(8)), r), lambda r: minute_validity(minute(samples(9)), r)),
        ("Q08", lambda r: hour_validity(hour(44), r), lambda r: hour_validity(hour(45), r)),
        ("Q09", lambda r: quadrants(hour(45), r), lambda r: quadrants(hour(50), r)),
        ("Q09", lambda r: quadrants(hour(20, operating=31), r), lambda r: quadrants(hour(20, operating=30), r)),
        ("Q10", lambda r: european_hour(hour(47), r), lambda r: european_hour(hour(48), r)),
        ("Q10", lambda r: european_hour(hour(0), r), lambda r: european_hour(hour(0, operating=0), r)),
        (
            "Q11",
            lambda r: day_completeness([VALID] * 19 + [INVALID] * 5, r),
            lambda r: day_completeness([VALID] * 20 + [INVALID] * 4, r),
        ),
        (
            "Q11",
            lambda r: day_completeness([VALID] * 9 + [INVALID] * 3 + [IDLE] * 12, r),
            lambda r: day_completeness([VALID] * 10 + [INVALID] * 2 + [IDLE] * 12, r),
        ),
        (
            "Q11",
            lambda r: month_completeness(date(2026, 3, 1), 24, 0, r),
            lambda r: month_completeness(date(2026, 3, 1), 25, 0, r),
        ),
        (
            "Q11",
            lambda r: month_completeness(date(2026, 2, 1), 22, 0, r),
            lambda r: month_completeness(date(2026, 2, 1), 23, 0, r),
        ),
        (
            "Q11",
            lambda r: quarter_completeness([VALID] * 89 + [INVALID] * 11, r),
            lambda r: quarter_completeness([VALID] * 90 + [INVALID] * 10 + [IDLE] * 50, r),
        ),
        (
            "Q12",
            lambda r: flag_of_period(Flag.NORMAL, [Flag.NORMAL] * 74 + [Flag.FAULT] * 26, r),
            lambda r: flag_of_period(Flag.NORMAL, [Flag.NORMAL] * 75 + [Flag.FAULT] * 25, r),
        ),
        (
            "Q12",
            lambda r: flag_of_period(Flag.FAULT, [Flag.NORMAL] * 75 + [Flag.FAULT] * 25, r),
            lambda r: flag_of_period(Flag.MAINTENANCE, [Flag.NORMAL] * 74 + [Flag.FAULT] * 26, r),
        ),
        (
            "Q14",
            lambda r: mark_against_values(STOP, r, oxygen=Decimal("18.9")),
            lambda r: mark_against_values(STOP, r, oxygen=Decimal("20.5"), co2=Decimal("0.1"), is_fuel_moving=False),
        ),
        (
            "Q14",
            lambda r: mark_against_values(STOP, r, co2=Decimal("1.1")),
            lambda r: mark_against_values(RUN, r, oxygen=Decimal("10"), co2=Decimal("20")),
        ),
        (
            "Q14",
            lambda r: mark_against_values(STOP, r, is_fuel_moving=True),
            lambda r: mark_against_values([mark(MarkKind.DRYING)], r, oxygen=Decimal("20"), is_fuel_moving=False),
        ),
        (
            "Q14",
            lambda r: mark_against_values(RUN, r, oxygen=Decimal("20.6"), co2=Decimal("0")),
            lambda r: mark_against_values(RUN, r, oxygen=Decimal("20.6")),
        ),
    ],
)
def test_check_of_a_period_fires_and_does_not(
    rule: str, fires: Callable[..., Finding | None], does_not: Callable[..., Finding | None]
) -> None:
    said = fires(RULES)
    assert said is not None
    assert said.rule == rule
    assert said.detail
    assert does_not(RULES) is None
    assert fires(RULES.with_overrides([Override(rule, "not here")])) is None


def test_capture_of_a_quarter_warns_first_and_blocks_then() -> None:
    warned = quarter_completeness([VALID] * 75 + [INVALID] * 25, RULES)
    blocked = quarter_completeness([VALID] * 74 + [INVALID] * 26, RULES)
    assert warned is not None
    assert blocked is not None
    assert (warned.severity, blocked.severity) == (Severity.WARNING, Severity.ERROR)
    assert quarter_completeness([IDLE] * 10, RULES) is None


# --- marks --------------------------------------------------------------------------------------------------


def test_mark_is_a_record_of_its_own_and_reads_back() -> None:
    said = mark(channels=("C",), subject="", evidence=("0" * 64,))
    assert Mark.from_event(said.event_data()) == said
    assert Mark.from_event(mark().event_data()) == mark()
    check = CalibrationRecord("C", "zero-span", T0, T0 + HOUR, "Han Mei", passed=False, note="span +3.1 %")
    assert CalibrationRecord.from_event(check.event_data()) == check


def test_late_mark_stays_visible_as_late() -> None:
    assert not mark().is_late
    late = mark(entered=T0 + 3 * HOUR)
    assert (late.is_late, late.delay) == (True, 3 * HOUR)


def test_mark_concerns_its_subject_or_its_channels() -> None:
    by_subject, by_channel = mark(), mark(subject="", channels=("C",))
    assert marks_at([by_subject, by_channel], T0, "C", "KILN") == [by_subject, by_channel]
    assert marks_at([by_subject, by_channel], T0, "X", "KILN") == [by_subject]
    assert marks_at([by_subject, by_channel], T0 + HOUR, "C", "KILN") == []
    assert marks_at([by_subject, by_channel], T0, "X", None) == []


def test_minutes_of_a_marked_stop_do_not_operate() -> None:
    half = mark(end=T0 + 30 * MINUTE)
    ran = operating_minutes(T0, [half, mark(MarkKind.FAULT)], "C", "KILN")
    assert (len(ran), min(ran)) == (30, T0 + 30 * MINUTE)
    assert len(operating_minutes(T0, [half], "C", "MILL")) == 60


# --- totals beside the difference rule ----------------------------------------------------------------------

TOTALISER = Totaliser(Decimal(100), Decimal(5), True, Decimal(1_000_000))


def test_change_of_meter_books_both_parts_and_nothing_that_cannot_be() -> None:
    swap = MeterSwap(Decimal(123_480), Decimal(7), "A-1", "B-2")
    step = swap_use(Decimal(123_456), Decimal(27), HOUR, TOTALISER, swap)
    assert (step.kind, step.use, step.floor) == (StepKind.NORMAL, Decimal(44), Decimal(27))
    assert swap_use(Decimal(123_456), Decimal(90), HOUR, TOTALISER, replace(swap, final=Decimal(123_530))).use is None
    assert swap_use(Decimal(123_456), Decimal(5), HOUR, TOTALISER, swap).kind is StepKind.ERROR


def test_use_over_a_gap_is_split_by_a_named_method_without_losing_anything() -> None:
    assert is_over_gap(4 * MINUTE, MINUTE)
    assert not is_over_gap(3 * MINUTE, MINUTE)
    parts = split_linear(Decimal("100"), T0, T0 + 3 * HOUR, [T0 + HOUR, T0 + 2 * HOUR, T0 + 9 * HOUR], 2)
    assert [(str(one.use), one.method) for one in parts] == [
        ("33.33", "linear"),
        ("33.33", "linear"),
        ("33.34", "linear"),
    ]
    assert [one.start for one in parts] == [T0, T0 + HOUR, T0 + 2 * HOUR]
    assert [one.use for one in split_linear(Decimal(5), T0, T0 + HOUR, [], 2)] == [Decimal(5)]


def test_pulse_counter_is_read_twice_in_a_wrap() -> None:
    assert longest_poll(Decimal("0.001"), Decimal("65.536")) == timedelta(minutes=30)
