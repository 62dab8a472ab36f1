"""Mistakes in the newer parts of the language: each is refused with file, line and key."""

from __future__ import annotations

import pytest

from device_profiles import ProfileError, load_text, mismatches, schema

GOOD = """\
profile: test-meter
version: 1
vendor: test
model: test
name: {zh: 测试, en: test}
trust: documented
sources: ["here"]
address_base: wire0
parameters:
  unit: {name: {zh: 单位, en: unit}, enum: [kWh, MWh]}
  nominal: {name: {zh: 额定, en: nominal}, unit: kW}
match: [{point: model, equals: 5, otherwise: refuse}]
points:
  model: {address: 1, type: uint16, role: identity}
  order: {address: 2, type: uint16, role: identity}
  live: {address: 3, type: bit, bit: 0, role: state}
  value: {address: 4, type: uint32, order_from: {point: order, map: {0: ABCD, 1: CDAB}}, role: rate, unit: kW}
  total: {parts: [{address: 10}, {address: 11, weight: "65536"}], role: total, unit_from: unit,
    totaliser: {modulus: none, resettable: true, max_rate: "9"}}
quality:
  applies_to: [value]
  rules:
    - {when: "live == 0", state: held, reason: hold}
vectors:
  - words: {1: "0005 0000 0001 0000 0007", 10: "0001 0001"}
    parameters: {unit: kWh}
    expect: {model: 5, order: 0, live: 1, value: 7, total: 65537}
  - words: {2: "0001 0000 0007 0000"}
    expect: {value: {value: 7, state: held, reason: hold}}
  - words: {2: "0001 0001 0007 0000"}
    expect: {value: 7}
"""
BROKEN = {
    "identification object that is none": ("point: model, eq", "identification: serial, eq", "match.0.identification"),
    "identification and point": ("{point: model,", "{point: model, identification: vendor,", "m.yaml:12: match.0"),
    "identification in a range": (
        "point: model, equals: 5",
        "identification: vendor, lowest: '1'",
        "m.yaml:12: match.0",
    ),
    "unknown point in a rule": ("live == 0", "alive == 0", "m.yaml:23: quality.rules.0.when: there is no point alive"),
    "condition that is none": ("live == 0", "live = 0", "quality.rules.0.when: the condition is wrong"),
    "rule without reason": (
        ", reason: hold}\nvectors",
        "}\nvectors",
        "m.yaml:23: quality.rules.0: the key reason is missing",
    ),
    "rule for a point that is not there": ("applies_to: [value]", "applies_to: [valve]", "there is no point valve"),
    "order from a point that is not there": ("{point: order, map", "{point: odrer, map", "there is no point odrer"),
    "order twice": ("type: uint32, order_from", "type: uint32, order: ABCD, order_from", "exclude each other"),
    "order not shown by a vector": ("1: CDAB}", "1: CDAB, 2: DCBA}", "no vector covers the word order DCBA"),
    "unit from no parameter": ("unit_from: unit", "unit_from: units", "there is no parameter units"),
    "unit from a number": ("unit_from: unit", "unit_from: nominal", "nominal is no unit of the closed list"),
    "unit that is none": ("enum: [kWh, MWh]", "enum: [kWh, mwh]", "mwh is no unit of the closed list"),
    "unit that cannot be counted": ("enum: [kWh, MWh]", "enum: [kWh, kW]", "kW is no unit of an amount"),
    "unit given twice": ("unit_from: unit", "unit: kWh, unit_from: unit", "exclude each other"),
    "percent of another unit": (
        "unit: kW}\n  total",
        "unit: W, percent_of: nominal}\n  total",
        "the parameter's unit kW is not W",
    ),
    "percent of nothing": (
        "unit: kW}\n  total",
        "unit: kW, percent_of: nomnal}\n  total",
        "there is no parameter nomnal",
    ),
    "scale from nothing": (
        "unit: kW}\n  total",
        "unit: kW, scale_from: {point: x, as: exponent}}\n  total",
        "scale_from.point: there is no point x",
    ),
    "scale read two ways": (
        "unit: kW}\n  total",
        'unit: kW, scale_from: {point: order, as: exponent, map: {0: "1"}}}\n  total',
        "exactly one is needed of as, map",
    ),
    "address and parts": ("total: {parts", "total: {address: 3, parts", "exactly one is needed of: address / parts"),
    "parts of two tables": ("{address: 11, weight", "{address: 11, table: input, weight", "must be in one table"),
    "parts too far apart": ("{address: 11, weight", "{address: 511, weight", "needs tear_check"),
    "part with a typo": (
        'weight: "65536"',
        'wieght: "65536"',
        "points.total.parts.1.wieght: unknown key; did you mean weight?",
    ),
    "text in a sum": (
        "{address: 11, weight",
        "{address: 11, type: string, length: 1, weight",
        "string is no part of a sum",
    ),
    "composite with no vector": (", total: 65537}", "}", "points.total: no vector covers this way of decoding"),
    "match of a point that is not there": ("point: model, equals", "point: modle, equals", "there is no point modle"),
    "parameter with unit and words": (
        "enum: [kWh, MWh]}",
        "enum: [kWh, MWh], unit: kW}",
        "exactly one is needed of unit, enum",
    ),
    "parameter with a default that is no number": (
        "unit: kW}\nmatch",
        "unit: kW, default: much}\nmatch",
        "parameters.nominal.default: much is no decimal number",
    ),
    "vector with a parameter that is not there": ("{unit: kWh}", "{units: kWh}", "there is no parameter units"),
    "vector with a word the parameter does not know": ("{unit: kWh}", "{unit: GWh}", "'GWh' is not one of: kWh, MWh"),
    "byte of a whole register": (
        "{address: 1, type: uint16",
        "{address: 1, type: uint16, byte: high",
        "int8 and uint8 only",
    ),
    "half a register without saying which": (
        "{address: 1, type: uint16",
        "{address: 1, type: uint8",
        "int8 and uint8 only",
    ),
    "bits that fall": (
        "{address: 1, type: uint16",
        "{address: 1, type: bits, bits: [4, 2]",
        "the range of bits must rise",
    ),
    "clock without parts": (
        "role: identity}\n  order",
        "role: clock, clock: {zone: UTC}}\n  order",
        "needs role clock and parts",
    ),
    "point that needs itself": ("{point: order, map", "{point: value, map", "the point needs itself"),
    "trust that is no level": ("trust: documented", "trust: certain", 'trust: "certain" is not one of'),
    "unconfirmed that says nothing": ("address_base", "unconfirmed: []\naddress_base", "unconfirmed"),
    "error counter that is not there": ('max_rate: "9"', 'max_rate: "9", error_counter: e', "there is no point e"),
    "error counter that is no total": ('max_rate: "9"', 'max_rate: "9", error_counter: value', "value is no total"),
    "metric outside mqtt": ("{address: 1, type: uint16", "{metric: a, address: 1, type: uint16", "metric: unknown key"),
}


def test_good_profile_loads() -> None:
    profile = load_text(GOOD, "m.yaml")
    assert profile.points["total"].unit == ""
    assert profile.configured({"unit": "MWh"}).points["total"].unit == "MWh"


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_mistake_is_refused_with_its_place(case: str) -> None:
    old, new, says = BROKEN[case]
    assert old in GOOD
    with pytest.raises(ProfileError) as caught:
        load_text(GOOD.replace(old, new, 1), "m.yaml")
    found = [fault.text() for fault in caught.value.faults]
    assert any(says in fault for fault in found), found
    assert all(fault.startswith("m.yaml:") for fault in found)


def test_rule_that_no_vector_shows_is_refused() -> None:
    at = GOOD.index('  - words: {2: "0001 0000')
    end = GOOD.index('  - words: {2: "0001 0001')
    with pytest.raises(ProfileError, match=r"m.yaml:23: quality.rules.0: no vector covers this rule \(held\)"):
        load_text(GOOD[:at] + GOOD[end:], "m.yaml")


def test_repeat_with_a_taken_name_is_refused() -> None:
    again = (
        "repeats:\n  one: {stride: 1, count: 1, points: {model: {address: 50, type: uint16, role: state}}}\nquality:"
    )
    text = (
        GOOD.replace("quality:", again)
        .replace("  model: {address: 1,", "  model_1: {address: 1,")
        .replace("model: 5", "model_1: 5")
    )
    with pytest.raises(ProfileError, match="the point model_1 is there twice"):
        load_text(text.replace("point: model,", "point: model_1,"), "m.yaml")


def test_schema_names_every_key_for_an_editor() -> None:
    keys = schema()["$defs"]["modbus_point"]["properties"]
    assert {"parts", "scale_from", "unit_from", "order_from", "only_if", "clock", "percent_of"} <= set(keys)


def test_device_identification_is_an_identity_test_without_a_point() -> None:
    test = "identification: product, equals: [PM5560, PM5563], otherwise: warn"
    meter = load_text(GOOD.replace("point: model, equals: 5, otherwise: refuse", test), "m.yaml")
    assert mismatches(meter, {}, {0: "Schneider", 1: "PM5563"}) == ()
    (wrong,) = mismatches(meter, {}, {0: "PM5560"})
    assert (wrong.point, wrong.wanted, wrong.came, wrong.refuses) == ("product", "PM5560 / PM5563", "", False)


def test_idle_connection_is_kept_unless_the_profile_says_otherwise() -> None:
    assert load_text(GOOD, "m.yaml").transport.idle_close_ms == 0
    text = GOOD.replace("points:", "transport: {idle_close_ms: 5000}\npoints:", 1)
    assert load_text(text, "m.yaml").transport.idle_close_ms == 5000
