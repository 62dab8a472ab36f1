"""Recompute the month of a bundle from the statements in it, and compare with the body that was declared.

Judges no signature and no receipt: `evidence.verify` does. What it adds is the one thing that only the
accounting rules can say, that the declared body follows from the statements byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from accounting.declared import as_declared
from accounting.errors import AccountingError, CoverError, LackingError
from accounting.month import BODY, PARAMETERS, PLAN, compose
from evidence.bundle import Bundle
from evidence.case import with_count
from evidence.encoding import sha256_hex, strict_json
from evidence.errors import Code, EvidenceError
from evidence.receipt import Receipt
from evidence.statement import Statement, parse
from evidence.trust import Trust
from evidence.verdict import CheckCount, Finding, Report, Verdict
from evidence.verify import verify_bundle


@dataclass(frozen=True)
class Recomputed:
    """A month's body as declared and as recomputed; None where the inputs cannot be computed with."""

    month: Statement
    declared: bytes
    body: bytes | None
    problem: AccountingError | None = None

    @property
    def sid(self) -> str:
        """The month statement."""
        return self.month.sid

    @property
    def same(self) -> bool:
        """Whether both are the same bytes."""
        return self.declared == self.body

    @property
    def differs_in(self) -> list[str]:
        """The members of the body that differ; empty where none do or they cannot be told."""
        if self.body is None:
            return []
        try:
            old = strict_json(self.declared)
        except EvidenceError:
            return []
        new = strict_json(self.body)
        if not isinstance(old, dict):
            return []
        return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))

    @property
    def detail(self) -> str:
        """One phrase on what was found."""
        if self.problem is not None:
            return self.problem.en
        return "same" if self.same else f"differs in {', '.join(self.differs_in) or 'its bytes'}"


def verify_recomputed(bundle: Bundle, trust: Trust, now: datetime) -> Report:
    """Verify a bundle, and recompute each month's body from its statements: the whole answer to "does it hold?".

    A body that does not follow from its statements is `AGGREGATE_MISMATCH`. A bundle that is invalid anyway is not
    recomputed.
    """
    report = verify_bundle(bundle, trust, now)
    if report.verdict is Verdict.INVALID:
        return report
    findings: list[Finding] = []
    passed = failed = 0
    try:
        for month in recompute(bundle):
            against = _against(month, trust)
            findings += against
            passed, failed = passed + (not against), failed + bool(against)
    except EvidenceError as error:
        # A statement that verification could not judge (its key is unknown) may not even be one.
        findings.append(Finding.of(error))
    checks = with_count(report.checks, CheckCount("body", passed, failed))
    return replace(report, findings=(*report.findings, *findings), checks=checks)


def _against(month: Recomputed, trust: Trust) -> list[Finding]:
    """Say what speaks against a declared body."""
    plant = trust.registry.plant(month.month.plant)
    words = []
    if month.body is not None and (zone := strict_json(month.body)["zone"]) != plant.zone:
        words.append(f"the plan counts in {zone}, the plant is registered in {plant.zone}")
    if not month.same:
        words.append(f"the body does not follow from the statements: {month.detail}")
    return [Finding.of(EvidenceError(Code.AGGREGATE_MISMATCH, one, month.sid)) for one in words]


def recompute(bundle: Bundle) -> list[Recomputed]:
    """Recompute the newest revision of each month in a bundle, leaving out what lacks something.

    What lacks is for `evidence.verify` to report: contents, segments or a declaration that are not here.

    Raises:
        EvidenceError: a statement is malformed.
    """
    statements = statements_of(bundle)
    found = []
    for month in newest_months(statements):
        try:
            found.append(recompute_month(month, statements, bundle))
        except (LackingError, CoverError):
            continue
    return found


def recompute_month(month: Statement, statements: Sequence[Statement], bundle: Bundle) -> Recomputed:
    """Recompute one month from the statements of its bundle.

    Raises:
        LackingError: body, plan, parameters or the technician's declaration are not in the bundle.
        CoverError: segments that the month covers are not in the bundle.
    """
    payload = month.payload
    body, plan, parameters = _contents(payload["subjects"], bundle.content)
    technician = next((one for one in statements if one.sid == payload["declared"][0]), None)
    if technician is None:
        raise LackingError(
            "the technician's declaration is not in the bundle, so it is unknown which captured values count",
            "证据包中没有化验/计量人员的申报，无法判断哪些采集值属于本月",
        )
    try:
        recomputed = compose(
            plant=month.plant,
            period=payload["period"],
            statements=as_declared(statements, technician, _log_index(bundle.proofs)),
            plan=plan,
            parameters=parameters,
            cover=payload["cover"],
        )
    except CoverError:
        raise
    except AccountingError as error:
        return Recomputed(month, body, None, error)
    return Recomputed(month, body, recomputed)


def statements_of(bundle: Bundle) -> list[Statement]:
    """Parse the statements of a bundle, in the order of their names.

    Raises:
        EvidenceError: a statement is malformed or filed under another name.
    """
    found = []
    for name, data in sorted(bundle.statements.items()):
        try:
            statement = parse(data.decode("ascii").strip())
        except UnicodeDecodeError as error:
            raise EvidenceError(Code.ENCODING, "a statement is not ASCII text", name) from error
        if statement.sid != name:
            raise EvidenceError(Code.ENCODING, f"the file holds statement {statement.sid[:12]}", name)
        found.append(statement)
    return found


def newest_months(statements: Sequence[Statement]) -> list[Statement]:
    """Return the newest revision of each plant's month."""
    newest: dict[tuple[str, str], Statement] = {}
    months = [statement for statement in statements if statement.kind == "month"]
    for month in sorted(months, key=lambda one: (one.payload["rev"], one.sid)):
        newest[month.plant, month.payload["period"]] = month
    return [newest[key] for key in sorted(newest)]


def _contents(subjects: Sequence[Mapping[str, Any]], content: Mapping[str, bytes]) -> tuple[bytes, bytes, bytes]:
    digests: dict[str, str] = {}
    for subject in subjects:
        digests.setdefault(subject["name"], subject["sha256"])
    return (
        _content(BODY, digests, content),
        _content(PLAN, digests, content),
        _content(PARAMETERS, digests, content),
    )


def _content(name: str, digests: Mapping[str, str], content: Mapping[str, bytes]) -> bytes:
    data = content.get(digests.get(name, ""))
    if data is None:
        raise LackingError(f"{name} is not in the bundle", f"证据包中没有 {name}")
    if sha256_hex(data) != digests[name]:
        raise LackingError(
            f"{name} is not in the bundle: the file of that digest has another content",
            f"证据包中没有 {name}：以其摘要命名的文件内容不符",
        )
    return data


def _log_index(proofs: Mapping[str, bytes]) -> dict[str, int]:
    found = {}
    for sid, data in proofs.items():
        try:
            found[sid] = Receipt.from_text(data.decode("utf-8")).index
        except (EvidenceError, UnicodeDecodeError):
            continue  # `evidence.verify` reports a bad receipt; here the statement's own clock stands in
    return found
