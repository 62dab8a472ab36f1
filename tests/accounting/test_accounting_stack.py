"""Checks of a month's stack hours from segments alone, the issues they become, and the month of CEMS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from signed_plant import MARCH, Chain, body_of, plan_bytes

from accounting.cems_month import cems_month, compared, out_of_control
from accounting.cems_rules import rules_name, rules_named
from accounting.cover import derive_cover
from accounting.errors import PlanError
from accounting.exact import half_up
from accounting.month import compose
from accounting.parameter_set import packaged_bytes
from accounting.period import Month, month_of
from accounting.plan import read_plan
from accounting.stack_checks import StackFinding, stack_findings
from accounting.stack_hours import StackChannel, stack_channels
from evidence.encoding import time_text
from evidence.judge_rules import Override, Severity, packaged_rules
from evidence.kinds import validate
from evidence.marks import CalibrationRecord
from evidence.statement import Statement

HOUR, WHOLE = timedelta(hours=1), "N" * 60
SIGNED = 6
"""Statements of a chain whose form is checked; the others are like them."""
MONTH = month_of("2026-03", ZoneInfo("Asia/Shanghai"))
STOP = {
    "record": "mark",
    "kind": "stop",
    "entered": time_text(MARCH),
    "by": "Li",
    "reason": "stop",
    "subject": "KILN",
}
Hours = Mapping[int, Mapping[str, Any] | None]


class QuickChain(Chain):
    """A chain that validates what it says and does not sign it: here only what is said matters, and there is much."""

    def _made(self, payload: dict[str, Any]) -> Statement:
        if payload["kind"] == "event" or payload["seq"] < SIGNED:
            validate(payload)
        return Statement("", "EdDSA", "kid", "ev", payload, f"{payload['seq']:064x}")


def meaning(quantity: str, *overrides: Override) -> dict[str, Any]:
    rules = packaged_rules().with_overrides(overrides)
    return {"quantity": quantity, "samples": "12", "share": "0.75", "rules": rules.name_json()}


def derived() -> dict[str, Any]:
    return {"rule": "co2-mass", "inputs": {"co2": "CO2"}, "rules": rules_name()}


def kiln(*overrides: Override, mass: Hours | None = None, days: int = 31, **gases: Hours) -> Chain:
    """March of a kiln: a mass channel of 10 t/h, and oxygen and CO2 where a test changes them; None leaves one out."""
    chain = QuickChain()
    declared: dict[str, tuple[str, Hours]] = {"STACK.CO2": ("10", mass or {})}
    chain.config(
        "STACK.CO2",
        "t/h",
        "derived",
        via="derived",
        subject="KILN",
        stack=meaning("co2_mass", *overrides),
        derived=derived(),
    )
    for name, quantity, usual in (("O2", "o2_concentration", "10"), ("CO2", "co2_concentration", "20")):
        if name in gases:
            chain.config(name, "%", "value", subject="KILN", stack=meaning(quantity, *overrides))
            declared[name] = (usual, gases[name])
    for day in range(days):
        # One statement a day is quicker to sign; each entry names its hour, as late readings do.
        entries = [
            {"id": name, "hour": time_text(MARCH + at * HOUR), **said}
            for at in range(24 * day, 24 * day + 24)
            for name, (usual, hours) in sorted(declared.items())
            if (said := hours.get(at, hour(usual))) is not None
        ]
        if entries:
            chain.segment(MARCH + day * 24 * HOUR, entries)
    return chain


def hour(value: str = "10", letters: str = WHOLE, code: str = "") -> dict[str, Any]:
    """An entry whose valid minutes hold one reading of the value each."""
    valid, n = letters.count("N"), 60 - letters.count("-")
    entry: dict[str, Any] = {"n": n, "valid": valid, "minutes": letters}
    if valid:
        entry |= {"sum": str(Decimal(value) * valid), "min": value, "max": value}
    return {**entry, "code": code} if code else entry


def stop(chain: Chain, first: float, end: float) -> None:
    """Mark a stop of the kiln, with the hour of the month it begins and ends."""
    start, finish = time_text(MARCH + first * HOUR), time_text(MARCH + end * HOUR)
    chain.event("maintenance", {**STOP, "from": start, "to": finish})
    # A mark counts when a segment of the month stands behind it.
    chain.segment(MARCH + 743 * HOUR, [{"id": "NOTE", "n": 1, "valid": 0}])


def channels(chain: Chain) -> list[StackChannel]:
    segments = [one for one in chain.statements if one.kind == "segment"]
    events = [one for one in chain.statements if one.kind == "event"]
    return stack_channels(derive_cover(segments, MONTH), events, MONTH)


def found(chain: Chain) -> list[StackFinding]:
    return stack_findings(channels(chain), MONTH)


def rules_found(chain: Chain) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in found(chain):
        counts[one.finding.rule] = counts.get(one.finding.rule, 0) + 1
    return counts


def test_whole_month_breaks_no_rule() -> None:
    assert found(kiln(O2={}, CO2={})) == []


QUARTER = "N" * 30 + "D" * 15 + "N" * 15
THIN = "N" * 47 + "D" * 13


@pytest.mark.parametrize(
    ("hours", "rules"),
    [
        ({5: hour(letters=QUARTER)}, {"Q09": 1, "Q10": 1}),
        ({5: hour(letters=THIN)}, {"Q10": 1}),
        ({5: hour(letters="N" * 48 + "D" * 12)}, {}),
        (dict.fromkeys(range(4)), {"Q09": 4, "Q10": 4}),
        (dict.fromkeys(range(5)), {"Q09": 5, "Q10": 5, "Q11": 1}),
        ({at * 24 + n: None for at in range(7) for n in range(5)}, {"Q09": 35, "Q10": 35, "Q11": 8}),
        ({5: hour(letters="N" * 44 + "D" * 16, code="CN-M")}, {"Q09": 1, "Q10": 1, "Q26": 1}),
        ({5: hour(letters="N" * 45 + "D" * 15, code="CN-M")}, {"Q09": 1, "Q10": 1}),
        ({5: hour(code="CN-F")}, {"Q26": 1}),
        ({5: hour(code="CN-M")}, {}),
    ],
)
def test_hours_days_and_month_are_checked_by_their_minutes(hours: Hours, rules: dict[str, int]) -> None:
    assert rules_found(kiln(mass=hours)) == rules


@pytest.mark.parametrize(
    ("override", "gone"),
    [
        (Override("Q09", "no US rules here"), "Q09"),
        (Override("Q10", "the regime is national", "share", Decimal("0.5")), "Q10"),
        (Override("Q11", "kiln trial agreed with the bureau", "day_hours", Decimal(15)), "Q11"),
    ],
)
def test_override_of_a_site_holds_at_the_centre(override: Override, gone: str) -> None:
    hours = {at: hour(letters=QUARTER) if at % 2 else hour(letters="N" * 40 + "D" * 20) for at in range(12)}
    assert gone in rules_found(kiln(mass=hours))
    assert gone not in rules_found(kiln(override, mass=hours))


def test_hours_that_have_not_been_are_not_missing() -> None:
    chain = kiln(days=2, mass={30: None})
    said = stack_findings(channels(chain), MONTH, until=MARCH + 48 * HOUR)
    assert [(one.finding.rule, one.start) for one in said] == [
        ("Q09", MARCH + 30 * HOUR),
        ("Q10", MARCH + 30 * HOUR),
    ]


def test_stop_that_is_marked_takes_its_hours_off_every_demand() -> None:
    chain = kiln(mass=dict.fromkeys(range(72)))
    assert set(rules_found(chain)) == {"Q09", "Q10", "Q11"}
    stop(chain, 0, 72)
    assert found(chain) == []


def test_mark_without_a_segment_behind_it_does_not_count_yet() -> None:
    chain = kiln(mass={0: None})
    before = found(chain)
    stop(chain, 0, 1)
    chain.statements.pop()
    assert found(chain) == before != []


@pytest.mark.parametrize(
    ("oxygen", "co2", "is_marked", "detail"),
    [
        ("12", "20", True, "stop is marked, but oxygen is 12 % and CO2 is 20 %"),
        ("20.5", "2", True, "stop is marked, but CO2 is 2 %"),
        ("20.5", "0.1", True, ""),
        ("20.5", "0.1", False, "no stop is marked, but oxygen is 20.5 %"),
        ("12", "20", False, ""),
    ],
)
def test_marks_are_held_against_oxygen_and_co2(oxygen: str, co2: str, is_marked: bool, detail: str) -> None:
    chain = kiln(O2={7: hour(oxygen)}, CO2={7: hour(co2)})
    if is_marked:
        stop(chain, 7, 8)
    said = [one for one in found(chain) if one.finding.rule == "Q14"]
    assert [one.finding.detail for one in said] == [detail] * bool(detail)
    assert {(one.where, one.start) for one in said} <= {("GW-0001/O2", MARCH + 7 * HOUR)}


def test_hour_that_is_marked_in_part_is_held_against_nothing() -> None:
    chain = kiln(O2={7: hour("15")}, CO2={7: hour("8")})
    stop(chain, 7.5, 8)
    assert "Q14" not in rules_found(chain)


def test_fuel_that_moves_contradicts_a_stop() -> None:
    chain = kiln(O2={}, CO2={})
    stop(chain, 7, 8)
    quiet = {"KILN": {MARCH + 7 * HOUR: False}}
    moving = {"KILN": {MARCH + 7 * HOUR: True}}
    said = [one.finding.detail for one in stack_findings(channels(chain), MONTH, moving)]
    assert any("fuel moves" in one for one in said)
    assert not any("fuel" in one.finding.detail for one in stack_findings(channels(chain), MONTH, quiet))


@pytest.mark.parametrize(
    ("is_normal", "valid", "fires"), [(True, 4, True), (True, 5, False), (False, 5, True), (False, 4, False)]
)
def test_hour_flag_of_a_logger_is_held_against_its_minute_values(is_normal: bool, valid: int, fires: bool) -> None:
    chain = QuickChain()
    for name, poll in (("MIN", 600_000), ("HOUR", 3_600_000)):
        chain.config(name, "%", "value", via="hj212", poll_ms=poll, subject="KILN", stack=meaning("co2_concentration"))
    figures = {"sum": "20", "min": "20", "max": "20"} if is_normal else {}
    part = {"id": "MIN", "n": 6, "valid": valid, "sum": str(20 * valid), "min": "20", "max": "20"}
    chain.segment(MARCH, [{"id": "HOUR", "n": 1, "valid": int(is_normal), **figures}, part])
    said = [one for one in found(chain) if one.finding.rule == "Q12"]
    assert len(said) == fires
    assert all(one.finding.severity is Severity.ERROR and one.where == "GW-0001/HOUR" for one in said)


def body(chain: Chain) -> dict[str, Any]:
    parameters = packaged_bytes("cn-steel-2024")
    return body_of(
        compose(plant="P-0001", period="2026-03", statements=chain.statements, plan=plan_bytes(), parameters=parameters)
    )


def quality(chain: Chain) -> list[tuple[str, str, str]]:
    issues = [one for one in body(chain)["issues"] if one["code"].startswith("QUALITY")]
    return [(one["code"], one["where"], one["en"]) for one in issues]


def test_findings_become_issues_of_the_month_by_severity() -> None:
    assert quality(kiln()) == []
    assert quality(kiln(mass={5: hour(letters=THIN)})) == []  # Q10 informs and is on the page alone
    first = "first 2026-03-01T05:00+08:00"
    assert quality(kiln(mass={5: hour(letters=QUARTER), 9: hour(letters=QUARTER)})) == [
        ("QUALITY_REMARK", "GW-0001/STACK.CO2", f"Q09 hours with a quarter without valid data: 2, {first}")
    ]
    assert quality(kiln(mass={5: hour(code="CN-F")})) == [
        ("QUALITY_ERROR", "GW-0001/STACK.CO2", f"Q26 hours with a method code that was not permitted: 1, {first}")
    ]


def test_error_findings_of_the_gateway_become_issues() -> None:
    chain = kiln(mass={5: {**hour(), "found": {"Q03": 2}}, 6: {**hour(), "found": {"Q03": 1}}})
    assert quality(chain) == [("QUALITY_ERROR", "GW-0001/STACK.CO2", "Q03 readings of the future: 3")]


def test_unknown_rule_set_is_an_issue_and_judges_nothing() -> None:
    chain = QuickChain()
    strange = {**meaning("co2_mass"), "rules": {"id": "cn-quality", "version": "99", "hash": "0" * 64}}
    chain.config("STACK.CO2", "t/h", "derived", via="derived", stack=strange, derived=derived())
    chain.segment(MARCH, [{"id": "STACK.CO2", **hour(letters="D" * 60)}])
    assert [code for code, _, _ in quality(chain)] == ["QUALITY_UNKNOWN"]


def test_derived_channel_is_no_quantity_of_accounting() -> None:
    """Whatever the plan says, CEMS does not enter the month's figures."""
    (entry,) = [one for one in body(kiln())["channels"] if one["id"] == "STACK.CO2"]
    assert entry["kind"] == "derived"
    results = body(kiln())["results"]
    assert results == body(kiln(mass={5: None}))["results"]


# -- the month of CEMS -------------------------------------------------------------------------------------------------

CN = rules_named()
END = MARCH + 31 * 24 * HOUR


def cems(chain: Chain, **members: Any) -> Any:
    return cems_month(channels(chain)[0], MONTH, MONTH, CN, **{"until": END, **members})


def test_measured_substituted_and_stopped_hours_are_totalled_apart() -> None:
    chain = kiln(mass={100: None, 101: hour(letters="N" * 20 + "D" * 40), 200: None, 90: hour("12.5")})
    stop(chain, 200, 201)
    month = cems(chain)
    assert (month.totals.hours_measured, month.totals.hours_substituted, month.totals.hours_not_operating) == (
        741,
        2,
        1,
    )
    assert (str(half_up(month.totals.measured, 3)), str(half_up(month.totals.substituted, 3))) == ("7412.500", "25.000")
    codes = {at: month.hours[at].coded.code for at in (0, 100, 101, 200)}
    assert codes == {0: "CN-M", 100: "CN-180", 101: "CN-180", 200: "CN-F"}
    assert [month.hours[at].is_substituted for at in (0, 100, 200)] == [False, True, False]
    assert sum(one.coded.value is None for one in month.hours) == 1


def test_capture_below_the_last_band_is_not_filled() -> None:
    month = cems(kiln(mass=dict.fromkeys(range(300, 560))))
    assert (month.totals.hours_substituted, month.totals.hours_unfilled) == (0, 260)
    assert {month.hours[at].coded.code for at in range(300, 560)} == {"CN-X"}
    assert month.quarter is not None
    assert month.quarter.severity is Severity.ERROR


def with_flow(missing: set[int], *, basis: str = "dry", parts: Hours | None = None) -> list[StackChannel]:
    """A kiln with 20 % of CO2 and a standard flow of 25,454.5 Nm3/h, which is 10 t/h; hours of both may be missing."""
    chain = QuickChain()
    rule = {**derived(), "inputs": {"co2": "CO2", "velocity": "V"}, "basis": "dry"}
    flow = {**rule, "rule": "standard-flow", "inputs": {"velocity": "V"}, "basis": basis}
    chain.config("CO2", "%", "value", subject="KILN", stack=meaning("co2_concentration"))
    chain.config("FLOW", "Nm3/h", "derived", via="derived", subject="KILN", stack=meaning("stack_flow"), derived=flow)
    chain.config("STACK.CO2", "t/h", "derived", via="derived", subject="KILN", stack=meaning("co2_mass"), derived=rule)
    usual = {"CO2": "20", "FLOW": "25454.5", "STACK.CO2": "10"}
    entries = [
        {"id": name, "hour": time_text(MARCH + at * HOUR), **hour(value)}
        for at in range(800)
        for name, value in usual.items()
        if at not in missing or (name == "FLOW" and at in (parts or {}))
    ]
    for at in range(0, len(entries), 200):
        chain.segment(MARCH + 12 * HOUR, entries[at : at + 200])
    return channels_of(chain, replace(MONTH, end=MARCH + 800 * HOUR))


def channels_of(chain: Chain, span: Month) -> list[StackChannel]:
    segments = [one for one in chain.statements if one.kind == "segment"]
    events = [one for one in chain.statements if one.kind == "event"]
    return stack_channels(derive_cover(segments, span), events, span)


@pytest.mark.parametrize(
    ("name", "basis", "flow_is_there", "code", "tonnes"),
    [
        ("us-part75", "dry", False, "07", "10.000"),
        ("us-part75", "dry", True, "07", "10.000"),
        ("us-part75", "wet", False, "XX", None),
        ("eu-mrr", "dry", False, "EU-45", "10.000"),
        ("cn-hj75", "dry", False, "CN-180", "10.000"),
    ],
)
def test_plan_chooses_what_is_filled(name: str, basis: str, flow_is_there: bool, code: str, tonnes: str | None) -> None:
    parts = {300: None} if flow_is_there else {}
    found = with_flow({300}, basis=basis, parts=parts)
    mass = next(one for one in found if one.channel.id == "STACK.CO2")
    month = cems_month(mass, MONTH, MONTH, rules_named(name), until=END, channels=found)
    assert month is not None
    said = month.hours[300]
    assert (said.coded.code, None if said.tonnes is None else str(said.tonnes)) == (code, tonnes)
    assert month.hours[299].coded.code == rules_named(name).codes.measured.code


def test_rule_set_of_the_plan_must_be_one_that_is_known() -> None:
    plan = read_plan(plan_bytes(cems={"rules": "us-part75", "potential_co2": "30"}))
    assert plan.cems is not None
    assert plan.cems.potential_co2 == Decimal(30)
    with pytest.raises(PlanError, match="cems: unknown rule set 'hj'"):
        read_plan(plan_bytes(cems={"rules": "hj"}))


@pytest.mark.parametrize(("missing", "severity"), [(50, None), (100, Severity.WARNING), (200, Severity.ERROR)])
def test_quarter_is_judged_in_its_last_month(missing: int, severity: Severity | None) -> None:
    month = cems(kiln(mass=dict.fromkeys(range(100, 100 + missing))))
    assert (month.quarter.severity if month.quarter is not None else None) is severity


def test_running_month_is_cut_and_one_without_hours_is_none() -> None:
    assert len(cems(kiln(days=2), until=MARCH + 36 * HOUR).hours) == 36
    assert cems(kiln(days=2), until=MARCH) is None


def test_hours_after_a_failed_check_are_out_of_control_until_the_next_passed_one() -> None:
    def record(at: int, *, passed: bool) -> CalibrationRecord:
        return CalibrationRecord("CO2", "zero-span", MARCH + at * HOUR, MARCH + at * HOUR, "Li", passed)

    records = [record(48, passed=True), record(72, passed=False), record(75, passed=True)]
    month = cems(kiln(mass={60: hour("30")}), calibrations=records)
    assert [month.hours[at].coded.code for at in (71, 72, 74, 75)] == ["CN-M", "CN-180", "CN-180", "CN-M"]
    # The maximum is of the hours before the last good calibration, not of those that followed it.
    assert str(half_up(month.hours[72].coded.value, 3)) == "10.000"
    assert out_of_control(MARCH + 73 * HOUR, records) == (True, MARCH + 48 * HOUR)
    assert out_of_control(MARCH + 75 * HOUR, records) == (False, None)


@pytest.mark.parametrize(
    ("accounted", "severity"),
    [("7440", None), ("6800", None), ("6700", Severity.WARNING), ("5600", Severity.ERROR), ("0", Severity.ERROR)],
)
def test_cems_stands_beside_accounting_with_the_limits_of_q33(accounted: str, severity: Severity | None) -> None:
    said = compared(cems(kiln()), Decimal(accounted))
    assert said.cems == Decimal("7440.000")
    assert (said.finding.severity if said.finding is not None else None) is severity


@pytest.mark.parametrize("letters", [WHOLE, QUARTER, THIN, "-" * 59 + "N", "N" * 45 + "B" * 15])
def test_hours_are_the_same_however_they_are_computed(letters: str) -> None:
    """The quick way for whole hours, and late segments of one hour, change no figure."""
    (channel,) = channels(kiln(mass={0: hour(letters=letters)}))
    value = channel.hours(MONTH)[0]
    assert (value.valid, value.operating) == (letters.count("N"), 60)
    chain = QuickChain()
    chain.config("STACK.CO2", "t/h", "derived", via="derived", stack=meaning("co2_mass"), derived=derived())
    for part in (letters[:30] + "-" * 30, "-" * 30 + letters[30:]):
        if part.strip("-"):
            chain.segment(MARCH, [{"id": "STACK.CO2", **hour(letters=part)}])
    if chain.leaves:
        (late,) = channels(chain)
        assert late.hours(MONTH)[0] == value
