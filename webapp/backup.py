"""Makes a backup of a running centre: one committed state of the database, its checkpoint, on request the keys.

Everything the centre must never lose is in the database: entries, checkpoints, contents, accounts. A copy of one
committed state cannot disagree with itself, and tiles are left out because they follow from the entries. What was
copied is recomputed against every signed checkpoint before the backup gets its name.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from evidence.encoding import time_text
from webapp import log_recovery, schema, store_log, store_users
from webapp.backup_manifest import CHECKPOINT, DATABASES, KEYS, MANIFEST, Manifest, facts_of
from webapp.center import Center
from webapp.database_copy import copied, kind_of
from webapp.errors import CenterError
from webapp.tile_files import sync_path


def back_up(center: Center, target: Path, *, with_keys: bool = False) -> Manifest:
    """Write a backup into a new folder: complete and on disk, or not there at all.

    Raises:
        CenterError: the folder exists, or the database cannot be copied.
        LogRefusedError: the copy is not what was signed.
    """
    target = target.absolute()
    if os.path.lexists(target):
        raise CenterError(
            f"{target} 已存在；备份只写入新目录", f"{target} is there already; name a new folder", exit_code=3
        )
    try:
        # Readable by its owner only: password hashes and evidence of all plants are in it.
        staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.new-"))
    except OSError as error:
        raise CenterError(
            f"无法写入 {target.parent}：{error.strerror}",
            f"cannot write to {target.parent}: {error.strerror}",
            exit_code=3,
        ) from error
    try:
        manifest = _fill(center, staging, with_keys=with_keys)
        os.rename(staging, target)
    except BaseException as error:
        shutil.rmtree(staging, ignore_errors=True)
        if isinstance(error, OSError | sqlite3.Error):
            raise CenterError(
                f"备份未完成：{error}；请检查 {target.parent} 所在的磁盘",
                f"the backup was not finished: {error}; check the disk of {target.parent}",
                exit_code=2,
            ) from error
        raise
    sync_path(target.parent)
    with center.database.writing() as session:
        act = "backup-with-keys" if with_keys else "backup"
        store_users.note_act(session, at=center.now(), actor="cli", action=act, object_=f"log size {manifest.size}")
    return manifest


def _fill(center: Center, staging: Path, *, with_keys: bool) -> Manifest:
    made = time_text(center.now())
    kind = kind_of(center.database)
    revision = schema.current_revision(center.database)
    with copied(center.database, staging / DATABASES[kind]) as session:
        size = log_recovery.check_entries(session)
        last = store_log.checkpoint_at(session, size) if size else None
    if last is not None:
        (staging / CHECKPOINT).write_text(last.text, encoding="utf-8")
    for name in KEYS if with_keys else ():
        shutil.copyfile(center.settings.data_dir / name, staging / name)
    files = sorted(staging.iterdir())
    manifest = Manifest(
        made=made,
        origin=center.log.origin,
        log_key=center.log.vkey.text,
        size=size,
        root=None if last is None else last.root,
        database=kind,
        schema_revision=revision or "",
        files={file.name: facts_of(file) for file in files},
    )
    (staging / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    for file in staging.iterdir():
        file.chmod(0o600)
        sync_path(file)
    sync_path(staging)
    return manifest
