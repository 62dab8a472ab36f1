"""The key registry as it follows from the log: enrol, approve, revoke, and what each makes of the rows.

A key counts from the entry that approves it to the entry that revokes it. An enrolment and its approval
by the centre's registrar key are logged in one turn; a key that replaces another ends it in the same turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from evidence.encoding import time_text
from evidence.errors import Code, EvidenceError
from evidence.keys import SigningKey
from evidence.roles import REGISTRAR
from evidence.statement import Statement, sign
from evidence.verify_statement import verify_possession
from webapp import store_keys, store_log
from webapp.models import RegistryKey

if TYPE_CHECKING:
    from webapp.admission import Admission

REGISTRAR_OWNER = "center"


@dataclass(frozen=True)
class Owner:
    """Whom a new key is for: type, id, role and scope, from the invitation or the account."""

    type: str
    id: str
    role: str
    plants: tuple[str, ...] = ()
    region: str | None = None

    @property
    def scope(self) -> dict[str, Any]:
        """The scope as `approve` states it."""
        return {"region": self.region} if self.region is not None else {"plants": list(self.plants)}


def add_registrar(session: Session, key: SigningKey) -> None:
    """Make the registrar's key the first of the registry; it is part of the trust anchor, not of the log."""
    row = RegistryKey(
        kid=key.kid,
        jwk=dict(key.jwk),
        nonce="",
        owner_type="registrar",
        owner_id=REGISTRAR_OWNER,
        roles=[REGISTRAR],
        plants=[],
        region="",
        custody="software",
        from_index=0,
    )
    if store_keys.find_row(session, key.kid) is None:
        store_keys.save(session, row)


def enrol(
    admission: Admission, jws: str, *, nonce: str, plants: frozenset[str], owner: Owner, registrar: SigningKey
) -> tuple[Statement, Statement]:
    """Log an enrolment and its approval; gives both statements.

    `nonce` is the one the centre gave for this owner; `plants` are what the statement may name as plant.

    Raises:
        EvidenceError: the enrolment is not good; nothing is logged.
    """
    statement = verify_possession(jws)
    if statement.payload["nonce"] != nonce:
        raise EvidenceError(Code.KEY_UNKNOWN, "the enrolment answers another nonce; start again", statement.sid)
    if statement.plant not in plants:
        raise EvidenceError(Code.SUBJECT_SCOPE, f"the enrolment is for plant {statement.plant!r}", statement.sid)
    known = store_keys.find_row(admission.turn.session, statement.kid)
    if known is not None and (known.from_index is not None or store_log.by_sid(admission.turn.session, statement.sid)):
        raise EvidenceError(Code.KEY_SUPERSEDED, "this key was enrolled before; make a new one", statement.sid)
    now = admission.turn.now
    for old in store_keys.of_owner(admission.turn.session, owner.id):
        if old.until_index is None and old.owner_type == owner.type:
            admission.append(revocation(registrar, old.kid, statement.plant, "superseded", now))
    admission.append(statement)
    approval = sign(
        {
            "v": 1,
            "kind": "key",
            "plant": statement.plant,
            "t": time_text(now),
            "op": "approve",
            "kid": statement.kid,
            "owner": {"type": owner.type, "id": owner.id},
            "roles": [owner.role],
            "scope": owner.scope,
        },
        registrar,
    )
    admission.append(approval)
    return statement, approval


def revocation(registrar: SigningKey, kid: str, plant: str, reason: str, now: datetime) -> Statement:
    """Sign the end of a key."""
    return sign(
        {
            "v": 1,
            "kind": "key",
            "plant": plant,
            "t": time_text(now),
            "op": "revoke",
            "kid": kid,
            "reason": reason,
        },
        registrar,
    )


def check(session: Session, statement: Statement) -> None:
    """Check an approval or revocation that came from elsewhere.

    Raises:
        EvidenceError: ``KEY_UNKNOWN``, ``KEY_SUPERSEDED`` or ``ROLE``.
    """
    payload = statement.payload
    row = store_keys.find_row(session, payload["kid"])
    if row is None:
        raise EvidenceError(Code.KEY_UNKNOWN, f"key {payload['kid'][:12]} was not enrolled")
    if row.until_index is not None:
        raise EvidenceError(Code.KEY_SUPERSEDED, f"key {payload['kid'][:12]} has ended")
    if payload["op"] == "approve" and row.from_index is not None:
        raise EvidenceError(Code.KEY_SUPERSEDED, f"key {payload['kid'][:12]} was approved already")
    if payload["op"] == "revoke" and payload["kid"] == statement.kid:
        raise EvidenceError(Code.ROLE, "a key cannot end itself")


def fold(session: Session, statement: Statement, index: int) -> None:
    """Take a logged `key` statement into the registry."""
    _FOLDS[statement.payload["op"]](session, statement.payload, index)


def _fold_enrol(session: Session, payload: Mapping[str, Any], index: int) -> None:
    jwk = payload["jwk"]
    store_keys.save(
        session,
        RegistryKey(
            kid=payload["kid"], jwk=dict(jwk), nonce=payload["nonce"], roles=[], plants=[], sm2=payload.get("sm2")
        ),
    )


def _fold_approve(session: Session, payload: Mapping[str, Any], index: int) -> None:
    row = store_keys.find_row(session, payload["kid"])
    if row is None:
        raise EvidenceError(Code.KEY_UNKNOWN, f"key {payload['kid'][:12]} was not enrolled")
    row.owner_type, row.owner_id = payload["owner"]["type"], payload["owner"]["id"]
    row.roles = list(payload["roles"])
    row.plants = list(payload["scope"].get("plants") or [])
    row.region = payload["scope"].get("region")
    row.from_index = index
    session.flush()


def _fold_revoke(session: Session, payload: Mapping[str, Any], index: int) -> None:
    row = store_keys.find_row(session, payload["kid"])
    if row is not None:
        row.until_index = index
        row.reason = payload["reason"]
        session.flush()


_FOLDS = {"enrol": _fold_enrol, "approve": _fold_approve, "revoke": _fold_revoke}
