"""Derived channels: flow and CO2 mass of the same minute, flags combined by rule, hours and substitution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from accounting.cems import Basis
from accounting.cems_cases import Case, Part
from accounting.cems_channels import DerivedError, DerivedRule, combined_flag, derive, figure_of, rule_of
from accounting.cems_rules import rules_name, rules_named
from accounting.exact import half_up
from accounting.substitution import HourFigure, HourState, fill, totals
from evidence.channel import Channel, ChannelKind
from evidence.hours import hour_value
from evidence.judge_rules import packaged_rules
from evidence.minutes import MINUTE, minute_values
from evidence.reading import Flag, Reading

CN, CHECKS = rules_named(), packaged_rules()
T0 = datetime(2026, 3, 1, tzinfo=UTC)
NOW = T0 + timedelta(hours=2)
POLL = timedelta(seconds=5)
STACK = (Part.VELOCITY, Part.TEMPERATURE, Part.GAUGE, Part.BAROMETER, Part.MOISTURE, Part.CO2)
UNITS = {
    Part.VELOCITY: "m/s",
    Part.TEMPERATURE: "degC",
    Part.GAUGE: "Pa",
    Part.BAROMETER: "kPa",
    Part.MOISTURE: "%",
    Part.CO2: "%",
}
KILN = {
    Part.VELOCITY: "9.85",
    Part.TEMPERATURE: "48.0",
    Part.GAUGE: "-120",
    Part.BAROMETER: "101.325",
    Part.MOISTURE: "18.0",
    Part.CO2: "22.4",
}


def channel(part: Part, **members: object) -> Channel:
    made = Channel(part.value, UNITS.get(part, "%"), ChannelKind.VALUE, POLL, "cems", "modbus", subject="KILN")
    return replace(made, **members)  # type: ignore[arg-type]


RULE = DerivedRule(
    "STACK.CO2", Case.MASS, {part: channel(part) for part in STACK}, {"area_m2": Decimal("27.64")}, rules_name()
)
FLOW = replace(
    RULE,
    name="STACK.FLOW",
    case=Case.FLOW,
    channels={part: one for part, one in RULE.channels.items() if part is not Part.CO2},
)
BY_CHANNEL = {part.value: CHECKS for part in Part}


def readings(minutes: int = 1, **changed: tuple[str, Flag]) -> Mapping[str, list[Reading]]:
    """Readings of all parts every five seconds; a changed part has another value and flag throughout."""
    made = {}
    for part in STACK:
        value, flag = changed.get(part.value, (KILN[part], Flag.NORMAL))
        number = Decimal(value) if value else None
        made[part.value] = [
            Reading(part.value, T0 + at * POLL, number, UNITS[part], flag, T0) for at in range(12 * minutes)
        ]
    return made


def value_of(rule: DerivedRule, said: Mapping[str, list[Reading]]) -> Decimal:
    (one,) = derive(rule, said, CN, BY_CHANNEL, NOW)
    assert one.value is not None, one
    return one.value


def test_minute_of_the_kiln_is_the_printed_case() -> None:
    (flow,) = derive(FLOW, readings(), CN, BY_CHANNEL, NOW)
    (mass,) = derive(RULE, readings(), CN, BY_CHANNEL, NOW)
    assert (flow.channel, flow.unit, flow.flag, flow.time) == ("STACK.FLOW", "Nm3/h", Flag.NORMAL, T0)
    assert (mass.channel, mass.unit, mass.reason) == ("STACK.CO2", "t/h", "co2-mass")
    assert flow.value is not None
    assert mass.value is not None
    assert (str(half_up(flow.value, 1)), str(half_up(mass.value, 3))) == ("682705.8", "300.391")
    assert (
        mass.raw
        == "barometer=101.325000 co2=22.400000 gauge=-120.000000 moisture=18.000000 temperature=48.000000"
        + (" velocity=9.850000")
    )


HIGH = {
    "velocity": ("11.2", Flag.NORMAL),
    "temperature": ("92.5", Flag.NORMAL),
    "gauge": ("-350", Flag.NORMAL),
    "barometer": ("81.2", Flag.NORMAL),
    "moisture": ("9.5", Flag.NORMAL),
    "co2": ("18.40", Flag.NORMAL),
}


def test_plant_at_altitude_is_the_printed_case_wet_and_dry() -> None:
    area = {"area_m2": Decimal("19.635")}
    wet = replace(FLOW, basis=Basis.WET, constants=area)
    assert str(half_up(value_of(wet, readings(**HIGH)), 1)) == "471834.9"
    assert str(half_up(value_of(replace(FLOW, constants=area), readings(**HIGH)), 1)) == "427010.6"
    assert str(half_up(value_of(replace(RULE, constants=area), readings(**HIGH)), 3)) == "154.334"


def test_density_is_of_the_rule_set() -> None:
    real_gas = CN.model_copy(update={"density": CN.density.model_copy(update={"numerator": 4401, "denominator": 2240})})
    (mass,) = derive(RULE, readings(), real_gas, BY_CHANNEL, NOW)
    assert mass.value is not None
    assert str(half_up(mass.value, 3)) == "300.459"


def test_reference_oxygen_and_american_tons_are_the_printed_cases() -> None:
    def said(part: Part, value: str, unit: str) -> tuple[Channel, list[Reading]]:
        one = channel(part, unit=unit)
        return one, [Reading(one.id, T0 + at * POLL, Decimal(value), unit, Flag.NORMAL, T0) for at in range(12)]

    dust, dusty = said(Part.CONCENTRATION, "50", "mg/m3")
    oxygen, airy = said(Part.OXYGEN, "14.2", "%")
    parts = {Part.CONCENTRATION: dust, Part.OXYGEN: oxygen}
    rule = DerivedRule("DUST.REF", Case.OXYGEN, parts, {"oxygen_reference": Decimal(10)}, rules_name())
    assert str(half_up(value_of(rule, {dust.id: dusty, oxygen.id: airy}), 2)) == "80.88"
    flow, flowing = said(Part.FLOW, "50000000", "scfh")
    co2, gas = said(Part.CO2, "12", "%")
    american = DerivedRule("US", Case.US, {Part.FLOW: flow, Part.CO2: co2}, {}, rules_name("us-part75"))
    assert str(half_up(value_of(american, {flow.id: flowing, co2.id: gas}), 1)) == "342.0"


def test_wet_analyser_and_milligrams_give_the_same_mass() -> None:
    dry = value_of(RULE, readings())
    assert value_of(replace(RULE, basis=Basis.WET), readings(co2=("18.368", Flag.NORMAL))) == dry
    heavy = replace(RULE, channels={**RULE.channels, Part.CO2: channel(Part.CO2, unit="mg/m3")})
    assert value_of(heavy, readings(co2=("440000", Flag.NORMAL))) == dry


def test_velocity_coefficient_and_fixed_barometer_are_of_the_rule() -> None:
    parts = {part: one for part, one in RULE.channels.items() if part is not Part.BAROMETER}
    constants = {**RULE.constants, "barometer_pa": Decimal(101_325), "velocity_coefficient": Decimal(2)}
    fixed = replace(RULE, channels=parts, constants=constants)
    assert value_of(fixed, readings(velocity=("4.925", Flag.NORMAL))) == value_of(RULE, readings())


@pytest.mark.parametrize(
    ("changed", "flag", "reason", "has_value"),
    [
        ({"moisture": ("18", Flag.MAINTENANCE)}, Flag.MAINTENANCE, "co2-mass: M of moisture", False),
        (
            {"co2": ("22", Flag.CALIBRATION), "moisture": ("18", Flag.MAINTENANCE)},
            Flag.CALIBRATION,
            "co2-mass: C of co2",
            False,
        ),
        (
            {"co2": ("", Flag.NO_COMMUNICATION), "gauge": ("0", Flag.FAULT)},
            Flag.NO_COMMUNICATION,
            "co2-mass: B of co2",
            False,
        ),
        ({"velocity": ("45", Flag.OVER_RANGE)}, Flag.OVER_RANGE, "co2-mass: T of velocity", False),
        ({"moisture": ("100", Flag.NORMAL)}, Flag.FAULT, "co2-mass: moisture is a share", False),
        ({"velocity": ("9" * 70, Flag.NORMAL)}, Flag.FAULT, "co2-mass: number too long to record", False),
    ],
)
def test_flags_of_the_parts_are_combined_by_rule(
    changed: dict[str, tuple[str, Flag]], flag: Flag, reason: str, has_value: bool
) -> None:
    for one in derive(RULE, readings(**changed), CN, BY_CHANNEL, NOW):
        assert (one.flag, one.value is not None) == (flag, has_value)
        assert one.reason.startswith(reason)


def test_part_that_touched_its_range_makes_a_lower_bound() -> None:
    said = dict(readings())
    said["co2"] = [
        *said["co2"][:10],
        *(replace(one, flag=Flag.OVER_RANGE, value=Decimal(30)) for one in said["co2"][10:]),
    ]
    for one in derive(RULE, said, CN, BY_CHANNEL, NOW):
        assert (one.flag, one.value is not None) == (Flag.OVER_RANGE, True)


def test_readings_of_another_minute_are_not_taken() -> None:
    said = dict(readings())
    said["co2"] = [replace(one, time=one.time + MINUTE) for one in said["co2"]]
    found = derive(RULE, said, CN, BY_CHANNEL, NOW)
    assert [one.time for one in found] == [T0, T0 + MINUTE]
    assert {one.flag for one in found} == {Flag.NO_COMMUNICATION}
    assert found[0].reason == "co2-mass: B of co2"
    assert combined_flag({}) == (Flag.NORMAL, "")


def test_declaration_of_a_derived_channel_says_all_a_recomputation_needs() -> None:
    declared = Channel.from_config(replace(RULE, basis=Basis.WET).channel().config_data())
    assert (declared.kind, declared.param, declared.via) == (ChannelKind.DERIVED, None, "derived")
    again = rule_of(declared, {part.value: channel(part) for part in STACK})
    assert value_of(again, readings()) == value_of(replace(RULE, basis=Basis.WET), readings())
    with pytest.raises(DerivedError, match="no rule known"):
        rule_of(replace(declared, derived=None), {})


@pytest.mark.parametrize(
    ("wrong", "member"),
    [
        ({"channels": {Part.CO2: channel(Part.CO2)}}, "inputs.barometer"),
        ({"constants": {"area_m2": Decimal(1), "barometer_pa": Decimal(101_325)}}, "inputs.barometer"),
        ({"channels": {**RULE.channels, Part.GAUGE: channel(Part.GAUGE, unit="bar")}}, "inputs.gauge"),
        ({"channels": {**RULE.channels, Part.GAUGE: channel(Part.GAUGE, kind=ChannelKind.STATE)}}, "inputs.gauge"),
        ({"channels": {**RULE.channels, Part.GAUGE: channel(Part.GAUGE, poll=2 * MINUTE)}}, "inputs.gauge"),
        ({"constants": {}}, "constants.area_m2"),
        ({"constants": {"area_m2": Decimal(0)}}, "constants.area_m2"),
        ({"constants": {**RULE.constants, "oxygen_reference": Decimal(10)}}, "constants.oxygen_reference"),
    ],
)
def test_rule_that_does_not_fit_its_parts_is_refused(wrong: dict[str, object], member: str) -> None:
    with pytest.raises(DerivedError) as refused:
        replace(RULE, **wrong)  # type: ignore[arg-type]
    assert refused.value.member == member


def test_hours_of_the_mass_channel_go_into_substitution() -> None:
    """An hour measured, one with too few minutes, one stopped: coded and totalled apart."""
    mass = derive(RULE, readings(60), CN, BY_CHANNEL, NOW)
    minutes = minute_values(mass, MINUTE, CHECKS)
    whole = hour_value(T0, "STACK.CO2", minutes, CHECKS)
    half = hour_value(T0, "STACK.CO2", minutes[:30], CHECKS, operating=[one.start for one in minutes[:30]])
    short = hour_value(T0, "STACK.CO2", minutes[:44], CHECKS)
    stopped = hour_value(T0, "STACK.CO2", [], CHECKS, operating=[])
    figures = [figure_of(one) for one in (whole, half, short, stopped)]
    assert [one.state for one in figures] == [
        HourState.MEASURED,
        HourState.MEASURED,
        HourState.MISSING,
        HourState.NOT_OPERATING,
    ]
    assert [None if one.value is None else str(half_up(one.value, 3)) for one in figures] == [
        "300.391",
        "150.195",
        None,
        None,
    ]
    placed = [replace(figures[0], start=T0 - timedelta(hours=9 - at)) for at in range(9)] + figures[2:3]
    placed.append(replace(figures[3], start=T0 + timedelta(hours=1)))
    found = totals(fill(placed, CN, "mass", ZoneInfo("Asia/Shanghai")), CN)
    assert (str(half_up(found.measured, 3)), str(half_up(found.substituted, 3))) == ("2703.515", "300.391")
    assert figure_of(short, good_until=T0) == HourFigure(T0, HourState.MISSING, good_until=T0)
