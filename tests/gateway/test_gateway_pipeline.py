"""The two hand-offs: nothing lost, nothing twice, whatever is killed in between."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import SITE, START, Plant

from evidence.merkle import leaf_hash, verify_consistency
from evidence.merkle import root as merkle_root
from evidence.reading import Flag, Reading, leaf_line
from evidence.tile_proof import TileProof, verify_tile
from gateway import sealer
from gateway.answers import answer_want
from gateway.chain import mark, outgoing, own_statements
from gateway.errors import MisuseError, StoreError
from gateway.integrity import check_store
from gateway.rawtile import RawFolder
from gateway.reading_store import Arrival, insert_readings, sealed_readings
from gateway.store import Store
from gateway.tree import ReadingTree
from sync import TileWanted


class PowerCutError(Exception):
    """The test pulled the plug here."""


def temperatures(plant: Plant, count: int, *, step_s: int = 5, start: int = 0) -> list[Arrival]:
    made = []
    for number in range(start, start + count):
        time = START + timedelta(seconds=step_s * number)
        value = Decimal(number) / 10
        made.append(
            plant.pipeline.arrival(Reading("TEMP", time, value, "degC", Flag.NORMAL, time, raw=f"{number:04x}"))
        )
    return made


def stored(plant: Plant, arrivals: list[Arrival]) -> int:
    return plant.writer.call(lambda store: insert_readings(store, arrivals))


def leaf_hashes(store: Store, raw: RawFolder, size: int) -> list[bytes]:
    """Hash the leaf lines anew from rows and salts."""
    hashes = []
    for reading in sealed_readings(store, 1, 0, size):
        assert reading.leaf is not None
        salt = store.value("SELECT salt FROM tile WHERE epoch = 1 AND level = 1 AND n = ?", (reading.leaf // 256,))
        salt = salt or store.value("SELECT salt FROM tree WHERE epoch = 1")
        hashes.append(leaf_hash(leaf_line(reading.to_leaf(), salt)))
    return hashes


def assert_sound(plant: Plant, expected_readings: int) -> list[dict[str, Any]]:
    """Check tree, roots, proofs, chain and counts; return the segments."""
    raw = plant.pipeline.raw
    segments = [dict(one.payload) for one in plant.writer.call(lambda store: own_statements(store, "segment"))]
    proofs = {one.jws: one.consistency for one in plant.writer.call(lambda store: outgoing(store, 10_000))}
    statements = plant.writer.call(lambda store: own_statements(store, "segment"))
    size = segments[-1]["tree"]["end"]
    hashes = plant.writer.call(lambda store: leaf_hashes(store, raw, size))
    end, old_root = 0, b""
    for statement in statements:
        tree = statement.payload["tree"]
        assert tree["start"] == end
        assert tree["root"] == merkle_root(hashes[: tree["end"]]).hex()
        if end:
            path = [bytes.fromhex(one) for one in proofs[statement.jws] or ()]
            verify_consistency(end, tree["end"], path, old_root, bytes.fromhex(tree["root"]))
        end, old_root = tree["end"], bytes.fromhex(tree["root"])
    assert sum(entry["n"] for one in segments for entry in one["ch"]) == expected_readings == size
    report = plant.writer.call(lambda store: check_store(store, raw, repair=False))
    assert report.faults == []
    return segments


def test_tree_root_is_the_merkle_root_of_the_leaf_lines(plant: Plant, rng: random.Random) -> None:
    sent = 0
    while sent < 3000:
        count = rng.choice((1, 3, 50, 255, 256, 257, 700))
        stored(plant, temperatures(plant, count, start=sent))
        sent += count
        plant.clock.set(START + timedelta(seconds=5 * sent))
        if rng.random() < 0.7:
            plant.pipeline.seal_due(timedelta(0))
    plant.clock.advance(timedelta(hours=2))
    plant.pipeline.seal_due(timedelta(0))
    segments = assert_sound(plant, sent)
    assert [one["span"][0] for one in segments] == sorted({one["span"][0] for one in segments})


def test_hour_waits_for_its_grace(plant: Plant) -> None:
    stored(plant, temperatures(plant, 10))
    plant.clock.set(START + timedelta(hours=1, seconds=119))
    assert plant.pipeline.seal_due(timedelta(seconds=120)).segments == 0
    plant.clock.advance(timedelta(seconds=1))
    assert plant.pipeline.seal_due(timedelta(seconds=120)).segments == 1


def test_reading_that_comes_late_gets_a_segment_of_its_own_hour(plant: Plant) -> None:
    stored(plant, temperatures(plant, 10))
    plant.clock.set(START + timedelta(hours=3))
    plant.pipeline.seal_due(timedelta(0))
    stored(plant, temperatures(plant, 1, start=100))
    plant.pipeline.seal_due(timedelta(0))
    first, second = assert_sound(plant, 11)
    assert first["span"] == second["span"]
    assert "hour" not in second["ch"][0]


def test_restart_goes_on_where_it_stopped(plant: Plant) -> None:
    stored(plant, temperatures(plant, 1000))
    plant.clock.set(START + timedelta(hours=1))
    plant.pipeline.seal_due(timedelta(0))
    again = plant.reopen()
    try:
        stored(again, temperatures(again, 1000, start=1000))
        again.clock.set(START + timedelta(hours=4))
        again.pipeline.seal_due(timedelta(0))
        assert_sound(again, 2000)
        chain = again.writer.call(own_statements)
        assert [one.payload["seq"] for one in chain] == list(range(1, len(chain) + 1))
        assert [one.payload["prev"] for one in chain[1:]] == [one.sid for one in chain[:-1]]
        assert chain[0].payload["type"] == "epoch-open"
        assert [one.payload["type"] for one in chain if one.kind == "event"] == ["epoch-open", "config", "config"]
    finally:
        again.writer.close()


@pytest.mark.parametrize("step", ["raw tile", "raw folder", "leaves", "statement", "baselines", "tree state"])
def test_power_cut_between_any_two_steps_of_sealing_loses_nothing(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    stored(plant, temperatures(plant, 600))
    plant.clock.set(START + timedelta(hours=2))

    def cut_after(function: Callable[..., Any]) -> Callable[..., Any]:
        def cut(*args: Any, **kwargs: Any) -> Any:
            function(*args, **kwargs)
            raise PowerCutError

        return cut

    with monkeypatch.context() as patch:
        match step:
            case "raw tile":
                patch.setattr(RawFolder, "write", cut_after(RawFolder.write))
            case "raw folder":
                patch.setattr(RawFolder, "settle", cut_after(RawFolder.settle))
            case "leaves":
                patch.setattr(sealer, "assign_leaves", cut_after(sealer.assign_leaves))
            case "statement":
                patch.setattr(sealer, "append", cut_after(sealer.append))
            case "baselines":
                patch.setattr(sealer, "save_baselines", cut_after(sealer.save_baselines))
            case "tree state":
                patch.setattr(ReadingTree, "save", cut_after(ReadingTree.save))
        with pytest.raises(PowerCutError):
            plant.pipeline.seal_due(timedelta(0))
    again = plant.reopen()
    try:
        assert again.writer.call(lambda store: own_statements(store, "segment")) == []
        again.pipeline.seal_due(timedelta(0))
        assert_sound(again, 600)
    finally:
        again.writer.close()


def test_full_disk_seals_nothing_and_later_everything(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(plant, temperatures(plant, 600))
    plant.clock.set(START + timedelta(hours=2))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("gateway.rawtile._write_durably", full)
        with pytest.raises(StoreError, match="No space left"):
            plant.pipeline.seal_due(timedelta(0))
    plant.pipeline.seal_due(timedelta(0))
    assert_sound(plant, 600)


def test_damaged_raw_tile_is_found_and_repaired_from_the_rows(plant: Plant) -> None:
    stored(plant, temperatures(plant, 600))
    plant.clock.set(START + timedelta(hours=2))
    plant.pipeline.seal_due(timedelta(0))
    path = plant.pipeline.raw.path(1, 1)
    good = path.read_bytes()
    path.write_bytes(good[:-20])
    found = plant.writer.call(lambda store: check_store(store, plant.pipeline.raw, repair=False))
    assert [fault for fault in found.faults if "missing or damaged" in fault] == found.faults != []
    report = plant.writer.call(lambda store: check_store(store, plant.pipeline.raw, repair=True))
    assert (report.repaired, report.faults) == (1, [])
    assert path.read_bytes() == good
    plant.pipeline.open()


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("UPDATE reading SET value = '9999' WHERE leaf = 10", "rows of tile 0 do not give its root"),
        ("UPDATE reading SET time = '2026-03-01T00:00:00.001Z' WHERE leaf = 599", "another root"),
        ("DELETE FROM statement WHERE kind = 'event' AND seq = 2", "the chain breaks before statement 1/3"),
        ("UPDATE tree SET edge = zeroblob(length(edge))", "does not fit its tiles"),
    ],
)
def test_check_finds_what_was_changed_in_the_database(plant: Plant, sql: str, says: str) -> None:
    stored(plant, temperatures(plant, 600))
    plant.clock.set(START + timedelta(hours=2))
    plant.pipeline.seal_due(timedelta(0))
    plant.writer.call(lambda store: store.execute("PRAGMA defer_foreign_keys = ON"))
    plant.writer.close()
    store = Store(plant.folder / "gateway.db")
    store.execute("PRAGMA foreign_keys = OFF")
    store.execute(sql)
    report = check_store(store, plant.pipeline.raw, repair=False)
    store.close()
    assert any(says in fault for fault in report.faults), report.faults


@pytest.mark.parametrize("tile", [0, 1, 2])
def test_wanted_tile_proves_itself_against_a_logged_segment(plant: Plant, tile: int) -> None:
    for part in range(6):
        stored(plant, temperatures(plant, 120, step_s=30, start=120 * part))
        plant.clock.set(START + timedelta(hours=part + 1))
        plant.pipeline.seal_due(timedelta(0))
    waiting = plant.writer.call(lambda store: outgoing(store, 100))

    def log_all(store: Store) -> None:
        for one in waiting:
            mark(store, one.sid, "logged", "")

    plant.writer.call(log_all)
    answer = plant.writer.call(lambda store: answer_want(store, plant.pipeline.raw, TileWanted("w", 1, tile)))
    roots = {
        one.payload["tree"]["end"]: bytes.fromhex(one.payload["tree"]["root"])
        for one in plant.writer.call(lambda store: own_statements(store, "segment"))
    }
    proof = TileProof(
        answer.tile,
        answer.size,
        bytes.fromhex(answer.tile_salt),
        answer.lines,
        tuple(bytes.fromhex(one) for one in answer.path),
        answer.raw,
    )
    leaves = verify_tile(proof, roots[answer.size])
    assert leaves[0].index == tile * 256
    assert len(answer.raw) == len(answer.lines) == len(leaves)
    changed = replace(proof, lines=(proof.lines[0].replace("TEMP", "TEMQ"), *proof.lines[1:]))
    with pytest.raises(Exception, match="INCLUSION_FAIL"):
        verify_tile(changed, roots[answer.size])


def test_other_programs_database_is_not_touched(tmp_path: Path) -> None:
    store = Store(tmp_path / "x.db")
    store.execute("PRAGMA application_id = 7")
    store.close()
    with pytest.raises(StoreError, match="is not a gateway database"):
        Store(tmp_path / "x.db")


def test_failed_function_leaves_nothing_behind(plant: Plant) -> None:
    def half(store: Store) -> None:
        store.put("half", "done")
        raise PowerCutError

    with pytest.raises(PowerCutError):
        plant.writer.call(half)
    assert plant.writer.call(lambda store: store.get("half")) is None


def test_closed_writer_says_so(plant: Plant) -> None:
    plant.writer.close()
    with pytest.raises(StoreError, match="closed"):
        plant.writer.call(lambda store: store.get("x"))


def test_unknown_channel_kind_in_site_is_misuse(make_plant: Callable[..., Plant]) -> None:
    with pytest.raises(MisuseError, match=r"key channel.0.kind"):
        make_plant(
            '[[import]]\nid = "h"\n[[channel]]\nid = "A"\ndevice = "h"\nkind = "sum"\nunit = "kWh"\n',
        )


@pytest.mark.parametrize(("old", "new"), [('unit = "kWh"', 'unit = "MWh"'), ('kind = "interval"', 'kind = "value"')])
def test_declared_channel_keeps_its_unit_and_kind(make_plant: Callable[..., Plant], old: str, new: str) -> None:
    plant = make_plant(SITE)
    plant.writer.close()
    with pytest.raises(MisuseError, match="new id"):
        make_plant(SITE.replace(old, new))
    make_plant(SITE)


def test_reading_of_an_impossible_time_is_sealed_with_the_hour_in_which_it_came(plant: Plant) -> None:
    said = Reading("TEMP", datetime(1, 1, 2, tzinfo=UTC), Decimal(5), "degC", Flag.NORMAL, START)
    plant.writer.call(lambda store: insert_readings(store, [plant.pipeline.arrival(said)]))
    plant.clock.set(START + timedelta(hours=2))
    assert plant.pipeline.seal_due(timedelta(0)).readings == 1
    (segment,) = plant.writer.call(lambda store: own_statements(store, "segment"))
    assert segment.payload["ch"] == [{"id": "TEMP", "n": 1, "valid": 0}]


def test_check_speaks_the_language_of_the_person(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant.writer.call(lambda store: store.execute("DELETE FROM outbox"))
    plant.writer.close()
    store = Store(plant.folder / "gateway.db")
    said = []
    for lang in ("zh", "en"):
        monkeypatch.setenv("CUNZHENG_LANG", lang)
        said.append(check_store(store, plant.pipeline.raw, repair=False).faults[0])
    store.close()
    assert "从未进入待传队列" in said[0]
    assert "was never queued" in said[1]
