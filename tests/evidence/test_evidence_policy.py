"""The policy file: read strictly, judged as the specification says, and every malformed one refused by its line."""

from collections.abc import Iterator
from itertools import combinations

import pytest
from evidence_world import World, seed
from hypothesis import given
from hypothesis import strategies as st

from evidence.errors import Code, EvidenceError
from evidence.keys import SigningKey
from evidence.note import ED25519_COSIGNATURE, ED25519_NOTE, NoteKey, cosign, sign_checkpoint, verify_checkpoint
from evidence.policy import NO_WITNESSES, Policy
from evidence.trust import Trust

KEYS = {name: SigningKey.from_seed(seed(name)) for name in ("X1", "X2", "X3", "Y1", "Y2", "Y3", "log")}
WITNESS = {name: NoteKey(f"witness.example/{name}", ED25519_COSIGNATURE, key.public.raw) for name, key in KEYS.items()}
LOG = NoteKey("log.example/evidence", ED25519_NOTE, KEYS["log"].public.raw)
EXAMPLE = f"""log {LOG.text}

witness X1 {WITNESS["X1"].text}
witness X2\t{WITNESS["X2"].text}   https://x2.example/
  witness X3 {WITNESS["X3"].text}
group X-witnesses 2 X1 X2 X3
# the other side 另一方
witness Y1 {WITNESS["Y1"].text}
witness Y2 {WITNESS["Y2"].text}
witness Y3 {WITNESS["Y3"].text}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""
"""The example of the specification, with white space, a comment and an address added."""


def subsets() -> Iterator[tuple[str, ...]]:
    names = [name for name in WITNESS if name != "log"]
    for count in range(len(names) + 1):
        yield from combinations(names, count)


def test_example_of_the_specification_counts_as_it_says() -> None:
    policy = Policy.parse(EXAMPLE)
    assert policy.logs == (LOG,)
    assert [witness.url for witness in policy.witnesses][:2] == ["", "https://x2.example/"]
    met = {chosen for chosen in subsets() if policy.is_met({WITNESS[name] for name in chosen})}
    expected = {
        chosen
        for chosen in subsets()
        if sum(name.startswith("X") for name in chosen) >= 2 and any(name.startswith("Y") for name in chosen)
    }
    assert met == expected
    assert len(met) == 28


def test_policy_without_witnesses_asks_for_none() -> None:
    assert NO_WITNESSES.is_met(set())
    assert not NO_WITNESSES.needs_witnesses


def test_witness_is_known_by_its_key_and_not_by_its_name() -> None:
    policy = Policy.parse(f"witness X1 {WITNESS['X1'].text}\nquorum X1\n")
    impostor = NoteKey(WITNESS["X1"].name, ED25519_COSIGNATURE, WITNESS["X2"].public)
    assert not policy.is_met({impostor})
    assert policy.is_met({WITNESS["X1"]})


W1 = f"witness X1 {WITNESS['X1'].text}\n"
W2 = f"witness X2 {WITNESS['X2'].text}\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", None),
        ("quorum none", None),
        (W1, None),
        ("quorum X1\n" + W1, "line 1"),
        ("quorum none\nquorum none\n", "line 2"),
        (W1 + W1 + "quorum X1\n", "line 2"),
        (W1 + f"witness X2 {WITNESS['X1'].text}\nquorum X1\n", "line 2"),
        (W1 + f"witness X2 {NoteKey('other', ED25519_COSIGNATURE, WITNESS['X1'].public).text}\nquorum X1\n", "line 2"),
        (f"log {LOG.text}\nlog {LOG.text}\nquorum none\n", "line 2"),
        (f"log {WITNESS['X1'].text}\nquorum none\n", "line 1"),
        (f"witness X1 {LOG.text}\nquorum X1\n", "line 1"),
        (f"witness none {WITNESS['X1'].text}\nquorum none\n", "line 1"),
        (W1 + "group none all X1\nquorum none\n", "line 2"),
        (W1 + "group X1 all X1\nquorum X1\n", "line 2"),
        (W1 + "group g all none\nquorum none\n", "line 2"),
        (W1 + "group g all\nquorum none\n", "line 2"),
        (W1 + "group g all X1 X1\nquorum g\n", "line 2"),
        (W1 + W2 + "group g any X1\ngroup h any X1 X2\nquorum h\n", "line 4"),
        (W1 + "group g all g\nquorum g\n", "line 2"),
        (W1 + "group g 0 X1\nquorum g\n", "line 2"),
        (W1 + "group g 2 X1\nquorum g\n", "line 2"),
        (W1 + "group g 01 X1\nquorum g\n", "line 2"),
        (W1 + "group g +1 X1\nquorum g\n", "line 2"),
        (W1 + "group g １ X1\nquorum g\n", "line 2"),
        (W1 + "group g most X1\nquorum g\n", "line 2"),
        (W1 + "quorum X1 X1\n", "line 2"),
        (W1 + "Quorum X1\n", "line 2"),
        (W1 + "quorum X1\r\n", "line 2"),
        (W1 + "quorum X1\x00\n", "line 2"),
        (W1 + "quorum\u3000X1\n", "line 2"),
        ("witness X1 nonsense\nquorum X1\n", "line 1"),
        ("# a comment\n" * 1001 + "quorum none\n", None),
    ],
)
def test_malformed_policy_is_refused_by_its_line(text: str, line: str | None) -> None:
    with pytest.raises(EvidenceError, match=line) as caught:
        Policy.parse(text)
    assert caught.value.code is Code.SCHEMA


@given(st.text(alphabet="abkqw none\n\t#12", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        policy = Policy.parse(text)
    except EvidenceError as error:
        assert error.code is Code.SCHEMA  # noqa: PT017
    else:
        assert policy.text == text
        assert policy.quorum == "none"


@given(data=st.data())
def test_more_cosignatures_never_make_a_checkpoint_worse(data: st.DataObject) -> None:
    names = [name for name in WITNESS if name != "log"]
    lines = [f"witness {name} {WITNESS[name].text}" for name in names]
    free = list(names)
    for number in range(data.draw(st.integers(1, 3))):
        members = data.draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        lines.append(f"group g{number} {data.draw(st.integers(1, len(members)))} {' '.join(members)}")
        free = [name for name in free if name not in members] + [f"g{number}"]
    policy = Policy.parse("\n".join([*lines, f"quorum {data.draw(st.sampled_from(free))}"]) + "\n")
    some = data.draw(st.sets(st.sampled_from(names)))
    more = some | data.draw(st.sets(st.sampled_from(names)))
    assert policy.is_met({WITNESS[name] for name in names})
    assert not policy.is_met(set())
    assert policy.is_met({WITNESS[n] for n in more}) or not policy.is_met({WITNESS[n] for n in some})


def checkpoint(*witnesses: str, text: str | None = None) -> str:
    note = sign_checkpoint(LOG.name, 3, bytes(32), KEYS["log"])
    body = note.partition("\n\n")[0] + "\n"
    return note + "".join(cosign(text or body, WITNESS[name].name, KEYS[name], 1_772_323_210) for name in witnesses)


def test_checkpoint_is_judged_by_the_policy() -> None:
    policy = Policy.parse(EXAMPLE)
    assert verify_checkpoint(checkpoint("X1", "X3", "Y2"), LOG, policy).size == 3
    with pytest.raises(EvidenceError, match="X1, X3; the quorum is X-and-Y") as caught:
        verify_checkpoint(checkpoint("X1", "X3"), LOG, policy)
    assert caught.value.code is Code.QUORUM


def test_cosignature_counted_twice_is_one() -> None:
    with pytest.raises(EvidenceError) as caught:
        verify_checkpoint(checkpoint("X1", "X1", "Y1"), LOG, Policy.parse(EXAMPLE))
    assert caught.value.code is Code.QUORUM


def test_cosignature_of_another_checkpoint_is_refused() -> None:
    moved = checkpoint("X1", "X2", "Y1", text=f"{LOG.name}\n4\n{'A' * 43}=\n")
    with pytest.raises(EvidenceError) as caught:
        verify_checkpoint(moved, LOG, Policy.parse(EXAMPLE))
    assert caught.value.code is Code.SIGNATURE


def test_witness_that_bears_the_name_of_the_log_does_not_sign_for_it() -> None:
    twin = NoteKey(LOG.name, ED25519_COSIGNATURE, WITNESS["X1"].public)
    body = f"{LOG.name}\n3\n{'A' * 43}=\n"
    forged = f"{body}\n{cosign(body, LOG.name, KEYS['X1'], 1)}"
    with pytest.raises(EvidenceError, match="the log did not sign") as caught:
        verify_checkpoint(forged, LOG, Policy.parse(f"witness twin {twin.text}\nquorum twin\n"))
    assert caught.value.code is Code.SIGNATURE


def test_trust_file_carries_the_policy_as_it_is(approved: World) -> None:
    text = EXAMPLE.replace(f"log {LOG.text}\n", "")
    trust = approved.trust(policy=Policy.parse(text))
    assert Trust.from_json(trust.to_json()) == trust
    assert trust.to_json()["policy"] == text


@pytest.mark.parametrize(("quorum", "needed"), [(0, 0), (1, 1), (2, 2)])
def test_trust_file_of_before_there_were_policies_is_read(approved: World, quorum: int, needed: int) -> None:
    old = approved.trust().to_json()
    del old["policy"]
    old |= {"witnesses": [WITNESS["X1"].text, WITNESS["X2"].text], "quorum": quorum}
    policy = Trust.from_json(old).policy
    assert policy.witness_keys == (WITNESS["X1"], WITNESS["X2"])
    cosigners = [WITNESS["X1"], WITNESS["X2"]]
    assert [policy.is_met(set(cosigners[:count])) for count in range(3)] == [count >= needed for count in range(3)]


@pytest.mark.parametrize("quorum", [-1, 3, "two"])
def test_impossible_number_of_an_old_trust_file_is_refused(approved: World, quorum: object) -> None:
    old = {**approved.trust().to_json(), "witnesses": [WITNESS["X1"].text], "quorum": quorum}
    del old["policy"]
    with pytest.raises(EvidenceError) as caught:
        Trust.from_json(old)
    assert caught.value.code is Code.SCHEMA
