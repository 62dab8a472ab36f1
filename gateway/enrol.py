"""Enrolment by one-time code: a new key proves itself over the centre's nonce and learns whom to trust.

The key file is written before the centre hears of the key; the identity is stored only after the centre's receipts and
trust file were verified. A second enrolment begins a new epoch with a new key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence.encoding import strict_json, time_text
from evidence.errors import EvidenceError
from evidence.keys import SigningKey
from evidence.note import NoteKey
from evidence.receipt import Receipt, verify_receipt
from evidence.statement import Statement, parse, sign
from evidence.trust import Trust
from gateway.chain import set_anchor
from gateway.clock import Clock
from gateway.errors import RefusedError, UplinkError
from gateway.identity import Identity, adopt, known_identity, new_seed, read_key, write_key
from gateway.store import Store
from gateway.trust_store import keep_trust
from gateway.uplink import RefusedByCentreError, Uplink
from gateway.writer import Writer

START = "/api/v1/enrol/start"
FINISH = "/api/v1/enrol/finish"


@dataclass(frozen=True)
class _Offer:
    """What the centre says about an invitation."""

    nonce: str
    gw: str
    plant: str
    origin: str
    log_vkey: str


def enrol(writer: Writer, uplink: Uplink, clock: Clock, key_file: Path, code: str, *, again: bool) -> Identity:
    """Enrol this gateway; `again` allows a new epoch where it was enrolled before.

    Raises:
        RefusedError: enrolled already, or the centre's answer does not verify.
        UplinkError: the centre cannot be reached or refuses the code.
    """
    before = writer.call(known_identity)
    if before is not None and not again:
        raise RefusedError(
            f"已登记为 {before.gw}；若确需新密钥请加 --again",
            f"already enrolled as {before.gw}; use --again for a new key and a new epoch",
        )
    offer = _offer(_asked(uplink, START, {"code": code}))
    key = _key(key_file, fresh=before is not None)
    statement = sign(
        {
            "v": 1,
            "kind": "key",
            "plant": offer.plant,
            "t": time_text(clock.now()),
            "op": "enrol",
            "kid": key.kid,
            "jwk": dict(key.jwk),
            "nonce": offer.nonce,
        },
        key,
    )
    answer = _object(_asked(uplink, FINISH, {"code": code, "statement": statement.jws}))
    trust, approve = _verified(answer, statement, offer)
    identity = Identity(
        gw=offer.gw,
        plant=offer.plant,
        zone=trust.registry.plant(offer.plant).zone,
        epoch=1 if before is None else before.epoch + 1,
        kid=key.kid,
        origin=trust.origin,
        log_vkey=trust.log.text,
    )

    def keep(store: Store) -> None:
        adopt(store, identity)
        keep_trust(store, trust)
        store.put("approve", approve.jws)
        if before is None or before.origin != trust.origin:
            newest = max(
                (verify_receipt(receipt, jws, trust.log, trust.witnesses, trust.quorum) for receipt, jws in proven),
                key=lambda checkpoint: checkpoint.size,
            )
            set_anchor(store, newest.origin, newest.size, newest.root)

    proven = _receipts(answer, statement, approve)
    writer.call(keep)
    return identity


def _asked(uplink: Uplink, path: str, question: Mapping[str, str]) -> bytes:
    """Post a question; a refusal that no repetition changes is an answer: "not so"."""
    try:
        return uplink.post(path, json.dumps(question))
    except RefusedByCentreError as error:
        if not error.is_final:
            raise
        raise RefusedError(f"中心端拒绝登记: {error.said}", f"the centre refuses to enrol: {error.said}") from error


def _offer(data: bytes) -> _Offer:
    answer = _object(data)
    try:
        return _Offer(*(str(answer[name]) for name in ("nonce", "gw", "plant", "origin", "log_vkey")))
    except KeyError as error:
        raise _odd(f"{error.args[0]} is missing") from error


def _key(path: Path, *, fresh: bool) -> SigningKey:
    """Make the key, or take the one that an interrupted enrolment left; an old epoch's key is put aside."""
    if fresh and path.exists():
        old = read_key(path)
        path.rename(path.with_name(f"{path.name}.{old.kid[:12]}"))
    if not path.exists():
        write_key(path, new_seed())
    return read_key(path)


def _verified(answer: Mapping[str, Any], statement: Statement, offer: _Offer) -> tuple[Trust, Statement]:
    try:
        trust = Trust.from_json(answer["trust"])
        approve = parse(str(answer["approve"]))
        if trust.log != NoteKey.parse(offer.log_vkey) or trust.origin != offer.origin:
            raise _odd("its trust file names another log than its offer")
        for receipt, jws in _receipts(answer, statement, approve):
            verify_receipt(receipt, jws, trust.log, trust.witnesses, trust.quorum)
        entry = trust.registry.key(statement.kid)
        approve.verify_signature(trust.registry.key(approve.kid).public)
        if entry.owner_id != offer.gw or offer.plant not in entry.plants:
            raise _odd("its registry gives the new key to somebody else")
        trust.registry.plant(offer.plant)
    except EvidenceError as error:
        raise _odd(str(error)) from error
    except (KeyError, TypeError) as error:
        raise _odd(f"{error!r} is missing or malformed") from error
    return trust, approve


def _receipts(answer: Mapping[str, Any], statement: Statement, approve: Statement) -> list[tuple[Receipt, str]]:
    """Pair each receipt with its statement; the centre sends them in that order."""
    texts = answer["receipts"]
    if not isinstance(texts, list) or len(texts) != 2:
        raise _odd("it must send two receipts, for the enrolment and its approval")
    return [(Receipt.from_text(str(text)), jws) for text, jws in zip(texts, (statement.jws, approve.jws), strict=True)]


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        answer = strict_json(data)
    except EvidenceError as error:
        raise _odd(str(error)) from error
    if not isinstance(answer, dict):
        raise _odd("it is no JSON object")
    return answer


def _odd(what: str) -> UplinkError:
    return UplinkError(f"中心端的登记回答有误: {what}", f"the centre's enrolment answer is wrong: {what}")
