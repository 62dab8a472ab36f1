"""Derived channels: flow, CO2 mass and others of a stack, computed minute by minute from readings of the same minute.

    velocity, temperature, pressures, moisture, CO2 ─▶ minute values ─▶ combined flag ─▶ one figure (`derived`)

A rule says which channel plays which part, with which constants and basis. The parts of one minute must all be valid;
otherwise the derived reading has no number and the flag that the rule ranks first. A part above its range (T) makes
the result a lower bound. Derived readings are a cross-check; nothing in accounting takes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from accounting.cems import Basis
from accounting.cems_cases import BAROMETER_PA, NEEDS, QUANTITIES, UNITS, Case, Needs, Part, computed
from accounting.cems_rules import CemsRules
from accounting.errors import AccountingError
from accounting.exact import half_up
from accounting.substitution import HourFigure, HourState
from evidence.channel import Channel, ChannelKind
from evidence.encoding import decimal_text
from evidence.hours import HourState as Judged
from evidence.hours import HourValue
from evidence.judge_rules import RuleSet
from evidence.judge_value import is_recordable
from evidence.minutes import MINUTE, MinuteValue, minute_values
from evidence.reading import Flag, Leaf, Reading
from evidence.stack import Derivation

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


class DerivedError(AccountingError):
    """The rule of a derived channel does not fit its parts; ``member`` is the key that is wrong."""

    def __init__(self, member: str, en: str, zh: str) -> None:
        super().__init__(en, zh)
        self.member = member


@dataclass(frozen=True)
class DerivedRule:
    """One derived channel: the case, which channel plays which part, constants in the units of their names, basis.

    ``rules_name`` names the rule set (id, version, hash) for the `config` event.

    Raises:
        DerivedError: a part or constant is missing, too much, or of another unit than the formulas take.
    """

    name: str
    case: Case
    channels: Mapping[Part, Channel]
    constants: Mapping[str, Decimal]
    rules_name: Mapping[str, Any]
    basis: Basis = Basis.DRY
    subject: str | None = None

    def __post_init__(self) -> None:
        self._check_parts()
        self._check_constants()

    def _check_parts(self) -> None:
        wanted = set(self.needs.parts) - ({Part.BAROMETER} if BAROMETER_PA in self.constants else set())
        for part in sorted(wanted ^ self.channels.keys()):
            if part in wanted:
                both = "; or the constant barometer_pa" if part is Part.BAROMETER else ""
                zh = "；或常数 barometer_pa" if both else ""
                raise DerivedError(f"inputs.{part}", f"{self.case} needs it{both}", f"{self.case} 需要它{zh}")
            raise DerivedError(
                f"inputs.{part}", f"{self.case} does not take it; remove it", f"{self.case} 不用，请删除"
            )
        for part, channel in self.channels.items():
            if channel.unit not in UNITS[part] or channel.kind is not ChannelKind.VALUE:
                units = ", ".join(UNITS[part])
                raise DerivedError(
                    f"inputs.{part}",
                    f"{channel.id} must be a value in {units}, not {channel.kind} in {channel.unit}",
                    f"{channel.id} 应为瞬时量，单位 {units}，不能是 {channel.unit} 的 {channel.kind}",
                )
            if channel.poll > MINUTE:
                every = f"{channel.poll.total_seconds():g}"
                raise DerivedError(
                    f"inputs.{part}",
                    f"{channel.id} is read every {every} s; a part is read at least once a minute",
                    f"{channel.id} 每 {every} 秒采集一次；各输入至少每分钟采集一次",
                )

    def _check_constants(self) -> None:
        for name in sorted(self.needs.constants - self.constants.keys()):
            raise DerivedError(f"constants.{name}", f"{self.case} needs it", f"{self.case} 需要它")
        for name in sorted(self.constants.keys() - self.needs.constants - self.needs.optional):
            known = ", ".join(sorted(self.needs.constants | self.needs.optional)) or "-"
            raise DerivedError(
                f"constants.{name}",
                f"{self.case} has no such constant; it takes: {known}",
                f"{self.case} 没有这个常数；可用: {known}",
            )
        for name, value in self.constants.items():
            if value <= 0:
                raise DerivedError(f"constants.{name}", "give a number above 0", "应大于 0")

    @property
    def needs(self) -> Needs:
        """What the case asks for."""
        return NEEDS[self.case]

    def channel(self) -> Channel:
        """Return the channel that the rule feeds, without a parameter of accounting."""
        source = self.channels[next(iter(reversed(self.needs.parts)))]
        inputs = {part.value: one.id for part, one in sorted(self.channels.items())}
        basis = self.basis.value if self.needs.has_basis else ""
        derivation = Derivation(self.case.value, inputs, dict(sorted(self.constants.items())), self.rules_name, basis)
        return Channel(
            self.name,
            self.needs.unit,
            ChannelKind.DERIVED,
            MINUTE,
            source.device,
            "derived",
            subject=self.subject or source.subject,
            derived=derivation,
        )


def rule_of(channel: Channel, channels: Mapping[str, Channel]) -> DerivedRule:
    """Read the rule back from a declared channel and those it is computed from: what a recomputation begins with.

    Raises:
        DerivedError: the declaration does not fit its parts.
        KeyError: a part's channel was not declared.
    """
    said = channel.derived
    if said is None or said.rule not in set(Case):
        raise DerivedError("rule", f"{channel.id} has no rule known here", f"{channel.id} 没有已知的计算规则")
    parts = {Part(part): channels[name] for part, name in said.inputs.items()}
    basis = Basis(said.basis) if said.basis else Basis.DRY
    return DerivedRule(channel.id, Case(said.rule), parts, said.constants, said.rules, basis, channel.subject)


def derive(
    rule: DerivedRule,
    readings: Mapping[str, Sequence[Reading | Leaf]],
    rules: CemsRules,
    checks: Mapping[str, RuleSet],
    received: datetime,
) -> list[Reading]:
    """Return the derived reading of every minute that has any reading of a part, in order of time.

    ``readings`` are judged ones by channel, ``checks`` the quality rules of each channel (for the validity of its
    minutes). Whoever has the same readings computes the same.
    """
    minutes = {
        part: {
            one.start: one
            for one in minute_values(
                readings.get(channel.id, ()), channel.poll, checks[channel.id], quantity=QUANTITIES.get(part, "")
            )
        }
        for part, channel in rule.channels.items()
    }
    starts = sorted({start for found in minutes.values() for start in found})
    return [
        _of_minute(rule, start, {part: found.get(start) for part, found in minutes.items()}, rules, received)
        for start in starts
    ]


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
    rule: DerivedRule,
    start: datetime,
    minutes: Mapping[Part, MinuteValue | None],
    rules: CemsRules,
    received: datetime,
) -> Reading:
    flag, causes = combined_flag(minutes)
    reason = f"{rule.case}: {flag} of {causes}" if causes else rule.case.value
    figure: Decimal | None = None
    means = {
        part: one.mean for part, one in minutes.items() if one is not None and one.is_valid and one.mean is not None
    }
    if means.keys() == rule.channels.keys() and flag in (Flag.NORMAL, Flag.OVER_RANGE):
        units = {part: channel.unit for part, channel in rule.channels.items()}
        try:
            figure = half_up(computed(rule.case, means, units, rule.constants, rule.basis, rules), PLACES)
        except AccountingError as error:
            flag, reason = Flag.FAULT, f"{rule.case}: {error}"
        if figure is not None and not is_recordable(figure):
            figure, flag, reason = None, Flag.FAULT, f"{rule.case}: number too long to record"
    raw = " ".join(f"{part}={decimal_text(half_up(mean, PLACES))}" for part, mean in sorted(means.items()))
    return Reading(rule.name, start, figure, rule.needs.unit, flag, received, reason, raw)


def figure_of(hour: HourValue, *, good_until: datetime | None = None) -> HourFigure:
    """Return an hour of a mass channel as substitution wants it: tonnes are the mean rate times the operating fraction.

    ``good_until`` is the last good calibration, for an hour that is missing because of one that failed.
    """
    if hour.is_valid and hour.mean is not None:
        return HourFigure(hour.start, HourState.MEASURED, Fraction(hour.mean) * Fraction(hour.top))
    if hour.state is Judged.NOT_OPERATING:
        return HourFigure(hour.start, HourState.NOT_OPERATING)
    return HourFigure(hour.start, HourState.MISSING, good_until=good_until)
