"""SQL over what was judged: counts by rule, marks, calibrations. Contains no business logic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evidence.encoding import jcs
from evidence.marks import CalibrationRecord, Mark
from gateway.store import Store


def add_counts(store: Store, counts: Mapping[tuple[str, str, str], int]) -> None:
    """Add to the counts by (day, rule, channel)."""
    store.execute_many(
        "INSERT INTO quality_count (span, rule, channel, n) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (rule, channel, span) DO UPDATE SET n = n + excluded.n",
        ((*key, n) for key, n in counts.items()),
    )


def set_count(store: Store, span: str, rule: str, channel: str, n: int) -> None:
    """Set what was counted of an hour; sealing the same hour again sets it anew."""
    store.execute("DELETE FROM quality_count WHERE span = ? AND rule = ? AND channel = ?", (span, rule, channel))
    if n:
        add_counts(store, {(span, rule, channel): n})


def counts_by_rule(store: Store) -> dict[str, int]:
    """Return how often each rule was broken, by rule id."""
    rows = store.rows("SELECT rule, sum(n) AS n FROM quality_count GROUP BY rule ORDER BY rule")
    return {row["rule"]: int(row["n"]) for row in rows}


def keep_mark(store: Store, mark: Mark, sid: str) -> None:
    """Keep a mark with the statement that says it."""
    _keep(store, "mark", jcs(mark.event_data()), sid)


def keep_calibration(store: Store, record: CalibrationRecord, sid: str) -> None:
    """Keep a calibration with the statement that says it."""
    _keep(store, "calibration", jcs(record.event_data()), sid)


def records_after(store: Store, last: int) -> list[tuple[int, Mark | CalibrationRecord]]:
    """Return the marks and calibrations that were kept after one, with their numbers, in the order of entry."""
    rows = store.rows("SELECT id, kind, data FROM quality_record WHERE id > ? ORDER BY id", (last,))
    return [(int(row["id"]), record_of(row["kind"], json.loads(row["data"]))) for row in rows]


def _keep(store: Store, kind: str, data: bytes, sid: str) -> None:
    store.execute("INSERT INTO quality_record (kind, data, sid) VALUES (?, ?, ?)", (kind, data.decode("utf-8"), sid))


def record_of(kind: str, data: Mapping[str, Any]) -> Mark | CalibrationRecord:
    """Read what a row keeps.

    Raises:
        ValueError, KeyError, TypeError, EvidenceError: it is no such record.
    """
    return Mark.from_event(data) if kind == "mark" else CalibrationRecord.from_event(data)
