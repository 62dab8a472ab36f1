"""The one way into the log: every statement, from gateways, browsers and files, passes here.

Runs inside a turn of the sequencer, so that what it looks up cannot change before the statement is logged.
Order: form, already logged, key, signature, payload, role and scope, key validity, time, anchor, place in
the device's chain, the rules of the kind; then append, then fold into chain, registry and month.
A statement over which this code itself stumbles is undone and refused alone: it must not stop the others.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.exc import InterfaceError, OperationalError

from evidence.encoding import parse_time, sha256_hex
from evidence.errors import Code, EvidenceError
from evidence.registry import KeyEntry, Registry
from evidence.statement import Statement, check_payload, parse_envelope
from evidence.verify_month import Signed
from evidence.verify_statement import check_key_index, check_role
from sync import Decision, Known, Link, decide
from webapp import chain_rules, keyring, kind_rules, month_files, second_signatures, store_log, store_plants
from webapp.errors import CenterError
from webapp.log import Turn
from webapp.log_entries import periods_of, row_of
from webapp.models import ForkEvidence, GatewayChain, HeldStatement, Plant
from webapp.refusal import Held, Logged, Outcome, Refused

logger = logging.getLogger(__name__)
FUTURE_TOLERANCE = timedelta(minutes=5)
MAX_HELD = 2000
"""Statements of one gateway that may wait for a predecessor."""
HELD_FOR = timedelta(days=7)
"""How long a statement waits; its gateway has it still, and sends it again."""
NOT_THE_STATEMENTS_FAULT = (OperationalError, InterfaceError, OSError, MemoryError, CenterError)
"""Failures of database, disk or log: the whole batch is tried again later."""


class Admission:
    """Admits statements during one turn."""

    def __init__(self, turn: Turn, origin: str) -> None:
        self.turn = turn
        self._session = turn.session
        self._origin = origin
        # Looked up once a turn; keys change only by what this turn appends.
        self._keys: dict[str, KeyEntry] = {}
        self._plants: dict[str, Plant | None] = {}
        self._heads: dict[tuple[str, int], GatewayChain] = {}
        self._has_forgotten = False

    def admit(self, jws: str, consistency: Sequence[str] | None = None, sm2: str | None = None) -> Outcome:
        """Log a statement, or say why not; a refusal leaves everything as it was."""
        outcome = self._alone(jws, consistency, sm2)
        if isinstance(outcome, Logged) and outcome.is_new:
            self._release_followers(outcome.sid)
        return outcome

    def _alone(self, jws: str, consistency: Sequence[str] | None, sm2: str | None = None) -> Outcome:
        """Admit one statement; what that did is undone when it fails in a way nobody foresaw."""
        before = len(self.turn.appended)
        try:
            with self._session.begin_nested():
                return self._admit(jws, consistency, sm2)
        except NOT_THE_STATEMENTS_FAULT:
            raise
        except Exception as error:
            logger.exception("statement refused because admission failed error=%s", type(error).__name__)
            del self.turn.appended[before:]
            for looked_up in (self._keys, self._plants, self._heads):
                looked_up.clear()
            sid = sha256_hex(jws.rpartition(".")[0].encode(errors="replace"))
            return Refused(sid, Code.SCHEMA, "the centre cannot take this statement; its administrator can see why")

    def _admit(self, jws: str, consistency: Sequence[str] | None, sm2: str | None) -> Outcome:
        sid = ""
        try:
            statement = parse_envelope(jws)
            sid = statement.sid
            logged = store_log.by_sid(self._session, sid)
            if logged is not None:
                return Logged(sid, logged.idx, is_new=False)
            held = self._judge(statement, consistency, sm2)
        except EvidenceError as error:
            return Refused(sid, error.code, error.detail)
        if held is not None:
            return held
        second_signatures.keep(self._session, statement, sm2)
        return Logged(sid, self.append(statement), is_new=True)

    def _judge(self, statement: Statement, consistency: Sequence[str] | None, sm2: str | None) -> Held | None:
        signed = self._check_signer(statement)
        second_signatures.check(self._plant(statement.plant), signed, self.turn.size, sm2)
        self._check_time_and_anchor(signed)
        payload = statement.payload
        if "gw" in payload:
            held = self._check_place(statement, consistency)
            if held is not None:
                return held
            chain_rules.check(self._session, signed, consistency)
        kind_rules.check(self._session, signed, self.turn.now)
        return None

    def _check_signer(self, statement: Statement) -> Signed:
        entry = self._key(statement.kid)
        statement.verify_signature(entry.public)
        check_payload(statement)
        if statement.kind == "key" and statement.payload["op"] == "enrol":
            raise EvidenceError(Code.ROLE, "a key is enrolled with the nonce of an invitation only")
        plant = self._plant(statement.plant)
        plants = [] if plant is None else [store_plants.entry(plant)]
        check_role(statement, entry, Registry.of([entry], plants))
        check_key_index(entry, self.turn.size)
        return Signed(statement, entry, None)

    def _key(self, kid: str) -> KeyEntry:
        if kid not in self._keys:
            self._keys[kid] = month_files.signer_of(self._session, kid)
        return self._keys[kid]

    def _plant(self, plant: str) -> Plant | None:
        if plant not in self._plants:
            self._plants[plant] = store_plants.find(self._session, plant)
        return self._plants[plant]

    def _check_time_and_anchor(self, signed: Signed) -> None:
        if parse_time(signed.payload["t"]) > self.turn.now + FUTURE_TOLERANCE:
            raise EvidenceError(Code.TIME_FUTURE, f"signed at {signed.payload['t']}, which is to come; set the clock")
        anchor = signed.payload.get("anchor")
        if anchor is None:
            return
        if anchor["origin"] != self._origin:
            raise EvidenceError(Code.LOG_ORIGIN, f"anchored to log {anchor['origin'][:60]}, this is {self._origin}")
        if anchor["size"] > self.turn.start:
            raise EvidenceError(
                Code.TIME_CONTRADICTION, f"anchored to a log of {anchor['size']}, this one has {self.turn.start}"
            )
        row = store_log.checkpoint_at(self._session, anchor["size"])
        if row is None or row.root != anchor["root"]:
            raise EvidenceError(Code.LOG_EQUIVOCATION, f"this log signed no such checkpoint of {anchor['size']}")

    def _check_place(self, statement: Statement, consistency: Sequence[str] | None) -> Held | None:
        """Find the statement's place in its chain; None when it is the next.

        Raises:
            EvidenceError: ``FORK`` (both are kept) or ``SEQ_REGRESSION``.
        """
        payload = statement.payload
        gw, epoch, seq, prev = payload["gw"], payload["epoch"], payload["seq"], payload["prev"]
        chain_rules.check_epoch(self._session, gw, epoch)
        taken = store_log.by_number(self._session, gw, epoch, seq)
        before = None if prev is None else store_log.by_sid(self._session, prev)
        is_of_chain = before is not None and (before.gw, before.epoch) == (gw, epoch)
        known = Known(
            sid_at_number=None if taken is None else taken.sid,
            prev_seq=before.seq if before is not None and is_of_chain else (None if before is None else -1),
        )
        verdict = decide(Link(gw, epoch, seq, prev), known)
        if verdict.decision is Decision.LOG:
            return None
        if verdict.decision is Decision.HOLD and verdict.missing is not None:
            return self._hold(statement, verdict.missing, consistency)
        if verdict.decision is Decision.REFUSE_FORK and taken is not None:
            self._keep_fork(statement, taken.sid, taken.jws)
            raise EvidenceError(Code.FORK, f"number {seq} of {gw} epoch {epoch} is statement {taken.sid[:12]}")
        raise EvidenceError(Code.SEQ_REGRESSION, f"statement {seq} of {gw} does not follow its predecessor")

    def _hold(self, statement: Statement, missing: str, consistency: Sequence[str] | None) -> Held:
        payload = statement.payload
        if not self._has_forgotten:
            store_plants.forget_held(self._session, self.turn.now - HELD_FOR)
            self._has_forgotten = True
        if store_plants.count_held(self._session, payload["gw"]) < MAX_HELD:
            held = HeldStatement(
                sid=statement.sid,
                plant=statement.plant,
                gw=payload["gw"],
                epoch=payload["epoch"],
                seq=payload["seq"],
                missing=missing,
                jws=statement.jws,
                consistency=None if consistency is None else list(consistency),
                held_at=self.turn.now,
            )
            store_plants.hold(self._session, held)
        return Held(statement.sid, missing)

    def _keep_fork(self, statement: Statement, logged_sid: str, logged_jws: str) -> None:
        payload = statement.payload
        fork = ForkEvidence(
            sid=statement.sid,
            jws=statement.jws,
            logged_sid=logged_sid,
            logged_jws=logged_jws,
            plant=statement.plant,
            gw=payload["gw"],
            epoch=payload["epoch"],
            seq=payload["seq"],
            seen_at=self.turn.now,
        )
        store_plants.keep_fork(self._session, fork)

    def append(self, statement: Statement) -> int:
        """Append a statement that was judged, and fold it; gives its number."""
        periods = self._periods(statement)
        index = self.turn.append(row_of(statement), periods)
        if "gw" in statement.payload:
            head = chain_rules.fold(self._session, statement)
            # Kept so that the session does not forget the row between two statements of a batch.
            self._heads[head.gw, head.epoch] = head
        if statement.kind == "key":
            keyring.fold(self._session, statement, index)
            self._keys.clear()
        if statement.kind in month_files.KINDS:
            for period in periods:
                month_files.refresh_state(self._session, statement.plant, period, self.turn.now)
        return index

    def _periods(self, statement: Statement) -> set[str]:
        plant = self._plant(statement.plant)
        if plant is None:
            return set()
        if statement.kind == "inspect":
            return month_files.inspected_periods(self._session, statement)
        reviewed = month_files.reviewed_period(self._session, statement) if statement.kind == "review" else None
        return periods_of(statement, ZoneInfo(plant.zone), reviewed)

    def _release_followers(self, sid: str) -> None:
        """Admit what waited for this statement, and what waited for that."""
        waiting = [sid]
        while waiting:
            for held in store_plants.held_after(self._session, waiting.pop()):
                store_plants.release(self._session, held.sid)
                # Its sender learns of a refusal when it asks again.
                if isinstance(self._alone(held.jws, held.consistency), Logged):
                    waiting.append(held.sid)
