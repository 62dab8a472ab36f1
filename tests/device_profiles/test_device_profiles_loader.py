"""Profiles that must load, and profiles that must be refused with file, line and key."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import device_profiles
from device_profiles import ProfileError, Table, load, load_text, shipped, shipped_texts
from device_profiles.addresses import wire_address

HEAD = """\
profile: test-meter
version: 1
vendor: test
model: test
name: {zh: 测试, en: test}
trust: documented
sources: ["here"]
"""
MODBUS = (
    HEAD
    + """\
address_base: wire0
points:
  power: {address: 10, type: uint16, role: rate, unit: kW}
vectors:
  - {words: {10: "0007"}, expect: {power: "7"}}
"""
)


def faults_of(text: str) -> list[str]:
    with pytest.raises(ProfileError) as caught:
        load_text(text, "meter.yaml")
    return [fault.text() for fault in caught.value.faults]


@pytest.mark.parametrize("name", sorted(shipped_texts()))
def test_shipped_profiles_load_and_are_named_as_their_file(name: str) -> None:
    profile = load_text(shipped_texts()[name], name)
    assert f"{profile.id}.yaml" == name
    assert all(point.name["zh"] and point.name["en"] for point in profile.points.values())


def test_minimal_profile_loads() -> None:
    profile = load_text(MODBUS, "meter.yaml")
    assert profile.points["power"].table is Table.HOLDING
    assert profile.points["power"].kind == "value"
    assert profile.protocol == "modbus"


def test_profile_loads_from_a_path(tmp_path: Path) -> None:
    path = tmp_path / "meter.yaml"
    path.write_text(MODBUS, "utf-8")
    assert load(path).hash == load(MODBUS).hash == load(str(path)).hash


def test_hash_follows_content_not_layout() -> None:
    same = MODBUS.replace("address: 10,", "address: 0x0A,").replace("version: 1", "# a comment\nversion:    1")
    other = MODBUS.replace("unit: kW", "unit: MW")
    assert load_text(same, "").hash == load_text(MODBUS, "").hash != load_text(other, "").hash
    assert len(load_text(MODBUS, "").hash) == 64


POINT = "{address: 10, type: uint16, role: rate, unit: kW}"
BROKEN = {
    "unknown key": (
        "unit: kW}",
        "unit: kW, adress: 3}",
        "meter.yaml:10: points.power.adress: unknown key; did you mean address?",
    ),
    "unknown top key": ("version: 1", "version: 1\nbaud: 9600", "meter.yaml:3: baud: unknown key"),
    "unit in wrong case": (
        "unit: kW",
        "unit: kw",
        'meter.yaml:10: points.power.unit: "kw" is not in the closed list; did you mean kW?',
    ),
    "unit missing": (", unit: kW", "", "meter.yaml:10: points.power: the key unit is missing for role rate"),
    "unit of a total": ("role: rate", "role: total", "kW is no unit of an amount"),
    "address missing": ("address: 10, ", "", "meter.yaml:10: points.power: the key address is missing"),
    "address base missing": ("address_base: wire0\n", "", "the key address_base is missing"),
    "vectors missing": (MODBUS[MODBUS.index("vectors:") :], "", "the key vectors is missing"),
    "vector fails": ('"7"', '"8"', "meter.yaml:12: vectors.0.expect.power: value should be 8, came out as 7"),
    "vector names no point": ("{power:", "{powr:", "meter.yaml:12: vectors.0.expect.powr: there is no such point"),
    "vector without words": ("{10:", "{11:", "the vector has no words for this point"),
    "a way of decoding not covered": (
        "unit: kW}\n",
        'unit: kW}\n  more: {address: 11, type: uint16, scale: "0.1", role: rate, unit: kW}\n',
        "meter.yaml:11: points.more: no vector covers this way of decoding (uint16 ABCD)",
    ),
    "a sentinel not covered": (
        "unit: kW}",
        'unit: kW, invalid: [{raw: "FFFF", state: fault, reason: not-implemented}]}',
        "no vector covers the invalid value (not-implemented)",
    ),
    "float in the file": ("unit: kW}", "unit: kW, scale: 0.1}", "write 0.1 in quotes"),
    "octal address": ("address: 10", "address: 010", "write 010 in quotes"),
    "scale zero": ("unit: kW}", 'unit: kW, scale: "0"}', "points.power.scale: scale must not be 0"),
    "order too long": ("unit: kW}", "unit: kW, order: ABCDEFGH}", "ABCDEFGH does not fit uint16"),
    "sentinel of another width": (
        "unit: kW}",
        'unit: kW, invalid: [{raw: "8000 0000", state: fault, reason: nan}]}',
        "points.power.invalid.0: does not fit type uint16",
    ),
    "sentinel means two things": (
        "unit: kW}",
        'unit: kW, invalid: [{raw: "8000", value: "3", state: fault, reason: nan}]}',
        "exactly one is needed of nan, raw",
    ),
    "bit without number": ("type: uint16", "type: bit", "needs the key bit"),
    "string without length": ("type: uint16", "type: string", "length is needed with bcd and string"),
    "address outside": ("address: 10", "address: 70000", "outside the address range"),
    "totaliser on a rate": (
        "unit: kW}",
        'unit: kW, totaliser: {modulus: none, resettable: false, max_rate: "1"}}',
        "allowed with role total only",
    ),
    "duplicate key": ("version: 1", "version: 1\nversion: 2", "meter.yaml:3: version: the key is there twice"),
    "alias": ("vendor: test", "vendor: &a test", "anchors and aliases are not allowed"),
    "tag": ("vendor: test", "vendor: !!python/none x", "tags (!) are not allowed"),
    "not yaml": ("vendor: test", "vendor: [", "not YAML"),
    "wrong type": ("version: 1", "version: one", 'meter.yaml:2: version: "one" has the wrong type, integer is needed'),
    "version zero": ("version: 1", "version: 0", "must be at least 1"),
    "bad id": ("profile: test-meter", "profile: Test Meter", "is not written as"),
    "whole number too long": ("version: 1", "version: " + "1" * 5000, "in quotes"),
    "half a character": ("vendor: test", 'vendor: "\\ud800"', "not valid text"),
    "line break behind an id": ("profile: test-meter", 'profile: "test-meter\\n"', "is not written as"),
    "line break behind words": ('"0007"', '"0007\\n"', "is not written as"),
    "range of a forbidden point": (
        "points:",
        "transport: {forbidden: [{first: 5, last: 12}]}\npoints:",
        "the point power is inside a forbidden range",
    ),
}


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_broken_profile_is_refused_with_its_place(case: str) -> None:
    old, new, wanted = BROKEN[case]
    assert old in MODBUS
    found = faults_of(MODBUS.replace(old, new, 1))
    assert any(wanted in fault for fault in found), found
    assert all(fault.startswith("meter.yaml:") for fault in found)


TOTAL = (
    HEAD
    + """\
address_base: wire0
transport: {max_registers: 2}
parameters:
  most: {name: {zh: 最大, en: most}, unit: kW, lowest: "0"}
points:
  energy:
    address: 10
    type: uint32
    role: total
    unit: kWh
    totaliser: {modulus: "1000000", resettable: true, max_rate_from: most}
    invalid:
      - {raw_range: ["FFFF FFF0", "FFFF FFFF"], state: fault, reason: not-implemented}
vectors:
  - {words: {10: "0000 0007"}, expect: {energy: "7"}}
  - {words: {10: "FFFF FFF8"}, expect: {energy: {state: fault, reason: not-implemented}}}
"""
)
BROKEN_TOTAL = {
    "no totaliser": (
        '    totaliser: {modulus: "1000000", resettable: true, max_rate_from: most}\n',
        "",
        "the key totaliser",
    ),
    "interval without period": ("role: total", "role: interval", "the key period is missing for role interval"),
    "modulus zero": ('"1000000"', '"0"', "totaliser.modulus: must be above 0"),
    "no such parameter": ("max_rate_from: most", "max_rate_from: more", "there is no parameter more"),
    "rate of another kind": ("unit: kW,", "unit: m3/h,", "max_rate_from: m3/h is no rate of kWh"),
    "two rates": ("max_rate_from: most", 'max_rate_from: most, max_rate: "1"', "exactly one is needed of: max_rate"),
    "optional without default": (
        "unit: kW,",
        "unit: kW, required: false,",
        "parameters.most: a parameter not required",
    ),
    "falling raw range": ('"FFFF FFF0", "FFFF FFFF"', '"FFFF FFFF", "FFFF FFF0"', "invalid.0: raw_range must be"),
    "falling value range": (
        'raw_range: ["FFFF FFF0", "FFFF FFFF"]',
        'value_range: ["9", "8"]',
        "invalid.0: value_range must rise",
    ),
    "valid sentinel": ("state: fault, reason", "state: valid, reason", "an invalid value cannot be valid"),
    "longer than a request": ("max_registers: 2", "max_registers: 1", "longer than max_registers"),
    "scaled text": ("type: uint32", 'type: string, length: 2, scale: "2"', "text takes no scale"),
    "scaled enumeration": ("type: uint32", 'type: uint32, scale: "2", enum: {1: a}', "an enumeration is an unscaled"),
    "default order for one width": ("points:", "defaults: {order: GHEFCDAB}\npoints:", "defaults.order: "),
    "bits of a register": ('words: {10: "0000 0007"}', "bits: {energy: 1}", "this is no point of one bit"),
    "end outside": ("address: 10", "address: 65535", "the point ends outside the address range"),
    "bit of a number": ("type: uint32", "type: uint32, bit: 3", "allowed with type bit only"),
}


@pytest.mark.parametrize("case", sorted(BROKEN_TOTAL))
def test_broken_total_is_refused_with_its_place(case: str) -> None:
    old, new, wanted = BROKEN_TOTAL[case]
    load_text(TOTAL, "good.yaml")
    if "type: uint32" in old and "," in new:
        new = new.replace(", ", "\n    ")
    assert old in TOTAL
    found = faults_of(TOTAL.replace(old, new, 1))
    assert any(wanted in fault for fault in found), found


def test_all_faults_are_told_at_once() -> None:
    assert len(faults_of(MODBUS.replace("vendor: test\n", "").replace("unit: kW", "unit: kw"))) == 2


def test_messages_speak_chinese_too() -> None:
    with pytest.raises(ProfileError) as caught:
        load_text(MODBUS.replace("unit: kW", "unit: kw"), "meter.yaml")
    assert "是否指 kW" in caught.value.faults[0].text("zh")


@pytest.mark.parametrize("text", ["", "[]", "42", "\x00", "- a\n---\n- b", "{" * 3000, "a: " + "[" * 3000])
@pytest.mark.no_cover
def test_hostile_files_are_refused_not_crashed(text: str) -> None:
    with pytest.raises(ProfileError):
        load_text(text, "meter.yaml")


def test_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "meter.yaml"
    path.write_bytes(b"profile: \xff\n")
    with pytest.raises(ProfileError, match="not UTF-8"):
        load(path)


@pytest.mark.parametrize(
    ("written", "base", "table", "wanted"),
    [
        (0, "wire0", None, (Table.HOLDING, 0)),
        (1, "number1", Table.INPUT, (Table.INPUT, 0)),
        (40001, "plc5", None, (Table.HOLDING, 0)),
        (30005, "plc5", None, (Table.INPUT, 4)),
        (10003, "plc5", None, (Table.DISCRETE, 2)),
        (7, "plc5", None, (Table.COIL, 6)),
        (400001, "plc6", None, (Table.HOLDING, 0)),
        (465536, "plc6", None, (Table.HOLDING, 65535)),
        (300001, "plc6", Table.INPUT, (Table.INPUT, 0)),
    ],
)
def test_addresses_in_every_base(written: int, base: str, table: Table | None, wanted: tuple[Table, int]) -> None:
    assert wire_address(written, base, table) == wanted


@pytest.mark.parametrize(
    ("written", "base", "table"),
    [
        (0, "number1", None),
        (65536, "wire0", None),
        (50001, "plc5", None),
        (40000, "plc5", None),
        (40001, "plc5", Table.INPUT),
    ],
)
def test_impossible_addresses_are_refused(written: int, base: str, table: Table | None) -> None:
    with pytest.raises(ValueError):
        wire_address(written, base, table)


def test_base_can_be_overridden_for_one_point() -> None:
    text = MODBUS.replace(
        "unit: kW}", "unit: kW}\n  other: {address: 40021, base: plc5, type: uint16, role: rate, unit: kW}"
    )
    assert load_text(text, "").points["other"].address == 20


def test_largest_rate_comes_from_the_commissioning_parameter() -> None:
    for name in ("eastron-sdm630", "schneider-iem3000"):
        rule = shipped()[name].totaliser_rule("energy_import", {"max_power_kw": Decimal(1500)})
        assert rule is not None
        assert rule.max_rate == Decimal(1500)
        assert rule.modulus is None
    with pytest.raises(KeyError, match="max_power_kw"):
        shipped()["eastron-sdm630"].totaliser_rule("energy_import")
    assert shipped()["eastron-sdm630"].totaliser_rule("power") is None


@pytest.mark.parametrize(
    ("rate", "of", "wanted"),
    [
        ("kW", "Wh", "1000"),
        ("kW", "MWh", "0.001"),
        ("W", "kWh", "0.001"),
        ("m3/s", "m3", "3600"),
        ("t/h", "kg", "1000"),
        ("kg/s", "t", "3.6"),
    ],
)
def test_rates_convert_to_amounts_per_hour(rate: str, of: str, wanted: str) -> None:
    assert device_profiles.rate_per_hour(Decimal(1), rate, of) == Decimal(wanted)
    assert device_profiles.rate_per_hour(Decimal(1), rate, "s") is None


MQTT = (
    HEAD
    + """\
points:
  volume:
    pointer: /v
    type: number
    role: rate
    unit: Nm3/h
mqtt:
  topic: "a/{device}/b"
  format: json
  time: {pointer: /t, format: unix_s}
  dedup: [time]
  retained: ignore
vectors:
  - {payload: '{"t":1,"v":2}', expect: {volume: "2"}, time: "1970-01-01T00:00:01Z"}
"""
)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("a/{device}/b", "a/+/b", "the topic holds {device} at most once and no wildcard"),
        ("format: unix_s", "format: local", "zone is needed with local"),
        ("format: unix_s", "format: local, zone: Asia/Shanghai1", "there is no time zone"),
        ("dedup: [time]", "dedup: [sequence]", "sequence is used and not described"),
        ("pointer: /v", "pointer: v", "is not written as"),
        ("format: json", "format: xml", "is not one of: json sparkplug"),
        ("points:", "address_base: wire0\npoints:", "address_base: this key is not allowed here"),
        ("00:00:01Z", "00:00:02Z", "vectors.0.time: came out as 1970-01-01T00:00:01Z"),
        ('{"t":1,', '{"t":"x",', "cannot be decoded: time"),
    ],
)
def test_broken_message_profile_is_refused(old: str, new: str, wanted: str) -> None:
    load_text(MQTT, "good.yaml")
    assert any(wanted in fault for fault in faults_of(MQTT.replace(old, new, 1))), faults_of(MQTT.replace(old, new, 1))


@given(at=st.integers(0, len(MODBUS)), cut=st.integers(0, 12), put=st.text(max_size=12))
def test_any_change_to_a_file_loads_or_is_refused(at: int, cut: int, put: str) -> None:
    text = MODBUS[:at] + put + MODBUS[at + cut :]
    with contextlib.suppress(ProfileError):
        load_text(text, "meter.yaml")
