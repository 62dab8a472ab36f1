"""Whole profiles: decoding with sentinels, planning requests, encoding back."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles import (
    EncodeError,
    Profile,
    Quality,
    ReadBlock,
    Table,
    decode,
    decode_block,
    encode,
    hex_words,
    load_text,
    shipped,
)
from device_profiles.model import Point, Role, Transport
from device_profiles.planner import plan

SCALE = """\
profile: belt-scale
version: 1
vendor: test
model: test
name: {zh: 皮带秤, en: belt scale}
trust: documented
sources: ["here"]
address_base: plc5
transport: {max_registers: 20, max_gap: 4}
points:
  rate:
    {address: 41010, type: uint32, scale: "0.001", role: rate, unit: t/h, order: CDAB,
     invalid: [{value: "22222", state: fault, reason: sensor-fault},
               {value_range: ["30000", "30016"], state: stopped, reason: off}]}
  total:
    {address: 41016, type: bcd, length: 2, scale: "0.1", role: total, unit: t,
     totaliser: {modulus: "10000000", resettable: true, max_rate: "800"}}
  speed: {address: 41020, type: int16, scale: "0.5", offset: "-2", role: rate, unit: m/s,
     invalid: [{raw: "8000", state: not_measuring, hj212: F, reason: not-implemented}]}
  mode: {address: 41021, type: uint16, role: state, enum: {0: stopped, 1: running}}
  simulation: {address: 41022, type: bit, bit: 3, role: state}
  alarm: {address: 10001, type: bit, role: state}
  serial: {address: 41030, type: string, length: 4, order: BADC, role: identity}
vectors:
  - words: {41010: "E240 0001", 41016: "0012 3456", 41020: "0009", 41021: "0001", 41022: "0008",
            41030: "4D50 3535 3036 0000"}
    bits: {alarm: 1}
    expect: {rate: "123.456", total: "12345.6", speed: "2.5", mode: running, simulation: 1, alarm: 1, serial: PM5560}
  - words: {41010: "56CE 0000", 41020: "8000", 41021: "0007", 41016: "00A0 0000", 41030: "00FF 0000 0000 0000"}
    expect:
      rate: {state: fault, reason: sensor-fault}
      speed: {state: not_measuring, hj212: F, reason: not-implemented}
      mode: {state: uncertain, reason: enum-unknown}
      total: {state: fault, reason: bcd-digit}
      serial: {state: fault, reason: text}
  - words: {41010: "7531 0000"}
    expect: {rate: {state: stopped, hj212: F, reason: "off"}}
"""
BELT = load_text(SCALE, "belt.yaml")


def words(**values: Decimal | str | None) -> dict[tuple[Table, int], int]:
    found = {}
    for name, value in values.items():
        point = BELT.points[name]
        for offset, word in enumerate(encode(BELT, name, value)):
            found[(point.table, point.address + offset)] = word
    return found


def test_missing_half_of_a_total_is_no_communication() -> None:
    half = words(total=Decimal("12345.6"))
    half.popitem()
    decoded = decode(BELT, half)["total"]
    assert (decoded.value, decoded.quality, decoded.flag, decoded.reason) == (
        None,
        Quality.NO_COMMUNICATION,
        "B",
        "missing",
    )


def test_points_without_words_are_left_out_unless_asked_for() -> None:
    assert set(decode(BELT, words(rate=Decimal(1)))) == {"rate"}
    asked = decode(BELT, words(rate=Decimal(1)), ["rate", "speed"])
    assert asked["speed"].flag == "B"
    assert asked["rate"].value == 1


def test_raw_words_are_kept_as_they_came() -> None:
    assert decode(BELT, words(rate=Decimal("123.456")))["rate"].raw_hex == "E240 0001"


def test_infinity_is_a_fault() -> None:
    profile = shipped()["eastron-sdm630"]
    block = ReadBlock(Table.INPUT, 0x48, 2, ("energy_import",))
    for text in ("7F80 0000", "FF80 0000"):
        decoded = decode_block(profile, block, hex_words(text))["energy_import"]
        assert (decoded.value, decoded.reason, decoded.flag) == (None, "infinite", "D")


def test_enumeration_keeps_its_code() -> None:
    decoded = decode(BELT, words(mode="running"))["mode"]
    assert (decoded.value, decoded.number) == ("running", Decimal(1))


@pytest.mark.parametrize(
    ("point", "value"),
    [("mode", "exploded"), ("total", Decimal(-1)), ("serial", "x" * 9), ("simulation", Decimal(2)), ("mode", None)],
)
def test_what_the_device_cannot_show_is_refused(point: str, value: Decimal | str | None) -> None:
    with pytest.raises(EncodeError):
        encode(BELT, point, value)


def test_no_value_comes_back_as_the_profile_s_sentinel() -> None:
    decoded = decode(BELT, words(rate=None, speed=None))
    assert decoded["rate"].reason == "sensor-fault"
    assert decoded["speed"].reason == "not-implemented"
    nan = encode(shipped()["eastron-sdm630"], "power", None)
    assert nan == hex_words("7FC0 0000")


@given(raw=st.integers(0, 20_000_000))
def test_scaled_values_come_back_exactly(raw: int) -> None:
    value = Decimal(raw).scaleb(-3)
    decoded = decode(BELT, words(rate=value))["rate"]
    assert decoded.value == value


@given(wh=st.integers(0, 2**63 - 1))
def test_energy_in_wh_comes_back_to_the_last_digit(wh: int) -> None:
    profile = shipped()["schneider-iem3000"]
    value = Decimal(wh).scaleb(-3)
    block = ReadBlock(Table.HOLDING, 0x0C83, 4, ("energy_import",))
    decoded = decode_block(profile, block, encode(profile, "energy_import", value))["energy_import"]
    assert decoded.value == value
    assert "E" not in str(decoded.value)


@pytest.mark.parametrize("profile", [*shipped().values(), BELT], ids=lambda profile: profile.id)
def test_plan_reads_every_point_once(profile: Profile) -> None:
    blocks = profile.plan()
    named = [name for block in blocks if not block.again for name in block.points]
    wanted = [] if profile.mqtt else sorted(profile.points)
    assert sorted(named) == wanted


def test_plan_of_some_points_reads_only_those() -> None:
    blocks = shipped()["eastron-sdm630"].plan(["energy_import", "power"])
    assert blocks == (ReadBlock(Table.INPUT, 0x34, 22, ("power", "energy_import")),)
    with pytest.raises(KeyError):
        BELT.plan(["nothing"])


@given(
    places=st.lists(
        st.tuples(st.sampled_from(list(Table)), st.integers(0, 300), st.sampled_from([1, 2, 4])), max_size=40
    ),
    most=st.integers(4, 125),
    gap=st.integers(0, 124),
    alone=st.booleans(),
    wall=st.integers(0, 300),
)
def test_plans_cover_points_and_keep_to_limits(
    places: list[tuple[Table, int, int]], most: int, gap: int, alone: bool, wall: int
) -> None:
    points = [
        Point(f"p{at}", {}, Role.RATE, "V", "uint16", table=table, address=address, words=1 if table.is_bits else size)
        for at, (table, address, size) in enumerate(places)
    ]
    covered = {(p.table, p.address + o) for p in points for o in range(p.words)}
    forbidden = (
        () if any((table, wall) in covered for table in Table) else tuple((table, wall, wall) for table in Table)
    )
    transport = Transport(
        max_registers=most, max_bits=most, max_gap=gap, one_point_per_request=alone, forbidden=forbidden
    )
    blocks = plan(points, transport)
    by_id = {point.id: point for point in points}
    assert sorted(name for block in blocks for name in block.points) == sorted(by_id)
    for block in blocks:
        assert 1 <= block.count <= most
        assert not (forbidden and block.address <= wall < block.address + block.count)
        assert not alone or len(block.points) == 1
        reached = block.address
        for name in block.points:
            point = by_id[name]
            assert point.table is block.table
            assert block.address <= point.address
            assert point.address + point.words <= block.address + block.count
            assert point.address - reached <= gap
            reached = max(reached, point.address + point.words)
        assert reached == block.address + block.count
