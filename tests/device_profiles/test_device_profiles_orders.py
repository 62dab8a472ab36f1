"""The same words under every order, and what a range or a size says of each result."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles import Profile, Table, by_orders, by_units, declared_order, hex_text, hex_words, load_text, shipped
from device_profiles.orders import orders_of, unit_is_plausible
from device_profiles.words import number_bytes, to_words, width

PROFILE = """\
profile: belt
version: 1
vendor: any
model: belt
name: {zh: 皮带秤, en: Belt}
trust: draft
sources: [test]
address_base: wire0
transport: {protocols: [tcp], max_registers: 60}
parameters:
  rate: {name: {zh: 最大, en: most}, unit: "1", default: "1000", lowest: "0"}
points:
  flow: {address: 0, type: float32, order: %(order)s, role: rate, unit: t/h%(range)s, name: {zh: 流量, en: Flow}}
  total:
    address: 2
    type: uint64
    order: CDAB
    role: total
    unit: t
    totaliser: {modulus: "1000000000", resettable: false, max_rate_from: rate}
    name: {zh: 累计, en: Total}
  state: {address: 6, type: uint16, role: state, name: {zh: 状态, en: State}}
  model: {address: 7, type: string, length: 3, role: identity, name: {zh: 型号, en: Model}}
vectors:
  - {words: {0: "%(one_and_a_half)s"}, expect: {flow: "1.5"}}
  - {words: {2: "0001 0000 0000 0000"}, expect: {total: "1"}}
  - {words: {6: "0001", 7: "504D 3535 3630"}, expect: {state: "1", model: PM5560}}
"""


def belt(order: str = "ABCD", span: str = "") -> Profile:
    words = to_words(number_bytes("float32", Decimal("1.5"), 2), order)
    return load_text(PROFILE % {"order": order, "range": span, "one_and_a_half": hex_text(words)}, "belt.yaml")


BELT = belt()


def held(words: str, at: int = 0) -> dict[tuple[Table, int], int]:
    return {(Table.HOLDING, at + offset): word for offset, word in enumerate(hex_words(words))}


def values(profile: Profile, name: str, words: dict[tuple[Table, int], int]) -> dict[str, tuple[str, bool | None]]:
    return {one.order: (str(one.decoded.value), one.plausible) for one in by_orders(profile, name, words)}


def test_float_is_shown_under_all_four_orders_and_only_one_is_plausible() -> None:
    found = values(belt(), "flow", held("42F6 E979"))
    assert found["ABCD"] == ("123.456", True)
    assert [order for order, (_, plausible) in found.items() if plausible] == ["ABCD"]
    assert set(found) == {"ABCD", "BADC", "CDAB", "DCBA"}


def test_range_decides_what_is_plausible_where_there_is_one() -> None:
    span = ', range: {lowest: "0", highest: "100"}'
    found = values(belt(span=span), "flow", held("42F6 E979"))
    assert found["ABCD"] == ("123.456", False)


def test_range_does_not_make_a_vanishing_float_plausible() -> None:
    span = ', range: {lowest: "0", highest: "1000"}'
    found = by_orders(belt(span=span), "flow", held("4148 0000"))
    assert [one.order for one in found if one.plausible] == ["ABCD"]


def test_wrong_order_of_the_profile_stands_beside_the_plausible_one() -> None:
    found = by_orders(belt("CDAB"), "flow", held("42F6 E979"))
    assert [one.order for one in found if one.declared] == ["CDAB"]
    assert [one.order for one in found if one.plausible] == ["ABCD"]


def test_four_registers_have_six_orders_and_the_short_name_is_found_among_them() -> None:
    found = by_orders(belt(), "total", held("04CB 71FB 011F 0000", 2))
    assert [one.order for one in found if one.declared] == ["GHEFCDAB"]
    assert {one.order: str(one.decoded.value) for one in found}["GHEFCDAB"] == "1234567890123"
    assert len(found) == 6
    assert all(one.plausible is False for one in found)  # none of them fits a counter of nine digits


def test_text_has_two_orders_and_a_single_register_none() -> None:
    found = by_orders(belt(), "model", held("4D50 3535 3036", 7))
    assert [(one.order, one.decoded.value) for one in found] == [("ABCD", "MP5506"), ("BADC", "PM5560")]
    assert by_orders(belt(), "state", held("0001", 6)) == ()


def test_composite_is_shown_with_all_its_parts_in_each_order_and_the_device_s_own_is_marked() -> None:
    profile = shipped()["endress-promass"].configured(
        {"total_unit": "t", "flow_unit": "t/h", "max_rate_per_h": Decimal(300)}
    )
    total, order = profile.points["total_1"], profile.points["byte_order"]
    words = {(order.table, order.address): 0}
    for part, held_there in zip(total.parts, ("4996 B43C", "4B98 9680"), strict=True):
        words |= {(part.table, part.address + at): word for at, word in enumerate(hex_words(held_there))}
    assert declared_order(profile, total, words) == "DCBA"
    found = {one.order: one for one in by_orders(profile, "total_1", words)}
    assert (found["ABCD"].decoded.value, found["ABCD"].plausible) == (Decimal("21234567.5"), True)
    assert (found["DCBA"].declared, found["BADC"].plausible) == (True, False)


def test_unit_that_is_open_is_proposed_by_the_size_of_the_number() -> None:
    profile = shipped()["sick-marsic300"].configured({})
    assert profile.points["co2"].unit_from == "co2_unit"
    percent = {(Table.INPUT, 1002 + at): word for at, word in enumerate(hex_words("4193 3333"))}
    assert {one.unit: one.plausible for one in by_units(profile, "co2", percent)} == {"%": True, "mg/m3": False}
    assert [one.order for one in by_orders(profile, "co2", percent) if one.plausible] == ["ABCD"]
    assert not any(one.declared for one in by_units(profile, "co2", percent))
    assert by_units(profile, "o2", percent) == ()


def test_unit_that_was_set_wrongly_is_shown_beside_the_likelier_one() -> None:
    profile = shipped()["sick-marsic300"].configured({"co2_unit": "%"})
    data = to_words(number_bytes("float32", Decimal("361428.57"), 2), "ABCD")
    words = {(Table.INPUT, 1002 + at): word for at, word in enumerate(data)}
    found = by_units(profile, "co2", words)
    assert [(one.unit, one.declared, one.plausible) for one in found] == [
        ("1", False, False),
        ("%", True, False),
        ("mg/m3", False, True),
    ]


@pytest.mark.parametrize(
    ("number", "unit"), [("0.184", "1"), ("18.4", "%"), ("1", "%"), ("40", "%"), ("361428.57", "mg/m3")]
)
def test_carbon_dioxide_of_a_stack_has_one_plausible_unit(number: str, unit: str) -> None:
    told = {one: unit_is_plausible("co2_concentration", one, Decimal(number)) for one in ("1", "%", "mg/m3")}
    assert [one for one, plausible in told.items() if plausible] == [unit]


@given(
    kind=st.sampled_from(["int32", "uint32", "int64", "float32", "float64"]),
    raw=st.integers(0, 1_000_000),
    data=st.data(),
)
def test_value_is_always_found_under_the_order_it_was_written_in(kind: str, raw: int, data: st.DataObject) -> None:
    profile = BELT
    point = replace(profile.points["flow"], type=kind, words=width(kind))
    changed = replace(profile, points=MappingProxyType({**profile.points, "flow": point}))
    order = data.draw(st.sampled_from(orders_of(point)))
    words = to_words(number_bytes(kind, Decimal(raw), point.words), order)
    came = {(Table.HOLDING, at): word for at, word in enumerate(words)}
    assert {one.order: one.decoded.value for one in by_orders(changed, "flow", came)}[order] == raw
