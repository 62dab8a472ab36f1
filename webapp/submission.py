"""Hands statements to admission and answers with receipts; for gateways' batches and people's browsers."""

from __future__ import annotations

from collections.abc import Iterable

from evidence.errors import Code, EvidenceError
from evidence.statement import parse_envelope
from sync import ItemResult, PushItem, Status
from webapp import store_keys
from webapp.accounts import Account
from webapp.admission import Admission
from webapp.center import Center
from webapp.log import Turn
from webapp.refusal import Held, Logged, Outcome, Refused


def submit(center: Center, items: Iterable[PushItem]) -> list[ItemResult]:
    """Admit a batch in one turn and answer each item; receipts are made after the commit."""
    todo = list(items)

    def decide(turn: Turn) -> list[Outcome]:
        admission = Admission(turn, center.log.origin)
        return [admission.admit(item.jws, item.consistency, item.sm2) for item in todo]

    return answers(center, center.log.sequence(decide))


def answers(center: Center, outcomes: Iterable[Outcome]) -> list[ItemResult]:
    """Turn outcomes into the answers of the protocol."""
    todo = list(outcomes)
    # Most were cosigned with the turn that logged them; those that are asked for again may be so by now.
    center.log.settle(max((outcome.index + 1 for outcome in todo if isinstance(outcome, Logged)), default=0))
    indexes = [outcome.index for outcome in todo if isinstance(outcome, Logged)]
    with center.database.reading() as session:
        receipts = dict(zip(indexes, center.log.receipts(session, indexes), strict=True))
    result = []
    for outcome in todo:
        match outcome:
            case Logged(sid, index) if (receipt := receipts[index]) is not None:
                result.append(ItemResult(sid, Status.LOGGED, receipt=receipt.to_text()))
            case Logged(sid):
                result.append(ItemResult(sid, Status.WAITING))
            case Held(sid, missing):
                result.append(ItemResult(sid, Status.HELD, missing=missing))
            case Refused(sid, code, detail):
                result.append(ItemResult(sid, Status.REFUSED, code=code.value, detail=detail))
    return result


def submit_for(center: Center, account: Account, jws: str) -> ItemResult:
    """Admit a statement that a person signed in the browser: only with a key of that very person."""
    try:
        envelope = parse_envelope(jws)
    except EvidenceError as error:
        return ItemResult(error.sid or "", Status.REFUSED, code=error.code.value, detail=error.detail)
    with center.database.reading() as session:
        entry = store_keys.find(session, envelope.kid)
    if entry is None or (entry.owner_type, entry.owner_id) != ("person", account.name):
        code = Code.KEY_UNKNOWN if entry is None else Code.SUBJECT_SCOPE
        detail = "this browser's key is not enrolled" if entry is None else "this key belongs to somebody else"
        return ItemResult(envelope.sid, Status.REFUSED, code=code.value, detail=detail)
    return submit(center, [PushItem(jws)])[0]
