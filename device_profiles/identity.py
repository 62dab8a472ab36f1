"""Is this the device the profile describes? The identity tests of a profile, on decoded points and identification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from .model import MatchTest
from .profile import Profile
from .quality import Decoded

IDENTIFICATION_OBJECTS = ("vendor", "product", "revision", "url", "product_name", "model", "application")
"""Names of the objects 0 to 6 of the device identification, by number (Modbus Application Protocol V1.1b3, 6.21)."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One test that failed: what came, what was wanted, and whether that refuses the device.

    `point` is the point's name, or that of the identification object.
    """

    point: str
    wanted: str
    came: str
    refuses: bool


def mismatches(
    profile: Profile, values: Mapping[str, Decoded], identification: Mapping[int, str] | None = None
) -> tuple[Mismatch, ...]:
    """List the identity tests that fail; a point or an identification object that was not read fails its test."""
    found, told = [], identification or {}
    for test in profile.match:
        if test.identification is not None:
            name = told.get(test.identification, "")
            if name not in test.equals:
                object_name = IDENTIFICATION_OBJECTS[test.identification]
                found.append(Mismatch(object_name, _wanted(test), name, test.otherwise == "refuse"))
            continue
        decoded = values.get(test.point)
        if decoded is None or not _passes(test, decoded):
            came = "" if decoded is None or decoded.value is None else str(decoded.value)
            found.append(Mismatch(test.point, _wanted(test), came, test.otherwise == "refuse"))
    return tuple(found)


def _passes(test: MatchTest, decoded: Decoded) -> bool:
    if decoded.value is None:
        return False
    if test.equals:
        return any(_same(one, decoded) for one in test.equals)
    number = decoded.number
    if number is None:
        return False
    return (test.lowest is None or number >= test.lowest) and (test.highest is None or number <= test.highest)


def _same(wanted: str, decoded: Decoded) -> bool:
    if isinstance(decoded.value, str):
        return decoded.value == wanted
    try:
        return decoded.value == Decimal(wanted)
    except ArithmeticError:
        return False


def _wanted(test: MatchTest) -> str:
    if test.equals:
        return " / ".join(test.equals)
    return f"{'' if test.lowest is None else test.lowest}…{'' if test.highest is None else test.highest}"
