"""What a probe read, as tables of at most 100 columns: the points, their values under every order, likely units."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from rich.console import Console
from rich.table import Table

from gateway.catalogue import Instrument
from gateway.lang import say
from gateway.probe import OrderRow, ProbeRow

WIDTH = 100
_PLAIN_DIGITS = 13
"""A longer number is shown with an exponent; `--json` has all of it."""


def print_rows(instrument: Instrument, rows: Sequence[ProbeRow]) -> None:
    """Print the tables to the terminal."""
    console = Console()
    if console.width > WIDTH or not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(_points(instrument, rows))
    for count in (2, 4, 6):
        chosen = [row for row in rows if len(row.orders) == count]
        if chosen:
            console.print(_orders(chosen))
    for row in rows:
        for line in _proposals(row):
            console.print(line, highlight=False, markup=False)


def _points(instrument: Instrument, rows: Sequence[ProbeRow]) -> Table:
    where = "" if instrument.line is None else instrument.line.name
    unit = getattr(instrument.site, "unit", "")
    table = Table(title=f"{instrument.site.id} {instrument.profile.id} {where} unit {unit}")
    table.add_column(say("测点", "point"), overflow="fold")
    table.add_column("±")
    table.add_column(say("地址", "address"))
    table.add_column(say("原始字", "words"), overflow="fold")
    table.add_column(say("数值", "value"), overflow="fold")
    table.add_column(say("质量", "quality"), overflow="fold")
    table.add_column(say("通道", "channels"), overflow="fold")
    for row in rows:
        table.add_row(
            row.point,
            f"{row.offset:+d}" if row.offset else "",
            f"{row.table} {row.address}",
            row.words,
            f"{short(row.value)} {row.unit}".strip(),
            _quality(row),
            ", ".join(row.channels),
            style=None if row.offset == 0 else "dim",
        )
    return table


def _quality(row: ProbeRow) -> str:
    if not row.reason:
        return row.quality
    return f"{row.quality} ({row.reason})" if row.words else row.reason


def _orders(rows: Sequence[ProbeRow]) -> Table:
    table = Table(
        title=say("各字序（* 描述所用，✓ 合理，× 不合理）", "word orders (* as described, ✓ plausible, × not)"),
        title_justify="left",
    )
    table.add_column(say("测点", "point"), overflow="fold")
    for one in rows[0].orders:
        table.add_column(one.order, overflow="fold")
    for row in rows:
        table.add_row(row.point, *(_cell(one) for one in row.orders))
    return table


def _cell(one: OrderRow) -> str:
    mark = {True: "✓", False: "×", None: ""}[one.plausible]
    said = short(one.value) or one.reason or one.quality
    return " ".join(part for part in (said, mark, "*" if one.declared else "") if part)


def _proposals(row: ProbeRow) -> list[str]:
    """Say in words what the marks mean where the described order or unit looks wrong. They propose; nobody decides."""
    found = []
    declared = next((one for one in row.orders if one.declared), None)
    likely = [one.order for one in row.orders if one.plausible]
    if likely and (declared is None or declared.plausible is False):
        names = ", ".join(likely)
        found.append(
            say(
                f"{row.point}：所用字序的数值不合理；{names} 较合理，请对照仪表显示",
                f"{row.point}: not plausible in the order used; {names} would be: compare with the display",
            )
        )
    unit = next((one for one in row.units if one.declared), None)
    units = [one.unit for one in row.units if one.plausible]
    if units and (unit is None or unit.plausible is False):
        names = ", ".join(units)
        held = say("尚未设定", "not set yet") if unit is None else unit.unit
        found.append(
            say(
                f"{row.point}：单位{held}；按数值大小，{names} 较合理，请在仪表上确认",
                f"{row.point}: unit {held}; by its size the number would be in {names}: confirm at the device",
            )
        )
    return found


def short(value: str) -> str:
    """Shorten a number that would break the table.

    >>> short("126239.474"), short("0." + "0" * 30 + "12345678")
    ('126239.474', '1.2346E-31')
    """
    try:
        number = Decimal(value)
    except InvalidOperation:
        return value
    if len(value.lstrip("-")) <= _PLAIN_DIGITS or not number.is_finite():
        return value
    if Decimal("1E-4") <= abs(number) < Decimal(10) ** _PLAIN_DIGITS:
        return f"{value[:_PLAIN_DIGITS]}…" if "." in value[:_PLAIN_DIGITS] else value
    return f"{number:.4E}".replace("E+", "E")
