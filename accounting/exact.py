"""Exact arithmetic: decimals that refuse to round by themselves, and the one place that rounds.

Quantities are Decimal and stay as they were reported. Formulas run in Fraction, so 44/12 is itself
and nothing is rounded between the inputs and the figure the parameter set wants rounded.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Clamped, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from fractions import Fraction

MAX_DIGITS = 400
"""Digits of the exact context. A result that needs more raises `Inexact` instead of rounding."""

_EXACT = Context(prec=MAX_DIGITS, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow, Clamped])


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    """Add without rounding; the result does not depend on the order."""
    total = Decimal(0)
    for value in values:
        total = _EXACT.add(total, value)
    return total


def exact_product(a: Decimal, b: Decimal) -> Decimal:
    """Multiply without rounding."""
    return _EXACT.multiply(a, b)


def half_up(value: Fraction | Decimal, places: int) -> Decimal:
    """Round to decimal places, halves away from zero (四舍五入); zero never keeps a sign."""
    fraction = Fraction(value)
    scaled = abs(fraction) * 10**places
    units = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    return _from_units(units if fraction >= 0 else -units, places)


def down(value: Fraction, places: int) -> Decimal:
    """Cut to decimal places towards zero, so that a share of 1.0000 means all of it."""
    scaled = abs(value) * 10**places
    units = scaled.numerator // scaled.denominator
    return _from_units(units if value >= 0 else -units, places)


def _from_units(units: int, places: int) -> Decimal:
    return Decimal((0 if units >= 0 else 1, tuple(int(digit) for digit in str(abs(units))), -places))
