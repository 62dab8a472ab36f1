"""The statements of a bundle, one by one (C1), each counted at the step that it reached."""

from evidence.case import Case
from evidence.errors import Code, EvidenceError
from evidence.note import parse_checkpoint
from evidence.receipt import Receipt
from evidence.verify_month import Signed
from evidence.verify_statement import LOG_STEPS, Logged, verify_statement

_STEPS: tuple[tuple[str, frozenset[Code]], ...] = (
    ("form", frozenset({Code.ENCODING, Code.HEADER, Code.BUNDLE_FORMAT})),
    ("key", frozenset({Code.ALG, Code.KEY_UNKNOWN})),
    ("signature", frozenset({Code.SIGNATURE})),
    ("payload", frozenset({Code.PAYLOAD, Code.SCHEMA, Code.TYP_MISMATCH})),
    ("role", frozenset({Code.ROLE, Code.SUBJECT_SCOPE})),
)
"""Steps 1–8 as people count them, in their order, and the codes that end each."""


def check_statements(case: Case) -> None:
    """Each statement holds by itself, and its receipt shows that the log has it."""
    for name in sorted(case.bundle.statements):
        case.counts["statements"] += 1
        signed = _statement(case, name)
        if signed is not None:
            case.signed.append(_logged(case, signed))
    for name in sorted(set(case.bundle.proofs) - set(case.bundle.statements)):
        case.findings.add(Code.BUNDLE_FORMAT, f"receipt {name[:12]} without its statement", name)


def check_places(case: Case) -> None:
    """Each place of the log holds one statement."""
    taken: dict[int, str] = {}
    for one in case.signed:
        if one.index is None:
            continue
        with case.examining("place", one.sid):
            if taken.setdefault(one.index, one.sid) != one.sid:
                case.findings.add(Code.LOG_EQUIVOCATION, f"two statements at log index {one.index}", one.sid)


def _statement(case: Case, name: str) -> Signed | None:
    code: Code | None = None
    signed = None
    try:
        statement, entry = verify_statement(_ascii(case.bundle.statements[name]), case.trust.registry)
        if statement.sid != name:
            raise EvidenceError(Code.BUNDLE_FORMAT, f"file {name[:12]} holds statement {statement.sid[:12]}", name)
        signed = Signed(statement, entry, None)
    except EvidenceError as error:
        code = error.code
        case.findings.catch(error, name)
        if error.sid is not None and error.sid != name:
            case.findings.add(Code.BUNDLE_FORMAT, f"file {name[:12]} holds statement {error.sid[:12]}", name)
    for step, codes in _STEPS:
        case.tally.add(step, passed=code not in codes, failed=code in codes)
        if code in codes:
            break
    return signed


def _logged(case: Case, signed: Signed) -> Signed:
    """Do the steps that need the receipt; a statement that fails one is not known to be logged."""
    name = signed.sid
    logged: Logged | None = None
    for step, check in LOG_STEPS:
        before = len(case.findings)
        with case.examining(step, name):
            if logged is None:
                logged = Logged(signed.statement, signed.signer, _receipt(case, name), case.trust, case.now)
            check(logged)
        if len(case.findings) > before or logged is None:
            return signed
    assert logged is not None  # the first step needs it
    case.counts["receipts"] += 1
    checkpoint = parse_checkpoint(logged.receipt.checkpoint)
    if case.roots.setdefault(checkpoint.size, checkpoint.root) != checkpoint.root:
        case.findings.add(Code.LOG_EQUIVOCATION, f"two roots for a log of {checkpoint.size}", name)
    return Signed(signed.statement, signed.signer, logged.receipt.index)


def _receipt(case: Case, sid: str) -> Receipt:
    if sid not in case.bundle.proofs:
        raise EvidenceError(Code.NOT_LOGGED, "no receipt", sid)
    return Receipt.from_text(as_text(case.bundle.proofs[sid]))


def _ascii(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise EvidenceError(Code.ENCODING, f"byte {error.start} is not ASCII") from error


def as_text(data: bytes) -> str:
    """Read a receipt or checkpoint.

    Raises:
        EvidenceError: ``CHECKPOINT_FORMAT``.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EvidenceError(Code.CHECKPOINT_FORMAT, f"byte {error.start} is not UTF-8") from error
