"""A backup of a running centre is one state of it, comes back whole or not at all, and never forks the log."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from device_double import Device, bare_center

from evidence.bundle import Bundle, write_bundle
from evidence.encoding import sha256_hex
from evidence.note import ED25519_NOTE, NoteKey, verify_checkpoint
from sync import PushItem, Status
from webapp import backup, log_recovery, restore, store_contents, store_log
from webapp.backup_manifest import KEYS
from webapp.center import Center
from webapp.cli import center as command
from webapp.errors import CenterError, LogRefusedError, NotReadyError
from webapp.restored_mark import is_restored
from webapp.settings import Settings, load
from webapp.submission import submit

TOML = 'data_dir = "data"\n[log]\norigin = "log.example/evidence"\n'


@pytest.fixture
def center(tmp_path: Path) -> Center:
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "center.toml").write_text(TOML)
    return bare_center(folder)


@pytest.fixture
def device(center: Center) -> Device:
    device = Device()
    device.enrol(center)
    log_all(center, [device.event() for _ in range(3)])
    return device


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a backup is restored to: the settings file of an empty centre."""
    (tmp_path / "second").mkdir()
    file = tmp_path / "second" / "center.toml"
    file.write_text(TOML)
    return file


def log_all(center: Center, items: list[PushItem]) -> list[str]:
    results = submit(center, items)
    assert {result.status for result in results} == {Status.LOGGED}, results
    return [result.receipt or "" for result in results]


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "-c", str(config)])


def facts(config: Path, *arguments: str) -> Any:
    result = run(config, *arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def refused(config: Path, *arguments: str) -> CenterError:
    result = run(config, *arguments)
    assert isinstance(result.exception, CenterError), (result.output, result.exception)
    assert result.exception.zh
    assert "\n" not in result.exception.en
    return result.exception


def toml_of(center: Center) -> Path:
    return center.settings.data_dir.parent / "center.toml"


def size_of(center: Center) -> int:
    with center.database.reading() as session:
        return store_log.size_of(session)


def saved(center: Center, target: Path) -> Path:
    backup.back_up(center, target, with_keys=True)
    return target


def test_backup_says_what_is_in_it_and_is_private(center: Center, device: Device, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    made = facts(toml_of(center), "backup", str(target))
    manifest = json.loads((target / "manifest.json").read_text())
    assert made["size"] == manifest["size"] == size_of(center)
    assert set(manifest["files"]) == {"center.sqlite", "checkpoint"} == set(made["files"])
    assert made["keys"] is False
    assert sorted(file.name for file in target.iterdir()) == ["center.sqlite", "checkpoint", "manifest.json"]
    for name, facts_ in manifest["files"].items():
        data = (target / name).read_bytes()
        assert facts_ == {"size": len(data), "sha256": sha256_hex(data)}
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in target.iterdir()} == {0o600}
    verify_checkpoint((target / "checkpoint").read_text(), center.log.vkey)


def test_keys_are_in_a_backup_only_when_asked_for(center: Center, device: Device, tmp_path: Path) -> None:
    secrets = [(center.settings.data_dir / name).read_bytes().strip() for name in KEYS]
    without = run(toml_of(center), "backup", str(tmp_path / "without"))
    assert "no keys" in without.output
    held = b"".join(file.read_bytes() for file in (tmp_path / "without").iterdir())
    assert not any(secret in held for secret in secrets)
    with_keys = run(toml_of(center), "backup", "--with-keys", str(tmp_path / "with"))
    assert "keys are in it" in with_keys.output
    assert [(tmp_path / "with" / name).read_bytes().strip() for name in KEYS] == secrets
    assert {stat.S_IMODE((tmp_path / "with" / name).stat().st_mode) for name in KEYS} == {0o600}


def test_existing_target_is_refused(center: Center, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("folder", "file", "link"):
        assert refused(toml_of(center), "backup", str(tmp_path / name)).exit_code == 3
    assert (tmp_path / "file").read_text() == "mine"
    assert refused(toml_of(center), "backup", str(tmp_path / "no" / "folder")).exit_code == 3


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(28, "No space left on device"), CenterError),
        (sqlite3.OperationalError("database or disk is full"), CenterError),
    ],
)
def test_stopped_backup_leaves_nothing(
    center: Center,
    device: Device,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    told: type[BaseException],
) -> None:
    before = sorted(tmp_path.iterdir())

    def stopped(*_: object) -> None:
        raise error

    monkeypatch.setattr(backup.os, "fsync", stopped)
    with pytest.raises(told, match="disk" if told is CenterError else None):
        backup.back_up(center, tmp_path / "backup")
    assert sorted(tmp_path.iterdir()) == before


def test_backups_of_a_log_that_grows_are_each_one_state(center: Center, device: Device, tmp_path: Path) -> None:
    stop = threading.Event()
    other = Center.open(center.settings)

    def grow() -> None:
        while not stop.is_set():
            log_all(other, [device.event(), device.event()])

    thread = threading.Thread(target=grow)
    start = size_of(center)
    thread.start()
    try:
        manifests = [backup.back_up(center, tmp_path / f"b{number}", with_keys=True) for number in range(4)]
    finally:
        stop.set()
        thread.join()
        other.database.close()
    sizes = [one.size for one in manifests]
    assert start <= sizes[0] <= sizes[1] <= sizes[2] <= sizes[3] <= size_of(center)
    assert size_of(center) > start
    for number, one in enumerate(manifests):
        folder = tmp_path / f"r{number}"
        folder.mkdir()
        (folder / "center.toml").write_text(TOML)
        assert facts(folder / "center.toml", "restore", str(tmp_path / f"b{number}"))["size"] == one.size
        assert facts(folder / "center.toml", "check")["root"] == one.root


def test_changed_rows_are_not_backed_up_as_if_whole(center: Center, device: Device, tmp_path: Path) -> None:
    with closing(sqlite3.connect(center.settings.data_dir / "center.sqlite")) as connection, connection:
        connection.execute("UPDATE log_entry SET jws = jws || 'x' WHERE idx = 3")
    with pytest.raises(LogRefusedError, match="entry 4 or before"):
        backup.back_up(center, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_restored_centre_has_everything_and_goes_on_once_confirmed(
    center: Center, device: Device, tmp_path: Path, place: Path
) -> None:
    log_all(center, [device.event() for _ in range(20)])
    with center.database.writing() as session:
        digest = store_contents.add(session, device.plant, "photo", "image/png", b"the photo", center.now())
    target = saved(center, tmp_path / "backup")
    done = facts(place, "restore", str(target))
    assert done["size"] == size_of(center)
    checked = facts(place, "check")
    assert (checked["size"], checked["confirmed"]) == (done["size"], False)
    assert "signs nothing" in run(place, "check").output
    data = place.parent / "data"
    for name in KEYS:
        assert (data / name).read_bytes() == (center.settings.data_dir / name).read_bytes()
    assert (data / "log" / "checkpoint").read_bytes() == center.log.checkpoint_file.read_bytes()
    assert facts(place, "confirm", "--newest", str(center.log.checkpoint_file))["size"] == done["size"]
    assert facts(place, "check")["confirmed"] is True
    again = Center.open(load(place))
    log_all(again, [device.event()])
    with again.database.reading() as session:
        assert log_recovery.check(again.log, session) == done["size"] + 1
        assert store_contents.data(session, device.plant, digest) == b"the photo"
    again.database.close()


def test_restored_centre_signs_nothing_before_it_is_confirmed(
    center: Center, device: Device, tmp_path: Path, place: Path
) -> None:
    facts(place, "restore", str(saved(center, tmp_path / "backup")))
    for arguments in (("run",), ("init",), ("trust",), ("backup", str(tmp_path / "second-backup"))):
        error = refused(place, *arguments)
        assert "center confirm" in error.en
        assert "center confirm" in error.zh
    # Not even a process that looked away when it started.
    opened = Center.open(load(place), is_confirmed=False)
    with pytest.raises(LogRefusedError, match="center confirm"):
        submit(opened, [device.event()])
    assert size_of(opened) == size_of(center)
    opened.database.close()


def test_old_backup_never_forks_the_log(center: Center, device: Device, tmp_path: Path, place: Path) -> None:
    target = saved(center, tmp_path / "backup")
    old = size_of(center)
    receipts = log_all(center, [device.event(), device.event()])
    newest = {
        "checkpoint": center.log.checkpoint_file.read_bytes(),
        "receipt": receipts[1].encode(),
        "bundle": write_bundle(Bundle(statements={}, proofs={"0" * 64: receipts[1].encode()}, content={}, readings={})),
    }
    facts(place, "restore", str(target))
    for name, data in newest.items():
        file = tmp_path / name
        file.write_bytes(data)
        error = refused(place, "confirm", "--newest", str(file))
        assert isinstance(error, LogRefusedError)
        assert f"{old + 2} entries, this backup only {old}" in error.en
    for number in (old + 2, old - 1, 0):
        assert f"has {old} entries" in refused(place, "confirm", "--accept-size", str(number)).en
    assert is_restored(place.parent / "data" / "log")
    assert "center confirm" in refused(place, "run").en
    assert facts(place, "confirm", "--accept-size", str(old)) == {"size": old, "newest": None}
    assert "no restore" in refused(place, "confirm", "--accept-size", str(old)).en


def test_checkpoint_of_another_history_or_another_log_confirms_nothing(
    center: Center, device: Device, tmp_path: Path, place: Path
) -> None:
    target = saved(center, tmp_path / "backup")
    twin = tmp_path / "twin"
    shutil.copytree(center.settings.data_dir.parent, twin)
    log_all(center, [device.event(data={"note": "here"}), device.event()])
    other = Center.open(load(twin / "center.toml"))
    size = size_of(other)
    with other.database.reading() as session:
        prev = store_log.entries(session, size - 1, size)[0].sid
    there = Device(key=device.key, seq=device.seq - 2, prev=prev)
    log_all(other, [there.event(data={"note": "there"}), there.event()])
    shutil.rmtree(target)
    facts(place, "restore", str(saved(center, target)))
    assert "another history" in refused(place, "confirm", "--newest", str(other.log.checkpoint_file)).en
    note = tmp_path / "note"
    for text in (center.log.checkpoint_file.read_text().replace("log.example", "log2.example"), "nothing", ""):
        note.write_text(text)
        assert "holds no checkpoint" in refused(place, "confirm", "--newest", str(note)).en
    assert "cannot read" in refused(place, "confirm", "--newest", str(tmp_path / "nowhere")).en
    assert run(place, "confirm").exit_code == 2
    assert is_restored(place.parent / "data" / "log")
    other.database.close()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good backup with keys, to be copied and damaged."""
    folder = tmp_path_factory.mktemp("good")
    center = bare_center(folder)
    Device().enrol(center)
    target = saved(center, folder / "backup")
    center.database.close()
    return target


@pytest.mark.parametrize("name", ["manifest.json", "center.sqlite", "checkpoint", "log.key"])
@pytest.mark.parametrize("fault", ["missing", "changed", "cut"])
def test_damaged_backup_restores_nothing(good: Path, tmp_path: Path, place: Path, name: str, fault: str) -> None:
    target = tmp_path / "backup"
    shutil.copytree(good, target)
    file = target / name
    data = file.read_bytes()
    if fault == "missing":
        file.unlink()
    else:
        middle = len(data) // 2
        file.write_bytes(data[:middle] if fault == "cut" else data[:middle] + b"\x01" + data[middle + 1 :])
    refused(place, "restore", str(target))
    assert os.listdir(place.parent) == ["center.toml"]


def test_forged_manifest_does_not_make_an_unsigned_log(
    center: Center, device: Device, tmp_path: Path, place: Path
) -> None:
    target = saved(center, tmp_path / "backup")
    with closing(sqlite3.connect(target / "center.sqlite")) as connection, connection:
        connection.execute("UPDATE log_entry SET jws = jws || 'x' WHERE idx = 3")
    manifest = json.loads((target / "manifest.json").read_text())
    data = (target / "center.sqlite").read_bytes()
    manifest["files"]["center.sqlite"] = {"size": len(data), "sha256": sha256_hex(data)}
    (target / "manifest.json").write_text(json.dumps(manifest))
    assert "entry 4 or before" in refused(place, "restore", str(target)).en
    assert os.listdir(place.parent) == ["center.toml"]


def test_restore_needs_an_empty_place(center: Center, device: Device, tmp_path: Path, place: Path) -> None:
    target = saved(center, tmp_path / "backup")
    assert "not empty" in refused(toml_of(center), "restore", str(target)).en
    data = place.parent / "data"
    data.mkdir()
    (data / "mine").write_text("x")
    assert "not empty" in refused(place, "restore", str(target)).en
    (data / "mine").unlink()
    place.write_text(TOML + f'[database]\nurl = "sqlite:///{place.parent / "rows.sqlite"}"\n')
    (place.parent / "rows.sqlite-wal").write_text("of another database")
    assert "not empty" in refused(place, "restore", str(target)).en
    (place.parent / "rows.sqlite-wal").unlink()
    facts(place, "restore", str(target))
    assert sorted(os.listdir(place.parent)) == ["center.toml", "data", "rows.sqlite"]
    assert facts(place, "check")["size"] == size_of(center)


def test_restore_of_another_log_or_a_newer_schema_is_refused(
    center: Center, device: Device, tmp_path: Path, place: Path
) -> None:
    target = saved(center, tmp_path / "backup")
    place.write_text(TOML.replace("log.example/evidence", "log.example/other"))
    assert "log.example/other" in refused(place, "restore", str(target)).en
    place.write_text(TOML + '[database]\nurl = "postgresql://u@h/d"\n')
    assert "database.url" in refused(place, "restore", str(target)).en
    place.write_text(TOML)
    manifest = json.loads((target / "manifest.json").read_text())
    (target / "manifest.json").write_text(json.dumps({**manifest, "schema_revision": "9999"}))
    assert "newer than this program" in refused(place, "restore", str(target)).en


def test_keys_kept_elsewhere_come_back_with_their_folder(
    center: Center, device: Device, tmp_path: Path, place: Path
) -> None:
    target = tmp_path / "backup"
    backup.back_up(center, target)
    assert "--keys" in refused(place, "restore", str(target)).en
    safe = tmp_path / "safe"
    safe.mkdir()
    assert "log.key" in refused(place, "restore", str(target), "--keys", str(safe)).en
    for wrong, right in (("registrar.key", "log.key"), ("log.key", "registrar.key")):
        shutil.copy(center.settings.data_dir / wrong, safe / "log.key")
        shutil.copy(center.settings.data_dir / right, safe / "registrar.key")
        if wrong == "registrar.key":
            assert "not the log key" in refused(place, "restore", str(target), "--keys", str(safe)).en
    shutil.copy(safe / "log.key", safe / "registrar.key")
    assert "not the registrar key" in refused(place, "restore", str(target), "--keys", str(safe)).en
    assert os.listdir(place.parent) == ["center.toml"]
    shutil.copy(center.settings.data_dir / "registrar.key", safe / "registrar.key")
    facts(place, "restore", str(target), "--keys", str(safe))
    assert (place.parent / "data" / "secret.key").exists()
    facts(place, "confirm", "--newest", str(target / "checkpoint"))


@pytest.mark.parametrize("moment", ["rename", "rewrite_tiles"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_stopped_restore_leaves_nothing(
    good: Path, place: Path, monkeypatch: pytest.MonkeyPatch, moment: str, error: BaseException
) -> None:
    def stopped(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(restore.os if moment == "rename" else log_recovery, moment, stopped)
        with pytest.raises((KeyboardInterrupt, CenterError)):
            restore.restore(good, load(place))
    assert os.listdir(place.parent) == ["center.toml"]
    facts(place, "restore", str(good))


def _killed_at_rename(work: str, settings: Settings, folder: Path) -> None:
    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    os.rename = killed  # type: ignore[assignment]
    if work == "backup":
        backup.back_up(Center.open(settings), folder, with_keys=True)
    else:
        restore.restore(folder, settings)


@pytest.mark.parametrize("work", ["backup", "restore"])
def test_killed_just_before_its_end_is_as_if_never_begun(
    center: Center, device: Device, tmp_path: Path, place: Path, work: str
) -> None:
    target = tmp_path / "backup"
    settings = center.settings
    if work == "restore":
        saved(center, target)
        settings = load(place)
    process = multiprocessing.get_context("spawn").Process(target=_killed_at_rename, args=(work, settings, target))
    process.start()
    process.join(90)
    assert process.exitcode == -signal.SIGKILL
    if work == "backup":
        assert not target.exists()
        saved(center, target)
    assert not (place.parent / "data").exists()
    facts(place, "restore", str(target))
    assert facts(place, "check")["size"] == size_of(center)


def test_database_put_back_without_its_log_folder_waits_to_be_confirmed(center: Center, device: Device) -> None:
    newest = center.settings.data_dir.parent / "newest"
    shutil.move(center.log.checkpoint_file, newest)
    shutil.rmtree(center.log.folder)
    for _ in range(2):
        assert "center confirm" in refused(toml_of(center), "run").en
    assert facts(toml_of(center), "check")["confirmed"] is False
    assert "center confirm" in refused(toml_of(center), "init").en
    facts(toml_of(center), "confirm", "--newest", str(newest))
    log_all(Center.open(center.settings), [device.event()])


def test_log_of_a_lost_key_is_not_continued_with_a_new_one(center: Center, device: Device) -> None:
    (center.settings.data_dir / "log.key").unlink()
    shutil.rmtree(center.log.folder)
    assert isinstance(refused(toml_of(center), "check"), NotReadyError)
    assert "put the log.key back" in refused(toml_of(center), "init").en
    assert size_of(center) == 5


def test_empty_centre_is_backed_up_and_restored(tmp_path: Path, place: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (first / "center.toml").write_text(TOML)
    facts(first / "center.toml", "init")
    facts(first / "center.toml", "backup", "--with-keys", str(tmp_path / "backup"))
    assert facts(place, "restore", str(tmp_path / "backup"))["size"] == 0
    assert facts(place, "check")["confirmed"] is False
    facts(place, "confirm", "--accept-size", "0")


def test_verifier_key_of_the_manifest_is_the_log_key(center: Center, device: Device, tmp_path: Path) -> None:
    manifest = backup.back_up(center, tmp_path / "backup")
    assert NoteKey.parse(manifest.log_key) == NoteKey(center.log.origin, ED25519_NOTE, center.log_key.public.raw)
