"""Exact conversion between units of the closed table, or none at all."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact

from device_profiles.units import UNITS

_EXACT = Context(prec=100, traps=[Inexact])


def is_known(unit: str) -> bool:
    """Tell whether a unit is in the table."""
    return unit in UNITS


def convert(value: Decimal, source: str, target: str) -> Decimal:
    """Turn a value into another unit of the same kind without rounding.

    Raises:
        KeyError: a unit is not in the table.
        ValueError: the units are of different kinds, or the table has no factor.
        ArithmeticError: the result has no finite decimal form.
    """
    old, new = UNITS[source], UNITS[target]
    if source == target:
        return value
    if old.kind != new.kind or not old.factor or not new.factor:
        raise ValueError(f"{source} is not convertible to {target}")
    with_digits = _EXACT.divide(_EXACT.multiply(value, old.factor), new.factor)
    text = format(with_digits, "f")
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)
