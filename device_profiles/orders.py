"""The same words under every word order, and how plausible each result is; for whoever commissions a device.

Nothing here decides: a manual may name an order wrongly, a register map may be off by one, and only the device's
display tells. What a range says is a proposal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType

from .decoder import Words, decode
from .model import Point
from .profile import Profile
from .quality import Decoded
from .words import BYTES, FLOATS, LONG_ORDERS, SHORT_ORDERS, fits

#: The six orders of four registers by the names that hold for any width.
_LONG_OF = dict(zip(SHORT_ORDERS, LONG_ORDERS, strict=False))
_TEXT_ORDERS = ("ABCD", "BADC")
_TINY, _HUGE = Decimal("1E-6"), Decimal("1E9")
"""A float of the wrong order is nearly always outside these; few quantities of a plant are."""


@dataclass(frozen=True, slots=True)
class ByOrder:
    """A point's value under one word order; `plausible` is None where nothing tells."""

    order: str
    decoded: Decoded
    declared: bool
    plausible: bool | None


@dataclass(frozen=True, slots=True)
class ByUnit:
    """A unit that a number may be in, whether it is the declared one, and whether the number can be true in it."""

    unit: str
    declared: bool
    plausible: bool | None


def orders_of(point: Point) -> tuple[str, ...]:
    """List the orders that make a difference to a point; none for single registers and bits."""
    if point.parts:
        longest = max(part.words for part in point.parts)
        return SHORT_ORDERS if longest > 1 and not point.clock else ()
    if point.words < 2 or point.table.is_bits or point.type in BYTES:
        return ()
    if point.is_text:
        return _TEXT_ORDERS
    return LONG_ORDERS if point.words == 4 else SHORT_ORDERS


def by_orders(profile: Profile, name: str, words: Words, *, after: Words | None = None) -> tuple[ByOrder, ...]:
    """Decode a point under every order that makes a difference to it.

    Raises: KeyError for a point the profile does not have.
    """
    point = profile.points[name]
    declared = declared_order(profile, point, words)
    found = []
    for order in orders_of(point):
        changed = _with_point(profile, _in_order(point, order))
        decoded = decode(changed, words, [name], after=after)[name]
        found.append(ByOrder(order, decoded, order == declared, is_plausible(changed.points[name], decoded)))
    return tuple(found)


def declared_order(profile: Profile, point: Point, words: Words) -> str:
    """Tell the order a point is decoded by: as the profile says, or as the device's own register does."""
    orders = orders_of(point)
    order = point.order
    if point.order_from is not None:
        code = decode(profile, words, [point.order_from.point])[point.order_from.point].word
        order = point.order_from.map.get(int(code), "") if isinstance(code, Decimal) else ""
    elif point.parts and point.parts[0].order:
        order = point.parts[0].order
    return order if order in orders else _LONG_OF.get(order, "") if orders == LONG_ORDERS else ""


def is_plausible(point: Point, decoded: Decoded) -> bool | None:
    """Tell whether a value can be true by its range, and a float by its size; None where neither tells."""
    if decoded.value is None:
        return False
    if point.is_text:
        return str(decoded.value).isprintable() and bool(decoded.value)
    value = decoded.number
    if value is None or point.enum is not None:
        return True if point.enum is not None else None
    low, high = _range_of(point)
    if (low is not None and value < low) or (high is not None and value > high):
        return False
    is_float = point.type in FLOATS or any(part.type in FLOATS for part in point.parts)
    if is_float and value and abs(value) < _TINY:
        return False
    if low is not None and high is not None:
        return True
    return abs(value) <= _HUGE if is_float else None


def by_units(profile: Profile, name: str, words: Words) -> tuple[ByUnit, ...]:
    """Hold a point's number against the units it may be in; empty for quantities of which nothing is known.

    Where a parameter leaves the unit open, its choices; else the units of the quantity, to show one set wrongly.
    """
    point = profile.points[name]
    ranges = UNIT_RANGES.get(point.quantity, {})
    if not ranges:
        return ()
    choices = profile.parameters[point.unit_from].choices if point.unit_from else tuple(ranges)
    number = decode(_with_point(profile, replace(point, unit_from="")), words, [name])[name].number
    return tuple(ByUnit(unit, unit == point.unit, unit_is_plausible(point.quantity, unit, number)) for unit in choices)


def unit_is_plausible(quantity: str, unit: str, number: Decimal | None) -> bool | None:
    """Tell whether a number can be this quantity in this unit; None where nothing is known of it."""
    span = UNIT_RANGES.get(quantity, {}).get(unit)
    if span is None or number is None:
        return None
    low, high = span
    return (low is None or number >= low) and (high is None or number <= high)


#: Where a stack's concentrations lie, unit by unit. CO2 of 10 to 25 % by volume is 200,000 to 500,000 mg/m3.
UNIT_RANGES: Mapping[str, Mapping[str, tuple[Decimal | None, Decimal | None]]] = {
    "co2_concentration": {
        "1": (Decimal(0), Decimal("0.9999")),
        "%": (Decimal(1), Decimal(40)),
        "mg/m3": (Decimal(10_000), None),
    },
}


def _range_of(point: Point) -> tuple[Decimal | None, Decimal | None]:
    low, high = point.lowest, point.highest
    low = point.configured[0] if low is None else low
    high = point.configured[1] if high is None else high
    if point.totaliser is not None:
        low = Decimal(0) if low is None else low
        high = point.totaliser.modulus if high is None else high
    return low, high


def _in_order(point: Point, order: str) -> Point:
    parts = tuple(replace(part, order=order if fits(order, part.words) else part.order) for part in point.parts)
    point = replace(point, order=order, order_from=None, parts=parts)
    # In which unit a range is meant cannot be told while the unit is open.
    return replace(point, unit_from="", configured=(None, None)) if point.unit_from else point


def _with_point(profile: Profile, point: Point) -> Profile:
    return replace(profile, points=MappingProxyType({**profile.points, point.id: point}))
