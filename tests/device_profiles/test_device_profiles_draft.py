"""A table of points becomes a draft that loads, says what nobody has confirmed, and refuses what it cannot read."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles import Role, Table, load_text
from device_profiles.draft import DraftError, draft_profile

ENGLISH = """\
Number,Name,Type,Factor,Unit
40001,Active energy,float,1,kWh
40003,Total power,U32,0.1,kW
40005,Temperature,int16,0.1,°C
40006,State,uint16,,
40007,Turbidity,uint16,0.01,NTU
40008,Total power,uint16,1,kw
"""
CHINESE = "\ufeff地址;名称;类型;系数;单位;功能码\n0x0048;正向有功;浮点;1;kWh;04\n52;no;无符号;1;V;3\n"


def test_table_becomes_a_profile() -> None:
    profile = load_text(draft_profile(ENGLISH, "belt", "points.csv"), "belt.yaml")
    assert profile.trust == "draft"
    assert profile.address_base == "plc5"
    assert profile.points["active_energy"].role is Role.TOTAL
    assert profile.points["total_power"].scale == Decimal("0.1")
    assert profile.points["total_power_40008"].unit == "kW"
    assert profile.points["temperature"].unit == "degC"
    assert profile.points["state"].role is Role.STATE
    assert any("turbidity: unit NTU" in doubt for doubt in profile.unconfirmed)
    assert any("word order" in doubt for doubt in profile.unconfirmed)
    assert any("address base" in doubt for doubt in profile.unconfirmed)


def test_chinese_table_with_semicolons_is_read() -> None:
    profile = load_text(draft_profile(CHINESE, "belt", "点表.csv"), "belt.yaml")
    assert profile.points["p72"].table is Table.INPUT
    assert profile.points["p72"].name["zh"] == "正向有功"
    assert profile.points["no"].table is Table.HOLDING


def test_draft_names_nothing_left_to_do_but_what_to_confirm() -> None:
    text = draft_profile(ENGLISH, "belt", "points.csv")
    assert "TODO" not in text
    assert "Confirm" in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the table is empty"),
        ("Number,Name,Type\n", "there are no points"),
        ("Number,Name\n1,a\n", "the column type is missing"),
        ("Number,Name,Type\nx,a,float\n", "row 2: 'x' is no address"),
        ("Number,Name,Type\n1,a,float\n2,b,quaternion\n", "row 3: type 'quaternion' is not known"),
        ("Number,Name,Type,Factor\n1,a,float,x\n", "row 2: the factor is no number"),
        ("Number,Name,Type,Factor\n1,a,float,0\n", "row 2: the factor must not be 0"),
    ],
)
def test_table_that_cannot_be_read_names_the_row(text: str, says: str) -> None:
    with pytest.raises(DraftError) as caught:
        draft_profile(text, "belt", "points.csv")
    assert says in caught.value.en
    assert caught.value.zh


@pytest.mark.parametrize(
    ("number", "base"),
    [(30_001, "plc5"), (40_000, "wire0"), (49_999, "plc5"), (400_000, "wire0"), (400_001, "plc6"), (465_536, "plc6")],
)
def test_base_of_addresses_is_guessed_only_where_every_number_is_one_of_its_kind(number: int, base: str) -> None:
    if number > 65_535 and base == "wire0":
        with pytest.raises(DraftError):
            draft_profile(f"Number,Name,Type\n{number},a,int16\n", "belt", "points.csv")
        return
    profile = load_text(draft_profile(f"Number,Name,Type\n{number},a,int16\n", "belt", "points.csv"), "belt.yaml")
    (point,) = profile.points.values()
    assert point.address == (number if base == "wire0" else number % (10_000 if base == "plc5" else 100_000) - 1)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 60000),
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters='\r\n",'), max_size=20),
            st.sampled_from(["float", "u32", "int16", "int64", "double"]),
            st.sampled_from(["1", "0.1", "10", ""]),
            st.sampled_from(["kWh", "m³/h", "", "???", "t"]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_table_of_known_types_becomes_a_profile_that_loads(rows: list[tuple[int, str, str, str, str]]) -> None:
    table = "number,name,type,factor,unit\n" + "\n".join(",".join(map(str, row)) for row in rows)
    profile = load_text(draft_profile(table, "belt", "points.csv"), "belt.yaml")
    assert len(profile.points) == len(rows)
