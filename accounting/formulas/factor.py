"""A quantity times a factor: raw materials, products, purchased electricity and heat."""

from __future__ import annotations

from accounting.derivation import Computed, Derivation
from accounting.exact import exact_sum
from accounting.formulas.rules import UNROUNDED_DECIMALS, Rules, rounded


def by_factor(quantity: Derivation, factor: Derivation, rules: Rules) -> Computed:
    """Compute E = AD × EF."""
    return rules.emission(
        quantity.fraction * factor.fraction, f"{quantity.symbol} × {factor.symbol}", (quantity, factor)
    )


def deducted(figure: Computed) -> Computed:
    """Turn an emission round: carbon that leaves with a product is taken off."""
    inner = figure.derivation
    turned = Derivation(inner.symbol, -figure.value, inner.unit, None, f"− {inner.formula}", inner.children)
    return Computed(-figure.value, -figure.exact, turned)


def net_use(opening: Derivation, purchased: Derivation, supplied: Derivation, closing: Derivation) -> Computed:
    """Compute what was used: opening stock + purchased − supplied out − closing stock (购销存)."""
    value = exact_sum((opening.value, purchased.value, -supplied.value, -closing.value))
    children = (opening, purchased, supplied, closing)
    tree = Derivation("AD", value, opening.unit, None, "Q_open + Q_in − Q_out − Q_close", children)
    return Computed(value, tree.fraction, tree)


def intensity(emission: Derivation, output: Derivation, decimals: int | None) -> Computed:
    """Compute emission for each tonne of product; the output must not be zero."""
    places = UNROUNDED_DECIMALS if decimals is None else decimals
    return rounded(
        "INT", emission.fraction / output.fraction, f"tCO2/{output.unit}", "E / AD", (emission, output), places
    )
