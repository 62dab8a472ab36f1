"""The whole chain on the real mill's half year: a centre in processes of its own, gateways, people who sign.

Nothing here is replaced: HTTP, SQLite, signatures and log are the real ones. Only time is stepped, where a half year of
polling has to pass in seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import device_profiles
from cunzheng.demo.person import Person
from cunzheng.demo.processes import Programs, free_port
from cunzheng.simulator.mill import demo_mill, electricity_values
from cunzheng.simulator.modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from gateway.assembly import Gateway, open_gateway
from gateway.clock import SteppedClock
from gateway.modbus import ModbusEndpoint
from gateway.poller import Poller
from gateway.reading_store import insert_readings
from webapp import administration, enrolment
from webapp import settings as center_settings
from webapp.center import Center

TOTALS = {
    "2018-01": "126238.29",
    "2018-02": "91497.34",
    "2018-03": "80230.41",
    "2018-04": "78769.80",
    "2018-05": "79059.28",
    "2018-06": "65404.64",
}
"""Electricity of the mill, kWh (README of the data)."""
HISTORIAN, METER = "P-HIST", "P-METER"
PASSWORD = "correct horse battery"
QUARTER = timedelta(minutes=15)
POLLS_A_COMMIT = 96
"""Readings stored together, so that half a year of polling passes in seconds."""

SITES = {
    HISTORIAN: """
[[import]]
id = "historian"
interval_s = 900

[[channel]]
id = "ELEC"
device = "historian"
kind = "interval"
unit = "kWh"
param = "electricity"
subject = "enterprise"
""",
    METER: """
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
id = "ELEC"
device = "em1"
point = "energy_import"
param = "electricity"
subject = "enterprise"
""",
}
MAP = """
[time]
column = "interval_end"
period_label = "end"
interval = "15m"

[[value]]
column = "active_energy_kwh"
channel = "ELEC"
unit = "kWh"
"""


def plan(plant: str) -> dict[str, Any]:
    return {
        "v": 1,
        "plant": plant,
        "name": {"zh": "光阳轧钢厂", "en": "Rolling mill"},
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
                "source": {"channel": "ELEC"},
                "unit": "MWh",
            }
        ],
    }


class MillChain:
    """One centre, two gateways, four people."""

    def __init__(self, folder: Path, programs: Programs) -> None:
        self.folder = folder
        self.programs = programs
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.people: dict[str, Person] = {}
        (folder / "center.toml").write_text(
            f'data_dir = "center"\n[log]\norigin = "log.example/evidence"\n'
            f"[web]\nport = {port}\nsecure_cookies = false\nworkers = 2\n"
            f"[limits]\nlogin_per_minute = 1000\n",
            "utf-8",
        )

    @contextmanager
    def centre(self) -> Iterator[Center]:
        center = Center.open(center_settings.load(self.folder / "center.toml"))
        try:
            yield center
        finally:
            center.database.close()

    def start(self) -> None:
        administration.initialise(center_settings.load(self.folder / "center.toml"))
        roles = (("technician", ""), ("responsible", ""), ("city", "4201"), ("province", "42"))
        with self.centre() as center:
            for plant in (HISTORIAN, METER):
                administration.add_plant(center, json.dumps(plan(plant)).encode())
            for role, region in roles:
                administration.add_user(
                    center,
                    name=role,
                    role=role,
                    password=PASSWORD,
                    name_zh=role,
                    name_en=role,
                    plants=() if region else (HISTORIAN, METER),
                    region=region,
                )
        self.programs.start("centre", "center", "run", "-c", "center.toml")
        self.programs.wait_for_url("centre", f"{self.url}/healthz")
        for role, region in roles:
            person = Person(self.url, role, PASSWORD, hashlib.sha256(role.encode()).digest())
            person.enrol("" if region else HISTORIAN)
            self.people[role] = person

    def enrol(self, plant: str, site: str) -> str:
        """Set a gateway up in a folder of its own and enrol it; return the path of its settings."""
        place = self.folder / plant
        place.mkdir()
        (place / "site.toml").write_text(site, "utf-8")
        (place / "map.toml").write_text(MAP, "utf-8")
        (place / "gateway.toml").write_text(
            f'data = "data"\nsite = "site.toml"\n[centre]\nurl = "{self.url}"\n[seal]\ngrace_s = 0\n', "utf-8"
        )
        with self.centre() as center:
            code = enrolment.invite_gateway(center, plant, f"GW-{plant[2:]}")
        settings = str(place / "gateway.toml")
        self.programs.call("gateway", "enrol", "-c", settings, code)
        return settings

    def sync(self, settings: str) -> Any:
        return self.programs.call("gateway", "sync", "-c", settings)

    def declare(self, plant: str, period: str) -> None:
        self.people["technician"].declare(plant, period)
        self.people["responsible"].declare(plant, period)

    def approve(self, plant: str, period: str) -> None:
        self.people["city"].review(plant, period, "approve")
        self.people["province"].review(plant, period, "approve")

    def body(self, plant: str, period: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.people["city"].download(f"/plants/{plant}/months/{period}/body.json"))
        return found

    def page(self, plant: str, period: str) -> str:
        return self.people["city"].download(f"/plants/{plant}/months/{period}").decode("utf-8")

    def bundle(self, plant: str, period: str) -> Path:
        target = self.folder / f"{plant}-{period}.evb"
        target.write_bytes(self.people["city"].download(f"/plants/{plant}/months/{period}/bundle"))
        (self.folder / "trust.json").write_bytes(self.people["city"].download("/trust.json"))
        return target


async def replay(settings: Path, port_site: str) -> None:
    """Poll the mill's meter over Modbus, every quarter of an hour of half a year, on a stepped clock."""
    mill = demo_mill()
    clock = SteppedClock(mill.begin)
    profile = device_profiles.shipped()["schneider-iem3000"]
    device = ModbusDeviceSimulator(profile, 3, lambda now: electricity_values(profile, mill, now), clock=clock.now)
    async with ModbusSimulatorServer([device]) as server:
        (settings.parent / "site.toml").write_text(port_site.format(port=server.port), "utf-8")
        with open_gateway(settings, clock) as opened:
            await _poll_until(opened, clock, mill.end, server.port)
            clock.advance(timedelta(seconds=1))
            opened.pipeline.seal_due(timedelta(0))


async def _poll_until(opened: Gateway, clock: SteppedClock, end: datetime, port: int) -> None:
    (found,) = opened.catalogue.modbus
    endpoint = ModbusEndpoint("127.0.0.1", port, timeout_s=2)
    poller = Poller(found, endpoint, clock, opened.settings.poll)
    pipeline, arrivals = opened.pipeline, []
    try:
        while True:
            arrivals += [pipeline.arrival(reading) for reading in await poller.poll()]
            is_over = clock.now() >= end
            if is_over or len(arrivals) >= POLLS_A_COMMIT:
                batch, arrivals = arrivals, []
                opened.writer.call(lambda store, batch=batch: insert_readings(store, batch))  # type: ignore[misc]
                pipeline.seal_due(timedelta(0))
            if is_over:
                return
            clock.advance(QUARTER)
    finally:
        endpoint.close()


def replay_at_speed(settings: str) -> None:
    asyncio.run(replay(Path(settings), SITES[METER]))
