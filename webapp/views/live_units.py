"""Units in which live values and charts are shown: a size that people use. What was signed keeps its own unit."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

SHOWN: Mapping[str, tuple[str, int]] = {"W": ("kW", -3), "Wh": ("kWh", -3), "var": ("kvar", -3), "VA": ("kVA", -3)}
"""The unit shown in place of a stored one, and the power of ten between them."""


def shown_unit(unit: str) -> str:
    """Return the unit in which values of a unit are shown."""
    return SHOWN.get(unit, (unit, 0))[0]


def shown_value(value: Decimal, unit: str) -> Decimal:
    """Return a value in the unit in which it is shown, exactly."""
    if unit not in SHOWN:
        return value
    scaled = value.scaleb(SHOWN[unit][1]).normalize()
    return scaled if scaled.as_tuple().exponent <= 0 else scaled.quantize(Decimal(1))  # type: ignore[operator]
