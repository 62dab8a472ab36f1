"""What a witness cosigns and refuses: every answer of the protocol, every way to make it sign two histories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from witness_world import LOG, LOG_KEY, NAME, NOW, ORIGIN, WITNESS, Desk, TestLog

from evidence.contradiction import prove
from evidence.encoding import b64
from evidence.errors import Code
from evidence.keys import SigningKey
from evidence.merkle import EMPTY_ROOT
from evidence.note import sign_checkpoint, verify_checkpoint, verify_note
from evidence.policy import Policy
from witness.judging import SIZE_KIND, Answer, Submission

POLICY = Policy.of_number([WITNESS], 1)


def ask(desk: Desk, log: TestLog, old: int, size: int) -> Answer:
    return desk.witness.add_checkpoint(log.request(old, size))


def latest_size(desk: Desk) -> int:
    with desk.memory.turn() as turn:
        latest = turn.latest(ORIGIN)
    return 0 if latest is None else latest.size


def test_checkpoints_that_continue_each_other_are_cosigned(desk: Desk, log: TestLog) -> None:
    old = 0
    for size in (1, 3, 8, 8, 20, 40):
        answer = ask(desk, log, old, size)
        assert answer.status == 200
        checkpoint = verify_checkpoint(log.checkpoint(size) + answer.body, LOG, POLICY)
        assert (checkpoint.size, latest_size(desk)) == (size, size)
        _, signers = verify_note(log.checkpoint(size) + answer.body, [WITNESS])
        assert signers == {WITNESS: NOW}
        old = size


def test_empty_log_is_cosigned_with_the_empty_root_only(desk: Desk) -> None:
    empty = sign_checkpoint(ORIGIN, 0, EMPTY_ROOT, LOG_KEY)
    assert desk.witness.add_checkpoint(f"old 0\n\n{empty}".encode()).status == 200
    odd = sign_checkpoint(ORIGIN, 0, bytes(32), LOG_KEY)
    assert desk.witness.add_checkpoint(f"old 0\n\n{odd}".encode()).status == 422


@pytest.mark.parametrize("old", [0, 5, 7, 9, 12])
def test_whoever_does_not_know_what_was_cosigned_is_told(desk: Desk, log: TestLog, old: int) -> None:
    ask(desk, log, 0, 8)
    assert ask(desk, log, old, 12) == Answer(409, "8\n", SIZE_KIND)
    assert latest_size(desk) == 8


def test_rollback_is_not_cosigned(desk: Desk, log: TestLog) -> None:
    ask(desk, log, 0, 12)
    assert ask(desk, log, 12, 8).status == 400
    assert ask(desk, log, 8, 8) == Answer(409, "12\n", SIZE_KIND)
    assert ask(desk, log, 0, 8) == Answer(409, "12\n", SIZE_KIND)
    assert latest_size(desk) == 12


def test_same_size_with_another_root_is_refused_and_kept_as_evidence(desk: Desk, log: TestLog) -> None:
    ask(desk, log, 0, 12)
    assert ask(desk, log.rewritten(3), 12, 12).status == 422
    (name,) = desk.kept
    assert name.startswith("LOG_EQUIVOCATION-12-")
    proven = prove(desk.kept[name])
    assert (proven.code, proven.facts["size"]) == (Code.LOG_EQUIVOCATION, 12)
    assert ask(desk, log, 12, 13).status == 200


@pytest.mark.parametrize("index", [0, 3, 11])
def test_log_that_rewrote_an_entry_gets_no_cosignature_again(desk: Desk, log: TestLog, index: int) -> None:
    ask(desk, log, 0, 12)
    assert ask(desk, log.rewritten(index), 12, 20).status == 422
    assert latest_size(desk) == 12


def test_proof_that_fails_is_no_evidence_against_the_log(desk: Desk, log: TestLog) -> None:
    ask(desk, log, 0, 12)
    assert desk.witness.add_checkpoint(log.request(12, 20, [bytes(32)])).status == 422
    assert desk.witness.add_checkpoint(log.request(12, 20, [])).status == 422
    assert desk.kept == {}


def test_proof_from_nothing_is_empty(desk: Desk, log: TestLog) -> None:
    assert desk.witness.add_checkpoint(log.request(0, 8, [bytes(32)])).status == 422
    assert latest_size(desk) == 0


def test_unknown_log_and_foreign_signature(desk: Desk, log: TestLog) -> None:
    assert ask(desk, TestLog(origin="log.example/other"), 0, 8).status == 404
    assert ask(desk, TestLog(key=SigningKey.from_seed(b"\x09" * 32)), 0, 8).status == 403
    forged = log.request(0, 8).replace(b"\n8\n", b"\n9\n")
    assert desk.witness.add_checkpoint(forged).status == 403
    assert latest_size(desk) == 0


def test_signatures_of_strangers_do_not_matter(desk: Desk, log: TestLog) -> None:
    more = log.request(0, 8) + f"— stranger.example {b64(bytes(70))}\n".encode()
    assert desk.witness.add_checkpoint(more).status == 200


GOOD = TestLog().request(5, 8).decode()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "old\n" + GOOD.partition("\n")[2],
        GOOD.replace("old 5", "old 05"),
        GOOD.replace("old 5", "old -5"),
        GOOD.replace("old 5", "old 5 "),
        GOOD.replace("old 5", "old ５"),
        GOOD.replace("old 5", "Old 5"),
        GOOD.replace("old 5", "old 9223372036854775808"),
        GOOD.replace("\n\n", "\n"),
        GOOD.replace("=\n", "\n", 1),
        GOOD.replace("old 5\n", "old 5\nAAAA\n"),
        "old 5\n" + f"{b64(bytes(32))}\n" * 64 + "\n" + GOOD.partition("\n\n")[2],
        GOOD.replace("\n8\n", "\n08\n"),
        GOOD + "x",
        GOOD.replace("\n", "\r\n"),
    ],
)
def test_malformed_request_is_refused(desk: Desk, body: str) -> None:
    assert desk.witness.add_checkpoint(body.encode()).status == 400
    assert desk.witness.add_checkpoint(b"\xff" + body.encode()).status == 400
    assert latest_size(desk) == 0


@given(st.integers(0, 2**63 - 1), st.lists(st.binary(min_size=32, max_size=32), max_size=63))
def test_requests_read_back_as_they_were_written(old: int, proof: list[bytes]) -> None:
    log = TestLog()
    read = Submission.read(log.request(old, 8, proof))
    assert (read.old, list(read.proof), read.checkpoint.note) == (old, proof, log.checkpoint(8))


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(body: bytes) -> None:
    try:
        Submission.read(body)
    except Exception as error:
        assert type(error).__name__ == "EvidenceError"  # noqa: PT017
    else:
        raise AssertionError(f"read {body!r}")


def test_cosignature_line_bears_the_witness_name(desk: Desk, log: TestLog) -> None:
    assert ask(desk, log, 0, 8).body.startswith(f"— {NAME} ")
