"""Single calculations on given quantities, for checking a figure by hand: JSON in, JSON out.

    {"parameters": "cn-steel-2024", "calculations": [{"formula": "fuel.heat", "material": "coke", "FC": "10"}]}

One calculation may stand alone, without the list. Names of inputs are the symbols of the guides. A
quantity is a decimal string in the formula's unit, or {"value": …, "unit": …}. What is not given comes
from the parameter set where the set has it. `docs/calc.md` has an example of each formula.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from accounting import units
from accounting.derivation import Computed, Derivation
from accounting.documents import Closed, Id, Number, Text, read_document
from accounting.errors import InputError, UnitError
from accounting.exact import exact_sum
from accounting.formulas import factor as by
from accounting.formulas import fuel
from accounting.formulas.auxiliary import auxiliary
from accounting.formulas.lines import Flow, total_of
from accounting.formulas.rules import Rules, rules_of
from accounting.formulas.steel import balance, factor_leaf
from accounting.parameter_set import Material, ParameterSet, packaged_bytes, read_parameters, source_of
from evidence.encoding import decimal_text, jcs, strict_json
from evidence.errors import EvidenceError

DEFAULT_SET = "cn-steel-2024"


class Given(Closed):
    """A number of the input; without a unit it is in the unit that the formula wants."""

    value: Number
    unit: Text | None = None


def _plain(given: object) -> object:
    return {"value": given} if isinstance(given, str) else given


Amount = Annotated[Given, BeforeValidator(_plain)]


class _Fuel(Closed):
    material: Id
    FC: Amount
    OF: Amount | None = None
    carbon_decimals: Annotated[int, Field(ge=0, le=12)] | None = None


class FuelByHeat(_Fuel):
    """E = FC × NCV × CC × OF × 44/12."""

    formula: Literal["fuel.heat"]
    NCV: Amount | None = None
    CC: Amount | None = None


class FuelByCarbon(_Fuel):
    """E = FC × C_ar × OF × 44/12."""

    formula: Literal["fuel.carbon"]
    C_ar: Amount


class HeatOfFuel(Closed):
    """HEAT = FC × NCV."""

    formula: Literal["heat"]
    material: Id
    FC: Amount
    NCV: Amount | None = None


class CarbonFromAirDried(Closed):
    """C_ar = C_ad × (100 − M_ar) / (100 − M_ad)."""

    formula: Literal["carbon.air-dried"]
    C_ad: Amount
    M_ar: Amount
    M_ad: Amount


class CarbonFromDry(Closed):
    """C_ar = C_d × (100 − M_ar) / 100."""

    formula: Literal["carbon.dry"]
    C_d: Amount
    M_ar: Amount


class Row(Closed):
    """A value and the quantity it weighs."""

    Q: Number
    X: Number


class WeightedMean(Closed):
    """X = Σ(Q × X) / ΣQ."""

    formula: Literal["mean"]
    symbol: Text
    unit: Text
    rows: Annotated[list[Row], Field(min_length=1)]


class ByFactor(Closed):
    """E = AD × EF, deducted for a product."""

    formula: Literal["input.factor", "product.factor"]
    material: Id
    AD: Amount
    EF: Amount | None = None


class NetUse(Closed):
    """AD = Q_open + Q_in − Q_out − Q_close."""

    formula: Literal["net-use"]
    unit: Text
    Q_open: Amount
    Q_in: Amount
    Q_out: Amount
    Q_close: Amount


class Purchased(Closed):
    """E = AD × EF of the year; never part of a total."""

    formula: Literal["auxiliary"]
    material: Literal["electricity", "heat"]
    year: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    AD: Amount


class Intensity(Closed):
    """INT = E / AD."""

    formula: Literal["intensity"]
    E: Amount
    AD: Amount


class Sum(Closed):
    """E = ΣE."""

    formula: Literal["sum"]
    E: Annotated[list[Number], Field(min_length=1)]


class BalanceItem(Closed):
    """One flow of a balance."""

    item: Text
    role: Literal["fuel", "input", "product", "output"]
    material: Id
    AD: Amount
    NCV: Amount | None = None
    C_ar: Amount | None = None


class Balance(Closed):
    """E = Σ fuel + Σ input − Σ product − Σ output."""

    formula: Literal["steel.balance"]
    items: Annotated[list[BalanceItem], Field(min_length=1)]


Calculation = Annotated[
    FuelByHeat
    | FuelByCarbon
    | HeatOfFuel
    | CarbonFromAirDried
    | CarbonFromDry
    | WeightedMean
    | ByFactor
    | NetUse
    | Purchased
    | Intensity
    | Sum
    | Balance,
    Field(discriminator="formula"),
]


class Request(Closed):
    """What is to be computed, and with which set."""

    parameters: Id = DEFAULT_SET
    calculations: Annotated[list[Calculation], Field(min_length=1)]


def calculate(data: bytes, parameters: bytes | None = None) -> dict[str, Any]:
    """Compute what the input asks for, with a set that comes with the package or the one given.

    Raises:
        InputError, UnitError, ParameterError: naming what is wrong.
    """
    request = read_document(_as_list(data), Request, "input", InputError)
    values = read_parameters(parameters if parameters is not None else packaged_bytes(request.parameters))
    return {
        "parameters": {"id": values.id, "version": values.version},
        "results": [_compute(calculation, values) for calculation in request.calculations],
    }


def _as_list(data: bytes) -> bytes:
    try:
        document = strict_json(data)
    except EvidenceError:
        return data  # read_document says what is wrong
    if isinstance(document, dict) and "formula" in document:
        chosen = {"parameters": document.pop("parameters")} if "parameters" in document else {}
        return jcs({**chosen, "calculations": [document]})
    return data


def _compute(one: Calculation, values: ParameterSet) -> dict[str, Any]:
    rules = rules_of(values)
    if isinstance(one, Balance):
        return _balance(one, values)
    figure = _figure(one, values, rules)
    tree = figure.derivation
    return {
        "formula": one.formula,
        "symbol": tree.symbol,
        "value": decimal_text(figure.value),
        "unit": tree.unit,
        "derivation": tree.to_json(),
    }


def _figure(one: Calculation, values: ParameterSet, rules: Rules) -> Computed:
    match one:
        case FuelByHeat() | FuelByCarbon():
            return _fuel(one, values, rules)
        case HeatOfFuel():
            material, per = _material(one.material, values)
            ncv = _or_set("NCV", one.NCV, f"GJ/{per}", material, "ncv", values)
            return fuel.heat_of_fuel(_leaf("FC", one.FC, per), ncv, _decimals(values, "HEAT"))
        case CarbonFromAirDried():
            m_ad = _leaf("M_ad", one.M_ad, "%")
            if not 0 <= m_ad.value < 100:
                raise _wrong("M_ad", "must be at least 0 and below 100 %", "必须不小于 0 且小于 100 %")
            c_ad, m_ar = _leaf("C_ad", one.C_ad, "tC/t"), _percentage("M_ar", one.M_ar)
            return fuel.carbon_as_received_from_air_dried(c_ad, m_ar, m_ad, _decimals(values, "C_ar"))
        case CarbonFromDry():
            c_d, m_ar = _leaf("C_d", one.C_d, "tC/t"), _percentage("M_ar", one.M_ar)
            return fuel.carbon_as_received_from_dry(c_d, m_ar, _decimals(values, "C_ar"))
        case WeightedMean():
            if not exact_sum(row.Q for row in one.rows):
                raise _wrong("rows", "the quantities add up to zero", "权重数量之和为零")
            pairs = tuple(
                (Derivation("Q", row.Q, "", _GIVEN), Derivation("X", row.X, one.unit, _GIVEN)) for row in one.rows
            )
            return fuel.weighted_mean(pairs, one.symbol, _decimals(values, one.symbol))
        case ByFactor():
            material, per = _material(one.material, values)
            name = "ef_input" if one.formula == "input.factor" else "ef_product"
            ef = _or_set("EF", one.EF, "tCO2/t", material, name, values)
            figure = by.by_factor(_leaf("AD", one.AD, per), ef, rules)
            return figure if one.formula == "input.factor" else by.deducted(figure)
        case NetUse():
            opening, purchased, supplied, closing = (
                _leaf(symbol, getattr(one, symbol), units.unit(one.unit).name)
                for symbol in ("Q_open", "Q_in", "Q_out", "Q_close")
            )
            return by.net_use(opening, purchased, supplied, closing)
        case Purchased():
            _, per = _material(one.material, values)
            return auxiliary(one.material, _leaf("AD", one.AD, per), one.year, values).figure
        case Intensity():
            output = _leaf("AD", one.AD, "t")
            if not output.value:
                raise _wrong("AD", "the output is zero", "产量为零")
            return by.intensity(_leaf("E", one.E, "tCO2"), output, values.decimals_of("INT"))
        case Sum():
            children = tuple(Derivation("E", value, "tCO2", _GIVEN) for value in one.E)
            tree = Derivation("E", exact_sum(one.E), "tCO2", None, "ΣE", children)
            return Computed(tree.value, tree.fraction, tree)
        case Balance():  # pragma: no cover - has lines, computed by _balance
            raise AssertionError(one.formula)


def _fuel(one: FuelByHeat | FuelByCarbon, values: ParameterSet, rules: Rules) -> Computed:
    material, per = _material(one.material, values)
    if one.carbon_decimals is not None:
        rules = Rules(rules.ratio, rules.ratio_text, rules.emission_decimals, one.carbon_decimals)
    if one.OF is not None:
        of = _percentage("OF", one.OF)
    else:
        rate = values.oxidation_of(material)
        of = Derivation("OF", rate.value, rate.unit, source_of(values, f"oxidation.{rate.state}", rate))
    fc = _leaf("FC", one.FC, per)
    if isinstance(one, FuelByCarbon):
        return fuel.fuel_by_carbon(fc, _leaf("C_ar", one.C_ar, f"tC/{per}"), of, rules)
    ncv = _or_set("NCV", one.NCV, f"GJ/{per}", material, "ncv", values)
    cc = _or_set("CC", one.CC, "tC/GJ", material, "cc", values)
    return fuel.fuel_by_heat(fc, ncv, cc, of, rules)


def _balance(one: Balance, values: ParameterSet) -> dict[str, Any]:
    flows = []
    for item in one.items:
        material, per = _material(item.material, values)
        is_fuel = item.role == "fuel"
        if not is_fuel and (item.NCV or item.C_ar):
            raise _wrong(item.item, "NCV and C_ar belong to fuels", "NCV 和 C_ar 只用于燃料")
        ncv = _leaf("NCV", item.NCV, f"GJ/{per}") if item.NCV else None
        carbon = _leaf("C_ar", item.C_ar, f"tC/{per}") if item.C_ar else None
        quantity = _leaf("FC" if is_fuel else "AD", item.AD, per)
        flows.append(Flow(item.item, item.role, material, quantity, ncv, carbon))
    lines = balance(flows, values)
    return {
        "formula": one.formula,
        "lines": [
            {
                "item": line.item,
                "formula": line.formula,
                "emission": decimal_text(line.figure.value),
                "unit": "tCO2",
                "derivation": line.figure.derivation.to_json(),
            }
            for line in lines
        ],
        "total": decimal_text(total_of(lines, values)),
        "unit": "tCO2",
    }


_GIVEN = {"given": "input"}


def _material(name: str, values: ParameterSet) -> tuple[Material, str]:
    material = values.material(name)
    return material, units.unit(material.unit).name


def _leaf(symbol: str, given: Given, wanted: str) -> Derivation:
    try:
        value = given.value if given.unit is None else units.convert(given.value, given.unit, wanted)
    except UnitError as error:
        raise UnitError(f"input: {symbol}: {error.en}", f"输入：{symbol}：{error.zh}") from None
    return Derivation(symbol, value, wanted, _GIVEN)


def _or_set(
    symbol: str, given: Given | None, wanted: str, material: Material, name: str, values: ParameterSet
) -> Derivation:
    return _leaf(symbol, given, wanted) if given is not None else factor_leaf(symbol, material, name, values)


def _percentage(symbol: str, given: Given) -> Derivation:
    leaf = _leaf(symbol, given, "%")
    if not 0 <= leaf.value <= 100:
        raise _wrong(symbol, "must lie between 0 and 100 %", "必须在 0 到 100 % 之间")
    return leaf


def _decimals(values: ParameterSet, symbol: str) -> int:
    decimals = values.decimals_of(symbol)
    if decimals is None:
        raise _wrong(symbol, "the parameter set does not say its decimals", "参数集未规定其小数位数")
    return decimals


def _wrong(where: str, en: str, zh: str) -> InputError:
    return InputError(f"input: {where}: {en}", f"输入：{where}：{zh}")
