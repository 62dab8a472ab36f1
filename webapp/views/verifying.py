"""Runs the verifier on a month's bundle for the reviewer; what it found is sealed into the page, not stored."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accounting.recompute import verify_recomputed
from evidence.bundle import read_bundle
from evidence.encoding import jcs, sha256_hex
from evidence.errors import Code
from webapp import export, reports
from webapp.center import Center
from webapp.trust_file import trust_of


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


def verify_month(center: Center, plant: str, period: str, secret: str | bytes) -> MonthReport:
    """Verify what an inspector would be given now, and recompute its body."""
    bundle = read_bundle(io.BytesIO(export.month_bundle(center, plant, period) or b""))
    with center.database.reading() as db:
        trust = trust_of(center, db)
    report = verify_recomputed(bundle, trust, center.now()).to_json()
    data = jcs(report)
    return MonthReport(
        sha256_hex(data),
        data.decode("utf-8"),
        reports.seal(secret, plant, period, data),
        report["verdict"],
        report["findings"],
        report["counts"],
    )
