"""The log survives kills, refuses what was rolled back, and keeps one order for many writers."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
from device_double import Device, bare_center

from evidence.errors import EvidenceError
from evidence.keys import SigningKey
from evidence.merkle import leaf_hash, root
from evidence.note import parse_checkpoint, verify_checkpoint
from evidence.receipt import Receipt, verify_receipt
from evidence.tiles import TILE_WIDTH, Tile, TileTree, parse_entries
from sync import PushItem, Status
from webapp import log as log_module
from webapp import log_recovery, store_log
from webapp.center import Center
from webapp.errors import LogRefusedError, NotReadyError
from webapp.settings import Settings, from_mapping
from webapp.submission import submit


@pytest.fixture
def center(tmp_path: Path) -> Center:
    return bare_center(tmp_path)


@pytest.fixture
def device(center: Center) -> Device:
    device = Device()
    device.enrol(center)
    return device


def log_all(center: Center, items: list[PushItem]) -> list[str]:
    results = submit(center, items)
    assert {result.status for result in results} == {Status.LOGGED}, results
    return [result.receipt or "" for result in results]


def statements(center: Center) -> list[bytes]:
    with center.database.reading() as session:
        size = store_log.size_of(session)
        return [jws.encode() for _, jws in store_log.statements(session, 0, size)]


def reopened(settings: Settings) -> Center:
    return Center.open(settings)


@pytest.mark.no_cover
def test_tiles_hold_exactly_the_rfc_tree_across_tile_borders(center: Center, device: Device) -> None:
    for count in (1, 100, 250, 3, 260):
        log_all(center, [device.event() for _ in range(count)])
    entries = statements(center)
    published = center.log.published()
    assert published is not None
    assert published.size == len(entries) > 2 * TILE_WIDTH
    assert published.root == root([leaf_hash(entry) for entry in entries])
    assert TileTree(center.log.tiles.read, published.size).root() == published.root
    stored = []
    for number in range(-(-len(entries) // TILE_WIDTH)):
        width = min(TILE_WIDTH, len(entries) - number * TILE_WIDTH)
        stored += parse_entries(center.log.tiles.read_entries(number, width))
    assert stored == entries


def test_narrow_tiles_go_away_but_can_still_be_read(center: Center, device: Device) -> None:
    for _ in range(5):
        log_all(center, [device.event()])
    size = len(statements(center))
    partial = center.log.folder / "tile/0/000.p"
    assert [file.name for file in partial.iterdir()] == [str(size)]
    assert len(center.log.tiles.read(Tile(0, 0, 2))) == 64


def test_every_receipt_verifies_and_is_the_same_forever(center: Center, device: Device) -> None:
    items = [device.event() for _ in range(20)]
    first = log_all(center, items[:10])
    log_all(center, items[10:])
    again = log_all(center, items[:10])
    assert again == first
    for item, text in zip(items, first, strict=False):
        verify_receipt(Receipt.from_text(text), item.jws, center.log.vkey)
    with pytest.raises(EvidenceError):
        verify_receipt(Receipt.from_text(first[0]), items[1].jws, center.log.vkey)


def test_fresh_receipts_lead_to_one_checkpoint(center: Center, device: Device) -> None:
    log_all(center, [device.event() for _ in range(5)])
    log_all(center, [device.event()])
    with center.database.reading() as session:
        receipts = center.log.fresh_receipts(session, range(store_log.size_of(session)))
    assert len({receipt.checkpoint for receipt in receipts}) == 1
    for entry, receipt in zip(statements(center), receipts, strict=True):
        verify_receipt(receipt, entry.decode(), center.log.vkey)


def test_kill_between_commit_and_publish_is_published_at_start(
    center: Center, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_all(center, [device.event()])
    before = center.log.published()

    def killed(self: object, text: str) -> None:
        raise KeyboardInterrupt

    items = [device.event()]
    with monkeypatch.context() as patch:
        patch.setattr(log_module.Log, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            submit(center, items)
    assert center.log.published() == before
    again = reopened(center.settings)
    published = again.log.published()
    assert published is not None
    assert before is not None
    assert published.size == before.size + 1
    assert log_all(again, items)
    assert len(statements(again)) == published.size


def test_kill_between_tiles_and_commit_leaves_no_trace_that_matters(
    center: Center, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_all(center, [device.event() for _ in range(3)])
    lost = device.event()

    def killed(self: object, *args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(log_module.Log, "_sign", killed)
        with pytest.raises(KeyboardInterrupt):
            submit(center, [lost])
    size = len(statements(center))
    assert (center.log.folder / f"tile/0/000.p/{size + 1}").exists()
    # Another writer goes on without a restart, with something else in the same place.
    other = Device(key=device.key, seq=device.seq - 1, prev=None)
    with center.database.reading() as session:
        other.prev = store_log.entries(session, size - 1, size)[0].sid
    log_all(center, [other.event(data={"note": "other"})])
    with reopened(center.settings).database.reading() as session:
        assert log_recovery.check(center.log, session) == size + 1


def test_short_and_damaged_tiles_are_written_again_from_the_rows(center: Center, device: Device) -> None:
    log_all(center, [device.event() for _ in range(300)])
    size = len(statements(center))
    (center.log.folder / f"tile/0/001.p/{size - 256}").write_bytes(b"")
    (center.log.folder / "tile/0/000").write_bytes(b"\0" * 8192)
    shutil.rmtree(center.log.folder / "tile/entries")
    again = reopened(center.settings)
    with again.database.reading() as session:
        assert log_recovery.check(again.log, session) == size
    log_all(again, [device.event()])


def test_restored_database_backup_is_refused(center: Center, device: Device, tmp_path: Path) -> None:
    log_all(center, [device.event()])
    database = center.settings.data_dir / "center.sqlite"
    backup = tmp_path / "backup.sqlite"
    with sqlite3.connect(database) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    log_all(center, [device.event()])
    center.database.close()
    for file in database.parent.glob("center.sqlite*"):
        file.unlink()
    shutil.copy(backup, database)
    with pytest.raises(LogRefusedError, match="restored backup"):
        reopened(center.settings)


def test_database_of_another_history_is_refused(center: Center, device: Device, tmp_path: Path) -> None:
    log_all(center, [device.event()])
    copy = tmp_path / "copy"
    center.database.close()
    shutil.copytree(center.settings.data_dir, copy)
    log_all(center, [device.event(data={"note": "here"})])
    with_other = Center.open(center.settings.model_copy(update={"data_dir": copy}))
    other = Device(key=device.key, seq=device.seq - 1)
    with with_other.database.reading() as session:
        size = store_log.size_of(session)
        other.prev = store_log.entries(session, size - 1, size)[0].sid
    log_all(with_other, [other.event(data={"note": "there"}), other.event(data={"note": "there"})])
    shutil.copy(center.log.checkpoint_file, with_other.log.checkpoint_file)
    with pytest.raises(LogRefusedError, match="another log"):
        reopened(with_other.settings)


def test_changed_row_stops_the_log_and_is_found_by_check(center: Center, device: Device) -> None:
    log_all(center, [device.event() for _ in range(3)])
    center.database.close()
    with sqlite3.connect(center.settings.data_dir / "center.sqlite") as connection:
        connection.execute("UPDATE log_entry SET jws = jws || 'x' WHERE idx = 3")
    connection.close()
    with center.database.reading() as session, pytest.raises(LogRefusedError, match="entry 4 or before"):
        log_recovery.check(center.log, session)
    shutil.rmtree(center.log.folder / "tile")
    with pytest.raises(LogRefusedError, match="do not give the signed root"):
        reopened(center.settings)


def test_damaged_tiles_stop_a_running_log_and_nothing_is_kept(center: Center, device: Device) -> None:
    log_all(center, [device.event() for _ in range(3)])
    size = len(statements(center))
    tile = center.log.folder / f"tile/0/000.p/{size}"
    tile.write_bytes(b"\1" + tile.read_bytes()[1:])
    with pytest.raises(LogRefusedError):
        submit(center, [device.event()])
    assert len(statements(center)) == size


def test_a_foreign_checkpoint_file_is_refused(center: Center, device: Device) -> None:
    log_all(center, [device.event()])
    text = center.log.checkpoint_file.read_text(encoding="utf-8")
    center.log.checkpoint_file.write_text(
        text.replace("log.example/evidence\n", "log.example/other\n", 1), encoding="utf-8"
    )
    with pytest.raises(LogRefusedError):
        reopened(center.settings)


def test_a_centre_that_was_never_initialised_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="center init"):
        Center.open(from_mapping({"data_dir": "d", "log": {"origin": "a/b"}}, tmp_path))


def _append_many(settings: Settings, gw: str, count: int, seed: bytes) -> None:
    center = Center.open(settings)
    device = Device(gw=gw, key=SigningKey.from_seed(seed))
    device.enrol(center)
    for _ in range(count):
        log_all(center, [device.event()])


def test_two_processes_append_at_once_into_one_order(center: Center) -> None:
    center.database.close()
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_append_many, args=(center.settings, f"GW-{n}", 25, bytes([n]) * 32)) for n in (1, 2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)
    assert [worker.exitcode for worker in workers] == [0, 0]
    with center.database.reading() as session:
        assert log_recovery.check(center.log, session) == 2 * (25 + 2)
    published = center.log.published()
    assert published is not None
    assert published.size == 54


@pytest.mark.faults
def test_a_killed_writer_loses_nothing_it_answered(center: Center, tmp_path: Path) -> None:
    center.database.close()
    answered = tmp_path / "answered"
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=_append_and_note, args=(center.settings, str(answered)))
    worker.start()
    deadline = 200
    while deadline and (not answered.exists() or answered.read_text().count("\n") < 8):
        worker.join(0.1)
        deadline -= 1
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join(30)
    again = reopened(center.settings)
    with again.database.reading() as session:
        log_recovery.check(again.log, session)
        for line in answered.read_text().splitlines():
            sid, _, index = line.partition(" ")
            entry = store_log.by_sid(session, sid)
            assert entry is not None
            assert entry.idx == int(index)
    note = again.log.checkpoint_file.read_text(encoding="utf-8")
    assert parse_checkpoint(note) == verify_checkpoint(note, again.log.vkey)


def _append_and_note(settings: Settings, path: str) -> None:
    center = Center.open(settings)
    device = Device()
    device.enrol(center)
    with open(path, "a", buffering=1, encoding="utf-8") as file:
        while True:
            for result in submit(center, [device.event()]):
                file.write(f"{result.sid} {Receipt.from_text(result.receipt or '').index}\n")


def test_missing_tiles_stop_a_running_log_and_a_restart_mends_them(center: Center, device: Device) -> None:
    log_all(center, [device.event() for _ in range(3)])
    shutil.rmtree(center.log.folder / "tile")
    item = device.event()
    with pytest.raises(LogRefusedError):
        submit(center, [item])
    log_all(reopened(center.settings), [item])
