"""A fitter's spreadsheet, as it is saved in China or elsewhere, becomes a draft profile that passes the check."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest
from click.testing import CliRunner, Result

from cunzheng import point_table
from cunzheng.cli import cunzheng
from device_profiles import Profile, load

HEADINGS = ("序号", "名称", "寄存器地址（十进制）", "数据类型", "倍率", "单位")
ROWS: list[Sequence[object]] = [
    (1, "正向有功电能", 40001, "浮点数", None, "kWh"),
    (2, "总有功功率", 40003, "32位无符号整数", 0.1, "kW"),
    (3, "温度", 40005.0, "短整型", 0.01, "℃"),
]


def drafted(path: Path, *words: str) -> Result:
    made = path.with_suffix(".yaml")
    return CliRunner().invoke(cunzheng, ["profile", "draft", str(path), "--id", "belt", "--output", str(made), *words])


def loaded(path: Path) -> Profile:
    return load(path.with_suffix(".yaml"))


def workbook(path: Path, rows: Sequence[Sequence[object]], *, title: str = "") -> Path:
    book = openpyxl.Workbook()
    hidden = book.active
    assert hidden is not None
    hidden.sheet_state = "hidden"
    hidden.append(["draft of last year"])
    sheet = book.create_sheet("点表")
    if title:
        sheet.append([title])
    for row in rows:
        sheet.append(list(row))
    book.create_sheet("other").append(["a"])
    book.save(path)
    return path


def check(profile: Profile) -> None:
    first, second, third = profile.points.values()
    assert (profile.address_base, first.address, first.type, first.unit) == ("plc5", 0, "float32", "kWh")
    assert (second.address, second.type, str(second.scale)) == (2, "uint32", "0.1")
    assert (third.name["zh"], third.type, str(third.scale), third.unit) == ("温度", "int16", "0.01", "degC")


@pytest.mark.parametrize("title", ["", "皮带秤点表 2026"])
def test_workbook_becomes_a_draft_and_a_serial_number_is_no_address(tmp_path: Path, title: str) -> None:
    path = workbook(tmp_path / "点表.xlsx", [HEADINGS, *ROWS], title=title)
    done = drafted(path)
    assert done.exit_code == 0, done.stderr
    check(loaded(path))


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_csv_in_every_encoding_that_excel_saves_becomes_the_same_draft(
    tmp_path: Path, encoding: str, delimiter: str
) -> None:
    path = tmp_path / "points.csv"
    lines = [delimiter.join("" if cell is None else str(cell) for cell in row) for row in [HEADINGS, *ROWS]]
    path.write_bytes("\r\n".join(lines).replace("40005.0", "40005").encode(encoding))
    done = drafted(path)
    assert done.exit_code == 0, done.stderr
    check(loaded(path))


def test_sheet_is_chosen_by_name_and_hidden_ones_are_not_offered(tmp_path: Path) -> None:
    path = workbook(tmp_path / "points.xlsx", [HEADINGS, *ROWS])
    assert drafted(path, "--sheet", "点表").exit_code == 0
    refused = drafted(path, "--sheet", "Sheet")
    assert (refused.exit_code, "has no sheet 'Sheet'; it has: 点表, other" in refused.stderr) == (3, True)


def test_row_that_cannot_be_read_is_named_as_the_sheet_numbers_it(tmp_path: Path) -> None:
    path = workbook(tmp_path / "points.xlsx", [HEADINGS, *ROWS, (), (4, "坏", "abc", "浮点", 1, "")], title="点表")
    refused = drafted(path)
    assert (refused.exit_code, "row 7: 'abc' is no address" in refused.stderr) == (3, True)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("points.xlsx", b"PK\x03\x04 and no more", "is no readable XLSX workbook"),
        ("points.xlsx", "地址,名称".encode(), "is no XLSX workbook; save it as XLSX or CSV"),
        ("points.xls", b"\xd0\xcf\x11\xe0", "is no XLSX workbook; save it as XLSX or CSV"),
        ("points.csv", b"\xff\x00\xff", "is no text; save it as CSV"),
        ("points.csv", b"a\x00b", "is no text; save it as CSV"),
        ("points.csv", b"", "the table is empty"),
    ],
)
def test_file_that_is_no_table_is_one_line(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    refused = drafted(path)
    assert (refused.exit_code, says in refused.stderr, refused.stderr.count("\n")) == (3, True, 1), refused.stderr


def test_missing_file_and_too_large_ones_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = drafted(tmp_path / "nowhere.csv")
    assert (refused.exit_code, "cannot be read" in refused.stderr) == (3, True)
    path = workbook(tmp_path / "points.xlsx", [HEADINGS, *ROWS])
    monkeypatch.setattr(point_table, "MAX_ROWS", 3)
    assert "more than 3 rows" in drafted(path).stderr
    monkeypatch.setattr(point_table, "MAX_BYTES", 10)
    assert "is larger than" in drafted(path).stderr


def test_csv_has_no_sheets(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("Number,Name,Type\n1,a,float\n", "utf-8")
    assert "has no sheets" in drafted(path, "--sheet", "a").stderr


def test_without_openpyxl_a_workbook_names_the_extra_and_csv_still_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workbook(tmp_path / "points.xlsx", [HEADINGS, *ROWS])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    refused = drafted(path)
    assert (refused.exit_code, "pip install 'cunzheng[spreadsheet]'" in refused.stderr) == (3, True)
    csv = tmp_path / "points.csv"
    csv.write_text("Number,Name,Type\n1,a,float\n", "utf-8")
    assert drafted(csv).exit_code == 0
