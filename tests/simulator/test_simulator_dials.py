"""Every dial over the real protocol, and what the gateway makes of the fault: flag and reason of its own judge."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from cunzheng.simulator.broker import BrokerHandle, start_broker
from cunzheng.simulator.dials import Values
from cunzheng.simulator.hj212_logger import Hj212LoggerSimulator, LoggerDials
from cunzheng.simulator.modbus_device import Framing, ModbusDeviceSimulator, ModbusSimulatorServer
from cunzheng.simulator.mqtt_device import MqttDeviceSimulator
from cunzheng.simulator.states import healthy_states, states_showing
from device_profiles import Table, decode_payload, shipped
from device_profiles.hj212 import Frame, FrameStream, read_packet
from device_profiles.quality import Quality
from evidence.reading import Flag, Reading
from gateway.assembly import judge_of
from gateway.catalogue import load_catalogue
from gateway.clock import SteppedClock
from gateway.errors import DeviceError
from gateway.judgement import Judge
from gateway.line import LineAddress, Manners
from gateway.modbus import ModbusLine
from gateway.poller import Poller, to_reading
from gateway.settings import PollSettings

NOW = datetime(2026, 3, 1, 0, 15, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WAIT_S = 10.0
MN = "010000A8900016F000169DC0"
GAS = shipped()["plain-json-gas"]
BELT = 'total_unit = "t", rate_unit = "t/h", max_rate_per_h = 800'


# -- a device, the gateway's poller, and its judge -----------------------------------------------------------


@dataclass
class Rig:
    """One simulated device, polled and judged as in a gateway; each poll is a minute after the one before."""

    device: ModbusDeviceSimulator
    poller: Poller
    judge: Judge
    clock: SteppedClock
    values: dict[str, Decimal | str | None] = field(default_factory=dict)

    async def read(self, after: timedelta = MINUTE) -> dict[str, Reading]:
        self.clock.advance(after)
        return {one.channel: self.judge.judged(one) for one in await self.poller.poll()}


class TurningSimulator(ModbusDeviceSimulator):
    """Turns states when it has answered so many reads of a table."""

    turns: tuple[Table, int, dict[str, Decimal]] | None = None
    shown: dict[str, Decimal | str | None] | None = None

    async def read(self, table: Table, address: int, count: int) -> Any:
        answer = await super().read(table, address, count)
        if self.shown is not None and self.turns is not None and self.turns[0] is table:
            left = self.turns[1] - 1
            if left:
                self.turns = (table, left, self.turns[2])
            else:
                self.shown |= self.turns[2]
                self.turns = None
        return answer


@asynccontextmanager
async def rig(folder: Path, profile: str, parameters: str, points: dict[str, str], **values: str) -> AsyncIterator[Rig]:
    """Serve a device that is well, with these channels (point → further keys of the site file)."""
    speaks_tcp = "tcp" in shipped()[profile].transport.protocols
    where = 'host = "127.0.0.1"' if speaks_tcp else 'line = "l1"'
    text = f'[[device]]\nid = "d1"\nprofile = "{profile}"\n{where}\nunit = 3\nparameters = {{{parameters}}}\n'
    text += "" if speaks_tcp else '[[line]]\nid = "l1"\nrtu_over_tcp = "127.0.0.1:502"\n'
    for point, more in points.items():
        text += f'[[channel]]\nid = "{point}"\ndevice = "d1"\npoint = "{point}"\n{more}\n'
    site = folder / "site.toml"
    site.write_text(text, "utf-8")
    catalogue = load_catalogue(site)
    (instrument,) = catalogue.modbus
    shown: dict[str, Decimal | str | None] = {**healthy_states(instrument.profile)}
    shown |= {name: Decimal(value) for name, value in values.items()}
    clock = SteppedClock(NOW)
    device = TurningSimulator(instrument.profile, 3, lambda now: dict(shown), clock=clock.now)
    framing: Framing = "tcp" if speaks_tcp else "rtu"
    async with ModbusSimulatorServer([device], framing=framing) as server:
        kind = "tcp" if speaks_tcp else "rtu-over-tcp"
        line = ModbusLine(LineAddress(kind, "127.0.0.1", server.port), timeout_s=1, with_pauses=False)
        try:
            poller = Poller(instrument, line, clock, PollSettings())
            yield Rig(device, poller, judge_of(catalogue), clock, shown)
        finally:
            line.close()


def said(reading: Reading) -> tuple[Flag, str]:
    return reading.flag, reading.reason


# -- dials of values ----------------------------------------------------------------------------------------


async def test_drift_runs_out_of_the_measuring_range(tmp_path: Path) -> None:
    span = 'range = { low = "0", high = "25" }\nlimits = { high = "100" }'
    async with rig(tmp_path, "sick-marsic300", 'co2_unit = "%"', {"co2": span}, co2="22.4") as stack:
        stack.device.dials.drift = 1.2
        assert (await stack.read())["co2"].flag is Flag.NORMAL
        later = (await stack.read(10 * MINUTE))["co2"]
        assert later.value is not None
        assert abs(later.value - Decimal("26.88")) < Decimal("0.001")
        assert later.flag is Flag.OVER_RANGE
        assert "Q16 above the range of 25" in later.reason
        stack.device.dials.drift = 0
        assert (await stack.read())["co2"].value == Decimal("22.4")


async def test_stuck_value_is_frozen_after_an_hour(tmp_path: Path) -> None:
    async with rig(tmp_path, "sick-marsic300", 'co2_unit = "%"', {"co2": ""}, co2="22.4") as stack:
        stack.device.dials.stuck = True
        await stack.read()
        stack.values["co2"] = Decimal("21")
        frozen = (await stack.read(61 * MINUTE))["co2"]
        assert frozen.value == Decimal("22.4")
        assert "Q18 the same value for 61 min" in frozen.reason


@pytest.mark.parametrize("order", ["words", "bytes", "both"])
async def test_words_in_another_order_are_no_step_of_a_counter(tmp_path: Path, order: Any) -> None:
    async with rig(tmp_path, "siemens-bw500", BELT, {"total_1": ""}, total_1="70000.001", device_id="2") as belt:
        assert said((await belt.read())["total_1"]) == (Flag.NORMAL, "")
        belt.device.dials.word_order = order
        wrong = (await belt.read())["total_1"]
        assert wrong.value != Decimal("70000.001")
        assert wrong.flag is not Flag.NORMAL
        belt.device.dials.word_order = ""
        assert said((await belt.read())["total_1"])[0] is Flag.NORMAL


async def test_total_that_rolls_over_at_its_modulus_is_counted_on(tmp_path: Path) -> None:
    async with rig(tmp_path, "siemens-pac", "max_power_kw = 2000", {"energy_import": ""}, energy_import="5") as pac:
        pac.values["energy_import"] = Decimal(500)
        pac.device.dials.rollover = Decimal(3)
        assert (await pac.read())["energy_import"].value == Decimal(999_999_997)
        pac.values["energy_import"] = Decimal(507)
        rolled = (await pac.read())["energy_import"]
        assert (rolled.value, rolled.flag) == (Decimal(4), Flag.NORMAL)
        assert "Q31 rollover" in rolled.reason


async def test_total_that_is_reset_is_said_to_be(tmp_path: Path) -> None:
    points = {"energy_import": ""}
    async with rig(tmp_path, "schneider-iem3000", "max_power_kw = 2000", points, energy_import="5000") as meter:
        await meter.read()
        meter.device.dials.reset = True
        meter.values["energy_import"] = Decimal(5001)
        back = (await meter.read())["energy_import"]
        assert back.value == 0
        assert "Q31 reset" in back.reason
        meter.values["energy_import"] = Decimal(5002)
        assert said((await meter.read())["energy_import"]) == (Flag.NORMAL, "")


@pytest.mark.parametrize(
    ("state", "shows", "value", "flag", "reason"),
    [
        ("calibration", "zero", "0", Flag.CALIBRATION, "calibration"),
        ("calibration", "held", "22.4", Flag.CALIBRATION, "calibration"),
        ("held", "held", "22.4", Flag.MAINTENANCE, "hold"),
        ("maintenance", "live", "21.5", Flag.MAINTENANCE, "maintenance"),
        ("fault", "live", "21.5", Flag.FAULT, "sensor-fault"),
        ("not_measuring", "zero", None, Flag.FAULT, "not-measuring"),
    ],
)
async def test_state_of_an_analyser_marks_the_value_it_shows_meanwhile(
    tmp_path: Path, state: str, shows: Any, value: str | None, flag: Flag, reason: str
) -> None:
    async with rig(tmp_path, "sick-marsic300", 'co2_unit = "%"', {"co2": ""}, co2="22.4") as stack:
        assert said((await stack.read())["co2"]) == (Flag.NORMAL, "")
        stack.device.dials.state, stack.device.dials.shows = state, shows
        await stack.read()
        stack.values["co2"] = Decimal("21.5")
        co2 = (await stack.read())["co2"]
        assert co2.value == (None if value is None else Decimal(value))
        assert said(co2) == (flag, reason)
        stack.device.dials.state, stack.device.dials.shows = "", "live"
        assert (await stack.read())["co2"].value == Decimal("21.5")


def test_every_profile_has_a_state_in_which_it_is_well() -> None:
    for profile in shipped().values():
        given = {name: one.choices[0] for name, one in profile.parameters.items() if one.is_choice}
        healthy_states(profile.configured(given))
    assert states_showing(GAS, Quality.MAINTENANCE) == {"status": "maintenance"}
    with pytest.raises(ValueError, match="no state that says calibration"):
        states_showing(shipped()["eastron-sdm630"], Quality.CALIBRATION)


@pytest.mark.parametrize(
    ("offset_s", "reason"),
    [(0.0, ""), (-400.0, "Q05 device behind or late by 400 s"), (3600.0, "Q05 device ahead by 3600 s")],
)
async def test_clock_point_shows_the_devices_own_clock(tmp_path: Path, offset_s: float, reason: str) -> None:
    async with rig(tmp_path, "siemens-bw500", BELT, {"clock": ""}, device_id="2") as belt:
        belt.device.dials.clock_offset_s = offset_s
        clock = (await belt.read())["clock"]
        assert clock.value is not None
        assert float(clock.value) - belt.clock.now().timestamp() == offset_s
        assert said(clock) == (Flag.NORMAL, reason)
        assert clock.time == belt.clock.now()


# -- states turned between two requests of one poll -----------------------------------------------------------


@pytest.mark.parametrize(
    ("turns", "was", "flag", "reason"),
    [
        (None, "0", Flag.NORMAL, ""),
        ((Table.DISCRETE, 1, {"check_running": Decimal(1)}), "0", Flag.CALIBRATION, "calibration"),
        ((Table.INPUT, 1, {"check_running": Decimal(1)}), "0", Flag.CALIBRATION, "calibration"),
        ((Table.INPUT, 1, {"check_running": Decimal(0)}), "1", Flag.CALIBRATION, "calibration"),
        ((Table.INPUT, 1, {"live": Decimal(0)}), "0", Flag.MAINTENANCE, "hold"),
    ],
    ids=["steady", "began before the value", "began after the value", "ended after the value", "held after the value"],
)
async def test_state_that_turns_around_a_value_is_seen(
    tmp_path: Path, turns: tuple[Table, int, dict[str, Decimal]] | None, was: str, flag: Flag, reason: str
) -> None:
    async with rig(tmp_path, "sick-marsic300", 'co2_unit = "%"', {"co2": ""}, co2="22.5", check_running=was) as stack:
        device = stack.device
        assert isinstance(device, TurningSimulator)
        device.turns, device.shown = turns, stack.values
        one = (await stack.read())["co2"]
        assert (one.value, *said(one)) == (Decimal("22.5"), flag, reason)
        assert device.turns is None
        after = turns[2] if turns else {}
        steady = stack.values["check_running"] == 0 and "live" not in after
        assert ((await stack.read())["co2"].flag is Flag.NORMAL) == steady


# -- dials of the wire --------------------------------------------------------------------------------------


async def test_late_answer_of_one_unit_is_not_relabelled_as_another_units() -> None:
    """On a line shared by two units, what comes late is still the first one's answer."""
    profile = shipped()["eastron-sdm630"]
    devices = [
        ModbusDeviceSimulator(profile, unit, lambda now, unit=unit: {"power": Decimal(unit)})  # type: ignore[misc]
        for unit in (1, 2)
    ]
    devices[0].dials.delay_s = 0.2
    (block,) = profile.plan(["power"])
    async with ModbusSimulatorServer(devices, framing="rtu") as server:
        reader, writer = await asyncio.open_connection(server.host, server.port)
        for unit in (1, 2):
            writer.write(rtu(bytes([unit, 4]) + block.address.to_bytes(2, "big") + block.count.to_bytes(2, "big")))
            await writer.drain()
            await asyncio.sleep(0.02)
        answers = [await asyncio.wait_for(reader.readexactly(5 + 2 * block.count), WAIT_S) for _ in devices]
        writer.close()
        await writer.wait_closed()
    assert [answer[0] for answer in answers] == [2, 1]


def rtu(body: bytes) -> bytes:
    from device_profiles.hj212.crc import modbus_crc

    return body + modbus_crc(body).to_bytes(2, "big")


async def test_missing_unit_is_silent_on_an_rtu_line() -> None:
    async with ModbusSimulatorServer([], framing="rtu") as server:
        line = ModbusLine(LineAddress("rtu-over-tcp", "127.0.0.1", server.port), timeout_s=0.1)
        with pytest.raises(DeviceError) as silence:
            await line.unit(7, Manners(timeout_s=0.1)).read("input", 0, 2)
        line.close()
    assert silence.value.reason == "timeout"


# -- MQTT ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerHandle]:
    with start_broker(tmp_path_factory.mktemp("broker"), kind="mosquitto") as handle:
        yield handle


class GasRig:
    """A gas meter that publishes to a broker, a subscriber, and the gateway's judge of its channels."""

    def __init__(self, broker: BrokerHandle, folder: Path) -> None:
        site = folder / "site.toml"
        site.write_text(
            '[[mqtt]]\nid = "gas1"\nprofile = "plain-json-gas"\nparameters = { max_flow_nm3h = "5000" }\n'
            '[[channel]]\nid = "volume"\ndevice = "gas1"\npoint = "volume"\n'
            '[[channel]]\nid = "flow"\ndevice = "gas1"\npoint = "flow"\n',
            "utf-8",
        )
        self.judge = judge_of(load_catalogue(site))
        self.now, self.volume = NOW, Decimal(1000)
        self.device = MqttDeviceSimulator(
            GAS, "gas1", host=broker.host, port=broker.port, client_id="sim", values=self._values, clock=self._clock
        )
        self.came: queue.Queue[paho.MQTTMessage] = queue.Queue()
        ready: queue.Queue[bool] = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="ear")
        self.client.on_message = lambda client, data, message: self.came.put(message)
        self.client.on_connect = lambda client, *rest: client.subscribe("plant/+/gas", qos=1)
        self.client.on_subscribe = lambda *rest: ready.put(True)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        ready.get(timeout=WAIT_S)
        self.device.connect()

    def _clock(self) -> datetime:
        return self.now

    def _values(self, now: datetime) -> Values:
        return {"volume": self.volume, "flow": Decimal("812.5"), "status": "ok"}

    def read(self, *, publish: bool = True) -> dict[str, Reading]:
        """Publish after a minute, and judge what arrives."""
        if publish:
            self.now += MINUTE
            self.device.publish()
        message = self.came.get(timeout=WAIT_S)
        decoded = decode_payload(GAS, message.topic, message.payload, retained=message.retain)
        time = decoded.device_time or self.now
        return {
            name: self.judge.judged(to_reading(name, one, time, self.now, device_time=decoded.device_time_text or ""))
            for name, one in decoded.values.items()
            if name in self.judge.channels
        }

    def close(self) -> None:
        self.device.close()
        self.client.disconnect()
        self.client.loop_stop()
        self.client.on_message = self.client.on_connect = self.client.on_subscribe = None


@pytest.fixture
def gas(broker: BrokerHandle, tmp_path: Path) -> Iterator[GasRig]:
    made = GasRig(broker, tmp_path)
    yield made
    made.close()


def test_message_states_mark_its_values(gas: GasRig) -> None:
    gas.device.dials.state, gas.device.dials.shows = "maintenance", "zero"
    readings = gas.read()
    assert said(readings["flow"]) == (Flag.MAINTENANCE, "maintenance")
    assert readings["flow"].value == 0
    assert readings["volume"].value == 1000


@pytest.mark.parametrize(
    ("offset_s", "flag", "reason"),
    [(600, Flag.FAULT, "Q03 time lies in the future"), (-90, Flag.NORMAL, "Q05 device behind or late by 90 s")],
)
def test_clock_of_a_publishing_device_is_judged(gas: GasRig, offset_s: float, flag: Flag, reason: str) -> None:
    gas.device.dials.clock_offset_s = offset_s
    volume = gas.read()["volume"]
    assert volume.time == gas.now + timedelta(seconds=offset_s)
    assert volume.flag is flag
    assert reason in volume.reason


def test_counter_in_messages_rolls_over_and_is_reset(gas: GasRig) -> None:
    gas.device.dials.rollover = Decimal("0.5")
    assert gas.read()["volume"].value == Decimal("99999999.5")
    gas.volume += 2
    assert "Q31 rollover" in gas.read()["volume"].reason
    gas.volume += 60
    gas.read()
    gas.device.dials.reset = True
    reset = gas.read()["volume"]
    assert (reset.value, "Q31 reset" in reset.reason) == (0, True)


def test_late_messages_come_in_order_with_the_time_they_were_made(gas: GasRig) -> None:
    gas.device.dials.delay_s = 0.05
    made = []
    for _ in range(2):
        gas.now += 2 * MINUTE
        made.append(gas.now)
        gas.device.publish()
    gas.now += 4 * MINUTE
    assert gas.device.sent == 0
    gas.device.dials.delay_s = 0
    gas.device.send_late(all_of_them=True)
    readings = [gas.read(publish=False)["volume"] for _ in made]
    assert [one.time for one in readings] == made
    assert ["behind or late" in one.reason for one in readings] == [True, True]


def test_device_that_loses_its_link_delivers_when_it_is_back(gas: GasRig) -> None:
    gas.device.dials.disconnect = True
    gas.now += MINUTE
    gas.device.publish()
    gas.device.dials.disconnect = False
    gas.device.flush()
    assert gas.read(publish=False)["volume"].value == 1000


def test_silent_device_publishes_nothing_and_leaves_a_gap(gas: GasRig) -> None:
    gas.read()
    gas.device.dials.silent = True
    for _ in range(5):
        gas.now += MINUTE
        gas.device.publish()
    assert gas.device.sent == 1
    gas.device.dials.silent = False
    assert "Q06 gap of 360 s" in gas.read()["volume"].reason


# -- data loggers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dials", "value", "flag", "ahead_s"),
    [
        (LoggerDials(), "12.5", "N", 0),
        (LoggerDials(clock_offset_s=600), "12.5", "N", 600),
        (LoggerDials(zero=True, flag="C"), "0", "C", 0),
        (LoggerDials(stuck=True), "12.5", "N", 0),
        (LoggerDials(drift=1), "25.0000", "N", 0),
    ],
)
async def test_frames_of_a_logger_say_what_its_dials_say(
    dials: LoggerDials, value: str, flag: str, ahead_s: int
) -> None:
    stream, frames = FrameStream(), []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            frames.extend(read_packet(one) for one in stream.feed(data) if isinstance(one, Frame))
        writer.close()

    now, shown = NOW, "12.5"
    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    dials.no_answer = True
    logger = Hj212LoggerSimulator(
        MN,
        host="127.0.0.1",
        port=server.sockets[0].getsockname()[1],
        values=lambda at: {"a05001-Rtd": shown},
        dials=dials,
        clock=lambda: now,
    )
    await logger.connect()
    await logger.send()
    now, shown = NOW + timedelta(hours=1), "12.5" if dials.drift or not dials.stuck else "13"
    await logger.send()
    async with asyncio.timeout(WAIT_S):
        while len(frames) < 2:
            await asyncio.sleep(0.01)
    await logger.close()
    server.close()
    items = dict(pair for group in frames[1].items for pair in group)
    local = datetime.strptime(items["DataTime"] + "+0800", "%Y%m%d%H%M%S%z")
    assert local - now == timedelta(seconds=ahead_s)
    assert (items["a05001-Rtd"], items["a05001-Flag"]) == (value, flag)
