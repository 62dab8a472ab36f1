"""JSON messages: times, sequence, quality, retained messages, and poison."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles import (
    PayloadError,
    Quality,
    decode_payload,
    device_of,
    encode_payload,
    load_text,
    shipped,
    topic_for,
)
from device_profiles.encoder import time_value
from device_profiles.payload import read_time

GAS = shipped()["plain-json-gas"]
TOPIC = "plant/gas1/gas"
GOOD = {"time": "2026-03-01T08:15:00+08:00", "seq": 17, "volume_nm3": 123456.789, "flow_nm3h": 812.5, "status": "ok"}


def message(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def test_good_message_gives_exact_values() -> None:
    readings = decode_payload(GAS, TOPIC, message())
    assert readings.values["volume"].value == Decimal("123456.789")
    assert readings.values["volume"].raw_hex == "123456.789"
    assert readings.device_time == datetime(2026, 3, 1, 0, 15, tzinfo=UTC)
    assert readings.device_time_text == "2026-03-01T08:15:00+08:00"
    assert (readings.sequence, readings.dedup) == (17, "2026-03-01T08:15:00+08:00|17")
    assert readings.values["flow"].flag == "N"


def test_retained_message_is_last_known_not_new() -> None:
    readings = decode_payload(GAS, TOPIC, message(), retained=True)
    assert readings.retained
    assert {decoded.flag for decoded in readings.values.values()} == {"M"}
    assert readings.values["volume"].quality is Quality.HELD


@pytest.mark.parametrize(
    ("changes", "reason", "flag"),
    [
        ({"flow_nm3h": None}, "null", "D"),
        ({"flow_nm3h": "812.5"}, "type", "D"),
        ({"flow_nm3h": True}, "type", "D"),
        ({"flow_nm3h": [1]}, "type", "D"),
        ({"flow_nm3h": "\ud800"}, "type", "D"),
        ({"status": "fault"}, "sensor-fault", "D"),
        ({"status": "surprise"}, "device-quality", "D"),
        ({"status": 3}, "device-quality", "D"),
    ],
)
def test_bad_point_is_marked_not_dropped(changes: dict[str, object], reason: str, flag: str) -> None:
    decoded = decode_payload(GAS, TOPIC, message(**changes)).values["flow"]
    assert (decoded.reason, decoded.flag) == (reason, flag)


def test_missing_point_is_no_communication() -> None:
    body = {key: value for key, value in GOOD.items() if key != "flow_nm3h"}
    decoded = decode_payload(GAS, TOPIC, json.dumps(body).encode()).values["flow"]
    assert (decoded.value, decoded.reason, decoded.flag) == (None, "missing", "B")


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "not-json"),
        (b"\xff", "not-utf8"),
        (b"[1]", "not-object"),
        (b"[" * 2000, "not-json"),
        (b'{"a":' * 600, "not-json"),
        (b'{"seq": NaN}', "not-json"),
        (b'{"seq":1,"seq":2}', "not-json"),
        (b'{"seq": 1' + b"0" * 60 + b"}", "not-json"),
        (b'{"seq": 1e999999999}', "not-json"),
        (b"{" + b" " * 5000 + b"}", "too-large"),
        (b"{}", "time-missing"),
        (message(time=None), "time-missing"),
        (message(time="2026-03-01T08:15:00"), "time"),
        (message(time="2026-13-01T08:15:00Z"), "time"),
        (message(time=12), "time"),
        (message(time=["x"]), "time"),
        (message(seq=None), "sequence"),
        (message(seq=1.5), "sequence"),
        (message(seq=-1), "sequence"),
    ],
)
def test_poison_is_refused_with_a_code(payload: bytes, code: str) -> None:
    with pytest.raises(PayloadError) as caught:
        decode_payload(GAS, TOPIC, payload)
    assert caught.value.code == code


@given(st.binary(max_size=200))
def test_any_bytes_are_readings_or_a_payload_error(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        decode_payload(GAS, TOPIC, payload)


@given(
    st.dictionaries(
        st.sampled_from(list(GOOD)), st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.integers())
    )
)
def test_any_members_are_readings_or_a_payload_error(changes: dict[str, object]) -> None:
    try:
        readings = decode_payload(GAS, TOPIC, message(**changes))
    except PayloadError:
        return
    assert set(readings.values) == set(GAS.points)


@pytest.mark.parametrize("topic", ["plant/gas1/power", "plant//gas", "plant/a/b/gas", "gas", "plant/gas"])
def test_foreign_topic_is_refused(topic: str) -> None:
    with pytest.raises(PayloadError, match="topic"):
        decode_payload(GAS, topic, message())


def test_device_name_goes_into_the_topic_and_out_again() -> None:
    assert device_of(GAS, topic_for(GAS, "gas1")) == "gas1"
    for name in ("", "a/b", "+", "#"):
        with pytest.raises(PayloadError):
            topic_for(GAS, name)


@pytest.mark.parametrize(
    ("text", "form", "zone", "wanted"),
    [
        ("1772323200", "unix_s", "", "2026-03-01T00:00:00+00:00"),
        ("1772323200.25", "unix_s", "", "2026-03-01T00:00:00.250000+00:00"),
        ("1772323200250", "unix_ms", "", "2026-03-01T00:00:00.250000+00:00"),
        ("2026-03-01T08:00:00", "local", "Asia/Shanghai", "2026-03-01T00:00:00+00:00"),
        ("2026-03-01 08:00:00.5", "local", "Asia/Shanghai", "2026-03-01T00:00:00.500000+00:00"),
        ("2026-03-01T00:00:00.123456789Z", "rfc3339", "", "2026-03-01T00:00:00.123456+00:00"),
        ("2026-03-01t08:00:00+08:00", "rfc3339", "", "2026-03-01T00:00:00+00:00"),
    ],
)
def test_device_times_are_read(text: str, form: str, zone: str, wanted: str) -> None:
    assert read_time(text, form, zone).isoformat() == wanted


@pytest.mark.parametrize(
    ("text", "form", "zone"),
    [
        ("yesterday", "unix_s", ""),
        ("1e30", "unix_s", ""),
        ("2026-03-01", "rfc3339", ""),
        ("2026-03-01T08:00:00Z", "local", "Asia/Shanghai"),
        ("2026-03-29T02:30:00", "local", "Europe/Berlin"),
    ],
)
def test_impossible_times_are_refused(text: str, form: str, zone: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        read_time(text, form, zone)


@given(
    ms=st.integers(0, 4_000_000_000_000),
    form=st.sampled_from(["rfc3339", "unix_ms", "local"]),
)
def test_times_survive_every_format(ms: int, form: str) -> None:
    time = datetime(1992, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    zone = "Asia/Shanghai" if form == "local" else ""
    assert read_time(str(time_value(time, form, zone)), form, zone) == time


@given(volume=st.integers(0, 10**11), flow=st.integers(0, 10**7), sequence=st.integers(0, 10**9))
def test_messages_survive_encoding(volume: int, flow: int, sequence: int) -> None:
    values: dict[str, Decimal | str | None] = {
        "volume": Decimal(volume).scaleb(-3),
        "flow": Decimal(flow).scaleb(-2),
        "status": "ok",
    }
    time = datetime(2026, 3, 1, tzinfo=UTC)
    readings = decode_payload(GAS, TOPIC, encode_payload(GAS, values, time=time, sequence=sequence))
    assert {name: decoded.value for name, decoded in readings.values.items()} == values
    assert (readings.device_time, readings.sequence) == (time, sequence)


NESTED = """\
profile: nested
version: 1
vendor: test
model: test
name: {zh: 嵌套, en: nested}
trust: documented
sources: ["here"]
points:
  energy: {pointer: "/ENERGY/Total", type: text_number, scale: "0.1", role: rate, unit: kW}
  door: {pointer: "/in/1", type: bool, role: state}
mqtt:
  topic: "tele/{device}/SENSOR"
  format: json
  time: {pointer: /Time, format: local, zone: Asia/Shanghai}
  dedup: [hash]
  retained: ignore
  partial: true
vectors:
  - payload: '{"Time":"2026-03-01T08:00:00","ENERGY":{"Total":"12"},"in":[false,true]}'
    time: "2026-03-01T00:00:00Z"
    expect: {energy: "1.2", door: "1"}
"""


def test_partial_message_leaves_unchanged_points_out() -> None:
    profile = load_text(NESTED, "nested.yaml")
    readings = decode_payload(profile, "tele/a/SENSOR", b'{"Time":"2026-03-01T08:00:00","in":[false,false]}')
    assert set(readings.values) == {"door"}
    assert len(readings.dedup) == 64
    assert readings.sequence is None


def test_ignored_retained_message_has_no_values() -> None:
    profile = load_text(NESTED, "nested.yaml")
    readings = decode_payload(
        profile, "tele/a/SENSOR", b'{"Time":"2026-03-01T08:00:00","in":[false,false]}', retained=True
    )
    assert readings.retained
    assert not readings.values


def test_half_a_character_in_a_text_is_no_text() -> None:
    decoded = decode_payload(GAS, TOPIC, message(status="\ud800")).values["status"]
    assert (decoded.value, decoded.reason) == (None, "type")
    decoded.raw_hex.encode("utf-8")
