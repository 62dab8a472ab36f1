"""A whole profile: one device model in one version, and the questions asked of it as a whole.

`configured` fills in what the fitter gave (units, ratios, nominal values); everything else works on the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property
from types import MappingProxyType

from .condition import names_in
from .model import RAW, MatchTest, Mqtt, Parameter, Point, QualityRules, TotaliserRule, Transport, Vector
from .plain_point import PlainPoint, plain_point
from .planner import ReadBlock, plan
from .units import EXACT, UNITS, plain, rate_per_hour

Setting = Decimal | str

#: Unit of a parameter that is a rate in the total's own unit per hour, for totals whose unit is set in the device.
PER_HOUR = "1"


@dataclass(frozen=True, eq=False)
class Profile:
    """One device model in one version. `hash` is the SHA-256 of the file's canonical content."""

    id: str
    version: int
    hash: str
    vendor: str
    model: str
    name: Mapping[str, str]
    trust: str
    sources: tuple[str, ...]
    address_base: str
    transport: Transport
    parameters: Mapping[str, Parameter]
    points: Mapping[str, Point]
    mqtt: Mqtt | None
    vectors: tuple[Vector, ...] = field(repr=False, default=())
    quality: tuple[QualityRules, ...] = ()
    match: tuple[MatchTest, ...] = ()
    unconfirmed: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def protocol(self) -> str:
        """Either `modbus` or `mqtt`."""
        return "mqtt" if self.mqtt else "modbus"

    def plan(self, points: Iterable[str] | None = None) -> tuple[ReadBlock, ...]:
        """List the read requests that cover these points (all by default).

        Raises: KeyError for a point the profile does not have.
        """
        if self.mqtt:
            return ()
        names = self.needed(self.points if points is None else points)
        return plan([self.points[name] for name in names], self.transport, self._states_read_twice(names))

    def needed(self, points: Iterable[str]) -> tuple[str, ...]:
        """Add to these points all that they need to be decoded: states, scales, orders, in the profile's order.

        Raises: KeyError for a point the profile does not have.
        """
        found: set[str] = set()
        waiting = list(points)
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            needs = set(self.points[name].needs)
            for group in self.quality_of(name):
                needs |= self.states_of(group)
            found.add(name)
            waiting += sorted(one for one in needs if one in self.points)
        return tuple(name for name in self.points if name in found)

    def quality_of(self, point: str) -> tuple[QualityRules, ...]:
        """List the quality rules that speak about a point."""
        return self._quality_by_point.get(point, ())

    @cached_property
    def plain_points(self) -> Mapping[str, PlainPoint]:
        """The points whose own words alone say their value."""
        found = {name: plain_point(point) for name, point in self.points.items()}
        return {name: one for name, one in found.items() if one is not None}

    @cached_property
    def unjudged_points(self) -> Mapping[str, PlainPoint]:
        """The plain points of which no state of the device says anything."""
        return {name: one for name, one in self.plain_points.items() if name not in self._quality_by_point}

    @cached_property
    def _quality_by_point(self) -> Mapping[str, tuple[QualityRules, ...]]:
        named = {name for group in self.quality for name in group.applies_to}
        return {name: tuple(group for group in self.quality if name in group.applies_to) for name in named}

    def states_of(self, group: QualityRules) -> frozenset[str]:
        """Name the points whose state a group of rules asks for."""
        asked = frozenset[str]().union(*(names_in(rule.when) for rule in group.rules))
        return frozenset(name for name in asked - {RAW} if name in self.points)

    def _states_read_twice(self, names: Iterable[str]) -> frozenset[str]:
        chosen = set(names)
        return frozenset[str]().union(
            *(self.states_of(group) for group in self.quality if group.twice and chosen & set(group.applies_to))
        )

    def configured(self, parameters: Mapping[str, Setting]) -> Profile:
        """Fill in the commissioning parameters; id, version and hash stay those of the file.

        What is not given takes its default; without one, the points that depend on it decode as faults
        (`parameter-missing`), never as numbers.
        """
        settings: dict[str, Setting] = {}
        for name, parameter in self.parameters.items():
            given = parameters.get(name, parameter.default)
            if given is not None:
                settings[name] = given
        points = {name: _configured(point, settings) for name, point in self.points.items()}
        return replace(self, points=MappingProxyType(points), settings=MappingProxyType(settings))

    def totaliser_rule(self, point: str, parameters: Mapping[str, Setting] | None = None) -> TotaliserRule | None:
        """Fill a totaliser's largest rate from the commissioning parameters; None for other points.

        Raises: KeyError where the parameter is needed and not given.
        """
        described = self.points[point]
        rule = described.totaliser
        if rule is None:
            return None
        if rule.max_rate is not None:
            return TotaliserRule(rule.modulus, rule.resettable, rule.backstep, rule.max_rate, rule.step)
        name = rule.max_rate_from or ""
        given = (parameters or {}).get(name, self.parameters[name].default)
        if not isinstance(given, Decimal):
            raise KeyError(name)
        unit = self.parameters[name].unit
        rate = given if unit == PER_HOUR else rate_per_hour(given, unit, described.unit)
        if rate is None:  # the loader has checked that the kinds fit
            raise ValueError(f"{name} is no rate of {UNITS[described.unit].kind}")
        return TotaliserRule(rule.modulus, rule.resettable, rule.backstep, rate, rule.step)


def _configured(point: Point, settings: Mapping[str, Setting]) -> Point:
    unit = settings.get(point.unit_from)
    if isinstance(unit, str):
        point = replace(point, unit=unit, unit_from="")
    factor = settings.get(point.scale_parameter)
    if isinstance(factor, Decimal):
        point = _scaled(point, factor, scale_parameter="")
    nominal = settings.get(point.percent_of)
    if isinstance(nominal, Decimal):
        point = _scaled(point, nominal.scaleb(-2), percent_of="")
    low, high = (settings.get(name) for name in point.configured_from)
    return replace(
        point,
        configured=(
            low if isinstance(low, Decimal) else point.configured[0],
            high if isinstance(high, Decimal) else point.configured[1],
        ),
    )


def _scaled(point: Point, factor: Decimal, **cleared: str) -> Point:
    return replace(
        point,
        scale=plain(EXACT.multiply(point.scale, factor)),
        offset=plain(EXACT.multiply(point.offset, factor)),
        **cleared,  # type: ignore[arg-type]
    )
