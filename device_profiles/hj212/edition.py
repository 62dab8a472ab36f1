"""The editions of the standard as data: codes, commands, flags and formats, each with the mark of its source.

The files in `tables/` say which facts were read in the standard (A), in one other source (B), or are defaults that
nobody has confirmed; code never knows better than they do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from ..loader import content_hash

ANSWER_BIT = 0b01
PACKET_BIT = 0b10
_EDITION_SHIFT = 2


class Edition(StrEnum):
    """An edition of the standard, by its year."""

    HJ2005 = "2005"
    HJ2017 = "2017"
    HJ2025 = "2025"


@dataclass(frozen=True, slots=True)
class Factor:
    """A factor code: what it measures and in which unit. `declare_unit`: no default is to be trusted."""

    code: str
    zh: str
    en: str
    unit: str
    cou_unit: str
    format: str
    declare_unit: bool
    mark: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command code. `answer` is what the standard wants answered to an upload, `period` what its values cover."""

    cn: str
    zh: str
    en: str
    direction: str
    answer: str
    period: str
    mark: str


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What a field behind a factor code is: how it adds up, and in which periods it is sent."""

    name: str
    zh: str
    en: str
    kind: str
    periods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Everything that is known of one edition; `hash` names its content."""

    edition: Edition
    version: int
    standard: str
    issued: str
    answer_flag: int
    longest_segment: int
    longest_cp: int
    systems: Mapping[str, tuple[str, str]]
    commands: Mapping[str, Command]
    fields: Mapping[str, FieldRule]
    flags: Mapping[str, str]
    """Letter of the edition → letter of HJ 212-2017."""
    factors: Mapping[str, Factor]
    hash: str

    @property
    def id(self) -> str:
        """Name the table as evidence names a profile."""
        return f"hj212-{self.edition}"


_FLAG_VERSIONS: Mapping[int, Edition] = MappingProxyType({0: Edition.HJ2005, 1: Edition.HJ2017, 2: Edition.HJ2025})


def edition_of_flag(flag: int | None) -> Edition | None:
    """Tell the edition that a Flag claims; a frame without one is of 2005. None for bits nobody has given out."""
    return _FLAG_VERSIONS.get((flag or 0) >> _EDITION_SHIFT)


def version_bits(edition: Edition) -> int:
    """Return the Flag that claims an edition and nothing else."""
    return next(bits for bits, one in _FLAG_VERSIONS.items() if one is edition) << _EDITION_SHIFT


@cache
def table(edition: Edition) -> Table:
    """Load the table of an edition."""
    data = json.loads(resources.files(__package__).joinpath("tables", f"{edition}.json").read_text("utf-8"))
    return _table(data, content_hash(data))


def _table(data: Mapping[str, Any], digest: str) -> Table:
    return Table(
        edition=Edition(data["edition"]),
        version=data["version"],
        standard=data["standard"],
        issued=data["issued"],
        answer_flag=data["answer_flag"]["value"],
        longest_segment=data["longest_segment"],
        longest_cp=data["longest_cp"],
        systems=MappingProxyType({st: (row["zh"], row["en"]) for st, row in data["systems"].items()}),
        commands=MappingProxyType(
            {
                cn: Command(cn, row["zh"], row["en"], row["direction"], row["answer"], row["period"], row["mark"])
                for cn, row in data["commands"].items()
            }
        ),
        fields=MappingProxyType(
            {
                name: FieldRule(name, row["zh"], row["en"], row["kind"], tuple(row["periods"]))
                for name, row in data["fields"].items()
            }
        ),
        flags=MappingProxyType({letter: row["flag"] for letter, row in data["flags"].items()}),
        factors=MappingProxyType(
            {
                code: Factor(
                    code,
                    row["zh"],
                    row["en"],
                    row["unit"],
                    row["cou_unit"],
                    row["format"],
                    row.get("declare_unit", False),
                    row["mark"],
                )
                for code, row in data["factors"].items()
            }
        ),
        hash=digest,
    )
