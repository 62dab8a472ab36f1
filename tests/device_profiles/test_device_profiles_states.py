"""Points that need others: order, scale, unit, states, kinds, clocks, parts."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles import Profile, Quality, Table, decode, encode_words, hex_words, load_text, shipped

HEAD = """\
profile: analyser
version: 1
vendor: test
model: test
name: {zh: 测试, en: test}
trust: documented
sources: ["here"]
address_base: wire0
transport: {max_registers: 8, max_gap: 0}
"""
SPLIT = (
    HEAD
    + """\
points:
  total:
    tear_check: true
    parts: [{address: 100, weight: "65536"}, {address: 300}]
    role: total
    unit: kg
    totaliser: {modulus: "4294967296", resettable: false, max_rate: "1000"}
vectors:
  - {words: {100: "0001", 300: "E240"}, expect: {total: "123456"}}
  - words: {100: "0001", 300: "0002"}
    after: {words: {100: "0002"}}
    expect: {total: {state: uncertain, reason: torn}}
"""
)
MANY = (
    HEAD
    + """\
defaults: {bits_from: 1}
parameters:
  nominal: {name: {zh: 额定, en: nominal}, unit: kW, lowest: "0"}
  ratio: {name: {zh: 变比, en: ratio}, unit: "1", default: "1"}
points:
  decimals: {address: 0, type: uint16, role: identity}
  scaled: {address: 1, type: int32, scale_from: {point: decimals, as: decimals}, role: rate, unit: m3/h}
  coded: {address: 3, type: uint16, scale_from: {point: decimals, map: {2: "10", 3: "100"}}, role: rate, unit: m3/h}
  load: {address: 4, type: uint16, scale: "0.1", percent_of: nominal, role: rate, unit: kW}
  current: {address: 5, type: uint16, scale: "0.01", scale_from: {parameter: ratio}, role: rate, unit: A}
  high: {address: 6, type: int8, byte: high, role: rate, unit: degC}
  low: {address: 6, type: uint8, byte: low, role: rate, unit: "%"}
  mode: {address: 7, type: bits, bits: [1, 3], role: state, enum: {0: "off", 5: run}}
  alarm: {address: 7, type: bit, bit: 16, role: state}
repeats:
  channel:
    count: 2
    stride: 3
    points:
      kind: {address: 20, type: uint16, role: identity, name: {zh: 类型, en: Kind}}
      flow: {address: 21, type: uint16, role: rate, unit: m3/h, only_if: {point: kind, equals: 1},
        name: {zh: 流量, en: Flow}}
      temperature: {address: 21, type: int16, role: rate, unit: degC, only_if: {point: kind, equals: 2},
        name: {zh: 温度, en: Temperature},
        invalid: [{raw: "7FFF", when: "kind == 2", state: fault, reason: open-circuit}]}
quality:
  - applies_to: [load]
    rules: [{when: 'mode != "run"', state: stopped, reason: "off"}]
  - applies_to: [scaled]
    rules: [{when: "raw < 0 and alarm == 1", state: not_measuring, reason: not-measuring}]
vectors:
  - words: {0: "0002 0000 3039 0007 01F4 1388 FE63 0005", 20: "0001 0064 0000 0002 FFF6"}
    parameters: {nominal: 2000, ratio: "40"}
    expect: {decimals: "2", scaled: "123.45", coded: "70", load: "1000", current: "2000", high: "-2", low: "99",
      mode: run, alarm: 0,
      kind_1: "1", flow_1: "100", kind_2: "2", temperature_2: "-10", flow_2: {state: stopped, reason: other-kind}}
  - words: {4: "01F4", 7: "0000", 23: "0002 7FFF"}
    parameters: {nominal: 2000}
    expect:
      load: {value: "1000", state: stopped, hj212: F, reason: "off"}
      temperature_2: {state: fault, reason: open-circuit}
  - words: {0: "0003", 1: "FFFF FFFF", 7: "8005", 20: "0002 7FFF"}
    expect: {scaled: {state: not_measuring, reason: not-measuring}, temperature_1: {state: fault, reason: open-circuit}}
"""
)


@pytest.fixture(scope="module")
def split() -> Profile:
    return load_text(SPLIT, "split.yaml")


@pytest.fixture(scope="module")
def many() -> Profile:
    return load_text(MANY, "many.yaml")


def test_high_part_of_a_divided_total_is_read_before_and_after(split: Profile) -> None:
    blocks = split.plan(["total"])
    assert [(block.address, block.again) for block in blocks] == [(100, False), (300, False), (100, True)]


def test_torn_total_is_no_total(split: Profile) -> None:
    words = {(Table.HOLDING, 100): 1, (Table.HOLDING, 300): 2}
    assert decode(split, words, after={(Table.HOLDING, 100): 1})["total"].value == 65538
    torn = decode(split, words, after={(Table.HOLDING, 100): 2})["total"]
    assert (torn.value, torn.reason, torn.flag) == (None, "torn", "D")
    unread = decode(split, words, after={})["total"]
    assert unread.reason == "torn"


def test_plan_of_one_point_reads_what_it_needs(many: Profile) -> None:
    assert many.needed(["scaled"]) == ("decimals", "scaled", "alarm")
    assert many.needed(["flow_2"]) == ("kind_2", "flow_2")
    reached = {name for block in many.plan(["scaled"]) for name in block.points}
    assert reached == {"decimals", "scaled", "alarm"}


def test_repeats_have_their_own_places_names_and_links(many: Profile) -> None:
    assert many.points["flow_2"].address == 24
    assert many.points["flow_2"].only_if == ("kind_2", 1)
    assert many.points["flow_2"].name["zh"] == "流量 2"


def test_without_its_parameter_a_point_is_a_fault_not_a_number(many: Profile) -> None:
    words = {(Table.HOLDING, 4): 500, (Table.HOLDING, 7): 5}
    assert decode(many, words)["load"].reason == "parameter-missing"
    ready = many.configured({"nominal": Decimal(100)})
    assert decode(ready, words)["load"].value == 50
    assert ready.hash == many.hash


def test_a_scale_out_of_its_table_is_no_scale(many: Profile) -> None:
    words = {(Table.HOLDING, at): word for at, word in enumerate(hex_words("0009 0000 0001 0007"))}
    assert decode(many, words)["coded"].reason == "scale-missing"
    words[(Table.HOLDING, 0)] = 77
    words[(Table.HOLDING, 7)] = 5
    assert decode(many, words)["scaled"].reason == "scale-missing"


def test_states_are_asked_before_and_after() -> None:
    analyser = shipped()["sick-marsic300"].configured({"co2_unit": "%"})
    blocks = analyser.plan(["co2"])
    kinds = [(block.table, block.again) for block in blocks]
    assert kinds[0] == (Table.DISCRETE, False)
    assert (Table.INPUT, False) in kinds
    assert kinds[-1] == (Table.DISCRETE, True)
    good = encode_words(analyser, {"co2": Decimal("22.4"), "live": Decimal(1)})
    held = encode_words(analyser, {"co2": Decimal("22.4"), "live": Decimal(0)})
    assert decode(analyser, good, ["co2"], after=good)["co2"].is_valid
    for before, after in ((good, held), (held, good), (held, held)):
        co2 = decode(analyser, before, ["co2"], after=after)["co2"]
        assert (co2.quality, co2.flag, co2.value) == (Quality.HELD, "M", Decimal("22.4"))
    unknown = decode(analyser, good, ["co2"], after={})["co2"]
    assert (unknown.reason, unknown.flag) == ("state-missing", "D")


def test_zero_of_an_analyser_that_measures_is_a_value() -> None:
    analyser = shipped()["sick-marsic300"].configured({"co2_unit": "%"})
    idle = decode(analyser, encode_words(analyser, {"co2": Decimal(0), "live": Decimal(0)}))["co2"]
    assert (idle.value, idle.reason) == (None, "not-measuring")
    live = decode(analyser, encode_words(analyser, {"co2": Decimal(0), "live": Decimal(1)}))["co2"]
    assert (live.value, live.flag) == (0, "N")


@given(code=st.sampled_from(["0-1-2-3", "3-2-1-0", "2-3-0-1", "1-0-3-2"]), kg=st.integers(0, 9_999_999))
def test_order_register_decides_for_every_value(code: str, kg: int) -> None:
    meter = shipped()["endress-promass"].configured({"total_unit": "kg", "flow_unit": "kg/h"})
    words = encode_words(meter, {"byte_order": code, "total_1": Decimal(kg), "mass_flow": Decimal("0.5")})
    decoded = decode(meter, words)
    assert decoded["total_1"].value == kg
    assert decoded["mass_flow"].value == Decimal("0.5")


def test_device_clock_comes_out_in_utc() -> None:
    scale = shipped()["siemens-bw500"]
    words = encode_words(scale, {"clock": "2026-02-28T16:00:05+00:00"})
    clock = decode(scale, words, ["clock"])["clock"]
    assert (clock.value, clock.number) == ("2026-02-28T16:00:05Z", Decimal(1772294405))
    words[(Table.HOLDING, 1000)] = 13
    assert decode(scale, words, ["clock"])["clock"].reason == "clock"


def test_clock_takes_its_zone_from_the_device() -> None:
    text = (
        HEAD
        + """\
points:
  zone: {address: 9, type: int16, role: identity}
  clock:
    role: clock
    clock: {zone_from: zone}
    parts:
      - {address: 0, type: uint8, byte: high, add: "2000", field: year}
      - {address: 0, type: uint8, byte: low, field: month}
      - {address: 1, type: uint8, byte: high, field: day}
      - {address: 2, type: bcd, length: 1, field: hour}
vectors:
  - {words: {0: "1A03 0100 0009", 9: "0008"}, expect: {zone: "8", clock: "2026-03-01T01:00:00Z"}}
  - {words: {0: "1A0D 0100 0009", 9: "0008"}, expect: {clock: {state: fault, reason: clock}}}
  - {words: {0: "1A03 0100 0009"}, expect: {clock: {state: uncertain, reason: state-missing}}}
"""
    )
    profile = load_text(text, "clock.yaml")
    words = encode_words(profile, {"zone": Decimal(8), "clock": "2026-03-01T01:00:00Z"})
    assert words[(Table.HOLDING, 0)] == 0x1A03
    assert decode(profile, words)["clock"].value == "2026-03-01T01:00:00Z"
