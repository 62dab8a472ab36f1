"""The gateway's reading against libmodbus, over TCP and over a serial line; a missing library fails these tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from libmodbus_server import BUSY_AT, COUNT, START, UNIT, LibmodbusServer, null_modem

from gateway.catalogue import load_catalogue
from gateway.clock import RealClock
from gateway.errors import DeviceBusyError, DeviceConfigurationError, DeviceGoneError
from gateway.line import LineAddress, Manners
from gateway.modbus import ModbusLine, ModbusUnit
from gateway.poller import lines_of, pollers_of
from gateway.settings import PollSettings

BAUD = 115_200
SLOW = Manners(timeout_s=2)


@pytest.fixture(params=["tcp", "rtu"])
async def unit(request: pytest.FixtureRequest) -> AsyncIterator[ModbusUnit]:
    server = LibmodbusServer()
    if request.param == "tcp":
        with server.tcp() as port:
            line = ModbusLine(LineAddress("tcp", "127.0.0.1", port), timeout_s=3)
            yield line.unit(UNIT, SLOW)
            line.close()
    else:
        with server.rtu(BAUD) as name:
            line = ModbusLine(LineAddress("rtu", name, baud=BAUD, parity="none"), timeout_s=3)
            yield line.unit(UNIT, SLOW)
            line.close()
    assert set(server.requests) <= {1, 2, 3, 4}


async def test_all_four_tables_are_read(unit: ModbusUnit) -> None:
    for first, count in ((START, 1), (START + 3, 17), (START, 125)):
        every = range(first, first + count)
        assert await unit.read("holding", first, count) == tuple(every)
        assert await unit.read("input", first, count) == tuple(0xFFFF - at for at in every)
        assert await unit.read("coil", first, count) == tuple(int(at % 3 == 0) for at in every)
        assert await unit.read("discrete", first, count) == tuple(int(at % 5 == 0) for at in every)
    assert unit.counts.answers == unit.counts.requests == 12
    assert unit.line.connections == 1


@pytest.mark.parametrize("table", ["holding", "input", "coil", "discrete"])
async def test_address_that_is_not_there_is_a_configuration_error(unit: ModbusUnit, table: str) -> None:
    for first, count in ((START - 1, 2), (START + COUNT - 1, 2), (0, 1)):
        with pytest.raises(DeviceConfigurationError, match="exception 02"):
            await unit.read(table, first, count)
    assert len(await unit.read(table, START, 4)) == 4


async def test_busy_device_says_so(unit: ModbusUnit) -> None:
    with pytest.raises(DeviceBusyError) as busy:
        await unit.read("holding", BUSY_AT, 1)
    assert busy.value.reason == "exception-06"
    assert await unit.read("holding", START, 1) == (START,)
    assert unit.counts.exceptions == {6: 1}


async def test_site_with_a_serial_line_is_polled(tmp_path: Path) -> None:
    profile = (
        "profile: rig\nversion: 1\nvendor: Rig\nmodel: Rig\nname: {zh: 测试仪表, en: Rig}\ntrust: documented\n"
        "sources: [test]\naddress_base: wire0\ntransport: {protocols: [rtu], pause_ms: 5}\n"
        "defaults: {table: holding, type: uint16}\npoints:\n"
        "  level: {address: 150, unit: '1', role: rate, name: {zh: 点, en: p}}\n"
        "vectors: [{words: {150: '0000'}, expect: {level: '0'}}]\n"
    )
    (tmp_path / "rig.yaml").write_text(profile, "utf-8")
    with LibmodbusServer().rtu(BAUD) as name:
        (tmp_path / "site.toml").write_text(
            f'[[line]]\nid = "bus"\nserial = "{name}"\nbaud = {BAUD}\nparity = "none"\nstop_bits = 1\n'
            f'[[device]]\nid = "d"\nprofile = "rig.yaml"\nline = "bus"\nunit = {UNIT}\n'
            '[[channel]]\nid = "LEVEL"\ndevice = "d"\npoint = "level"\n',
            "utf-8",
        )
        instruments = load_catalogue(tmp_path / "site.toml").modbus
        lines = lines_of(instruments, 2)
        (poller,) = pollers_of(instruments, lines, RealClock(), PollSettings())
        for _ in range(2):
            (reading,) = await poller.poll()
            assert (reading.channel, reading.value, reading.is_valid) == ("LEVEL", Decimal(150), True)
        for line in lines.values():
            line.close()


async def test_unit_that_is_not_on_the_line_keeps_silent_and_its_neighbour_answers() -> None:
    server = LibmodbusServer()
    with server.rtu(BAUD) as name:
        line = ModbusLine(LineAddress("rtu", name, baud=BAUD, parity="none"), timeout_s=3)
        dead, alive = line.unit(UNIT + 1, Manners(timeout_s=0.1)), line.unit(UNIT, Manners(timeout_s=0.1, retries=3))
        done = await asyncio.gather(
            dead.read("holding", START, 1), alive.read("holding", START, 1), return_exceptions=True
        )
        assert isinstance(done[0], DeviceBusyError)
        assert done[1] == (START,)
        line.close()


async def test_serial_port_that_is_not_there_or_taken_says_what_to_look_at() -> None:
    with null_modem() as (name, _):
        address = LineAddress("rtu", name, baud=BAUD, parity="none")
        first, second = ModbusLine(address, timeout_s=1), ModbusLine(address, timeout_s=1)
        with pytest.raises(DeviceBusyError):
            await first.unit(1, Manners(timeout_s=0.05)).read("holding", 0, 1)
        with pytest.raises(DeviceGoneError, match="that it is free"):
            await second.read("holding", 0, 1, 1)
        first.close()
    missing = ModbusLine(LineAddress("rtu", "/dev/no-such-port", baud=BAUD), timeout_s=1)
    with pytest.raises(DeviceGoneError, match="/dev/no-such-port 115200 8E1: cannot open the port"):
        await missing.read("holding", 0, 1, 1)
