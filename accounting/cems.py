"""Stack gas by continuous measurement (CEMS): conversions of HJ 212-2017 annex D, and the mass of CO2.

Everything runs in Fraction, so that nothing is rounded before the figure that is shown. Density of CO2 and the
temperature of the standard state are parameters of the rule set (`cems_rules.py`); no function has a default for them.

A concentration or flow carries its basis, dry or wet, and a flow also its state, actual or standard. What does not go
together is refused. A result from here is a cross-check; nothing in the accounting of a month uses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

from accounting.errors import AccountingError

STANDARD_PRESSURE = 101_325
"""Pa; the standard state of HJ 212, HJ 75 and the EU alike."""
FULL_OXYGEN = 21
"""Volume percent of oxygen in air, as the conversion to reference oxygen writes it."""
MOLAR_VOLUME = Fraction(224, 10)
"""Litres of a mole at the standard state, as annex D writes it."""
US_SHORT_TON = Fraction(57, 10**8)
"""Short tons of CO2 of one standard cubic foot and one percent; 40 CFR 75 appendix F, for checks with US data only."""

Number = Decimal | Fraction | int


class Basis(StrEnum):
    """Whether the water of the gas is counted."""

    DRY = "dry"
    WET = "wet"


class State(StrEnum):
    """Whether a volume stands at the gas's own temperature and pressure or at the standard ones."""

    ACTUAL = "actual"
    STANDARD = "standard"


class BasisError(AccountingError):
    """A dry figure met a wet one, or an actual volume a standard one."""


class RangeError(AccountingError):
    """A quantity for which the conversion has no meaning."""


@dataclass(frozen=True)
class Gas:
    """State of the gas in the stack.

    ``temperature`` in degC, ``gauge`` pressure in Pa against the surroundings, ``barometer`` the local air pressure in
    Pa (81 kPa at 1,800 m, never simply 101,325), ``moisture`` as a share of the volume from 0 to 1.
    """

    temperature: Fraction
    gauge: Fraction
    barometer: Fraction
    moisture: Fraction

    def __post_init__(self) -> None:
        if not 0 <= self.moisture < 1:
            raise RangeError(
                f"moisture is a share from 0 to 1, not {_shown(self.moisture)}; divide a percentage by 100",
                f"含湿量应为 0 到 1 之间的体积分数，不能是 {_shown(self.moisture)}；百分数请先除以 100",
            )
        if self.barometer + self.gauge <= 0:
            raise RangeError(
                f"absolute pressure is {_shown(self.barometer + self.gauge)} Pa; give both pressures in Pa",
                f"绝对压力为 {_shown(self.barometer + self.gauge)} Pa；两个压力均应以 Pa 给出",
            )
        if self.temperature <= -273:
            raise RangeError(
                f"temperature {_shown(self.temperature)} degC cannot be; give it in degC",
                f"温度 {_shown(self.temperature)} ℃ 不可能；请以 ℃ 给出",
            )

    def to_standard(self, t0: Number) -> Fraction:
        """Return how much standard volume one actual volume is; ``t0`` is 273 (HJ) or 273.15 K."""
        kelvin = Fraction(t0)
        return kelvin / (kelvin + self.temperature) * (self.barometer + self.gauge) / STANDARD_PRESSURE


def gas(*, temperature: Number, gauge: Number, barometer: Number, moisture: Number) -> Gas:
    """Make the state of the gas from decimals."""
    return Gas(Fraction(temperature), Fraction(gauge), Fraction(barometer), Fraction(moisture))


@dataclass(frozen=True)
class Flow:
    """A volume flow in m3/h with its basis and state."""

    value: Fraction
    basis: Basis
    state: State

    def to_standard(self, gas: Gas, t0: Number) -> Flow:
        """Bring an actual flow to the standard state.

        Raises:
            BasisError: it is at the standard state already.
        """
        if self.state is State.STANDARD:
            raise BasisError("the flow is at the standard state already", "该流量已是标准状态，不能再次换算")
        return Flow(self.value * gas.to_standard(t0), self.basis, State.STANDARD)

    def to_dry(self, gas: Gas) -> Flow:
        """Take the water out of a wet flow.

        Raises:
            BasisError: it is dry already.
        """
        if self.basis is Basis.DRY:
            raise BasisError("the flow is dry already", "该流量已是干基，不能再次扣除水分")
        return Flow(self.value * (1 - gas.moisture), Basis.DRY, self.state)


@dataclass(frozen=True)
class Share:
    """A share of the gas's volume from 0 to 1, with its basis."""

    value: Fraction
    basis: Basis

    def to_dry(self, gas: Gas) -> Share:
        """Refer a wet share to dry gas: C_dry = C_wet / (1 - Xsw).

        Raises:
            BasisError: it is dry already.
        """
        if self.basis is Basis.DRY:
            raise BasisError("the concentration is dry already", "该浓度已是干基，不能再次换算")
        return Share(self.value / (1 - gas.moisture), Basis.DRY)

    def to_wet(self, gas: Gas) -> Share:
        """Refer a dry share to wet gas.

        Raises:
            BasisError: it is wet already.
        """
        if self.basis is Basis.WET:
            raise BasisError("the concentration is wet already", "该浓度已是湿基，不能再次换算")
        return Share(self.value * (1 - gas.moisture), Basis.WET)


def percent(value: Number, basis: Basis) -> Share:
    """Make a share from volume percent."""
    return Share(Fraction(value) / 100, basis)


def stack_flow(*, velocity: Number, area: Number) -> Flow:
    """Return the wet actual flow: Qs = 3600 x F x Vs, with m/s and m2."""
    return Flow(3600 * Fraction(area) * Fraction(velocity), Basis.WET, State.ACTUAL)


def stack_velocity(*, point: Number, coefficient: Number) -> Fraction:
    """Return the mean velocity of the stack from that of one point: Vs = Kv x Vp (速度场系数)."""
    return Fraction(coefficient) * Fraction(point)


def dry_standard_flow(*, velocity: Number, area: Number, gas: Gas, t0: Number) -> Flow:
    """Return Qsn: the wet actual flow at the standard state, without its water."""
    return stack_flow(velocity=velocity, area=area).to_standard(gas, t0).to_dry(gas)


def mass_concentration(share: Share, rho: Number) -> Fraction:
    """Return the mg/m3 of a volume share of CO2 at the standard state."""
    return share.value * Fraction(rho) * 10**6


def share_of(concentration: Number, rho: Number, basis: Basis) -> Share:
    """Return the volume share of CO2 that mg/m3 at the standard state stand for."""
    return Share(Fraction(concentration) / (Fraction(rho) * 10**6), basis)


def standard_concentration(concentration: Number, gas: Gas, t0: Number) -> Fraction:
    """Refer mg/m3 of actual gas to the standard state: C_sn = C x 101325/(Ba+Ps) x (273+ts)/273."""
    return Fraction(concentration) / gas.to_standard(t0)


def from_ppm(ppm: Number, molar_mass: Number) -> Fraction:
    """Return the mg/m3 of a gas in ppm: C = M/22.4 x ppm."""
    return Fraction(molar_mass) / MOLAR_VOLUME * Fraction(ppm)


def at_reference_oxygen(concentration: Number, *, oxygen: Number, reference: Number) -> Fraction:
    """Convert a dry concentration to reference oxygen (折算); never used for the mass of CO2.

    Raises:
        RangeError: as much oxygen as in air, where the conversion has no value.
    """
    if Fraction(oxygen) >= FULL_OXYGEN:
        raise RangeError(
            f"oxygen of {oxygen} % leaves nothing to convert; check the analyser",
            f"含氧量 {oxygen}% 无法折算；请检查分析仪",
        )
    return Fraction(concentration) * (FULL_OXYGEN - Fraction(reference)) / (FULL_OXYGEN - Fraction(oxygen))


def co2_mass(flow: Flow, share: Share, *, rho: Number, top: Number = 1) -> Fraction:
    """Return the tonnes of CO2 of one hour: E_h = Q x phi x rho x top / 1000.

    ``top`` is the fraction of the hour in operation, ``rho`` the density in kg/m3.

    Raises:
        BasisError: flow and concentration differ in basis, or the flow is not at the standard state.
        RangeError: ``top`` is no fraction.
    """
    _go_together(flow, share.basis)
    return flow.value * share.value * Fraction(rho) * _operating(top) / 1000


def mass_from_concentration(flow: Flow, concentration: Number, basis: Basis, *, top: Number = 1) -> Fraction:
    """Return the kilograms of one hour from mg/m3 at the standard state: G = C x Q x 1e-6.

    Raises:
        BasisError: flow and concentration differ in basis, or the flow is not at the standard state.
        RangeError: ``top`` is no fraction.
    """
    _go_together(flow, basis)
    return Fraction(concentration) * flow.value * _operating(top) / 10**6


def day_mass(hours: Iterable[Fraction]) -> Fraction:
    """Add the masses of hours; there is no other way from hours to a day."""
    return sum(hours, Fraction(0))


def us_short_tons(*, co2_percent: Number, scfh: Number) -> Fraction:
    """Return short tons per hour of 40 CFR 75 (68 degF, 29.92 inHg); both figures on one basis."""
    return US_SHORT_TON * Fraction(co2_percent) * Fraction(scfh)


def _go_together(flow: Flow, basis: Basis) -> None:
    if flow.state is not State.STANDARD:
        raise BasisError(
            "an actual flow has no place in a mass; bring it to the standard state first",
            "工况流量不能直接计算质量；请先换算为标准状态",
        )
    if flow.basis is not basis:
        raise BasisError(
            f"a {basis} concentration does not go with a {flow.basis} flow; bring both to one basis",
            f"{_ZH[basis]}浓度不能与{_ZH[flow.basis]}流量相乘；请先统一基准",
        )


def _operating(top: Number) -> Fraction:
    fraction = Fraction(top)
    if not 0 <= fraction <= 1:
        raise RangeError(
            f"the operating fraction of an hour lies from 0 to 1, not at {_shown(fraction)}",
            f"小时运行比例应在 0 到 1 之间，不能是 {_shown(fraction)}",
        )
    return fraction


_ZH = {Basis.DRY: "干基", Basis.WET: "湿基"}


def _shown(value: Fraction) -> str:
    return str(value.numerator) if value.denominator == 1 else str(Decimal(value.numerator) / value.denominator)
