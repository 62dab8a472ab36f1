"""The month's quantity of each item of the plan, from its channel or its captured value.

A quantity that cannot be had is absent and reported; it is never zero. What units need to become each
other is done exactly; nothing is rounded here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from accounting import units
from accounting.channels import ChannelMonth
from accounting.derivation import Derivation
from accounting.errors import UnitError
from accounting.exact import down
from accounting.issues import Issue, IssueCode
from accounting.ledgers import Ledgers
from accounting.parameter_set import Material
from accounting.plan import LedgerRef, PlanItem
from evidence.encoding import decimal_text

NONE_COVERED = Decimal("0.0000")


@dataclass(frozen=True)
class Quantity:
    """An item's month: the quantity in the item's unit, or None with the reason among the issues."""

    item: PlanItem
    unit: str
    value: Decimal | None
    mode: str | None
    source: Mapping[str, Any]
    coverage: Decimal
    issues: tuple[Issue, ...]

    def to_json(self) -> dict[str, Any]:
        """The item as a body carries it."""
        entry: dict[str, Any] = {
            "id": self.item.id,
            "name": self.item.name.to_json(),
            "subjects": list(self.item.subjects),
            "role": self.item.role,
            "material": self.item.material,
            "unit": self.unit,
            "source": dict(self.source),
            "coverage": decimal_text(self.coverage),
        }
        if self.value is not None:
            entry["quantity"] = decimal_text(self.value)
            entry["mode"] = self.mode
        return entry

    def leaf(self, symbol: str, material: Material) -> Derivation:
        """Return the quantity in the material's unit, for a formula."""
        if self.value is None:
            raise ValueError(f"{self.item.id} has no quantity")
        target = units.unit(material.unit).name
        given = Derivation(symbol, self.value, self.unit, self.source)
        if target == self.unit:
            return given
        converted = units.convert(self.value, self.unit, target)
        return Derivation(symbol, converted, target, None, f"{self.unit} → {target}", (given,))


def quantity_of(item: PlanItem, channels: Sequence[ChannelMonth], ledgers: Ledgers) -> Quantity:
    """Resolve the quantity of one item."""
    found = _from_channels(item, channels) if item.source.channel is not None else _from_ledger(item, ledgers)
    if found.value is not None and found.value < 0:
        text = decimal_text(found.value)
        issue = Issue(
            IssueCode.NEGATIVE, item.id, f"数量为负：{text} {found.unit}", f"negative quantity: {text} {found.unit}"
        )
        found = replace(found, issues=(*found.issues, issue))
    return found


def measured_leaf(
    item: PlanItem, reference: LedgerRef | None, symbol: str, unit: str, ledgers: Ledgers
) -> tuple[Derivation | None, tuple[Issue, ...]]:
    """Return a measured property of a fuel, or None with an issue where the default must stand in."""
    if reference is None:
        return None, ()
    where = f"{item.id} {symbol}"
    captured = ledgers.month_value(reference.ledger, _subjects(item, reference.subject))
    if captured is None:
        zh = f"方案要求实测“{reference.ledger}”，本月没有数据，采用缺省值"
        en = f"the plan wants {reference.ledger!r} measured; there is none for the month, the default is used"
        return None, (Issue(IssueCode.DEFAULT_USED, where, zh, en),)
    try:
        value = units.convert(captured.value, captured.unit, unit)
    except UnitError as error:
        zh, en = f"{error.zh}；采用缺省值", f"{error.en}; the default is used"
        return None, (Issue(IssueCode.DEFAULT_USED, where, zh, en),)
    return Derivation(symbol, value, unit, {**captured.source, "mode": captured.mode}), ()


def _from_channels(item: PlanItem, channels: Sequence[ChannelMonth]) -> Quantity:
    first, backup = item.source.channel, item.source.backup
    found = _from_channel(item, str(first), channels)
    if found.value is not None or backup is None:
        return found
    stand_in = _from_channel(item, backup, channels)
    if stand_in.value is None:
        return found
    zh = f"通道“{first}”本月没有可用读数，按方案改用“{backup}”"
    en = f"channel {first!r} has no usable reading in the month; {backup!r} stands in as the plan says"
    return replace(stand_in, issues=(*stand_in.issues, Issue(IssueCode.BACKUP_USED, item.id, zh, en)))


def _from_channel(item: PlanItem, name: str, channels: Sequence[ChannelMonth]) -> Quantity:
    source: dict[str, Any] = {"channel": name}
    matching = [c for c in channels if c.id == name and item.source.gw in (None, c.gw)]
    if not matching:
        return _absent(
            item,
            source,
            IssueCode.MISSING,
            f"通道“{name}”本月没有数据",
            f"channel {name!r} has no data for the month",
        )
    if len(matching) > 1:
        gateways = ", ".join(channel.gw for channel in matching)
        return _absent(
            item,
            source,
            IssueCode.CHANNEL_AMBIGUOUS,
            f"多个网关都有通道“{name}”（{gateways}），请在方案中指定 gw",
            f"channel {name!r} exists at several gateways ({gateways}); name one by gw in the plan",
        )
    channel = matching[0]
    source["gw"] = channel.gw
    coverage = down(Fraction(channel.covered, channel.hours), 4)
    if not channel.is_quantity:
        return _absent(
            item,
            source,
            IssueCode.NOT_A_QUANTITY,
            f"通道“{channel.id}”的类型是 {channel.kind}，读数不能相加成数量",
            f"channel {channel.id!r} is of kind {channel.kind}; its readings do not add up to a quantity",
            coverage,
        )
    if channel.amount is None or not channel.valid:
        return _absent(
            item,
            source,
            IssueCode.MISSING,
            f"通道“{channel.id}”本月没有可用读数",
            f"channel {channel.id!r} has no usable reading in the month",
            coverage,
        )
    return _given(item, channel.amount, channel.unit, "measured", source, coverage, ())


def _from_ledger(item: PlanItem, ledgers: Ledgers) -> Quantity:
    param = str(item.source.ledger)
    source = {"ledger": param}
    try:
        captured = ledgers.amount(param, _subjects(item, item.source.subject))
    except UnitError as error:
        return _absent(item, source, IssueCode.UNIT_CONFLICT, error.zh, error.en)
    if captured is None:
        return _absent(
            item, source, IssueCode.MISSING, f"本月没有采集“{param}”", f"{param!r} was not captured for the month"
        )
    return _given(
        item, captured.value, captured.unit, captured.mode, captured.source, captured.coverage, captured.issues
    )


def _given(
    item: PlanItem,
    value: Decimal,
    unit: str,
    mode: str,
    source: Mapping[str, Any],
    coverage: Decimal,
    issues: tuple[Issue, ...],
) -> Quantity:
    target = units.unit(item.unit).name
    try:
        converted = units.convert(value, unit, target)
    except UnitError as error:
        return _absent(item, source, IssueCode.UNIT_CONFLICT, error.zh, error.en, coverage)
    return Quantity(item, target, converted, mode, source, coverage, issues)


def _absent(
    item: PlanItem, source: Mapping[str, Any], code: IssueCode, zh: str, en: str, coverage: Decimal = NONE_COVERED
) -> Quantity:
    return Quantity(item, units.unit(item.unit).name, None, None, source, coverage, (Issue(code, item.id, zh, en),))


def _subjects(item: PlanItem, subject: str | None) -> list[str]:
    return [subject] if subject is not None else [*item.subjects, ""]
