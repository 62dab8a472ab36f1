"""Reading real sockets: every failure becomes a marked reading, and nothing but reads ever leaves."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from conftest import Plant

import device_profiles
from accounting.month import compose
from cunzheng.simulator.dials import Dials, Values
from cunzheng.simulator.mill import demo_mill, electricity_values
from cunzheng.simulator.modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from evidence.encoding import jcs, strict_json
from evidence.reading import Flag
from gateway.chain import own_statements
from gateway.clock import SteppedClock
from gateway.errors import DeviceBusyError, DeviceConfigurationError, DeviceError, DeviceGoneError, MisuseError
from gateway.frame import WriteRefusedError
from gateway.modbus import ModbusEndpoint
from gateway.poller import Poller
from gateway.probe import probe_device
from gateway.reading_store import insert_readings
from gateway.settings import PollSettings

METER = device_profiles.shipped()["schneider-iem3000"]
SITE = """
[[device]]
id = "em1"
profile = "schneider-iem3000"
host = "127.0.0.1"
port = {port}
unit = 3
serial = "3155-0042"
poll_s = 900
parameters = {{ max_power_kw = "2000" }}

[[channel]]
id = "ELEC.TOTAL"
device = "em1"
point = "energy_import"
param = "electricity"
subject = "enterprise"

[[channel]]
id = "ELEC.POWER"
device = "em1"
point = "power"
"""
PLAN = {
    "v": 1,
    "plant": "P-0001",
    "name": {"zh": "钢厂", "en": "Mill"},
    "zone": "Asia/Seoul",
    "region": "420100",
    "sector": "steel",
    "parameters": "cn-steel-2024",
    "subjects": [{"id": "enterprise", "kind": "enterprise", "name": {"zh": "全厂", "en": "Enterprise"}}],
    "items": [
        {
            "id": "electricity",
            "name": {"zh": "外购电力", "en": "Purchased electricity"},
            "role": "electricity",
            "material": "electricity",
            "subjects": ["enterprise"],
            "source": {"channel": "ELEC.TOTAL"},
            "unit": "MWh",
        }
    ],
}


class Meter:
    """One simulated meter on a real port, and the endpoint that reads it."""

    def __init__(self) -> None:
        self.dials = Dials()
        self.values: Values = {"energy_import": Decimal("126239.474"), "power": Decimal("12.5")}
        self.device = ModbusDeviceSimulator(METER, 3, lambda now: self.values, self.dials)
        self.server = ModbusSimulatorServer([self.device])
        self.endpoint: ModbusEndpoint

    async def read_energy(self) -> tuple[int, ...]:
        return await self.endpoint.read("holding", 0x0C83, 4, 3)


@pytest.fixture
async def meter() -> AsyncIterator[Meter]:
    made = Meter()
    async with made.server:
        made.endpoint = ModbusEndpoint("127.0.0.1", made.server.port, timeout_s=0.3)
        yield made
        made.endpoint.close()


def poller(plant: Plant, meter: Meter) -> Poller:
    return Poller(plant.catalogue.modbus[0], meter.endpoint, plant.clock, PollSettings())


async def test_words_come_as_they_are(meter: Meter) -> None:
    assert await meter.read_energy() == (0, 0, 0x0786, 0x42F2)


@pytest.mark.parametrize("code", [1, 2, 3])
async def test_exception_about_the_request_is_a_configuration_error(meter: Meter, code: int) -> None:
    meter.dials.exception = code
    with pytest.raises(DeviceConfigurationError, match=f"exception 0{code}") as refused:
        await meter.read_energy()
    assert refused.value.reason == f"exception-0{code}"


@pytest.mark.parametrize("code", [4, 5, 6, 8, 10, 11])
async def test_exception_about_the_moment_is_worth_another_try(meter: Meter, code: int) -> None:
    meter.dials.exception = code
    with pytest.raises(DeviceBusyError) as busy:
        await meter.read_energy()
    assert busy.value.reason == f"exception-{code:02x}"
    meter.dials.exception = None
    assert len(await meter.read_energy()) == 4


async def test_silence_ends_in_time_and_the_next_read_is_its_own_answer(meter: Meter) -> None:
    meter.dials.delay_s = 0.5
    with pytest.raises(DeviceBusyError) as busy:
        await meter.read_energy()
    assert busy.value.reason == "timeout"
    meter.dials.delay_s = 0.0
    meter.values = {"energy_import": Decimal("1.000"), "power": Decimal(0)}
    assert await meter.read_energy() == (0, 0, 0, 1000)


async def test_closed_connection_is_opened_again(meter: Meter) -> None:
    await meter.read_energy()
    meter.dials.disconnect = True
    with pytest.raises(DeviceBusyError):
        await meter.read_energy()
    meter.dials.disconnect = False
    assert len(await meter.read_energy()) == 4


async def test_missing_device_is_gone() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = ModbusEndpoint("127.0.0.1", port, timeout_s=0.3)
    with pytest.raises(DeviceGoneError, match="cannot connect"):
        await endpoint.read("holding", 0, 1, 1)


async def test_no_request_but_reads_can_leave(meter: Meter) -> None:
    await meter.read_energy()
    wire = meter.endpoint._wire
    assert wire is not None
    assert wire._client is not None
    client, reads = wire._client, meter.device.reads
    writes = (
        lambda: client.write_coil(0, True, device_id=3),
        lambda: client.write_register(0, 1, device_id=3),
        lambda: client.write_coils(0, [True], device_id=3),
        lambda: client.write_registers(0, [1], device_id=3),
        lambda: client.mask_write_register(address=0, device_id=3),
        lambda: client.readwrite_registers(read_count=1, address=0, values=[1], device_id=3),
        lambda: client.diag_restart_communication(True, device_id=3),
        lambda: client.read_fifo_queue(device_id=3),
        lambda: client.write_file_record([], device_id=3),
    )
    for write in writes:
        with pytest.raises(WriteRefusedError, match="is not a read"):
            await write()
    assert await meter.read_energy() == (0, 0, 0x0786, 0x42F2)
    assert (meter.device.refused_requests, meter.device.reads) == (0, reads + 1)
    assert not [name for name in dir(meter.endpoint) if "write" in name]


async def test_device_that_answers_exceptions_gives_marked_readings(
    make_plant: Callable[..., Plant], meter: Meter
) -> None:
    plant = make_plant(SITE.format(port=meter.server.port))
    plant.clock.advance(timedelta(minutes=1))
    polling = poller(plant, meter)
    good = await polling.poll()
    assert {(one.channel, one.value, one.flag, one.raw) for one in good} == {
        ("ELEC.TOTAL", Decimal("126239.474"), Flag.NORMAL, "0000 0000 0786 42F2"),
        ("ELEC.POWER", Decimal("12.5"), Flag.NORMAL, "4148 0000"),
    }
    meter.dials.exception = 6
    marked = await polling.poll()
    assert {(one.channel, one.value, one.flag, one.reason) for one in marked} == {
        ("ELEC.TOTAL", None, Flag.NO_COMMUNICATION, "exception-06"),
        ("ELEC.POWER", None, Flag.NO_COMMUNICATION, "exception-06"),
    }
    arrivals = [plant.pipeline.arrival(reading) for reading in (*good, *marked)]
    plant.writer.call(lambda store: insert_readings(store, arrivals))
    plant.clock.advance(timedelta(hours=2))
    plant.pipeline.seal_due(timedelta(0))
    (segment,) = plant.writer.call(lambda store: own_statements(store, "segment"))
    assert [(entry["id"], entry["n"], entry["valid"]) for entry in segment.payload["ch"]] == [
        ("ELEC.POWER", 2, 1),
        ("ELEC.TOTAL", 2, 1),
    ]


async def test_value_that_is_not_there_keeps_its_reason(make_plant: Callable[..., Plant], meter: Meter) -> None:
    plant = make_plant(SITE.format(port=meter.server.port))
    meter.dials.no_value = frozenset({"power"})
    readings = {one.channel: one for one in await poller(plant, meter).poll()}
    assert (readings["ELEC.POWER"].value, readings["ELEC.POWER"].flag, readings["ELEC.POWER"].reason) == (
        None,
        Flag.FAULT,
        "nan",
    )
    assert readings["ELEC.TOTAL"].is_valid


async def test_silent_device_backs_off_and_comes_back(make_plant: Callable[..., Plant], meter: Meter) -> None:
    plant = make_plant(SITE.format(port=meter.server.port).replace("poll_s = 900", "poll_s = 1"))
    polling = poller(plant, meter)
    await polling.poll()
    meter.dials.silent = True
    pauses = []
    for _ in range(4):
        readings = await polling.poll()
        assert {one.reason for one in readings} == {"timeout"}
        pauses.append(polling.next_pause())
    assert pauses[-1] > pauses[0]
    assert pauses[-1] <= 60 * 1.25
    meter.dials.silent = False
    assert all(one.is_valid for one in await polling.poll())
    assert polling.next_pause() <= 1


async def test_torn_or_impossible_total_is_marked_not_booked(make_plant: Callable[..., Plant], meter: Meter) -> None:
    plant = make_plant(SITE.format(port=meter.server.port))
    polling = poller(plant, meter)
    for energy, minutes in ((1000, 0), (1010, 15), (987654, 30), (1030, 45)):
        meter.values = {"energy_import": Decimal(energy), "power": Decimal(0)}
        plant.clock.set(datetime(2026, 3, 1, 0, minutes, tzinfo=UTC))
        arrivals = [plant.pipeline.arrival(one) for one in await polling.poll()]
        plant.writer.call(lambda store, arrivals=arrivals: insert_readings(store, arrivals))
    plant.clock.advance(timedelta(hours=2))
    plant.pipeline.seal_due(timedelta(0))
    entries = [
        entry
        for one in plant.writer.call(lambda store: own_statements(store, "segment"))
        for entry in one.payload["ch"]
        if entry["id"] == "ELEC.TOTAL"
    ]
    assert sum(Decimal(entry.get("use", "0")) for entry in entries) == 30
    assert sum(entry["n"] - entry["valid"] for entry in entries) == 1


async def test_probe_shows_words_values_and_neighbours(make_plant: Callable[..., Plant], meter: Meter) -> None:
    plant = make_plant(SITE.format(port=meter.server.port))
    rows = await probe_device(plant.catalogue.modbus[0], meter.endpoint, ["energy_import"], neighbours=True)
    assert [(row.offset, row.address) for row in rows] == [(-1, 0x0C82), (0, 0x0C83), (1, 0x0C84)]
    assert (rows[1].words, rows[1].value, rows[1].unit, rows[1].channels) == (
        "0000 0000 0786 42F2",
        "126239.474",
        "kWh",
        ("ELEC.TOTAL",),
    )
    assert rows[0].reason == "exception-02"
    with pytest.raises(MisuseError, match="no point voltage_x"):
        await probe_device(plant.catalogue.modbus[0], meter.endpoint, ["voltage_x"], neighbours=False)


@pytest.mark.no_cover
async def test_january_of_the_mill_read_over_modbus_is_exact(make_plant: Callable[..., Plant], root: Path) -> None:
    zone = ZoneInfo("Asia/Seoul")
    begin = datetime(2018, 1, 1, tzinfo=zone).astimezone(UTC)
    end = datetime(2018, 2, 1, tzinfo=zone).astimezone(UTC)
    clock = SteppedClock(begin)
    mill = demo_mill()
    device = ModbusDeviceSimulator(METER, 3, lambda now: electricity_values(METER, mill, now), clock=clock.now)
    async with ModbusSimulatorServer([device]) as server:
        only_the_total = SITE.format(port=server.port).rpartition("[[channel]]")[0]
        plant = make_plant(only_the_total, zone="Asia/Seoul", now=begin)
        endpoint = ModbusEndpoint("127.0.0.1", server.port, timeout_s=2.0)
        polling = Poller(plant.catalogue.modbus[0], endpoint, plant.clock, PollSettings())
        while clock.now() <= end:
            plant.clock.set(clock.now())
            arrivals = [plant.pipeline.arrival(one) for one in await polling.poll()]
            plant.writer.call(lambda store, arrivals=arrivals: insert_readings(store, arrivals))
            if clock.now().hour == 3 and clock.now().minute == 0:
                await plant.pipeline.seal_due_async(timedelta(0))
            clock.advance(timedelta(minutes=15))
            if device.reads % 100 == 0:
                await asyncio.sleep(0)
        endpoint.close()
    plant.clock.advance(timedelta(hours=1))
    plant.pipeline.seal_due(timedelta(0))
    statements = plant.writer.call(own_statements)
    parameters = (root / "accounting" / "parameters" / "cn-steel-2024.json").read_bytes()
    body = strict_json(
        compose(
            plant="P-0001",
            period="2018-01",
            statements=statements,
            plan=jcs(PLAN),
            parameters=jcs(strict_json(parameters)),
        )
    )
    (item,) = body["items"]
    assert (item["quantity"], item["unit"], item["coverage"]) == ("126.23829", "MWh", "1.0000")
    totals = [entry for entry in body["channels"] if entry["id"] == "ELEC.TOTAL"]
    assert totals[0]["use"] == "126238.290" or Decimal(totals[0]["use"]) == Decimal("126238.29")


async def test_broken_answer_is_a_device_error_and_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(300):
            writer.write(asked[:4] + bytes([0, 4]) + asked[6:8] + bytes([4, 0]))
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    endpoint = ModbusEndpoint("127.0.0.1", server.sockets[0].getsockname()[1], timeout_s=0.5)
    with pytest.raises(DeviceError):
        await endpoint.read("input", 0, 2, 1)
    endpoint.close()
    await ended.wait()
    server.close()
    assert "Traceback" not in caplog.text
