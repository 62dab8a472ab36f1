"""The conversions a derived channel may be computed by: which parts and constants each needs, and its figure.

    standard-flow      velocity, temperature, pressures, moisture     Nm3/h, dry or wet       HJ 212-2017 annex D
    co2-mass           the same, and CO2 in % or mg/m3, dry or wet    t/h                     E = Q x phi x rho
    reference-oxygen   concentration and oxygen, both dry             mg/m3                   C x (21 - O2ref)/(21 - O2)
    us-co2-mass        flow in scfh and CO2, on one basis             short ton/h             40 CFR 75, US data only

A case is chosen in the site file and named in the channel's `config` event; whoever has the parts computes the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from accounting.cems import (
    Basis,
    Gas,
    Share,
    at_reference_oxygen,
    co2_mass,
    gas,
    percent,
    share_of,
    stack_flow,
    us_short_tons,
)
from accounting.cems_rules import CemsRules


class Case(StrEnum):
    """A conversion."""

    FLOW = "standard-flow"
    MASS = "co2-mass"
    OXYGEN = "reference-oxygen"
    US = "us-co2-mass"


class Part(StrEnum):
    """What a channel contributes."""

    VELOCITY = "velocity"
    TEMPERATURE = "temperature"
    GAUGE = "gauge"
    BAROMETER = "barometer"
    MOISTURE = "moisture"
    CO2 = "co2"
    CONCENTRATION = "concentration"
    OXYGEN = "oxygen"
    FLOW = "flow"


AREA, VELOCITY_COEFFICIENT, BAROMETER_PA, OXYGEN_REFERENCE = (
    "area_m2",
    "velocity_coefficient",
    "barometer_pa",
    "oxygen_reference",
)
UNITS: Mapping[Part, Mapping[str, Decimal]] = {
    Part.VELOCITY: {"m/s": Decimal(1)},
    Part.TEMPERATURE: {"degC": Decimal(1)},
    Part.GAUGE: {"Pa": Decimal(1), "kPa": Decimal(1000)},
    Part.BAROMETER: {"Pa": Decimal(1), "kPa": Decimal(1000)},
    Part.MOISTURE: {"%": Decimal("0.01"), "1": Decimal(1)},
    Part.CO2: {"%": Decimal(1), "mg/m3": Decimal(1)},
    Part.CONCENTRATION: {"mg/m3": Decimal(1)},
    Part.OXYGEN: {"%": Decimal(1)},
    Part.FLOW: {"scfh": Decimal(1)},
}
"""Units a part may have, and the factor to the one the formulas use; CO2 keeps its own."""
QUANTITIES: Mapping[Part, str] = {
    Part.VELOCITY: "stack_velocity",
    Part.MOISTURE: "moisture",
    Part.CO2: "co2_concentration",
    Part.OXYGEN: "o2_concentration",
}
_STACK = (Part.VELOCITY, Part.TEMPERATURE, Part.GAUGE, Part.BAROMETER, Part.MOISTURE)


@dataclass(frozen=True)
class Needs:
    """What a case is computed from.

    ``optional`` constants may be left out; a barometer is a part or the constant `barometer_pa`, never assumed.
    """

    parts: tuple[Part, ...]
    unit: str
    quantity: str
    constants: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    has_basis: bool = False


NEEDS: Mapping[Case, Needs] = {
    Case.FLOW: Needs(
        _STACK,
        "Nm3/h",
        "stack_flow",
        frozenset({AREA}),
        frozenset({VELOCITY_COEFFICIENT, BAROMETER_PA}),
        has_basis=True,
    ),
    Case.MASS: Needs(
        (*_STACK, Part.CO2),
        "t/h",
        "co2_mass",
        frozenset({AREA}),
        frozenset({VELOCITY_COEFFICIENT, BAROMETER_PA}),
        has_basis=True,
    ),
    Case.OXYGEN: Needs(
        (Part.CONCENTRATION, Part.OXYGEN), "mg/m3", "reference_concentration", frozenset({OXYGEN_REFERENCE})
    ),
    Case.US: Needs((Part.FLOW, Part.CO2), "short ton/h", "us_co2_mass"),
}


def computed(
    case: Case,
    means: Mapping[Part, Decimal],
    units: Mapping[Part, str],
    constants: Mapping[str, Decimal],
    basis: Basis,
    rules: CemsRules,
) -> Fraction:
    """Return the figure of one minute in the unit of the case.

    ``basis`` is that of the flow for `standard-flow`, and of the CO2 analyser for `co2-mass`.

    Raises:
        AccountingError: the parts have no such figure (moisture of 100 %, oxygen of air …).
    """
    said = {part: value * UNITS[part][units[part]] for part, value in means.items()}
    if case is Case.OXYGEN:
        reference = constants[OXYGEN_REFERENCE]
        return at_reference_oxygen(said[Part.CONCENTRATION], oxygen=said[Part.OXYGEN], reference=reference)
    if case is Case.US:
        return us_short_tons(co2_percent=said[Part.CO2], scfh=said[Part.FLOW])
    inside = gas(
        temperature=said[Part.TEMPERATURE],
        gauge=said[Part.GAUGE],
        barometer=said[Part.BAROMETER] if Part.BAROMETER in said else constants[BAROMETER_PA],
        moisture=said[Part.MOISTURE],
    )
    velocity = said[Part.VELOCITY] * constants.get(VELOCITY_COEFFICIENT, Decimal(1))
    wet = stack_flow(velocity=velocity, area=constants[AREA]).to_standard(inside, rules.t0)
    if case is Case.FLOW:
        return (wet if basis is Basis.WET else wet.to_dry(inside)).value
    share = _share(said[Part.CO2], units[Part.CO2], basis, rules)
    return co2_mass(wet.to_dry(inside), _dry(share, inside), rho=rules.rho)


def _share(co2: Decimal, unit: str, basis: Basis, rules: CemsRules) -> Share:
    return percent(co2, basis) if unit == "%" else share_of(co2, rules.rho, basis)


def _dry(share: Share, inside: Gas) -> Share:
    return share if share.basis is Basis.DRY else share.to_dry(inside)
