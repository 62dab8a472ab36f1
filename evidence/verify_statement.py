"""Verification of one statement, in the order of C1: form, key, signature, payload, role, receipt, times.

The first failed step ends it, so the code named is the first thing wrong. What statements must agree on among
each other is ``verify_month.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Logged:
    """A statement of good form with its receipt: what the steps that need the log look at; ``now`` is the moment."""

    statement: Statement
    signer: KeyEntry
    receipt: Receipt
    trust: Trust
    now: datetime


def check_receipt(logged: Logged) -> None:
    """Do step 9: the log has the statement, byte for byte.

    Raises:
        EvidenceError: ``CHECKPOINT_FORMAT``, ``LOG_ORIGIN``, ``SIGNATURE``, ``QUORUM`` or ``INCLUSION_FAIL``.
    """
    statement, trust = logged.statement, logged.trust
    try:
        verify_receipt(logged.receipt, statement.jws, trust.log, trust.policy)
    except EvidenceError as error:
        raise EvidenceError(error.code, error.detail, statement.sid) from error


def check_validity(logged: Logged) -> None:
    """Do step 10: the key was valid when the log took the statement.

    Raises:
        EvidenceError: as :func:`check_key_index`.
    """
    check_key_index(logged.signer, logged.receipt.index, logged.statement.sid)


def check_times(logged: Logged) -> None:
    """Do step 11: anchor and signer's clock are possible for a statement at this place of the log.

    Raises:
        EvidenceError: ``LOG_ORIGIN``, ``TIME_CONTRADICTION`` or ``TIME_FUTURE``.
    """
    statement, receipt, trust = logged.statement, logged.receipt, logged.trust
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
    if parse_time(statement.payload["t"]) > logged.now + FUTURE_TOLERANCE:
        raise EvidenceError(Code.TIME_FUTURE, f"signed at {statement.payload['t']}, which is to come", statement.sid)


LOG_STEPS: tuple[tuple[str, Callable[[Logged], None]], ...] = (
    ("receipt", check_receipt),
    ("validity", check_validity),
    ("time", check_times),
)
"""Steps 9–11 in their order, each under the name that `check_words.py` counts it by."""


def verify_logged(statement: Statement, entry: KeyEntry, receipt: Receipt, trust: Trust, now: datetime) -> None:
    """Do steps 9–11: the statement is in the log, under a key valid at that index, at a possible time.

    Raises:
        EvidenceError: the receipt's codes, ``KEY_UNKNOWN``, ``KEY_REVOKED``, ``KEY_SUPERSEDED``,
            ``TIME_CONTRADICTION`` or ``TIME_FUTURE``.
    """
    logged = Logged(statement, entry, receipt, trust, now)
    for _, check in LOG_STEPS:
        check(logged)


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
