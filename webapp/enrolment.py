"""Enrolling keys: gateways with a one-time code, people in their browser while they are logged in.

Both answer a nonce of the centre with a statement signed by the new key; the registrar's key approves it
in the same turn of the log, with the role and scope that the invitation or the account says.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.orm import Session

from evidence.encoding import sha256_hex
from evidence.errors import Code, EvidenceError
from evidence.roles import GATEWAY
from evidence.statement import Statement, parse
from sync import ItemResult, Status
from webapp import keyring, second_signatures, store_keys, store_log, store_plants, store_users
from webapp.accounts import PLANT_ROLES, Account
from webapp.admission import Admission
from webapp.center import Center
from webapp.errors import CenterError, ReceiptAwaitedError
from webapp.keyring import Owner
from webapp.log import Turn
from webapp.models import Gateway, Invite, Plant
from webapp.refusal import Logged
from webapp.submission import answers

NONCE_LIFE = timedelta(minutes=10)
INVITE_LIFE = timedelta(days=7)
_CODE_BYTES = 15
_NONCE_BYTES = 24


@dataclass(frozen=True)
class Invitation:
    """What a gateway learns when it shows a good code."""

    nonce: str
    gw: str
    plant: Plant


@dataclass(frozen=True)
class Enrolled:
    """A key that was taken: the approval, and receipts of enrolment and approval."""

    approve: str
    receipts: tuple[str, ...]


# --- gateways --------------------------------------------------------------------------------------


def invite_gateway(center: Center, plant: str, gw: str) -> str:
    """Make a one-time code for a gateway of a plant; only its hash is kept.

    Raises:
        CenterError: no such plant, or the gateway id belongs to another plant.
    """
    code = "-".join(secrets.token_hex(3) for _ in range(_CODE_BYTES // 3))
    with center.database.writing() as session:
        if store_plants.find(session, plant) is None:
            raise CenterError(f"没有企业 {plant}；请先添加", f"there is no plant {plant}; add it first", exit_code=1)
        known = store_plants.find_gateway(session, gw)
        if known is not None and known.plant != plant:
            raise CenterError(
                f"网关编号 {gw} 已属于企业 {known.plant}；请换一个编号",
                f"gateway id {gw} belongs to plant {known.plant}; choose another id",
            )
        now = center.now()
        if known is None:
            store_plants.add_gateway(session, Gateway(id=gw, plant=plant, created_at=now))
        invite = Invite(code_hash=_hash(code), plant=plant, gw=gw, created_at=now, expires_at=now + INVITE_LIFE)
        store_plants.add_invite(session, invite)
    return code


def start(center: Center, code: str) -> Invitation:
    """Answer a good code with a nonce, good for ten minutes.

    Raises:
        EvidenceError: ``KEY_UNKNOWN``: the code is wrong, used or expired (not said which).
    """
    with center.database.writing() as session:
        invite = _good_invite(center, session, code)
        invite.nonce = secrets.token_urlsafe(_NONCE_BYTES)
        invite.nonce_expires_at = center.now() + NONCE_LIFE
        return Invitation(invite.nonce, invite.gw, session.get_one(Plant, invite.plant))


def finish(center: Center, code: str, jws: str, sm2: str | None = None) -> Enrolled:
    """Take a gateway's key; asking again with the same statement gives the same answer.

    Raises:
        EvidenceError: the code or the statement is not good; nothing was changed.
        ReceiptAwaitedError: it was taken, but the receipts wait for cosignatures.
    """

    def decide(turn: Turn) -> tuple[Statement, Statement]:
        invite = store_plants.find_invite(turn.session, _hash(code))
        if invite is not None and invite.used_sid is not None and parse(jws).sid == invite.used_sid:
            raise _AlreadyDone
        invite = _good_invite(center, turn.session, code)
        if invite.nonce is None or invite.nonce_expires_at is None or invite.nonce_expires_at < turn.now:
            raise EvidenceError(Code.KEY_UNKNOWN, "the nonce has expired; start again")
        second_signatures.check_possession(parse(jws), sm2)
        owner = Owner("gateway", invite.gw, GATEWAY, plants=(invite.plant,))
        pair = keyring.enrol(
            Admission(turn, center.log.origin),
            jws,
            nonce=invite.nonce,
            plants=frozenset({invite.plant}),
            owner=owner,
            registrar=center.registrar_key,
        )
        invite.used_at, invite.used_sid = turn.now, pair[0].sid
        store_plants.set_gateway_key(turn.session, invite.gw, pair[0].kid)
        return pair

    with contextlib.suppress(_AlreadyDone):
        center.log.sequence(decide)
    return _enrolled(center, parse(jws))


class _AlreadyDone(Exception):
    """The very same enrolment was taken before; its answer was lost."""


def _good_invite(center: Center, session: Session, code: str) -> Invite:
    invite = store_plants.find_invite(session, _hash(code))
    if invite is None or invite.used_at is not None or invite.expires_at < center.now():
        raise EvidenceError(Code.KEY_UNKNOWN, "this code is wrong, was used, or has expired; ask for a new one")
    return invite


def _enrolled(center: Center, enrolment: Statement) -> Enrolled:
    center.log.settle_newest()
    with center.database.reading() as session:
        row = store_keys.find_row(session, enrolment.kid)
        if row is None or row.from_index is None:
            raise EvidenceError(Code.KEY_UNKNOWN, f"key {enrolment.kid[:12]} was not approved")
        mine, approval = (
            store_log.by_sid(session, enrolment.sid),
            store_log.entries(session, row.from_index, row.from_index + 1),
        )
        if mine is None:
            raise EvidenceError(Code.NOT_LOGGED, "the enrolment is not in the log")
        receipts = [one for one in center.log.receipts(session, [mine.idx, row.from_index]) if one is not None]
        if len(receipts) < 2:
            raise ReceiptAwaitedError(
                "登记已写入日志，回执尚待见证联署；请稍后用同一登记码重试",
                "the enrolment is logged; its receipt waits for the witnesses: ask again with the same code",
            )
        return Enrolled(approval[0].jws, tuple(receipt.to_text() for receipt in receipts))


def _hash(code: str) -> str:
    return sha256_hex(code.strip().lower().encode("utf-8"))


# --- people ----------------------------------------------------------------------------------------


def give_nonce(center: Center, account: str) -> str:
    """Give a person a nonce to sign, good for ten minutes."""
    nonce = secrets.token_urlsafe(_NONCE_BYTES)
    with center.database.writing() as session:
        store_keys.forget_nonces(session, center.now() - NONCE_LIFE)
        store_keys.give_nonce(session, nonce, account, center.now() + NONCE_LIFE)
    return nonce


def enrol_person(center: Center, account: Account, jws: str) -> ItemResult | None:
    """Take the key of a person's browser; None when it was taken, else why not."""
    try:
        nonce = _nonce_of(jws)

        def decide(turn: Turn) -> list[Logged]:
            current = store_users.find(turn.session, account.name)
            if current is None or not current.enabled or current.enrolments_left < 1:
                raise EvidenceError(Code.ROLE, "no enrolment is left for this account; ask the administrator")
            if not store_keys.take_nonce(turn.session, nonce, account.name, turn.now):
                raise EvidenceError(Code.KEY_UNKNOWN, "the nonce is not ours, was used, or has expired; try again")
            is_of_plant = current.role in PLANT_ROLES
            owner = Owner(
                "person",
                current.name,
                current.role,
                plants=current.plants if is_of_plant else (),
                region=None if is_of_plant else current.region,
            )
            pair = keyring.enrol(
                Admission(turn, center.log.origin),
                jws,
                nonce=nonce,
                plants=frozenset({*current.plants, ""}),
                owner=owner,
                registrar=center.registrar_key,
            )
            store_users.set_key(turn.session, current.name, pair[0].kid)
            return [Logged(one.sid, row.idx, is_new=True) for one, row in zip(pair, turn.appended[-2:], strict=True)]

        answers(center, center.log.sequence(decide))
    except EvidenceError as error:
        return ItemResult(error.sid or "", Status.REFUSED, code=error.code.value, detail=error.detail)
    return None


def _nonce_of(jws: str) -> str:
    statement = parse(jws)
    nonce = statement.payload.get("nonce")
    if not isinstance(nonce, str):
        raise EvidenceError(Code.ROLE, "this is no enrolment of a key", statement.sid)
    return nonce
