"""A retention challenge between a real centre and a real gateway, each in processes of its own; then tiles are lost."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from mill_chain import HISTORIAN, MAP, PASSWORD, SITES, MillChain

from cunzheng.demo.person import Person
from cunzheng.demo.processes import Programs
from evidence.tiles import TILE_WIDTH
from gateway.rawtile import RawFolder
from webapp import administration

ZONE = ZoneInfo("Asia/Seoul")
TODAY = datetime.now(ZONE)
LAST_DAY = TODAY.replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
PERIOD = f"{LAST_DAY:%Y-%m}"
"""The month before this one: an older one is older than the raw readings that must be kept."""
MINUTES = 2
READINGS = LAST_DAY.day * 24 * 60 // MINUTES
TILES = -(-READINGS // TILE_WIDTH)
MONTH = f"/plants/{HISTORIAN}/months/{PERIOD}"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MillChain, str]]:
    """An approved month of last month's readings, one each two minutes, and an inspector."""
    folder = tmp_path_factory.mktemp("challenged")
    with Programs(folder) as programs:
        chain = MillChain(folder, programs)
        chain.start()
        with chain.centre() as center:
            administration.add_user(center, name="inspector", role="inspector", password=PASSWORD, region="42")
        person = Person(chain.url, "inspector", PASSWORD, hashlib.sha256(b"inspector").digest())
        person.enrol("")
        chain.people["inspector"] = person
        settings = chain.enrol(HISTORIAN, SITES[HISTORIAN].replace("= 900", f"= {MINUTES * 60}"))
        source = folder / "readings.csv"
        source.write_text(export(), "utf-8")
        (folder / "map.toml").write_text(MAP.replace("15m", f"{MINUTES}m"), "utf-8")
        how = str(folder / "map.toml")
        facts = programs.call("gateway", "import", "-c", settings, "--map", how, str(source))
        assert facts["stored"] == READINGS
        chain.sync(settings)
        chain.declare(HISTORIAN, PERIOD)
        chain.sync(settings)
        chain.approve(HISTORIAN, PERIOD)
        yield chain, settings


def export() -> str:
    """What a historian would export of the month."""
    first, step = LAST_DAY.replace(day=1), timedelta(minutes=MINUTES)
    ends = ((first + step * (n + 1)).isoformat() for n in range(READINGS))
    return "interval_end,active_energy_kwh\n" + "".join(f"{end},{n % 97}.5\n" for n, end in enumerate(ends))


def challenged(chain: MillChain, settings: str) -> dict[str, Any]:
    """Ask, let the log grow, and let the gateway sync as it does by itself."""
    chain.people["inspector"].challenge(HISTORIAN, PERIOD)
    assert "等待日志的下一个检查点" in page(chain)
    now = datetime.now(ZONE)
    said = (
        "--from",
        f"{now - timedelta(hours=2):%Y-%m-%dT%H:%M}",
        "--to",
        f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M}",
    )
    about = ("--by", "wang", "--reason", "filter", "--subject", "enterprise")
    chain.programs.call("gateway", "mark", "-c", settings, "maintenance", *said, *about)
    found: dict[str, Any] = chain.sync(settings)
    return found


def page(chain: MillChain) -> str:
    return chain.people["inspector"].download(MONTH).decode("utf-8")


def verified(chain: MillChain) -> tuple[str, set[str]]:
    bundle = chain.bundle(HISTORIAN, PERIOD)
    command = [sys.executable, "-m", "cunzheng", "verify", str(bundle), "--trust", str(bundle.with_name("trust.json"))]
    done = subprocess.run([*command, "--json"], capture_output=True, check=False, timeout=300)
    report = json.loads(done.stdout)
    return report["verdict"], {finding["code"] for finding in report["findings"]}


def passes(chain: MillChain, config: str) -> None:
    done = challenged(chain, config)
    assert done["tiles"] > TILES * 0.9, "299 draws miss few of so many tiles"
    assert (done["refused_tiles"], done["waiting"]) == (0, 0)
    assert f"通过：{done['tiles']} 个数据块全部证实" in page(chain)
    chain.people["inspector"].inspect(HISTORIAN, PERIOD, ["dial and register agree"])
    assert verified(chain) == ("VALID", set())


def test_one_reading_of_it_is_shown_at_the_plant(settings: tuple[MillChain, str]) -> None:
    chain, config = settings
    shown = chain.folder / "shown.evb"
    moment = f"{LAST_DAY.replace(day=3, hour=7):%Y-%m-%dT%H:%M}"
    facts = chain.programs.call("gateway", "prove", "-c", config, "ELEC", moment, "-o", str(shown))
    assert [one["unit"] for one in facts["readings"]] == ["kWh"]
    (chain.folder / "trust.json").write_bytes(chain.people["city"].download("/trust.json"))
    report = chain.programs.call("verify", str(shown), "--trust", str(chain.folder / "trust.json"))
    assert (report["verdict"], report["subject"]["value"]) == ("VALID", facts["readings"][0]["value"])


def test_a_plant_passes_with_everything_and_is_found_out_when_it_lost_tiles_and_changed_a_byte(
    settings: tuple[MillChain, str],
) -> None:
    """Ten tiles are gone with their rows; of an eleventh one digit was changed, in the file and in the database."""
    chain, config = settings
    passes(chain, config)
    data = Path(config).parent / "data"
    raw = RawFolder(data / "raw")
    with closing(sqlite3.connect(data / "gateway.db")) as database, database:
        for number in range(10, 20):
            raw.path(1, number).unlink()
            database.execute("UPDATE reading SET value = '0' WHERE leaf = ?", (number * TILE_WIDTH,))
        damaged = raw.path(1, 30)
        content = damaged.read_bytes()
        damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        database.execute("UPDATE reading SET value = '1.5' WHERE leaf = ?", (30 * TILE_WIDTH + 5,))
    done = challenged(chain, config)
    assert done["refused_tiles"] >= 8
    assert done["tiles"] + done["refused_tiles"] > TILES * 0.9
    assert f"未通过：{done['refused_tiles']} 个数据块未能出示" in page(chain)
    chain.people["inspector"].inspect(HISTORIAN, PERIOD, [])
    assert verified(chain) == ("INVALID", {"CHALLENGE_FAIL"})
