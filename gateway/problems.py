"""Problems that a person should see: kept until they are gone, shown by `status`, logged once."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from gateway.store import Store

log = logging.getLogger("cunzheng.gateway")


@dataclass(frozen=True)
class Problem:
    """Something that does not go away by waiting."""

    key: str
    zh: str
    en: str
    since: str


def raise_problem(store: Store, key: str, zh: str, en: str, now: str) -> None:
    """Keep a problem; the time of its first sight stays."""
    known = store.value("SELECT en FROM problem WHERE key = ?", (key,))
    store.execute(
        "INSERT INTO problem (key, zh, en, since) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE"
        " SET zh = excluded.zh, en = excluded.en",
        (key, zh, en, now),
    )
    if known != en:
        log.error("problem key=%s text=%r", key, en)


def clear_problem(store: Store, key: str) -> None:
    """Forget a problem that is over."""
    if store.execute("DELETE FROM problem WHERE key = ?", (key,)):
        log.info("problem over key=%s", key)


def problems(store: Store) -> list[Problem]:
    """Return what is wrong, oldest first."""
    rows = store.rows("SELECT key, zh, en, since FROM problem ORDER BY since, key")
    return [Problem(row["key"], row["zh"], row["en"], row["since"]) for row in rows]
