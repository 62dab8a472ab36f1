"""The codes and the one exception of evidence that is not as it should be.

EvidenceError
    carries a :class:`Code` of the published list, a sentence, and the statement it is about.
    ``BundleError`` is an EvidenceError about the container rather than about one statement.

A bad *measurement* is not an error here: it is a reading with a flag and a reason (``reading.py``).
"""

from enum import StrEnum


class Code(StrEnum):
    """Result codes of verification; the list is closed and part of the protocol."""

    ENCODING = "ENCODING"
    HEADER = "HEADER"
    ALG = "ALG"
    KEY_UNKNOWN = "KEY_UNKNOWN"
    KEY_REVOKED = "KEY_REVOKED"
    KEY_SUPERSEDED = "KEY_SUPERSEDED"
    KEY_SUSPECT = "KEY_SUSPECT"
    ROLE = "ROLE"
    SUBJECT_SCOPE = "SUBJECT_SCOPE"
    SIGNATURE = "SIGNATURE"
    PAYLOAD = "PAYLOAD"
    SCHEMA = "SCHEMA"
    TYP_MISMATCH = "TYP_MISMATCH"
    NOT_LOGGED = "NOT_LOGGED"
    LEAF_MISMATCH = "LEAF_MISMATCH"
    INCLUSION_FAIL = "INCLUSION_FAIL"
    CONSISTENCY_FAIL = "CONSISTENCY_FAIL"
    LOG_ORIGIN = "LOG_ORIGIN"
    LOG_EQUIVOCATION = "LOG_EQUIVOCATION"
    CHECKPOINT_FORMAT = "CHECKPOINT_FORMAT"
    QUORUM = "QUORUM"
    FORK = "FORK"
    SEQ_REGRESSION = "SEQ_REGRESSION"
    CHAIN_INCOMPLETE = "CHAIN_INCOMPLETE"
    RANGE_GAP = "RANGE_GAP"
    RANGE_OVERLAP = "RANGE_OVERLAP"
    SEGMENT_MISSING = "SEGMENT_MISSING"
    INDEX_MISMATCH = "INDEX_MISMATCH"
    PERIOD_DUPLICATE = "PERIOD_DUPLICATE"
    SUPERSEDE_FORK = "SUPERSEDE_FORK"
    NOT_APPROVED = "NOT_APPROVED"
    DECLARE_MISSING = "DECLARE_MISSING"
    DECLARE_ORDER = "DECLARE_ORDER"
    DECLARE_MISMATCH = "DECLARE_MISMATCH"
    SEPARATION_OF_DUTY = "SEPARATION_OF_DUTY"
    QUALITY_OPEN = "QUALITY_OPEN"
    CONTENT_HASH = "CONTENT_HASH"
    CONTENT_MISSING = "CONTENT_MISSING"
    CONTENT_EXTRA = "CONTENT_EXTRA"
    AGGREGATE_MISMATCH = "AGGREGATE_MISMATCH"
    CHALLENGE_FAIL = "CHALLENGE_FAIL"
    ANCHOR_STALE = "ANCHOR_STALE"
    TIME_CONTRADICTION = "TIME_CONTRADICTION"
    TIME_FUTURE = "TIME_FUTURE"
    CLOCK_STEP_UNDECLARED = "CLOCK_STEP_UNDECLARED"
    LATE_COMMITMENT = "LATE_COMMITMENT"
    PENDING_OVERDUE = "PENDING_OVERDUE"
    TSA_FAIL = "TSA_FAIL"
    SM2_MISSING = "SM2_MISSING"
    TRUST_STALE = "TRUST_STALE"
    BUNDLE_FORMAT = "BUNDLE_FORMAT"


class EvidenceError(Exception):
    """Something claimed as evidence failed one named check."""

    def __init__(self, code: Code, detail: str, sid: str | None = None) -> None:
        super().__init__(f"{code}: {detail}" + (f" (statement {sid[:12]})" if sid else ""))
        self.code = code
        self.detail = detail
        self.sid = sid


class BundleError(EvidenceError):
    """The bundle itself, not a statement in it, is malformed."""

    def __init__(self, detail: str) -> None:
        super().__init__(Code.BUNDLE_FORMAT, detail)
