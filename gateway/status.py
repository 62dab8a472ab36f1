"""What a gateway is doing, as facts for a person or a program. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from evidence.encoding import parse_decimal
from evidence.tiles import TILE_WIDTH
from gateway.chain import anchor, outbox_depth
from gateway.device_store import devices_told
from gateway.disk import MIB, FolderSizes, measure, reusable_bytes, shortage
from gateway.errors import Words
from gateway.identity import known_identity
from gateway.kept_store import full_tiles, hour_of_leaf_at, kept_of, kept_of_all
from gateway.lang import say
from gateway.problems import problems
from gateway.quality_store import counts_by_rule
from gateway.row_check import naming_rows
from gateway.settings import Settings
from gateway.store import Store


def status_of(store: Store, settings: Settings) -> dict[str, Any]:
    """Return identity, queue, tree, channels and problems.

    Raises:
        GarbledError: a row cannot be what was written; it is named.
    """
    with naming_rows(store):
        return _facts(store, settings)


def _facts(store: Store, settings: Settings) -> dict[str, Any]:
    identity = known_identity(store)
    epoch = 0 if identity is None else identity.epoch
    oldest = store.row("SELECT queued, detail FROM outbox WHERE state IN ('queued', 'held') ORDER BY id LIMIT 1")
    newest = store.row("SELECT seq, sid, kind, t FROM statement WHERE epoch = ? ORDER BY seq DESC LIMIT 1", (epoch,))
    open_ = int(store.value("SELECT count(*) FROM reading WHERE leaf IS NULL"))
    sealed = int(store.value("SELECT coalesce(sum(size), 0) FROM tree"))
    return {
        "enrolled": identity is not None,
        "gateway": None if identity is None else identity.gw,
        "plant": None if identity is None else identity.plant,
        "epoch": epoch,
        "centre": settings.centre.url,
        "anchor": anchor(store),
        "statements": store.value("SELECT count(*) FROM statement"),
        "newest": None if newest is None else dict(newest),
        "waiting": outbox_depth(store),
        "refused": store.value("SELECT count(*) FROM outbox WHERE state = 'refused'"),
        "oldest_waiting": None if oldest is None else {"since": oldest["queued"], "detail": oldest["detail"]},
        "receipts": store.value("SELECT count(*) FROM receipt"),
        "readings": sealed + open_,
        "open_readings": open_,
        "tree_size": store.value("SELECT size FROM tree WHERE epoch = ?", (epoch,)) or 0,
        "quarantined": store.value("SELECT count(*) FROM quarantine"),
        "imports": [
            dict(row) for row in store.rows("SELECT name, rows, stored, imported FROM import_file ORDER BY imported")
        ],
        "quality": counts_by_rule(store),
        "devices": devices_told(store),
        "channels": latest_readings(store),
        "problems": [{"key": one.key, "zh": one.zh, "en": one.en, "since": one.since} for one in problems(store)],
        "disk": _disk(store, settings),
        "retention": _retention(store, settings, epoch),
    }


def retention_line(facts: Mapping[str, Any]) -> str:
    """Say in one line what `status_of` found of what is kept."""
    oldest, rows, gone = facts["oldest_kept"] or "-", facts["rows_from"] or "-", facts["tiles_gone"]
    return say(
        f"保存：原始数据至少 {facts['years']} 年，最早 {oldest}；数据库中保留 {facts['rows_days']} 天，最早 {rows}；"
        f"已超期删除 {gone} 个数据块",
        f"kept: raw readings at least {facts['years']} years, oldest {oldest};"
        f" in the database {facts['rows_days']} days, oldest {rows}; {gone} tiles were older and are gone",
    )


def device_lines(devices: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say in one line a device what `status_of` found it said of itself: who it is, and how far its clock is off."""
    return [
        say(f"设备 {one['device']}：{'；'.join(zh)}", f"device {one['device']}: {'; '.join(en)}")
        for one in devices
        for zh, en in [zip(*_told(one), strict=True)]
    ]


def _told(device: Mapping[str, Any]) -> list[Words]:
    said: list[Words] = [
        (f"{point} {known['value']}（自 {known['since']} 起）", f"{point} {known['value']} since {known['since']}")
        for point, known in device["identity"].items()
    ]
    clock = device["clock"]
    if clock is not None:
        offset = parse_decimal(clock["offset_s"])
        zh, en = ("快", "ahead") if offset > 0 else ("慢", "behind")
        off_zh, off_en = (
            (f"时钟{zh} {abs(offset)} 秒", f"clock {abs(offset)} s {en}") if offset else ("时钟无偏差", "clock right")
        )
        read = clock["read"]
        said.append(
            (
                f"{off_zh}（{read} 读取时显示 {clock['shown']}）",
                f"{off_en} when read at {read}, it showed {clock['shown']}",
            )
        )
    return said


def disk_line(disk: Mapping[str, Any]) -> str:
    """Say in one line what `status_of` found of the disk."""
    budget_zh = "" if disk["budget_mb"] is None else f"，上限 {disk['budget_mb']} MiB"
    budget_en = "" if disk["budget_mb"] is None else f" of at most {disk['budget_mb']}"
    state_zh, state_en = ("已暂停", "paused") if disk["paused"] else ("正常", "open")
    database, raw, free, reserve = (disk[f"{name}_mb"] for name in ("database", "raw", "free", "reserve"))
    return say(
        f"磁盘：数据目录占用 {disk['used_mb']} MiB{budget_zh}（数据库 {database}，原始数据 {raw}），剩余 {free} MiB，"
        f"保留量 {reserve} MiB；采集{state_zh}",
        f"disk: the data folder takes {disk['used_mb']} MiB{budget_en} (database {database}, raw {raw}),"
        f" {free} MiB free, reserve {reserve}; intake {state_en}",
    )


def _retention(store: Store, settings: Settings, epoch: int) -> dict[str, Any]:
    kept = kept_of_all(store)
    gone = sum(one.files_from for one in kept)
    first = next((one for one in kept if one.files_from < full_tiles(store, one.epoch)), kept_of(store, epoch))
    newest = kept_of(store, epoch)
    return {
        "years": settings.retention.years,
        "reason": settings.retention.reason,
        "rows_days": settings.retention.rows_days,
        "oldest_kept": hour_of_leaf_at(store, first.epoch, first.files_from * TILE_WIDTH),
        "rows_from": hour_of_leaf_at(store, newest.epoch, newest.rows_from * TILE_WIDTH),
        "tiles_gone": gone,
    }


def _disk(store: Store, settings: Settings) -> dict[str, Any]:
    use, limits = measure(settings, FolderSizes(), reusable_bytes(store)), settings.limits
    short = shortage(use, limits, is_paused=False)
    return {
        "free_mb": use.free // MIB,
        "reserve_mb": limits.disk_reserve_mb,
        "used_mb": use.used // MIB,
        "database_mb": (use.database - use.reusable) // MIB,
        "raw_mb": use.raw // MIB,
        "budget_mb": limits.budget_mb,
        "paused": None if short is None else {"zh": short[0], "en": short[1]},
    }


def latest_readings(store: Store) -> list[dict[str, Any]]:
    """Return each channel with its newest reading, if it has one."""
    found = []
    for row in store.rows("SELECT id FROM channel ORDER BY id"):
        latest = store.row(
            "SELECT time, value, unit, flag, reason FROM reading WHERE channel = ? ORDER BY time DESC LIMIT 1",
            (row["id"],),
        )
        found.append({"channel": row["id"], **({} if latest is None else dict(latest))})
    return found
