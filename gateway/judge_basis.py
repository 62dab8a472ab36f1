"""From the site file to what the judge knows of each channel: rules with the site's overrides, ranges, quantities.

A rule, limit or quantity that does not exist refuses the site, naming file and key.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from accounting.cems_channels import DerivedRule
from evidence.channel import Channel, ChannelKind
from evidence.hours import HOUR
from evidence.judge import Basis, Limits
from evidence.judge_rules import Override, RuleError, RuleSet, packaged_rules
from evidence.stack import StackMeaning
from gateway.errors import MisuseError
from gateway.site import ChannelSite, RuleSite, Site


def site_rules(path: Path, site: Site) -> RuleSet:
    """Return the rule set with what the site overrides for all channels.

    Raises:
        MisuseError: a rule or limit does not exist, or has no reason.
    """
    return _overridden(str(path), packaged_rules(), site.rule)


def bases_of(
    path: Path,
    site: Site,
    rules: RuleSet,
    channels: Mapping[str, Channel],
    limits: Mapping[str, Limits],
    quantities: Mapping[str, str],
    sparse: Collection[str],
) -> dict[str, Basis]:
    """Return what is known of each channel before its first reading.

    Raises:
        MisuseError: a rule, limit or quantity does not exist.
    """
    return {
        one.id: Basis(
            channel=channels[one.id],
            rules=_overridden(f"{path}: channel {one.id}", rules, one.rule),
            limits=limits[one.id],
            quantity=_quantity(path, one, rules) or quantities.get(one.id, ""),
            span=Limits(one.range.low, one.range.high),
            calibrated_every=_hours(one),
            is_identity=one.identity,
            is_sparse=one.id in sparse,
        )
        for one in site.channel
    }


def with_meaning(bases: Mapping[str, Basis]) -> dict[str, Basis]:
    """Let the channels that measure a quantity of a stack declare it, with the rules of their hours."""
    return {name: _meaning(one, one.quantity) if _is_of_stack(one) else one for name, one in bases.items()}


def with_clocks(bases: Mapping[str, Basis], allowed: Mapping[str, Decimal]) -> dict[str, Basis]:
    """Let a profile say how far its device's clock may be off (Q05), unless the site has a limit of its own."""
    return {
        name: one
        if name not in allowed or any((own.rule, own.limit) == ("Q05", "warn_s") for own in one.rules.overrides)
        else replace(one, clock_allowed_s=allowed[name])
        for name, one in bases.items()
    }


def derived_bases(path: Path, site: Site, rules: RuleSet, made: Iterable[DerivedRule]) -> dict[str, Basis]:
    """Return what is known of the derived channels, with the rules their sections override.

    Raises:
        MisuseError: a rule or limit does not exist, or has no reason.
    """
    overrides = {one.id: _overridden(f"{path}: derived {one.id}", rules, one.rule) for one in site.derived}
    return {
        rule.name: _meaning(
            Basis(rule.channel(), overrides[rule.name], quantity=rule.needs.quantity), rule.needs.quantity
        )
        for rule in made
    }


def _is_of_stack(basis: Basis) -> bool:
    channel = basis.channel
    return (
        channel.kind is ChannelKind.VALUE
        and channel.poll <= HOUR
        and basis.rules.range_of(basis.quantity, channel.unit) is not None
    )


def _meaning(basis: Basis, quantity: str) -> Basis:
    rule = basis.rules.rule("Q07")
    meaning = StackMeaning(
        basis.rules.quantity(quantity), rule.limit("samples"), rule.limit("share"), basis.rules.name_json()
    )
    return replace(basis, channel=replace(basis.channel, stack=meaning))


def restart_counters_of(site: Site) -> dict[str, tuple[str, ...]]:
    """Return which totals each counter of restarts speaks for."""
    found: dict[str, tuple[str, ...]] = {}
    for one in site.channel:
        if one.restart_counter:
            found[one.restart_counter] = (*found.get(one.restart_counter, ()), one.id)
    return found


def _overridden(where: str, rules: RuleSet, given: Iterable[RuleSite]) -> RuleSet:
    overrides = [Override(one.id, one.reason, one.limit, one.value) for one in given]
    if not overrides:
        return rules
    try:
        return rules.with_overrides(overrides, where)
    except RuleError as error:
        raise MisuseError(error.zh, error.en) from error


def _quantity(path: Path, channel: ChannelSite, rules: RuleSet) -> str:
    if channel.quantity and not rules.is_known_quantity(channel.quantity):
        known = ", ".join(sorted(rules.quantities))
        key = f"channel.{channel.id}.quantity"
        raise MisuseError(
            f"{path}: 键 {key}: 没有量 {channel.quantity!r}；现有: {known}",
            f"{path}: key {key}: there is no quantity {channel.quantity!r}; there are: {known}",
        )
    return channel.quantity


def _hours(channel: ChannelSite) -> timedelta | None:
    if channel.calibrated_every_h is None:
        return None
    return timedelta(microseconds=int(channel.calibrated_every_h * 3_600_000_000))
