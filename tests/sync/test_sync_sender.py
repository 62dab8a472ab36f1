"""The sender step by step: pauses, refusals, receipts that do not verify, impossible reports."""

from datetime import UTC, datetime, timedelta

import pytest

from sync import ItemResult, Limits, Pending, Phase, PushResult, Send, Sender, Status, Wait
from sync.sender import TRANSITIONS, Happening, SenderError

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE = Pending("a" * 64, "jws-a")
TWO = Pending("b" * 64, "jws-b")


def answer(*results: ItemResult) -> PushResult:
    return PushResult(results)


def test_nothing_pending_means_wait_without_time() -> None:
    assert Sender().step([], NOW) == Wait(None)


def test_nothing_is_sent_while_an_answer_is_awaited() -> None:
    assert Sender().sent().step([ONE], NOW) == Wait(None)


def test_pauses_double_up_to_the_longest() -> None:
    sender, pauses = Sender(Limits(longest_pause=timedelta(seconds=20))), []
    for _ in range(6):
        sender = sender.sent().failed(NOW)
        assert sender.not_before is not None
        pauses.append((sender.not_before - NOW).total_seconds())
    assert pauses == [2, 4, 8, 16, 20, 20]


def test_retry_after_is_obeyed_but_not_beyond_the_longest_pause() -> None:
    asked = Sender().sent().failed(NOW, retry_after=timedelta(seconds=45))
    assert asked.not_before == NOW + timedelta(seconds=45)
    mad = Sender().sent().failed(NOW, retry_after=timedelta(days=400))
    assert mad.not_before == NOW + Limits().longest_pause


def test_a_clock_set_back_does_not_stop_the_sender() -> None:
    sender = Sender().sent().failed(NOW)
    assert isinstance(sender.step([ONE], NOW - timedelta(days=30)), Send)


def test_success_forgets_the_failures() -> None:
    sender = Sender().sent().failed(NOW).sent().failed(NOW).sent()
    sender, _ = sender.answered([ONE], answer(ItemResult(ONE.sid, Status.LOGGED, "r")), NOW, is_proof=lambda *_: True)
    assert (sender.phase, sender.failures, sender.not_before) == (Phase.READY, 0, None)


@pytest.mark.parametrize("receipt", [None, "forged"])
def test_nothing_is_acknowledged_without_a_receipt_that_verifies(receipt: str | None) -> None:
    sender, outcome = (
        Sender()
        .sent()
        .answered([ONE], answer(ItemResult(ONE.sid, Status.LOGGED, receipt)), NOW, is_proof=lambda *_: False)
    )
    assert outcome.acknowledged == ()
    assert outcome.unproven == (ONE.sid,)
    assert sender.phase is Phase.BACKING_OFF


def test_an_answer_about_other_statements_acknowledges_nothing() -> None:
    _, outcome = (
        Sender().sent().answered([ONE], answer(ItemResult(TWO.sid, Status.LOGGED, "r")), NOW, is_proof=lambda *_: True)
    )
    assert outcome.acknowledged == ()


def test_a_lasting_refusal_blocks_and_keeps_what_was_logged_before_it() -> None:
    results = answer(
        ItemResult(ONE.sid, Status.LOGGED, "r"), ItemResult(TWO.sid, Status.REFUSED, code="FORK", detail="…")
    )
    sender, outcome = Sender().sent().answered([ONE, TWO], results, NOW, is_proof=lambda *_: True)
    assert [done.sid for done in outcome.acknowledged] == [ONE.sid]
    assert [item.code for item in outcome.refused] == ["FORK"]
    assert sender.phase is Phase.BLOCKED
    assert sender.step([TWO], NOW) == Wait(NOW + Limits().blocked_pause)
    assert isinstance(sender.step([TWO], NOW + Limits().blocked_pause), Send)


def test_a_passing_refusal_only_backs_off() -> None:
    results = answer(ItemResult(ONE.sid, Status.REFUSED, code="CONTENT_MISSING"))
    sender, _ = Sender().sent().answered([ONE], results, NOW, is_proof=lambda *_: True)
    assert sender.phase is Phase.BACKING_OFF


def test_a_batch_keeps_to_items_and_bytes_but_never_starves_a_large_one() -> None:
    limits = Limits(batch_items=3, batch_bytes=100)
    large = Pending("c" * 64, "x" * 500)
    step = Sender(limits).step([large, ONE], NOW)
    assert isinstance(step, Send)
    assert step.batch == (large,)
    step = Sender(limits).step([ONE, TWO, ONE, TWO], NOW)
    assert isinstance(step, Send)
    assert len(step.batch) == 3


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("happening", list(Happening))
def test_impossible_reports_raise_and_nothing_happens(phase: Phase, happening: Happening) -> None:
    if (phase, happening) in TRANSITIONS:
        return
    sender = Sender(phase=phase)
    with pytest.raises(SenderError):
        sender._next(happening)
    assert sender == Sender(phase=phase)
