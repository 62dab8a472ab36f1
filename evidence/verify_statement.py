"""Verification of one statement, in the order of C1: form, key, signature, payload, role, receipt, times.

The first failed step ends it, so the code named is the first thing wrong. What statements must agree on among
each other is ``verify_month.py``.
"""

from datetime import datetime, timedelta

from evidence.encoding import parse_time
from evidence.errors import Code, EvidenceError
from evidence.keys import PublicKey
from evidence.receipt import Receipt, verify_receipt
from evidence.registry import REVOKED_REASONS, KeyEntry, Registry
from evidence.roles import roles_for
from evidence.statement import Statement, check_payload, parse_envelope
from evidence.trust import Trust

FUTURE_TOLERANCE = timedelta(minutes=5)


def verify_statement(jws: str, registry: Registry) -> tuple[Statement, KeyEntry]:
    """Do steps 1–8: everything that needs no log.

    Raises:
        EvidenceError: the first step that failed; ``sid`` is set as soon as it can be computed.
    """
    statement = parse_envelope(jws)
    try:
        entry = registry.key(statement.kid)
    except EvidenceError as error:
        raise EvidenceError(error.code, error.detail, statement.sid) from error
    statement.verify_signature(entry.public)
    check_payload(statement)
    check_role(statement, entry, registry)
    return statement, entry


def verify_possession(jws: str) -> Statement:
    """Check an ``enrol`` statement: signed by the very key that it presents.

    Raises:
        EvidenceError: as :func:`verify_statement`; ``KEY_UNKNOWN`` if another key signed.
    """
    statement = parse_envelope(jws)
    check_payload(statement)
    if statement.kind != "key" or statement.payload["op"] != "enrol":
        raise EvidenceError(Code.ROLE, "only an enrol statement proves possession of a new key", statement.sid)
    key = PublicKey.from_jwk(statement.payload["jwk"])
    if not key.kid == statement.kid == statement.payload["kid"]:
        raise EvidenceError(Code.KEY_UNKNOWN, "an enrol statement is signed by the key it presents", statement.sid)
    statement.verify_signature(key)
    return statement


def check_role(statement: Statement, entry: KeyEntry, registry: Registry) -> None:
    """Do step 8: the key's role and scope allow this kind for this plant.

    Raises:
        EvidenceError: ``ROLE`` or ``SUBJECT_SCOPE``.
    """
    wanted = roles_for(statement.payload)
    if not wanted & entry.roles:
        raise EvidenceError(Code.ROLE, f"a {statement.kind} needs role {' or '.join(sorted(wanted))}", statement.sid)
    if statement.kind == "key":
        return
    try:
        plant = registry.plant(statement.plant)
    except EvidenceError as error:
        raise EvidenceError(error.code, error.detail, statement.sid) from error
    if not entry.covers(plant):
        raise EvidenceError(Code.SUBJECT_SCOPE, f"key {entry.kid[:12]} is not for plant {plant.id}", statement.sid)
    gateway = statement.payload.get("gw")
    if gateway is not None and gateway != entry.owner_id:
        raise EvidenceError(Code.SUBJECT_SCOPE, f"key of {entry.owner_id} used for {gateway}", statement.sid)


def verify_logged(statement: Statement, entry: KeyEntry, receipt: Receipt, trust: Trust, now: datetime) -> None:
    """Do steps 9–11: the statement is in the log, under a key valid at that index, at a possible time.

    Raises:
        EvidenceError: the receipt's codes, ``KEY_UNKNOWN``, ``KEY_REVOKED``, ``KEY_SUPERSEDED``,
            ``TIME_CONTRADICTION`` or ``TIME_FUTURE``.
    """
    try:
        verify_receipt(receipt, statement.jws, trust.log, trust.witnesses, trust.quorum)
    except EvidenceError as error:
        raise EvidenceError(error.code, error.detail, statement.sid) from error
    check_key_index(entry, receipt.index, statement.sid)
    anchor = statement.payload.get("anchor")
    if anchor is not None:
        if anchor["origin"] != trust.origin:
            raise EvidenceError(Code.LOG_ORIGIN, "anchor names another log", statement.sid)
        if anchor["size"] > receipt.index:
            raise EvidenceError(
                Code.TIME_CONTRADICTION,
                f"logged at {receipt.index}, yet anchored to a log of {anchor['size']}",
                statement.sid,
            )
    if parse_time(statement.payload["t"]) > now + FUTURE_TOLERANCE:
        raise EvidenceError(Code.TIME_FUTURE, f"signed at {statement.payload['t']}, which is to come", statement.sid)


def check_key_index(entry: KeyEntry, index: int, sid: str | None = None) -> None:
    """Do step 10: the key was valid when the log took the statement.

    Raises:
        EvidenceError: ``KEY_UNKNOWN`` (not yet valid), ``KEY_SUPERSEDED`` or ``KEY_REVOKED``.
    """
    if index < entry.from_index:
        raise EvidenceError(Code.KEY_UNKNOWN, f"key {entry.kid[:12]} counts from entry {entry.from_index}", sid)
    if entry.until_index is not None and index >= entry.until_index:
        code = Code.KEY_REVOKED if entry.reason in REVOKED_REASONS else Code.KEY_SUPERSEDED
        raise EvidenceError(code, f"key {entry.kid[:12]} ended at entry {entry.until_index}", sid)
