"""What a device's states say about its values: the quality rules of a profile, applied to decoded points.

The first rule that holds decides. Where the states are read before and after the values, both looks must agree that
the value is good; a state that was not read leaves the value uncertain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from .condition import Lookup, Value, holds, parse_condition
from .model import RAW, QualityRules, Rule, Table
from .profile import Profile
from .quality import FLAG_OF, VALUELESS, Decoded, Fired, Quality, Reason

#: What is said where a state was not read.
UNKNOWN = Rule(parse_condition("raw == 0"), Quality.UNCERTAIN, FLAG_OF[Quality.UNCERTAIN], Reason.STATE_MISSING.value)

Places = list[tuple[Table, int]]


def out_of_sight(name: str) -> Value | None:
    """Know nothing: the look-up where only one point is at hand."""
    return None


def lookup_in(own: Mapping[str, Value], lookup: Lookup) -> Lookup:
    """Look into a mapping first."""
    return lambda name: own[name] if name in own else lookup(name)


def judged(
    profile: Profile,
    name: str,
    decoded: Decoded,
    before: Lookup,
    after: Lookup | None,
    fired: Fired | None,
    raw: Decimal | None,
    *,
    silent: bool = False,
) -> Decoded:
    """Give the value the quality its device's states say. `silent`: a state that is missing says nothing."""
    if decoded.value is None:
        return decoded
    own: Mapping[str, Value] = {} if raw is None else {RAW: raw}
    for group in profile.quality_of(name):
        looks = [before] if after is None or not group.twice else [before, after]
        for look in looks:
            rule = _first(profile, group, lookup_in(own, look), fired)
            if rule is None or (rule is UNKNOWN and silent):
                continue
            decoded = _with(decoded, rule)
            if rule.quality is not Quality.VALID or rule.flag != "N":
                return decoded
    return decoded


def _first(profile: Profile, group: QualityRules, lookup: Lookup, fired: Fired | None) -> Rule | None:
    for at, rule in enumerate(group.rules):
        answer = holds(rule.when, lookup)
        if answer is None:
            return UNKNOWN
        if answer:
            if fired is not None:
                fired.add(("rule", profile.quality.index(group), at))
            return rule
    return None


def _with(decoded: Decoded, rule: Rule) -> Decoded:
    value = None if rule.quality in VALUELESS else decoded.value
    number = None if rule.quality in VALUELESS else decoded.number
    return replace(decoded, value=value, number=number, quality=rule.quality, flag=rule.flag, reason=rule.reason)
