"""Enrolment by one-time code: a new key proves itself over the centre's nonce and learns whom to trust.

The new key is on disk before the centre hears of it; the identity is stored only after the centre's receipts and
trust file were verified. A second enrolment begins a new epoch with a new key.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evidence.encoding import sha256_hex, strict_json, time_text
from evidence.errors import EvidenceError
from evidence.keys import SigningKey
from evidence.note import NoteKey
from evidence.receipt import Receipt, verify_receipt
from evidence.statement import Statement, parse, sign
from evidence.trust import Trust
from evidence.verify_sm2 import signing_input
from gateway.chain import abandon_outbox, outbox_depth, set_anchor
from gateway.clock import Clock
from gateway.distrust import trust_again
from gateway.durable import sync_folder
from gateway.errors import RefusedError, UplinkError
from gateway.identity import Identity, adopt, known_identity, new_seed, read_key, write_key
from gateway.second_key import make_second_key, read_second_key, second_key_file
from gateway.store import Store
from gateway.trust_store import keep_root, keep_trust, trust_folder
from gateway.uplink import RefusedByCentreError, Uplink
from gateway.writer import Writer

START = "/api/v1/enrol/start"
FINISH = "/api/v1/enrol/finish"
_PENDING = "enrol_pending"
_OFFERED = ("nonce", "gw", "plant", "origin", "log_vkey")


@dataclass(frozen=True)
class _Offer:
    """What the centre says about an invitation."""

    nonce: str
    gw: str
    plant: str
    origin: str
    log_vkey: str
    sm2: bool = False
    """Whether the plant signs twice."""
    epoch: int = 1
    """The epoch after all that the centre knows of this gateway, whose disk may have been lost."""


def enrol(
    writer: Writer,
    uplink: Uplink,
    clock: Clock,
    key_file: Path,
    code: str,
    *,
    again: bool,
    abandon: bool = False,
    after_epoch: int = 0,
) -> Identity:
    """Enrol this gateway; `again` allows a new epoch where it was enrolled before.

    `after_epoch` is the newest one that left anything on this disk: its tiles are never written over.
    A new key ends the old one, and the centre takes nothing more under it: what still waits must be sent first, or be
    given up by `abandon`.

    Raises:
        RefusedError: enrolled already, statements still wait, or the centre's answer does not verify.
        UplinkError: the centre cannot be reached or refuses the code.
    """
    before = writer.call(known_identity)
    if before is not None and not again:
        raise RefusedError(
            f"已登记为 {before.gw}；若确需新密钥请加 --again",
            f"already enrolled as {before.gw}; use --again for a new key and a new epoch",
        )
    waiting = writer.call(outbox_depth)
    if before is not None and waiting and not abandon:
        raise RefusedError(
            f"还有 {waiting} 条声明未被中心端接受，换密钥后将永远无法上传；请先运行 cunzheng gateway sync，"
            "若确实要放弃这些声明请加 --abandon",
            f"{waiting} statements still wait for the centre, which takes none of them after a change of key;"
            " run cunzheng gateway sync first, or give them up with --abandon",
        )
    offer, statement, answer = _resumed(writer, uplink, key_file, code) or _begun(writer, uplink, clock, key_file, code)
    trust, approve = _verified(answer, statement, offer)
    identity = Identity(
        gw=offer.gw,
        plant=offer.plant,
        zone=trust.registry.plant(offer.plant).zone,
        epoch=max(offer.epoch, after_epoch + 1, 1 if before is None else before.epoch + 1),
        kid=statement.kid,
        origin=trust.origin,
        log_vkey=trust.log.text,
    )

    def keep(store: Store) -> None:
        abandon_outbox(store, "abandoned: a new key was enrolled")
        adopt(store, identity)
        keep_trust(store, trust)
        trust_again(store)
        keep_root(store, root)
        store.put("approve", approve.jws)
        store.put(_PENDING, "")
        if before is None or before.origin != trust.origin:
            newest = max(
                (verify_receipt(receipt, jws, trust.log, trust.policy) for receipt, jws in proven),
                key=lambda checkpoint: checkpoint.size,
            )
            set_anchor(store, newest)

    proven = _receipts(answer, statement, approve)
    root = str(answer.get("trust_root", ""))
    if before is not None and before.origin != trust.origin:
        shutil.rmtree(trust_folder(key_file.parent), ignore_errors=True)
    _install_key(key_file)
    writer.call(keep)
    return identity


def _begun(
    writer: Writer, uplink: Uplink, clock: Clock, key_file: Path, code: str
) -> tuple[_Offer, Statement, Mapping[str, Any]]:
    """Ask for a nonce, sign it with the new key, remember that, and send it."""
    question = _object(_asked(uplink, START, {"code": code}))
    offer = _offer(question)
    key = _key(key_file)
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
            **_second_public(key_file, offer),
        },
        key,
    )
    pending = {"code": sha256_hex(code.encode()), "offer": asdict(offer), "statement": statement.jws}
    writer.call(lambda store: store.put(_PENDING, json.dumps(pending)))
    return offer, statement, _object(_asked(uplink, FINISH, _question(key_file, code, statement)))


def _second_public(key_file: Path, offer: _Offer) -> dict[str, str]:
    """Make the second key where the plant signs twice; its public half goes with the enrolment."""
    return {"sm2": make_second_key(_new_second_file(key_file)).public} if offer.sm2 else {}


def _question(key_file: Path, code: str, statement: Statement) -> dict[str, str]:
    """Send an enrolment; a second key proves itself by signing it, too."""
    question = {"code": code, "statement": statement.jws}
    if "sm2" in statement.payload:
        second = read_second_key(_new_second_file(key_file))
        question["sm2"] = second.sign(signing_input(statement.jws)).hex()
    return question


def _resumed(
    writer: Writer, uplink: Uplink, key_file: Path, code: str
) -> tuple[_Offer, Statement, Mapping[str, Any]] | None:
    """Send the statement of an enrolment whose answer was lost once more; the centre answers again."""
    text = writer.call(lambda store: store.get(_PENDING))
    pending = json.loads(text) if text else None
    if pending is None or pending["code"] != sha256_hex(code.encode()):
        return None
    statement = parse(pending["statement"])
    try:
        answer = _asked(uplink, FINISH, _question(key_file, code, statement))
    except RefusedError:
        # The centre never took it: begin anew with a fresh nonce.
        return None
    return _Offer(**pending["offer"]), statement, _object(answer)


def _asked(uplink: Uplink, path: str, question: Mapping[str, str]) -> bytes:
    """Post a question; a refusal that no repetition changes is an answer: "not so"."""
    try:
        return uplink.post(path, json.dumps(question))
    except RefusedByCentreError as error:
        if not error.is_final:
            raise
        raise RefusedError(f"中心端拒绝登记: {error.said}", f"the centre refuses to enrol: {error.said}") from error


def _offer(answer: Mapping[str, Any]) -> _Offer:
    try:
        epoch = answer.get("epoch", 1)
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 1:
            raise _odd("epoch is no number")
        nonce, gw, plant, origin, log_vkey = (str(answer[name]) for name in _OFFERED)
        return _Offer(nonce, gw, plant, origin, log_vkey, answer.get("sm2") is True, epoch)
    except KeyError as error:
        raise _odd(f"{error.args[0]} is missing") from error


def _key(key_file: Path) -> SigningKey:
    """Make the new key beside the old one, or take the one that an interrupted enrolment left."""
    path = _new_key_file(key_file)
    if not path.exists():
        write_key(path, new_seed())
    return read_key(path)


def _install_key(key_file: Path) -> None:
    """Put the new key in its place and the old one, whose epoch ends, aside."""
    if _new_key_file(key_file).exists():
        if key_file.exists():
            key_file.rename(key_file.with_name(f"{key_file.name}.{read_key(key_file).kid[:12]}"))
        _new_key_file(key_file).rename(key_file)
        second = second_key_file(key_file)
        if second.exists():
            second.rename(second.with_name(f"{second.name}.old"))
        if _new_second_file(key_file).exists():
            _new_second_file(key_file).rename(second)
        sync_folder(key_file.parent)


def _new_second_file(key_file: Path) -> Path:
    return second_key_file(_new_key_file(key_file))


def _new_key_file(key_file: Path) -> Path:
    return key_file.with_name(f"{key_file.name}.new")


def _verified(answer: Mapping[str, Any], statement: Statement, offer: _Offer) -> tuple[Trust, Statement]:
    try:
        trust = Trust.from_json(answer["trust"])
        approve = parse(str(answer["approve"]))
        if trust.log != NoteKey.parse(offer.log_vkey) or trust.origin != offer.origin:
            raise _odd("its trust file names another log than its offer")
        for receipt, jws in _receipts(answer, statement, approve):
            verify_receipt(receipt, jws, trust.log, trust.policy)
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
