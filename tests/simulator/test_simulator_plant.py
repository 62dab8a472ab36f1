"""The plant file: every dial can be turned in it, faults come at their time, and the journal says so."""

from __future__ import annotations

import asyncio
import json
from dataclasses import fields
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from cunzheng.commands_profile import find_profile
from cunzheng.simulator.dials import Dials
from cunzheng.simulator.errors import PlantFileError
from cunzheng.simulator.hj212_logger import LoggerDials
from cunzheng.simulator.journal import Journal
from cunzheng.simulator.plant import Plant
from cunzheng.simulator.plant_file import SAMPLE, LoggerDialSettings, ModbusDials, MqttDials, read_plant
from cunzheng.simulator.schedule import TimedFault, run_schedule
from device_profiles import shipped
from gateway.errors import DeviceError
from gateway.line import LineAddress, Manners
from gateway.modbus import ModbusLine

WAIT_S = 10.0


@pytest.mark.parametrize(("dials", "models"), [(Dials, (ModbusDials, MqttDials)), (LoggerDials, (LoggerDialSettings,))])
def test_every_dial_can_be_turned_in_the_plant_file_and_stands_in_the_example(dials: type, models: Any) -> None:
    there = {one.name for one in fields(dials) if not one.name.startswith("_")}
    assert there == {name for model in models for name in model.model_fields}
    listed = SAMPLE[SAMPLE.index("# Dials") :]
    assert [name for name in sorted(there) if name not in listed] == []


PLANT = """
ripple = 0.01
journal = "plant.jsonl"

[[modbus]]
framing = "rtu"
  [[modbus.device]]
  id = "belt1"
  unit = 4
  profile = "siemens-bw500"
  parameters = {total_unit = "t", rate_unit = "t/h", max_rate_per_h = "800"}
  values = {total_1 = "1000"}
  per_hour = {total_1 = "3600000"}

[[modbus]]
serial = "rs485"
  [[modbus.device]]
  unit = 1
  profile = "eastron-sdm630"
  dials = {no_value = ["power"]}

[[hj212]]
id = "cems1"
mn = "010000A8900016F000169DC0"
port = 1
values = {a05001-Rtd = "12.5"}

[[fault]]
device = "belt1"
at_s = 0.1
for_s = 0.1
every_s = 0.2
dials = {exception = 6}
"""


def journal(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


async def test_timed_fault_is_on_the_wire_while_the_journal_says_so(tmp_path: Path) -> None:
    path = tmp_path / "plant.toml"
    path.write_text(PLANT, "utf-8")
    async with Plant(read_plant(path), find_profile, tmp_path) as plant:
        running = asyncio.create_task(plant.run())
        belt_at, em_at = plant.facts[0]["modbus"], plant.facts[1]["modbus"]
        assert em_at == str(tmp_path / "rs485")
        belt = ModbusLine(LineAddress("rtu-over-tcp", "127.0.0.1", int(belt_at.rpartition(":")[2])), timeout_s=2)
        serial = ModbusLine(LineAddress("rtu", em_at, baud=9600, parity="none"), timeout_s=2)
        asked: list[str] = []
        totals = []
        until = asyncio.get_running_loop().time() + WAIT_S
        while [one for one, _ in groupby(asked)].count("exception-06") < 2 or asked[-1] != "":
            assert asyncio.get_running_loop().time() < until, asked
            try:
                words = await belt.unit(4, Manners(timeout_s=2)).read("holding", 1015, 2)
            except DeviceError as error:
                asked.append(error.reason)
            else:
                totals.append(words[0] << 16 | words[1])
                asked.append("")
            await asyncio.sleep(0.03)
        (block,) = shipped()["eastron-sdm630"].plan(["power"])
        nan = await serial.unit(1, Manners(timeout_s=2)).read("input", block.address, 2)
        belt.close()
        serial.close()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert nan == (0x7FC0, 0)
    assert totals == sorted(set(totals))
    lines = journal(tmp_path / "plant.jsonl")
    faults = [one for one in lines if one["what"].startswith("fault") and one["device"] == "belt1"]
    assert [one["what"] for one in faults[:4]] == ["fault-start", "fault-end"] * 2
    assert faults[0]["dials"] == {"exception": 6}
    assert faults[1]["from"] <= faults[1]["at"]
    served = [one for one in lines if one["device"] == "belt1" and one["what"] in ("answered", "refused")]
    assert [one["what"] == "refused" for one in served] == [reason != "" for reason in asked]
    assert [one["at"] for one in lines] == sorted(one["at"] for one in lines)
    within = [any(a["at"] <= one["at"] <= b["at"] for a, b in pairs(faults)) for one in served]
    assert within == [one["what"] == "refused" for one in served]
    (count,) = [one for one in lines if one["what"] == "count" and one["device"] == "belt1"]
    assert count["answered"] == len(totals)
    standing = [one for one in lines if one["device"] == "modbus2/1" and one["what"].startswith("fault")]
    assert [(one["what"], one["dials"]) for one in standing] == [
        ("fault-start", {"no_value": ["power"]}),
        ("fault-end", {"no_value": ["power"]}),
    ]
    assert {one["what"] for one in lines if one["device"] == "cems1"} >= {"unanswered"}
    assert Decimal(served[0]["true"]["total_1"]) >= 1000


def pairs(faults: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return list(zip(faults[::2], faults[1::2], strict=True))


async def test_faults_that_overlap_leave_every_dial_where_it_stood() -> None:
    dials = Dials(delay_s=0.5)
    faults = [
        TimedFault("d", {"word_order": one, "delay_s": 2.0}, at, 0.06) for one, at in (("words", 0), ("both", 0.03))
    ]
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(
            asyncio.gather(run_schedule(faults, {"d": dials}, Journal()), asyncio.Event().wait()), 0.2
        )
    assert dials == Dials(delay_s=0.5)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("exception = 6", "garbage = true", "fault.0.dials.garbage"),
        ("exception = 6", "exception = 12", "fault.0.dials.exception"),
        ('device = "belt1"\nat', 'device = "belt2"\nat', "there is no device belt2"),
        ("for_s = 0.1", "for_s = 0.3", "every_s needs for_s"),
        ('id = "cems1"', 'id = "belt1"', "device belt1 is there twice"),
        ('no_value = ["power"]', 'no_value = ["powre"]', "has no point powre"),
        ('no_value = ["power"]', 'rollover = "1"', "no totaliser of eastron-sdm630 has a modulus"),
        ('no_value = ["power"]', 'state = "calibration"', "no state that says calibration"),
        ("exception = 6", 'rollover = "1"', "no totaliser of siemens-bw500 has a modulus"),
        ('total_1 = "3600000"', 'total_9 = "1"', "has no point total_9"),
        ("port = 1", "prot = 1", "hj212.0.port"),
    ],
)
async def test_dial_that_a_device_cannot_show_is_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in PLANT
    path = tmp_path / "plant.toml"
    path.write_text(PLANT.replace(old, new), "utf-8")
    with pytest.raises(PlantFileError) as caught:
        async with Plant(read_plant(path), find_profile, tmp_path):
            pass
    assert says in str(caught.value)


def test_journal_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "plant.toml"
    path.write_text(PLANT.replace("plant.jsonl", "nowhere/plant.jsonl"), "utf-8")
    with pytest.raises(PlantFileError, match="cannot be written"):
        Plant(read_plant(path), find_profile, tmp_path)
