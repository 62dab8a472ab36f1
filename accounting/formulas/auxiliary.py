"""Purchased electricity and heat (外购电力、热力): reported, never part of the compliance total."""

from __future__ import annotations

from dataclasses import dataclass

from accounting.derivation import Computed, Derivation
from accounting.formulas.factor import by_factor
from accounting.formulas.rules import rules_of
from accounting.parameter_set import ParameterSet, source_of


@dataclass(frozen=True)
class Auxiliary:
    """The emission of a purchased quantity, and the year whose factor was used."""

    figure: Computed
    year: str


def auxiliary(material: str, quantity: Derivation, year: str, parameters: ParameterSet) -> Auxiliary:
    """Compute E = AD × EF with the factor of the year.

    Raises:
        ParameterError: the set has no yearly factor for the material.
    """
    factor, listed = parameters.yearly(material, year)
    source = source_of(parameters, f"{material}.{listed}", factor)
    ef = Derivation("EF", factor.value, factor.unit, source)
    return Auxiliary(by_factor(quantity, ef, rules_of(parameters)), listed)
