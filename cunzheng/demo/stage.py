"""The steps of the demonstration, in order; each leaves its facts behind and returns one line about itself."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from accounting.recompute import verify_recomputed
from cunzheng.demo import plant as stage_plant
from cunzheng.demo.history import live_history
from cunzheng.demo.months import month_before, source_month, write_export
from cunzheng.demo.person import Person
from cunzheng.demo.processes import Programs, free_port
from cunzheng.demo.witnesses import NAMES, set_up_witnesses, start_witnesses
from cunzheng.errors import CommandError
from cunzheng.lang import say
from cunzheng.simulator.broker import BrokerHandle, Kind, start_broker
from evidence.bundle import read_bundle
from evidence.encoding import strict_json
from evidence.trust import Trust
from webapp import administration, enrolment, store_readings
from webapp import settings as center_settings
from webapp.center import Center

_PATIENCE_S = 60.0
"""How long the demonstration waits for the gateway to do what it does by itself."""


@dataclass(frozen=True)
class Months:
    """The two past months of the demonstration: one to be approved by program, one left for the visitor."""

    approved: str
    open: str

    @classmethod
    def before(cls, now: datetime) -> Months:
        """Choose them: the month before last, and last month, in the plant's zone."""
        today = now.astimezone(ZoneInfo(stage_plant.ZONE)).date()
        return cls(month_before(today, 2), month_before(today, 1))


class Stage:
    """One demonstration in one folder."""

    def __init__(self, folder: Path, programs: Programs, port: int, broker_kind: Kind | None = None) -> None:
        self.folder = folder
        self.programs = programs
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.broker: BrokerHandle | None = None
        self._broker_kind = broker_kind
        self._modbus_port = free_port()

    @property
    def is_set_up(self) -> bool:
        """Whether an earlier demonstration left its data in this folder."""
        return (self.folder / "center" / "center.sqlite").exists() and (self.folder / "gateway").exists()

    def set_up_centre(self) -> str:
        """Make the centre, its plant and its people, and start it."""
        self._write("center.toml", stage_plant.center_toml(self.port))
        self._write("plan.json", json.dumps(stage_plant.plan(), ensure_ascii=False, indent=1))
        chosen = center_settings.load(self.folder / "center.toml")
        administration.initialise(chosen)
        set_up_witnesses(self.folder, chosen)
        with self._centre() as center:
            administration.add_plant(center, administration.read_plan_file(self.folder / "plan.json"))
            for person in stage_plant.ACCOUNTS:
                administration.add_user(
                    center,
                    name=person.name,
                    role=person.role,
                    password=stage_plant.PASSWORD,
                    name_zh=person.zh,
                    name_en=person.en,
                    plants=(stage_plant.PLANT,) if person.is_of_plant else (),
                    region=person.region,
                )
            with center.database.writing() as session:
                samples = live_history(stage_plant.PLANT, stage_plant.GATEWAY, center.now())
                store_readings.add_live(session, samples)
        self.start_centre()
        people = len(stage_plant.ACCOUNTS)
        return say(
            f"中心端就绪：{self.url}，日志 {chosen.log.origin}（{len(NAMES)} 个见证联署），企业 1 家，用户 {people} 人",
            f"centre ready: {self.url}, log {chosen.log.origin}, {len(NAMES)} witnesses, 1 plant, {people} users",
        )

    def start_centre(self) -> None:
        """Start the centre and wait until it answers."""
        self._write("center.toml", stage_plant.center_toml(self.port))
        # Ports of an earlier demonstration may be taken by now.
        set_up_witnesses(self.folder, center_settings.load(self.folder / "center.toml"))
        start_witnesses(self.programs)
        self.programs.start("centre", "center", "run", "-c", "center.toml")
        self.programs.wait_for_url("centre", f"{self.url}/healthz")

    def start_devices(self) -> str:
        """Start the broker and the simulated devices, and write the gateway's files for their ports."""
        self.broker = start_broker(self.folder / "broker", kind=self._broker_kind)
        self._write("devices.toml", stage_plant.devices_toml(self._modbus_port, self.broker.port))
        self._write("site.toml", stage_plant.site_toml(self._modbus_port))
        self._write("gateway.toml", stage_plant.gateway_toml(self.port, self.broker.port, mqtt5=self.broker.mqtt5))
        self.programs.start("devices", "simulate", "devices.toml")
        return say(
            f"模拟设备：SDM630 电表 Modbus TCP 127.0.0.1:{self._modbus_port}，燃气表 MQTT 127.0.0.1:{self.broker.port}"
            f"（{self.broker.kind}）",
            f"simulated devices: SDM630 on Modbus TCP 127.0.0.1:{self._modbus_port}, gas meter on MQTT"
            f" 127.0.0.1:{self.broker.port} ({self.broker.kind})",
        )

    def enrol_gateway(self) -> str:
        """Invite the gateway and enrol it with the one-time code."""
        with self._centre() as center:
            code = enrolment.invite_gateway(center, stage_plant.PLANT, stage_plant.GATEWAY)
        facts = self.programs.call("gateway", "enrol", "-c", "gateway.toml", code)
        return say(
            f"网关 {facts['gateway']} 已凭一次性登记码登记，密钥 {facts['kid'][:12]}…",
            f"gateway {facts['gateway']} enrolled by one-time code, key {facts['kid'][:12]}…",
        )

    def import_month(self, period: str) -> str:
        """Import a past month through the historian path."""
        name = f"historian-{period}.csv"
        rows = write_export(self.folder / name, period, stage_plant.ZONE)
        self._write("historian.toml", stage_plant.MAP_TOML)
        facts = self.programs.call("gateway", "import", "-c", "gateway.toml", "--map", "historian.toml", name)
        return say(
            f"{period}：导入 {rows} 行（真实钢厂 2018 年 {source_month(period)} 月电量，日期已改写；燃气为模拟），"
            f"封存 {facts['segments']} 个时段",
            f"{period}: imported {rows} rows (electricity of a real mill, 2018-{source_month(period):02d}, re-dated;"
            f" gas simulated), {facts['segments']} segments sealed",
        )

    def sync(self) -> str:
        """Send everything that waits and check the receipts."""
        facts = self.programs.call("gateway", "sync", "-c", "gateway.toml")
        return say(
            f"同步：{facts['logged']} 条声明已入日志，回执逐条核验，待传 {facts['waiting']}",
            f"sync: {facts['logged']} statements in the log, every receipt verified, {facts['waiting']} waiting",
        )

    def start_gateway(self) -> str:
        """Start the gateway and wait for its first live readings."""
        self.programs.start("gateway", "gateway", "run", "-c", "gateway.toml")
        live = ("ELEC.TOTAL", "GAS.TOTAL")

        def seen() -> Any:
            self.programs.require("gateway")
            facts = self.programs.call("gateway", "status", "-c", "gateway.toml")
            channels = {one["channel"]: one for one in facts["channels"] if "time" in one}
            return channels if all(name in channels for name in live) else None

        channels = _wait(seen, "live readings")
        shown = ", ".join(f"{name} {channels[name]['value']} {channels[name]['unit']}" for name in live)
        return say(f"网关运行中，实时读数：{shown}", f"gateway running, live: {shown}")

    def people(self) -> dict[str, Person]:
        """Log the scripted people in and register their keys."""
        found = {}
        for one in stage_plant.ACCOUNTS:
            if one.is_scripted:
                seed = hashlib.sha256(f"cunzheng demonstration {one.name} {self.folder}".encode()).digest()
                person = Person(self.url, one.name, stage_plant.PASSWORD, seed)
                person.enrol(stage_plant.PLANT if one.is_of_plant else "")
                found[one.role] = person
        return found

    def capture(self, people: dict[str, Person], period: str) -> str:
        """Let the laboratory technician enter and sign the ledger values of a month."""
        for param, value, source in stage_plant.LEDGER:
            people["technician"].capture(stage_plant.PLANT, period, param, value, source)
        count = len(stage_plant.LEDGER)
        return say(
            f"{period}：化验/计量人员签署 {count} 个台账值", f"{period}: the technician signed {count} ledger values"
        )

    def approve_month(self, people: dict[str, Person], period: str) -> Iterator[str]:
        """Walk a month from draft to approved, one line a step."""
        one = stage_plant.PLANT
        declared = people["technician"].declare(one, period)
        yield say(f"{period}：化验/计量人员已申报", f"{period}: declared by the technician") + f"  {declared.sid[:12]}"
        declared = people["responsible"].declare(one, period)
        yield say(f"{period}：负责人已申报", f"{period}: declared by the responsible person") + f"  {declared.sid[:12]}"
        month = self._signed_month(people["city"], period)
        yield (
            say(f"{period}：网关复算一致并签署月度存证", f"{period}: recomputed and signed by the gateway")
            + f"  {month}"
        )
        review = people["city"].review(one, period, "approve")
        yield say(f"{period}：市级审核通过", f"{period}: approved by the city") + f"  {review.sid[:12]}"
        review = people["province"].review(one, period, "approve")
        yield say(f"{period}：省级审核通过", f"{period}: approved by the province") + f"  {review.sid[:12]}"

    def verify_month(self, person: Person, period: str) -> str:
        """Export the bundle, check it with nothing but the trust file, and recompute the body."""
        data = person.download(f"/plants/{stage_plant.PLANT}/months/{period}/bundle")
        trust_data = person.download("/trust.json")
        target = self.folder / f"{stage_plant.PLANT}-{period}.evb"
        target.write_bytes(data)
        (self.folder / "trust.json").write_bytes(trust_data)
        bundle = read_bundle(io.BytesIO(data))
        report = verify_recomputed(bundle, Trust.from_json(strict_json(trust_data)), datetime.now(UTC))
        if report.findings:
            raise CommandError(
                f"演示：证据包核验未通过：{report.verdict}",
                f"demonstration: the bundle does not verify: {report.verdict}",
            )
        return say(
            f"{period}：证据包 {target.name}（{len(data) // 1024} KiB）离线核验 {report.verdict}，"
            f"{report.counts['statements']} 条声明，重算一致",
            f"{period}: bundle {target.name} ({len(data) // 1024} KiB) verifies offline: {report.verdict},"
            f" {report.counts['statements']} statements, recomputed the same",
        )

    @contextmanager
    def _centre(self) -> Iterator[Center]:
        center = Center.open(center_settings.load(self.folder / "center.toml"))
        try:
            yield center
        finally:
            center.database.close()

    def _signed_month(self, person: Person, period: str) -> str:
        here = f"/plants/{stage_plant.PLANT}/months/{period}"

        def seen() -> bool | None:
            page = person.download(f"{here}/review?now=1").decode("utf-8")
            return "data-payload" in page or None

        _wait(seen, f"month {period}")
        return period

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")


def _wait(ask: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        answer = ask()
        if answer is not None:
            return answer
        time.sleep(0.3)
    raise CommandError(
        f"演示：{int(_PATIENCE_S)} 秒内没有等到 {what}",
        f"demonstration: waited {int(_PATIENCE_S)} s in vain for {what}",
    )
