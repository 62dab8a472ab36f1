"""Message families: Shelly, ThingsBoard style, ChirpStack, Tasmota, and what they do with odd messages."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from device_profiles import PayloadError, decode_messages, decode_payload, encode_payload, shipped, topic_for

SHELLY = shipped()["shelly-gen2-em"]
BOARD = shipped()["thingsboard-telemetry"]
PULSE = shipped()["chirpstack-pulse"].configured({"pulse_volume": Decimal("0.1")})
TOPIC = "v1/devices/me/telemetry"


def board(message: object) -> list[tuple[bool, dict[str, Decimal | str | None]]]:
    said = decode_messages(BOARD, "m1", TOPIC, json.dumps(message).encode())
    return [(one.dated, {name: value.value for name, value in one.values.items()}) for one in said.readings]


def test_shelly_messages_of_other_methods_are_passed_over() -> None:
    for method in ("NotifyEvent", None, 3):
        message = {"src": "a", "method": method, "params": {"ts": 1772324100.0, "em:0": {"total_act_power": 1}}}
        assert decode_messages(SHELLY, "a", "a/events/rpc", json.dumps(message).encode()).readings == ()


def test_shelly_says_nothing_of_what_did_not_change() -> None:
    message = {"method": "NotifyStatus", "params": {"ts": 1772324100.5, "em:0": {"total_act_power": 812.5}}}
    (said,) = decode_messages(SHELLY, "a", "a/events/rpc", json.dumps(message).encode()).readings
    assert set(said.values) == {"power"}
    assert said.device_time == datetime(2026, 3, 1, 0, 15, 0, 500_000, tzinfo=UTC)


def test_telemetry_comes_alone_wrapped_or_as_a_list() -> None:
    assert board({"power_kw": 5}) == [(False, {"power": Decimal(5)})]
    assert board({"ts": 1772324100000, "values": {"power_kw": 5}}) == [(True, {"power": Decimal(5)})]
    listed = [{"ts": 1, "values": {"power_kw": 5}}, {"power_kw": 6}, {"ts": 2, "values": {}}]
    assert board(listed) == [(True, {"power": Decimal(5)}), (False, {"power": Decimal(6)})]


@pytest.mark.parametrize("message", [[1], [[]], [{"power_kw": 5}, None], "x", 5, None])
def test_telemetry_that_is_no_object_is_poison(message: object) -> None:
    with pytest.raises(PayloadError):
        board(message)


def test_telemetry_without_a_time_says_so() -> None:
    said = decode_payload(BOARD, TOPIC, b'{"power_kw": 5}')
    assert (said.device_time, said.values["power"].reason, said.values["power"].flag) == (None, "time-received", "N")


def test_a_list_is_no_message_for_a_profile_that_has_none() -> None:
    with pytest.raises(PayloadError):
        decode_payload(SHELLY, "a/events/rpc", b"[]")


@pytest.mark.parametrize("data", [None, 5, "", "####", base64.b64encode(b"\0\0").decode()])
def test_bytes_that_are_not_there_are_no_communication(data: object) -> None:
    message = {"time": "2026-03-01T00:15:00Z", "fCnt": 1, "data": data}
    topic = topic_for(PULSE, "0101010101010101")
    said = decode_payload(PULSE, topic, json.dumps(message).encode())
    assert (said.values["volume"].value, said.values["volume"].reason) == (None, "missing")


def test_bytes_in_a_message_come_back() -> None:
    values = {
        "volume": Decimal("12345.6"),
        "battery": Decimal(97),
        "temperature": Decimal("-12.5"),
        "tamper": Decimal(0),
    }
    payload = encode_payload(PULSE, values, time=datetime(2026, 3, 1, tzinfo=UTC), sequence=5)
    said = decode_payload(PULSE, topic_for(PULSE, "01"), payload)
    assert {name: said.values[name].value for name in values} == values
    assert said.sequence == 5


def test_topic_that_names_no_device_fits_only_itself() -> None:
    assert topic_for(BOARD, "anything") == TOPIC
    with pytest.raises(PayloadError):
        decode_payload(BOARD, "v1/devices/you/telemetry", b"{}")
