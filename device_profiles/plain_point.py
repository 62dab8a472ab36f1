"""Plain points, decoded the quick way: what their words need is worked out once for a profile.

A point is plain where its own registers alone say its value: one number, no state, scale or order read elsewhere. Most
points of most meters are. `decoder.py` can decode every point and gives the same for these; it takes over where words
are missing.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from .model import Invalid, Point, Table
from .quality import FLAG_OF, Decoded, Fired, Quality, Reason, bad
from .units import EXACT, plain
from .words import BYTES, FLOATS, INTEGERS, number, word_places

Words = Mapping[tuple[Table, int], int]


@dataclass(frozen=True, slots=True)
class PlainPoint:
    """How one plain point is decoded. `order` lists its words from the most significant, None as they come."""

    point: Point
    places: tuple[tuple[Table, int], ...]
    shown: str
    order: tuple[int, ...] | None
    pack: struct.Struct
    is_scaled: bool

    def decoded(self, words: Words, fired: Fired | None, raws: dict[str, Decimal]) -> Decoded | None:
        """Decode the point; None where not all of its words came. `fired` and `raws` are as in `decoder.decode`."""
        try:
            came = tuple([words[place] for place in self.places])
        except KeyError:
            return None
        point, shown = self.point, self.shown % came
        data = self.pack.pack(*came) if self.order is None else self.pack.pack(*[came[at] for at in self.order])
        if point.invalid:
            raw = int.from_bytes(data, "big")
            for at, invalid in enumerate(point.invalid):
                if invalid.raw is not None and invalid.raw[0] <= raw <= invalid.raw[1]:
                    return self._marked(at, invalid, shown, fired)
        value = number(point.type, data)
        if not value.is_finite():
            return self._no_number(value, shown, fired)
        raws[point.id] = value
        for at, invalid in enumerate(point.invalid):
            if invalid.value is not None and invalid.value[0] <= value <= invalid.value[1]:
                return self._marked(at, invalid, shown, fired)
        if fired is not None:
            fired.add(("value", point.id))
        if self.is_scaled:
            value = plain(EXACT.add(EXACT.multiply(value, point.scale), point.offset))
        return Decoded(value, point.unit, Quality.VALID, FLAG_OF[Quality.VALID], "", shown, value)

    def _no_number(self, value: Decimal, shown: str, fired: Fired | None) -> Decoded:
        if value.is_infinite():
            return bad(self.point.unit, Quality.FAULT, Reason.INFINITE, shown)
        for at, invalid in enumerate(self.point.invalid):
            if invalid.nan:
                return self._marked(at, invalid, shown, fired)
        return bad(self.point.unit, Quality.FAULT, Reason.NAN, shown)

    def _marked(self, at: int, invalid: Invalid, shown: str, fired: Fired | None) -> Decoded:
        if fired is not None:
            fired.add(("invalid", self.point.id, at))
        return bad(self.point.unit, invalid.quality, invalid.reason, shown, invalid.flag)


def plain_point(point: Point) -> PlainPoint | None:
    """Work out how a point is decoded, if it is a plain one."""
    if not _is_plain(point):
        return None
    order, is_swapped = word_places(point.order, point.words)
    return PlainPoint(
        point,
        tuple((point.table, point.address + offset) for offset in range(point.words)),
        " ".join(["%04X"] * point.words),
        None if order == tuple(range(point.words)) else order,
        struct.Struct(f"{'<' if is_swapped else '>'}{point.words}H"),
        (point.scale, point.offset) != (Decimal(1), Decimal(0)),
    )


def _is_plain(point: Point) -> bool:
    is_number = (point.type in INTEGERS and point.type not in BYTES) or point.type in FLOATS
    elsewhere = (point.order_from, point.scale_from, point.clock, point.only_if, point.enum, point.bit, point.bits)
    missing = (point.unit_from, point.scale_parameter, point.percent_of)
    return (
        is_number
        and not point.table.is_bits
        and not point.parts
        and all(one is None for one in elsewhere)
        and not any(missing)
        and not any(one.when is not None or _is_bare(one) for one in point.invalid)
    )


def _is_bare(invalid: Invalid) -> bool:
    """A sentinel that names neither a pattern nor a value."""
    return invalid.raw is None and invalid.value is None and not invalid.nan
