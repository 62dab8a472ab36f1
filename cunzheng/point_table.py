"""Tables of points as fitters have them: CSV of any usual encoding, or a sheet of an XLSX workbook. Cells come as text.

The one file that imports openpyxl, the extra `spreadsheet`; CSV needs nothing.
"""

from __future__ import annotations

import codecs
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from cunzheng.errors import CommandError, ExitCode
from device_profiles.draft import csv_rows

MAX_BYTES = 16 * 1024 * 1024
MAX_ROWS = 10_000
_UNICODE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_table(path: Path, sheet: str = "") -> list[list[str]]:
    """Read the rows of a table; `sheet` names one of a workbook, by default its first visible one.

    Raises:
        CommandError: the file is no such table, is too large, or openpyxl is not installed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise _misuse(path, f"无法读取：{reason}", f"cannot be read: {reason}") from error
    if len(data) > MAX_BYTES:
        raise _misuse(path, f"超过 {MAX_BYTES >> 20} MiB", f"is larger than {MAX_BYTES >> 20} MiB")
    if data.startswith(b"PK"):
        return _sheet_rows(path, sheet)
    if path.suffix.lower() in (".xls", ".et", ".xlsx"):
        raise _misuse(path, "不是 XLSX；请另存为 XLSX 或 CSV", "is no XLSX workbook; save it as XLSX or CSV")
    if sheet:
        raise _misuse(path, "CSV 没有工作表", "is CSV and has no sheets")
    return csv_rows(_text(path, data))


def _text(path: Path, data: bytes) -> str:
    """Decode what Excel saves: UTF-8, "Unicode text" with its mark, or GBK where it speaks Chinese."""
    encodings = ("utf-16",) if data.startswith(_UNICODE_MARKS) else ("utf-8-sig", "gb18030")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise _misuse(path, "不是文本；请另存为 CSV（UTF-8 或 GBK）", "is no text; save it as CSV (UTF-8 or GBK)")


def _sheet_rows(path: Path, sheet: str) -> list[list[str]]:
    try:
        import openpyxl
    except ImportError as error:
        raise CommandError(
            f"{path}：读取 XLSX 需要 openpyxl：pip install 'cunzheng[spreadsheet]'；或另存为 CSV",
            f"{path}: reading XLSX needs openpyxl: pip install 'cunzheng[spreadsheet]'; or save it as CSV",
            exit_code=ExitCode.MISUSE,
        ) from error
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, SyntaxError) as error:
        raise _misuse(path, f"不是可读的 XLSX：{error}", f"is no readable XLSX workbook: {error}") from error
    try:
        visible = [one.title for one in book.worksheets if one.sheet_state == "visible"]
        chosen = sheet or next(iter(visible), "")
        if chosen not in visible:
            there = ", ".join(visible) or "—"
            raise _misuse(path, f"没有工作表 {chosen!r}；有：{there}", f"has no sheet {chosen!r}; it has: {there}")
        rows = [
            [_cell(one) for one in cells] for cells in book[chosen].iter_rows(values_only=True, max_row=MAX_ROWS + 1)
        ]
    finally:
        book.close()
    if len(rows) > MAX_ROWS:
        raise _misuse(path, f"工作表超过 {MAX_ROWS} 行", f"the sheet has more than {MAX_ROWS} rows")
    return rows


def _cell(value: Any) -> str:
    """Write a cell as it stands in the sheet: whole numbers without a point, decimals without an exponent."""
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    return str(value)


def _misuse(path: Path, zh: str, en: str) -> CommandError:
    return CommandError(f"{path}：{zh}", f"{path}: {en}", exit_code=ExitCode.MISUSE)
