"""Fuel combustion (化石燃料燃烧): by default calorific value and carbon per heat, or by measured carbon.

    E = FC × C × OF × 44/12        C = NCV × CC, or the measured C_ar, which goes first

Nothing is rounded between the inputs and E, unless the set's switch rounds the carbon content.
"""

from __future__ import annotations

from fractions import Fraction

from accounting.derivation import Computed, Derivation
from accounting.exact import exact_product, half_up
from accounting.formulas.rules import Rules, rounded


def fuel_by_heat(fc: Derivation, ncv: Derivation, cc: Derivation, of: Derivation, rules: Rules) -> Computed:
    """Compute E from consumption, calorific value, carbon per heat and oxidation rate in percent."""
    carbon = exact_product(ncv.value, cc.value)
    content = Derivation("C", carbon, _per(fc.unit), None, "NCV × CC", (ncv, cc))
    return _burn(fc, content, of, rules)


def fuel_by_carbon(fc: Derivation, c_ar: Derivation, of: Derivation, rules: Rules) -> Computed:
    """Compute E from consumption, measured carbon content as received and oxidation rate in percent."""
    return _burn(fc, c_ar, of, rules)


def heat_of_fuel(fc: Derivation, ncv: Derivation, decimals: int) -> Computed:
    """Compute the heat of a fuel: FC × NCV, in GJ."""
    return rounded("HEAT", fc.fraction * ncv.fraction, "GJ", "FC × NCV", (fc, ncv), decimals)


def carbon_as_received_from_air_dried(c_ad: Derivation, m_ar: Derivation, m_ad: Derivation, decimals: int) -> Computed:
    """Compute C_ar from the air-dried basis (空干基) and both moistures in percent."""
    exact = c_ad.fraction * (100 - m_ar.fraction) / (100 - m_ad.fraction)
    return rounded("C_ar", exact, c_ad.unit, "C_ad × (100 − M_ar) / (100 − M_ad)", (c_ad, m_ar, m_ad), decimals)


def carbon_as_received_from_dry(c_d: Derivation, m_ar: Derivation, decimals: int) -> Computed:
    """Compute C_ar from the dry basis (干燥基) and the moisture as received in percent."""
    exact = c_d.fraction * (100 - m_ar.fraction) / 100
    return rounded("C_ar", exact, c_d.unit, "C_d × (100 − M_ar) / 100", (c_d, m_ar), decimals)


def weighted_mean(pairs: tuple[tuple[Derivation, Derivation], ...], symbol: str, decimals: int) -> Computed:
    """Compute the mean of values weighted by quantities; the quantities must not add up to zero."""
    weight = sum((quantity.fraction for quantity, _ in pairs), Fraction(0))
    exact = sum((quantity.fraction * value.fraction for quantity, value in pairs), Fraction(0)) / weight
    children = tuple(leaf for pair in pairs for leaf in pair)
    return rounded(symbol, exact, pairs[0][1].unit, "Σ(Q × X) / ΣQ", children, decimals)


def _burn(fc: Derivation, content: Derivation, of: Derivation, rules: Rules) -> Computed:
    if rules.carbon_decimals is not None:
        cut = half_up(content.value, rules.carbon_decimals)
        content = Derivation(content.symbol, cut, content.unit, None, f"round({rules.carbon_decimals})", (content,))
    exact = fc.fraction * content.fraction * (of.fraction / 100) * rules.ratio
    return rules.emission(exact, f"FC × {content.symbol} × OF × {rules.ratio_text}", (fc, content, of))


def _per(unit: str) -> str:
    return f"tC/{unit}"
