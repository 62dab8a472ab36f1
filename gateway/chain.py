"""The gateway's chain of statements: next number, previous sid, clock and anchor, signature, outbox.

`append` is part of the caller's transaction: what the statement says and that it was said commit together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from evidence.encoding import parse_time, time_text
from evidence.keys import SigningKey
from evidence.note import Checkpoint
from evidence.statement import Statement, parse, parse_envelope, sign
from gateway.clock import Clock
from gateway.identity import Identity
from gateway.store import Store

CLOCK_STEP = timedelta(seconds=2)
"""Check Q05: a wall clock that moves by more than this against the monotonic one has stepped."""
CLOCK_STEP_EVENT = "clock-step"
_ANCHOR = "anchor"
_ANCHOR_NOTE = "anchor-note"


@dataclass(frozen=True)
class Signer:
    """Everything a statement needs besides what it says."""

    identity: Identity
    key: SigningKey
    clock: Clock


@dataclass(frozen=True)
class Outgoing:
    """A statement that the centre has not acknowledged; `consistency` goes with a segment."""

    sid: str
    jws: str
    consistency: tuple[str, ...] | None


def append(
    store: Store, signer: Signer, kind: str, members: Mapping[str, Any], *, consistency: Sequence[bytes] | None = None
) -> Statement:
    """Sign the next statement of the chain and queue it; a step of the clock since the one before is declared first.

    Raises:
        EvidenceError: the members do not fit the kind; nothing was stored.
    """
    if members.get("type") != CLOCK_STEP_EVENT:
        declare_step(store, signer)
    return keep(store, draft(store, signer, kind, members), consistency=consistency)


def draft(store: Store, signer: Signer, kind: str, members: Mapping[str, Any]) -> Statement:
    """Sign what would be the next statement of the chain; until `keep` nobody has it.

    Raises:
        EvidenceError: the members do not fit the kind.
    """
    identity, now = signer.identity, signer.clock.now()
    last = store.row("SELECT seq, sid FROM statement WHERE epoch = ? ORDER BY seq DESC LIMIT 1", (identity.epoch,))
    state = signer.clock.state()
    payload = {
        "v": 1,
        "kind": kind,
        "plant": identity.plant,
        "t": time_text(now),
        "gw": identity.gw,
        "epoch": identity.epoch,
        "seq": 1 if last is None else last["seq"] + 1,
        "prev": None if last is None else last["sid"],
        "clk": {"boot": state.boot, "mono": state.mono, "src": state.src, "off_ms": state.off_ms},
        "anchor": anchor(store),
        **members,
    }
    return sign(payload, signer.key)


def keep(store: Store, statement: Statement, *, consistency: Sequence[bytes] | None = None) -> Statement:
    """Store a drafted statement and queue it, in the transaction that drafted it."""
    payload = statement.payload
    store.execute(
        "INSERT INTO statement (epoch, seq, sid, kind, t, jws) VALUES (?, ?, ?, ?, ?, ?)",
        (payload["epoch"], payload["seq"], statement.sid, statement.kind, payload["t"], statement.jws),
    )
    proof = None if consistency is None else json.dumps([one.hex() for one in consistency])
    store.execute(
        "INSERT INTO outbox (sid, consistency, queued) VALUES (?, ?, ?)", (statement.sid, proof, payload["t"])
    )
    return statement


def append_event(store: Store, signer: Signer, event_type: str, data: Mapping[str, Any]) -> Statement:
    """Sign and queue an event."""
    return append(store, signer, "event", {"type": event_type, "data": dict(data)})


def declare_step(store: Store, signer: Signer) -> bool:
    """Sign that the clock stepped since the last statement of this boot; tell whether it did.

    Whoever signs next does it: a command, or a gateway that was not running when somebody set the clock.
    """
    said, now, state = last_of_boot(store, signer), signer.clock.now(), signer.clock.state()
    if said is None or state.mono < said["clk"]["mono"]:
        return False
    before = parse_time(said["t"]) + timedelta(milliseconds=state.mono - said["clk"]["mono"])
    step = now - before
    if abs(step) <= CLOCK_STEP:
        return False
    data = {"before": time_text(before), "after": time_text(now), "step_ms": step // timedelta(milliseconds=1)}
    append_event(store, signer, CLOCK_STEP_EVENT, data)
    return True


def last_of_boot(store: Store, signer: Signer) -> Mapping[str, Any] | None:
    """Return what the last statement says, if it was signed since the machine started."""
    last = store.row("SELECT jws FROM statement WHERE epoch = ? ORDER BY seq DESC LIMIT 1", (signer.identity.epoch,))
    said = None if last is None else parse_envelope(last["jws"]).payload
    return said if said is not None and said["clk"]["boot"] == signer.clock.state().boot else None


def ensure_open(store: Store, signer: Signer, software: str) -> bool:
    """Begin the epoch with its `epoch-open` event unless it has begun; tell whether it was begun now."""
    if store.value("SELECT 1 FROM statement WHERE epoch = ? LIMIT 1", (signer.identity.epoch,)) is not None:
        return False
    reason = "enrolment" if signer.identity.epoch == 1 else "re-enrolment"
    append_event(store, signer, "epoch-open", {"reason": reason, "software": software})
    return True


def anchor(store: Store) -> dict[str, Any] | None:
    """Return the last verified checkpoint as a statement shows it."""
    text = store.get(_ANCHOR)
    found: dict[str, Any] | None = None if text is None else json.loads(text)
    return found


def set_anchor(store: Store, checkpoint: Checkpoint) -> None:
    """Remember a verified checkpoint; the caller has checked that the log did not shrink."""
    anchored = {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}
    store.put(_ANCHOR, json.dumps(anchored))
    store.put(_ANCHOR_NOTE, checkpoint.note)


def anchor_note(store: Store) -> str | None:
    """Return the signed checkpoint that the anchor was taken from, with which a lie can be proven."""
    return store.get(_ANCHOR_NOTE)


def outgoing(store: Store, limit: int) -> list[Outgoing]:
    """Return the oldest statements that wait for a receipt."""
    rows = store.rows(
        "SELECT o.sid, s.jws, o.consistency FROM outbox o JOIN statement s ON s.sid = o.sid"
        " WHERE o.state IN ('queued', 'held') ORDER BY o.id LIMIT ?",
        (limit,),
    )
    return [
        Outgoing(row["sid"], row["jws"], None if row["consistency"] is None else tuple(json.loads(row["consistency"])))
        for row in rows
    ]


def outbox_depth(store: Store) -> int:
    """Count the statements that wait for a receipt."""
    return int(store.value("SELECT count(*) FROM outbox WHERE state IN ('queued', 'held')"))


def store_receipt(store: Store, sid: str, log_index: int, receipt: str, now: str) -> None:
    """Keep a verified receipt and acknowledge the row; both in the caller's transaction."""
    store.execute(
        "INSERT INTO receipt (sid, log_index, receipt, stored) VALUES (?, ?, ?, ?) ON CONFLICT (sid) DO NOTHING",
        (sid, log_index, receipt, now),
    )
    store.execute("UPDATE outbox SET state = 'logged', detail = '' WHERE sid = ?", (sid,))


def mark(store: Store, sid: str, state: str, detail: str) -> None:
    """Remember why a statement was held or refused; a refused one stays and is shown."""
    store.execute("UPDATE outbox SET state = ?, detail = ? WHERE sid = ?", (state, detail, sid))


def requeue(store: Store, sid: str) -> None:
    """Send a statement again that the centre says it misses, unless it is refused for good."""
    store.execute("UPDATE outbox SET state = 'queued' WHERE sid = ? AND state <> 'refused'", (sid,))


def abandon_outbox(store: Store, detail: str) -> int:
    """Give up everything that waits, because the key that signed it ends; return how many statements that were."""
    return store.execute("UPDATE outbox SET state = 'refused', detail = ? WHERE state IN ('queued', 'held')", (detail,))


def abandon(store: Store, sid: str, epoch: int, detail: str) -> bool:
    """Give up a statement of an epoch before `epoch`: its key has ended, it would stand in the way for ever."""
    return bool(
        store.execute(
            "UPDATE outbox SET state = 'refused', detail = ?"
            " WHERE sid = (SELECT sid FROM statement WHERE sid = ? AND epoch < ?)",
            (detail, sid, epoch),
        )
    )


def given_up(store: Store) -> set[str]:
    """Return the statements that the centre will never have."""
    return {row["sid"] for row in store.rows("SELECT sid FROM outbox WHERE state = 'refused'")}


def own_statements(store: Store, kind: str | None = None) -> list[Statement]:
    """Return every statement this gateway signed, or those of one kind, in order."""
    where, parameters = ("", ()) if kind is None else (" WHERE kind = ?", (kind,))
    rows = store.rows(f"SELECT jws FROM statement{where} ORDER BY epoch, seq", parameters)
    return [parse(row["jws"]) for row in rows]
