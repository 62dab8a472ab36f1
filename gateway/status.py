"""What a gateway is doing, as facts for a person or a program. Reads only."""

from __future__ import annotations

import shutil
from typing import Any

from gateway.chain import anchor, outbox_depth
from gateway.identity import known_identity
from gateway.problems import problems
from gateway.quality_store import counts_by_rule
from gateway.settings import Settings
from gateway.store import Store


def status_of(store: Store, settings: Settings) -> dict[str, Any]:
    """Return identity, queue, tree, channels and problems."""
    identity = known_identity(store)
    epoch = 0 if identity is None else identity.epoch
    oldest = store.row("SELECT queued, detail FROM outbox WHERE state IN ('queued', 'held') ORDER BY id LIMIT 1")
    newest = store.row("SELECT seq, sid, kind, t FROM statement WHERE epoch = ? ORDER BY seq DESC LIMIT 1", (epoch,))
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
        "readings": store.value("SELECT count(*) FROM reading"),
        "open_readings": store.value("SELECT count(*) FROM reading WHERE leaf IS NULL"),
        "tree_size": store.value("SELECT size FROM tree WHERE epoch = ?", (epoch,)) or 0,
        "quarantined": store.value("SELECT count(*) FROM quarantine"),
        "imports": [
            dict(row) for row in store.rows("SELECT name, rows, stored, imported FROM import_file ORDER BY imported")
        ],
        "quality": counts_by_rule(store),
        "channels": _channels(store),
        "problems": [{"key": one.key, "zh": one.zh, "en": one.en, "since": one.since} for one in problems(store)],
        "disk_free_mb": shutil.disk_usage(settings.data).free // (1 << 20),
    }


def _channels(store: Store) -> list[dict[str, Any]]:
    found = []
    for row in store.rows("SELECT id FROM channel ORDER BY id"):
        latest = store.row(
            "SELECT time, value, unit, flag, reason FROM reading WHERE channel = ? ORDER BY time DESC LIMIT 1",
            (row["id"],),
        )
        found.append({"channel": row["id"], **({} if latest is None else dict(latest))})
    return found
