"""Simulated devices that need more than one register to be understood, read by the gateway's own poller and intake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from cunzheng.simulator.dials import Dials, Values
from cunzheng.simulator.edge_node import EdgeNode
from cunzheng.simulator.modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from device_profiles import Memory, Table, decode_messages, shipped
from evidence.reading import Flag, Reading
from gateway.catalogue import load_catalogue
from gateway.clock import SteppedClock
from gateway.errors import MisuseError
from gateway.modbus import ModbusEndpoint
from gateway.poller import Poller
from gateway.probe import probe_device
from gateway.settings import PollSettings

NOW = datetime(2026, 3, 1, 0, 15, tzinfo=UTC)


@dataclass
class Rig:
    """One simulated device and the poller that reads it."""

    device: ModbusDeviceSimulator
    poller: Poller
    endpoint: ModbusEndpoint
    values: dict[str, Decimal | str | None] = field(default_factory=dict)

    async def read(self) -> dict[str, Reading]:
        return {one.channel: one for one in await self.poller.poll()}


@asynccontextmanager
async def rig(folder: Path, profile: str, parameters: str, points: tuple[str, ...]) -> AsyncIterator[Rig]:
    # A device without Modbus TCP stands behind a gateway that translates.
    speaks_tcp = "tcp" in shipped()[profile].transport.protocols
    where = 'host = "127.0.0.1"' if speaks_tcp else 'line = "l1"'
    text = f'[[device]]\nid = "d1"\nprofile = "{profile}"\n{where}\nunit = 3\nparameters = {{{parameters}}}\n'
    text += "" if speaks_tcp else '[[line]]\nid = "l1"\ntcp_gateway = "127.0.0.1:502"\n'
    text += "".join(f'[[channel]]\nid = "{point}"\ndevice = "d1"\npoint = "{point}"\n' for point in points)
    site = folder / "site.toml"
    site.write_text(text, "utf-8")
    (instrument,) = load_catalogue(site).modbus
    values: dict[str, Decimal | str | None] = {}
    device = ModbusDeviceSimulator(instrument.profile, 3, _shown(values), Dials())
    async with ModbusSimulatorServer([device]) as server:
        endpoint = ModbusEndpoint("127.0.0.1", server.port, timeout_s=1)
        try:
            yield Rig(device, Poller(instrument, endpoint, SteppedClock(NOW), PollSettings()), endpoint, values)
        finally:
            endpoint.close()


def _shown(values: Values) -> Callable[[datetime], Values]:
    return lambda now: values


BELT = 'total_unit = "t", rate_unit = "t/h", max_rate_per_h = 800'
PROMASS = 'total_unit = "t", flow_unit = "t/h", max_rate_per_h = 300'


async def test_word_order_changed_at_the_device_changes_nothing_in_the_readings(tmp_path: Path) -> None:
    async with rig(tmp_path, "siemens-bw500", BELT, ("rate", "total_1")) as belt:
        belt.values.update(running=Decimal(1), rate=Decimal("123.456"), total_1=Decimal("3000000.5"))
        for word_order in ("high-first", "low-first"):
            belt.values["word_order"] = word_order
            readings = await belt.read()
            assert {name: one.value for name, one in readings.items()} == {
                "rate": Decimal("123.456"),
                "total_1": Decimal("3000000.5"),
            }
            assert readings["total_1"].unit == "t"


async def test_calibration_of_a_belt_scale_marks_its_total(tmp_path: Path) -> None:
    async with rig(tmp_path, "siemens-bw500", BELT, ("total_1",)) as belt:
        belt.values.update(running=Decimal(1), spanning=Decimal(1), total_1=Decimal(7))
        assert (await belt.read())["total_1"].flag is Flag.CALIBRATION
        belt.values["spanning"] = Decimal(0)
        assert (await belt.read())["total_1"].flag is Flag.NORMAL


async def test_state_that_changes_during_a_poll_marks_the_value(tmp_path: Path) -> None:
    async with rig(tmp_path, "sick-marsic300", 'co2_unit = "%"', ("co2",)) as stack:
        stack.values.update(co2=Decimal("22.4"), live=Decimal(1))
        assert (await stack.read())["co2"].flag is Flag.NORMAL
        reads = stack.device.reads

        def held_after_the_values(now: datetime) -> Values:
            # the first request of a poll asks for the states, the second for the values, the last for the states again
            return {**stack.values, "live": Decimal(int(stack.device.reads - reads < 3))}

        stack.device._values = held_after_the_values
        held = (await stack.read())["co2"]
        assert (held.flag, held.reason, held.value) == (Flag.MAINTENANCE, "hold", Decimal("22.4"))


async def test_total_and_overflow_come_from_one_request(tmp_path: Path) -> None:
    async with rig(tmp_path, "endress-promass", PROMASS, ("total_1",)) as meter:
        meter.values.update(byte_order="1-0-3-2", total_1=Decimal(1234567))
        assert (await meter.read())["total_1"].value == 1234567
        assert [(block.address, block.count) for block in meter.poller.instrument.profile.plan(["total_1"])] == [
            (2609, 4),
            (4914, 1),
        ]
        meter.values["total_1"] = None
        nan = (await meter.read())["total_1"]
        assert (nan.value, nan.flag, nan.reason) == (None, Flag.FAULT, "sensor-fault")


async def test_counter_without_its_resolution_is_no_number(tmp_path: Path) -> None:
    parameters = 'standard_unit = "Sm3", standard_flow_unit = "Sm3/h", max_flow_m3h = 160, max_standard_per_h = 1000'
    async with rig(tmp_path, "sick-flowsic500", parameters, ("volume_working", "volume_working_error")) as gas:
        gas.values.update(
            resolution_vm=Decimal(-2), volume_working=Decimal("123456.78"), volume_working_error=Decimal("2.5")
        )
        values = [one.value for one in (await gas.read()).values()]
        assert values == [Decimal("2.5"), Decimal("123456.78")]  # an error counter comes before its total
        gas.device._readable = frozenset(at for at in gas.device._readable if at != (Table.HOLDING, 4100))
        readings = await gas.read()
        assert {(one.value, one.flag, one.reason) for one in readings.values()} == {(None, Flag.FAULT, "scale-missing")}
        gas.device.dials.exception = 6
        assert {one.flag for one in (await gas.read()).values()} == {Flag.NO_COMMUNICATION}


async def test_two_tariffs_are_one_total(tmp_path: Path) -> None:
    points = ("energy_import", "energy_import_t1")
    async with rig(tmp_path, "siemens-pac", "max_power_kw = 2000", points) as meter:
        meter.values.update(energy_import_t1=Decimal(30), energy_import_t2=Decimal("12.5"))
        assert [one.value for one in (await meter.read()).values()] == [Decimal("42.5"), 30]


async def test_probe_shows_a_composite_with_all_its_registers(tmp_path: Path) -> None:
    async with rig(tmp_path, "endress-promass", PROMASS, ("total_1",)) as meter:
        meter.values.update(byte_order="3-2-1-0", total_1=Decimal(5))
        (row,) = await probe_device(meter.poller.instrument, meter.endpoint, ["total_1"], neighbours=True)
        assert (row.value, row.unit, row.quality) == ("5", "t", "valid")
        assert len(row.words.split()) == 4


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ('rate_unit = "t/h", max_rate_per_h = 800', "parameter total_unit of siemens-bw500 is missing"),
        ('total_unit = "lb", rate_unit = "t/h", max_rate_per_h = 800', "'lb' is not one of: t, kg"),
        ('total_unit = "t", rate_unit = "t/h", max_rate_per_h = -1', "outside"),
    ],
)
async def test_parameter_of_the_site_that_does_not_fit_is_misuse(tmp_path: Path, parameters: str, says: str) -> None:
    with pytest.raises(MisuseError, match=says):
        async with rig(tmp_path, "siemens-bw500", parameters, ("total_1",)):
            pass


def test_edge_node_says_births_then_data_by_alias() -> None:
    meter = shipped()["sparkplug-b-meter"]
    node = EdgeNode(meter, "steel/edge1/meter1")
    state: Memory | None = None
    got: list[Decimal | str | None] = []
    notes: list[str] = []
    for step in range(4):
        node.skip = int(step == 2)
        for topic, payload in node.messages({"energy_import": Decimal(100 + step)}, NOW):
            said = decode_messages(meter, "steel/edge1/meter1", topic, payload, state=state)
            state = said.state
            notes += said.notes
            got += [one.values["energy_import"].value for one in said.readings]
    assert got == [100, 101, 102, 103]
    assert notes == ["sequence 3 expected, 4 came"]
    topic, payload = node.death(NOW)
    (death,) = decode_messages(meter, "steel/edge1/meter1", topic, payload, state=state).readings
    assert death.values["energy_import"].flag == "B"
