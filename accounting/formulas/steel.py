"""Steel (钢铁): the enterprise's carbon balance and the balance of one process line.

    enterprise   E = E_fuel + E_process − E_product
    process      E = Σ inputs − Σ outputs

Purchased electricity and heat are auxiliary and stand in neither (`auxiliary.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from accounting.derivation import Computed, Derivation
from accounting.errors import ParameterError
from accounting.formulas.factor import by_factor, deducted
from accounting.formulas.fuel import fuel_by_carbon, fuel_by_heat
from accounting.formulas.lines import Flow, Line
from accounting.formulas.rules import Rules, rules_of
from accounting.parameter_set import Material, ParameterSet, source_of

COUNTED = ("fuel", "input", "product", "output")
"""Roles that stand in a balance; the others are auxiliary."""


def balance(flows: Sequence[Flow], parameters: ParameterSet) -> list[Line]:
    """Compute the lines of a balance, of the enterprise or of one process line, in the order of the flows."""
    return [line_of(flow, parameters) for flow in flows if flow.role in COUNTED]


def line_of(flow: Flow, parameters: ParameterSet) -> Line:
    """Compute one line: what enters counts, what leaves is deducted.

    Raises:
        ParameterError: the set lacks a value that the role needs.
    """
    rules = rules_of(parameters)
    if flow.role == "fuel":
        formula, figure = _fuel(flow, parameters, rules)
        return Line(flow.item, formula, figure)
    if flow.role == "input":
        return Line(flow.item, "input.factor", _by(flow, "ef_input", parameters, rules))
    if flow.role == "product":
        return Line(flow.item, "product.factor", deducted(_by(flow, "ef_product", parameters, rules)))
    if flow.role == "output":
        if _is_fuel(flow.material) and "ef_product" not in flow.material.values:
            formula, figure = _fuel(flow, parameters, rules)
            return Line(flow.item, formula.replace("fuel", "output"), deducted(figure))
        value = "ef_product" if "ef_product" in flow.material.values else "ef_input"
        return Line(flow.item, "output.factor", deducted(_by(flow, value, parameters, rules)))
    raise ParameterError(
        f"item {flow.item!r}: role {flow.role!r} stands in no balance",
        f"项目“{flow.item}”：角色“{flow.role}”不参与碳平衡",
    )


def needed_values(role: str, material: Material) -> tuple[str, ...]:
    """Return the values that a material must have in the set to play a role."""
    if role == "fuel":
        return ("ncv", "cc")
    if role == "input":
        return ("ef_input",)
    if role == "product":
        return ("ef_product",)
    if role == "output":
        return next(
            (names for names in (("ef_product",), ("ncv", "cc"), ("ef_input",)) if set(names) <= set(material.values)),
            ("ef_product",),
        )
    return ()


def _is_fuel(material: Material) -> bool:
    return "ncv" in material.values and "cc" in material.values


def _fuel(flow: Flow, parameters: ParameterSet, rules: Rules) -> tuple[str, Computed]:
    of = _leaf("OF", flow.material, parameters)
    if flow.carbon is not None:
        return "fuel.carbon", fuel_by_carbon(flow.quantity, flow.carbon, of, rules)
    ncv = flow.ncv or factor_leaf("NCV", flow.material, "ncv", parameters)
    cc = factor_leaf("CC", flow.material, "cc", parameters)
    return "fuel.heat", fuel_by_heat(flow.quantity, ncv, cc, of, rules)


def _by(flow: Flow, value: str, parameters: ParameterSet, rules: Rules) -> Computed:
    return by_factor(flow.quantity, factor_leaf("EF", flow.material, value, parameters), rules)


def factor_leaf(symbol: str, material: Material, value: str, parameters: ParameterSet) -> Derivation:
    """Return a value of the set as a leaf that cites it."""
    factor = parameters.value(material, value)
    return Derivation(symbol, factor.value, factor.unit, source_of(parameters, f"{material.id}.{value}", factor))


def _leaf(symbol: str, material: Material, parameters: ParameterSet) -> Derivation:
    rate = parameters.oxidation_of(material)
    return Derivation(symbol, rate.value, rate.unit, source_of(parameters, f"oxidation.{rate.state}", rate))
