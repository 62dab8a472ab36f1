"""The rules for declaring, signing and reviewing a month, checked before the statement is logged.

Each function raises EvidenceError with the code of the first rule that is broken. They get what the log
holds about the month as `MonthFile`; they look nothing up and change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evidence.blocking import has_reason
from evidence.errors import Code, EvidenceError
from evidence.roles import APPROVING_LEVELS, REVIEW_LEVELS, TECHNICIAN
from evidence.verdict import Findings
from evidence.verify_month import Signed, check_declares, newest_revision

APPROVE, RETURN, REJECT, QUERY = "approve", "return", "reject", "query"


@dataclass(frozen=True)
class MonthFile:
    """What is logged about one month of one plant, in log order."""

    plant: str
    period: str
    declares: tuple[Signed, ...] = ()
    months: tuple[Signed, ...] = ()
    reviews: tuple[Signed, ...] = ()
    has_gateway: bool = True

    @property
    def newest(self) -> Signed | None:
        """The month statement that counts."""
        return newest_revision(self.months, Findings())

    @property
    def revision(self) -> int:
        """The newest revision that was submitted; 0 before the first."""
        submitted = self.submitted
        return 0 if submitted is None else int(submitted.payload["rev"])

    @property
    def submitted(self) -> Signed | None:
        """What is reviewed: the month statement, or without a gateway the responsible person's declaration."""
        if self.newest is not None:
            return self.newest
        reviewed = {review.payload["subject"] for review in self.reviews}
        final = [one for one in self.declares if one.payload["role"] != TECHNICIAN]
        # Reviewed without a gateway once, it stays submitted when a gateway comes later.
        return next((one for one in reversed(final) if not self.has_gateway or one.sid in reviewed), None)

    def declare(self, sid: str) -> Signed | None:
        """Find a declaration."""
        return next((one for one in self.declares if one.sid == sid), None)

    def standing(self, subject: str) -> dict[str, Signed]:
        """The newest review of each level on one submission."""
        standing: dict[str, Signed] = {}
        for review in self.reviews:
            if review.payload["subject"] == subject:
                standing[review.payload["level"]] = review
        return standing


def check_declare(new: Signed, file: MonthFile, draft: Mapping[str, Any] | None) -> None:
    """Check a declaration; `draft` is the centre's own draft: `rev`, `subjects`, `is_stale`, `blocking`.

    Raises:
        EvidenceError: ``PERIOD_DUPLICATE``, ``SUPERSEDE_FORK``, ``DECLARE_MISSING``, ``DECLARE_ORDER``,
            ``DECLARE_MISMATCH``, ``QUALITY_OPEN`` or ``SEPARATION_OF_DUTY``.
    """
    payload = new.payload
    expected = file.revision + 1
    if payload["rev"] < expected:
        raise EvidenceError(Code.PERIOD_DUPLICATE, f"revision {payload['rev']} of {file.period} was submitted already")
    if payload["rev"] > expected:
        raise EvidenceError(Code.SUPERSEDE_FORK, f"the next revision of {file.period} is {expected}")
    if payload["role"] == TECHNICIAN:
        _check_against_draft(payload, draft)
        return
    before = file.declare(payload["after"])
    if before is None:
        raise EvidenceError(Code.DECLARE_MISSING, "the technician's declaration it names is not logged")
    if before.payload["role"] != TECHNICIAN or before.payload["rev"] != payload["rev"]:
        raise EvidenceError(Code.DECLARE_ORDER, "it must follow the technician's declaration of this revision")
    if before.payload["subjects"] != payload["subjects"]:
        raise EvidenceError(Code.DECLARE_MISMATCH, "it lists other files than the technician's declaration")
    if before.signer.owner_id == new.signer.owner_id:
        raise EvidenceError(Code.SEPARATION_OF_DUTY, "technician and responsible person must be two people")


def _check_against_draft(payload: Mapping[str, Any], draft: Mapping[str, Any] | None) -> None:
    if draft is None:
        raise EvidenceError(Code.DECLARE_MISMATCH, "the centre has composed no draft of this month; open it first")
    if draft["is_stale"]:
        raise EvidenceError(Code.DECLARE_MISMATCH, "values were captured after this draft; compose it again")
    if draft["rev"] != payload["rev"] or draft["subjects"] != payload["subjects"]:
        raise EvidenceError(Code.DECLARE_MISMATCH, "it lists other files than the draft the centre composed")
    if draft["blocking"] and not has_reason(payload):
        raise EvidenceError(Code.QUALITY_OPEN, f"{draft['blocking']} findings of severity E stand without a reason")


def check_month(new: Signed, file: MonthFile) -> None:
    """Check a month statement against its declarations and the revisions before it.

    Raises:
        EvidenceError: ``PERIOD_DUPLICATE``, ``SUPERSEDE_FORK``, ``DECLARE_MISSING``, ``DECLARE_ORDER``,
            ``DECLARE_MISMATCH`` or ``SEPARATION_OF_DUTY``.
    """
    payload = new.payload
    findings = Findings()
    newest = file.newest
    if payload["supersedes"] is not None and (newest is None or payload["supersedes"] != newest.sid):
        raise EvidenceError(Code.SUPERSEDE_FORK, "it supersedes another statement than the newest revision")
    newest_revision([*file.months, new], findings)
    if newest is not None and payload["rev"] != newest.payload["rev"] + 1:
        findings.add(Code.PERIOD_DUPLICATE, f"revision {newest.payload['rev']} is the newest", new.sid)
    check_declares(new, {one.sid: one for one in file.declares}, findings)
    raise_first(findings)


def check_review(new: Signed, file: MonthFile, *, has_gateway: bool) -> None:
    """Check a review: on the newest submission, in the order of levels, each by another person.

    Raises:
        EvidenceError: ``NOT_LOGGED``, ``SUPERSEDE_FORK``, ``NOT_APPROVED`` or ``SEPARATION_OF_DUTY``.
    """
    payload = new.payload
    subject = _reviewed(payload["subject"], file, has_gateway=has_gateway)
    standing = file.standing(subject.sid)
    for level, review in standing.items():
        if review.payload["decision"] in (RETURN, REJECT):
            raise EvidenceError(
                Code.NOT_APPROVED, f"{level} has answered {review.payload['decision']}; a new revision is needed"
            )
    level = payload["level"]
    above = REVIEW_LEVELS[REVIEW_LEVELS.index(level) + 1 :]
    if any(name in standing for name in above):
        raise EvidenceError(Code.NOT_APPROVED, "a higher level has reviewed this revision already")
    same = standing.get(level)
    if same is not None and same.payload["decision"] == APPROVE and level in APPROVING_LEVELS:
        raise EvidenceError(Code.NOT_APPROVED, f"{level} has approved this revision already")
    _check_order(payload, subject, standing)
    for other, review in standing.items():
        if other != level and review.signer.owner_id == new.signer.owner_id:
            raise EvidenceError(Code.SEPARATION_OF_DUTY, f"the same person reviewed at {other} level")
    declared = {one.signer.owner_id for one in file.declares}
    if new.signer.owner_id in declared:
        raise EvidenceError(Code.SEPARATION_OF_DUTY, "a person who declared the month may not review it")


def _reviewed(sid: str, file: MonthFile, *, has_gateway: bool) -> Signed:
    candidates: Sequence[Signed] = file.months
    if not has_gateway:
        candidates = [one for one in file.declares if one.payload["role"] != TECHNICIAN]
    subject = next((one for one in candidates if one.sid == sid), None)
    if subject is None:
        raise EvidenceError(Code.NOT_LOGGED, "the reviewed statement is no submission of this month")
    newest = file.newest if has_gateway else candidates[-1]
    if newest is None or newest.sid != sid:
        raise EvidenceError(Code.SUPERSEDE_FORK, "a newer revision is there; review that one")
    return subject


def _check_order(payload: Mapping[str, Any], subject: Signed, standing: Mapping[str, Signed]) -> None:
    level = payload["level"]
    lower = REVIEW_LEVELS[: REVIEW_LEVELS.index(level)]
    needed = [name for name in lower if name in APPROVING_LEVELS]
    # The nation screens every month, also before the lower levels have decided.
    is_needed = level in APPROVING_LEVELS or payload["decision"] == APPROVE
    for name in needed if is_needed else ():
        if name not in standing or standing[name].payload["decision"] != APPROVE:
            raise EvidenceError(Code.NOT_APPROVED, f"{name} has not approved this revision")
    reached = [standing[name].sid for name in lower if name in standing]
    expected = reached[-1] if reached else subject.sid
    if payload["after"] != expected:
        raise EvidenceError(Code.NOT_APPROVED, "it does not follow the review before it")


def status_of(file: MonthFile, *, has_gateway: bool) -> tuple[str, int, str | None]:
    """Say where a month stands: status, revision, and what is (to be) reviewed."""
    newest_declares = max((one.payload["rev"] for one in file.declares), default=0)
    subject = file.newest
    if not has_gateway:
        final = [one for one in file.declares if one.payload["role"] != TECHNICIAN]
        subject = final[-1] if final else None
    if subject is None or newest_declares > subject.payload["rev"]:
        of_revision = [one for one in file.declares if one.payload["rev"] == newest_declares]
        if not of_revision:
            return "draft", 1, None
        is_complete = any(one.payload["role"] != TECHNICIAN for one in of_revision)
        return ("declared" if is_complete else "declared_technician"), newest_declares, None
    decisions = {level: one.payload["decision"] for level, one in file.standing(subject.sid).items()}
    return _reviewed_status(decisions), int(subject.payload["rev"]), subject.sid


def _reviewed_status(decisions: Mapping[str, str]) -> str:
    if REJECT in decisions.values():
        return "rejected"
    if RETURN in decisions.values():
        return "returned"
    if decisions.get("province") == APPROVE:
        return "approved_province"
    if decisions.get("city") == APPROVE:
        return "approved_city"
    return "signed"


STATUSES = (
    "draft",
    "declared_technician",
    "declared",
    "signed",
    "approved_city",
    "approved_province",
    "returned",
    "rejected",
)
"""All answers of `status_of`; a month without any statement has no status."""


def raise_first(findings: Findings) -> None:
    """Raise the first finding, if there is one."""
    for finding in findings.all():
        raise EvidenceError(finding.code, finding.detail, finding.sid)
