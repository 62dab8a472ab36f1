"""A whole queue goes over a wire that loses, repeats and reorders: everything arrives once, in order."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync import (
    Decision,
    ItemResult,
    Known,
    Limits,
    Link,
    Pending,
    Phase,
    Push,
    PushResult,
    Send,
    Sender,
    Status,
    decide,
)

START = datetime(2026, 3, 1, tzinfo=UTC)


class Centre:
    """An honest centre in memory: a log, held statements, forks. Statement n is the text `s<n>`."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.held: dict[str, str] = {}

    def receive(self, push: Push) -> PushResult:
        return PushResult(tuple(self._one(item.jws) for item in push.items))

    def _one(self, sid: str) -> ItemResult:
        seq = int(sid[1:])
        prev = f"s{seq - 1}" if seq > 1 else None
        known = Known(
            is_logged=sid in self.log,
            prev_seq=seq - 1 if prev in self.log else None,
        )
        verdict = decide(Link("GW-1", 1, seq, prev), known)
        if verdict.decision is Decision.HOLD:
            self.held[verdict.missing or ""] = sid
            return ItemResult(sid, Status.HELD, missing=verdict.missing)
        if verdict.decision is Decision.LOG:
            self.log.append(sid)
            while self.held.get(self.log[-1]):
                self.log.append(self.held.pop(self.log[-1]))
        return ItemResult(sid, Status.LOGGED, receipt=f"receipt of {sid}")


class Wire:
    """Loses requests and answers, repeats requests, delays some until after later ones."""

    def __init__(self, seed: int, loss: float, repeat: float, delay: float) -> None:
        self.random = random.Random(seed)
        self.loss, self.repeat, self.delay = loss, repeat, delay
        self.late: list[Push] = []

    def carry(self, centre: Centre, push: Push) -> PushResult | None:
        push = Push.from_json(push.to_json())
        while self.late and self.random.random() < 0.5:
            centre.receive(self.late.pop(self.random.randrange(len(self.late))))
        if self.random.random() < self.loss:
            return None
        if self.random.random() < self.delay:
            self.late.append(push)
            return None
        answer = centre.receive(push)
        if self.random.random() < self.repeat:
            answer = centre.receive(push)
        if self.random.random() < self.loss:
            return None
        return PushResult.from_json(answer.to_json())


def run(count: int, wire: Wire, limits: Limits) -> tuple[Centre, dict[str, str]]:
    """Send `count` statements; give the centre and the receipts the gateway stored."""
    centre = Centre()
    receipts: dict[str, str] = {}
    queue = [Pending(f"s{number}", f"s{number}") for number in range(1, count + 1)]
    sender, now = Sender(limits), START
    for _ in range(100_000):
        step = sender.step(queue, now)
        if not isinstance(step, Send):
            if not queue:
                return centre, receipts
            assert step.until is not None
            now = step.until
            continue
        sender = sender.sent()
        answer = wire.carry(centre, step.push)
        now += timedelta(milliseconds=50)
        if answer is None:
            sender = sender.failed(now, jitter=wire.random.random())
            continue
        sender, outcome = sender.answered(
            step.batch, answer, now, is_proof=lambda item, text: text == f"receipt of {item.sid}"
        )
        for done in outcome.acknowledged:
            assert done.sid not in receipts, "acknowledged twice"
            receipts[done.sid] = done.receipt
        queue = [item for item in queue if item.sid not in receipts]
    raise AssertionError("the queue never drained")


@settings(deadline=None, max_examples=60)
@given(
    count=st.integers(1, 60),
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.6),
    repeat=st.floats(0, 0.6),
    delay=st.floats(0, 0.4),
    batch=st.integers(1, 20),
)
def test_everything_arrives_once_and_in_order(
    count: int, seed: int, loss: float, repeat: float, delay: float, batch: int
) -> None:
    centre, receipts = run(count, Wire(seed, loss, repeat, delay), Limits(batch_items=batch))
    expected = [f"s{number}" for number in range(1, count + 1)]
    assert centre.log == expected
    assert sorted(receipts, key=lambda sid: int(sid[1:])) == expected


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_queue_of_weeks_drains_in_batches(loss: float) -> None:
    centre, receipts = run(2000, Wire(7, loss, 0.1, 0.1), Limits(batch_items=200))
    assert len(centre.log) == len(receipts) == 2000


def test_a_held_batch_names_what_is_missing_and_it_is_sent_next() -> None:
    centre = Centre()
    later = Pending("s2", "s2")
    sender = Sender().sent()
    sender, outcome = sender.answered(
        [later], centre.receive(Push.from_json('{"items":[{"jws":"s2"}]}')), START, is_proof=lambda *_: True
    )
    assert outcome.wanted == ("s1",)
    assert sender.phase is Phase.READY
