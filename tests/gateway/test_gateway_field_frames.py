"""Two RTU frames recorded in the field: sent and taken byte for byte, check sums included."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest
from odd_device import Asked, OddDevice

from device_profiles import Table, decode, shipped
from device_profiles.hj212.crc import modbus_crc
from gateway.frame import Framing, Heard, Request, Strange, listen, registers, require_read
from gateway.line import LineAddress, Manners
from gateway.modbus import ModbusLine

REQUEST = bytes.fromhex("0A 03 00 00 00 04 45 72")
ANSWER = bytes.fromhex("0A 03 08 00 00 04 11 00 00 06 35 8E C3")
"""Of an MC51-Y flow integrator: unit 10, registers 0 to 3, flow 10.41 and pressure 1.589."""
ASKED = Request(10, 3, 0, 4)


def recorded(device: OddDevice, asked: Asked) -> Sequence[bytes | float | None]:
    return [ANSWER]


def in_single_bytes(device: OddDevice, asked: Asked) -> Sequence[bytes | float | None]:
    return [ANSWER[at : at + 1] for at in range(len(ANSWER))]


@pytest.mark.parametrize("frame", [REQUEST, ANSWER])
def test_check_sums_of_the_field_are_ours(frame: bytes) -> None:
    assert modbus_crc(frame[:-2]).to_bytes(2, "big") == frame[-2:]


def test_recorded_request_is_one_that_may_leave() -> None:
    require_read(REQUEST, Framing.RTU)


def test_recorded_answer_is_taken_and_nothing_of_it_is_left() -> None:
    heard = listen(ANSWER, ASKED, Framing.RTU, 0)
    assert heard == Heard(len(ANSWER), ANSWER[1:-2])
    assert heard.data is not None
    assert registers(heard.data) == (0, 0x0411, 0, 0x0635)


@pytest.mark.parametrize("at", range(len(ANSWER)))
def test_recorded_answer_with_one_bit_turned_is_never_taken(at: int) -> None:
    damaged = bytearray(ANSWER)
    damaged[at] ^= 0x04
    heard = listen(bytes(damaged), ASKED, Framing.RTU, 0)
    assert heard.data is None
    assert heard.strange in (None, Strange.CHECKSUM)


@pytest.mark.parametrize("length", range(len(ANSWER)))
def test_recorded_answer_that_is_not_all_there_is_waited_for(length: int) -> None:
    assert listen(ANSWER[:length], ASKED, Framing.RTU, 0) == Heard()


@pytest.mark.parametrize("act", [recorded, in_single_bytes])
async def test_frames_of_the_field_pass_the_line_byte_for_byte_and_decode_as_the_device_showed(
    act: object,
) -> None:
    async with OddDevice("rtu", [act]) as device:  # type: ignore[list-item]
        line = ModbusLine(LineAddress("rtu-over-tcp", "127.0.0.1", device.port), timeout_s=2)
        try:
            words = await line.unit(10, Manners(timeout_s=2)).read("holding", 0, 4)
        finally:
            line.close()
        assert [asked.frame for asked in device.asked] == [REQUEST]
    integrator = shipped()["mc51-y"].configured({"flow_unit": "t/h", "pressure_unit": "MPa"})
    read = decode(integrator, {(Table.HOLDING, at): word for at, word in enumerate(words)}, ["flow", "pressure"])
    assert {name: one.value for name, one in read.items()} == {"flow": Decimal("10.41"), "pressure": Decimal("1.589")}
