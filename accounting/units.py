"""The unit table: which units there are and how they become each other, exactly.

A unit belongs to one dimension; within a dimension each unit is a power of ten (or sixty) of the first.
Electric energy and heat are kept apart on purpose: the guides want MWh for one and GJ for the other,
and 3.6 has no exact inverse. Working cubic metres (m3) never become standard ones (Nm3) here: that
needs temperature and pressure, which is the gateway's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from accounting.errors import UnitError
from accounting.exact import exact_product


@dataclass(frozen=True)
class Unit:
    """A unit's canonical name, its dimension and how many of the dimension's smallest unit it holds."""

    name: str
    dimension: str
    size: Decimal


_TABLE: dict[str, tuple[tuple[str, str, tuple[str, ...]], ...]] = {
    "mass": (
        ("g", "1", ("克",)),
        ("kg", "1000", ("千克", "公斤")),
        ("t", "1000000", ("吨",)),
        ("kt", "1000000000", ("千吨",)),
        ("10^4t", "10000000000", ("10^4 t", "万吨")),
    ),
    "standard gas volume": (
        ("Nm3", "1", ("Nm³", "标立方米")),
        ("10^3Nm3", "1000", ("10^3 Nm3", "kNm3", "千Nm3", "千Nm³")),
        ("10^4Nm3", "10000", ("10^4 Nm3", "万Nm3", "万Nm³", "万标立方米")),
    ),
    "working volume": (("L", "1", ("升",)), ("m3", "1000", ("m³", "立方米"))),
    "electric energy": (
        ("Wh", "1", ("瓦时",)),
        ("kWh", "1000", ("千瓦时", "度")),
        ("MWh", "1000000", ("兆瓦时",)),
        ("10^4kWh", "10000000", ("10^4 kWh", "万kWh", "万千瓦时")),
        ("GWh", "1000000000", ("吉瓦时",)),
    ),
    "reactive energy": (("varh", "1", ()), ("kvarh", "1000", ()), ("Mvarh", "1000000", ())),
    "heat": (
        ("J", "1", ("焦",)),
        ("kJ", "1000", ("千焦",)),
        ("MJ", "1000000", ("兆焦",)),
        ("GJ", "1000000000", ("吉焦",)),
        ("TJ", "1000000000000", ("太焦",)),
    ),
    "emission": (("kgCO2", "1", ()), ("tCO2", "1000", ())),
    "energy of a mass": (("MJ/kg", "1", ("GJ/t",)), ("kJ/kg", "0.001", ("MJ/t",))),
    "energy of a gas volume": (
        ("GJ/10^4Nm3", "1", ("GJ/10^4 Nm3",)),
        ("MJ/Nm3", "10", ("MJ/Nm³",)),
        ("kJ/Nm3", "0.01", ("kJ/Nm³",)),
    ),
    "carbon of energy": (("tC/GJ", "1", ()), ("tC/TJ", "0.001", ("kgC/GJ",))),
    "carbon of a mass": (("tC/t", "1", ("kgC/kg",)), ("%C", "0.01", ())),
    "carbon of a gas volume": (("tC/10^4Nm3", "1", ("tC/10^4 Nm3",)), ("kgC/Nm3", "10", ())),
    "emission of a mass": (("tCO2/t", "1", ("kgCO2/kg",)),),
    "emission of electric energy": (("tCO2/MWh", "1", ("kgCO2/kWh",)),),
    "emission of heat": (("tCO2/GJ", "1", ()),),
    "share": (("%", "1", ("％",)),),
    "time": (("s", "1", ("秒",)), ("min", "60", ("分钟",)), ("h", "3600", ("小时",))),
}

_SHOWN = {"MJ/kg": "GJ/t"}
"""Where two names are the same unit, the one the guides print is the canonical one."""


def _units() -> dict[str, Unit]:
    found: dict[str, Unit] = {}
    for dimension, rows in _TABLE.items():
        for name, size, aliases in rows:
            unit = Unit(_SHOWN.get(name, name), dimension, Decimal(size))
            for spelling in (name, *aliases):
                found[spelling] = unit
    return found


UNITS = _units()


def unit(name: str) -> Unit:
    """Return the unit of that name or alias.

    Raises:
        UnitError: no such unit; the message names it.
    """
    try:
        return UNITS[name]
    except KeyError:
        raise UnitError(
            f"unknown unit {name!r}: use a unit of the table, for example kWh, MWh, t, 10^4Nm3, GJ",
            f"未知单位“{name}”：请使用单位表中的单位，例如 kWh、MWh、t、10^4Nm3、GJ",
        ) from None


def is_convertible(source: str, target: str) -> bool:
    """Tell whether both names are known and measure the same thing."""
    return source in UNITS and target in UNITS and UNITS[source].dimension == UNITS[target].dimension


def convert(value: Decimal, source: str, target: str) -> Decimal:
    """Express a value in another unit of the same dimension, exactly.

    Raises:
        UnitError: a unit is unknown, the dimensions differ, or the result has no finite decimal form.
    """
    old, new = unit(source), unit(target)
    if old.dimension != new.dimension:
        raise UnitError(
            f"{source!r} ({old.dimension}) cannot become {target!r} ({new.dimension})",
            f"“{source}”不能换算为“{target}”：二者量纲不同",
        )
    factor = _finite(Fraction(old.size) / Fraction(new.size))
    if factor is None:
        raise UnitError(
            f"{source!r} has no exact decimal form in {target!r}: give the value in {target!r}",
            f"“{source}”换算为“{target}”得不到有限小数：请直接按“{target}”填报",
        )
    return value if factor == 1 else exact_product(value, factor)


def _finite(ratio: Fraction) -> Decimal | None:
    """The ratio as a decimal, or None where its decimal form never ends (thirds, sevenths …)."""
    rest, twos, fives = ratio.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return None
    places = max(twos, fives)
    scaled = ratio.numerator * 10**places // ratio.denominator
    return Decimal(scaled).scaleb(-places)
