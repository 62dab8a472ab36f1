"""Results and auxiliary items of a month: quantities through the sector's formulas, with remarks.

A subject's total adds the lines it has; items without a quantity are named beside it, so that an
incomplete total never looks complete.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from accounting import units
from accounting.derivation import Derivation
from accounting.formulas.auxiliary import auxiliary
from accounting.formulas.lines import Flow, total_of
from accounting.formulas.sectors import sector_of
from accounting.issues import Issue, IssueCode
from accounting.ledgers import Ledgers
from accounting.parameter_set import ParameterSet
from accounting.period import Month
from accounting.plan import AUXILIARY_ROLES, Plan
from accounting.quantities import Quantity, measured_leaf
from evidence.encoding import decimal_text

EMISSION_UNIT = "tCO2"


@dataclass(frozen=True)
class Part:
    """Entries of a body's list, and the remarks that belong to them."""

    entries: list[dict[str, Any]]
    issues: tuple[Issue, ...]


def results_of(plan: Plan, parameters: ParameterSet, quantities: Sequence[Quantity], ledgers: Ledgers) -> Part:
    """Compute each subject's lines and total, in the order of the plan."""
    sector = sector_of(parameters.sector)
    counted = [quantity for quantity in quantities if quantity.item.role not in AUXILIARY_ROLES]
    issues: list[Issue] = []
    flows: dict[str, Flow] = {}
    for quantity in counted:
        if quantity.value is not None:
            flow, remarks = _flow(quantity, parameters, ledgers)
            flows[quantity.item.id] = flow
            issues.extend(remarks)
    entries = []
    for subject in plan.subjects:
        mine = [quantity.item.id for quantity in counted if subject.id in quantity.item.subjects]
        lines = sector.by_subject[subject.kind]([flows[name] for name in mine if name in flows], parameters)
        entry: dict[str, Any] = {
            "subject": subject.id,
            "name": subject.name.to_json(),
            "lines": [
                {
                    "item": line.item,
                    "formula": line.formula,
                    "emission": decimal_text(line.figure.value),
                    "unit": EMISSION_UNIT,
                    "derivation": line.figure.derivation.to_json(),
                }
                for line in lines
            ],
            "total": decimal_text(total_of(lines, parameters)),
            "unit": EMISSION_UNIT,
        }
        missing = [name for name in mine if name not in flows]
        if missing:
            entry["missing"] = missing
        entries.append(entry)
        issues.extend(issue for line in lines for issue in _unconfirmed(line.figure.derivation))
    return Part(entries, tuple(issues))


def auxiliary_of(parameters: ParameterSet, quantities: Sequence[Quantity], month: Month) -> Part:
    """Compute purchased electricity and heat, which stand in no total."""
    entries: list[dict[str, Any]] = []
    issues: list[Issue] = []
    for quantity in quantities:
        if quantity.item.role not in AUXILIARY_ROLES or quantity.value is None:
            continue
        leaf = quantity.leaf("AD", parameters.material(quantity.item.material))
        computed = auxiliary(quantity.item.material, leaf, month.year, parameters)
        entries.append(
            {
                "item": quantity.item.id,
                "quantity": decimal_text(quantity.value),
                "unit": quantity.unit,
                "emission": decimal_text(computed.figure.value),
                "derivation": computed.figure.derivation.to_json(),
            }
        )
        issues.extend(_unconfirmed(computed.figure.derivation))
        if computed.year != month.year:
            zh = f"参数集没有 {month.year} 年的因子，采用 {computed.year} 年的因子"
            en = f"the parameter set lists no factor for {month.year}; the one of {computed.year} is used"
            issues.append(Issue(IssueCode.YEAR_FACTOR, quantity.item.material, zh, en))
    return Part(entries, tuple(issues))


def _flow(quantity: Quantity, parameters: ParameterSet, ledgers: Ledgers) -> tuple[Flow, tuple[Issue, ...]]:
    item = quantity.item
    material = parameters.material(item.material)
    if item.role != "fuel":
        return Flow(item.id, item.role, material, quantity.leaf("AD", material)), ()
    per = units.unit(material.unit).name
    ncv, ncv_issues = measured_leaf(item, item.ncv, "NCV", f"GJ/{per}", ledgers)
    carbon, carbon_issues = measured_leaf(item, item.carbon, "C_ar", f"tC/{per}", ledgers)
    flow = Flow(item.id, item.role, material, quantity.leaf("FC", material), ncv, carbon)
    return flow, (*ncv_issues, *carbon_issues)


def _unconfirmed(tree: Derivation) -> Iterable[Issue]:
    if tree.source is not None and tree.source.get("mark") == "UNCONFIRMED":
        name = str(tree.source["parameter"])
        zh = f"参数 {name}={decimal_text(tree.value)} {tree.unit} 尚未确认"
        en = f"the value {decimal_text(tree.value)} {tree.unit} of {name} is not confirmed"
        yield Issue(IssueCode.UNCONFIRMED, name, zh, en)
    for child in tree.children:
        yield from _unconfirmed(child)
