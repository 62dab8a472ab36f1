"""Sparkplug B: births, aliases, sequence, deaths, quality, and bytes that are none of it."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles import Memory, PayloadError, Said, decode_messages, filters_of, listens, shipped
from device_profiles.protobuf import ProtobufError, bytes_field, double_field, fields, varint_field
from device_profiles.sparkplug import birth_of_node, death_of_node, metrics_of
from device_profiles.sparkplug_payload import Metric, SparkplugPayload, read_payload, write_payload

METER = shipped()["sparkplug-b-meter"]
NAME = "steel/edge1/meter1"
T = 1_772_324_100_000
VALUES = {"energy_import": Decimal("123456.789"), "power": Decimal("812.5"), "maintenance": Decimal(0)}


def topic(kind: str, device: str = "meter1") -> str:
    return f"spBv1.0/steel/{kind}/edge1" + (f"/{device}" if kind.startswith("D") else "")


def say(kind: str, payload: bytes, state: Memory | None = None, device: str = "meter1") -> Said:
    return decode_messages(METER, NAME, topic(kind, device), payload, state=state)


def data(seq: int, time: int = T, **values: Decimal) -> bytes:
    return metrics_of(METER, values, time, seq, birth=False)


@pytest.fixture
def born() -> Memory:
    node = say("NBIRTH", birth_of_node(3, T))
    device = say("DBIRTH", metrics_of(METER, VALUES, T, 1, birth=True), node.state)
    assert device.state is not None
    return device.state


def test_birth_carries_values_and_names_aliases(born: Memory) -> None:
    assert (born.born, born.bd_seq, born.seq) == (True, 3, 1)
    assert born.aliases[1] == ("meter1", "Energy/Import")
    said = say("DDATA", data(2, T + 1500, energy_import=Decimal("123457.25")), born)
    (one,) = said.readings
    assert one.values["energy_import"].value == Decimal("123457.25")
    assert one.device_time == datetime(2026, 3, 1, 0, 15, 1, 500_000, tzinfo=UTC)
    assert (one.sequence, one.dedup, said.notes) == (2, f"{T + 1500}|2", ())


def test_sequence_wraps_after_255(born: Memory) -> None:
    said = say("DDATA", data(256, power=Decimal(1)), replace(born, seq=255))
    assert said.notes == ()
    assert said.state is not None
    assert said.state.seq == 0
    assert said.readings[0].values["power"].is_valid


def test_after_a_lost_message_values_by_alias_are_uncertain_until_a_birth(born: Memory) -> None:
    lost = say("DDATA", data(5, power=Decimal(1)), born)
    assert lost.notes == ("sequence 2 expected, 5 came",)
    assert lost.readings[0].values["power"].reason == "stale"
    after = say("DDATA", data(6, power=Decimal(2)), lost.state)
    assert after.notes == ()
    assert after.readings[0].values["power"].flag == "D"
    again = say("DBIRTH", metrics_of(METER, VALUES, T, 7, birth=True), after.state)
    assert again.readings[0].values["power"].is_valid
    node = say("NBIRTH", birth_of_node(3, T), again.state)
    device = say("DBIRTH", metrics_of(METER, VALUES, T, 1, birth=True), node.state)
    assert say("DDATA", data(2, power=Decimal(2)), device.state).readings[0].values["power"].is_valid


def test_data_before_a_birth_is_poison(born: Memory) -> None:
    with pytest.raises(PayloadError) as caught:
        say("DDATA", data(2, power=Decimal(1)))
    assert caught.value.code == "not-born"


def test_messages_of_other_devices_keep_the_sequence(born: Memory) -> None:
    other = say("DDATA", data(2, power=Decimal(1)), born, device="meter2")
    assert other.readings == ()
    assert say("DDATA", data(3, power=Decimal(1)), other.state).notes == ()


def test_aliases_of_another_device_are_not_taken_for_ours(born: Memory) -> None:
    theirs = write_payload(SparkplugPayload(T, 2, (Metric("Power/Active", 77, T, 10, Decimal(5)),)))
    other = say("DBIRTH", theirs, born, device="meter2")
    ours = write_payload(SparkplugPayload(T, 3, (Metric("", 77, T, 10, Decimal(5)),)))
    with pytest.raises(PayloadError):
        say("DDATA", ours, other.state)


def test_death_of_the_node_marks_every_point_and_ends_its_aliases(born: Memory) -> None:
    said = say("NDEATH", death_of_node(3, T), born)
    (one,) = said.readings
    assert {decoded.flag for decoded in one.values.values()} == {"B"}
    assert set(one.values) == set(METER.points)
    assert one.device_time is None
    with pytest.raises(PayloadError):
        say("DDATA", data(2, power=Decimal(1)), said.state)


def test_late_death_of_an_earlier_session_is_passed_over(born: Memory) -> None:
    said = say("NDEATH", death_of_node(2, T), born)
    assert said.readings == ()
    assert said.state == born


def test_death_of_the_device_marks_its_points(born: Memory) -> None:
    said = say("DDEATH", write_payload(SparkplugPayload(T, 2, ())), born)
    assert said.readings[0].values["power"].reason == "device-offline"


def test_backfill_is_apart_from_what_is_new(born: Memory) -> None:
    old = Metric("Power/Active", 2, T - 3_600_000, 10, Decimal(700), is_historical=True)
    new = Metric("Power/Active", 2, T, 10, Decimal(800))
    said = say("DDATA", write_payload(SparkplugPayload(T, 2, (new, old))), born)
    assert [(one.backfill, one.values["power"].value) for one in said.readings] == [(True, 700), (False, 800)]


def test_state_of_an_earlier_message_still_speaks(born: Memory) -> None:
    on = say("DDATA", data(2, maintenance=Decimal(1)), born)
    said = say("DDATA", data(3, energy_import=Decimal(5)), on.state)
    assert said.readings[0].values["energy_import"].flag == "M"
    off = say("DDATA", data(4, maintenance=Decimal(0)), said.state)
    assert say("DDATA", data(5, energy_import=Decimal(5)), off.state).readings[0].values["energy_import"].flag == "N"


def test_filters_cover_the_edge_node_and_nothing_else() -> None:
    filters = filters_of(METER, NAME)
    assert "spBv1.0/steel/NBIRTH/edge1" in filters
    assert "spBv1.0/steel/DDATA/edge1/+" in filters
    assert not any("CMD" in one for one in filters)
    assert listens(METER, NAME, topic("DDATA", "meter2"))
    assert not listens(METER, NAME, "spBv1.0/steel/DDATA/edge2/meter1")
    assert not listens(METER, NAME, "spBv1.0/steel/NCMD/edge1")
    for name in ("", "steel", "steel//meter1", "steel/+/meter1", "a/b/c/d"):
        with pytest.raises(PayloadError):
            filters_of(METER, name)


def test_bytes_written_by_hand_are_read() -> None:
    metric = "0A0161" + "1005" + "1801" + "2003" + "50FFFFFFFF0F"  # name a, alias 5, time 1, Int32, -1 in 32 bits
    raw = bytes.fromhex("08A08D06" + f"12{len(metric) // 2:02X}" + metric + "1807")
    read = read_payload(raw)
    assert (read.timestamp, read.seq) == (100_000, 7)
    assert read.metrics == (Metric("a", 5, 1, 3, Decimal(-1)),)


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        (1, Decimal(-128)),
        (2, Decimal(-32768)),
        (3, Decimal(-1)),
        (4, Decimal(-(2**63))),
        (5, Decimal(255)),
        (6, Decimal(65535)),
        (7, Decimal(2**32 - 1)),
        (8, Decimal(2**64 - 1)),
        (9, Decimal("123.456")),
        (10, Decimal("987654321.25")),
        (11, True),
        (12, "钢"),
    ],
)
def test_every_data_type_comes_back(datatype: int, value: Decimal | bool | str) -> None:
    metric = Metric("m", 9, T, datatype, value, quality=192)
    assert read_payload(write_payload(SparkplugPayload(T, 255, (metric,)))).metrics == (metric,)


@given(st.binary(max_size=120))
def test_any_bytes_are_a_payload_or_a_payload_error(raw: bytes) -> None:
    with contextlib.suppress(PayloadError):
        say("DDATA", raw)


@given(st.binary(max_size=60), st.integers(0, 2**64 - 1), st.floats(allow_nan=False))
def test_fields_come_back(content: bytes, whole: int, number: float) -> None:
    written = varint_field(1, whole) + bytes_field(15, content) + double_field(13, number)
    read = list(fields(written))
    assert read[:2] == [(1, whole), (15, content)]
    for cut in range(1, 9):
        with pytest.raises(ProtobufError):
            list(fields(written[:-cut]))
