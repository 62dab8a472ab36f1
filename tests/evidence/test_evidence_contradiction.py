"""Evidence of cheating as files: what they prove alone, what with a trust file, and that nothing else is proven."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from evidence_world import NOW, ORIGIN, World, indexed, seed
from hypothesis import given
from hypothesis import strategies as st

from evidence.contradiction import (
    Contradiction,
    Fork,
    TwoLeaves,
    contradiction_among,
    prove,
    read_contradiction,
    two_trees,
)
from evidence.encoding import jcs
from evidence.errors import Code, EvidenceError
from evidence.keys import SigningKey
from evidence.merkle import consistency_proof, inclusion_proof, leaf_hash, root
from evidence.note import NoteKey, parse_checkpoint, sign_checkpoint
from evidence.receipt import Receipt
from evidence.statement import Statement
from evidence.verify import verify_bundle

LOG_KEY = SigningKey.from_seed(seed("log"))
LOG = NoteKey(ORIGIN, 1, LOG_KEY.public.raw)


def leaves(*names: str) -> list[bytes]:
    return [leaf_hash(name.encode()) for name in names]


HONEST = leaves(*"abcdefgh")
REWRITTEN = leaves(*"abcXefgh")
DROPPED = leaves(*"abcefghi")


def signed(hashes: list[bytes], size: int) -> str:
    return sign_checkpoint(ORIGIN, size, root(hashes[:size]), LOG_KEY)


def receipt(hashes: list[bytes], index: int, size: int) -> Receipt:
    return Receipt(index, tuple(inclusion_proof(hashes[:size], index)), signed(hashes, size))


def trees(one: list[bytes], size: int, other: list[bytes], bigger: int) -> bytes:
    """What a client writes that saw `one` at a size and then the larger `other`."""
    old, new = parse_checkpoint(signed(one, size)), parse_checkpoint(signed(other, bigger))
    began, path = root(other[:size]), consistency_proof(other[:bigger], size)
    return two_trees(LOG, old, new, began, path).to_bytes()


def fork(world: World, **changes: Any) -> tuple[Statement, Statement]:
    """Two statements with one number: a gateway that was restored goes on from the same place."""
    first = world.device("event", type="maintenance", data={"note": "a"})
    world.seq, world.prev = world.seq - 1, first.payload["prev"]
    return first, world.device("event", type="maintenance", **{"data": {"note": "b"}, **changes})


def fork_file(world: World, *statements: Statement) -> bytes:
    first, second = statements
    return Fork((first.jws, second.jws), (world.keys["gateway"].jwk,)).to_bytes()


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("other", [REWRITTEN, DROPPED], ids=["rewritten", "dropped"])
def test_log_that_was_changed_is_proven_from_any_older_checkpoint(
    size: int, other: list[bytes], approved: World
) -> None:
    if HONEST[:size] == other[:size]:
        # Before the changed entry both are one history: nothing is proven.
        with pytest.raises(EvidenceError, match="proves nothing"):
            prove(trees(HONEST, size, other, 8))
        return
    data = trees(HONEST, size, other, 8)
    proven = prove(data)
    assert (proven.code, proven.signer, proven.is_known) == (Code.LOG_EQUIVOCATION, ORIGIN, False)
    assert proven.facts["size"] == size
    assert prove(data, approved.trust()).is_known


def test_split_view_at_one_size_needs_no_path() -> None:
    one, other = parse_checkpoint(signed(HONEST, 5)), parse_checkpoint(signed(REWRITTEN, 5))
    data = two_trees(LOG, one, other).to_bytes()
    assert set(json.loads(data)) == {"v", "contradiction", "log", "checkpoints"}
    assert prove(data).facts["other_root"] == other.root.hex()


def test_two_receipts_for_one_index_are_proof() -> None:
    shown = [(receipt(HONEST, 3, 5), HONEST[3]), (receipt(REWRITTEN, 3, 7), REWRITTEN[3])]
    found = contradiction_among(shown, LOG)
    assert isinstance(found, TwoLeaves)
    assert prove(found.to_bytes()).facts["index"] == 3


def test_receipts_of_two_views_at_one_size_contradict_each_other() -> None:
    shown = [(receipt(HONEST, 0, 5), HONEST[0]), (receipt(REWRITTEN, 1, 5), REWRITTEN[1])]
    found = contradiction_among(shown, LOG)
    assert found is not None
    assert prove(found.to_bytes()).code is Code.LOG_EQUIVOCATION


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(1, 8)).filter(lambda case: case[0] < case[1]), max_size=8))
def test_receipts_of_an_honest_log_never_contradict_each_other(cases: list[tuple[int, int]]) -> None:
    shown = [(receipt(HONEST, index, size), HONEST[index]) for index, size in cases]
    assert contradiction_among(shown, LOG) is None


def test_fork_is_proven_alone_and_named_with_a_trust_file(approved: World) -> None:
    data = fork_file(approved, *fork(approved))
    alone, known = prove(data), prove(data, approved.trust())
    assert alone.code is known.code is Code.FORK
    assert (alone.is_known, known.is_known) == (False, True)
    assert known.facts["gw"] == "GW-1"


def test_fork_of_a_stranger_is_not_laid_on_a_gateway(approved: World) -> None:
    data = fork_file(approved, *fork(approved))
    stranger = SigningKey.from_seed(seed("stranger"))
    other = World(keys={})
    other.keys["gateway"] = stranger
    forged = Fork(tuple(one.jws for one in fork(other)), (stranger.jwk,)).to_bytes()  # type: ignore[arg-type]
    assert prove(forged).signer == stranger.kid
    with pytest.raises(EvidenceError) as caught:
        prove(forged, approved.trust())
    assert caught.value.code is Code.KEY_UNKNOWN
    assert prove(data, approved.trust()).signer != stranger.kid


def changed(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    value = json.loads(data)
    change(value)
    return jcs(value)


def _same_statement(value: dict[str, Any]) -> None:
    value["statements"][1] = value["statements"][0]


def _no_key(value: dict[str, Any]) -> None:
    value["keys"] = []


def _other_key(value: dict[str, Any]) -> None:
    value["keys"] = [dict(SigningKey.from_seed(seed("stranger")).jwk)]


def _bad_signature(value: dict[str, Any]) -> None:
    jws = value["statements"][1]
    value["statements"][1] = jws[:-10] + ("A" if jws[-10] != "A" else "B") + jws[-9:]


def _extra(value: dict[str, Any]) -> None:
    value["comment"] = "believe me"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_same_statement, Code.SCHEMA),
        (_no_key, Code.KEY_UNKNOWN),
        (_other_key, Code.KEY_UNKNOWN),
        (_bad_signature, Code.SIGNATURE),
        (_extra, Code.SCHEMA),
        (lambda value: value.update(v=2), Code.SCHEMA),
        (lambda value: value.update(contradiction="LOG_EQUIVOCATION"), Code.SCHEMA),
        (lambda value: value["statements"].pop(), Code.SCHEMA),
        (lambda value: value["statements"].append(1), Code.SCHEMA),
        (lambda value: value.update(keys=[1]), Code.SCHEMA),
    ],
)
def test_fork_file_that_was_tampered_with_proves_nothing(
    approved: World, change: Callable[[dict[str, Any]], None], code: Code
) -> None:
    with pytest.raises(EvidenceError) as caught:
        prove(changed(fork_file(approved, *fork(approved)), change))
    assert caught.value.code is code


def test_following_statements_are_no_fork(approved: World) -> None:
    first = approved.device("event", type="maintenance", data={"note": "a"})
    second = approved.device("event", type="maintenance", data={"note": "b"})
    with pytest.raises(EvidenceError, match="different numbers"):
        prove(fork_file(approved, first, second))


def _stranger_log(value: dict[str, Any]) -> None:
    value["log"] = NoteKey(ORIGIN, 1, SigningKey.from_seed(seed("stranger")).public.raw).text


def _other_origin(value: dict[str, Any]) -> None:
    value["checkpoints"][0] = sign_checkpoint("log.example/other", 3, bytes(32), LOG_KEY)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_stranger_log, Code.QUORUM),
        (_other_origin, Code.LOG_ORIGIN),
        (lambda value: value["path"].pop(), Code.CONSISTENCY_FAIL),
        (lambda value: value["path"].append(value["path"][0]), Code.CONSISTENCY_FAIL),
        (lambda value: value.update(began=value["path"][0]), Code.CONSISTENCY_FAIL),
        (lambda value: value["checkpoints"].reverse(), Code.CONSISTENCY_FAIL),
        (lambda value: value.update(path=[1]), Code.CONSISTENCY_FAIL),
        (lambda value: value.update(path=["="]), Code.ENCODING),
        (lambda value: (value.pop("path"), value.pop("began")), Code.SCHEMA),
        (lambda value: value.pop("began"), Code.SCHEMA),
    ],
)
def test_checkpoints_that_were_tampered_with_prove_nothing(
    change: Callable[[dict[str, Any]], object], code: Code
) -> None:
    with pytest.raises(EvidenceError) as caught:
        prove(changed(trees(HONEST, 6, REWRITTEN, 8), change))
    assert caught.value.code is code


def test_evidence_against_another_log_is_not_laid_on_the_trusted_one(approved: World) -> None:
    trust = approved.trust(log=NoteKey("log.example/other", 1, LOG.public))
    with pytest.raises(EvidenceError) as caught:
        prove(trees(HONEST, 6, REWRITTEN, 8), trust)
    assert caught.value.code is Code.LOG_ORIGIN


def _both(value: dict[str, Any]) -> None:
    value["leaves"][1] = value["leaves"][0]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_both, Code.INCLUSION_FAIL),
        (lambda value: value["leaves"].__setitem__(0, "00"), Code.ENCODING),
        (lambda value: value["leaves"].__setitem__(0, "Z" * 64), Code.ENCODING),
        (lambda value: value["receipts"].__setitem__(1, receipt(HONEST, 4, 7).to_text()), Code.INCLUSION_FAIL),
    ],
)
def test_receipts_that_were_tampered_with_prove_nothing(change: Callable[[dict[str, Any]], object], code: Code) -> None:
    shown = [(receipt(HONEST, 3, 5), HONEST[3]), (receipt(REWRITTEN, 3, 7), REWRITTEN[3])]
    found = contradiction_among(shown, LOG)
    assert found is not None
    with pytest.raises(EvidenceError) as caught:
        prove(changed(found.to_bytes(), change))
    assert caught.value.code is code


def test_receipts_for_two_indexes_prove_nothing() -> None:
    pair = (receipt(HONEST, 3, 5).to_text(), receipt(HONEST, 4, 7).to_text())
    with pytest.raises(EvidenceError, match="two leaves at one index"):
        prove(TwoLeaves(LOG, pair, (HONEST[3], HONEST[4])).to_bytes())


def test_files_read_back_as_they_were_written(approved: World) -> None:
    first, second = fork(approved)
    files: list[Contradiction] = [
        Fork((first.jws, second.jws), (dict(approved.keys["gateway"].jwk),)),
        read_contradiction(trees(HONEST, 6, REWRITTEN, 8)),
        TwoLeaves(LOG, ("a", "b"), (HONEST[0], HONEST[1])),
    ]
    assert [read_contradiction(one.to_bytes()) for one in files] == files


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"v":1}', b'{"v": 1}', b"\xff", b"{" * 400_000])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(EvidenceError):
        read_contradiction(data)


def test_bundle_with_receipts_of_two_histories_is_invalid(approved: World) -> None:
    bundle = approved.pack()
    other = [leaf_hash(jws.encode()) for jws in approved.log]
    other[0] = leaf_hash(b"rewritten")
    note = sign_checkpoint(ORIGIN, len(other), root(other), LOG_KEY)
    sid = sorted(bundle.statements)[0]
    index = Receipt.from_text(bundle.proofs[sid].decode()).index or 1
    sid = next(name for name, data in bundle.proofs.items() if Receipt.from_text(data.decode()).index == index)
    bundle.proofs[sid] = Receipt(index, tuple(inclusion_proof(other, index)), note).to_text().encode()
    found = {finding.code for finding in verify_bundle(indexed(bundle), approved.trust(), NOW).findings}
    assert found == {Code.LOG_EQUIVOCATION}
