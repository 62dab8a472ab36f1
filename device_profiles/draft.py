"""A table of points becomes a draft profile: what the maker's spreadsheet says, in this product's words.

A draft loads and decodes, but nobody has checked it: its trust is `draft`, and every guess stands under `unconfirmed`.
Its vectors are computed from the table itself; they prove that the file is consistent, not that the device agrees.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from .addresses import HIGHEST
from .units import AMOUNT_KINDS, UNITS
from .words import FLOATS, INTEGERS, hex_text, number_bytes, width

#: Headings as makers and fitters write them; where a table has several of a kind, the one named first here counts.
COLUMNS = {
    "number": (
        "address", "register", "addr", "地址", "寄存器", "寄存器地址", "起始地址",
        "number", "no", "no.", "点号", "编号", "序号",
    ),
    "name": ("name", "item", "description", "point", "名称", "测点名称", "信号名称", "变量名", "测点", "参数", "描述"),
    "type": ("type", "data type", "datatype", "format", "类型", "数据类型", "数据格式", "格式"),
    "factor": ("factor", "scale", "multiplier", "系数", "倍率", "比例", "比例系数", "乘数"),
    "unit": ("unit", "units", "单位", "工程单位", "量纲"),
    "table": ("table", "area", "function", "fc", "表", "区", "功能码"),
}  # fmt: skip
NEEDED = ("number", "name", "type")
#: A sheet's title may stand above its headings.
HEADING_WITHIN = 10
_ASIDE = re.compile(r"[（(].*?[)）]|\s+")

_TYPES = {
    "u16": "uint16", "uint": "uint16", "word": "uint16", "unsigned": "uint16", "i16": "int16", "s16": "int16",
    "int": "int16", "short": "int16", "signed": "int16", "u32": "uint32", "dword": "uint32", "ulong": "uint32",
    "i32": "int32", "s32": "int32", "dint": "int32", "long": "int32", "u64": "uint64", "i64": "int64", "s64": "int64",
    "float": "float32", "real": "float32", "f32": "float32", "double": "float64", "lreal": "float64", "f64": "float64",
    "ushort": "uint16", "短整型": "int16", "无符号短整型": "uint16", "16位整数": "int16", "16位无符号整数": "uint16",
    "整型": "int16", "无符号整型": "uint16", "32位整数": "int32", "32位无符号整数": "uint32", "无符号长整型": "uint32",
    "单精度": "float32", "单精度浮点": "float32", "单精度浮点数": "float32",
    "32位浮点": "float32", "32位浮点数": "float32",
    "双精度浮点": "float64", "双精度浮点数": "float64", "64位浮点数": "float64",
    "无符号": "uint16", "有符号": "int16", "浮点": "float32", "浮点数": "float32", "长整型": "int32",
    "双精度": "float64",
}  # fmt: skip
_TABLES = {
    "3": "holding", "03": "holding", "holding": "holding", "4x": "holding", "保持寄存器": "holding",
    "4": "input", "04": "input", "input": "input", "3x": "input", "输入寄存器": "input",
    "03h": "holding", "0x03": "holding", "04h": "input", "0x04": "input",
}  # fmt: skip
_UNITS = {
    "℃": "degC",
    "°c": "degC",
    "c": "degC",
    "m³": "m3",
    "m³/h": "m3/h",
    "nm³": "Nm3",
    "nm³/h": "Nm3/h",
    "度": "kWh",
}


class DraftError(ValueError):
    """A table that cannot become a draft; in both languages, with the row."""

    def __init__(self, zh: str, en: str) -> None:
        self.zh, self.en = zh, en
        super().__init__(en)


@dataclass(frozen=True, slots=True)
class Row:
    """One point of the table, in our words."""

    line: int
    id: str
    name: str
    address: int
    hexadecimal: bool
    type: str
    factor: Decimal
    unit: str
    written_unit: str
    table: str


def draft_profile(text: str, profile_id: str, source: str) -> str:
    """Write the YAML of a draft from CSV text with a heading row.

    Raises: DraftError naming the row.
    """
    return draft_of_rows(csv_rows(text), profile_id, source)


def draft_of_rows(table: Sequence[Sequence[str]], profile_id: str, source: str) -> str:
    """Write the YAML of a draft from the rows of a table.

    Raises: DraftError naming the row.
    """
    rows = read_rows(table)
    base, guess = _base_of(rows)
    _check_range(rows, base)
    lines = [
        f"# Draft made from {source}. Check every line against the manual and the device before use.",
        f"profile: {profile_id}",
        "version: 1",
        "vendor: any",
        f"model: {_quoted(profile_id)}",
        f"name: {{zh: {_quoted(profile_id)}, en: {_quoted(profile_id)}}}",
        "trust: draft",
        f"sources: [{_quoted(source)}]",
        "# Strike out what was confirmed on the device, with two readings of its display.",
        "unconfirmed:",
        f"  - {_quoted('address base: ' + guess)}",
        *_order_note(rows),
        *(
            f"  - {_quoted(f'{row.id}: unit {row.written_unit} is not in the list of units')}"
            for row in _unitless(rows)
        ),
        f"address_base: {base}",
        "# Confirm against the manual: longest request, pause between requests, unused ranges between points.",
        "transport: {protocols: [tcp, rtu, rtu-over-tcp], max_registers: 60, max_gap: 0}",
        *_parameters(rows),
        "points:",
    ]
    for row in rows:
        lines += _point(row, base)
    lines.append("vectors:")
    for row in _ways(rows):
        lines += _vector(row, base)
    return "\n".join(lines) + "\n"


def csv_rows(text: str) -> list[list[str]]:
    """Take CSV text apart; commas, semicolons and tabs separate."""
    plain = text.lstrip("\ufeff")
    head = plain.splitlines()[:HEADING_WITHIN]
    delimiter = max(",;\t", key=lambda one: max((line.count(one) for line in head), default=0))
    return list(csv.reader(io.StringIO(plain), delimiter=delimiter))


def read_rows(table: Sequence[Sequence[str]]) -> list[Row]:
    """Read the points below the headings.

    Raises: DraftError.
    """
    if not any(cell.strip() for cells in table for cell in cells):
        raise DraftError("表格为空", "the table is empty")
    heading, places = _heading(table)
    rows: list[Row] = []
    taken: set[str] = set()
    for number, cells in enumerate(table[heading + 1 :], heading + 2):
        if not any(cell.strip() for cell in cells):
            continue
        given = {key: cells[at].strip() if at < len(cells) else "" for key, at in places.items()}
        rows.append(_row(number, given, taken))
    if not rows:
        raise DraftError("表格中没有测点", "there are no points in the table")
    return rows


def _heading(table: Sequence[Sequence[str]]) -> tuple[int, dict[str, int]]:
    """Find the row of headings: the one among the first that names most columns."""
    found = [(at, _places(cells)) for at, cells in enumerate(table[:HEADING_WITHIN])]
    heading, places = max(found, key=lambda one: (len(set(NEEDED) & set(one[1])), len(one[1]), -one[0]))
    missing = [key for key in NEEDED if key not in places]
    if missing:
        listed = ", ".join(COLUMNS[missing[0]])
        raise DraftError(
            f"缺少列 {missing[0]}（可写作：{listed}）",
            f"the column {missing[0]} is missing; it may be called: {listed}",
        )
    return heading, places


def _places(cells: Sequence[str]) -> dict[str, int]:
    headings = [_ASIDE.sub(" ", cell).strip().lower() for cell in cells]
    found: dict[str, int] = {}
    for key, words in COLUMNS.items():
        named = [word for word in words if word in headings]
        if named:
            found[key] = headings.index(named[0])
    return found


def _row(line: int, given: Mapping[str, str], taken: set[str]) -> Row:
    written = given["number"].replace(",", "").replace(" ", "")
    hexadecimal = written.lower().startswith("0x") or written.lower().endswith("h")
    try:
        address = int(written.lower().removesuffix("h"), 16) if hexadecimal else int(written)
    except ValueError as error:
        raise DraftError(
            f"第 {line} 行：{given['number']!r} 不是地址", f"row {line}: {given['number']!r} is no address"
        ) from error
    kind = given["type"].lower().replace("_", "").replace("-", "")
    kind = _TYPES.get(kind, kind)
    if kind not in (*INTEGERS, *FLOATS) or kind in ("uint8", "int8"):
        known = ", ".join([*INTEGERS, *FLOATS][2:])
        raise DraftError(
            f"第 {line} 行：类型 {given['type']!r} 不认识，可用 {known}",
            f"row {line}: type {given['type']!r} is not known; known are {known}",
        )
    try:
        factor = Decimal(given.get("factor") or "1")
    except InvalidOperation as error:
        raise DraftError(f"第 {line} 行：系数不是数", f"row {line}: the factor is no number") from error
    if not factor.is_finite() or factor == 0:
        raise DraftError(f"第 {line} 行：系数不能为 0", f"row {line}: the factor must not be 0")
    unit = given.get("unit", "")
    table = _TABLES.get(given.get("table", "").lower(), "")
    name = given["name"] or f"point {address}"
    return Row(line, _id(name, address, taken), name, address, hexadecimal, kind, factor, _unit(unit), unit, table)


def _id(name: str, address: int, taken: set[str]) -> str:
    found = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40]
    if not re.match(r"[a-z]", found):
        found = f"p{address}"
    while found in taken:
        found = f"{found}_{address}"[:48] if not found.endswith(f"_{address}") else f"{found}_x"
    taken.add(found)
    return found


def _unit(written: str) -> str:
    if written in UNITS:
        return written
    lowered = written.lower()
    if lowered in _UNITS:
        return _UNITS[lowered]
    same = [symbol for symbol in UNITS if symbol.lower() == lowered]
    return same[0] if len(same) == 1 else ""


def _base_of(rows: Sequence[Row]) -> tuple[str, str]:
    numbers = [row.address for row in rows if not row.hexadecimal]
    if numbers and len(numbers) == len(rows):
        if all(number // 10_000 in (3, 4) and number % 10_000 for number in numbers):
            return "plc5", "the numbers look like 4xxxx and 3xxxx register numbers (plc5)"
        if all(number // 100_000 in (3, 4) and 1 <= number % 100_000 <= 65_536 for number in numbers):
            return "plc6", "the numbers look like 4xxxxx register numbers (plc6)"
    return "wire0", "numbers taken as addresses on the wire; probe with one register more and less"


def _check_range(rows: Sequence[Row], base: str) -> None:
    for row in rows:
        if base == "wire0" and not 0 <= row.address <= HIGHEST:
            raise DraftError(
                f"第 {row.line} 行：{row.address} 超出寄存器地址范围（0 至 {HIGHEST}，或全部写成 4xxxx、4xxxxx）",
                f"row {row.line}: {row.address} is no register address (0 to {HIGHEST}, or all as 4xxxx or 4xxxxx)",
            )


def _order_note(rows: Sequence[Row]) -> list[str]:
    if any(width(row.type) > 1 for row in rows):
        return [f"  - {_quoted('word order of values longer than a register: taken as ABCD')}"]
    return []


def _unitless(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.written_unit and not row.unit]


def _is_total(row: Row) -> bool:
    return bool(row.unit) and UNITS[row.unit].kind in AMOUNT_KINDS and UNITS[row.unit].kind not in ("time", "count")


def _parameters(rows: Sequence[Row]) -> list[str]:
    if not any(_is_total(row) for row in rows):
        return []
    return [
        "# Totals need the most that can be counted in an hour; a step above it is refused as an error.",
        "parameters:",
        "  max_rate_per_h:",
        "    name: {zh: 每小时最大计量（累计单位）, en: Most that is counted in an hour in the unit of the total}",
        '    unit: "1"',
        '    lowest: "0"',
    ]


def _point(row: Row, base: str) -> list[str]:
    lines = [f"  {_key(row.id)}:"]
    if base == "wire0" and row.table:
        lines.append(f"    table: {row.table}")
    lines.append(f"    address: {row.address}")
    lines.append(f"    type: {row.type}")
    if row.factor != 1:
        lines.append(f'    scale: "{row.factor:f}"')
    if _is_total(row):
        lines.append("    # Taken as a running total because of its unit; confirm roll-over and reset.")
        lines.append("    role: total")
        lines.append("    totaliser: {modulus: none, resettable: true, max_rate_from: max_rate_per_h}")
    elif row.unit:
        lines.append("    role: rate")
    else:
        lines.append("    # No known unit: read as a state until one is given.")
        lines.append("    role: state")
    if row.unit:
        lines.append(f"    unit: {_quoted(row.unit)}")
    lines.append(f"    name: {{zh: {_quoted(row.name)}, en: {_quoted(row.name)}}}")
    return lines


def _ways(rows: Sequence[Row]) -> list[Row]:
    seen: set[tuple[str, Decimal]] = set()
    return [row for row in rows if (row.type, row.factor) not in seen and not seen.add((row.type, row.factor))]  # type: ignore[func-returns-value]


def _vector(row: Row, base: str) -> list[str]:
    raw = Decimal("1234.5") if row.type in FLOATS else Decimal(1234)
    data = number_bytes(row.type, raw, width(row.type))
    words = [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]
    named = f"{row.table}:{row.address}" if base == "wire0" and row.table else str(row.address)
    return [
        "  # Computed, not measured: replace by words read from the device and the value on its display.",
        f'  - {{words: {{"{named}": "{hex_text(words)}"}}, expect: {{{_key(row.id)}: "{raw * row.factor:f}"}}}}',
    ]


def _key(name: str) -> str:
    """Quote the names that YAML readers take for something else."""
    return f'"{name}"' if name in ("no", "yes", "on", "off", "y", "n", "true", "false", "null") else name


def _quoted(text: str) -> str:
    cleaned = "".join(letter if letter.isprintable() else " " for letter in text).replace("\\", "/").replace('"', "'")
    return f'"{cleaned[:280]}"'
