"""The rules of each kind of statement: which function checks it, and what that function needs looked up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from evidence.blocking import blocking_issues
from evidence.encoding import strict_json
from evidence.errors import Code, EvidenceError
from evidence.verdict import Findings
from evidence.verify_month import BODY, Signed, check_chain, check_sums
from webapp import (
    challenges,
    keyring,
    month_files,
    month_rules,
    reports,
    store_contents,
    store_log,
    store_months,
    store_plants,
)


def check(session: Session, signed: Signed, now: datetime) -> None:
    """Check a statement by the rules of its kind.

    Raises:
        EvidenceError: with the code of the first rule that is broken.
    """
    if signed.statement.kind == "inspect":
        challenges.check_inspect(session, signed, now)
    rule = RULES.get(signed.statement.kind)
    if rule is not None:
        rule(session, signed)


def _check_contents(session: Session, signed: Signed) -> None:
    """Every file a statement lists must be here, with the size and type it says."""
    plant = signed.statement.plant
    for subject in signed.payload["subjects"]:
        stored = store_contents.find(session, plant, subject["sha256"])
        if stored is None:
            raise EvidenceError(Code.CONTENT_MISSING, f"{subject['name']} ({subject['sha256'][:12]}) was not uploaded")
        if stored.size != subject["size"]:
            raise EvidenceError(Code.CONTENT_HASH, f"{subject['name']} has {stored.size} bytes, not {subject['size']}")


def _check_declare(session: Session, signed: Signed) -> None:
    _check_contents(session, signed)
    plant, period = signed.statement.plant, signed.payload["period"]
    file = month_files.month_file(session, plant, period)
    draft = store_months.find_draft(session, plant, period)
    facts = None
    if draft is not None:
        captured = store_log.newest_index(session, plant, period, ("ledger", "lab"))
        facts = {
            "rev": draft.rev,
            "subjects": draft.subjects,
            "is_stale": captured >= draft.log_size,
            "blocking": _blocking(session, plant, draft.body_sha256),
        }
    month_rules.check_declare(signed, file, facts)


def _blocking(session: Session, plant: str, body_sha256: str) -> int:
    data = store_contents.data(session, plant, body_sha256)
    return 0 if data is None else len(blocking_issues(strict_json(data)))


def _check_month(session: Session, signed: Signed) -> None:
    _check_contents(session, signed)
    plant, payload = signed.statement.plant, signed.payload
    month_rules.check_month(signed, month_files.month_file(session, plant, payload["period"]))
    before = payload["prev_month"]
    if before is not None:
        row = store_log.by_sid(session, before)
        if row is None or (row.kind, row.plant) != ("month", plant):
            raise EvidenceError(Code.CHAIN_INCOMPLETE, "prev_month is no month statement of this plant")
    findings = Findings()
    segments: list[Signed] = []
    for cover in payload["cover"]:
        ends = [store_log.by_sid(session, cover[name]) for name in ("first", "last")]
        if any(row is None or row.seq is None for row in ends):
            raise EvidenceError(Code.SEGMENT_MISSING, f"the cover of {cover['gw']} names segments that are not logged")
        first, last = (row.seq or 0 for row in ends if row is not None)
        rows = store_log.chain_entries(session, cover["gw"], cover["epoch"], first, last)
        segments += check_chain(cover, [month_files.signed_of(session, row) for row in rows], findings)
    body = store_contents.data(session, plant, payload["subjects"][0]["sha256"])
    if payload["subjects"][0]["name"] != BODY or body is None:
        raise EvidenceError(Code.DECLARE_MISMATCH, f"the first file of a month is {BODY}")
    known = store_plants.find(session, plant)
    if known is not None:
        check_sums(signed, segments, body, ZoneInfo(known.zone), findings)
    month_rules.raise_first(findings)


def _check_review(session: Session, signed: Signed) -> None:
    plant = signed.statement.plant
    period = month_files.reviewed_period(session, signed.statement)
    file = month_files.month_file(session, plant, period)
    month_rules.check_review(signed, file, has_gateway=month_files.has_gateway(session, plant))
    if not reports.is_kept(session, plant, period, signed.payload["report"]):
        raise EvidenceError(Code.CONTENT_MISSING, "the report it names is none of this centre on this month")


def _check_key(session: Session, signed: Signed) -> None:
    keyring.check(session, signed.statement)


RULES: Mapping[str, Callable[[Session, Signed], None]] = {
    "ledger": _check_contents,
    "lab": _check_contents,
    "declare": _check_declare,
    "month": _check_month,
    "review": _check_review,
    "key": _check_key,
}
"""Kinds without an entry have no rules beyond those of every statement."""
