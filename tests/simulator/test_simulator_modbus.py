"""Simulated Modbus devices over real sockets, asked by a pymodbus client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from cunzheng.simulator.dials import Dials, Values
from cunzheng.simulator.mill import demo_mill, electricity_values
from cunzheng.simulator.modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from device_profiles import Decoded, Profile, ReadBlock, Table, decode, decode_block, load_text, shipped

SDM630 = shipped()["eastron-sdm630"]
IEM3000 = shipped()["schneider-iem3000"]
NOW = demo_mill().begin + timedelta(days=30, minutes=7)

BITS = load_text(
    """\
profile: bits
version: 1
vendor: test
model: test
name: {zh: 位, en: bits}
trust: documented
sources: ["here"]
address_base: wire0
points:
  door: {table: coil, address: 3, type: bit, role: state}
  alarm: {table: discrete, address: 17, type: bit, role: state}
  run: {table: holding, address: 5, type: bit, bit: 1, role: state}
  stop: {table: holding, address: 5, type: bit, bit: 9, role: state}
vectors:
  - {words: {holding:5: "0002"}, bits: {door: 1, alarm: 1}, expect: {door: 1, alarm: 1, run: 1, stop: 0}}
""",
    "bits.yaml",
)


def meter(profile: Profile, unit: int = 1, dials: Dials | None = None) -> ModbusDeviceSimulator:
    def values(now: datetime) -> Values:
        return electricity_values(profile, demo_mill(), now)

    return ModbusDeviceSimulator(profile, unit, values, dials, clock=lambda: NOW)


@asynccontextmanager
async def serving(
    *devices: ModbusDeviceSimulator, timeout_s: float = 3
) -> AsyncIterator[tuple[ModbusSimulatorServer, AsyncModbusTcpClient]]:
    async with ModbusSimulatorServer(devices) as server:
        client = AsyncModbusTcpClient(server.host, port=server.port, timeout=timeout_s, retries=0, reconnect_delay=0)
        assert await client.connect()
        try:
            yield server, client
        finally:
            client.close()


async def ask(client: AsyncModbusTcpClient, block: ReadBlock, unit: int = 1) -> ModbusPDU:
    reads = {
        Table.COIL: client.read_coils,
        Table.DISCRETE: client.read_discrete_inputs,
        Table.HOLDING: client.read_holding_registers,
        Table.INPUT: client.read_input_registers,
    }
    return await reads[block.table](block.address, count=block.count, device_id=unit)


async def read_all(client: AsyncModbusTcpClient, profile: Profile, unit: int = 1) -> dict[str, Decoded]:
    words: dict[tuple[Table, int], int] = {}
    for block in profile.plan():
        answer = await ask(client, block, unit)
        assert not answer.isError(), answer
        values = answer.bits[: block.count] if block.table.is_bits else answer.registers
        words.update({(block.table, block.address + at): int(word) for at, word in enumerate(values)})
    return decode(profile, words, profile.points)


async def test_exact_total_survives_the_wire() -> None:
    async with serving(meter(IEM3000)) as (_, client):
        decoded = await read_all(client, IEM3000)
    assert decoded["energy_import"].value == Decimal(demo_mill().energy_wh(NOW)).scaleb(-3)
    assert {one.flag for one in decoded.values()} == {"N"}


async def test_a_month_replayed_over_the_wire_adds_up_to_the_last_digit() -> None:
    mill = demo_mill()
    now = mill.begin
    device = ModbusDeviceSimulator(IEM3000, 1, lambda at: electricity_values(IEM3000, mill, at), clock=lambda: now)
    block = IEM3000.plan(["energy_import"])[0]
    totals: list[Decimal] = []
    async with serving(device) as (_, client):
        while now <= mill.begin + timedelta(days=31):
            answer = await ask(client, block)
            total = decode_block(IEM3000, block, answer.registers)["energy_import"].value
            assert isinstance(total, Decimal)
            totals.append(total)
            now += timedelta(hours=1)
    assert totals == sorted(totals)
    assert totals[-1] - totals[0] == Decimal("126238.29")


async def test_several_units_share_one_listener() -> None:
    devices = meter(IEM3000, 1), meter(SDM630, 2)
    async with serving(*devices) as (_, client):
        exact = (await read_all(client, IEM3000, 1))["energy_import"].value
        coarse = (await read_all(client, SDM630, 2))["energy_import"].value
        missing = await ask(client, SDM630.plan()[0], 3)
    assert isinstance(exact, Decimal)
    assert isinstance(coarse, Decimal)
    assert abs(exact - coarse) < Decimal("0.01")
    assert missing.isError()
    assert missing.exception_code == 0x0B
    assert [device.reads for device in devices] == [4, 3]


async def test_bits_come_from_all_tables() -> None:
    values = {"door": Decimal(1), "alarm": Decimal(0), "run": Decimal(1), "stop": Decimal(1)}
    device = ModbusDeviceSimulator(BITS, 1, lambda now: values)
    async with serving(device) as (_, client):
        decoded = await read_all(client, BITS)
    assert {name: one.value for name, one in decoded.items()} == values


@pytest.mark.parametrize("address", [0x0BD2, 0x0BD5, 0x0C82, 60000])
async def test_address_outside_the_profile_gives_exception_2(address: int) -> None:
    async with serving(meter(IEM3000)) as (_, client):
        answer = await client.read_holding_registers(address, count=2, device_id=1)
    assert answer.isError()
    assert answer.exception_code == 2


async def test_wrong_table_gives_exception_2() -> None:
    async with serving(meter(IEM3000)) as (_, client):
        answer = await client.read_input_registers(0x0C83, count=4, device_id=1)
    assert answer.exception_code == 2


async def test_gap_that_may_be_bridged_answers() -> None:
    block = SDM630.plan(["power", "energy_import"])[0]
    async with serving(meter(SDM630)) as (_, client):
        assert not (await ask(client, block)).isError()


async def test_writes_are_refused_and_counted() -> None:
    device = meter(IEM3000)
    async with serving(device) as (_, client):
        before = (await read_all(client, IEM3000))["energy_import"].value
        answers = [
            await client.write_register(0x0C83, 7, device_id=1),
            await client.write_registers(0x0C83, [7, 7], device_id=1),
            await client.write_coil(1, True, device_id=1),
            await client.write_coils(1, [True, False], device_id=1),
            await client.mask_write_register(address=0x0C83, and_mask=0, or_mask=0, device_id=1),
            await client.readwrite_registers(
                read_address=0x0C83, read_count=1, write_address=0x0C83, values=[1], device_id=1
            ),
            await client.diag_clear_counters(device_id=1),
            await client.write_file_record([], device_id=1),
        ]
        after = (await read_all(client, IEM3000))["energy_import"].value
    assert [answer.exception_code for answer in answers] == [1] * len(answers)
    assert device.refused_requests == len(answers)
    assert before == after


@pytest.mark.parametrize("code", [1, 2, 4, 6, 11])
async def test_exception_dial_answers_with_the_code(code: int) -> None:
    async with serving(meter(IEM3000, dials=Dials(exception=code))) as (_, client):
        answer = await ask(client, IEM3000.plan()[0])
    assert answer.exception_code == code


@pytest.mark.parametrize("dials", [Dials(silent=True), Dials(disconnect=True), Dials(delay_s=5)])
async def test_wire_dials_leave_the_request_without_answer(dials: Dials) -> None:
    device = meter(IEM3000, dials=dials)
    async with serving(device, timeout_s=0.2) as (_, client):
        with pytest.raises((ModbusException, asyncio.CancelledError)):
            await ask(client, IEM3000.plan()[0])
    assert device.reads == 1


async def test_device_comes_back_after_the_dial_is_turned_back() -> None:
    device = meter(IEM3000, dials=Dials(disconnect=True))
    async with serving(device, timeout_s=0.2) as (server, client):
        with pytest.raises((ModbusException, asyncio.CancelledError)):
            await ask(client, IEM3000.plan()[0])
        device.dials.disconnect = False
        again = AsyncModbusTcpClient(server.host, port=server.port, timeout=3)
        assert await again.connect()
        assert (await read_all(again, IEM3000))["power"].is_valid
        again.close()


async def test_no_value_dial_shows_nan_and_the_sentinel() -> None:
    dials = Dials(no_value=frozenset({"power", "energy_import"}))
    async with serving(meter(IEM3000, dials=dials)) as (_, client):
        decoded = await read_all(client, IEM3000)
    assert (decoded["power"].value, decoded["power"].reason) == (None, "nan")
    assert decoded["energy_import"].reason == "not-implemented"
    assert decoded["frequency"].is_valid


class Moving:
    """A meter whose counter is moved by the test."""

    def __init__(self, profile: Profile) -> None:
        self.energy = Decimal("1000.5")
        self.device = ModbusDeviceSimulator(
            profile, 1, lambda now: {"energy_import": self.energy, "power": self.energy}
        )

    def total(self) -> Decimal | str | None:
        profile = self.device.profile
        return decode(profile, self.device.words())["energy_import"].value


def test_stuck_dial_holds_the_values() -> None:
    moving = Moving(IEM3000)
    moving.device.dials.stuck = True
    first = moving.total()
    moving.energy += 1
    assert moving.total() == first
    moving.device.dials.stuck = False
    assert moving.total() == Decimal("1001.5")


def test_reset_starts_the_total_again_from_zero() -> None:
    moving = Moving(IEM3000)
    assert moving.total() == Decimal("1000.5")
    moving.device.dials.reset_totals()
    assert moving.total() == 0
    moving.energy += Decimal("0.25")
    assert moving.total() == Decimal("0.25")


def test_torn_value_is_half_old_half_new() -> None:
    moving = Moving(IEM3000)
    moving.energy = Decimal(4_294_967_295).scaleb(-3)
    moving.total()
    moving.device.dials.torn = True
    moving.energy = Decimal(4_294_967_296).scaleb(-3)
    assert moving.total() == 0


async def test_server_can_stop_and_start_again_on_its_port() -> None:
    server = ModbusSimulatorServer([meter(IEM3000)])
    port = await server.start()
    await server.stop()
    assert await server.start() == port
    await server.stop()


async def test_taken_port_is_an_error() -> None:
    async with ModbusSimulatorServer([meter(IEM3000)]) as server:
        with pytest.raises(OSError, match=str(server.port)):
            await ModbusSimulatorServer([meter(IEM3000)], port=server.port).start()


def test_two_devices_with_one_unit_id_are_refused() -> None:
    with pytest.raises(ValueError, match="unit id"):
        ModbusSimulatorServer([meter(IEM3000), meter(SDM630)])


def test_clock_is_utc_unless_given() -> None:
    seen: list[datetime] = []
    device = ModbusDeviceSimulator(IEM3000, 1, lambda now: seen.append(now) or {})
    device.words()
    assert seen[0].tzinfo is UTC
