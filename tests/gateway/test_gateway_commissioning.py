"""Commissioning over a real socket: what the display confirms is signed, what it contradicts is refused with a hint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from click.testing import CliRunner, Result
from small_centre import CODE, SmallCentre

import device_profiles
from cunzheng.cli import cunzheng
from cunzheng.simulator.dials import Dials, Values
from cunzheng.simulator.modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from evidence.statement import parse
from gateway.assembly import open_gateway
from gateway.catalogue import instrument_to_probe
from gateway.chain import outbox_depth, own_statements
from gateway.probe_command import ask_displays
from gateway.probe_table import WIDTH
from gateway.runlock import running_alone
from gateway.store import Store

SITE = """
[[device]]
id = "em1"
profile = "schneider-iem3000"
host = "127.0.0.1"
port = {port}
unit = 3
serial = "3155-0042"
parameters = {{ max_power_kw = "2000" }}

[[device]]
id = "ps1"
profile = "mc51-y"
line = "boiler"
unit = 10
parameters = {{ flow_unit = "t/h", total_unit = "t", pressure_unit = "MPa", max_rate_per_h = "100" }}

[[device]]
id = "belt1"
profile = "siemens-bw500"
line = "boiler"
unit = 4
parameters = {{ total_unit = "t", rate_unit = "t/h", max_rate_per_h = "800" }}

[[channel]]
id = "BELT.SPEED"
device = "belt1"
point = "speed"

[[line]]
id = "boiler"
tcp_gateway = "127.0.0.1:{port}"

[[channel]]
id = "STEAM.P"
device = "ps1"
point = "pressure"

[[channel]]
id = "ELEC.TOTAL"
device = "em1"
point = "energy_import"

[[channel]]
id = "ELEC.POWER"
device = "em1"
point = "power"
"""
ENERGY = Decimal("126239.474")


@dataclass
class Bench:
    """A gateway's folder and the meter in front of it."""

    folder: Path
    values: Values
    dials: Dials
    meter: ModbusDeviceSimulator
    belt: Values

    def wrong_order(self) -> None:
        """Make the meter send its words reversed."""
        profile = self.meter.profile
        turned = {name: replace(point, order="CDAB") for name, point in profile.points.items()}
        self.meter.profile = replace(profile, points=MappingProxyType(turned))

    async def called(self, *words: str) -> Result:
        command, *rest = words
        arguments = ["gateway", command, "-c", str(self.folder / "gateway.toml"), *rest]
        return await asyncio.to_thread(CliRunner().invoke, cunzheng, arguments)

    async def accept(self, *words: str) -> Result:
        return await self.called("probe", "em1", "--accept", "--by", "李磊", *words)

    def configs(self) -> list[dict[str, Any]]:
        """Return what was declared, in order."""
        store = Store(self.folder / "data" / "gateway.db")
        try:
            events = [one.payload for one in own_statements(store, "event")]
        finally:
            store.close()
        return [dict(one["data"]) for one in events if one["type"] == "config"]

    def accepted(self) -> list[dict[str, Any]]:
        return [one for one in self.configs() if "commissioned" in one]


@pytest.fixture
def centre() -> Iterator[SmallCentre]:
    with SmallCentre() as made:
        yield made


@pytest.fixture
async def bench(tmp_path: Path, centre: SmallCentre) -> AsyncIterator[Bench]:
    values: Values = {"energy_import": ENERGY, "power": Decimal("12.5")}
    dials = Dials()
    meter = ModbusDeviceSimulator(device_profiles.shipped()["schneider-iem3000"], 3, lambda now: values, dials)
    integrator = device_profiles.shipped()["mc51-y"].configured({"pressure_unit": "MPa"})
    steam: Values = {"flow": Decimal("10.41"), "pressure": Decimal("1.589"), "temperature": Decimal("25")}
    behind = ModbusDeviceSimulator(integrator, 10, lambda now: steam)
    scale = device_profiles.shipped()["siemens-bw500"].configured({"total_unit": "t", "rate_unit": "t/h"})
    belt: Values = {"speed": Decimal("1.25"), "device_id": Decimal(2), "word_order": "low-first", "running": Decimal(1)}
    beside = ModbusDeviceSimulator(scale, 4, lambda now: belt)
    async with ModbusSimulatorServer([meter, behind, beside]) as server:
        (tmp_path / "gateway.toml").write_text(f'data = "data"\n[centre]\nurl = "{centre.url}"\n', "utf-8")
        (tmp_path / "site.toml").write_text(SITE.format(port=server.port), "utf-8")
        made = Bench(tmp_path, values, dials, meter, belt)
        assert (await made.called("enrol", CODE)).exit_code == 0
        yield made


def ago(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()


def shown(name: str, first: str, second: str) -> list[str]:
    return ["--display", f"{name}={first}@{ago(10)}", "--display", f"{name}={second}@{ago(5)}"]


async def test_display_that_agrees_is_signed_with_words_order_neighbours_and_person(
    bench: Bench, centre: SmallCentre
) -> None:
    words = [*shown("energy_import", "126239.4", "126239.47"), *shown("ELEC.POWER", "12.5", "12.48")]
    done = await bench.accept(*words, "--json")
    assert done.exit_code == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["left"] == []
    energy, power = (one["commissioned"] for one in bench.accepted())
    assert (energy["by"], energy["point"], energy["order"]) == ("李磊", "energy_import", "ABCDEFGH")
    assert (energy["words"], energy["value"]) == ("0000 0000 0786 42F2", "126239.474")
    assert [one["shown"] for one in energy["displays"]] == ["126239.4", "126239.47"]
    assert [one["off"] for one in energy["displays"]] == ["0.074", "0.004"]
    assert all(one["agrees"] for one in energy["displays"])
    assert "neighbours" not in power  # this device refuses to read half of a value
    assert "reason" not in energy
    declared = {name: value for name, value in bench.accepted()[0].items() if name != "commissioned"}
    assert declared in bench.configs()  # the declaration itself is the same as before
    synced = await bench.called("sync", "--json")
    assert (synced.exit_code, json.loads(synced.stdout)["waiting"]) == (0, 0)
    logged = [parse(jws) for jws in centre.log]
    assert {one["sid"] for one in said["accepted"]} <= {one.sid for one in logged}


async def test_restart_declares_nothing_anew_after_a_channel_was_accepted(bench: Bench) -> None:
    assert (await bench.accept(*shown("power", "12.5", "12.5"))).exit_code == 0
    before = len(bench.configs())
    with open_gateway(bench.folder / "gateway.toml") as opened:
        assert opened.writer.call(outbox_depth) > 0
    assert len(bench.configs()) == before


async def test_channels_without_two_displays_stay_open_and_are_named(bench: Bench) -> None:
    done = await bench.accept(*shown("power", "12.5", "12.5"))
    assert "accepted: ELEC.POWER = 12.5 kW" in done.stdout
    assert "not accepted yet: ELEC.TOTAL" in done.stdout


async def test_contradiction_is_refused_and_nothing_is_signed(bench: Bench) -> None:
    for name, first, second, says in (
        ("power", "12.5", "1250", "the display shows 1250"),
        ("power", "-12.5", "-12.5", "read was 12.5 kW, off by 25"),
        ("energy_import", "126.239", "126.239", "off by 126113.235"),
        ("energy_import", "126239.4", "126239.9", "off by -0.426 where -0.1 to"),
        ("power", "run", "run", "the display shows run"),
    ):
        refused = await bench.accept(*shown(name, first, second))
        assert refused.exit_code == 1
        assert says in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert "say why with --reason" in refused.stderr
    assert bench.accepted() == []


async def test_neighbours_are_signed_and_named_where_the_display_fits_them(bench: Bench) -> None:
    accepted = await bench.called(
        "probe", "ps1", "--accept", "--by", "韩梅", *shown("STEAM.P", "1.589", "1.59"), "--json"
    )
    assert accepted.exit_code == 0, accepted.stderr
    (said,) = (one["commissioned"] for one in bench.accepted())
    assert said["words"] == "0000 0635"
    assert said["neighbours"] == [{"offset": -1, "words": "0411 0000"}, {"offset": 1, "words": "0635 00FA"}]
    before = str(Decimal(0x04110000) / 1000)
    refused = await bench.called("probe", "ps1", "--accept", "--by", "韩梅", *shown("STEAM.P", before, before))
    assert "address 1 (-1) fits the display" in refused.stderr


async def test_contradiction_with_a_reason_is_signed_and_says_so(bench: Bench) -> None:
    done = await bench.accept(*shown("power", "13.9", "12.5"), "--reason", "display averages over 15 minutes")
    assert done.exit_code == 0, done.stderr
    assert "accepted (against the display, with a reason): ELEC.POWER" in done.stdout
    (said,) = (one["commissioned"] for one in bench.accepted())
    assert [one["agrees"] for one in said["displays"]] == [False, True]
    assert said["reason"] == "display averages over 15 minutes"


async def test_reason_is_not_recorded_where_the_display_agrees(bench: Bench) -> None:
    await bench.accept(*shown("power", "12.5", "12.5"), "--reason", "to be sure")
    assert "reason" not in bench.accepted()[0]["commissioned"]


async def test_total_may_have_counted_since_the_display_was_read_but_not_run_backwards(bench: Bench) -> None:
    counted = await bench.accept(*shown("energy_import", "126100", "126150"))
    assert counted.exit_code == 0, counted.stderr
    ahead = await bench.accept(*shown("energy_import", "126239", "126241"))
    assert ahead.exit_code == 1


async def test_wrong_word_order_is_refused_and_the_right_one_is_named(bench: Bench) -> None:
    bench.wrong_order()
    refused = await bench.accept(*shown("power", "12.5", "12.5"))
    assert refused.exit_code == 1
    assert "word order CDAB fits the display" in refused.stderr


async def test_acceptance_that_cannot_be_is_one_line(bench: Bench) -> None:
    agreeing = shown("power", "12.5", "12.5")
    for words, says in (
        ((), "--display twice for each point"),
        (("--display", "power=12.5"), "write POINT=VALUE@TIME"),
        (("--display", "power=12.5@soon"), "'soon' is no time"),
        (("--display", f"power=12.5@{ago(-60)}"), "within the last 24 hours"),
        (("--display", f"power=12.5@{ago(60 * 25)}"), "within the last 24 hours"),
        (("--display", f"power=12.5@{ago(1)}"), "two readings of the display"),
        ((*agreeing, "--display", f"power=12.5@{ago(1)}"), "two readings of the display"),
        (("--display", f"volts=12.5@{ago(1)}"), "has no point or channel volts; it has: energy_import, power"),
        (shown("voltage_l1", "230", "230"), "feeds no channel"),
        ((*agreeing, "--tolerance", "200"), "a percentage of 0 to 50"),
        ((*agreeing, "--by", ""), "--accept needs --by"),
        ((*agreeing, "--by", "x" * 201), "--accept needs --by"),
        ((*agreeing, "--reason", "x" * 2001), "longer than 2000 characters"),
        (shown("power", "1" * 41, "12.5"), "write POINT=VALUE@TIME"),
    ):
        refused = await bench.accept(*words)
        assert (refused.exit_code, says in refused.stderr) == (3, True), (says, refused.stderr)
        assert refused.stderr.count("\n") == 1
    assert bench.accepted() == []


async def test_display_without_accept_is_misuse(bench: Bench) -> None:
    refused = await bench.called("probe", "em1", "--display", f"power=1@{ago(1)}")
    assert (refused.exit_code, "go with --accept only" in refused.stderr) == (3, True)


async def test_running_gateway_is_named_and_nothing_is_accepted(bench: Bench) -> None:
    with running_alone(bench.folder / "data"):
        refused = await bench.accept(*shown("power", "12.5", "12.5"))
        beside = await bench.called("probe", "em1", "power")
    assert (refused.exit_code, "a gateway already runs on" in refused.stderr) == (1, True)
    assert bench.accepted() == []
    assert (beside.exit_code, "the gateway is running and reads this device too" in beside.stderr) == (0, True)
    assert (await bench.called("probe", "em1", "power")).stderr == ""


async def test_value_that_is_not_valid_cannot_be_accepted(bench: Bench) -> None:
    bench.dials.exception = 4
    refused = await bench.accept(*shown("power", "12.5", "12.5"), "--reason", "sure")
    assert refused.exit_code != 0
    assert bench.accepted() == []


async def test_another_device_than_the_described_one_is_refused_whatever_its_display_shows(bench: Bench) -> None:
    words = ("probe", "belt1", "--accept", "--by", "韩梅", *shown("BELT.SPEED", "1.25", "1.3"))
    accepted = await bench.called(*words)
    assert accepted.exit_code == 0, accepted.stderr
    (said,) = (one["commissioned"] for one in bench.accepted())
    assert said["order"] == "CDAB"  # as its own register says
    bench.belt["device_id"] = Decimal(3)  # type: ignore[index]
    refused = await bench.called(*words, "--reason", "sure")
    assert (refused.exit_code, "is not the device that profile siemens-bw500 describes" in refused.stderr) == (1, True)
    assert len(bench.accepted()) == 1


async def test_terminal_is_asked_twice_for_each_point_and_the_device_is_read_each_time(bench: Bench) -> None:
    answers = iter(["126239.474", "", "126239.5", "ignored"])
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        answer = next(answers)
        if len(asked) == 3:
            bench.values["energy_import"] = Decimal("126239.5")  # type: ignore[index]
        return answer

    with open_gateway(bench.folder / "gateway.toml") as opened:
        instrument = opened.catalogue.modbus[0]
        seen = await ask_displays(instrument, opened, (), ask, neighbours=False)
    assert asked == [
        "display 1 of 2, energy_import [kWh]",
        "display 1 of 2, power [kW]",
        "display 2 of 2, energy_import [kWh]",
    ]
    (pair,) = seen.values()
    assert [one.own.value for one in pair] == ["126239.474", "126239.5"]
    assert pair[0].display.at < pair[1].display.at


async def test_probe_shows_every_order_in_a_hundred_columns_and_says_which_would_be_plausible(bench: Bench) -> None:
    bench.wrong_order()
    printed = await bench.called("probe", "em1")
    assert printed.exit_code == 0, printed.stderr
    assert max(map(len, printed.stdout.splitlines())) <= WIDTH
    assert "HGFEDCBA" in printed.stdout
    assert "power: not plausible in the order used; CDAB" in printed.stdout
    rows = json.loads((await bench.called("probe", "em1", "power", "--no-neighbours", "--json")).stdout)
    assert {one["order"]: one["value"] for one in rows[0]["orders"]}["CDAB"] == "12.5"
    assert rows[0]["order"] == "ABCD"


async def test_device_can_be_probed_before_its_parameters_are_known(bench: Bench) -> None:
    site = (bench.folder / "site.toml").read_text("utf-8")
    (bench.folder / "site.toml").write_text(site.replace('parameters = { max_power_kw = "2000" }\n', ""), "utf-8")
    assert instrument_to_probe(bench.folder / "site.toml", "em1").channels["power"] == ("ELEC.POWER",)
    assert (await bench.called("probe", "em1", "power")).exit_code == 0
