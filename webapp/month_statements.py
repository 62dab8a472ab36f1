"""Collects the logged statements that a month's body follows from, and those its bundle must hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from evidence.statement import parse_envelope
from webapp import store_log
from webapp.models import LogEntry

CAPTURED = ("ledger", "lab")


def compose_entries(session: Session, plant: str, period: str) -> list[LogEntry]:
    """List what `accounting.month.compose` needs for a draft made now."""
    found = _segments_and_events(session, plant, _spans(store_log.period_entries(session, plant, period, ["segment"])))
    found += store_log.period_entries(session, plant, period, [*CAPTURED, "month"])
    return _ordered(found)


def bundle_entries(
    session: Session, plant: str, period: str, month: LogEntry, cover: Iterable[Mapping[str, Any]]
) -> list[LogEntry]:
    """List what an inspector needs to check a month and to compose it again.

    Values that were captured after the technician's declaration are left out: the body could not know them.
    """
    spans: dict[tuple[str, int], tuple[int, int]] = {}
    for part in cover:
        ends = [store_log.by_sid(session, part[name]) for name in ("first", "last")]
        numbers = [row.seq for row in ends if row is not None and row.seq is not None]
        if numbers:
            spans[part["gw"], part["epoch"]] = (min(numbers), max(numbers))
    found = _segments_and_events(session, plant, spans)
    about = store_log.period_entries(session, plant, period, ["declare", "month", "review", "inspect"])
    declared = [row.idx for row in about if row.kind == "declare" and row.idx < month.idx]
    captured = store_log.period_entries(session, plant, period, CAPTURED)
    limit = _technician_index(session, month, default=max(declared, default=month.idx))
    found += about + [row for row in captured if row.idx < limit]
    return _ordered(found)


def _technician_index(session: Session, month: LogEntry, *, default: int) -> int:
    declared = parse_envelope(month.jws).payload.get("declared") or ()
    row = store_log.by_sid(session, declared[0]) if declared else None
    return default if row is None else row.idx


def _spans(segments: Sequence[LogEntry]) -> dict[tuple[str, int], tuple[int, int]]:
    spans: dict[tuple[str, int], tuple[int, int]] = {}
    for row in segments:
        if row.gw is None or row.epoch is None or row.seq is None:
            continue
        first, last = spans.get((row.gw, row.epoch), (row.seq, row.seq))
        spans[row.gw, row.epoch] = (min(first, row.seq), max(last, row.seq))
    return spans


def _segments_and_events(
    session: Session, plant: str, spans: Mapping[tuple[str, int], tuple[int, int]]
) -> list[LogEntry]:
    found = []
    for (gw, epoch), (first, last) in spans.items():
        found += store_log.chain_entries(session, gw, epoch, first, last)
    # Channels are declared before their first reading, which may be long before this month.
    for row in store_log.plant_entries(session, plant, kinds=["event"]):
        span = spans.get((row.gw or "", row.epoch or 0))
        if span is not None and (row.seq or 0) <= span[1]:
            found.append(row)
    return found


def _ordered(rows: Iterable[LogEntry]) -> list[LogEntry]:
    return [row for _, row in sorted({row.idx: row for row in rows}.items())]
