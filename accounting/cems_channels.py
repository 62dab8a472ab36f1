"""Derived channels: flow and CO2 mass of a stack, computed minute by minute from readings of the same minute.

    velocity, temperature, pressures, moisture, CO2 ─▶ minute values ─▶ combined flag ─▶ flow, mass rate (`derived`)

A named rule says which channel plays which part and on which basis the analyser measures. The parts of one minute
must all be valid; otherwise the derived reading has no number and the flag that the rule ranks first. A part above its
range (T) makes the result a lower bound. Derived readings are a cross-check; nothing in accounting takes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from accounting.cems import Basis, Share, co2_mass, dry_standard_flow, gas, percent, share_of
from accounting.cems_rules import CemsRules
from accounting.errors import AccountingError
from accounting.exact import half_up
from accounting.substitution import HourFigure, HourState
from evidence.channel import Channel, ChannelKind
from evidence.hours import HourState as Judged
from evidence.hours import HourValue
from evidence.judge_rules import RuleSet
from evidence.minutes import MINUTE, MinuteValue, minute_values
from evidence.reading import Flag, Reading

PLACES = 6
"""Decimals of a derived reading."""
FLAG_ORDER = (
    Flag.NO_COMMUNICATION,
    Flag.FAULT,
    Flag.STOPPED,
    Flag.CALIBRATION,
    Flag.MAINTENANCE,
    Flag.SET_VALUE,
    Flag.OVER_RANGE,
)
"""Which flag a derived reading gets when its parts have several."""


class Part(StrEnum):
    """What a channel contributes."""

    VELOCITY = "velocity"
    TEMPERATURE = "temperature"
    GAUGE = "gauge"
    BAROMETER = "barometer"
    MOISTURE = "moisture"
    CO2 = "co2"


UNITS: Mapping[Part, Mapping[str, Decimal]] = {
    Part.VELOCITY: {"m/s": Decimal(1)},
    Part.TEMPERATURE: {"degC": Decimal(1)},
    Part.GAUGE: {"Pa": Decimal(1), "kPa": Decimal(1000)},
    Part.BAROMETER: {"Pa": Decimal(1), "kPa": Decimal(1000)},
    Part.MOISTURE: {"%": Decimal("0.01"), "1": Decimal(1)},
    Part.CO2: {"%": Decimal(1), "mg/m3": Decimal(1)},
}
"""Units a part may have, and the factor to the one the formulas use; CO2 keeps its own."""
QUANTITIES: Mapping[Part, str] = {
    Part.VELOCITY: "stack_velocity",
    Part.MOISTURE: "moisture",
    Part.CO2: "co2_concentration",
}


class DerivedError(AccountingError):
    """The rule of a derived channel does not fit its parts."""


@dataclass(frozen=True)
class StackRule:
    """A named rule: which channel plays which part, cross-section in m2, and the basis of the CO2 analyser.

    ``velocity_coefficient`` is Kv of the velocity field. The barometer is a channel or a constant in Pa, never assumed.
    """

    name: str
    channels: Mapping[Part, Channel]
    area: Decimal
    co2_basis: Basis
    flow_channel: str
    mass_channel: str
    velocity_coefficient: Decimal = Decimal(1)
    barometer: Decimal | None = None

    def __post_init__(self) -> None:
        wanted = set(Part) - ({Part.BAROMETER} if self.barometer is not None else set())
        if self.channels.keys() != wanted:
            odd = ", ".join(sorted(self.channels.keys() ^ wanted))
            raise DerivedError(
                f"rule {self.name}: {odd} must be given exactly once", f"规则 {self.name}：{odd} 必须且只能给出一次"
            )
        for part, channel in self.channels.items():
            if channel.unit not in UNITS[part] or channel.kind is not ChannelKind.VALUE:
                units = ", ".join(UNITS[part])
                raise DerivedError(
                    f"rule {self.name}: {part} is a value in {units}, not {channel.kind} in {channel.unit}",
                    f"规则 {self.name}：{part} 应为瞬时量，单位 {units}，不能是 {channel.unit} 的 {channel.kind}",
                )

    def derived_channels(self) -> tuple[Channel, Channel]:
        """Return the channels that the rule feeds: dry standard flow in Nm3/h and CO2 in t/h."""
        source = self.channels[Part.CO2]

        def made(name: str, unit: str, param: str) -> Channel:
            return Channel(
                name, unit, ChannelKind.DERIVED, MINUTE, source.device, source.via, param=param, subject=source.subject
            )

        return made(self.flow_channel, "Nm3/h", "cems_flow"), made(self.mass_channel, "t/h", "cems_co2")


def derive(
    rule: StackRule, readings: Mapping[str, Sequence[Reading]], rules: CemsRules, checks: RuleSet, received: datetime
) -> list[Reading]:
    """Return the derived readings of every minute that has any reading: flow and mass, in order of time.

    ``readings`` are judged ones by channel. Whoever has the same readings computes the same.
    """
    minutes = {
        part: {
            one.start: one
            for one in minute_values(
                readings.get(channel.id, ()), channel.poll, checks, quantity=QUANTITIES.get(part, "")
            )
        }
        for part, channel in rule.channels.items()
    }
    starts = sorted({start for found in minutes.values() for start in found})
    derived = []
    for start in starts:
        derived += _of_minute(rule, start, {part: found.get(start) for part, found in minutes.items()}, rules, received)
    return derived


def combined_flag(minutes: Mapping[Part, MinuteValue | None]) -> tuple[Flag, str]:
    """Return the flag of a result by the rule, and the parts that cause it; N and nothing where all are valid.

    A part that is valid but touched its range (T) makes the result T.
    """
    flags: dict[Part, Flag] = {}
    for part, minute in sorted(minutes.items()):
        if minute is None:
            flags[part] = Flag.NO_COMMUNICATION
        elif not minute.is_valid:
            flags[part] = Flag.FAULT if minute.dominant is Flag.NORMAL else minute.dominant
        elif minute.is_lower_bound:
            flags[part] = Flag.OVER_RANGE
    for flag in FLAG_ORDER:
        parts = [part.value for part, found in flags.items() if found is flag]
        if parts:
            return flag, ", ".join(parts)
    return Flag.NORMAL, ""


def _of_minute(
    rule: StackRule,
    start: datetime,
    minutes: Mapping[Part, MinuteValue | None],
    rules: CemsRules,
    received: datetime,
) -> list[Reading]:
    flag, causes = combined_flag(minutes)
    reason = f"{rule.name}: {flag} of {causes}" if causes else rule.name
    flow = mass = None
    means = {
        part: one.mean for part, one in minutes.items() if one is not None and one.is_valid and one.mean is not None
    }
    if means.keys() == rule.channels.keys() and flag in (Flag.NORMAL, Flag.OVER_RANGE):
        try:
            flow, mass = _computed(rule, means, rules)
        except AccountingError as error:
            flag, reason = Flag.FAULT, f"{rule.name}: {error}"
    return [
        Reading(name, start, value, unit, flag, received, reason)
        for name, value, unit in ((rule.flow_channel, flow, "Nm3/h"), (rule.mass_channel, mass, "t/h"))
    ]


def _computed(rule: StackRule, means: Mapping[Part, Decimal], rules: CemsRules) -> tuple[Decimal, Decimal]:
    said = {
        part: value * UNITS[part][rule.channels[part].unit] for part, value in means.items() if part is not Part.CO2
    }
    inside = gas(
        temperature=said[Part.TEMPERATURE],
        gauge=said[Part.GAUGE],
        barometer=said[Part.BAROMETER] if rule.barometer is None else rule.barometer,
        moisture=said[Part.MOISTURE],
    )
    flow = dry_standard_flow(
        velocity=said[Part.VELOCITY] * rule.velocity_coefficient, area=rule.area, gas=inside, t0=rules.t0
    )
    share = _share(rule, means[Part.CO2], rules)
    dry = share if share.basis is Basis.DRY else share.to_dry(inside)
    mass = co2_mass(flow, dry, rho=rules.rho)
    return half_up(flow.value, PLACES), half_up(mass, PLACES)


def _share(rule: StackRule, co2: Decimal, rules: CemsRules) -> Share:
    if rule.channels[Part.CO2].unit == "%":
        return percent(co2, rule.co2_basis)
    return share_of(co2, rules.rho, rule.co2_basis)


def figure_of(hour: HourValue, *, good_until: datetime | None = None) -> HourFigure:
    """Return an hour of a mass channel as substitution wants it: tonnes are the mean rate times the operating fraction.

    ``good_until`` is the last good calibration, for an hour that is missing because of one that failed.
    """
    if hour.is_valid and hour.mean is not None:
        return HourFigure(hour.start, HourState.MEASURED, Fraction(hour.mean) * Fraction(hour.top))
    if hour.state is Judged.NOT_OPERATING:
        return HourFigure(hour.start, HourState.NOT_OPERATING)
    return HourFigure(hour.start, HourState.MISSING, good_until=good_until)
