"""SQL over what came from the centre: statements of others, and contents. Contains no business logic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evidence.encoding import sha256_hex
from evidence.statement import Statement, parse
from gateway.errors import IntegrityError
from gateway.problems import clear_problem
from gateway.store import Store

MAX_CONTENT_BYTES = 64 * 1024 * 1024
_CURSOR = "pull_next"
_FORM = "pull_form"
_UNVERIFIED = "pulled:"


@dataclass(frozen=True)
class PulledStatement:
    """A verified statement of somebody else, with its place in the log."""

    index: int
    statement: Statement


def cursor(store: Store) -> int:
    """Return the log index after which to ask."""
    return int(store.get(_CURSOR) or "-1")


def set_cursor(store: Store, after: int) -> None:
    """Remember the log index after which to ask next."""
    store.put(_CURSOR, str(after))


def begin_pulling(store: Store) -> None:
    """Ask for everything once more when an earlier program did not ask for what other devices signed."""
    if store.get(_FORM) != "2":
        set_cursor(store, -1)
        store.put(_FORM, "2")


def keep_pulled(store: Store, index: int, statement: Statement, receipt: str) -> None:
    """Keep a verified statement; a second time changes nothing."""
    store.execute(
        "INSERT INTO pulled (log_index, sid, kind, jws, receipt) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (index, statement.sid, statement.kind, statement.jws, receipt),
    )


def pulled_statements(store: Store, *kinds: str) -> list[PulledStatement]:
    """Return the statements of some kinds in log order."""
    marks = ", ".join("?" for _ in kinds)
    rows = store.rows(f"SELECT log_index, jws FROM pulled WHERE kind IN ({marks}) ORDER BY log_index", kinds)
    return [PulledStatement(row["log_index"], parse(row["jws"])) for row in rows]


def unverified_key(index: int) -> str:
    """Name the problem of a log entry that was pulled and did not verify."""
    return f"{_UNVERIFIED}{index}"


def unverified(store: Store) -> list[int]:
    """Return the log entries that were pulled and never verified."""
    keys = store.rows("SELECT key FROM problem WHERE key LIKE ? ORDER BY since, key", (f"{_UNVERIFIED}%",))
    return [int(row["key"].removeprefix(_UNVERIFIED)) for row in keys]


def named_contents(statement: Statement) -> list[tuple[str, int]]:
    """Return digest and size of what is needed to recompute a month: body, plan and parameters.

    Attachments stay at the centre.
    """
    if statement.kind != "declare":
        return []
    subjects = statement.payload["subjects"][:3]
    return [(one["sha256"], one["size"]) for one in subjects if one["size"] <= MAX_CONTENT_BYTES]


def want_content(store: Store, sha256: str, size: int) -> None:
    """Note a content that statements name."""
    store.execute("INSERT INTO content (sha256, size) VALUES (?, ?) ON CONFLICT (sha256) DO NOTHING", (sha256, size))


def missing_contents(store: Store) -> list[tuple[str, int]]:
    """Return the contents not fetched yet."""
    return [(row["sha256"], row["size"]) for row in store.rows("SELECT sha256, size FROM content WHERE stored = 0")]


def content_lost(store: Store, sha256: str) -> None:
    """Note that a content's file is gone or damaged: the next sync fetches it again."""
    store.execute("UPDATE content SET stored = 0 WHERE sha256 = ?", (sha256,))


def content_stored(store: Store, sha256: str) -> None:
    """Note that a content's file is there."""
    store.execute("UPDATE content SET stored = 1 WHERE sha256 = ?", (sha256,))
    clear_problem(store, f"content:{sha256[:12]}")


def has_content(store: Store, sha256: str) -> bool:
    """Tell whether a content's file is there."""
    return store.value("SELECT 1 FROM content WHERE sha256 = ? AND stored = 1", (sha256,)) is not None


def content_path(folder: Path, sha256: str) -> Path:
    """Name a content's file."""
    return folder / sha256[:2] / sha256


def read_content(store: Store, folder: Path, sha256: str) -> bytes:
    """Return a content that was fetched; one whose file is gone or damaged is fetched again by the next sync.

    Raises:
        IntegrityError: its file is gone or damaged.
    """
    try:
        data = content_path(folder, sha256).read_bytes()
    except OSError:
        data = None
    if data is None or sha256_hex(data) != sha256:
        content_lost(store, sha256)
        raise IntegrityError(
            f"内容文件 {sha256[:12]} 丢失或损坏；下次同步将重新获取",
            f"the file of content {sha256[:12]} is gone or damaged; the next sync fetches it again",
        )
    return data
