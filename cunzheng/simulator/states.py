"""Which states a device shows when it is well, calibrated, maintained or faulty: found by its own profile's rules.

A profile says which states make which quality; here that is asked the other way round, by trying: first no state set,
then each one, then each two together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from itertools import combinations
from types import MappingProxyType

from device_profiles import Point, Profile, Role
from device_profiles.condition import Both, Comparison, Condition, Either, Name, Not, Value, holds, names_in
from device_profiles.model import RAW, QualityRules
from device_profiles.quality import Quality

_ZERO, _ONE = Decimal(0), Decimal(1)
_MOST_STATES = 3
"""States that are set together to show one quality; no rule of a profile needs more."""


@lru_cache(maxsize=256)
def healthy_states(profile: Profile) -> Mapping[str, Value]:
    """Give the states with which the device stands behind its values; empty where the profile has no states."""
    return states_showing(profile, Quality.VALID)


@lru_cache(maxsize=256)
def states_showing(profile: Profile, quality: Quality, *, is_zero: bool = False) -> Mapping[str, Value]:
    """Give the states by which the device says that its values are of a quality; `is_zero`: they are zero meanwhile.

    Raises: ValueError where the profile has no such state.
    """
    if profile.mqtt is not None:
        return _word(profile, quality)
    found: dict[str, Value] = {}
    reached = quality is Quality.VALID
    for group in profile.quality:
        shown = _solved(profile, group, quality, is_zero=is_zero)
        if shown is not None:
            found.update(shown)
            reached = True
    if not reached:
        raise ValueError(f"{profile.id} has no state that says {quality}")
    return MappingProxyType(found)


def quality_word(profile: Profile, quality: Quality) -> str | None:
    """Give the word in a message that says so, where the profile knows one."""
    rule = profile.mqtt
    if rule is None:
        return None
    return next((word for word, state in rule.quality_map.items() if state.quality is quality), None)


def valued_points(profile: Profile) -> frozenset[str]:
    """Name the points whose values are held or zero in such a state: those that the states speak of, or all rates."""
    named = {name for group in profile.quality for name in group.applies_to}
    if profile.mqtt is not None:
        named |= set(profile.mqtt.quality_applies_to)
    rates = frozenset(name for name, point in profile.points.items() if point.role is Role.RATE)
    return (frozenset(named) or rates) & rates


def _word(profile: Profile, quality: Quality) -> Mapping[str, Value]:
    word = quality_word(profile, quality)
    if word is None:
        if quality is Quality.VALID:
            return MappingProxyType({})
        raise ValueError(f"{profile.id} has no word that says {quality}")
    pointer = profile.mqtt.quality_pointer if profile.mqtt is not None else ""
    carriers = [name for name, point in profile.points.items() if pointer and point.pointer == pointer]
    return MappingProxyType(dict.fromkeys(carriers, word))


def _solved(profile: Profile, group: QualityRules, quality: Quality, *, is_zero: bool) -> dict[str, Value] | None:
    names = sorted(profile.states_of(group))
    usual: dict[str, Value] = dict.fromkeys(names, _ZERO)
    options = [(name, value) for name in names for value in _options(profile.points[name], group, name)]
    for count in range(min(_MOST_STATES, len(names)) + 1):
        for chosen in combinations(options, count):
            if len({name for name, _ in chosen}) != count:
                continue
            tried = {**usual, **dict(chosen)}
            if _says(profile, group, tried, is_zero=is_zero) is quality:
                return tried
    return None


def _says(profile: Profile, group: QualityRules, states: Mapping[str, Value], *, is_zero: bool) -> Quality | None:
    """Give the quality of the rule that decides; valid where none does, None where it cannot be known."""
    known: dict[str, Value] = {**profile.settings, **states, RAW: _ZERO if is_zero else _ONE}
    for rule in group.rules:
        answer = holds(rule.when, known.get)
        if answer is None:
            return None
        if answer:
            return rule.quality if rule.quality is not Quality.VALID or rule.reason == "" else None
    return Quality.VALID


def _options(point: Point, group: QualityRules, name: str) -> list[Value]:
    """List what a state may show: both values of a bit, the codes of a table, and the constants it is compared with."""
    found: list[Value] = [_ONE]
    found += [Decimal(code) for code in point.enum or {}]
    for rule in group.rules:
        if name in names_in(rule.when):
            found += _constants(rule.when, name)
    if point.type == "bit":
        found = [one for one in found if one in (0, 1)]
    return list(dict.fromkeys(found))


def _constants(condition: Condition, name: str) -> Iterator[Value]:
    match condition:
        case Comparison(Name(asked), _, right) if asked == name and not isinstance(right, Name):
            yield right
        case Comparison(left, _, Name(asked)) if asked == name and not isinstance(left, Name):
            yield left
        case Not(of):
            yield from _constants(of, name)
        case Both(left, right) | Either(left, right):
            yield from _constants(left, name)
            yield from _constants(right, name)
