"""Damage is named by its place, by `center check` and by the centre itself while it runs; forks are kept as files."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from device_double import Device, bare_center

from cunzheng.cli import cunzheng
from evidence.contradiction import prove
from evidence.errors import Code
from sync import PushItem, Status
from webapp import create_app, export, store_log
from webapp.center import Center
from webapp.chores import Chores, damage_file
from webapp.errors import LogRefusedError
from webapp.log_scrub import scrub
from webapp.settings import load
from webapp.submission import submit

COUNT = 600


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A centre whose log fills two tiles and begins a third."""
    folder = tmp_path_factory.mktemp("filled")
    center, device = bare_center(folder), Device()
    device.enrol(center)
    for _ in range(3):
        results = submit(center, [device.event() for _ in range(COUNT // 3)])
        assert {result.status for result in results} == {Status.LOGGED}
    center.database.close()
    return folder


@pytest.fixture
def center(filled: Path, tmp_path: Path) -> Center:
    shutil.copytree(filled / "data", tmp_path / "data")
    (tmp_path / "center.toml").write_text('data_dir = "data"\n[log]\norigin = "log.example/evidence"\n')
    return Center.open(load(tmp_path / "center.toml"))


def check(center: Center, *flags: str) -> Result:
    config = center.settings.data_dir.parent / "center.toml"
    return CliRunner().invoke(cunzheng, ["center", "check", "-c", str(config), *flags], standalone_mode=False)


def flipped(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def sql(center: Center, statement: str) -> None:
    center.database.close()
    with closing(sqlite3.connect(center.settings.data_dir / "center.sqlite")) as connection, connection:
        connection.execute(statement)


def places(center: Center) -> list[str]:
    return [damage.place for step in scrub(center.log, center.database) for damage in step]


def test_whole_log_has_no_damage(center: Center) -> None:
    assert places(center) == []
    facts = json.loads(check(center, "--json").output)
    assert (facts["size"], facts["mended"]) == (COUNT + 2, [])


TileCrime = Callable[[Path], None]
TILE_CRIMES: list[tuple[TileCrime, list[str]]] = [
    (lambda tile: flipped(tile / "0/000", 40), ["tile/0/000"]),
    (lambda tile: flipped(tile / "0/001", 8191), ["tile/0/001"]),
    (lambda tile: flipped(tile / "entries/001", 700), ["tile/entries/001"]),
    (lambda tile: flipped(tile / "entries/000", 0), ["tile/entries/000"]),
    (lambda tile: flipped(tile / "0/002.p/90", 5), ["tile/0/002.p/90"]),
    (lambda tile: (tile / "0/001").unlink(), ["tile/0/001"]),
    (lambda tile: (tile / "0/001").write_bytes((tile / "0/001").read_bytes()[:-40]), ["tile/0/001"]),
    (lambda tile: flipped(tile / "1/000.p/2", 33), ["tile/1/000.p/2"]),
    (lambda tile: (tile / "1/000.p/2").unlink(), ["tile/1/000.p/2"]),
    (lambda tile: shutil.rmtree(tile / "entries"), ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/90"]),
]


@pytest.mark.parametrize(("crime", "named"), TILE_CRIMES, ids=[str(named[0]) for _, named in TILE_CRIMES])
def test_damaged_tile_is_named_and_written_again(center: Center, crime: TileCrime, named: list[str]) -> None:
    crime(center.log.folder / "tile")
    found = places(center)
    # The tile above a damaged one does not fit it any more, and is named, too.
    assert set(named) <= set(found) <= {*named, "tile/1/000.p/2"}
    facts = json.loads(check(center, "--json").output)
    assert set(named) <= set(facts["mended"])
    assert places(center) == []


ROW_CRIMES = [
    ("UPDATE log_entry SET jws = 'x' || substr(jws, 2) WHERE idx = 300", {"entry 300", "tile/0/001", "checkpoint 402"}),
    ("UPDATE log_entry SET leaf_hash = x'00' WHERE idx = 300", {"entry 300"}),
    ("DELETE FROM log_entry WHERE idx = 300", {"entry 300"}),
    ("UPDATE checkpoint SET text = replace(text, '402', '403') WHERE size = 402", {"checkpoint 402"}),
    ("UPDATE checkpoint SET root = 'ab' WHERE size = 402", {"checkpoint 402"}),
]


@pytest.mark.parametrize(("crime", "named"), ROW_CRIMES, ids=[crime[:40] for crime, _ in ROW_CRIMES])
def test_damaged_row_is_named_and_the_check_says_no(center: Center, crime: str, named: set[str]) -> None:
    sql(center, crime)
    assert named <= set(places(center))
    result = check(center)
    assert isinstance(result.exception, LogRefusedError)
    if "402" not in crime:
        assert all(place in result.exception.en for place in named if place.startswith("entry"))


def test_running_centre_finds_damage_by_itself_and_says_so(center: Center) -> None:
    chores = Chores(center)
    client = create_app(center.settings, center=center).test_client()
    for _ in range(30):
        chores._rest = 0
        chores.once()
    assert json.loads(damage_file(center.log.folder).read_bytes())["damaged"] == []
    assert client.get("/healthz").json["status"] == "ok"
    flipped(center.log.folder / "tile/0/000", 40)
    for _ in range(30):
        chores._rest = 0
        chores.once()
    assert "tile/0/000" in json.loads(damage_file(center.log.folder).read_bytes())["damaged"]
    assert "damaged" in client.get("/healthz").json["status"]
    standby = Chores(center)
    assert not standby._has_turn()
    chores.stop()
    assert standby._has_turn()
    standby.stop()


def test_chores_go_on_after_one_failed(center: Center, monkeypatch: pytest.MonkeyPatch) -> None:
    chores = Chores(center)
    monkeypatch.setattr("webapp.chores.TICK_S", 0.01)
    damage_file(center.log.folder).unlink(missing_ok=True)
    monkeypatch.setattr(store_log, "last_checkpoint", lambda session: 1 / 0)
    chores.start()
    while chores._turn is None:
        pass
    monkeypatch.undo()
    chores.stop()
    assert chores._thread is not None
    assert not chores._thread.is_alive()


# --- forks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", ["two gateways with one key", "restored from last week's image"])
def test_fork_is_refused_and_kept_as_a_file_that_proves_itself(center: Center, tmp_path: Path, cause: str) -> None:
    device = Device(gw="GW-0007", key=Device().key.from_seed(b"\x07" * 32))
    device.enrol(center)
    items = [device.event() for _ in range(3)]
    submit(center, items)
    twin = Device(gw=device.gw, key=device.key, seq=1)
    with center.database.reading() as session:
        first = store_log.by_number(session, device.gw, 1, 1)
        assert first is not None
        twin.prev = first.sid
    other = twin.event(data={"note": cause})
    (result,) = submit(center, [other])
    assert (result.status, result.code) == (Status.REFUSED, Code.FORK.value)
    assert submit(center, [PushItem(other.jws)])[0].code == Code.FORK.value
    config = center.settings.data_dir.parent / "center.toml"
    done = CliRunner().invoke(
        cunzheng, ["center", "evidence", "-c", str(config), "--out", str(tmp_path / "out"), "--json"]
    )
    assert done.exit_code == 0, done.output
    (listed,) = json.loads(done.output)["evidence"]
    assert (listed["gw"], listed["seq"]) == ("GW-0007", 2)
    data = (tmp_path / "out" / listed["name"]).read_bytes()
    proven = prove(data, export.trust(center))
    assert (proven.code, proven.facts["gw"], proven.facts["seq"]) == (Code.FORK, "GW-0007", 2)
    assert proven.facts["second"] == result.sid
    assert prove(data).signer == device.key.kid
