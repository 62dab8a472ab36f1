"""Every check of the gateway: one reading that fires it, one that must not; and the judge as a state machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.channel import Channel, ChannelKind
from evidence.encoding import time_text
from evidence.judge import Basis, Circumstances, Limits, TotalWatch, Verdict, Watch, decide, judge_total
from evidence.judge_device import Calibrated, Frames, IdentityChange, changed_identity, frame_refused
from evidence.judge_rules import Override, Severity, packaged_rules
from evidence.judge_total import judge_fault
from evidence.reading import Flag, Reading
from evidence.segment import Baseline
from evidence.totaliser import Totaliser

RULES = packaged_rules()
T0 = datetime(2026, 3, 1, tzinfo=UTC)
S = timedelta(seconds=1)
MINUTE = 60 * S
HOUR = 60 * MINUTE
TOTALISER = Totaliser(Decimal(100), Decimal(5), True, Decimal(1_000_000))
VALUE = Channel("C", "%", ChannelKind.VALUE, MINUTE, "cems", "modbus", subject="KILN")
TOTAL = Channel("C", "kWh", ChannelKind.TOTAL, HOUR, "meter", "modbus", totaliser=TOTALISER)
PLAIN = Basis(VALUE, RULES)
CO2 = Basis(VALUE, RULES, quantity="co2", span=Limits(Decimal(0), Decimal(25)))


def at(seconds: int, value: object = "5", flag: Flag = Flag.NORMAL, **members: object) -> Reading:
    number = None if value is None else Decimal(str(value))
    time = T0 + seconds * S
    return replace(Reading("C", time, number, "%", flag, time), **members)  # type: ignore[arg-type]


def run(
    basis: Basis, readings: Sequence[Reading], watch: Watch | None = None, around: Circumstances | None = None
) -> list[Verdict]:
    """Judge readings in order; ``now`` is when each was received."""
    watch, verdicts = watch or Watch(), []
    for reading in readings:
        verdicts.append(decide(watch, reading, basis, reading.received, around or Circumstances()))
        watch = verdicts[-1].watch
    return verdicts


def rules_of(verdict: Verdict) -> list[str]:
    return [one.rule for one in verdict.findings]


def late(seconds: int, by: int, **members: object) -> Reading:
    """A reading whose device says a time ``by`` seconds before the gateway got it."""
    return at(seconds, received=T0 + (seconds + by) * S, device_time="said", **members)


GOOD = Watch(calibrated=Calibrated(passed=T0))
BAD = Watch(calibrated=Calibrated(passed=T0, failed=T0 + HOUR))
CALIBRATED = Basis(VALUE, RULES, calibrated_every=timedelta(hours=26))
IDENTITY = Basis(replace(VALUE, kind=ChannelKind.STATE), RULES, is_identity=True)
SPARSE = Basis(VALUE, RULES, is_sparse=True)
CLOCK = Basis(replace(VALUE, kind=ChannelKind.STATE), RULES)
INTERVAL = Basis(replace(VALUE, kind=ChannelKind.INTERVAL), RULES)
FLAT = [at(60 * minute) for minute in range(61)]


@pytest.mark.parametrize(
    ("rule", "basis", "watch", "readings"),
    [
        ("Q02", PLAIN, None, [at(0), at(0)]),
        ("Q02", PLAIN, None, [at(0, 5), at(0, 6)]),
        ("Q03", PLAIN, None, [at(121, received=T0)]),
        ("Q04", PLAIN, None, [at(60), at(0)]),
        ("Q04", PLAIN, None, [at(0), at(150)]),
        ("Q05", PLAIN, None, [late(0, 61)]),
        ("Q05", PLAIN, None, [late(0, -90)]),
        ("Q05", INTERVAL, None, [late(0, -90)]),
        ("Q05", CLOCK, None, [at(0, device_time=time_text(T0 + 61 * S))]),
        ("Q05", CLOCK, None, [at(0, device_time=time_text(T0 - HOUR))]),
        ("Q05", PLAIN, None, [at(0, device_time=time_text(T0 + 61 * S))]),
        ("Q05", replace(PLAIN, clock_allowed_s=Decimal(30)), None, [at(0, device_time=time_text(T0 - 31 * S))]),
        ("Q06", PLAIN, None, [at(0), at(182)]),
        ("Q06", PLAIN, None, [at(0), *(at(60 * n, None, Flag.NO_COMMUNICATION) for n in (1, 2, 3)), at(240)]),
        ("Q13", PLAIN, None, [at(0, 0, Flag.NO_COMMUNICATION)]),
        ("Q15", Basis(VALUE, RULES, quantity="o2"), None, [at(0, "21.6")]),
        ("Q15", Basis(VALUE, RULES, quantity="moisture"), None, [at(0, "-0.1")]),
        ("Q15", Basis(VALUE, RULES, Limits(Decimal(1), Decimal(9))), None, [at(0, "9.01")]),
        ("Q16", CO2, None, [at(0, "25.01")]),
        ("Q17", CO2, None, [at(0, "-1.25")]),
        ("Q17", CO2, None, [at(0, "-1.26")]),
        ("Q18", PLAIN, None, [*FLAT, at(3660)]),
        ("Q28", CALIBRATED, None, [at(0)]),
        ("Q28", CALIBRATED, GOOD, [at(26 * 3600 + 1)]),
        ("Q28", CALIBRATED, BAD, [at(3600)]),
        ("Q31", Basis(TOTAL, RULES), None, [at(0, 500), at(3600, 3000)]),
        ("Q31", Basis(TOTAL, RULES), None, [at(0, 123_456), at(3600, 35)]),
        ("Q34", IDENTITY, None, [at(0, 41), at(60, 42)]),
    ],
)
def test_check_fires(rule: str, basis: Basis, watch: Watch | None, readings: list[Reading]) -> None:
    verdict = run(basis, readings, watch)[-1]
    assert rules_of(verdict) == [rule]
    assert verdict.reading.value == readings[-1].value
    assert verdict.reading.reason.startswith(f"{rule} ")


@pytest.mark.parametrize(
    ("rule", "basis", "watch", "readings"),
    [
        ("Q02", PLAIN, None, [at(0, 5), at(60, 5)]),
        ("Q02", PLAIN, None, [at(0, imported=True), at(0, imported=True)]),
        ("Q03", PLAIN, None, [at(120, received=T0)]),
        ("Q04", PLAIN, None, [at(0), at(121)]),
        ("Q04", PLAIN, None, [at(60, imported=True), at(0, imported=True)]),
        ("Q04", SPARSE, None, [at(0), at(150)]),
        ("Q05", PLAIN, None, [late(0, 60)]),
        ("Q05", PLAIN, None, [at(0, received=T0 + HOUR)]),
        ("Q05", INTERVAL, None, [late(0, 900)]),
        ("Q05", CLOCK, None, [at(0, device_time=time_text(T0 + 60 * S))]),
        ("Q05", replace(PLAIN, clock_allowed_s=Decimal(90)), None, [at(0, device_time=time_text(T0 + 90 * S))]),
        ("Q05", Basis(replace(VALUE, via="hj212"), RULES), None, [late(0, 3600)]),
        ("Q06", PLAIN, None, [at(0), at(60), at(121)]),
        ("Q06", PLAIN, None, [at(0), at(60, None, Flag.NO_COMMUNICATION), at(120)]),
        ("Q06", SPARSE, None, [at(0), at(7200, 6)]),
        ("Q13", PLAIN, None, [at(0, None, Flag.NO_COMMUNICATION)]),
        ("Q13", PLAIN, None, [at(0, 0, Flag.FAULT)]),
        ("Q15", Basis(VALUE, RULES, quantity="o2"), None, [at(0, "21.5")]),
        ("Q15", PLAIN, None, [at(0, "-999999")]),
        ("Q15", Basis(VALUE, RULES, quantity="stack_pressure"), None, [at(0, 11)]),  # no range in percent
        ("Q16", CO2, None, [at(0, "25")]),
        ("Q17", CO2, None, [at(0, "0")]),
        (
            "Q17",
            Basis(VALUE, RULES, quantity="stack_temperature", span=Limits(Decimal(0), Decimal(9))),
            None,
            [at(0, -5)],
        ),
        ("Q18", PLAIN, None, FLAT),
        ("Q18", PLAIN, None, [*FLAT[:30], at(1800, 6), *(at(60 * n) for n in range(31, 62))]),
        ("Q18", Basis(replace(VALUE, kind=ChannelKind.STATE), RULES), None, [*FLAT, at(3660)]),
        ("Q28", CALIBRATED, GOOD, [at(26 * 3600)]),
        ("Q28", PLAIN, None, [at(0)]),
        ("Q31", Basis(TOTAL, RULES), None, [at(0, 500), at(3600, 560)]),
        ("Q34", IDENTITY, None, [at(0, 41), at(60, 41)]),
    ],
)
def test_check_does_not_fire(rule: str, basis: Basis, watch: Watch | None, readings: list[Reading]) -> None:
    for verdict in run(basis, readings, watch):
        assert rules_of(verdict) == []
        assert verdict.reading.reason == ""
    assert rule in RULES.rules


@pytest.mark.parametrize(
    ("basis", "readings", "flag"),
    [
        (PLAIN, [at(0, 5), at(0, 6)], Flag.NORMAL),
        (PLAIN, [at(121, received=T0)], Flag.FAULT),
        (PLAIN, [at(0), at(150)], Flag.NORMAL),
        (PLAIN, [late(0, 3600)], Flag.NORMAL),
        (PLAIN, [at(0), at(9999)], Flag.NORMAL),
        (PLAIN, [at(0, 0, Flag.NO_COMMUNICATION)], Flag.NO_COMMUNICATION),
        (Basis(VALUE, RULES, quantity="o2"), [at(0, 22)], Flag.OVER_RANGE),
        (Basis(VALUE, RULES, quantity="o2"), [at(0, -1)], Flag.FAULT),
        (CO2, [at(0, 26)], Flag.OVER_RANGE),
        (CO2, [at(0, "-1")], Flag.NORMAL),
        (CO2, [at(0, "-2")], Flag.FAULT),
        (PLAIN, [*FLAT, at(3660)], Flag.NORMAL),
        (CALIBRATED, [at(0)], Flag.NORMAL),
        (IDENTITY, [at(0, 41), at(60, 42)], Flag.NORMAL),
        (CO2, [at(0, 26, Flag.MAINTENANCE)], Flag.MAINTENANCE),
    ],
)
def test_flag_changes_only_where_the_rule_says_so_and_never_from_another_flag(
    basis: Basis, readings: list[Reading], flag: Flag
) -> None:
    assert run(basis, readings)[-1].reading.flag is flag


def test_equal_repetition_may_be_dropped_and_a_conflict_stays() -> None:
    first, again, other = run(PLAIN, [at(0, 5), at(0, 5), at(0, 6)])
    assert [one.is_repeat for one in (first, again, other)] == [False, True, False]
    assert other.reading.reason == "Q02 conflict with 5"
    assert run(PLAIN, [at(0), at(60), at(0)])[-1].is_repeat


def test_clock_offset_is_a_warning_first_and_an_error_then() -> None:
    severities = [run(PLAIN, [late(0, by)])[0].findings[0].severity for by in (61, 300, 301, -90)]
    assert severities == [Severity.WARNING, Severity.WARNING, Severity.ERROR, Severity.WARNING]


def test_gap_names_its_times_and_the_reason_given_first() -> None:
    silent = [
        at(60 * n, None, Flag.NO_COMMUNICATION, reason=why) for n, why in ((1, "timeout"), (2, "gone"), (3, "gone"))
    ]
    verdict = run(PLAIN, [at(0), *silent, at(240)])[-1]
    (gap,) = verdict.gaps
    assert gap.event_data() == {
        "channel": "C",
        "from": "2026-03-01T00:00:00.000Z",
        "to": "2026-03-01T00:04:00.000Z",
        "reason": "timeout",
    }
    assert run(PLAIN, [at(0), at(500)])[-1].gaps[0].reason == "no readings"
    assert run(PLAIN, [at(0), at(500), at(560)])[-1].gaps == ()


@pytest.mark.parametrize(("seconds", "is_event"), [(17, False), (59, False), (60, True)])
def test_short_gap_is_said_of_the_reading_alone(seconds: int, is_event: bool) -> None:
    fast = Basis(replace(VALUE, poll=5 * S), RULES)
    verdict = run(fast, [at(0), at(seconds)])[-1]
    assert (rules_of(verdict), bool(verdict.gaps)) == (["Q06"], is_event)


def test_marked_stop_excuses_a_frozen_value_and_maintenance_a_new_identity() -> None:
    stopped, maintained = Circumstances(is_stopped=True), Circumstances(is_maintained=True)
    assert run(PLAIN, [*FLAT, at(3660)], around=stopped)[-1].findings == ()
    assert run(IDENTITY, [at(0, 41), at(60, 42)], around=maintained)[-1].findings == ()


def test_calibration_is_out_of_control_until_the_next_pass() -> None:
    known = Calibrated().after(T0, is_passed=True).after(T0 + HOUR, is_passed=False)
    assert (known.passed, known.failed) == (T0, T0 + HOUR)
    assert known.after(T0 + 2 * HOUR, is_passed=False).failed == T0 + HOUR
    assert known.after(T0 + 2 * HOUR, is_passed=True) == Calibrated(T0 + 2 * HOUR)
    assert known.after(T0 - HOUR, is_passed=True) == known
    assert Calibrated(T0).after(T0 - HOUR, is_passed=False) == Calibrated(T0)


def test_refused_frames_are_counted_by_source() -> None:
    frames = Frames().count("logger").count("line-1").count("logger")
    assert dict(frames.refused) == {"logger": 2, "line-1": 1}
    assert str(frame_refused("CRC 2D00 expected", RULES)) == "Q01 frame refused: CRC 2D00 expected"
    assert frame_refused("CRC", RULES.with_overrides([Override("Q01", "simulator")])) is None


def test_several_findings_stand_in_one_reason_before_what_the_device_said() -> None:
    verdict = run(CO2, [at(0), at(500, 30, reason="maintenance request")])[-1]
    assert verdict.reading.reason == ("Q06 gap of 500 s; Q16 above the range of 25; maintenance request")
    assert rules_of(verdict) == ["Q06", "Q16"]


def test_reading_from_the_future_does_not_become_the_last_one() -> None:
    verdicts = run(PLAIN, [at(0), at(9999, received=T0 + MINUTE), at(60)])
    assert [rules_of(one) for one in verdicts] == [[], ["Q03"], []]


@pytest.mark.parametrize("rule", sorted(RULES.rules.keys() & {"Q02", "Q03", "Q04", "Q06", "Q15", "Q16", "Q18", "Q31"}))
def test_rule_that_is_off_says_nothing(rule: str) -> None:
    rules = RULES.with_overrides([Override(rule, "known at this site")])
    readings = {
        "Q02": [at(0), at(0)],
        "Q03": [at(500, received=T0)],
        "Q04": [at(60), at(0)],
        "Q06": [at(0), at(182)],
        "Q15": [at(0, 999)],
        "Q16": [at(0, 26)],
        "Q18": [*FLAT, at(3660)],
        "Q31": [at(0, 500), at(3600, 3000)],
    }[rule]
    basis = Basis(TOTAL if rule == "Q31" else VALUE, rules, Limits(high=Decimal(500)) if rule == "Q15" else Limits())
    if rule == "Q16":
        basis = replace(CO2, rules=rules)
    assert rule not in rules_of(run(basis, readings)[-1])


# --- totals: the published cases, as readings ---------------------------------------------------------------


def total(hours: float, value: object, flag: Flag = Flag.NORMAL) -> Reading:
    return at(int(hours * 3600), value, flag, unit="kWh")


def judged(readings: list[Reading], *, restarts_at: int | None = None) -> tuple[list[Reading], TotalWatch]:
    watch: TotalWatch | None = None
    said = []
    for index, reading in enumerate(readings):
        watch, result, _ = judge_total(watch, reading, TOTALISER, RULES, has_restarted=index == restarts_at)
        said.append(result)
    assert watch is not None
    return said, watch


@pytest.mark.parametrize(
    ("old", "new", "hours", "flag", "reason"),
    [
        (500, 560, 1, Flag.NORMAL, ""),
        (999_980, 20, 1, Flag.NORMAL, "Q31 rollover"),
        (123_456, 35, 1, Flag.NORMAL, "Q31 reset"),
        (123_456, 123_453, 1, Flag.FAULT, "Q31 error: step from 123456"),
        (123_456, 3_796_107_265, 1, Flag.FAULT, "Q31 error: step from 123456; Q31 with swapped words 123460"),
        (560, 2_960, 24, Flag.NORMAL, ""),
    ],
)
def test_published_steps_as_readings(old: int, new: int, hours: int, flag: Flag, reason: str) -> None:
    said, _ = judged([total(0, old), total(hours, new)])
    assert (said[1].flag, said[1].reason, said[1].value) == (flag, reason, Decimal(new))


def test_no_number_is_passed_over_and_the_use_is_right_after_it() -> None:
    said, watch = judged([total(0, 560), total(1, None, Flag.FAULT), total(2, 640)])
    assert [one.flag for one in said] == [Flag.NORMAL, Flag.FAULT, Flag.NORMAL]
    assert watch.believed == Baseline(Decimal(640), T0 + 2 * HOUR)


def test_counter_set_back_by_a_power_cut_counts_again_from_its_floor() -> None:
    readings = [total(0, 123_456), total(1, 123_453), total(2, 123_455), total(3, 123_460)]
    said, watch = judged(readings, restarts_at=1)
    assert [one.flag for one in said] == [Flag.NORMAL, Flag.FAULT, Flag.FAULT, Flag.NORMAL]
    assert said[1].reason == "Q31 backstep: below 123456, nothing used"
    assert watch == TotalWatch(Baseline(Decimal(123_460), T0 + 3 * HOUR))


def test_restart_that_is_seen_one_poll_late_still_explains_the_step_back() -> None:
    said, watch = judged([total(0, 123_456), total(1, 123_453), total(2, 123_454)], restarts_at=2)
    assert said[2].reason == "Q31 backstep: below 123456, nothing used"
    assert watch.is_below


METER = Basis(TOTAL, RULES)


@pytest.mark.parametrize(
    ("steps", "gaps"),
    [
        ([500, 560, 620], []),
        ([999_980, 20], []),
        ([123_456, 35, 80], [(0, 1, "Q31 reset: from 123456 to 35")]),
        ([500, 99_999, 560], [(0, 1, "Q31 error: from 500 to 99999")]),
        ([500_000, 2_000, 2_050, 2_090], [(0, 1, "Q31 error: from 500000 to 2000")]),
        ([500, 99_999, 560, 99_999], [(0, 1, "Q31 error: from 500 to 99999"), (2, 3, "Q31 error: from 560 to 99999")]),
    ],
)
def test_broken_count_is_a_gap_for_an_event(steps: list[int], gaps: list[tuple[int, int, str]]) -> None:
    said = run(METER, [total(hour, value) for hour, value in enumerate(steps)])
    found = [(gap.start, gap.end, gap.reason) for verdict in said for gap in verdict.gaps]
    assert found == [(T0 + start * HOUR, T0 + end * HOUR, reason) for start, end, reason in gaps]


def test_total_that_breaks_at_every_poll_does_not_flood_the_record_with_events() -> None:
    often = replace(METER, channel=replace(METER.channel, poll=10 * S))
    said = run(often, [at(10 * tick, 500 + tick % 2 * 90_000, unit="kWh") for tick in range(1000)])
    assert sum(len(verdict.gaps) for verdict in said) == 3
    assert sum("Q31 error" in verdict.reading.reason for verdict in said) == 500


@pytest.mark.parametrize(("step", "is_believed"), [("0.01", False), ("10", True)])
def test_step_of_the_counter_is_allowed_beyond_the_largest_rate(step: str, is_believed: bool) -> None:
    rule = replace(TOTALISER, step=Decimal(step), max_rate=Decimal(1))
    basis = replace(METER, channel=replace(METER.channel, poll=S, totaliser=rule))
    assert Channel.from_config(basis.channel.config_data()).totaliser == rule
    said = run(basis, [at(0, 500, unit="kWh"), at(1, 505, unit="kWh")])
    assert said[-1].reading.is_valid is is_believed


VALUES = st.none() | st.integers(-5, 60)
STEPS = st.lists(st.tuples(st.integers(-200, 400), VALUES, st.sampled_from(list(Flag))), max_size=40)


@given(STEPS)
def test_whatever_comes_the_value_stays_and_no_bad_flag_becomes_good(steps: list[tuple[int, int | None, Flag]]) -> None:
    seconds, watch = 0, Watch()
    for step, value, flag in steps:
        seconds += step
        usable = flag if value is not None or flag is not Flag.NORMAL else Flag.FAULT
        given_reading = at(seconds, value, usable, received=T0 + 1000 * S)
        verdict = decide(watch, given_reading, CO2, T0 + 1000 * S)
        again = decide(watch, given_reading, CO2, T0 + 1000 * S)
        assert verdict == again
        assert (verdict.reading.value, verdict.reading.time) == (given_reading.value, given_reading.time)
        assert verdict.reading.flag is given_reading.flag or given_reading.flag is Flag.NORMAL
        watch = verdict.watch


def test_error_counter_grows_is_told_once_an_hour_and_going_back_is_no_growth() -> None:
    watch, seen = None, []
    for minute, value, flag in (
        (0, 3, Flag.NORMAL),
        (1, 3, Flag.NORMAL),
        (2, 5, Flag.NORMAL),
        (3, 9, Flag.FAULT),
        (4, 6, Flag.NORMAL),
        (4, 8, Flag.NORMAL),
        (5, 0, Flag.NORMAL),
        (62, 1, Flag.NORMAL),
    ):
        watch, grown, told = judge_fault(watch, at(60 * minute, value, flag), RULES)
        seen.append((grown, None if told is None else (told[0].value, told[1].value)))
    assert seen == [
        (None, None),
        (None, None),
        (2, (3, 5)),
        (None, None),
        (1, None),
        (None, None),
        (None, None),
        (1, (0, 1)),
    ]


def test_check_of_totals_turned_off_leaves_the_error_counter_alone() -> None:
    off = RULES.with_overrides([Override("Q31", "no totals here")], "site")
    assert judge_fault(None, at(0, 3), off) == (None, None, None)


@pytest.mark.parametrize("is_maintained", [False, True])
def test_changed_identity_is_excused_by_maintenance_alone(is_maintained: bool) -> None:
    change = IdentityChange("gas", "serial", "A;1", "B", T0, T0 + HOUR)
    finding = changed_identity(change, RULES, is_maintained=is_maintained)
    said = "Q34 identity changed without a maintenance record, from serial A,1 to B"
    assert (None if finding is None else str(finding)) == (None if is_maintained else said)
    off = RULES.with_overrides([Override("Q34", "meters are exchanged daily")], "site")
    assert changed_identity(change, off, is_maintained=False) is None
