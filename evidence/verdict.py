"""The answer of a verification: findings, and the three-state verdict that follows from them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from evidence.encoding import time_text
from evidence.errors import Code, EvidenceError


class Verdict(StrEnum):
    """Best to worst: what a person may conclude."""

    VALID = "VALID"
    VALID_WITH_WARNINGS = "VALID_WITH_WARNINGS"
    INDETERMINATE = "INDETERMINATE"
    INVALID = "INVALID"


_ORDER = list(Verdict)
_GRADES: Mapping[Code, Verdict] = {
    Code.LATE_COMMITMENT: Verdict.VALID_WITH_WARNINGS,
    Code.KEY_SUSPECT: Verdict.VALID_WITH_WARNINGS,
    Code.ANCHOR_STALE: Verdict.VALID_WITH_WARNINGS,
    Code.CONTENT_EXTRA: Verdict.INVALID,
    Code.KEY_UNKNOWN: Verdict.INDETERMINATE,
    Code.NOT_LOGGED: Verdict.INDETERMINATE,
    Code.NOT_APPROVED: Verdict.INDETERMINATE,
    Code.CONTENT_MISSING: Verdict.INDETERMINATE,
    Code.SEGMENT_MISSING: Verdict.INDETERMINATE,
    Code.PENDING_OVERDUE: Verdict.INDETERMINATE,
    Code.SM2_MISSING: Verdict.INDETERMINATE,
}
"""What a code means by itself: something missing is indeterminate, something contradictory is invalid (the default)."""


@dataclass(frozen=True)
class Finding:
    """One check that did not pass."""

    code: Code
    detail: str
    sid: str | None = None
    grade: Verdict = Verdict.INVALID

    @classmethod
    def of(cls, error: EvidenceError, sid: str | None = None, grade: Verdict | None = None) -> "Finding":
        """Turn a failed check into a finding of its usual grade, unless another is given."""
        return cls(error.code, error.detail, error.sid or sid, grade or _GRADES.get(error.code, Verdict.INVALID))


@dataclass(frozen=True)
class CheckCount:
    """One named check (`check_words.py`) and how many things it was done to: those that passed, and the others."""

    name: str
    passed: int
    failed: int = 0


@dataclass(frozen=True)
class Report:
    """Everything a verification found, counted and dated."""

    findings: tuple[Finding, ...]
    counts: Mapping[str, int]
    trust_issued: datetime
    trust_size: int
    subject: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[CheckCount, ...] = ()
    """Every check that had something to look at, in the order of checking."""

    @property
    def verdict(self) -> Verdict:
        """The worst grade among the findings."""
        return max((finding.grade for finding in self.findings), key=_ORDER.index, default=Verdict.VALID)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "verdict": self.verdict.value,
            "subject": dict(self.subject),
            "findings": [
                {"code": finding.code.value, "grade": finding.grade.value, "sid": finding.sid, "detail": finding.detail}
                for finding in self.findings
            ],
            "checks": [{"name": check.name, "passed": check.passed, "failed": check.failed} for check in self.checks],
            "counts": dict(self.counts),
            "trust": {"issued": time_text(self.trust_issued), "log_size": self.trust_size},
        }


class Findings:
    """Collects findings while checks go on; each check may fail without stopping the others."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._failed = 0

    def add(self, code: Code, detail: str, sid: str | None = None, grade: Verdict | None = None) -> None:
        """Record one failed check."""
        self.extend((Finding.of(EvidenceError(code, detail, sid), grade=grade),))

    def catch(self, error: EvidenceError, sid: str | None = None) -> None:
        """Record a failed check that was raised."""
        self.extend((Finding.of(error, sid),))

    def __len__(self) -> int:
        """Count what was recorded so far and is no mere warning."""
        return self._failed

    def all(self) -> tuple[Finding, ...]:
        """Return the findings in the order found, each once."""
        return tuple(dict.fromkeys(self._found))

    def extend(self, findings: Iterable[Finding]) -> None:
        """Take over findings made elsewhere."""
        for finding in findings:
            self._found.append(finding)
            self._failed += finding.grade is not Verdict.VALID_WITH_WARNINGS
