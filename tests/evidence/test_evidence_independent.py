"""Trees, proofs, notes and checkpoints against a second reading of the standards that shares no code with ours."""

import random

import pytest
from evidence_world import seed
from hypothesis import given
from hypothesis import strategies as st
from independent_log import checkpoint_of, is_consistent, is_included, mth, path, proof, signers_of

from evidence.encoding import b64
from evidence.errors import Code, EvidenceError
from evidence.keys import SigningKey
from evidence.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from evidence.note import (
    ED25519_COSIGNATURE,
    ED25519_NOTE,
    NoteKey,
    cosign,
    parse_checkpoint,
    sign_checkpoint,
    verify_checkpoint,
    verify_note,
)

LOG_KEY, WITNESS_KEY = SigningKey.from_seed(seed("log")), SigningKey.from_seed(seed("witness"))
LOG = NoteKey("log.example/evidence", ED25519_NOTE, LOG_KEY.public.raw)
WITNESS = NoteKey("witness.example/city", ED25519_COSIGNATURE, WITNESS_KEY.public.raw)
KNOWN = {(key.name.encode(), key.key_id): (key.type, key.public) for key in (LOG, WITNESS)}
entries_lists = st.lists(st.binary(max_size=4), min_size=1, max_size=40)


def ours_includes(leaf: bytes, index: int, size: int, given_path: list[bytes], expected: bytes) -> bool:
    try:
        verify_inclusion(leaf, index, size, given_path, expected)
    except EvidenceError as error:
        assert error.code is Code.INCLUSION_FAIL  # noqa: PT017
        return False
    return True


def ours_continues(old: int, new: int, given_path: list[bytes], old_root: bytes, new_root: bytes) -> bool:
    try:
        verify_consistency(old, new, given_path, old_root, new_root)
    except EvidenceError as error:
        assert error.code is Code.CONSISTENCY_FAIL  # noqa: PT017
        return False
    return True


@given(entries_lists)
def test_roots_and_proofs_are_those_of_the_definitions(entries: list[bytes]) -> None:
    hashes = [leaf_hash(entry) for entry in entries]
    assert root(hashes) == mth(entries)
    for index in range(len(entries)):
        assert inclusion_proof(hashes, index) == path(index, entries)
        assert consistency_proof(hashes, index + 1) == proof(index + 1, entries)


def damaged(rng: random.Random, hashes: list[bytes]) -> list[bytes]:
    """Leave a path as it is, or drop, repeat, swap, cut or change one hash."""
    result = list(hashes)
    kind = rng.randrange(6)
    if kind == 1:
        result.insert(rng.randrange(len(result) + 1), rng.choice([*hashes, bytes(32)]))
    elif result and kind == 2:
        result.pop(rng.randrange(len(result)))
    elif result and kind == 3:
        at = rng.randrange(len(result))
        result[at] = bytes([result[at][0] ^ 1]) + result[at][1:]
    elif result and kind == 4:
        at = rng.randrange(len(result))
        result[at] = result[at][:31]
    elif result and kind == 5:
        result.reverse()
    return result


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65])
def test_both_readings_accept_and_refuse_the_same_proofs(size: int, rng: random.Random) -> None:
    entries = [bytes([number]) for number in range(size)]
    hashes = [leaf_hash(entry) for entry in entries]
    top, accepted = root(hashes), 0
    for _ in range(400):
        index, other = rng.randrange(size + 1), rng.randrange(size + 2)
        good = inclusion_proof(hashes, min(index, size - 1))
        sizes = rng.choice([size, size, size, other])
        case = (rng.choice([hashes[min(index, size - 1)], top]), index, sizes, damaged(rng, good), top)
        theirs = is_included(*case)
        assert ours_includes(*case) == theirs
        accepted += theirs
        old = min(max(index, 1), size)
        proof_case = (rng.choice([old, old, other]), sizes, damaged(rng, consistency_proof(hashes, old)))
        roots = (rng.choice([root(hashes[:old]), root(hashes[:old]), top]), top)
        theirs = is_consistent(*proof_case, *roots)
        assert ours_continues(*proof_case, *roots) == theirs
        accepted += theirs
    assert accepted > 20


def cosigned() -> str:
    note = sign_checkpoint(LOG.name, 3, seed("root"), LOG_KEY)
    return note + cosign(note.partition("\n\n")[0] + "\n", WITNESS.name, WITNESS_KEY, 1_772_323_210)


def ours_signed_by(note: bytes) -> set[bytes] | None:
    try:
        text = note.decode("utf-8")
    except UnicodeDecodeError:
        return None
    try:
        _, signers = verify_note(text, [LOG, WITNESS])
    except EvidenceError as error:
        assert error.code in (Code.CHECKPOINT_FORMAT, Code.SIGNATURE, Code.QUORUM)  # noqa: PT017
        return None
    return {key.name.encode() for key in signers}


def test_both_readings_accept_and_refuse_the_same_notes(rng: random.Random) -> None:
    good = cosigned().encode()
    assert ours_signed_by(good) == signers_of(good, KNOWN) == {LOG.name.encode(), WITNESS.name.encode()}
    accepted = 0
    for at in range(len(good)):
        for byte in {good[at] ^ 1, good[at] ^ 0x20, 0x0A, 0x20, rng.randrange(256)} - {good[at]}:
            note = good[:at] + bytes([byte]) + good[at + 1 :]
            theirs = signers_of(note, KNOWN)
            assert ours_signed_by(note) == theirs, note
            accepted += theirs is not None
        for note in (good[:at] + good[at + 1 :], good[:at] + b"\n" + good[at:], good[:at]):
            assert ours_signed_by(note) == signers_of(note, KNOWN), note
    # A changed name or key id makes a line that nobody knows; the other signature still holds.
    assert accepted > 0


@pytest.mark.parametrize(
    "change",
    [
        ("log.example/evidence\n3\n", "log.example/evidence\n03\n"),
        ("log.example/evidence\n3\n", "log.example/evidence\n+3\n"),
        ("log.example/evidence\n3\n", "log.example/evidence\n-3\n"),
        ("log.example/evidence\n3\n", "log.example/evidence\n３\n"),
        ("log.example/evidence\n3\n", "log.example/evidence\n3 \n"),
        ("log.example/evidence\n3\n", "log.example/evidence\n9223372036854775808\n"),
        ("log.example/evidence\n3\n", "log.example/evidence\n\n"),
        ("log.example/evidence\n3\n", "log.example/evidence\n3\nextension\n"),
        ("log.example/evidence\n3\n", "\n3\n"),
        ("\n\n", "\n"),
        ("\n\n", "\n\n\n"),
        ("=\n\n", "\n\n"),
        ("— log", "- log"),
        ("— log", "—  log"),
        ("— log", "—\u00a0log"),
        ("— log.example/evidence ", "— log.example/evi+dence "),
        ("— log.example/evidence ", "— log.example/evi\u3000dence "),
        ("— log.example/evidence ", "— "),
        ("3\n", "3\r\n"),
        ("3\n", "3\t\n"),
        ("3\n", "3\0\n"),
        ("3\n", "3\ud800\n"),
    ],
    ids=lambda change: repr(change[1]),
)
def test_malformed_checkpoint_is_named(change: tuple[str, str]) -> None:
    note = cosigned()
    assert change[0] in note
    forged = note.replace(*change, 1)
    with pytest.raises(EvidenceError) as caught:
        verify_checkpoint(forged, LOG)
    assert caught.value.code in (Code.CHECKPOINT_FORMAT, Code.LOG_ORIGIN)
    if "\ud800" not in forged and signers_of(forged.encode(), KNOWN) is not None:
        assert checkpoint_of(forged.encode()) is None


@pytest.mark.parametrize("end", ["", "\n", " \n", "x", "— log.example/evidence\n", "— a AAAA\n", "— a AAAAA===\n"])
def test_anything_behind_the_signatures_is_refused(end: str) -> None:
    forged = cosigned()[: -1 if end == "" else None] + end
    with pytest.raises(EvidenceError) as caught:
        parse_checkpoint(forged)
    assert caught.value.code is Code.CHECKPOINT_FORMAT
    assert signers_of(forged.encode(), KNOWN) is None


def test_a_hundred_signatures_are_read_and_one_more_is_refused() -> None:
    line = f"— stranger.example {b64(bytes(72))}\n"
    note = sign_checkpoint(LOG.name, 3, bytes(32), LOG_KEY)
    assert verify_checkpoint(note + line * 99, LOG).size == 3
    with pytest.raises(EvidenceError) as caught:
        verify_checkpoint(note + line * 100, LOG)
    assert caught.value.code is Code.CHECKPOINT_FORMAT


def test_checkpoint_reads_as_the_second_reading_does() -> None:
    mine = parse_checkpoint(cosigned())
    assert checkpoint_of(cosigned().encode()) == (mine.origin, mine.size, mine.root)
