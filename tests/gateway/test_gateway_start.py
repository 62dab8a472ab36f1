"""The start of a gateway: what it checks, what it puts right by itself, and what it refuses to go on with."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import LOG, ORIGIN, SEED, SITE, START, Plant, open_plant

from evidence.keys import SigningKey
from evidence.reading import Flag, Reading
from gateway.chain import own_statements
from gateway.clock import SteppedClock
from gateway.damage import (
    RESCUED,
    damaged_folders,
    finish_putting_aside,
    is_malformed,
    last_epoch,
    put_aside,
    refuse_after_damage,
)
from gateway.errors import DamagedError, IntegrityError
from gateway.identity import Identity
from gateway.integrity import check_store
from gateway.pipeline import REPAIRED
from gateway.problems import problems
from gateway.rawtile import RawFolder
from gateway.reading_store import insert_readings
from gateway.settings import CentreSettings, Settings
from gateway.store import Store
from gateway.tree import ReadingTree

READINGS = 700
"""Two full tiles and a part of the third."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """A plant with one sealed hour; closed, and only copied."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "site.toml").write_text(SITE, "utf-8")
    kid = SigningKey.from_seed(SEED).kid
    identity = Identity("GW-0001", "P-0001", "Asia/Shanghai", 1, kid, ORIGIN, LOG.text)
    made = open_plant(folder, SteppedClock(START), identity)
    fill(made)
    made.writer.close()
    return made


@pytest.fixture
def plant(template: Plant, tmp_path: Path) -> Iterator[Plant]:
    """An open copy of it."""
    shutil.copytree(template.folder, tmp_path, dirs_exist_ok=True)
    made = open_plant(tmp_path, SteppedClock(template.clock.now()), template.identity)
    yield made
    made.writer.close()


def fill(plant: Plant, count: int = READINGS) -> None:
    """Store readings of one hour and seal them."""
    begin = plant.clock.now()
    readings = [
        Reading("TEMP", begin + timedelta(seconds=n), Decimal(n), "degC", Flag.NORMAL, begin) for n in range(count)
    ]
    arrivals = [plant.pipeline.arrival(one) for one in readings]
    plant.writer.call(lambda store: insert_readings(store, arrivals))
    plant.clock.set(begin + timedelta(hours=2))
    plant.pipeline.seal_due(timedelta(0))


def change(plant: Plant, *statements: str) -> None:
    """Change the closed database behind the gateway's back."""
    plant.writer.close()
    with closing(sqlite3.connect(plant.folder / "gateway.db")) as connection:
        for sql in statements:
            connection.execute(sql)
        connection.commit()


def sound(plant: Plant) -> None:
    report = plant.writer.call(lambda store: check_store(store, plant.pipeline.raw, repair=False))
    assert report.faults == []


def repaired(plant: Plant) -> list[dict[str, Any]]:
    """What the newest event says was repaired."""
    return list(plant.writer.call(lambda store: own_statements(store, "event"))[-1].payload["data"]["repaired"])


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (["UPDATE tree SET edge = zeroblob(length(edge))"], ["edge"]),
        (["UPDATE tree SET edge = x''"], ["edge"]),
        (["UPDATE tree SET edge = substr(edge, 1, 40)"], ["edge"]),
        (["UPDATE tree SET size = size - 100"], ["edge"]),
        (["UPDATE tree SET size = size + 512"], ["edge"]),
        (["DELETE FROM tile WHERE n = 1"], ["tile roots", "edge"]),
        (["UPDATE tile SET hash = zeroblob(32)", "UPDATE tree SET edge = x''"], ["tile roots", "edge"]),
    ],
)
def test_right_edge_is_computed_again_and_the_repair_is_signed_and_shown(
    plant: Plant, changes: list[str], what: list[str]
) -> None:
    change(plant, *changes)
    again = open_plant(plant.folder, plant.clock, plant.identity)
    assert [one["what"] for one in repaired(again)] == what
    assert [one.key for one in again.writer.call(problems)] == [REPAIRED]
    sound(again)
    fill(again)
    sound(again)
    again = again.reopen()
    assert again.writer.call(problems) == []
    again.writer.close()


@pytest.mark.parametrize("damage", ["gone", "torn", "empty", "another"])
def test_newest_raw_tiles_are_built_again_from_the_rows(plant: Plant, damage: str) -> None:
    raw = plant.pipeline.raw
    path = raw.path(1, 1)
    good = path.read_bytes()
    plant.writer.close()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes({"torn": good[:700], "empty": b"", "another": raw.path(1, 0).read_bytes()}[damage])
    again = open_plant(plant.folder, plant.clock, plant.identity)
    assert repaired(again) == [{"what": "raw tiles", "count": 1}]
    assert path.read_bytes() == good
    sound(again)
    again.writer.close()


def test_old_raw_tile_is_built_again_when_it_is_wanted(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.start_check.NEWEST_TILES", 1)
    path = plant.pipeline.raw.path(1, 0)
    good = path.read_bytes()
    path.unlink()
    again = plant.reopen()
    assert not path.exists()
    tile = again.writer.call(lambda store: ReadingTree(store, again.pipeline.raw, 1, bytes).prove_tile(0, READINGS))
    assert len(tile.lines) == 256
    assert path.read_bytes() == good
    again.writer.close()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["DELETE FROM tree"], "the reading tree of epoch 1 is missing"),
        (["UPDATE tree SET salt = zeroblob(32)", "UPDATE tree SET edge = x''"], "root signed last"),
        (["UPDATE reading SET value = '9' WHERE leaf = 699", "UPDATE tree SET edge = x''"], "root signed last"),
        (["UPDATE reading SET value = '9' WHERE leaf = 699"], "root signed last"),
        (["DELETE FROM reading WHERE leaf = 699"], "root signed last"),
        (["DELETE FROM tile WHERE n = 1", "UPDATE reading SET value = '9' WHERE leaf = 300"], None),
        (["DELETE FROM segment"], "the segments of epoch 1"),
        (["DELETE FROM segment", "DELETE FROM statement WHERE kind = 'segment'"], "missing"),
        (["DELETE FROM outbox WHERE id = (SELECT max(id) FROM outbox)"], "the queue of statements ends at"),
        (["DELETE FROM statement WHERE seq = (SELECT max(seq) FROM statement)"], "missing"),
        (["DELETE FROM statement"], "the chain of statements is missing"),
        (["UPDATE statement SET jws = 'x' WHERE seq = (SELECT max(seq) FROM statement)"], "statement 1/"),
        (["UPDATE statement SET sid = 'x' WHERE seq = (SELECT max(seq) - 1 FROM statement)"], "statement "),
    ],
)
def test_what_cannot_be_computed_is_refused_and_nothing_is_begun_anew(
    plant: Plant, changes: list[str], says: str | None
) -> None:
    change(plant, *changes)
    if says is None:  # the raw tile alone gives the root
        open_plant(plant.folder, plant.clock, plant.identity).writer.close()
        return
    with pytest.raises(IntegrityError, match=says) as refused:
        open_plant(plant.folder, plant.clock, plant.identity)
    assert "enrol --again" in refused.value.en
    assert "enrol --again" in refused.value.zh


# -- a malformed database ----------------------------------------------------------------------------------


def settings_of(folder: Path) -> Settings:
    return Settings(data=folder, site=folder / "site.toml", centre=CentreSettings(url="http://127.0.0.1:9"))


def malform(path: Path, how: str, rng: random.Random) -> None:
    """Damage a database file so that SQLite notices."""
    data = bytearray(path.read_bytes())
    if how == "no header":
        data[:100] = bytes(100)
    elif how == "cut":
        del data[len(data) // 8192 * 4096 :]
    else:
        with closing(sqlite3.connect(path)) as connection:
            (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'reading'").fetchone()
        for page in [root - 1] if how == "root" else rng.sample(range(60, len(data) // 4096), 6):
            data[page * 4096 : page * 4096 + 4096] = rng.randbytes(4096)
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["no header", "cut", "root", "pages"])
def test_malformed_database_is_put_aside_whole_and_read_out(plant: Plant, how: str, rng: random.Random) -> None:
    plant.writer.close()
    path = plant.folder / "gateway.db"
    malform(path, how, rng)
    damaged = path.read_bytes()
    assert is_malformed(path)
    settings = settings_of(plant.folder)
    found = put_aside(settings, START)
    assert (found.folder / "gateway.db").read_bytes() == damaged
    assert not path.exists()
    # Whole tiles hold their readings by themselves; what is in none is read from the pages that are left.
    assert 2 * 256 <= found.readings <= READINGS - (how == "no header") - (how == "root")
    if how != "no header":
        with closing(sqlite3.connect(found.folder / RESCUED)) as rescued:
            rows = rescued.execute("SELECT seq, value FROM reading").fetchall()
        assert all(Decimal(value) == seq - 1 for seq, value in rows)
        assert last_epoch(settings) == 1
    assert len(RawFolder(settings.raw_folder).read(1, 1).lines) == 256
    for lang, says in (("zh", "原文件已移至"), ("en", "nothing is deleted")):
        with pytest.raises(DamagedError) as refused:
            refuse_after_damage(settings)
        assert says in getattr(refused.value, lang)
        assert "cunzheng gateway enrol" in getattr(refused.value, lang)


def test_interrupted_move_leaves_no_log_for_another_database(plant: Plant) -> None:
    database = plant.folder / "gateway.db"
    plant.writer.call(lambda store: store.put("a", "b"))
    copied = {end: (plant.folder / f"gateway.db{end}").read_bytes() for end in ("", "-wal")}
    plant.writer.close()
    folder = plant.folder / "damaged-20260301T000000Z"
    folder.mkdir()
    (folder / "gateway.db").write_bytes(copied[""])
    database.unlink()
    (plant.folder / "gateway.db-wal").write_bytes(copied["-wal"])
    finish_putting_aside(database)
    assert damaged_folders(plant.folder) == [folder]
    assert (folder / "gateway.db-wal").read_bytes() == copied["-wal"]
    assert not (plant.folder / "gateway.db-wal").exists()


def test_sound_database_is_not_malformed(plant: Plant) -> None:
    assert not is_malformed(plant.folder / "gateway.db")


def test_store_says_that_a_file_is_malformed(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database" * 1000)
    with pytest.raises(DamagedError, match="malformed"):
        Store(tmp_path / "x.db")


def test_lost_epoch_is_never_written_over(plant: Plant) -> None:
    settings = settings_of(plant.folder)
    assert last_epoch(settings) == 1
    plant.writer.close()
    later = replace(plant.identity, epoch=last_epoch(settings) + 1)
    again = open_plant(plant.folder, plant.clock, later)
    fill(again, 300)
    sound(again)
    again.writer.close()
    assert sorted(path.name for path in settings.raw_folder.iterdir()) == ["1", "2"]
