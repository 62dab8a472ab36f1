"""Puts a backup back: into an empty data folder and an empty database, all of it or nothing.

    compare every file with the manifest → build the data folder beside its place (mark of a restored log, keys,
    database, tiles written again, checkpoint) → recompute the whole log → rename into place

The restored centre signs nothing before `center confirm` (see `log_restored`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from webapp import database_copy, keyfile, log_recovery, restored_mark, schema, store_keys, store_log
from webapp.backup_manifest import CHECKPOINT, LOG_KEY, REGISTRAR_KEY, SECRET, Manifest, read_checked
from webapp.center import Clock, utc_now
from webapp.database import Database
from webapp.errors import CenterError, LogRefusedError
from webapp.log import Log
from webapp.settings import Settings
from webapp.tile_files import sync_path


def restore(source: Path, settings: Settings, keys: Path | None = None, clock: Clock = utc_now) -> Manifest:
    """Restore a backup; `keys` is the folder of the keys where the backup has none.

    Raises:
        CenterError: the backup, the keys or the place for it is not right; nothing was changed.
        LogRefusedError: the backup's entries are not what was signed; nothing was changed.
    """
    manifest = read_checked(source)
    _require_fitting(manifest, settings)
    key_folder = source if manifest.has_keys else keys
    if key_folder is None:
        raise CenterError(
            "此备份不含密钥；请用 --keys 指明存有 log.key 和 registrar.key 的目录",
            "this backup holds no keys; name the folder with log.key and registrar.key with --keys",
            exit_code=3,
        )
    place = settings.data_dir
    _require_empty(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}.restoring-"))
    staged = settings.model_copy(update={"data_dir": staging})
    with _disk_errors(place), ExitStack() as undo:
        undo.callback(shutil.rmtree, staging, ignore_errors=True)
        database_copy.require_empty(staged.database_url)
        _fill(source, manifest, staged, key_folder, clock, undo)
        os.rename(staging, place)
        undo.pop_all()
    sync_path(place.parent)
    return manifest


@contextmanager
def _disk_errors(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CenterError(
            f"恢复未完成，未留下任何内容：{error}；请检查 {place.parent} 所在的磁盘",
            f"the restore was not finished and nothing was kept: {error}; check the disk of {place.parent}",
            exit_code=2,
        ) from error


def _require_fitting(manifest: Manifest, settings: Settings) -> None:
    if manifest.origin != settings.log.origin:
        raise CenterError(
            f"备份属于日志 {manifest.origin}，center.toml 中是 {settings.log.origin}",
            f"the backup is of log {manifest.origin}, center.toml says {settings.log.origin}",
            exit_code=3,
        )
    wanted = "postgresql" if database_copy.sqlite_file(settings.database_url) is None else "sqlite"
    if manifest.database != wanted:
        raise CenterError(
            f"备份来自 {manifest.database}，center.toml 中的数据库是 {wanted}；请改 database.url",
            f"the backup is of {manifest.database}, the database of center.toml is {wanted}; change database.url",
            exit_code=3,
        )
    if not schema.is_known(manifest.schema_revision):
        raise CenterError(
            f"备份的数据库结构 {manifest.schema_revision} 比本程序新；请用较新的程序恢复",
            f"the backup's schema {manifest.schema_revision} is newer than this program; restore with a newer one",
            exit_code=3,
        )


def _require_empty(place: Path) -> None:
    if place.is_mount():
        raise CenterError(
            f"{place} 是挂载点；请在 center.toml 中改用其下的目录",
            f"{place} is a mount point; name a folder below it as data_dir in center.toml",
            exit_code=3,
        )
    if place.is_symlink() or (place.exists() and (not place.is_dir() or any(place.iterdir()))):
        raise CenterError(
            f"数据目录 {place} 不是空的；请先移走它（其中的 log/checkpoint 可能是最新的检查点）",
            f"data folder {place} is not empty; move it away first (its log/checkpoint may be the newest checkpoint)",
            exit_code=3,
        )


def _fill(source: Path, manifest: Manifest, staged: Settings, key_folder: Path, clock: Clock, undo: ExitStack) -> None:
    # The mark comes first: at no moment is there a restored log without it.
    restored_mark.mark(staged.log_dir, size=manifest.size, made=manifest.made)
    for name, target in (
        (LOG_KEY, staged.log_key_file),
        (REGISTRAR_KEY, staged.registrar_key_file),
        (SECRET, staged.secret_file),
    ):
        _copy_key(key_folder / name, target, is_needed=name != SECRET)
    key = keyfile.read(staged.log_key_file)
    database_copy.put_back(source / manifest.database_file, staged.database_url)
    undo.callback(database_copy.take_away, staged.database_url)
    database = Database.of(staged)
    try:
        log = Log(database, staged.log_dir, staged.log.origin, key, clock)
        if log.vkey.text != manifest.log_key:
            raise CenterError(
                f"{key_folder / LOG_KEY} 不是此备份的日志密钥",
                f"{key_folder / LOG_KEY} is not the log key of this backup",
                exit_code=3,
            )
        schema.upgrade(database)
        _rebuild(log, database, manifest, source)
        with database.reading() as session:
            if store_keys.find_row(session, keyfile.read(staged.registrar_key_file).kid) is None:
                raise CenterError(
                    f"{key_folder / REGISTRAR_KEY} 不是此备份的登记密钥",
                    f"{key_folder / REGISTRAR_KEY} is not the registrar key of this backup",
                    exit_code=3,
                )
    finally:
        database.close()
    sync_path(staged.data_dir)


def _copy_key(source: Path, target: Path, *, is_needed: bool) -> None:
    try:
        data = source.read_bytes()
    except FileNotFoundError as error:
        if not is_needed:
            # It signs browser sessions only; a new one logs everybody out.
            keyfile.make(target)
            return
        raise CenterError(f"没有密钥文件 {source}", f"there is no key file {source}", exit_code=3) from error
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _rebuild(log: Log, database: Database, manifest: Manifest, source: Path) -> None:
    """Write the tiles from the entries and recompute the whole log."""
    with database.reading() as session:
        size = log_recovery.check_entries(session)
        last = store_log.last_checkpoint(session)
        if last is not None:
            log_recovery.rewrite_tiles(log, session, size)
            log_recovery.check(log, session)
            log.publish((source / CHECKPOINT).read_text(encoding="utf-8"))
    published = log.published()
    have = (size, None if last is None else last.root)
    said = (0, None) if published is None else (published.size, published.root.hex())
    if have != said or have != (manifest.size, manifest.root):
        raise LogRefusedError(
            f"备份中的日志（{size} 条）与其检查点不符；请换一个备份",
            f"the log in the backup ({size} entries) is not the one of its checkpoint; take another backup",
        )
