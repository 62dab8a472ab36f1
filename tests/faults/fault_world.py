"""One centre and one gateway of one steel plant in a folder: real processes, real files, data of the real mill.

Setting up and enrolling is done once a test session; each test gets a copy on ports of its own.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from fault_injection import Injection
from fault_programs import Program, Programs, wait_until

from accounting.month import compose
from accounting.parameter_set import packaged_bytes
from cunzheng.demo import plant as steel
from cunzheng.demo.months import write_export
from cunzheng.demo.processes import free_port
from evidence.encoding import jcs, strict_json
from evidence.statement import parse
from webapp import administration, enrolment
from webapp import settings as center_settings
from webapp.center import Center

PERIOD = "2026-03"
"""The month of the imported data; February of the recording is never cut to fit it."""
SECOND_GATEWAY = "GW-0002"


class World:
    """The two sides and the files between them."""

    def __init__(self, folder: Path, *, is_copy: bool = True) -> None:
        self.folder = folder
        self.programs = Programs(folder)
        self.port = free_port()
        self.modbus_port, self.broker_port = 9, 9
        self.centre: Program | None = None
        self._is_copy = is_copy
        self.write_settings()

    # -- settings -----------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where the centre listens."""
        return f"http://127.0.0.1:{self.port}"

    def write_settings(self, *, centre_url: str | None = None) -> None:
        """Write all settings for the present ports; the gateway may be told to go through a proxy."""
        (self.folder / "center.toml").write_text(center_toml(self.port))
        url = centre_url or self.url
        self.write("gateway.toml", gateway_toml("gateway", url, self.broker_port))
        self.write("gateway2.toml", gateway_toml("gateway2", url, self.broker_port))
        site = steel.site_toml(self.modbus_port).replace("poll_s = 5", "poll_s = 0.2")
        self.write("site.toml", site)
        self.write("historian.toml", steel.MAP_TOML)

    def write(self, name: str, text: str) -> Path:
        """Write a file of the folder."""
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path

    # -- centre -------------------------------------------------------------------------------------------

    def start_centre(self, *, faults: Sequence[Injection] = (), wait: bool = True) -> Program:
        """Start the centre."""
        self.centre = self.programs.start("center", "run", "-c", "center.toml", faults=faults)
        if wait:
            self.wait_for_centre()
        return self.centre

    def wait_for_centre(self) -> None:
        """Wait until the centre answers."""
        assert self.centre is not None
        centre = self.centre

        def answers() -> bool:
            assert centre.is_running, centre.said()
            return is_answering(self.url)

        wait_until(answers, "the centre")

    def kill_centre(self) -> None:
        """Kill it, workers and all."""
        assert self.centre is not None
        self.centre.kill()

    # -- gateway ------------------------------------------------------------------------------------------

    def gateway(self, command: str, *arguments: str, faults: Sequence[Injection] = (), who: str = "gateway") -> Program:
        """Start a gateway command."""
        json_too = () if command == "run" else ("--json",)
        return self.programs.start("gateway", command, "-c", f"{who}.toml", *arguments, *json_too, faults=faults)

    def start_import(self, file: Path, *, faults: Sequence[Injection] = (), who: str = "gateway") -> Program:
        """Start an import."""
        return self.gateway("import", "--map", "historian.toml", file.name, faults=faults, who=who)

    def import_file(self, file: Path, who: str = "gateway") -> Any:
        """Import a file to the end."""
        return done(self.start_import(file, who=who))

    def sync(self, who: str = "gateway") -> Any:
        """Sync until nothing waits."""
        return done(self.gateway("sync", who=who))

    def exports(self, files: int, days: int) -> list[Path]:
        """Cut the first days of the month's export into files of so many days."""
        whole = self.folder / "whole.csv"
        write_export(whole, PERIOD, steel.ZONE)
        head, *rows = whole.read_text("utf-8").splitlines(keepends=True)
        size = days * 96
        return [
            self.write(f"export-{number}.csv", "".join([head, *rows[number * size : (number + 1) * size]]))
            for number in range(files)
        ]

    # -- looking ------------------------------------------------------------------------------------------

    def gateway_rows(self, sql: str, who: str = "gateway") -> list[tuple[Any, ...]]:
        """Ask the gateway's database, read only."""
        return _rows(self.folder / who / "gateway.db", sql)

    def centre_rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the centre's database, read only."""
        return _rows(self.folder / "center" / "center.sqlite", sql)

    def log(self) -> list[str]:
        """Return the statements of the log in order."""
        return [row[0] for row in self.centre_rows("SELECT jws FROM log_entry ORDER BY idx")]

    def receipts(self, who: str = "gateway") -> dict[str, str]:
        """Return every receipt the gateway holds."""
        return dict(self.gateway_rows("SELECT sid, receipt FROM receipt", who))

    def waiting(self, who: str = "gateway") -> int:
        """Count what waits for a receipt."""
        return int(self.gateway_rows("SELECT count(*) FROM outbox WHERE state IN ('queued', 'held')", who)[0][0])

    def body(self) -> dict[str, Any]:
        """Compose the month from the logged statements, without what may differ: which statements it stands on."""
        statements = [parse(jws) for jws in self.log()]
        plan = jcs(steel.plan())
        parameters = packaged_bytes("cn-steel-2024")
        composed = compose(plant=steel.PLANT, period=PERIOD, statements=statements, plan=plan, parameters=parameters)
        body: dict[str, Any] = strict_json(composed)
        del body["cover"]
        return body

    def close(self) -> None:
        """Kill everything and delete the copy."""
        self.programs.close()
        if self._is_copy:
            shutil.rmtree(self.folder, ignore_errors=True)


def build_template(folder: Path) -> None:
    """Make a centre with one plant, and enrol two gateways."""
    world = World(folder, is_copy=False)
    chosen = center_settings.load(folder / "center.toml")
    administration.initialise(chosen)
    center = Center.open(chosen)
    world.write("plan.json", json.dumps(steel.plan()))
    administration.add_plant(center, administration.read_plan_file(folder / "plan.json"))
    codes = {name: enrolment.invite_gateway(center, steel.PLANT, name) for name in (steel.GATEWAY, SECOND_GATEWAY)}
    center.database.close()
    try:
        world.start_centre()
        for who, code in zip(("gateway", "gateway2"), codes.values(), strict=True):
            done(world.programs.start("gateway", "enrol", "-c", f"{who}.toml", code, "--json"))
    finally:
        world.close()


def done(program: Program) -> Any:
    """Wait for a command that must succeed; return its facts."""
    code = program.wait()
    assert code == 0, f"exit {code}: {program.said()}"
    return program.facts()


def is_answering(url: str) -> bool:
    """Tell whether a centre answers."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def digest(body: dict[str, Any]) -> str:
    """Name a body by its bytes."""
    return hashlib.sha256(jcs(body)).hexdigest()


def center_toml(port: int) -> str:
    """Settings of the centre; its public address is what the caller says, so that a proxy may stand before it."""
    return f"""data_dir = "center"
[log]
origin = "faults.example/evidence"
[web]
port = {port}
secure_cookies = false
workers = 2
[limits]
gateway_per_minute = 1000000
public_per_minute = 1000000
"""


def gateway_toml(data: str, url: str, broker_port: int) -> str:
    """Settings of the gateway, with short pauses."""
    return f"""data = "{data}"
[centre]
url = "{url}"
sync_s = 0.2
timeout_s = 5
backoff_max_s = 0.5
live_s = 0.5
batch = 25
[mqtt]
host = "127.0.0.1"
port = {broker_port}
backoff_max_s = 1
[poll]
timeout_s = 1
commit_s = 0.05
[seal]
grace_s = 0
"""


def _rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        return connection.execute(sql).fetchall()
