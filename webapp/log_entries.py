"""Turns a verified statement into a row of the log: its columns, and the months it says something about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from evidence.encoding import FIRST_YEAR, LAST_YEAR, parse_time, unb64u
from evidence.errors import EvidenceError
from evidence.segment import entry_hour
from evidence.statement import Statement
from webapp.models import LogEntry


def row_of(statement: Statement) -> LogEntry:
    """Make the row; number, leaf hash and time are set when it is appended."""
    payload = statement.payload
    tree = payload.get("tree") or {}
    return LogEntry(
        sid=statement.sid,
        jws=statement.jws,
        kind=statement.kind,
        plant=statement.plant,
        gw=payload.get("gw"),
        epoch=payload.get("epoch"),
        seq=payload.get("seq"),
        tree_start=tree.get("start"),
        tree_end=tree.get("end"),
        subject=_about(statement),
        kid=statement.kid,
    )


def logged_payload(row: LogEntry) -> Mapping[str, Any]:
    """Read the payload of a row without the checks of its form: it passed them when it was logged.

    For pages that read hundreds; what somebody's verdict hangs on is taken apart by `evidence.statement`.
    """
    value: Mapping[str, Any] = json.loads(unb64u(row.jws.split(".")[1]))
    return value


def _about(statement: Statement) -> str | None:
    payload = statement.payload
    if statement.kind == "review":
        about = payload.get("subject")
    elif statement.kind == "inspect":
        about = payload["subjects"][0]
    elif statement.kind == "event":
        about = payload["data"].get("channel") if payload["type"] == "config" else None
    else:
        about = payload.get("after")
    return None if about is None else str(about)


def periods_of(statement: Statement, zone: ZoneInfo, reviewed_period: str | None = None) -> set[str]:
    """List the months a statement says something about, in the plant's zone."""
    payload = statement.payload
    if statement.kind == "segment":
        hours = {entry_hour(entry, payload["span"], zone) for entry in payload["ch"]}
        return {_month(parse_time(hour), zone) for hour in hours or {payload["span"][0]}}
    if statement.kind in ("declare", "month"):
        return {payload["period"]}
    if statement.kind == "ledger":
        return {payload.get("period") or payload["day"][:7]}
    if statement.kind == "lab":
        return {_month(parse_time(payload["taken"]), zone)}
    if statement.kind == "event":
        moments = [payload["t"], *(payload["data"].get(name) for name in ("from", "to"))]
        return {_month(moment, zone) for moment in map(_time, moments) if moment is not None}
    if statement.kind == "review" and reviewed_period is not None:
        return {reviewed_period}
    return set()


def _time(text: object) -> datetime | None:
    """Read a time of an event, unless it is none or of a year that no month of evidence has."""
    try:
        moment = parse_time(text) if isinstance(text, str) else None
    except EvidenceError:
        return None
    return moment if moment is not None and FIRST_YEAR <= moment.year <= LAST_YEAR else None


def _month(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m}"
