"""The few numbers that steer every formula, taken from a parameter set."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from accounting.derivation import Computed, Derivation
from accounting.exact import half_up
from accounting.parameter_set import ParameterSet


@dataclass(frozen=True)
class Rules:
    """Rounding switches and the exact ratio of CO2 to carbon."""

    ratio: Fraction
    ratio_text: str
    emission_decimals: int | None
    carbon_decimals: int | None

    def emission(self, exact: Fraction, formula: str, children: tuple[Derivation, ...]) -> Computed:
        """Round an emission as the set says and remember how it came about."""
        return rounded("E", exact, "tCO2", formula, children, self.emission_decimals)


UNROUNDED_DECIMALS = 12
"""Decimals an emission is printed with where a set switches rounding off: 44/12 has no last digit."""


def rules_of(parameters: ParameterSet) -> Rules:
    """Take the rules out of a parameter set."""
    return Rules(
        ratio=parameters.carbon_to_co2.fraction,
        ratio_text=str(parameters.carbon_to_co2),
        emission_decimals=parameters.rounding.emission.decimals,
        carbon_decimals=parameters.rounding.carbon_content.decimals,
    )


def rounded(
    symbol: str,
    exact: Fraction,
    unit: str,
    formula: str,
    children: tuple[Derivation, ...],
    decimals: int | None,
) -> Computed:
    """Print an exact figure half up to so many decimals."""
    value: Decimal = half_up(exact, UNROUNDED_DECIMALS if decimals is None else decimals)
    return Computed(value, exact, Derivation(symbol, value, unit, None, formula, children))
