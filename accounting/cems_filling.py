"""Missing tonnes of a stack filled as the rule set wants it: the mass itself, or concentration and flow apart.

    cn-hj75             fills the mass of the hour
    us-part75, eu-mrr   fill concentration and flow; the mass of the hour is their product, on one basis

For the second kind the site has a `standard-flow` channel beside the CO2 channel, on the analyser's own basis; without
it an hour stays unfilled. An hour filled from two codes carries both, joined by a stroke.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal
from fractions import Fraction

from accounting.cems import Basis, percent, share_of
from accounting.cems_rules import CemsRules
from accounting.stack_hours import StackChannel
from accounting.substitution import CodedHour, HourFigure, HourState, fill
from evidence.hours import HourState as Judged
from evidence.hours import HourValue

FLOW_CASE = "standard-flow"
STROKE = "/"


@dataclass(frozen=True)
class Potentials:
    """Maximum potential values of the plan, where a rule set asks for them: t/h, percent or mg/m3, Nm3/h."""

    mass: Decimal | None = None
    concentration: Decimal | None = None
    flow: Decimal | None = None


@dataclass(frozen=True)
class Parts:
    """What a mass is the product of: the CO2 channel, and the standard flow on the same basis."""

    co2: StackChannel
    flow: StackChannel


def parts_of(mass: StackChannel, channels: Sequence[StackChannel]) -> Parts | None:
    """Find the CO2 and flow channels of a mass channel; None where there is no flow on the analyser's basis."""
    said = mass.channel.derived
    if said is None:
        return None
    mine = [one for one in channels if one.gw == mass.gw and one.has_minutes and one.rules is not None]
    co2 = next((one for one in mine if one.channel.id == said.inputs.get("co2")), None)
    flow = next((one for one in mine if _is_its_flow(one, mass)), None)
    return None if co2 is None or flow is None else Parts(co2, flow)


def _is_its_flow(flow: StackChannel, mass: StackChannel) -> bool:
    theirs, mine = flow.channel.derived, mass.channel.derived
    if theirs is None or mine is None or theirs.rule != FLOW_CASE:
        return False
    return (theirs.basis, theirs.inputs.get("velocity")) == (mine.basis, mine.inputs.get("velocity"))


def coded_hours(
    hours: Sequence[HourValue],
    figures: Sequence[HourFigure],
    rules: CemsRules,
    zone: tzinfo,
    *,
    parts: Parts | None,
    hours_of: Callable[[StackChannel], list[HourFigure]],
    potentials: Potentials,
) -> list[CodedHour]:
    """Give every hour of a mass channel its code and tonnes.

    ``hours_of`` gives the same hours of a part, their value the mean of the hour.
    """
    if "mass" in rules.substitutes:
        return fill(figures, rules, "mass", zone, potential=potentials.mass)
    if parts is None:
        return [_plain(figure, rules) for figure in figures]
    co2 = fill(hours_of(parts.co2), rules, "concentration", zone, potential=potentials.concentration)
    flow = fill(hours_of(parts.flow), rules, "flow", zone, potential=potentials.flow)
    return [
        _product(hour, figure, one, other, parts, rules)
        for hour, figure, one, other in zip(hours, figures, co2, flow, strict=True)
    ]


def mean_of(hour: HourValue) -> HourFigure:
    """Return an hour of a part as substitution wants it: its mean, whatever part of the hour was operating."""
    if hour.is_valid and hour.mean is not None:
        return HourFigure(hour.start, HourState.MEASURED, Fraction(hour.mean))
    is_idle = hour.state is Judged.NOT_OPERATING
    return HourFigure(hour.start, HourState.NOT_OPERATING if is_idle else HourState.MISSING)


def _plain(figure: HourFigure, rules: CemsRules) -> CodedHour:
    codes = {
        HourState.MEASURED: rules.codes.measured,
        HourState.NOT_OPERATING: rules.codes.not_operating,
        HourState.MISSING: rules.codes.unfilled,
    }
    return CodedHour(figure.start, codes[figure.state].code, figure.value)


def _product(
    hour: HourValue, figure: HourFigure, co2: CodedHour, flow: CodedHour, parts: Parts, rules: CemsRules
) -> CodedHour:
    if figure.state is not HourState.MISSING or co2.value is None or flow.value is None:
        return _plain(figure, rules)
    # Both are of one basis, so that which one it is does not matter here.
    is_percent = parts.co2.channel.unit == "%"
    share = (percent(1, Basis.DRY) if is_percent else share_of(1, rules.rho, Basis.DRY)).value * co2.value
    tonnes = flow.value * share * rules.rho * Fraction(hour.top) / 1000
    filled = [code for code in (co2.code, flow.code) if code != rules.codes.measured.code]
    if not filled:
        # Both parts are whole and only their minutes do not meet: no rule fills that.
        return _plain(figure, rules)
    return CodedHour(figure.start, STROKE.join(dict.fromkeys(filled)), tonnes)
