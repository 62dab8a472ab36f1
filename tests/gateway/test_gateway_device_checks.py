"""Checks of what stands behind the readings, over real sockets: Q01 frames, Q05 clock, Q34 identity, Q31 in fault."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import Plant
from odd_device import Asked, OddDevice, good, wrapped

import device_profiles
from accounting.gap_words import gap_text
from cunzheng.simulator.modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from evidence.encoding import time_text
from evidence.marks import Mark, MarkKind
from evidence.reading import Flag, Reading
from gateway.chain import own_statements
from gateway.clock import Doubt
from gateway.damaged_frames import KEPT_AN_HOUR, LONGEST, DamagedFrames
from gateway.device_register import DeviceRegister
from gateway.device_store import devices_told
from gateway.device_watch import DeviceWatch, problems_of
from gateway.intake import MqttIntake
from gateway.mqtt import Incoming
from gateway.poller import lines_of, pollers_of
from gateway.quality_store import counts_by_rule
from gateway.segment_notes import errors_of
from gateway.settings import PollSettings

GAS = device_profiles.shipped()["sick-flowsic500"]
SITE = """
{rule}
[[device]]
id = "gas"
profile = "{profile}"
host = "127.0.0.1"
port = {port}
poll_s = 60
[device.parameters]
standard_unit = "Nm3"
standard_flow_unit = "Nm3/h"
max_flow_m3h = "160"
max_standard_per_h = "1000"

[[channel]]
id = "GAS.VM"
device = "gas"
point = "volume_working"
subject = "enterprise"

[[channel]]
id = "GAS.ERR"
device = "gas"
point = "volume_working_error"
subject = "enterprise"
"""
RULE = """
[[rule]]
id = "Q05"
limit = "warn_s"
value = "120"
reason = "the meter is set by hand twice a year"
"""
TEXTS = """
profile: texts
version: 1
vendor: Rig
model: Rig
name: {zh: 测试仪表, en: Rig}
trust: documented
sources: [test]
address_base: wire0
transport: {protocols: [tcp, rtu-over-tcp], max_gap: 0, timeout_ms: 200, retries: 1}
parameters:
  standard_unit: {name: {zh: 一, en: a}, enum: [Nm3, Sm3]}
  standard_flow_unit: {name: {zh: 二, en: b}, enum: [Nm3/h, Sm3/h]}
  max_flow_m3h: {name: {zh: 三, en: c}, unit: m3/h}
  max_standard_per_h: {name: {zh: 四, en: d}, unit: "1"}
points:
  serial: {address: 10, type: string, length: 4, role: identity, name: {zh: 序列号, en: Serial}}
  restarts: {address: 20, type: uint16, role: identity, watched: false, name: {zh: 重启, en: Restarts}}
  volume_working:
    {address: 0, type: uint32, order: ABCD, role: total, unit: m3, name: {zh: 体积, en: Volume},
    totaliser: {modulus: none, resettable: false, backstep: "1", max_rate_from: max_flow_m3h}}
  volume_working_error:
    {address: 2, type: uint32, order: ABCD, role: total, unit: m3, name: {zh: 体积, en: Volume},
    totaliser: {modulus: none, resettable: false, backstep: "1", max_rate_from: max_flow_m3h}}
vectors:
  - words: {0: "0000 0005", 10: "4142 4344 4546 4700", 20: "0001"}
    expect: {volume_working: "5", serial: ABCDEFG, restarts: "1"}
"""


class Meter:
    """One simulated device, and the plant that polls it; `off` is how far its clock is ahead."""

    def __init__(self, plant: Plant, profile: str) -> None:
        self.plant, self.off = plant, timedelta(0)
        self.values: dict[str, Any] = {"volume_working": Decimal(100), "volume_working_error": Decimal(3)}
        self.device = ModbusDeviceSimulator(self._profile(profile), 1, lambda _: self._shown())
        self.server = ModbusSimulatorServer([self.device])

    def _profile(self, name: str) -> device_profiles.Profile:
        return device_profiles.load(self.plant.folder / name) if name.endswith(".yaml") else GAS

    def _shown(self) -> dict[str, Any]:
        clock = {"clock": f"{self.plant.clock.now() + self.off:%Y-%m-%dT%H:%M:%SZ}"}
        scale = {"resolution_vm": Decimal(0), "resolution_vb": Decimal(0), "serial_number": Decimal(17012345)}
        return {**(clock | scale if self.device.profile is GAS else {}), **self.values}

    def connect(self) -> None:
        """Make the poller anew, as after a start."""
        modbus = self.plant.catalogue.modbus
        self.lines = lines_of(modbus, 2)
        register = DeviceRegister(self.plant.pipeline)
        (self.poller,) = pollers_of(modbus, self.lines, self.plant.clock, PollSettings(), register.note)

    async def poll(self, minutes: float = 1) -> dict[str, Reading]:
        self.plant.clock.advance(timedelta(minutes=minutes))
        arrivals = [self.plant.pipeline.arrival(one) for one in await self.poller.poll()]
        await self.plant.pipeline.store(arrivals)
        return {one.reading.channel: one.reading for one in arrivals}


@asynccontextmanager
async def metered(
    make_plant: Callable[..., Plant], folder: Path, *, profile: str = "sick-flowsic500", rule: str = ""
) -> AsyncIterator[Meter]:
    if profile.endswith(".yaml"):
        (folder / profile).write_text(TEXTS, "utf-8")
    plant = make_plant(SITE.format(profile=profile, port=1, rule=rule))
    meter = Meter(plant, profile)
    async with meter.server:
        plant.writer.close()
        fresh = make_plant(SITE.format(profile=profile, port=meter.server.port, rule=rule))
        plant.__dict__.update(fresh.__dict__)
        meter.connect()
        try:
            yield meter
        finally:
            for line in meter.lines.values():
                line.close()


def events(plant: Plant, kind: str, record: str = "") -> list[dict[str, Any]]:
    found = plant.writer.call(lambda store: own_statements(store, "event"))
    data = [dict(one.payload["data"]) for one in found if one.payload["type"] == kind]
    return [one for one in data if one.get("record", "") == record]


def said(readings: Iterable[Reading]) -> set[str]:
    return {one.reason for one in readings}


# -- Q05 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("off_s", "rule", "reason", "errors"),
    [
        (0, "", "", []),
        (59, "", "", []),
        (90, "", "Q05 device ahead by 90 s", []),
        (-90, "", "Q05 device behind or late by 90 s", []),
        (301, "", "Q05 device ahead by 301 s", ["Q05"]),
        (90, RULE, "", []),
        (150, RULE, "Q05 device ahead by 150 s", []),
    ],
)
async def test_clock_of_a_polled_device_is_compared_and_never_corrected(
    make_plant: Callable[..., Plant], tmp_path: Path, off_s: int, rule: str, reason: str, errors: list[str]
) -> None:
    async with metered(make_plant, tmp_path, rule=rule) as meter:
        meter.off = timedelta(seconds=off_s)
        first = await meter.poll()
        assert said(first.values()) == {reason}
        total, now = first["GAS.VM"], meter.plant.clock.now()
        assert (total.time, total.value, total.flag) == (now, Decimal(100), Flag.NORMAL)
        assert total.device_time == time_text(now + meter.off)
        assert errors_of(total.reason, meter.plant.pipeline.judge.rules) == errors
        (told,) = meter.plant.writer.call(devices_told)
        assert Decimal(told["clock"]["offset_s"]) == off_s
        assert any(key.endswith("-clock") for key in problems_of(meter.poller.report())) == (abs(off_s) > 60)
        assert said((await meter.poll()).values()) == {""}  # it is asked once an hour
        assert said((await meter.poll(60)).values()) == {f"Q06 gap of 3600 s; {reason}".rstrip("; ")}


async def test_nothing_is_held_against_a_device_while_the_gateways_own_clock_is_in_doubt(
    make_plant: Callable[..., Plant], tmp_path: Path
) -> None:
    async with metered(make_plant, tmp_path) as meter:
        meter.off = timedelta(hours=1)
        meter.plant.clock.doubt = Doubt("behind", meter.plant.clock.now(), meter.plant.clock.now())
        assert {one.device_time for one in (await meter.poller.poll())} == {""}
        meter.plant.clock.doubt = None
        assert said((await meter.poll()).values()) == {"Q05 device ahead by 3600 s"}


# -- Q34 ----------------------------------------------------------------------------------------------------


async def exchanged(meter: Meter) -> dict[str, Reading]:
    """Another device comes while the gateway is stopped; what was known is in the store."""
    meter.values |= {"serial": "B-77", "restarts": Decimal(9)}
    for line in meter.lines.values():
        line.close()
    meter.plant.__dict__.update(meter.plant.reopen().__dict__)
    meter.connect()
    return await meter.poll(2)


@pytest.mark.parametrize("is_marked", [False, True])
async def test_another_serial_text_is_an_event_and_a_finding_unless_maintenance_is_marked(
    make_plant: Callable[..., Plant], tmp_path: Path, is_marked: bool
) -> None:
    async with metered(make_plant, tmp_path, profile="texts.yaml") as meter:
        meter.values |= {"serial": "A;42", "restarts": Decimal(1)}
        assert said((await meter.poll()).values()) == {""}
        looked = meter.plant.clock.now()
        if is_marked:  # over before the change is found, but not before the last look
            end = looked + timedelta(minutes=1)
            mark = Mark(MarkKind.MAINTENANCE, looked, end, looked, "Li", "meter exchanged", subject="enterprise")
            meter.plant.pipeline.mark(mark)
        readings = await exchanged(meter)
        told = "Q34 identity changed without a maintenance record, from serial A,42 to B-77"
        assert said(readings.values()) == {"" if is_marked else told}
        assert meter.plant.writer.call(counts_by_rule).get("Q34", 0) == (0 if is_marked else 2)
        assert errors_of(readings["GAS.VM"].reason, meter.plant.pipeline.judge.rules) == ([] if is_marked else ["Q34"])
        assert events(meter.plant, "maintenance", "identity") == [
            {
                "record": "identity",
                "device": "gas",
                "point": "serial",
                "before": "A;42",
                "after": "B-77",
                "seen": time_text(looked),
                "found": time_text(meter.plant.clock.now()),
            }
        ]
        assert said((await meter.poll()).values()) == {""}


async def test_the_same_device_after_a_restart_is_no_finding(make_plant: Callable[..., Plant], tmp_path: Path) -> None:
    async with metered(make_plant, tmp_path) as meter:
        await meter.poll()
        assert said((await exchanged(meter)).values()) == {""}
        assert events(meter.plant, "maintenance", "identity") == []
        (told,) = meter.plant.writer.call(devices_told)
        assert told["identity"]["serial_number"]["value"] == "17012345"


TASMOTA = """
[[mqtt]]
id = "plug"
profile = "tasmota-energy"
parameters = { max_power_kw = "3" }

[[channel]]
id = "PLUG.TOTAL"
device = "plug"
point = "energy_import"
"""


def sensor(plant: Plant, total: str, since: str) -> Incoming:
    local = plant.clock.now() + timedelta(hours=8)
    said = f'{{"Time":"{local:%Y-%m-%dT%H:%M:%S}","ENERGY":{{"TotalStartTime":"{since}","Total":{total}}}}}'
    return Incoming("tele/plug/SENSOR", said.encode(), False, plant.clock.now(), 1, 1, 1)


@pytest.mark.parametrize("is_changed", [False, True])
async def test_identity_text_of_a_message_is_watched_too(make_plant: Callable[..., Plant], is_changed: bool) -> None:
    plant = make_plant(TASMOTA)
    first, then = "2025-11-02T09:31:00", "2026-03-01T08:00:30"
    for total, since in (("10.1", first), ("10.2", then if is_changed else first), ("10.3", then)):
        if total != "10.3" or is_changed:
            plant.clock.advance(timedelta(minutes=1))
            intake = MqttIntake(plant.pipeline, plant.catalogue.mqtt, on_reading=lambda _: None)
            await intake.handle([sensor(plant, total, since)])
    rows = plant.writer.call(lambda store: store.rows("SELECT reason FROM reading ORDER BY seq"))
    told = f"Q34 identity changed without a maintenance record, from total_since {first} to {then}"
    assert [row["reason"] for row in rows] == (["", "", told] if is_changed else ["", ""])
    assert [one["after"] for one in events(plant, "maintenance", "identity")] == ([then] if is_changed else [])


# -- Q31: counted in fault ----------------------------------------------------------------------------------


async def test_total_is_marked_while_its_error_counter_grows(make_plant: Callable[..., Plant], tmp_path: Path) -> None:
    async with metered(make_plant, tmp_path) as meter:
        await meter.poll()
        began = meter.plant.clock.now()
        seen = []
        for working, error in ((101, 3), (101, 5), (101, 6), (102, 6)):
            meter.values |= {"volume_working": Decimal(working), "volume_working_error": Decimal(error)}
            seen.append(await meter.poll())
        assert [(one["GAS.VM"].flag.value, one["GAS.VM"].reason) for one in seen] == [
            ("N", ""),
            ("D", "Q31 counted in fault: 2"),
            ("D", "Q31 counted in fault: 1"),
            ("N", ""),
        ]
        assert said(one["GAS.ERR"] for one in seen) == {""}
        (gap,) = events(meter.plant, "gap")
        assert gap == {
            "channel": "GAS.VM",
            "from": time_text(began + timedelta(minutes=1)),
            "to": time_text(began + timedelta(minutes=2)),
            "reason": "Q31 counted in fault: GAS.ERR from 3 to 5",
        }
        zh, en = gap_text(gap)
        assert "设备故障期间另行计数（GAS.ERR 自 3 至 5）" in zh
        assert "counted apart while it was in fault (GAS.ERR from 3 to 5)" in en
        assert meter.plant.writer.call(counts_by_rule) == {"Q31": 2}


# -- Q01 ----------------------------------------------------------------------------------------------------


def damaged(device: OddDevice, asked: Asked) -> list[bytes]:
    frame = wrapped(asked, good(asked.data))
    return [frame[:-3] + bytes([frame[-3] ^ 0x10]) + frame[-2:]]


@pytest.mark.parametrize("times", [0, 1])
async def test_frame_with_a_wrong_check_sum_is_kept_aside_and_counted(
    make_plant: Callable[..., Plant], tmp_path: Path, times: int
) -> None:
    async with OddDevice("rtu", [damaged] * times) as device:
        (tmp_path / "texts.yaml").write_text(TEXTS, "utf-8")
        plant = make_plant(_over_tcp(device.port))
        lines = lines_of(plant.catalogue.modbus, 2)
        (poller,) = pollers_of(plant.catalogue.modbus, lines, plant.clock, PollSettings())
        readings = await poller.poll()
        assert all(one.is_valid for one in readings)  # the request is asked again; the frame itself makes no reading
        await DeviceWatch([poller], plant.pipeline).look()
        await plant.pipeline.store([])
        for line in lines.values():
            line.close()
        kept = plant.writer.call(lambda store: store.rows("SELECT source, payload, reason FROM quarantine"))
        first = device.asked[0]
        frame = damaged(device, first)[0]
        assert [tuple(row) for row in kept] == [("gas", frame, "answer-checksum")] * times
        assert plant.writer.call(counts_by_rule) == ({"Q01": 1} if times else {})


def _over_tcp(port: int) -> str:
    site = SITE.format(profile="texts.yaml", port=port, rule="")
    line = f'[[line]]\nid = "bus"\nrtu_over_tcp = "127.0.0.1:{port}"\n'
    return line + site.replace('host = "127.0.0.1"\n', 'line = "bus"\n').replace(f"port = {port}\n", "")


def test_of_a_bad_line_so_many_frames_are_kept_an_hour_and_all_are_counted() -> None:
    frames = DamagedFrames()
    for second in range(100):
        frames.add(bytes(300), "answer-checksum", float(second))
    refused, kept = frames.take()
    assert (refused, len(kept), {len(one.raw) for one in kept}) == (100, KEPT_AN_HOUR, {LONGEST})
    frames.give_back(refused, kept[:1])
    frames.add(b"\1", "answer-length", 3600.0)
    assert [(refused, [one.reason for one in kept]) for refused, kept in [frames.take()]] == [
        (101, ["answer-checksum", "answer-length"])
    ]
