"""Runs the verifier on a month's bundle for the reviewer; what it found is sealed into the page, not stored.

Verifying takes a second or two, and a reviewer comes back to the page: the last reports are remembered by
everything they follow from, so one is made anew as soon as the log says something else of the plant or its signers.
"""

from __future__ import annotations

import io
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from flask import current_app
from sqlalchemy.orm import Session

from accounting.recompute import verify_recomputed
from evidence.bundle import read_bundle
from evidence.encoding import jcs, sha256_hex
from evidence.errors import Code
from evidence.verdict import Finding
from webapp import challenges, export, reports, store_keys, store_log, store_readings
from webapp.center import Center
from webapp.remembered import Remembered
from webapp.trust_file import trust_of

ROOM = 200
"""Reports a process remembers; one is a few kilobytes."""


@dataclass(frozen=True)
class MonthReport:
    """The verifier's report as the decision will name it, and sealed for the way through the browser."""

    sha256: str
    text: str
    sealed: str
    verdict: str
    findings: list[Mapping[str, Any]]
    counts: Mapping[str, int]

    @property
    def is_only_unapproved(self) -> bool:
        """Whether nothing is missing but the very approvals that are being given."""
        return bool(self.findings) and all(finding["code"] == Code.NOT_APPROVED for finding in self.findings)


def month_report(center: Center, plant: str, period: str, secret: str | bytes) -> MonthReport:
    """Return what the verifier says of a month now; remembered while nothing it follows from has changed."""
    return _reports().get(_key(center, plant, period), lambda: _verify(center, plant, period, secret))


def is_at_hand(center: Center, plant: str, period: str) -> bool:
    """Whether this process has verified the month as it stands now."""
    return _key(center, plant, period) in _reports()


def _reports() -> Remembered[MonthReport]:
    found = current_app.extensions.setdefault("month_reports", Remembered[MonthReport](ROOM))
    assert isinstance(found, Remembered)
    return found


def _key(center: Center, plant: str, period: str) -> Hashable:
    with center.database.reading() as db:
        failed = _failed(db, plant, period, center.now())
        return plant, period, _newest_proven(center, db, plant), *_standing(db, plant), failed


def _newest_proven(center: Center, db: Session, plant: str) -> int:
    """The plant's newest entry as far as entries have receipts: a report changes when a receipt comes."""
    return min(store_log.newest_of_plant(db, plant), center.log.shown_size(db) - 1)


def _standing(db: Session, plant: str) -> tuple[Hashable, ...]:
    """What a report follows from: the plant's statements, whether a signer's key has ended, the raw readings here.

    The end of a key of the plant is itself a statement of the plant; the end of a reviewer's names no plant.
    """
    return (
        store_log.newest_of_plant(db, plant),
        store_keys.newest_end(db, store_log.signers_of_plant(db, plant, ["review", "inspect"])),
        store_readings.answer_count(db, plant),
    )


def _failed(db: Session, plant: str, period: str, now: datetime) -> tuple[Finding, ...]:
    """What a challenge found that no inspector's statement tells yet: it is not in the bundle."""
    return tuple(
        Finding(Code.CHALLENGE_FAIL, told, one.row.month)
        for one in challenges.standings(db, plant, period, now)
        if not one.sid and (told := challenges.failure(one))
    )


def _verify(center: Center, plant: str, period: str, secret: str | bytes) -> MonthReport:
    """Verify what an inspector would be given now, and recompute its body."""
    bundle = read_bundle(io.BytesIO(export.month_bundle(center, plant, period) or b""))
    with center.database.reading() as db:
        trust = trust_of(center, db)
        failed = _failed(db, plant, period, center.now())
    verified = verify_recomputed(bundle, trust, center.now())
    report = replace(verified, findings=verified.findings + failed).to_json()
    data = jcs(report)
    return MonthReport(
        sha256_hex(data),
        data.decode("utf-8"),
        reports.seal(secret, plant, period, data),
        report["verdict"],
        report["findings"],
        report["counts"],
    )
