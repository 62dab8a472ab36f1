"""Which formulas a sector uses. A new sector is one module and one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from accounting.errors import ParameterError
from accounting.formulas import steel
from accounting.formulas.lines import Flow, Line
from accounting.parameter_set import Material, ParameterSet


@dataclass(frozen=True)
class Sector:
    """A sector's formulas by kind of subject, and what a role needs of a material."""

    by_subject: Mapping[str, Callable[[Sequence[Flow], ParameterSet], list[Line]]]
    needed_values: Callable[[str, Material], tuple[str, ...]]


SECTORS: Mapping[str, Sector] = {
    "steel": Sector({"enterprise": steel.balance, "process": steel.balance}, steel.needed_values),
}


def sector_of(name: str) -> Sector:
    """Return the formulas of a sector.

    Raises:
        ParameterError: there are none yet.
    """
    try:
        return SECTORS[name]
    except KeyError:
        raise ParameterError(
            f"no formulas for sector {name!r}: known are {', '.join(sorted(SECTORS))}",
            f"没有行业“{name}”的核算公式：现有 {'、'.join(sorted(SECTORS))}",
        ) from None
