"""A versioned parameter set: every number of a guide, with unit, source and certainty.

A set is a JSON file (`parameters/*.json`), named by its id and, inside a month's body, by the digest
of its bytes. It is shaped by no sector: materials carry named values, sectors choose which they use.
No number of a guide stands in code.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field, model_validator

from accounting import units
from accounting.documents import Closed, Id, Name, Number, Text, read_document, refusal
from accounting.errors import ParameterError, UnitError

Mark = Literal["A", "B", "C", "UNCONFIRMED"]
"""Certainty: A two sources, B one, C recalled, UNCONFIRMED a default that nobody has confirmed."""
Month = Annotated[str, Field(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
State = Literal["solid", "liquid", "gas"]


class Alternative(Closed):
    """Another value that some source gives."""

    value: Number
    source: Text
    mark: Mark


class Factor(Closed):
    """One number of the set."""

    value: Number
    unit: Text
    source: Text
    mark: Mark
    note: Text | None = None
    alternatives: list[Alternative] | None = None


class Oxidation(Factor):
    """The oxidation rate of fuels of one state, where the sector tells equipment apart also of it."""

    state: State
    equipment: Id | None = None


class Material(Closed):
    """A fuel, raw material, product or carrier, and what the set knows of it."""

    id: Id
    name: Name
    unit: Text
    values: dict[Id, Factor]
    state: State | None = None


class Process(Closed):
    """A type of process line that the guide knows."""

    id: Id
    name: Name
    source: Text
    mark: Mark


class Yearly(Closed):
    """A factor that is published for each year, of an item outside the compliance total."""

    material: Id
    name: Name
    unit: Text
    years: Annotated[dict[Annotated[str, Field(pattern=r"^[0-9]{4}$")], Factor], Field(min_length=1)]


class Ratio(Closed):
    """A ratio kept exact: 44/12 is never written as a decimal."""

    numerator: Annotated[int, Field(gt=0)]
    denominator: Annotated[int, Field(gt=0)]
    unit: Text
    source: Text
    mark: Mark

    @property
    def fraction(self) -> Fraction:
        """The ratio as a number."""
        return Fraction(self.numerator, self.denominator)

    def __str__(self) -> str:
        return f"{self.numerator}/{self.denominator}"


class Rounding(Closed):
    """How one kind of figure is rounded; `none` means not at all."""

    mode: Literal["half-up", "none"]
    source: Text
    mark: Mark
    decimals: Annotated[int, Field(ge=0, le=12)] | None = None

    @model_validator(mode="after")
    def _decimals_belong_to_rounding(self) -> Rounding:
        if (self.decimals is None) != (self.mode == "none"):
            raise refusal("decimals are given with half-up and only there", "decimals 只用于 half-up，且必须填写")
        return self


class TotalRule(Closed):
    """Whether a total adds the printed lines or is rounded once from exact ones."""

    mode: Literal["sum-of-rounded-lines", "rounded-once"]
    source: Text
    mark: Mark


class RoundingRules(Closed):
    """The rounding switches of the set."""

    emission: Rounding
    carbon_content: Rounding
    total: TotalRule


class Decimals(Closed):
    """With how many decimals a quantity is filled in and shown."""

    symbol: Text
    name: Name
    unit: list[Text]
    decimals: Annotated[int, Field(ge=0, le=12)]
    source: Text
    mark: Mark


class Validity(Closed):
    """The months the set is in force for."""

    from_: Annotated[Month, Field(alias="from")]
    source: Text
    mark: Mark
    to: Month | None = None


class ParameterSet(Closed):
    """One version of one guide's numbers."""

    v: Literal[1]
    id: Id
    version: Text
    sector: Literal["steel", "cement", "aluminium", "power"]
    guide: Text
    name: Name
    valid: Validity
    sources: dict[str, Text]
    carbon_to_co2: Ratio
    rounding: RoundingRules
    decimals: list[Decimals]
    oxidation: list[Oxidation]
    processes: list[Process]
    materials: list[Material]
    auxiliary: list[Yearly]
    constants: dict[Id, Factor] | None = None

    @model_validator(mode="after")
    def _names_are_unique_and_units_known(self) -> ParameterSet:
        for what, ids in (
            ("materials", [material.id for material in self.materials]),
            ("processes", [process.id for process in self.processes]),
            ("auxiliary", [yearly.material for yearly in self.auxiliary]),
        ):
            twice = sorted({name for name in ids if ids.count(name) > 1})
            if twice:
                raise refusal(f"{what} name {twice[0]!r} twice", f"{what} 中“{twice[0]}”重复")
        for name in [m.unit for m in self.materials] + [f.unit for m in self.materials for f in m.values.values()]:
            try:
                units.unit(name)
            except UnitError as error:
                raise refusal(error.en, error.zh) from None
        return self

    def is_in_force(self, period: str) -> bool:
        """Tell whether a month lies within the set's validity."""
        return self.valid.from_ <= period and (self.valid.to is None or period <= self.valid.to)

    def find_material(self, name: str) -> Material | None:
        """Return the material of that id, or None."""
        return next((material for material in self.materials if material.id == name), None)

    def material(self, name: str) -> Material:
        """Return the material of that id.

        Raises:
            ParameterError: the set does not know it.
        """
        found = self.find_material(name)
        if found is None:
            raise ParameterError(
                f"unknown material {name!r}: parameter set {self.id} has no such material",
                f"未知物料“{name}”：参数集 {self.id} 中没有该物料",
            )
        return found

    def value(self, material: Material, name: str) -> Factor:
        """Return a named value of a material.

        Raises:
            ParameterError: the set has none for it.
        """
        try:
            return material.values[name]
        except KeyError:
            raise ParameterError(
                f"material {material.id!r} has no {name!r} in parameter set {self.id}",
                f"参数集 {self.id} 中物料“{material.id}”没有参数“{name}”",
            ) from None

    def oxidation_of(self, material: Material, equipment: str | None = None) -> Oxidation:
        """Return the oxidation rate for a fuel, by equipment where the set tells it apart.

        Raises:
            ParameterError: no rate fits.
        """
        for rate in self.oxidation:
            if rate.state == material.state and rate.equipment in (None, equipment):
                return rate
        raise ParameterError(
            f"no oxidation rate for {material.id!r} in parameter set {self.id}",
            f"参数集 {self.id} 中没有“{material.id}”的碳氧化率",
        )

    def yearly(self, material: str, year: str) -> tuple[Factor, str]:
        """Return the factor for a year and the year it was published for.

        A year that is not listed takes the latest one before it, else the earliest listed.

        Raises:
            ParameterError: the set has no yearly factor for the material.
        """
        for table in self.auxiliary:
            if table.material == material:
                earlier = [listed for listed in sorted(table.years) if listed <= year]
                chosen = earlier[-1] if earlier else min(table.years)
                return table.years[chosen], chosen
        raise ParameterError(
            f"no yearly factor for {material!r} in parameter set {self.id}",
            f"参数集 {self.id} 中没有“{material}”的年度因子",
        )

    def decimals_of(self, symbol: str) -> int | None:
        """Return how many decimals a quantity is shown with, or None where the set does not say."""
        return next((row.decimals for row in self.decimals if row.symbol == symbol), None)


def read_parameters(data: bytes) -> ParameterSet:
    """Read a parameter set from its bytes.

    Raises:
        ParameterError: naming the member that is wrong.
    """
    return read_document(data, ParameterSet, "parameters.json", ParameterError)


def packaged_ids() -> list[str]:
    """Return the ids of the sets that come with the package."""
    folder = files("accounting") / "parameters"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def packaged_bytes(name: str) -> bytes:
    """Return the bytes of a set that comes with the package.

    Raises:
        ParameterError: no such set.
    """
    if name not in packaged_ids():
        known = ", ".join(packaged_ids())
        raise ParameterError(
            f"unknown parameter set {name!r}: known are {known}",
            f"未知参数集“{name}”：现有 {known}",
        )
    return (files("accounting") / "parameters" / f"{name}.json").read_bytes()


def source_of(parameters: ParameterSet, path: str, factor: Factor) -> Mapping[str, str]:
    """Cite a number of the set, for a derivation."""
    return {"parameter": f"{parameters.id} {path}", "cited": factor.source, "mark": factor.mark}
