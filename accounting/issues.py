"""What a reviewer must see beside the figures: one list, every entry in both languages.

An issue never changes a figure and never replaces one. Codes are stable; texts may improve.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class IssueCode(StrEnum):
    """What can be said about a month."""

    MISSING = "MISSING"
    COVERAGE = "COVERAGE"
    GAP = "GAP"
    CONFIG_MISSING = "CONFIG_MISSING"
    CONFIG_CHANGED = "CONFIG_CHANGED"
    UNIT_CHANGED = "UNIT_CHANGED"
    UNIT_CONFLICT = "UNIT_CONFLICT"
    NOT_A_QUANTITY = "NOT_A_QUANTITY"
    CHANNEL_AMBIGUOUS = "CHANNEL_AMBIGUOUS"
    CORRECTED = "CORRECTED"
    LEDGER_UNUSED = "LEDGER_UNUSED"
    MISSING_DAYS = "MISSING_DAYS"
    NEGATIVE = "NEGATIVE"
    BACKUP_USED = "BACKUP_USED"
    DEFAULT_USED = "DEFAULT_USED"
    UNCONFIRMED = "UNCONFIRMED"
    YEAR_FACTOR = "YEAR_FACTOR"
    NOT_IN_FORCE = "NOT_IN_FORCE"
    SEGMENT_MISSING = "SEGMENT_MISSING"
    SUPPLEMENT = "SUPPLEMENT"
    QUALITY_ERROR = "QUALITY_ERROR"
    """A finding of severity E: the month is not declared without a written reason."""
    QUALITY_REMARK = "QUALITY_REMARK"
    QUALITY_UNKNOWN = "QUALITY_UNKNOWN"


@dataclass(frozen=True, order=True)
class Issue:
    """One remark: what, about which part, in both languages."""

    code: IssueCode
    where: str
    zh: str
    en: str

    def to_json(self) -> dict[str, str]:
        """The remark as a body carries it."""
        return {"code": str(self.code), "where": self.where, "zh": self.zh, "en": self.en}
