"""A copy of a gateway, taken while it runs, that `cunzheng gateway check` and `status` open on another machine.

One snapshot of the database, then the raw tiles and contents that the snapshot names: they are on disk before it names
them and never change. The key stays behind unless asked for. Built beside the target and renamed, so that no half copy
is left; `manifest.json` holds the SHA-256 of every file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from evidence.encoding import sha256_hex, time_text
from evidence.tiles import TILE_WIDTH
from gateway.damage import PageCheck
from gateway.durable import sync_folder
from gateway.errors import DamagedError, MisuseError, RefusedError, StoreError
from gateway.pulled_store import content_path
from gateway.rawtile import RawFolder
from gateway.row_forms import is_digest, shown
from gateway.settings import Settings
from gateway.site import load_site
from gateway.store import escaped_text, is_damage, said_of, store_error

MANIFEST = "manifest.json"
SETTINGS = "gateway.toml"
SITE = "site.toml"
TRUST = "trust.json"
DATA = "data"
_FORMAT = 1
_PAGES = 4_000
_CHUNK = 1 << 20

Progress = Callable[[str, int, int], None]
"""Told of what, how much of it is done, and of how much."""


@dataclass(frozen=True)
class CopiedFile:
    """One file of a copy; `path` is relative to the copy's folder."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Export:
    """A finished copy."""

    folder: str
    made: str
    gateway: str | None
    plant: str | None
    epoch: int
    statements: int
    newest: str | None
    readings: int
    with_key: bool
    missing: tuple[str, ...]
    """What is named by database or site and was not there."""
    files: tuple[CopiedFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files)


def export_copy(
    config: Path, settings: Settings, target: Path, now: datetime, progress: Progress, *, with_key: bool = False
) -> Export:
    """Write a copy of the gateway into the new folder `target`.

    Raises:
        RefusedError: the target exists, or something could not be written.
        DamagedError: the database is malformed; no copy is made of it.
    """
    if target.exists() or target.is_symlink():
        raise RefusedError(
            f"{target} 已存在，不会覆盖；请换一个名称", f"{target} exists and is never written over; take another name"
        )
    if not target.resolve().parent.is_dir():
        raise MisuseError(f"没有文件夹 {target.resolve().parent}", f"there is no folder {target.resolve().parent}")
    building = target.resolve().parent / f".{target.name}.{os.getpid()}.tmp"
    try:
        building.mkdir(mode=0o700)
        done = _Copy(building, settings, progress).make(config, target, now, with_key=with_key)
        os.sync()  # one for all files: there may be a million
        building.rename(target)
        sync_folder(target.resolve().parent)
    except OSError as error:
        raise RefusedError(
            f"无法写入副本 {target}: {error.strerror or error}；请检查磁盘空间和权限",
            f"cannot write the copy {target}: {error.strerror or error}; check space and rights",
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return done


def manifest_faults(folder: Path) -> list[tuple[str, str]]:
    """Compare a copy with its manifest, where it has one; say what differs in both languages."""
    path = folder / MANIFEST
    if not path.exists():
        return []
    faults = []
    try:
        listed = {one["path"]: (one["size"], one["sha256"]) for one in json.loads(path.read_bytes())["files"]}
    except (ValueError, KeyError, TypeError, OSError):
        return [(f"{path} 无法读取", f"{path} cannot be read")]
    for name, (size, sha256) in listed.items():
        try:
            if (folder / name).stat().st_size == size and _digest(folder / name) == sha256:
                continue
            faults.append((f"{name} 与清单不符", f"{name} is not what the manifest lists"))
        except OSError:
            faults.append((f"清单中的 {name} 不存在", f"{name} of the manifest is not there"))
    return faults


class _Copy:
    """One copy while it is made."""

    def __init__(self, folder: Path, settings: Settings, progress: Progress) -> None:
        self._folder, self._settings, self._progress = folder, settings, progress
        self._files: list[CopiedFile] = []
        self._missing: list[str] = []

    def make(self, config: Path, target: Path, now: datetime, *, with_key: bool) -> Export:
        """Copy everything, the database first: it names the rest."""
        (self._folder / DATA).mkdir(mode=0o700)
        database = self._folder / DATA / self._settings.database.name
        self._copy_database(database)
        with closing(sqlite3.connect(f"{database.as_uri()}?immutable=1", uri=True)) as snapshot:
            # A garbled row must not keep the rest from being saved; it stands in the copy as it is.
            snapshot.text_factory = escaped_text
            try:
                facts = _facts(snapshot)
                tiles, contents = list(self._tiles(snapshot)), list(self._contents(snapshot))
            except (sqlite3.Error, UnicodeDecodeError) as error:
                raise store_error(error) from error
            if facts["trust"] is not None:
                self._write(TRUST, str(facts["trust"]).encode("utf-8"))
            self._copy_all("tiles", tiles)
            self._copy_all("contents", contents)
        self._copy_settings(config)
        if with_key:
            self._copy(self._settings.key_file, f"{DATA}/{self._settings.key_file.name}")
            (self._folder / DATA / self._settings.key_file.name).chmod(0o600)
        done = Export(
            folder=str(target),
            made=time_text(now),
            gateway=facts["gw"],
            plant=facts["plant"],
            epoch=facts["epoch"],
            statements=facts["statements"],
            newest=facts["newest"],
            readings=facts["readings"],
            with_key=with_key,
            missing=tuple(self._missing),
            files=tuple(sorted(self._files, key=lambda one: one.path)),
        )
        listed = {"v": _FORMAT, **asdict(done)}
        del listed["folder"]
        (self._folder / MANIFEST).write_text(json.dumps(listed, ensure_ascii=False, indent=1), "utf-8")
        return done

    def _copy_database(self, path: Path) -> None:
        """Copy one snapshot; who writes meanwhile is not held up."""
        path.touch(mode=0o600)
        source = sqlite3.connect(
            f"{self._settings.database.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None
        )
        try:
            with closing(source), closing(sqlite3.connect(path)) as copy:
                source.execute("BEGIN")
                source.execute("SELECT count(*) FROM sqlite_master").fetchone()
                source.backup(
                    copy, pages=_PAGES, progress=lambda _, left, all_: self._progress("database", all_ - left, all_)
                )
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if is_damage(error):
                raise _not_copied(said_of(error)) from error
            raise StoreError(f"无法复制数据库: {error}", f"cannot copy the database: {error}") from error
        fault = PageCheck(path).fault()
        for end in ("-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        if fault:
            raise _not_copied(fault)
        self._note(f"{DATA}/{path.name}", path)

    def _tiles(self, snapshot: sqlite3.Connection) -> Iterator[tuple[Path, str]]:
        raw = RawFolder(self._settings.raw_folder)
        trees = "SELECT t.epoch, t.size, coalesce(k.files_from, 0) FROM tree t LEFT JOIN kept k ON k.epoch = t.epoch"
        roots = dict(snapshot.execute("SELECT epoch, max(n) + 1 FROM tile WHERE level = 1 GROUP BY epoch"))
        for epoch, size, first in snapshot.execute(f"{trees} ORDER BY t.epoch"):
            for number in range(first, min(size // TILE_WIDTH, roots.get(epoch, 0))):
                path = raw.path(epoch, number)
                yield path, f"{DATA}/raw/{path.relative_to(raw.folder).as_posix()}"

    def _contents(self, snapshot: sqlite3.Connection) -> Iterator[tuple[Path, str]]:
        folder = self._settings.content_folder
        for (sha256,) in snapshot.execute("SELECT sha256 FROM content WHERE stored = 1 ORDER BY sha256"):
            if not is_digest(sha256):  # garbled: the name of no file
                self._missing.append(f"{DATA}/content/{shown(sha256)}")
                continue
            path = content_path(folder, sha256)
            yield path, f"{DATA}/content/{path.relative_to(folder).as_posix()}"

    def _copy_settings(self, config: Path) -> None:
        """Write the settings with the copy's own paths; names and passwords of other files stay as they are."""
        table: dict[str, Any] = tomllib.loads(config.read_text("utf-8"))
        table |= {"data": DATA, "site": SITE}
        for name, section in (("centre", self._settings.centre), ("mqtt", self._settings.mqtt)):
            if section is not None and section.ca_file is not None:
                self._copy(section.ca_file, f"{name}-ca.pem")
                table[name]["ca_file"] = f"{name}-ca.pem"
        self._write(SETTINGS, _toml(table).encode("utf-8"))
        self._copy(self._settings.site, SITE)
        if (self._folder / SITE).exists():
            self._copy_profiles()

    def _copy_profiles(self) -> None:
        """Copy the site's own device descriptions, where the site file will look for them."""
        site = load_site(self._settings.site)
        base = self._settings.site.resolve().parent
        for name in sorted({*(one.profile for one in site.device), *(one.profile for one in site.mqtt)}):
            if not name.endswith((".yaml", ".yml")):
                continue
            path = Path(name)
            if path.is_absolute() or ".." in path.parts:
                self._missing.append(name)
            else:
                self._copy(base / path, path.as_posix())

    def _copy_all(self, what: str, paths: list[tuple[Path, str]]) -> None:
        for number, (source, name) in enumerate(paths, 1):
            self._copy(source, name)
            self._progress(what, number, len(paths))

    def _copy(self, source: Path, name: str) -> None:
        try:
            data = source.read_bytes()
        except FileNotFoundError:
            self._missing.append(name)
            return
        self._write(name, data)

    def _write(self, name: str, data: bytes) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        self._files.append(CopiedFile(name, len(data), sha256_hex(data)))

    def _note(self, name: str, path: Path) -> None:
        self._files.append(CopiedFile(name, path.stat().st_size, _digest(path)))


def _not_copied(fault: str) -> DamagedError:
    return DamagedError(
        f"数据库文件已损坏（{fault}）；未制作副本，请直接复制整个数据目录",
        f"the database file is malformed ({fault}); no copy was made, copy the whole data folder as it is",
    )


def _facts(snapshot: sqlite3.Connection) -> dict[str, Any]:
    identity: Mapping[str, str] = dict(snapshot.execute("SELECT name, value FROM identity"))
    said = str(identity.get("epoch", "0"))
    epoch = int(said) if said.isdecimal() else 0
    newest = snapshot.execute(
        "SELECT sid FROM statement WHERE epoch = ? ORDER BY seq DESC LIMIT 1", (epoch,)
    ).fetchone()
    return {
        "gw": identity.get("gw"),
        "plant": identity.get("plant"),
        "epoch": epoch,
        "trust": identity.get("trust"),
        "newest": None if newest is None else newest[0],
        "statements": snapshot.execute("SELECT count(*) FROM statement").fetchone()[0],
        "readings": snapshot.execute("SELECT count(*) FROM reading").fetchone()[0],
    }


def _digest(path: Path) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha256.update(chunk)
    return sha256.hexdigest()


def _toml(table: Mapping[str, Any]) -> str:
    """Write settings: values first, then one level of tables."""
    lines = [f"{name} = {_value(value)}" for name, value in table.items() if not isinstance(value, dict)]
    for name, value in table.items():
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *(f"{key} = {_value(one)}" for key, one in value.items())]
    return "\n".join([*lines, ""])


def _value(value: object) -> str:
    """Write one value; TOML spells texts, numbers, truths and lists of them as JSON does."""
    return json.dumps(value, ensure_ascii=False)
