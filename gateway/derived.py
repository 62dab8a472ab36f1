"""Derived channels of the site: `[[derived]]` of the site file, and their readings when an hour is sealed.

    parts of the hour, as stored ─▶ a derived reading a minute ─▶ stored before the hour is sealed, so it is in the tree

A derived minute follows from what was stored when its hour was sealed. Readings that come later complete a minute that
had no valid figure; a figure that stands is never replaced. The rules themselves are `accounting.cems_channels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from accounting.cems import Basis
from accounting.cems_cases import Case, Part
from accounting.cems_channels import DerivedError, DerivedRule, derive
from accounting.cems_rules import CemsRules, packaged_rules, rules_name, rules_named
from evidence.channel import Channel
from evidence.encoding import parse_time, time_text
from evidence.hours import HOUR, HourState, hour_value, operating_minutes
from evidence.judge_rules import RuleSet
from evidence.marks import Mark
from evidence.minutes import minute_values
from gateway.errors import MisuseError
from gateway.reading_store import Arrival, insert_readings, leaves_between
from gateway.site import DerivedSite
from gateway.store import Store


@dataclass(frozen=True)
class Derived:
    """A derived channel with the rule set it is computed by, and the quality rules of its parts."""

    rule: DerivedRule
    rules: CemsRules
    checks: Mapping[str, RuleSet]


def derived_rule(path: Path, site: DerivedSite, channels: Mapping[str, Channel]) -> DerivedRule:
    """Join a `[[derived]]` with the channels it names.

    Raises:
        MisuseError: case, part, channel, constant, unit or rule set are wrong; file and key are named.
    """
    key = f"derived.{site.id}"
    if site.case not in set(Case):
        known = ", ".join(Case)
        raise _wrong(
            path,
            f"{key}.case",
            f"没有换算 {site.case!r}；现有: {known}",
            f"there is no case {site.case!r}; there are: {known}",
        )
    if site.rules not in packaged_rules():
        known = ", ".join(packaged_rules())
        raise _wrong(
            path,
            f"{key}.rules",
            f"没有规则集 {site.rules!r}；现有: {known}",
            f"there is no rule set {site.rules!r}; there are: {known}",
        )
    parts: dict[Part, Channel] = {}
    for name, channel in site.inputs.items():
        if name not in set(Part):
            known = ", ".join(Part)
            raise _wrong(
                path,
                f"{key}.inputs.{name}",
                f"没有这个输入；现有: {known}",
                f"there is no such input; there are: {known}",
            )
        if channel not in channels:
            raise _wrong(
                path,
                f"{key}.inputs.{name}",
                f"本文件中没有通道 {channel!r}",
                f"there is no channel {channel!r} in this file; add it or correct the id",
            )
        parts[Part(name)] = channels[channel]
    try:
        return DerivedRule(
            site.id,
            Case(site.case),
            parts,
            site.constants,
            rules_name(site.rules),
            Basis(site.basis),
            site.subject or None,
        )
    except DerivedError as error:
        raise _wrong(path, f"{key}.{error.member}", error.zh, error.en) from error


def derived_of(rules: Iterable[DerivedRule], checks: Mapping[str, RuleSet]) -> tuple[Derived, ...]:
    """Give each rule what it is computed with; `checks` are the quality rules of every channel."""
    return tuple(
        Derived(
            rule,
            rules_named(str(rule.rules_name["id"])),
            {channel.id: checks[channel.id] for channel in rule.channels.values()},
        )
        for rule in rules
    )


def derive_hour(store: Store, derived: Iterable[Derived], hour: str, now: datetime) -> int:
    """Store the derived readings of an hour that is about to be sealed; return how many are new."""
    count = 0
    for one in derived:
        end = time_text(parse_time(hour) + HOUR)
        readings = {channel.id: leaves_between(store, channel.id, hour, end) for channel in one.rule.channels.values()}
        if not any(readings.values()):
            continue
        known = {leaf.time: leaf for leaf in leaves_between(store, one.rule.name, hour, end)}
        arrivals = []
        for reading in derive(one.rule, readings, one.rules, one.checks, now):
            before = known.get(reading.time)
            if before is not None and (before.is_valid or not reading.is_valid):
                continue
            again = "" if before is None else ":completed"
            identity = f"derived:{one.rule.name}:{time_text(reading.time)}{again}"
            arrivals.append(Arrival(reading, hour, identity))
        count += insert_readings(store, arrivals)
    return count


def hour_code(store: Store, one: Derived, hour: str, checks: RuleSet, marks: list[Mark], subject: str | None) -> str:
    """Return the method code of an hour of a derived channel by what is stored and marked now.

    Measured, not operating, or missing; what fills a missing hour is decided by whoever has the hours around it.
    """
    start = parse_time(hour)
    leaves = leaves_between(store, one.rule.name, hour, time_text(start + HOUR))
    channel = one.rule.channel()
    minutes = minute_values(leaves, channel.poll, checks)
    ran = operating_minutes(start, marks, one.rule.name, subject)
    value = hour_value(start, one.rule.name, minutes, checks, operating=ran)
    codes = one.rules.codes
    return {
        HourState.VALID: codes.measured.code,
        HourState.NOT_OPERATING: codes.not_operating.code,
        HourState.INVALID: codes.unfilled.code,
    }[value.state]


def _wrong(path: Path, key: str, zh: str, en: str) -> MisuseError:
    return MisuseError(f"{path}: 键 {key}: {zh}", f"{path}: key {key}: {en}")
