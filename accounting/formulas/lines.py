"""What a sector's formulas are given and what they give back: flows in, lines out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from accounting.derivation import Computed, Derivation
from accounting.exact import exact_sum, half_up
from accounting.parameter_set import Material, ParameterSet

Role = Literal["fuel", "input", "product", "electricity", "heat", "output"]


@dataclass(frozen=True)
class Flow:
    """A quantity of a material that enters or leaves, in the material's unit.

    `ncv` and `carbon` are measured values; absent, the set's defaults stand in.
    """

    item: str
    role: Role
    material: Material
    quantity: Derivation
    ncv: Derivation | None = None
    carbon: Derivation | None = None


@dataclass(frozen=True)
class Line:
    """One line of a result; what leaves is negative, so that lines add up to the total."""

    item: str
    formula: str
    figure: Computed


def total_of(lines: Sequence[Line], parameters: ParameterSet) -> Decimal:
    """Add lines as the set's rule says: printed figures, or exact ones rounded once."""
    decimals = parameters.rounding.emission.decimals
    if decimals is not None and parameters.rounding.total.mode == "rounded-once":
        return half_up(sum((line.figure.exact for line in lines), Fraction(0)), decimals)
    zero = Decimal(0) if decimals is None else Decimal(0).scaleb(-decimals)
    return exact_sum([zero, *(line.figure.value for line in lines)])
