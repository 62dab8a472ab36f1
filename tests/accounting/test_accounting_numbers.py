"""Exact arithmetic, units and the parameter set's own rules."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting.calculation import calculate
from accounting.errors import InputError, ParameterError, PlanError, UnitError
from accounting.exact import down, exact_sum, half_up
from accounting.formulas.sectors import sector_of
from accounting.parameter_set import packaged_bytes, packaged_ids, read_parameters
from accounting.period import month_of
from accounting.plan import zone_of
from accounting.units import UNITS, convert
from evidence.encoding import jcs

AMOUNTS = st.decimals(min_value=0, max_value=10**9, places=6, allow_nan=False, allow_infinity=False)
PAIRS = sorted((a, b) for a in UNITS for b in UNITS if UNITS[a].dimension == UNITS[b].dimension)
DECIMAL_PAIRS = [pair for pair in PAIRS if UNITS[pair[0]].dimension != "time"]


@pytest.mark.parametrize(
    ("value", "places", "expected"),
    [
        ("2.345", 2, "2.35"),
        ("-2.345", 2, "-2.35"),
        ("2.344999999999999999999999999999999999999", 2, "2.34"),
        ("0.005", 2, "0.01"),
        ("-0.004", 2, "0.00"),
        ("12", 0, "12"),
        ("12", 2, "12.00"),
    ],
)
def test_half_up_rounds_halves_away_from_zero(value: str, places: int, expected: str) -> None:
    assert str(half_up(Decimal(value), places)) == expected


def test_share_is_cut_so_that_full_means_full() -> None:
    assert str(down(Fraction(999999, 1000000), 4)) == "0.9999"
    assert str(down(Fraction(-1, 3), 2)) == "-0.33"


@given(st.lists(AMOUNTS, max_size=30), st.randoms(use_true_random=False))
def test_sum_does_not_depend_on_order(values: list[Decimal], order: Any) -> None:
    shuffled = list(values)
    order.shuffle(shuffled)
    assert str(exact_sum(shuffled)) == str(exact_sum(values))


@given(AMOUNTS, st.sampled_from(DECIMAL_PAIRS))
def test_units_of_one_dimension_convert_there_and_back(value: Decimal, pair: tuple[str, str]) -> None:
    assert convert(convert(value, pair[0], pair[1]), pair[1], pair[0]) == value


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        ("126238.29", "kWh", "MWh", "126.23829"),
        ("7000", "kg", "t", "7.000"),
        ("223200", "Nm3", "10^4Nm3", "22.3200"),
        ("1.5", "万Nm3", "Nm³", "15000.0"),
        ("2", "h", "min", "120"),
        ("38.0", "MJ/Nm3", "GJ/10^4Nm3", "380.0"),
        ("1", "吨", "t", "1"),
    ],
)
def test_conversion_is_exact(value: str, source: str, target: str, expected: str) -> None:
    assert str(convert(Decimal(value), source, target)) == expected


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("furlong", "t", "unknown unit 'furlong'"),
        ("t", "furlong", "unknown unit 'furlong'"),
        ("kWh", "GJ", r"'kWh' \(electric energy\) cannot become 'GJ' \(heat\)"),
        ("m3", "Nm3", "cannot become"),
        ("s", "h", "no exact decimal form"),
    ],
)
def test_conversion_without_an_exact_answer_is_refused(source: str, target: str, message: str) -> None:
    with pytest.raises(UnitError, match=message) as caught:
        convert(Decimal(1), source, target)
    assert caught.value.zh != caught.value.en


@given(AMOUNTS, AMOUNTS)
def test_emission_grows_with_the_quantity(a: Decimal, b: Decimal) -> None:
    less, more = sorted((a, b))
    request = {
        "calculations": [
            {"formula": "fuel.heat", "material": "coke", "FC": format(amount, "f")} for amount in (less, more)
        ]
    }
    first, second = (Decimal(one["value"]) for one in calculate(jcs(request))["results"])
    assert first <= second


@given(st.lists(AMOUNTS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_balance_is_the_sum_of_its_lines_in_any_order(amounts: list[Decimal], order: Any) -> None:
    roles = [("fuel", "coke"), ("input", "scrap"), ("product", "crude_steel"), ("output", "coke_oven_gas")]
    items = []
    for n, amount in enumerate(amounts):
        role, material = roles[n % 4]
        items.append({"item": str(n), "role": role, "material": material, "AD": format(amount, "f")})
    shuffled = list(items)
    order.shuffle(shuffled)
    plain, other = (
        calculate(jcs({"formula": "steel.balance", "items": listed}))["results"][0] for listed in (items, shuffled)
    )
    assert plain["total"] == other["total"]
    assert sum(Decimal(line["emission"]) for line in plain["lines"]) == Decimal(plain["total"])


def test_every_packaged_set_is_valid_and_cites_a_source_for_each_number() -> None:
    for name in packaged_ids():
        parameters = read_parameters(packaged_bytes(name))
        assert parameters.id == name
        for material in parameters.materials:
            for factor in material.values.values():
                assert factor.source


def changed(**members: Any) -> bytes:
    document = json.loads(packaged_bytes("cn-steel-2024"))
    document.update(members)
    return json.dumps(document, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"colour": "red"}, "colour: unknown member"),
        ({"guide": None}, "guide"),
        ({"carbon_to_co2": {"numerator": 44}}, r"carbon_to_co2\.denominator: missing member"),
        ({"valid": {"from": "2024-13", "source": "x", "mark": "A"}}, r"valid\.from"),
        ({"materials": [{"id": "x", "name": {"zh": "x", "en": "x"}, "unit": "furlong", "values": {}}]}, "furlong"),
    ],
)
def test_wrong_set_is_refused_with_its_path(members: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        read_parameters(changed(**members))


CEMENT = {
    "v": 1,
    "id": "cn-cement-test",
    "version": "1",
    "sector": "cement",
    "guide": "CETS-AG-02.01-V01-2024",
    "valid": {"from": "2024-01", "source": "test", "mark": "C"},
    "processes": [],
    "auxiliary": [],
    "oxidation": [
        {"state": "solid", "equipment": "kiln", "value": "99", "unit": "%", "source": "S5, S7", "mark": "A"},
        {"state": "solid", "equipment": "boiler", "value": "85", "unit": "%", "source": "S5", "mark": "B"},
    ],
    "materials": [
        {
            "id": "clinker",
            "name": {"zh": "硅酸盐水泥熟料", "en": "Portland clinker"},
            "unit": "t",
            "values": {"ef_process": {"value": "0.535", "unit": "tCO2/t", "source": "S5, S7", "mark": "A"}},
        },
        {
            "id": "coal",
            "name": {"zh": "烟煤", "en": "Bituminous coal"},
            "unit": "t",
            "state": "solid",
            "values": {},
        },
    ],
    "constants": {"gwp_cf4": {"value": "6630", "unit": "tCO2/t", "source": "S5", "mark": "B"}},
}


def test_schema_holds_another_sector_whose_formulas_are_still_to_come() -> None:
    cement = read_parameters(changed(**CEMENT))
    coal = cement.material("coal")
    assert cement.oxidation_of(coal, "kiln").value == 99
    assert cement.oxidation_of(coal, "boiler").value == 85
    with pytest.raises(ParameterError, match="no oxidation rate"):
        cement.oxidation_of(coal)
    with pytest.raises(ParameterError, match="no formulas for sector 'cement'"):
        sector_of(cement.sector)


def test_material_named_twice_is_refused() -> None:
    one = {"id": "x", "name": {"zh": "x", "en": "x"}, "unit": "t", "values": {}}
    with pytest.raises(ParameterError, match="materials name 'x' twice"):
        read_parameters(changed(materials=[one, one]))


def test_total_rounded_once_is_a_switch() -> None:
    document = json.loads(packaged_bytes("cn-steel-2024"))
    document["rounding"]["total"]["mode"] = "rounded-once"
    items = [
        {"item": str(n), "role": "input", "material": "ferrosilicon", "AD": "0.7"} for n in range(4)
    ]  # 0.0049 each
    request = jcs({"formula": "steel.balance", "items": items})
    assert calculate(request)["results"][0]["total"] == "0.00"
    assert calculate(request, json.dumps(document).encode())["results"][0]["total"] == "0.02"


def test_set_without_rounding_prints_twelve_decimals() -> None:
    document = json.loads(packaged_bytes("cn-steel-2024"))
    document["rounding"]["emission"] = {"mode": "none", "source": "test", "mark": "C"}
    request = jcs({"formula": "fuel.carbon", "material": "coke", "FC": "1", "C_ar": "0.1"})
    assert calculate(request, json.dumps(document).encode())["results"][0]["value"] == "0.366666666667"


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"formula": "magic"}, InputError, "input: "),
        ({}, InputError, "calculations: missing member"),
        ({"formula": "fuel.heat", "material": "coke"}, InputError, "FC: missing member"),
        ({"formula": "fuel.heat", "material": "coke", "FC": 1}, InputError, "FC"),
        ({"formula": "fuel.heat", "material": "coke", "FC": "1e3"}, InputError, "not a decimal string"),
        ({"formula": "fuel.heat", "material": "coke", "FC": "1", "X": "1"}, InputError, "X: unknown member"),
        ({"formula": "fuel.heat", "material": "mud", "FC": "1"}, ParameterError, "unknown material 'mud'"),
        ({"formula": "fuel.heat", "material": "scrap", "FC": "1"}, ParameterError, "no oxidation rate"),
        ({"formula": "fuel.heat", "material": "coke", "FC": "1", "OF": "101"}, InputError, "OF: must lie between"),
        (
            {"formula": "fuel.heat", "material": "coke", "FC": {"value": "1", "unit": "furlong"}},
            UnitError,
            "input: FC: unknown unit 'furlong'",
        ),
        ({"formula": "input.factor", "material": "coke", "AD": "1"}, ParameterError, "'coke' has no 'ef_input'"),
        ({"formula": "intensity", "E": "1", "AD": "0"}, InputError, "AD: the output is zero"),
        ({"formula": "carbon.air-dried", "C_ad": "1", "M_ar": "1", "M_ad": "100"}, InputError, "M_ad"),
        (
            {"formula": "mean", "symbol": "NCV", "unit": "GJ/t", "rows": [{"Q": "0", "X": "1"}]},
            InputError,
            "add up to zero",
        ),
        (
            {"formula": "mean", "symbol": "ZZ", "unit": "GJ/t", "rows": [{"Q": "1", "X": "1"}]},
            InputError,
            "does not say its decimals",
        ),
        ({"formula": "auxiliary", "material": "steam", "year": "2025", "AD": "1"}, InputError, "material"),
        (
            {
                "formula": "steel.balance",
                "items": [{"item": "s", "role": "input", "material": "scrap", "AD": "1", "NCV": "2"}],
            },
            InputError,
            "belong to fuels",
        ),
        ({"parameters": "cn-steel-1999", "formula": "sum", "E": ["1"]}, ParameterError, "unknown parameter set"),
    ],
)
def test_bad_calculation_is_refused(request_: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        calculate(jcs(request_))


@pytest.mark.parametrize("data", [b"", b"nonsense", b"[1]", b'{"formula":1.5}'])
def test_calculation_that_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="input"):
        calculate(data)


@pytest.mark.parametrize(
    ("period", "zone", "hours"),
    [
        ("2026-02", "Asia/Shanghai", 672),
        ("2024-02", "Asia/Shanghai", 696),
        ("2026-12", "Asia/Shanghai", 744),
        ("2026-03", "Europe/Berlin", 743),
        ("2026-10", "Europe/Berlin", 745),
        ("2026-03", "Asia/Kolkata", 744),
    ],
)
def test_month_has_the_hours_of_its_zone(period: str, zone: str, hours: int) -> None:
    month = month_of(period, zone_of(zone))
    assert month.hours == hours
    assert month.missing_spans(set()) == [(month.start, month.end)]
    assert month.holds(month.start)
    assert not month.holds(month.end)


def test_zone_that_does_not_exist_is_refused() -> None:
    with pytest.raises(PlanError, match="unknown time zone"):
        zone_of("")
