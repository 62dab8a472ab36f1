"""`cunzheng gateway export`: a whole copy of a running gateway that opens elsewhere, or none at all."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import START
from small_centre import CODE, SmallCentre

from cunzheng.cli import cunzheng
from evidence.reading import Flag, Reading
from gateway.assembly import Gateway, open_gateway
from gateway.clock import SteppedClock
from gateway.errors import DamagedError, RefusedError
from gateway.export import export_copy
from gateway.reading_store import insert_readings
from gateway.settings import load_settings

SITE = """
[[import]]
id = "historian"
[[device]]
id = "em1"
profile = "own/meter.yaml"
host = "127.0.0.1"
parameters = { max_power_kw = 100 }
[[channel]]
id = "TEMP"
device = "historian"
kind = "value"
unit = "degC"
"""
SETTINGS = """
data = "below/data"
site = "below/site.toml"
[centre]
url = "{url}"
ca_file = "below/ca.pem"
[mqtt]
host = "127.0.0.1"
password_file = "secret"
username = "锅炉 \\"A\\""
[hj212]
port = 0
peers = ["10.0.0.0/8"]
"""


@pytest.fixture(scope="module")
def centre() -> Iterator[SmallCentre]:
    with SmallCentre() as made:
        yield made


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, centre: SmallCentre, root: Path) -> Path:
    """An enrolled gateway with two raw tiles."""
    folder = tmp_path_factory.mktemp("plant")
    (folder / "below/own").mkdir(parents=True)
    (folder / "gateway.toml").write_text(SETTINGS.format(url=centre.url).replace('ca_file = "below/ca.pem"\n', ""))
    (folder / "below/site.toml").write_text(SITE, "utf-8")
    shutil.copy(root / "device_profiles/definitions/eastron-sdm630.yaml", folder / "below/own/meter.yaml")
    assert called(folder, "enrol", CODE).exit_code == 0
    clock = SteppedClock(START)
    with open_gateway(folder / "gateway.toml", clock) as gateway:
        live(gateway, clock, 600)
    (folder / "below/ca.pem").write_text("certificate")
    (folder / "gateway.toml").write_text(SETTINGS.format(url=centre.url))
    (folder / "secret").write_text("password")
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "plant")
    return tmp_path / "plant"


def live(gateway: Gateway, clock: SteppedClock, count: int) -> None:
    """Store readings of an hour and seal it."""
    now = clock.now()
    times = [now + timedelta(seconds=n) for n in range(count)]
    readings = [Reading("TEMP", time, Decimal(n), "degC", Flag.NORMAL, time) for n, time in enumerate(times)]
    arrivals = [gateway.pipeline.arrival(one) for one in readings]
    gateway.writer.call(lambda store: insert_readings(store, arrivals))
    clock.set(now + timedelta(hours=1))
    gateway.pipeline.seal_due(timedelta(0))


def called(folder: Path, *words: str) -> Result:
    command, *rest = words
    return CliRunner().invoke(cunzheng, ["gateway", command, "-c", str(folder / "gateway.toml"), *rest])


def facts(folder: Path, command: str) -> dict[str, Any]:
    result = called(folder, command, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def nothing(what: str, done: int, total: int) -> None:
    """Show no progress."""


def test_copy_opens_on_another_machine(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    said = json.loads(called(folder, "export", str(copy), "--json").stdout)
    assert (said["readings"], said["with_key"], said["missing"]) == (600, False, [])
    before = facts(folder, "status")
    shutil.rmtree(folder)
    moved = tmp_path / "elsewhere" / "copy"
    moved.parent.mkdir()
    copy.rename(moved)
    after = facts(moved, "status")
    for one in (before, after):
        del one["disk"]
    assert after == before
    checked = facts(moved, "check")
    assert (checked["ok"], checked["readings"], checked["tiles"], checked["segments"]) == (True, 600, 2, 1)
    assert json.loads((moved / "trust.json").read_text("utf-8"))["v"] == 1
    refused = called(moved, "close")
    assert refused.exit_code == 3
    assert "gateway.key" in refused.stderr


def test_copy_names_every_file_and_holds_no_secret(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert called(folder, "export", str(copy)).exit_code == 0
    files = sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file())
    listed = json.loads((copy / "manifest.json").read_text("utf-8"))["files"]
    assert files == sorted([*(one["path"] for one in listed), "manifest.json"])
    assert files == [
        "centre-ca.pem",
        "data/gateway.db",
        "data/raw/1/000000/000.json.gz",
        "data/raw/1/000000/001.json.gz",
        "gateway.toml",
        "manifest.json",
        "own/meter.yaml",
        "site.toml",
        "trust.json",
    ]
    assert {stat.S_IMODE((copy / name).stat().st_mode) for name in files if name.startswith("data/")} == {0o600}
    there, here = load_settings(folder / "gateway.toml"), load_settings(copy / "gateway.toml")
    assert there.mqtt is not None
    assert here.mqtt is not None
    assert here.model_copy(update={"data": 0, "site": 0, "centre": 0, "mqtt": 0}) == there.model_copy(
        update={"data": 0, "site": 0, "centre": 0, "mqtt": 0}
    )
    assert (here.mqtt.username, here.centre.ca_file) == (there.mqtt.username, copy / "centre-ca.pem")


def test_key_goes_along_only_when_asked_for(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert json.loads(called(folder, "export", str(copy), "--with-key", "--json").stdout)["with_key"]
    assert (copy / "data/gateway.key").read_bytes() == (folder / "below/data/gateway.key").read_bytes()
    assert stat.S_IMODE((copy / "data/gateway.key").stat().st_mode) == 0o600
    text = (copy / "gateway.toml").read_text("utf-8")
    (copy / "gateway.toml").write_text(text.replace('ca_file = "centre-ca.pem"', ""), "utf-8")
    assert called(copy, "close").exit_code == 0


@pytest.mark.parametrize("name", ["data/gateway.db", "data/raw/1/000000/001.json.gz", "trust.json", "gone"])
def test_changed_copy_is_noticed(folder: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "copy"
    assert called(folder, "export", str(copy)).exit_code == 0
    if name == "gone":
        (copy / "site.toml").unlink()
    elif name == "data/gateway.db":
        with closing(sqlite3.connect(copy / name)) as connection:
            connection.execute("DELETE FROM problem")
            connection.execute("INSERT INTO problem VALUES ('a', 'b', 'c', 'd')")
            connection.commit()
    else:
        (copy / name).write_bytes((copy / name).read_bytes() + b"x")
    checked = called(copy, "check")
    assert checked.exit_code == 1
    assert "manifest" in checked.output


def test_copy_is_one_snapshot_while_the_gateway_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.export._PAGES", 16)
    settings = load_settings(folder / "gateway.toml")
    (folder / "below/ca.pem").unlink()
    clock = SteppedClock(START + timedelta(hours=2))
    with open_gateway(settings, clock) as gateway:
        lived = []

        def go_on(what: str, done: int, total: int) -> None:
            lived.append(what)
            live(gateway, clock, 70)

        done = export_copy(folder / "gateway.toml", settings, tmp_path / "copy", START, go_on)
    assert lived.count("database") > 3
    assert (done.readings, done.missing) == (600, ("centre-ca.pem",))
    checked = facts(tmp_path / "copy", "check")
    assert (checked["ok"], checked["readings"]) == (True, 600)
    assert facts(folder, "check")["readings"] == 600 + 70 * len(lived)


def test_existing_target_is_refused_and_left_alone(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("copy", "link"):
        refused = called(folder, "export", str(tmp_path / name))
        assert refused.exit_code == 1
        assert "exists and is never written over" in refused.stderr
    assert list((tmp_path / "copy").iterdir()) == []
    assert called(folder, "export", str(tmp_path / "no" / "copy")).exit_code == 3


@pytest.mark.parametrize("fault", ["no space", "killed"])
def test_interrupted_export_leaves_no_target(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    error: BaseException = OSError(28, "No space left on device") if fault == "no space" else KeyboardInterrupt()

    def fail() -> None:
        raise error

    monkeypatch.setattr(os, "sync", fail)
    settings = load_settings(folder / "gateway.toml")
    with pytest.raises(RefusedError if fault == "no space" else KeyboardInterrupt):
        export_copy(folder / "gateway.toml", settings, tmp_path / "copy", START, nothing)
    assert [path.name for path in tmp_path.iterdir()] == ["plant"]


def test_missing_tile_is_named_and_malformed_database_is_not_copied(folder: Path, tmp_path: Path) -> None:
    settings = load_settings(folder / "gateway.toml")
    (settings.raw_folder / "1/000000/000.json.gz").unlink()
    done = export_copy(folder / "gateway.toml", settings, tmp_path / "copy", START, nothing)
    assert done.missing == ("data/raw/1/000000/000.json.gz",)
    data = bytearray(settings.database.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 8192] = bytes(8192)
    settings.database.write_bytes(data)
    with pytest.raises(DamagedError, match="no copy was made"):
        export_copy(folder / "gateway.toml", settings, tmp_path / "second", START, nothing)
    assert not (tmp_path / "second").exists()
