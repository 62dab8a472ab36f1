"""What the gateway sends next, and what an answer means for its queue.

The queue itself (pending statements in order, on disk) belongs to the caller, who also moves the bytes
and checks receipts. Nothing is acknowledged without a receipt that the caller verified; a statement that
is held or refused stays in the queue. Sending again is always right: the centre answers again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from sync.messages import ItemResult, Push, PushItem, PushResult, Status


class Phase(Enum):
    """Where the sender stands."""

    READY = "ready"
    """May send."""
    IN_FLIGHT = "in flight"
    """Waits for the answer to a push."""
    BACKING_OFF = "backing off"
    """Waits for a time: the centre did not answer, or asked for patience."""
    BLOCKED = "blocked"
    """The centre refuses the oldest statement; tries again seldom, and a person should look."""


class Happening(Enum):
    """What moves the sender from phase to phase."""

    SENT = "sent"
    ANSWERED = "answered"
    NOT_YET = "not yet"
    REFUSED = "refused"
    FAILED = "failed"


TRANSITIONS: Mapping[tuple[Phase, Happening], Phase] = {
    (Phase.READY, Happening.SENT): Phase.IN_FLIGHT,
    (Phase.BACKING_OFF, Happening.SENT): Phase.IN_FLIGHT,
    (Phase.BLOCKED, Happening.SENT): Phase.IN_FLIGHT,
    (Phase.IN_FLIGHT, Happening.ANSWERED): Phase.READY,
    (Phase.IN_FLIGHT, Happening.NOT_YET): Phase.BACKING_OFF,
    (Phase.IN_FLIGHT, Happening.REFUSED): Phase.BLOCKED,
    (Phase.IN_FLIGHT, Happening.FAILED): Phase.BACKING_OFF,
}

PASSING_CODES = frozenset({"KEY_UNKNOWN", "CONTENT_MISSING", "NOT_LOGGED", "TIME_FUTURE", "DECLARE_MISSING"})
"""Refusals that pass by themselves: a key not yet approved, a file not yet uploaded, a clock ahead."""


class SenderError(RuntimeError):
    """The caller reported something that cannot happen in this phase; nothing changed."""


@dataclass(frozen=True)
class Limits:
    """Sizes and times of sending."""

    batch_items: int = 200
    batch_bytes: int = 2_000_000
    first_pause: timedelta = timedelta(seconds=2)
    longest_pause: timedelta = timedelta(minutes=10)
    blocked_pause: timedelta = timedelta(minutes=10)


@dataclass(frozen=True)
class Pending:
    """A statement in the queue; `consistency` belongs to segments, `sm2` is a second signature in hexadecimal."""

    sid: str
    jws: str
    consistency: tuple[str, ...] | None = None
    sm2: str | None = None


@dataclass(frozen=True)
class Send:
    """Send this push; it holds exactly these statements."""

    push: Push
    batch: tuple[Pending, ...]


@dataclass(frozen=True)
class Wait:
    """Nothing may be sent before this time; None: nothing to send, or an answer is awaited."""

    until: datetime | None


@dataclass(frozen=True)
class Acknowledged:
    """A statement whose verified receipt is to be stored; its queue row may then go."""

    sid: str
    receipt: str


@dataclass(frozen=True)
class Outcome:
    """What an answer means: store the receipts, then take the sender's new state."""

    acknowledged: tuple[Acknowledged, ...]
    refused: tuple[ItemResult, ...] = ()
    waiting: tuple[str, ...] = ()
    """In the log, but without a receipt yet: they stay in the queue and are asked for again."""
    unproven: tuple[str, ...] = ()
    """Logged, says the centre, but the receipt does not verify: they stay in the queue."""
    wanted: tuple[str, ...] = ()
    """Statements that the centre misses and this batch does not hold: put them back into the queue."""


@dataclass(frozen=True)
class Sender:
    """State of the sending side; every step gives a new one."""

    limits: Limits = Limits()
    phase: Phase = Phase.READY
    failures: int = 0
    not_before: datetime | None = None

    def step(self, pending: Sequence[Pending], now: datetime) -> Send | Wait:
        """Say what to do now; `pending` is the head of the queue, oldest first."""
        if self.phase is Phase.IN_FLIGHT or not pending:
            return Wait(None)
        if self.not_before is not None and now < self.not_before:
            # A clock that was set back must not stop the sender for longer than a pause.
            longest = max(self.limits.longest_pause, self.limits.blocked_pause)
            if self.not_before - now <= longest:
                return Wait(self.not_before)
        batch = self._batch(pending)
        return Send(Push(tuple(PushItem(item.jws, item.consistency, item.sm2) for item in batch)), batch)

    def sent(self) -> Sender:
        """Note that a push is on its way."""
        return replace(self, phase=self._next(Happening.SENT))

    def answered(
        self,
        batch: Sequence[Pending],
        result: PushResult,
        now: datetime,
        *,
        is_proof: Callable[[Pending, str], bool],
    ) -> tuple[Sender, Outcome]:
        """Read an answer; `is_proof` verifies a receipt for a statement, offline."""
        results = {item.sid: item for item in result.results}
        acknowledged, refused, waiting, unproven, wanted = [], [], [], [], []
        for item in batch:
            answer = results.get(item.sid)
            if answer is None:
                continue
            if answer.status is Status.LOGGED:
                if answer.receipt is not None and is_proof(item, answer.receipt):
                    acknowledged.append(Acknowledged(item.sid, answer.receipt))
                else:
                    unproven.append(item.sid)
            elif answer.status is Status.WAITING:
                waiting.append(item.sid)
            elif answer.status is Status.REFUSED:
                refused.append(answer)
            elif answer.missing is not None and answer.missing not in results:
                wanted.append(answer.missing)
        outcome = Outcome(
            tuple(acknowledged), tuple(refused), tuple(waiting), tuple(unproven), tuple(dict.fromkeys(wanted))
        )
        return self._after(outcome, len(batch), now), outcome

    def failed(self, now: datetime, *, retry_after: timedelta | None = None, jitter: float = 0.0) -> Sender:
        """Note that no usable answer came; `jitter` (0 to 1) spreads many gateways after an outage."""
        pause = self._pause(self.failures, jitter)
        if retry_after is not None:
            pause = min(max(pause, retry_after), self.limits.longest_pause)
        return replace(self, phase=self._next(Happening.FAILED), failures=self.failures + 1, not_before=now + pause)

    def _after(self, outcome: Outcome, asked: int, now: datetime) -> Sender:
        lasting = [item for item in outcome.refused if item.code not in PASSING_CODES]
        if lasting:
            pause = self.limits.blocked_pause
            return replace(self, phase=self._next(Happening.REFUSED), failures=0, not_before=now + pause)
        # What is wanted is sent next at once, in front of what waits for it.
        if len(outcome.acknowledged) == asked or outcome.wanted or (outcome.acknowledged and not outcome.refused):
            return replace(self, phase=self._next(Happening.ANSWERED), failures=0, not_before=None)
        pause = self._pause(self.failures, 0.0)
        return replace(self, phase=self._next(Happening.NOT_YET), failures=self.failures + 1, not_before=now + pause)

    def _pause(self, failures: int, jitter: float) -> timedelta:
        doubled = self.limits.first_pause * (1 << min(failures, 20))
        pause = min(doubled, self.limits.longest_pause)
        return pause * (0.5 + min(max(jitter, 0.0), 1.0) / 2) if jitter else pause

    def _batch(self, pending: Sequence[Pending]) -> tuple[Pending, ...]:
        batch: list[Pending] = []
        size = 0
        for item in pending[: self.limits.batch_items]:
            size += len(item.jws) + 70 * len(item.consistency or ())
            # The first goes even if it alone is too large: else it would never go.
            if batch and size > self.limits.batch_bytes:
                break
            batch.append(item)
        return tuple(batch)

    def _next(self, happening: Happening) -> Phase:
        try:
            return TRANSITIONS[self.phase, happening]
        except KeyError:
            raise SenderError(f"{happening.value!r} cannot happen while {self.phase.value}") from None
