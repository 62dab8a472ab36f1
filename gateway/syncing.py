"""One round with the centre: look at its log, push, pull, answer wants, sign months.

Blocking; runs beside the event loop.
Nothing is acknowledged without a receipt that was verified against the trusted log key, the statement's own bytes and
the log's history. Every failure leaves the queue as it was; sending again is always right.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from pathlib import Path

from evidence.encoding import parse_time, sha256_hex, time_text
from evidence.errors import Code, EvidenceError
from evidence.note import Checkpoint
from evidence.receipt import Receipt, verify_receipt
from evidence.statement import Statement
from evidence.trust import Trust
from evidence.verify_sm2 import signing_input
from evidence.verify_statement import verify_logged, verify_statement
from gateway import chain
from gateway.answers import answer_want
from gateway.distrust import keep_evidence, require_trusted
from gateway.errors import GatewayError, IntegrityError, MisuseError, NoLongerKeptError, RefusedError, UplinkError
from gateway.logwatch import Anchor, LogHistoryError, RemoteTiles, verified_head
from gateway.month import sign_declared_months
from gateway.pipeline import Pipeline
from gateway.problems import clear_problem, raise_problem
from gateway.pulled_store import (
    begin_pulling,
    content_path,
    content_stored,
    cursor,
    keep_pulled,
    missing_contents,
    named_contents,
    set_cursor,
    unverified,
    unverified_key,
    want_content,
)
from gateway.rawtile import write_file
from gateway.second_key import SecondKey, read_second_key, second_key_file
from gateway.store import Store
from gateway.trust_store import fetch_trust, keep_trust, known_root, known_trust, trust_folder
from gateway.uplink import RefusedByCentreError, Uplink
from sync.errors import MessageError
from sync.messages import NO_LONGER_KEPT, ItemResult, Pull, PulledItem, PullResult, PushResult, TileRefusal, TileWanted
from sync.sender import Limits, Outcome, Pending, Send, Sender

log = logging.getLogger("cunzheng.gateway")

STATEMENTS = "/api/v1/statements"
PULL = "/api/v1/pull"
TILES = "/api/v1/tiles"
CONTENT = "/api/v1/content/"
ASKED_AGAIN = 20
"""Entries that did not verify, asked for once more in a round."""
_HISTORY = "log-history"
_REFUSED = "refused"
_SECOND = "second-key"
_ENDED_KEY = frozenset({Code.KEY_SUPERSEDED.value, Code.KEY_REVOKED.value})


@dataclass(frozen=True)
class RoundResult:
    """What one round did."""

    sent: int = 0
    logged: int = 0
    refused: int = 0
    pulled: int = 0
    tiles: int = 0
    """Raw tiles that were shown."""
    refused_tiles: int = 0
    """Raw tiles of which the centre now knows that they cannot be shown."""
    months: int = 0
    waiting: int = 0

    @property
    def has_moved(self) -> bool:
        """Whether anything came through, so that another round may find more."""
        return bool(self.logged or self.pulled or self.months or self.tiles or self.refused_tiles)


class _Told(Enum):
    """What the centre was told of a tile it wants."""

    SHOWN = "shown"
    REFUSED = "refused"
    LATER = "later"


class Syncing:
    """State of the talk with the centre between rounds."""

    def __init__(
        self, pipeline: Pipeline, uplink: Uplink, contents: Path, *, batch: int, longest_pause_s: float
    ) -> None:
        self._pipeline, self._uplink, self._contents = pipeline, uplink, contents
        self._writer, self._signer = pipeline.writer, pipeline.signer
        longest = timedelta(seconds=longest_pause_s)
        self._sender = Sender(Limits(batch_items=batch, longest_pause=longest, blocked_pause=longest))
        self._jitter = random.Random()
        self._tiles = RemoteTiles(uplink)
        self._second_file = second_key_file(contents.with_name("gateway.key"))
        self._trust = self._writer.call(known_trust)
        self._writer.call(begin_pulling)

    def round(self) -> RoundResult:
        """Do one round; the sender decides if pushing is due.

        Raises:
            UplinkError: the centre did not answer; nothing is lost.
            LogHistoryError: the centre's log is not what it was; nothing is believed.
        """
        self._watch_log([])
        result = self._push()
        pulled = self._pull()
        if pulled[0]:
            # The receipts that came may be of a newer log than the anchor; nothing is signed under an older one.
            self._watch_log([])
        self._fetch_contents()
        months = self._writer.call(lambda store: sign_declared_months(store, self._signer, self._contents))
        for month in months:
            log.info("month signed period=%s rev=%d", month.payload["period"], month.payload["rev"])
        if months:
            later = self._push()
            result = replace(
                result, sent=result.sent + later.sent, logged=result.logged + later.logged, refused=later.refused
            )
        waiting = self._writer.call(chain.outbox_depth)
        told = pulled[1]
        return replace(
            result,
            pulled=pulled[0],
            tiles=told[_Told.SHOWN],
            refused_tiles=told[_Told.REFUSED],
            months=len(months),
            waiting=waiting,
        )

    # -- push ---------------------------------------------------------------------------------------------

    def _push(self) -> RoundResult:
        sent = logged = refused = 0
        while True:
            now = self._signer.clock.now()
            pending = self._pending()
            step = self._sender.step(pending, now)
            if not isinstance(step, Send):
                return RoundResult(sent, logged, refused)
            outcome = self._send(step)
            sent, logged = sent + len(step.batch), logged + len(outcome.acknowledged)
            refused += len(outcome.refused)
            if not outcome.acknowledged:
                return RoundResult(sent, logged, refused)

    def _pending(self) -> list[Pending]:
        limit = self._sender.limits.batch_items
        waiting = self._writer.call(lambda store: chain.outgoing(store, limit))
        second = self._second_key() if waiting else None
        return [
            Pending(one.sid, one.jws, one.consistency, None if second is None else _second(second, one.jws))
            for one in waiting
        ]

    def _second_key(self) -> SecondKey | None:
        """Return the key of second signatures where the plant's policy asks for them and there is one."""
        plant = self._trust.registry.plants.get(self._signer.identity.plant)
        if plant is None or plant.sm2_from is None:
            return None
        try:
            return read_second_key(self._second_file)
        except MisuseError as error:
            self._raise(_SECOND, error.zh, error.en)
            return None

    def _send(self, step: Send) -> Outcome:
        self._sender = self._sender.sent()
        try:
            result = PushResult.from_json(self._uplink.post(STATEMENTS, step.push.to_json()))
            proven = self._proven(step.batch, result)
        except (GatewayError, MessageError) as error:
            pause = error.retry_after if isinstance(error, RefusedByCentreError) else None
            self._sender = self._sender.failed(
                self._signer.clock.now(), retry_after=pause, jitter=self._jitter.random()
            )
            if isinstance(error, MessageError):
                raise UplinkError(f"中心端的回答有误: {error}", f"the centre's answer is wrong: {error}") from error
            raise
        self._sender, outcome = self._sender.answered(
            step.batch,
            result,
            self._signer.clock.now(),
            is_proof=lambda item, receipt: proven.get(item.sid) == receipt,
        )
        self._writer.call(lambda store: self._keep(store, outcome, result))
        if any(refusal.code == Code.SM2_MISSING.value for refusal in outcome.refused):
            # The plant's policy may be newer than what is known of it.
            self._refresh_trust()
        return outcome

    def _proven(self, batch: Sequence[Pending], result: PushResult) -> dict[str, str]:
        """Return sid → receipt of those whose receipt holds, after the log's history was checked."""
        jws = {item.sid: item.jws for item in batch}
        proven: dict[str, str] = {}
        seen: dict[int, Checkpoint] = {}
        for answer in result.results:
            if answer.receipt is None or answer.sid not in jws:
                continue
            try:
                checkpoint = self._verify_receipt(answer.receipt, jws[answer.sid])
            except EvidenceError as error:
                log.warning("receipt refused sid=%s reason=%r", answer.sid[:12], str(error))
                continue
            proven[answer.sid] = answer.receipt
            seen[checkpoint.size] = checkpoint
        if proven:
            self._watch_log(list(seen.values()))
        return proven

    def _verify_receipt(self, text: str, jws: str) -> Checkpoint:
        trust = self._trust
        return verify_receipt(Receipt.from_text(text), jws, trust.log, trust.policy)

    def _watch_log(self, seen: Sequence[Checkpoint]) -> None:
        # Another process of this gateway may have got further meanwhile; the anchor must never fall back.
        while not self._anchored(seen):
            pass

    def _anchored(self, seen: Sequence[Checkpoint]) -> bool:
        """Verify the log's head and keep it as anchor; False when the anchor has moved in between."""
        known, note = self._writer.call(lambda store: (chain.anchor(store), chain.anchor_note(store)))
        anchor = Anchor.read(known, note)
        try:
            self._writer.call(require_trusted)
            head = verified_head(self._uplink, self._tiles, self._trust, anchor, seen)
        except LogHistoryError as error:
            zh, en = error.zh, error.en
            if error.evidence is not None:
                path = keep_evidence(self._writer, self._contents.parent / "evidence", error.evidence)
                zh, en = f"{zh}；证据见 {path}", f"{en}; the proof is {path}"
            self._raise(_HISTORY, zh, en)
            raise

        def keep(store: Store) -> bool:
            if chain.anchor(store) != known:
                return False
            chain.set_anchor(store, head)
            clear_problem(store, _HISTORY)
            return True

        return self._writer.call(keep)

    def _keep(self, store: Store, outcome: Outcome, result: PushResult) -> None:
        now = time_text(self._signer.clock.now())
        for done in outcome.acknowledged:
            chain.store_receipt(store, done.sid, Receipt.from_text(done.receipt).index, done.receipt, now)
        standing = [refusal for refusal in outcome.refused if not self._given_up(store, refusal)]
        for refusal in standing:
            chain.mark(store, refusal.sid, "queued", _said(refusal))
        if standing:
            first, said = standing[0], _said(standing[0])
            raise_problem(
                store,
                _REFUSED,
                f"中心端拒绝声明 {first.sid[:12]}: {said}",
                f"the centre refuses statement {first.sid[:12]}: {said}",
                now,
            )
        elif outcome.acknowledged:
            clear_problem(store, _REFUSED)
        for sid in outcome.waiting:
            chain.mark(store, sid, "held", "logged; its receipt waits for cosignatures")
        for answer in result.results:
            if answer.missing is not None:
                chain.mark(store, answer.sid, "held", f"waits for {answer.missing[:12]}")
        for sid in outcome.wanted:
            chain.requeue(store, sid)

    def _given_up(self, store: Store, refusal: ItemResult) -> bool:
        """Take a statement of an ended key out of the queue; nothing behind it waits for it."""
        if refusal.code not in _ENDED_KEY:
            return False
        return chain.abandon(store, refusal.sid, self._signer.identity.epoch, _said(refusal))

    # -- pull ---------------------------------------------------------------------------------------------

    def _pull(self) -> tuple[int, Counter[_Told]]:
        pulled, told = self._ask_again(), Counter[_Told]()
        while True:
            after = self._writer.call(cursor)
            found = self._pulled_after(after)
            next_after = max(found.next, after)
            pulled += self._take(found.items, next_after)
            told += self._answer_all(found.wants)
            if not found.items or next_after == after:
                return pulled, told

    def _answer_all(self, wants: Sequence[TileWanted]) -> Counter[_Told]:
        """Answer what the centre wants to see, until a statement comes to wait: that goes first, in the next round."""
        told, before = Counter[_Told](), self._writer.call(chain.outbox_depth)
        for want in wants:
            told[self._answer(want)] += 1
            if self._writer.call(chain.outbox_depth) > before:
                break
        return told

    def _ask_again(self) -> int:
        """Ask once more for entries that did not verify: a key or a receipt may be right by now."""
        pulled = 0
        for index in self._writer.call(unverified)[:ASKED_AGAIN]:
            items = self._pulled_after(index - 1).items
            pulled += self._take([item for item in items if item.index == index], None)
        return pulled

    def _pulled_after(self, after: int) -> PullResult:
        question = Pull(after, epoch=self._signer.identity.epoch)
        try:
            return PullResult.from_json(self._uplink.get(PULL, question.to_query()))
        except MessageError as error:
            raise UplinkError(f"中心端的回答有误: {error}", f"the centre's answer is wrong: {error}") from error

    def _take(self, items: Sequence[PulledItem], to: int | None) -> int:
        """Keep the items that verify, move the cursor with them, and return how many they were."""
        good = [(item, statement) for item in items if (statement := self._checked(item)) is not None]

        def keep(store: Store) -> None:
            for item, statement in good:
                keep_pulled(store, item.index, statement, item.receipt)
                for sha256, size in named_contents(statement):
                    want_content(store, sha256, size)
                clear_problem(store, unverified_key(item.index))
            if to is not None:
                set_cursor(store, to)

        self._writer.call(keep)
        return len(good)

    def _checked(self, item: PulledItem) -> Statement | None:
        """Return a pulled statement that verifies; a key that is not known yet is asked for once."""
        try:
            return self._verify_pulled(item)
        except EvidenceError as error:
            if error.code in (Code.KEY_UNKNOWN, Code.SUBJECT_SCOPE, Code.ROLE):
                self._refresh_trust()
                try:
                    return self._verify_pulled(item)
                except EvidenceError as again:
                    error = again
            self._raise(
                unverified_key(item.index),
                f"日志第 {item.index} 条无法核验: {error}",
                f"log entry {item.index} does not verify: {error}",
            )
            return None

    def _verify_pulled(self, item: PulledItem) -> Statement:
        statement, entry = verify_statement(item.jws, self._trust.registry)
        receipt = Receipt.from_text(item.receipt)
        # The centre judged the time when it logged this; this gateway's clock may well be the wrong one.
        verify_logged(statement, entry, receipt, self._trust, parse_time(statement.payload["t"]))
        if receipt.index != item.index or statement.plant != self._signer.identity.plant:
            raise EvidenceError(Code.INDEX_MISMATCH, "the centre names another log entry or plant", statement.sid)
        return statement

    def _refresh_trust(self) -> None:
        root, now = self._writer.call(known_root), self._signer.clock.now()
        fresh: Trust = fetch_trust(self._uplink, self._trust, trust_folder(self._contents.parent), root, now)
        self._trust = fresh
        self._writer.call(lambda store: keep_trust(store, fresh))

    def _answer(self, want: TileWanted) -> _Told:
        try:
            answer = self._writer.call(lambda store: answer_want(store, self._pipeline.raw, want))
        except NoLongerKeptError as error:
            log.info("tile no longer kept epoch=%d tile=%d", want.epoch, want.tile)
            return self._refuse(want, error.zh, error.en, code=NO_LONGER_KEPT)
        except IntegrityError as error:
            self._raise(f"tile:{want.epoch}:{want.tile}", error.zh, error.en)
            return self._refuse(want, error.zh, error.en)
        except RefusedError as error:
            log.info("tile not shown yet epoch=%d tile=%d reason=%r", want.epoch, want.tile, str(error))
            return _Told.LATER
        try:
            self._uplink.post(TILES, answer.to_json())
        except RefusedByCentreError as error:
            if not error.is_final:
                raise
            self._raise(f"tile:{want.epoch}:{want.tile}", error.zh, error.en)
            return self._refuse(want, error.zh, error.en)
        self._writer.call(lambda store: clear_problem(store, f"tile:{want.epoch}:{want.tile}"))
        return _Told.SHOWN

    def _refuse(self, want: TileWanted, zh: str, en: str, *, code: str = Code.CHALLENGE_FAIL.value) -> _Told:
        """Tell the centre that a tile cannot be shown, so that whoever asked does not wait for it."""
        refusal = TileRefusal(want.id, want.epoch, want.tile, code, zh, en)
        try:
            self._uplink.post(TILES, refusal.to_json())
        except RefusedByCentreError as error:
            if not error.is_final:
                raise
            log.warning("tile refusal not taken epoch=%d tile=%d reason=%r", want.epoch, want.tile, str(error))
            return _Told.LATER
        return _Told.REFUSED

    def _fetch_contents(self) -> None:
        for digest, size in self._writer.call(missing_contents):
            try:
                data = self._uplink.get(f"{CONTENT}{digest}")
            except RefusedByCentreError as error:
                if not error.is_final:
                    raise
                zh, en = f"中心端未提供: {error.said}", f"the centre does not give it: {error.said}"
            else:
                if len(data) == size and sha256_hex(data) == digest:
                    write_file(content_path(self._contents, digest), data)
                    self._writer.call(lambda store, digest=digest: content_stored(store, digest))  # type: ignore[misc]
                    continue
                zh, en = "与其摘要不符", "does not fit its digest"
            self._raise(f"content:{digest[:12]}", f"内容 {digest[:12]} {zh}", f"content {digest[:12]}: {en}")

    def _raise(self, key: str, zh: str, en: str) -> None:
        now = time_text(self._signer.clock.now())
        self._writer.call(lambda store: raise_problem(store, key, zh, en, now))


def _second(key: SecondKey, jws: str) -> str:
    return key.sign(signing_input(jws)).hex()


def _said(refusal: ItemResult) -> str:
    return f"{refusal.code}: {refusal.detail or ''}"
