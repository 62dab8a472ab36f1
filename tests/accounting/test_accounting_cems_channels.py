"""Derived channels: flow and CO2 mass of the same minute, flags combined by rule, hours and substitution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from accounting.cems import Basis
from accounting.cems_channels import DerivedError, Part, StackRule, combined_flag, derive, figure_of
from accounting.cems_rules import rules_named
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
    made = Channel(part.value, UNITS[part], ChannelKind.VALUE, POLL, "cems", "modbus", subject="KILN")
    return replace(made, **members)  # type: ignore[arg-type]


RULE = StackRule(
    "stack-co2", {part: channel(part) for part in Part}, Decimal("27.64"), Basis.DRY, "STACK.FLOW", "STACK.CO2"
)


def readings(minutes: int = 1, **changed: tuple[str, Flag]) -> Mapping[str, list[Reading]]:
    """Readings of all parts every five seconds; a changed part has another value and flag throughout."""
    made = {}
    for part in Part:
        value, flag = changed.get(part.value, (KILN[part], Flag.NORMAL))
        number = Decimal(value) if value else None
        made[part.value] = [
            Reading(part.value, T0 + at * POLL, number, UNITS[part], flag, T0) for at in range(12 * minutes)
        ]
    return made


def test_minute_of_the_kiln_is_the_printed_case() -> None:
    flow, mass = derive(RULE, readings(), CN, CHECKS, NOW)
    assert (flow.channel, flow.unit, flow.flag, flow.time) == ("STACK.FLOW", "Nm3/h", Flag.NORMAL, T0)
    assert (mass.channel, mass.unit, mass.reason) == ("STACK.CO2", "t/h", "stack-co2")
    assert flow.value is not None
    assert mass.value is not None
    assert (str(half_up(flow.value, 1)), str(half_up(mass.value, 3))) == ("682705.8", "300.391")


def test_wet_analyser_and_milligrams_give_the_same_mass() -> None:
    wet = replace(RULE, co2_basis=Basis.WET)
    (_, by_wet) = derive(wet, readings(co2=("18.368", Flag.NORMAL)), CN, CHECKS, NOW)
    (_, by_dry) = derive(RULE, readings(), CN, CHECKS, NOW)
    assert by_wet.value == by_dry.value
    heavy = replace(RULE, channels={**RULE.channels, Part.CO2: channel(Part.CO2, unit="mg/m3")})
    (_, by_mass) = derive(heavy, readings(co2=("440000", Flag.NORMAL)), CN, CHECKS, NOW)
    assert by_mass.value == by_dry.value


def test_velocity_coefficient_and_fixed_barometer_are_of_the_rule() -> None:
    parts = {part: one for part, one in RULE.channels.items() if part is not Part.BAROMETER}
    fixed = replace(RULE, channels=parts, barometer=Decimal(101_325), velocity_coefficient=Decimal(2))
    slow = readings(velocity=("4.925", Flag.NORMAL))
    assert [one.value for one in derive(fixed, slow, CN, CHECKS, NOW)] == [
        one.value for one in derive(RULE, readings(), CN, CHECKS, NOW)
    ]


@pytest.mark.parametrize(
    ("changed", "flag", "reason", "has_value"),
    [
        ({"moisture": ("18", Flag.MAINTENANCE)}, Flag.MAINTENANCE, "stack-co2: M of moisture", False),
        (
            {"co2": ("22", Flag.CALIBRATION), "moisture": ("18", Flag.MAINTENANCE)},
            Flag.CALIBRATION,
            "stack-co2: C of co2",
            False,
        ),
        (
            {"co2": ("", Flag.NO_COMMUNICATION), "gauge": ("0", Flag.FAULT)},
            Flag.NO_COMMUNICATION,
            "stack-co2: B of co2",
            False,
        ),
        ({"velocity": ("45", Flag.OVER_RANGE)}, Flag.OVER_RANGE, "stack-co2: T of velocity", False),
        ({"moisture": ("100", Flag.NORMAL)}, Flag.FAULT, "stack-co2: moisture is a share", False),
    ],
)
def test_flags_of_the_parts_are_combined_by_rule(
    changed: dict[str, tuple[str, Flag]], flag: Flag, reason: str, has_value: bool
) -> None:
    for one in derive(RULE, readings(**changed), CN, CHECKS, NOW):
        assert (one.flag, one.value is not None) == (flag, has_value)
        assert one.reason.startswith(reason)


def test_part_that_touched_its_range_makes_a_lower_bound() -> None:
    said = dict(readings())
    said["co2"] = [
        *said["co2"][:10],
        *(replace(one, flag=Flag.OVER_RANGE, value=Decimal(30)) for one in said["co2"][10:]),
    ]
    for one in derive(RULE, said, CN, CHECKS, NOW):
        assert (one.flag, one.value is not None) == (Flag.OVER_RANGE, True)


def test_readings_of_another_minute_are_not_taken() -> None:
    said = dict(readings())
    said["co2"] = [replace(one, time=one.time + MINUTE) for one in said["co2"]]
    found = derive(RULE, said, CN, CHECKS, NOW)
    assert [one.time for one in found] == [T0, T0, T0 + MINUTE, T0 + MINUTE]
    assert {one.flag for one in found} == {Flag.NO_COMMUNICATION}
    assert found[0].reason == "stack-co2: B of co2"
    assert combined_flag({}) == (Flag.NORMAL, "")


def test_channels_of_the_rule_are_derived_and_never_an_accounting_parameter() -> None:
    flow, mass = RULE.derived_channels()
    assert (flow.kind, mass.kind, flow.param, mass.param) == (
        ChannelKind.DERIVED,
        ChannelKind.DERIVED,
        "cems_flow",
        "cems_co2",
    )
    assert Channel.from_config(mass.config_data()) == mass


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": {Part.CO2: channel(Part.CO2)}},
        {"barometer": Decimal(101_325)},
        {"channels": {**RULE.channels, Part.GAUGE: channel(Part.GAUGE, unit="bar")}},
        {"channels": {**RULE.channels, Part.GAUGE: channel(Part.GAUGE, kind=ChannelKind.STATE)}},
    ],
)
def test_rule_that_does_not_fit_its_parts_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DerivedError):
        replace(RULE, **wrong)  # type: ignore[arg-type]


def test_hours_of_the_mass_channel_go_into_substitution() -> None:
    """An hour measured, one with too few minutes, one stopped: coded and totalled apart."""
    mass = [one for one in derive(RULE, readings(60), CN, CHECKS, NOW) if one.channel == "STACK.CO2"]
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
