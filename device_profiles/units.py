"""The closed table of units a profile may use.

Symbols are those printed on screens and in records; `ucum` is the text for exchange with other systems.
Conversion is exact or not offered: factors are decimals towards the first unit of the kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from types import MappingProxyType

#: Wide enough that products of device values and factors are never rounded.
EXACT = Context(prec=2000)


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit: symbol, UCUM text, kind of quantity, factor to the kind's base."""

    symbol: str
    ucum: str
    kind: str
    factor: Decimal


_TABLE: tuple[tuple[str, str, str, str], ...] = (
    ("J", "J", "energy", "1"),
    ("kJ", "kJ", "energy", "1E+3"),
    ("MJ", "MJ", "energy", "1E+6"),
    ("GJ", "GJ", "energy", "1E+9"),
    ("Wh", "W.h", "energy", "3600"),
    ("kWh", "kW.h", "energy", "3.6E+6"),
    ("MWh", "MW.h", "energy", "3.6E+9"),
    ("W", "W", "power", "1"),
    ("kW", "kW", "power", "1E+3"),
    ("MW", "MW", "power", "1E+6"),
    ("varh", "var.h", "reactive_energy", "3600"),
    ("kvarh", "kvar.h", "reactive_energy", "3.6E+6"),
    ("var", "var", "reactive_power", "1"),
    ("kvar", "kvar", "reactive_power", "1E+3"),
    ("VA", "V.A", "apparent_power", "1"),
    ("kVA", "kV.A", "apparent_power", "1E+3"),
    ("V", "V", "voltage", "1"),
    ("kV", "kV", "voltage", "1E+3"),
    ("A", "A", "current", "1"),
    ("mA", "mA", "current", "1E-3"),
    ("Hz", "Hz", "frequency", "1"),
    ("1/min", "/min", "speed_of_rotation", "1"),
    ("m3", "m3", "volume", "1"),
    ("L", "L", "volume", "1E-3"),
    ("m3/s", "m3/s", "volume_flow", "1"),
    ("m3/h", "m3/h", "volume_flow", ""),
    ("Nm3", "m3{0Cel,101.325kPa}", "volume_normal", "1"),
    ("Nm3/s", "m3{0Cel,101.325kPa}/s", "volume_flow_normal", "1"),
    ("Nm3/h", "m3{0Cel,101.325kPa}/h", "volume_flow_normal", ""),
    ("Sm3", "m3{20Cel,101.325kPa}", "volume_20", "1"),
    ("Sm3/s", "m3{20Cel,101.325kPa}/s", "volume_flow_20", "1"),
    ("Sm3/h", "m3{20Cel,101.325kPa}/h", "volume_flow_20", ""),
    ("kg/m", "kg/m", "mass_by_length", "1"),
    ("g", "g", "mass", "1"),
    ("kg", "kg", "mass", "1E+3"),
    ("t", "t", "mass", "1E+6"),
    ("kg/s", "kg/s", "mass_flow", "1E+3"),
    ("kg/h", "kg/h", "mass_flow", ""),
    ("t/h", "t/h", "mass_flow", ""),
    ("degC", "Cel", "temperature", "1"),
    ("Pa", "Pa", "pressure", "1"),
    ("kPa", "kPa", "pressure", "1E+3"),
    ("MPa", "MPa", "pressure", "1E+6"),
    ("bar", "bar", "pressure", "1E+5"),
    ("m/s", "m/s", "velocity", "1"),
    ("m", "m", "length", "1"),
    ("m2", "m2", "area", "1"),
    ("s", "s", "time", "1"),
    ("min", "min", "time", "60"),
    ("h", "h", "time", "3600"),
    ("1", "1", "ratio", "1"),
    ("%", "%", "ratio", "1E-2"),
    ("ppm", "[ppm]", "ratio", "1E-6"),
    ("mg/m3", "mg/m3", "concentration", "1"),
    ("g/m3", "g/m3", "concentration", "1E+3"),
    ("GJ/t", "GJ/t", "energy_by_mass", "1"),
    ("kJ/kg", "kJ/kg", "energy_by_mass", "1E-3"),
    ("count", "{count}", "count", "1"),
)

#: Flow units per hour: (amount kind of the numerator, its unit). Exact in "per hour", not in "per second".
_PER_HOUR = {
    "m3/h": ("volume", "m3"),
    "Nm3/h": ("volume_normal", "Nm3"),
    "Sm3/h": ("volume_20", "Sm3"),
    "kg/h": ("mass", "kg"),
    "t/h": ("mass", "t"),
}
_PER_SECOND = {
    "J": ("energy", {"W": "1", "kW": "1E+3", "MW": "1E+6"}),
    "var": ("reactive_energy", {"var": "1", "kvar": "1E+3"}),
    "m3": ("volume", {"m3/s": "1"}),
    "Nm3": ("volume_normal", {"Nm3/s": "1"}),
    "Sm3": ("volume_20", {"Sm3/s": "1"}),
    "kg": ("mass", {"kg/s": "1E+3"}),
}

UNITS: Mapping[str, Unit] = MappingProxyType(
    {symbol: Unit(symbol, ucum, kind, Decimal(factor or "0")) for symbol, ucum, kind, factor in _TABLE}
)

#: Kinds that can be counted up: what a totaliser or an interval value may carry.
AMOUNT_KINDS = frozenset({"energy", "reactive_energy", "volume", "volume_normal", "volume_20", "mass", "time", "count"})


def rate_per_hour(rate: Decimal, rate_unit: str, amount_unit: str) -> Decimal | None:
    """Turn a rate into amount units per hour (15000 kW -> 15000 kWh/h); None where the kinds differ."""
    amount = UNITS[amount_unit]
    if rate_unit in _PER_HOUR:
        kind, numerator = _PER_HOUR[rate_unit]
        if kind != amount.kind:
            return None
        base = EXACT.multiply(rate, UNITS[numerator].factor)
        return _divide(base, amount.factor)
    for kind, factors in _PER_SECOND.values():
        if rate_unit in factors and kind == amount.kind:
            base = EXACT.multiply(EXACT.multiply(rate, Decimal(factors[rate_unit])), Decimal(3600))
            return _divide(base, amount.factor)
    return None


def _divide(value: Decimal, by: Decimal) -> Decimal:
    return plain(Context(prec=34).divide(value, by))


def plain(value: Decimal) -> Decimal:
    """Write a decimal without exponent and without trailing zeros behind the point."""
    if value == 0:
        return Decimal(0)
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return Decimal(text)
