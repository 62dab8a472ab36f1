"""The worked examples of the guides come out to the digit."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from accounting.calculation import calculate
from evidence.encoding import jcs


def compute(**calculation: Any) -> dict[str, Any]:
    result: dict[str, Any] = calculate(jcs(calculation))["results"][0]
    return result


@pytest.mark.parametrize(
    ("material", "consumption", "ncv", "expected"),
    [
        ("anthracite", "2317.68", "25.024", "5845.97"),
        ("coke_oven_gas", "920.50", None, "7100.11"),
        ("coke", "66522.44", None, "204049.48"),
    ],
)
def test_steel_fuels_v01_to_v03(material: str, consumption: str, ncv: str | None, expected: str) -> None:
    given = {"NCV": ncv} if ncv else {}
    assert compute(formula="fuel.heat", material=material, FC=consumption, **given)["value"] == expected


@pytest.mark.parametrize(
    ("material", "quantity", "expected"),
    [
        ("high_carbon_ferrochrome", "312.00", "108.58"),
        ("micro_carbon_ferromanganese", "1256.54", "5.03"),
        ("ferromolybdenum", "20.54", "0.37"),
        ("scrap", "55461.56", "2052.08"),
        ("graphite_electrode", "371.22", "1359.78"),
        ("limestone", "1891.38", "832.21"),
    ],
)
def test_steel_inputs_v04(material: str, quantity: str, expected: str) -> None:
    assert compute(formula="input.factor", material=material, AD=quantity)["value"] == expected


def test_crude_steel_is_deducted_v05() -> None:
    assert compute(formula="product.factor", material="crude_steel", AD="595279.00")["value"] == "-22025.32"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["575054.11", "469412.30", "120522.54", "55683.25"], "1220672.20"),
        (["196949.27", "106269.31", "10984.50"], "314203.08"),
    ],
)
def test_sums_v06(parts: list[str], expected: str) -> None:
    assert compute(formula="sum", E=parts)["value"] == expected


def test_natural_gas_with_and_without_rounded_carbon_v07() -> None:
    gas = {"material": "natural_gas", "FC": "21"}
    assert compute(formula="heat", **gas)["value"] == "8175.51"
    rounded = compute(formula="fuel.heat", OF="99", carbon_decimals=2, **gas)
    assert rounded["value"] == "454.33"
    assert rounded["derivation"]["children"][1]["value"] == "5.96"
    assert compute(formula="fuel.heat", OF="99", **gas)["value"] == "454.65"


@pytest.mark.parametrize(
    ("fuel", "expected"),
    [
        ({"material": "bituminous_coal", "FC": "18500.00", "NCV": "22.485", "OF": "99"}, "39531.28"),
        ({"material": "diesel", "FC": "12.30", "OF": "98"}, "38.08"),
    ],
)
def test_fuels_of_a_cement_line_v08(fuel: dict[str, str], expected: str) -> None:
    assert compute(formula="fuel.heat", **fuel)["value"] == expected


def test_bases_and_weighted_mean_v12() -> None:
    assert compute(formula="carbon.air-dried", C_ad="0.6125", M_ar="9.80", M_ad="2.15")["value"] == "0.5646"
    rows = [
        {"Q": "5210.35", "X": "22.105"},
        {"Q": "4987.20", "X": "21.874"},
        {"Q": "6120.75", "X": "22.462"},
    ]
    mean = compute(formula="mean", symbol="NCV", unit="GJ/t", rows=rows)
    assert (mean["value"], mean["unit"]) == ("22.168", "GJ/t")


@pytest.mark.parametrize(("carbon", "expected"), [("0.02618", "210023.81"), ("0.03085", "247487.96")])
def test_penalty_illustration_v15(carbon: str, expected: str) -> None:
    coal = {"material": "bituminous_coal", "FC": "100000", "NCV": "22.100", "OF": "99"}
    assert compute(formula="fuel.heat", CC=carbon, **coal)["value"] == expected


def test_measured_carbon_goes_first_where_it_is_given() -> None:
    by_carbon = compute(formula="fuel.carbon", material="coke", FC="100", C_ar="0.8365")
    assert Decimal(by_carbon["value"]) == Decimal("306.72")
    balance = compute(
        formula="steel.balance",
        items=[{"item": "coke", "role": "fuel", "material": "coke", "AD": "100", "NCV": "28", "C_ar": "0.8365"}],
    )
    assert balance["lines"][0]["formula"] == "fuel.carbon"
    assert balance["total"] == "306.72"


def test_purchased_power_takes_the_factor_of_its_year() -> None:
    power = {"formula": "auxiliary", "material": "electricity", "AD": {"value": "1000000", "unit": "kWh"}}
    assert compute(year="2022", **power)["value"] == "581.00"
    assert compute(year="2025", **power)["value"] == "536.60"


def test_intensity_and_net_use() -> None:
    assert compute(formula="intensity", E="1000", AD="1500")["value"] == "0.6667"
    stock = {"Q_open": "10.5", "Q_in": "100", "Q_out": "3.25", "Q_close": {"value": "7000", "unit": "kg"}}
    assert compute(formula="net-use", unit="t", **stock)["value"] == "100.250"


def test_process_balance_deducts_what_leaves() -> None:
    balance = compute(
        formula="steel.balance",
        items=[
            {"item": "coal", "role": "fuel", "material": "washed_coking_coal", "AD": "1000"},
            {"item": "coke", "role": "output", "material": "coke", "AD": "700"},
            {"item": "gas", "role": "output", "material": "coke_oven_gas", "AD": "30"},
            {"item": "tar", "role": "output", "material": "coal_tar", "AD": "30"},
        ],
    )
    lines = {line["item"]: (line["formula"], Decimal(line["emission"])) for line in balance["lines"]}
    assert lines["coke"] == ("output.heat", Decimal("-2147.16"))
    assert lines["tar"] == ("output.factor", Decimal("-80.97"))
    assert sum(emission for _, emission in lines.values()) == Decimal(balance["total"])
