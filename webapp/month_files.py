"""Collects what the log holds about a month, and keeps the row that says where it stands."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Session

from evidence.errors import Code, EvidenceError
from evidence.registry import KeyEntry
from evidence.statement import Statement, parse
from evidence.verify_month import Signed
from webapp import store_keys, store_log, store_months, store_plants
from webapp.models import LogEntry, MonthState
from webapp.month_rules import MonthFile, status_of

KINDS = ("declare", "month", "review")


def month_file(session: Session, plant: str, period: str) -> MonthFile:
    """Read everything logged about a month's declaration, signature and review."""
    kinds: dict[str, list[Signed]] = {kind: [] for kind in KINDS}
    for row in store_log.period_entries(session, plant, period, KINDS):
        kinds[row.kind].append(signed_of(session, row))
    return MonthFile(
        plant,
        period,
        tuple(kinds["declare"]),
        tuple(kinds["month"]),
        tuple(kinds["review"]),
        has_gateway(session, plant),
    )


def signed_of(session: Session, row: LogEntry) -> Signed:
    """Read a logged statement with its signer."""
    return Signed(parse(row.jws), signer_of(session, row.kid), row.idx)


def signer_of(session: Session, kid: str) -> KeyEntry:
    """Get the registry entry of a signer.

    Raises:
        EvidenceError: ``KEY_UNKNOWN``.
    """
    entry = store_keys.find(session, kid)
    if entry is None:
        raise EvidenceError(Code.KEY_UNKNOWN, f"key {kid[:12]} is not in the registry")
    return entry


def reviewed_period(session: Session, statement: Statement) -> str:
    """Find the month that a review is about.

    Raises:
        EvidenceError: ``NOT_LOGGED`` or ``SUBJECT_SCOPE``.
    """
    row = store_log.by_sid(session, statement.payload["subject"])
    if row is None or row.kind not in ("month", "declare"):
        raise EvidenceError(Code.NOT_LOGGED, "the reviewed statement is not in the log")
    if row.plant != statement.plant:
        raise EvidenceError(Code.SUBJECT_SCOPE, "the reviewed statement is of another plant")
    return str(parse(row.jws).payload["period"])


def inspected_periods(session: Session, statement: Statement) -> set[str]:
    """List the months that an inspector's statement is about: those of its subjects."""
    rows = [store_log.by_sid(session, sid) for sid in statement.payload["subjects"]]
    return {period for row in rows if row is not None for period in store_log.periods_of_entry(session, row)}


def has_gateway(session: Session, plant: str) -> bool:
    """Tell whether a gateway of the plant was ever enrolled; else people submit the month."""
    return any(gateway.kid is not None for gateway in store_plants.gateways(session, plant))


def refresh_state(session: Session, plant: str, period: str, now: datetime) -> None:
    """Fold a month's statements into the row that says where it stands."""
    file = month_file(session, plant, period)
    status, revision, subject = status_of(file, has_gateway=has_gateway(session, plant))
    state = MonthState(plant=plant, period=period, status=status, rev=revision, month_sid=subject, changed_at=now)
    store_months.save_state(session, state)
