"""What the gateway's data folder takes, what the disk has left, and when that is too little. Reads only.

Free pages inside the database count as room: SQLite fills them before its file grows. Folders of raw tiles are looked
through again only when something in them changed.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import DiskFullError, Words
from gateway.settings import LimitSettings, Settings
from gateway.store import Store

MIB = 1 << 20
BLOCK_BYTES = 512
"""Unit of `st_blocks`, whatever the file system's own blocks are."""
BUDGET_ALARM_PERCENT = 90
REOPEN_PERCENT = 5
"""So much more than a limit must be free before the intake that stopped at it goes on; else it would flutter."""


@dataclass(frozen=True)
class DiskUse:
    """Bytes of the data folder and of its disk."""

    free: int
    database: int
    reusable: int
    """Free pages inside the database."""
    raw: int
    other: int

    @property
    def used(self) -> int:
        """What counts against the budget."""
        return self.database - self.reusable + self.raw + self.other


class FolderSizes:
    """Sizes of folders, remembered until something is added to or removed from one."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int, tuple[str, ...]]] = {}

    def size(self, folder: str) -> int:
        """Return the bytes that the files under a folder take; what vanishes meanwhile takes none."""
        try:
            changed = os.stat(folder).st_mtime_ns
        except OSError:
            self._known.pop(folder, None)
            return 0
        known = self._known.get(folder)
        if known is None or known[0] != changed:
            known = self._known[folder] = (changed, *_files(folder))
        return known[1] + sum(self.size(below) for below in known[2])


def measure(settings: Settings, sizes: FolderSizes, reusable: int) -> DiskUse:
    """Look at the data folder and its disk; `reusable` is what the store says of its free pages.

    Looks only: whoever opens a database's file by himself and closes it ends every lock that SQLite has on it in this
    process (POSIX locks; "How To Corrupt An SQLite Database File", 2.2).

    Raises:
        OSError: the folder cannot be read.
    """
    raw = sizes.size(str(settings.raw_folder))
    total = sum(_taken(entry) for entry in os.scandir(settings.data) if entry.is_file(follow_symlinks=False))
    total += sum(
        sizes.size(entry.path)
        for entry in os.scandir(settings.data)
        if entry.is_dir(follow_symlinks=False) and Path(entry.path) != settings.raw_folder
    )
    database = sum(_taken(Path(f"{settings.database}{end}")) for end in ("", "-wal", "-shm"))
    return DiskUse(
        free=free_bytes(settings.data),
        database=database,
        reusable=reusable,
        raw=raw,
        other=total - database,
    )


def free_bytes(folder: Path) -> int:
    """Return what the disk has left for this program."""
    return shutil.disk_usage(folder).free


def shortage(use: DiskUse, limits: LimitSettings, *, is_paused: bool) -> Words | None:
    """Say in Chinese and English why nothing more can be taken in; None while there is room."""
    reserve = limits.disk_reserve_mb * MIB
    if use.free < reserve * (100 + REOPEN_PERCENT * is_paused) // 100:
        return (
            f"磁盘剩余不足保留量 {limits.disk_reserve_mb} MiB（limits.disk_reserve_mb）；请腾出空间",
            f"less than the reserve of {limits.disk_reserve_mb} MiB of disk is left (limits.disk_reserve_mb);"
            " free some space",
        )
    if limits.budget_mb is not None and use.used >= limits.budget_mb * MIB * (100 - REOPEN_PERCENT * is_paused) // 100:
        return (
            f"数据目录已达到上限 {limits.budget_mb} MiB（limits.budget_mb）；请扩大上限",
            f"the data folder takes the {limits.budget_mb} MiB it may take (limits.budget_mb); raise the limit",
        )
    return None


def warnings(use: DiskUse, limits: LimitSettings) -> dict[str, Words]:
    """Say what will soon be too little, by the problem's key."""
    found: dict[str, Words] = {}
    if use.free < limits.disk_free_mb * MIB:
        found["disk"] = (
            f"磁盘剩余不足 {limits.disk_free_mb} MiB",
            f"less than {limits.disk_free_mb} MiB of disk are left",
        )
    if limits.budget_mb is not None and use.used * 100 >= limits.budget_mb * MIB * BUDGET_ALARM_PERCENT:
        found["budget"] = (
            f"数据目录已占用上限 {limits.budget_mb} MiB 的 {BUDGET_ALARM_PERCENT}% 以上；达到上限将停止采集",
            f"the data folder takes over {BUDGET_ALARM_PERCENT} % of its {limits.budget_mb} MiB;"
            " the intake stops at the limit",
        )
    return found


def reusable_bytes(store: Store) -> int:
    """Return what the free pages inside the database hold."""
    return int(store.value("PRAGMA freelist_count")) * int(store.value("PRAGMA page_size"))


def require_room(settings: Settings, reusable: int) -> None:
    """Check that there is room to take something in.

    Raises:
        DiskFullError: there is not.
    """
    why = shortage(measure(settings, FolderSizes(), reusable), settings.limits, is_paused=False)
    if why is not None:
        raise DiskFullError(*why)


def _files(folder: str) -> tuple[int, tuple[str, ...]]:
    size, below = 0, []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    below.append(entry.path)
                else:
                    size += _taken(entry)
    except OSError:
        return size, tuple(below)
    return size, tuple(below)


def _taken(file: Path | os.DirEntry[str]) -> int:
    try:
        return file.stat(follow_symlinks=False).st_blocks * BLOCK_BYTES
    except OSError:
        return 0
