"""The checks of data quality as data: rule id, version, limits, severity, source (`rules/*.json`).

A set is named by id, version and the digest of its content; overrides are named beside it. A site may override a limit,
or turn a rule off, and says why. A rule or limit that does not exist is an error: a typing mistake must not turn a
check off.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from functools import cached_property, lru_cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evidence.encoding import decimal_text, jcs, parse_decimal, sha256_hex, strict_json
from evidence.errors import EvidenceError
from evidence.reading import Flag

DEFAULT = "cn-quality"


class Severity(StrEnum):
    """What a finding asks for: E blocks the month, W needs a remark, I informs."""

    ERROR = "E"
    WARNING = "W"
    INFORMATION = "I"


class RuleError(ValueError):
    """A rule file or an override cannot be used; file and key are named. `str()` is English, `zh` Chinese."""

    def __init__(self, file: str, key: str, zh: str, en: str) -> None:
        super().__init__(f"{file}: key {key}: {en}")
        self.zh = f"{file}: 键 {key}: {zh}"
        self.en = str(self)


@dataclass(frozen=True)
class Rule:
    """One check; ``flag`` is what a reading that breaks it gets, None where its flag stays."""

    id: str
    version: int
    zh: str
    en: str
    severity: Severity
    where: tuple[str, ...]
    source: str
    mark: str
    limits: Mapping[str, Decimal]
    flag: Flag | None = None
    is_off: bool = False

    def limit(self, name: str) -> Decimal:
        """Return a limit that the code knows by name; every packaged set has it."""
        return self.limits[name]


@dataclass(frozen=True)
class Range:
    """The physical range of a quantity in one unit."""

    low: Decimal
    high: Decimal


@dataclass(frozen=True)
class Override:
    """A site's own limit of a rule, or the rule turned off (``limit`` is empty), with its reason."""

    rule: str
    reason: str
    limit: str = ""
    value: Decimal | None = None

    def to_json(self) -> dict[str, str]:
        """Write the override as a record carries it."""
        found = {"rule": self.rule, "reason": self.reason}
        if self.limit and self.value is not None:
            return {**found, "limit": self.limit, "value": decimal_text(self.value)}
        return {**found, "off": "yes"}


@dataclass(frozen=True)
class RuleSet:
    """One version of all checks, with a site's overrides where there are any."""

    id: str
    version: str
    valid_from: str
    hash: str
    rules: Mapping[str, Rule]
    ranges: Mapping[tuple[str, str], Range]
    nonnegative: frozenset[str]
    aliases: Mapping[str, str]
    overrides: tuple[Override, ...] = ()

    def rule(self, name: str) -> Rule:
        """Return a rule that the code knows by id."""
        return self.rules[name]

    def quantity(self, name: str) -> str:
        """Return the quantity an alias stands for, or the name itself."""
        return self.aliases.get(name, name)

    def range_of(self, quantity: str, unit: str) -> Range | None:
        """Return the physical range of a quantity in this unit, or None where the set has none."""
        return self.ranges.get((self.quantity(quantity), unit))

    def may_not_be_negative(self, quantity: str) -> bool:
        """Tell whether values below zero of the quantity mean drift or fault."""
        return self.quantity(quantity) in self.nonnegative

    def is_known_quantity(self, name: str) -> bool:
        """Tell whether the set says anything of a quantity."""
        return name in self.quantities

    @cached_property
    def quantities(self) -> frozenset[str]:
        """Every quantity the set knows, aliases included."""
        return frozenset({*self.aliases, *self.nonnegative, *(quantity for quantity, _ in self.ranges)})

    def name_json(self) -> dict[str, Any]:
        """Name the set as a record carries it: id, version, digest and overrides."""
        said: dict[str, Any] = {"id": self.id, "version": self.version, "hash": self.hash}
        if self.overrides:
            said["overrides"] = [one.to_json() for one in self.overrides]
        return said

    def with_overrides(self, overrides: Iterable[Override], file: str = "site.toml") -> "RuleSet":
        """Return the set with a site's own limits.

        Raises:
            RuleError: the rule or limit does not exist, or no reason is given.
        """
        rules, applied = dict(self.rules), [*self.overrides]
        for one in overrides:
            if one.rule not in rules:
                known = ", ".join(rules)
                raise RuleError(
                    file,
                    f"rule.{one.rule}",
                    f"没有这条规则；现有: {known}",
                    f"there is no such rule; there are: {known}",
                )
            rule = rules[one.rule]
            if not one.reason.strip():
                raise RuleError(
                    file, f"rule.{one.rule}.reason", "改动规则必须写明理由", "an override needs its reason; say why"
                )
            if not one.limit:
                rules[one.rule] = replace(rule, is_off=True)
            elif one.limit not in rule.limits:
                known = ", ".join(rule.limits) or "-"
                raise RuleError(
                    file,
                    f"rule.{one.rule}.{one.limit}",
                    f"没有这个限值；现有: {known}",
                    f"there is no such limit; there are: {known}",
                )
            elif one.value is None or one.value < 0:
                raise RuleError(file, f"rule.{one.rule}.{one.limit}", "限值应为非负数", "a limit is a number from 0 up")
            else:
                rules[one.rule] = replace(rule, limits={**rule.limits, one.limit: one.value})
            applied.append(one)
        return replace(self, rules=rules, overrides=tuple(applied))


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Name(_Closed):
    zh: str
    en: str


class _Valid(_Closed):
    from_: Annotated[str, Field(alias="from", pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]


class _Rule(_Closed):
    id: Annotated[str, Field(pattern=r"^Q[0-9]{2}$")]
    version: Annotated[int, Field(ge=1)]
    name: _Name
    severity: Literal["E", "W", "I"]
    where: list[Literal["G", "C"]]
    source: str
    mark: Literal["A", "B", "C", "UNCONFIRMED"]
    limits: dict[str, str]
    flag: Literal["D", "T"] | None = None


class _Range(_Closed):
    quantity: str
    unit: str
    low: str
    high: str


class _Document(_Closed):
    v: Literal[1]
    id: str
    version: str
    valid: _Valid
    name: _Name
    sources: dict[str, str]
    aliases: dict[str, str]
    nonnegative: list[str]
    rules: Annotated[list[_Rule], Field(min_length=1)]
    ranges: list[_Range]


LIMITS: Mapping[str, frozenset[str]] = {
    "Q02": frozenset({"remembered"}),
    "Q03": frozenset({"ahead_s"}),
    "Q04": frozenset({"intervals", "slack_s"}),
    "Q05": frozenset({"warn_s", "error_s"}),
    "Q06": frozenset({"polls", "slack_s", "event_s"}),
    "Q07": frozenset({"samples", "share"}),
    "Q08": frozenset({"minutes", "share"}),
    "Q10": frozenset({"share"}),
    "Q11": frozenset({"day_hours", "month_days", "february_days", "quarter_warn", "quarter_error"}),
    "Q12": frozenset({"share"}),
    "Q14": frozenset({"stopped_oxygen", "stopped_co2", "running_oxygen"}),
    "Q17": frozenset({"span_share"}),
    "Q18": frozenset({"minutes"}),
    "Q28": frozenset({"hours"}),
    "Q31": frozenset({"event_s"}),
    "Q33": frozenset({"warn_share", "error_share"}),
}
"""The limits each check reads; a rule without an entry has none.

Q31 says only how often a broken count becomes an event: the difference rule of a total is part of how segments are
recomputed by anyone, and no site may change it.
"""
CHECKS = frozenset(
    {"Q01", "Q02", "Q03", "Q04", "Q05", "Q06", "Q07", "Q08", "Q09", "Q10", "Q11", "Q12", "Q13", "Q14"}
    | {"Q15", "Q16", "Q17", "Q18", "Q26", "Q27", "Q28", "Q31", "Q33", "Q34"}
)
"""The checks that there is code for."""


def packaged_rules(name: str = DEFAULT) -> RuleSet:
    """Read the rule set that comes with the package.

    Raises:
        RuleError: there is none of that name.
    """
    folder = files("evidence") / "rules"
    known = sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))
    if name not in known:
        there = ", ".join(known)
        raise RuleError(
            f"{name}.json", "(file)", f"没有这个规则集；现有: {there}", f"no such rule set; there are: {there}"
        )
    return read_rules((folder / f"{name}.json").read_bytes(), f"{name}.json")


def rules_of(name: Mapping[str, Any]) -> RuleSet | None:
    """Return the rule set that a record names by id and digest, with its overrides; None where it is not packaged here.

    ``name`` is what `RuleSet.name_json` wrote. A packaged set is never edited once it was in use: another version is
    another file, so that what was judged by the old one can still be recomputed.
    """
    folder = files("evidence") / "rules"
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if not entry.name.endswith(".json"):
            continue
        rules = _packaged(entry.name)
        if (rules.id, rules.hash) == (name.get("id"), name.get("hash")):
            said = [_override(one) for one in name.get("overrides", ())]
            try:
                return rules.with_overrides(said, "config")
            except RuleError:
                return None
    return None


@lru_cache(maxsize=32)
def _packaged(file: str) -> RuleSet:
    return read_rules((files("evidence") / "rules" / file).read_bytes(), file)


def _override(said: Mapping[str, Any]) -> Override:
    value = said.get("value")
    return Override(said["rule"], said["reason"], said.get("limit", ""), None if value is None else Decimal(value))


def read_rules(data: bytes, file: str) -> RuleSet:
    """Read a rule set from its bytes.

    Raises:
        RuleError: naming file and key of what is wrong.
    """
    try:
        content = strict_json(data)
        document = _Document.model_validate(content)
    except EvidenceError as error:
        raise RuleError(file, "(file)", f"不是有效的 JSON: {error.detail}", error.detail) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise RuleError(file, _key(content, first["loc"]), f"无效: {first['msg']}", first["msg"]) from error
    rules: dict[str, Rule] = {}
    for one in document.rules:
        if one.id not in CHECKS or one.id in rules:
            raise RuleError(
                file,
                f"rules.{one.id}",
                "没有这条规则，或重复",
                "there is no code for this rule, or it stands here twice",
            )
        _check_limits(file, one)
        rules[one.id] = Rule(
            one.id,
            one.version,
            one.name.zh,
            one.name.en,
            Severity(one.severity),
            tuple(one.where),
            one.source,
            one.mark,
            {name: _number(file, f"rules.{one.id}.{name}", text) for name, text in one.limits.items()},
            None if one.flag is None else Flag(one.flag),
        )
    for lacking in sorted(CHECKS - rules.keys()):
        raise RuleError(file, f"rules.{lacking}", "缺少该规则", "the rule is missing; turn it off at the site instead")
    return RuleSet(
        document.id,
        document.version,
        document.valid.from_,
        sha256_hex(jcs(content)),
        rules,
        {
            (one.quantity, one.unit): Range(
                _number(file, f"ranges.{one.quantity}.low", one.low),
                _number(file, f"ranges.{one.quantity}.high", one.high),
            )
            for one in document.ranges
        },
        frozenset(document.nonnegative),
        document.aliases,
    )


def _check_limits(file: str, rule: _Rule) -> None:
    wanted = LIMITS.get(rule.id, frozenset())
    for name in sorted(rule.limits.keys() - wanted):
        raise RuleError(
            file, f"rules.{rule.id}.{name}", "未知的限值", "unknown limit; remove it or correct its spelling"
        )
    for name in sorted(wanted - rule.limits.keys()):
        raise RuleError(file, f"rules.{rule.id}.{name}", "缺少限值", "the limit is missing; add it")


def _number(file: str, key: str, text: str) -> Decimal:
    try:
        return parse_decimal(text)
    except EvidenceError as error:
        raise RuleError(file, key, f"不是十进制数: {text[:40]}", error.detail) from error


def _key(content: Any, location: tuple[int | str, ...]) -> str:
    """Write where a fault is, rules by their id instead of their place."""
    parts = []
    for at, part in enumerate(location):
        if at == 1 and location[0] == "rules" and isinstance(part, int):
            one = content["rules"][part]
            part = one.get("id", part) if isinstance(one, dict) else part
        parts.append(str(part))
    return ".".join(parts) or "(file)"
