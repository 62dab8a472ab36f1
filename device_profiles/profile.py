"""A whole profile: one device model in one version, and the two questions asked of it as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from .model import Mqtt, Parameter, Point, TotaliserRule, Transport, Vector
from .planner import ReadBlock, plan
from .units import UNITS, rate_per_hour


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
        chosen = self.points.values() if points is None else [self.points[name] for name in points]
        return plan(tuple(chosen), self.transport)

    def totaliser_rule(self, point: str, parameters: Mapping[str, Decimal] | None = None) -> TotaliserRule | None:
        """Fill a totaliser's largest rate from the commissioning parameters; None for other points.

        Raises: KeyError where the parameter is needed and not given.
        """
        described = self.points[point]
        rule = described.totaliser
        if rule is None:
            return None
        if rule.max_rate is not None:
            return TotaliserRule(rule.modulus, rule.resettable, rule.backstep, rule.max_rate)
        name = rule.max_rate_from or ""
        given = (parameters or {}).get(name, self.parameters[name].default)
        if given is None:
            raise KeyError(name)
        rate = rate_per_hour(given, self.parameters[name].unit, described.unit)
        if rate is None:  # the loader has checked that the kinds fit
            raise ValueError(f"{name} is no rate of {UNITS[described.unit].kind}")
        return TotaliserRule(rule.modulus, rule.resettable, rule.backstep, rate)
