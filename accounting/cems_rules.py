"""A versioned rule set for stack gas: density, standard temperature, and how missing hours are filled.

A set is a JSON file (`rule_sets/*.json`), named by id, version and the digest of its bytes. The plan chooses one.
What the rules do with hours stands in `substitution.py`; no number of theirs stands in code.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field, model_validator

from accounting.documents import Closed, Id, Name, Number, Text, read_document, refusal
from accounting.errors import ParameterError
from accounting.parameter_set import Factor, Mark, Ratio
from evidence.encoding import sha256_hex

DEFAULT = "cn-hj75"
Method = Literal["maximum", "neighbours", "percentile-or-neighbours", "mean-and-deviation", "potential", "none"]
Quantity = Literal["mass", "concentration", "flow", "moisture"]

_NEEDS: dict[Method, frozenset[str]] = {
    "maximum": frozenset({"look_back"}),
    "neighbours": frozenset(),
    "percentile-or-neighbours": frozenset({"look_back", "percentile"}),
    "mean-and-deviation": frozenset({"deviations"}),
    "potential": frozenset(),
    "none": frozenset(),
}


class CodeName(Closed):
    """A method code and what it is called."""

    code: Id
    name: Name


class Codes(Closed):
    """Codes of hours that no rule had to fill."""

    measured: CodeName
    not_operating: CodeName
    unfilled: CodeName


class Availability(Closed):
    """Over which hours the share of valid ones is taken, and what share is wanted."""

    window: Literal["quarter", "year", "hours"]
    target: Number
    source: Text
    mark: Mark
    hours: Annotated[int, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _hours_belong_to_their_window(self) -> Availability:
        if (self.hours is None) != (self.window != "hours"):
            raise refusal("hours are given with window hours and only there", "hours 只用于 window 为 hours 时，且必填")
        return self


class Band(Closed):
    """What fills an hour when availability is at least ``from`` and the gap no longer than ``gap_hours``."""

    code: Id
    name: Name
    from_: Annotated[Number, Field(alias="from")]
    method: Method
    source: Text
    mark: Mark
    gap_hours: Annotated[int, Field(gt=0)] | None = None
    look_back: Annotated[int, Field(gt=0)] | None = None
    percentile: Number | None = None
    deviations: Number | None = None

    @model_validator(mode="after")
    def _numbers_fit_the_method(self) -> Band:
        given = {name for name in ("look_back", "percentile", "deviations") if getattr(self, name) is not None}
        wanted = _NEEDS[self.method]
        if given != wanted:
            names = ", ".join(sorted(wanted)) or "no number"
            raise refusal(f"method {self.method} takes {names}", f"方法 {self.method} 只需要：{names}")
        return self


class Initial(Closed):
    """What fills an hour before there are enough valid hours for the bands."""

    code: Id
    name: Name
    hours: Annotated[int, Field(gt=0)]
    method: Literal["neighbours"]
    source: Text
    mark: Mark


class CemsRules(Closed):
    """One version of one rule set."""

    v: Literal[1]
    id: Id
    version: Text
    name: Name
    sources: dict[str, Text]
    informational: bool
    density: Ratio
    standard_temperature: Factor
    substitutes: Annotated[list[Quantity], Field(min_length=1)]
    codes: Codes
    availability: Availability
    bands: Annotated[list[Band], Field(min_length=1)]
    initial: Initial | None = None
    notice_hours: Annotated[int, Field(gt=0)] | None = None
    """A longer gap is told to the authority."""

    @model_validator(mode="after")
    def _bands_cover_everything_in_order(self) -> CemsRules:
        order = [(-band.from_, band.gap_hours or 10**9) for band in self.bands]
        if order != sorted(set(order)):
            raise refusal(
                "bands run from high availability and short gaps down", "bands 应按捕集率从高到低、缺失时长从短到长排列"
            )
        if self.bands[-1].from_ != 0 or self.bands[-1].gap_hours is not None:
            raise refusal("the last band takes whatever is left", "最后一个 band 应覆盖其余所有情况")
        return self

    @property
    def rho(self) -> Fraction:
        """Density of CO2 at the standard state, kg/m3."""
        return self.density.fraction

    @property
    def t0(self) -> Decimal:
        """Temperature of the standard state, K."""
        return self.standard_temperature.value

    def band(self, availability: Fraction, gap_hours: int) -> Band:
        """Return the band of an availability and a gap length."""
        return next(
            band
            for band in self.bands
            if availability >= Fraction(band.from_) and (band.gap_hours is None or gap_hours <= band.gap_hours)
        )


def packaged_rules() -> list[str]:
    """Return the ids of the rule sets that come with the package."""
    folder = files("accounting") / "rule_sets"
    return sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))


def rules_bytes(name: str) -> bytes:
    """Return the bytes of a packaged rule set.

    Raises:
        ParameterError: no such set.
    """
    if name not in packaged_rules():
        known = ", ".join(packaged_rules())
        raise ParameterError(f"unknown rule set {name!r}: known are {known}", f"未知规则集“{name}”：现有 {known}")
    return (files("accounting") / "rule_sets" / f"{name}.json").read_bytes()


def rules_name(name: str = DEFAULT) -> dict[str, str]:
    """Name a packaged rule set as a `config` event does: id, version, digest of its bytes.

    Raises:
        ParameterError: no such set.
    """
    data = rules_bytes(name)
    rules = read_rules(data, f"{name}.json")
    return {"id": rules.id, "version": rules.version, "hash": sha256_hex(data)}


def read_rules(data: bytes, file: str = "cems_rules.json") -> CemsRules:
    """Read a rule set from its bytes.

    Raises:
        ParameterError: naming the member that is wrong.
    """
    return read_document(data, CemsRules, file, ParameterError)


def rules_named(name: str = DEFAULT) -> CemsRules:
    """Read a packaged rule set.

    Raises:
        ParameterError: no such set.
    """
    return read_rules(rules_bytes(name), f"{name}.json")
