"""The retention challenge: which tiles are drawn, what answers mean, and crimes against a challenge in a bundle."""

import hashlib
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from evidence_world import NOW, ORIGIN, World
from hypothesis import given
from hypothesis import strategies as st

from evidence.challenge import (
    LEAST_DRAWS,
    MOST_DRAWS,
    Answer,
    Result,
    TileRef,
    TileState,
    check_tiles,
    draw,
    least_size,
    result_of,
    seed_of,
    state_of,
    tile_count,
)
from evidence.errors import Code, EvidenceError
from evidence.keys import SigningKey
from evidence.kinds import validate
from evidence.merkle import leaf_hash, root
from evidence.note import ED25519_COSIGNATURE, NoteKey, parse_checkpoint, sign_checkpoint
from evidence.policy import Policy
from evidence.statement import Statement
from evidence.verdict import Report, Verdict
from evidence.verify import verify_bundle

MONTH = "ab" * 32
ROOT = bytes(range(32))
SEED = bytes(range(96))
COVER = [
    {"gw": "GW-1", "epoch": 1, "start": 300, "end": 1000},
    {"gw": "GW-1", "epoch": 2, "start": 0, "end": 257},
    {"gw": "GW-2", "epoch": 7, "start": 512, "end": 768},
]
TILES = [("GW-1", 1, 1), ("GW-1", 1, 2), ("GW-1", 1, 3), ("GW-1", 2, 0), ("GW-1", 2, 1), ("GW-2", 7, 2)]

covers = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(1, 10**6)).map(
        lambda span: {"gw": "GW", "start": span[0], "end": span[0] + span[1]}
    ),
    min_size=1,
    max_size=4,
).map(lambda parts: [{**part, "epoch": number} for number, part in enumerate(parts, 1)])


# --- drawing ---------------------------------------------------------------------------------------


def test_draws_are_those_that_anyone_can_compute_by_hand() -> None:
    """The rule of docs/protocol.md once more, written without this package."""
    expected = []
    for counter in range(LEAST_DRAWS):
        text = SEED.hex() + MONTH + f"{counter:08x}"
        number = int(hashlib.sha256(bytes.fromhex(text)).hexdigest()[:16], 16) % len(TILES)
        if TILES[number] not in expected:
            expected.append(TILES[number])
    assert tile_count(COVER) == len(TILES)
    assert draw(SEED, MONTH, COVER) == [TileRef(*tile) for tile in expected]


def test_draws_of_a_month_of_many_tiles_stay_what_they_were() -> None:
    """A fixed example, for verifiers in other languages: 10,125 tiles of one gateway."""
    cover = [{"gw": "GW-0001", "epoch": 1, "start": 0, "end": 2_592_000}]
    drawn = draw(SEED, MONTH, cover)
    assert [one.tile for one in drawn[:4]] == [8916, 8153, 1439, 8130]
    assert len(drawn) == 295


@given(covers, st.binary(min_size=96, max_size=96), st.integers(1, 200))
def test_every_draw_is_a_tile_of_the_cover_and_more_draws_only_add(
    cover: list[dict[str, Any]], seed: bytes, draws: int
) -> None:
    drawn = draw(seed, MONTH, cover, draws)
    assert 1 <= len(drawn) == len(set(drawn)) <= min(draws, tile_count(cover))
    assert all(least_size(one, cover) > one.tile * 256 for one in drawn)
    assert draw(seed, MONTH, cover, draws + 20)[: len(drawn)] == drawn


def test_as_many_draws_find_a_loss_of_one_percent_as_promised() -> None:
    """Of 250 challenges with fixed seeds to a plant that lost 100 of 10,000 tiles, nearly all hit a lost one."""
    cover = [{"gw": "GW", "epoch": 1, "start": 0, "end": 2_560_000}]
    hits = sum(any(one.tile % 100 == 0 for one in draw(bytes([n]) * 96, MONTH, cover)) for n in range(250))
    assert hits >= 0.9 * 250


def test_a_month_without_readings_has_nothing_to_draw() -> None:
    assert tile_count([]) == 0
    assert draw(SEED, MONTH, []) == []


@pytest.mark.parametrize(
    ("tile", "size"), [(("GW-1", 1, 1), 512), (("GW-1", 1, 3), 1000), (("GW-1", 2, 1), 257), (("GW-2", 7, 2), 768)]
)
def test_a_tile_must_be_shown_as_far_as_the_month_reaches(tile: tuple[str, int, int], size: int) -> None:
    assert least_size(TileRef(*tile), COVER) == size


def test_a_tile_beside_the_month_is_refused() -> None:
    with pytest.raises(EvidenceError, match="CHALLENGE_FAIL"):
        least_size(TileRef("GW-1", 1, 0), COVER)


# --- judging ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "now", "expected"),
    [
        (None, NOW, None),
        (None, NOW + timedelta(days=8), TileState.MISSING),
        (Answer(NOW), NOW, TileState.PROVEN),
        (Answer(NOW + timedelta(days=8)), NOW + timedelta(days=9), TileState.MISSING),
        (Answer(NOW, "CHALLENGE_FAIL"), NOW, TileState.REFUSED),
        (Answer(NOW, "NO_LONGER_KEPT"), NOW + timedelta(days=9), TileState.REFUSED),
    ],
    ids=["waiting", "nothing", "proven", "late", "refused", "let go"],
)
def test_an_answer_counts_if_it_proves_itself_in_time(answer: Answer | None, now: Any, expected: TileState) -> None:
    assert state_of(answer, NOW + timedelta(days=7), now) is expected


@given(st.lists(st.sampled_from([*TileState, None]), max_size=6))
def test_a_challenge_is_passed_only_when_all_is_proven(states: list[TileState | None]) -> None:
    result = result_of(states)
    assert (result is Result.PASSED) == (bool(states) and set(states) == {TileState.PROVEN})
    assert (result is Result.FAILED) == bool({TileState.REFUSED, TileState.MISSING} & set(states))


# --- a challenge in a statement --------------------------------------------------------------------


def drawn_from(world: World, seed: str, month: Statement, draws: int = LEAST_DRAWS) -> list[TileRef]:
    """What a seed fixes."""
    return draw(seed_of(parse_checkpoint(seed), world.trust().log), month.sid, month.payload["cover"], draws)


def challenge(world: World, month: Statement, *, draws: int = LEAST_DRAWS, **changed: Any) -> dict[str, Any]:
    """Ask now; whatever is logged next gives the seed."""
    asked = len(world.log)
    world.device("event", type="maintenance", data={"reason": "filter changed"})
    hashes = [leaf_hash(jws.encode()) for jws in world.log]
    seed = sign_checkpoint(ORIGIN, len(hashes), root(hashes), world.log_key)
    tiles = drawn_from(world, seed, month, draws)
    stated = [{"gw": one.gw, "epoch": one.epoch, "tile": one.tile, "state": "proven"} for one in tiles]
    return {"month": month.sid, "asked": asked, "seed": seed, "tiles": stated, "result": "passed", **changed}


def inspect(world: World, month: Statement, said: dict[str, Any] | None, who: str = "inspector") -> Statement:
    members = {} if said is None else {"challenge": said}
    return world.say(who, "inspect", subjects=[month.sid], findings=["分析仪铅封完好"], anchor=None, **members)


def verify(world: World) -> Report:
    return verify_bundle(world.pack(), world.trust(), NOW)


def found(report: Report) -> set[tuple[Code, Verdict]]:
    return {(finding.code, finding.grade) for finding in report.findings}


@pytest.fixture
def month(world: World) -> Statement:
    """An approved month of five tiles, and an inspector in its region."""
    world.add_key("inspector", "ins-1", {"inspector"}, region="42")
    for hour in range(4, 304):
        world.read_hour(hour, ["1", "2", "3", "4"])
    world.seal(4)
    month = world.close_month()
    world.approve(month)
    return month


def test_a_passed_challenge_leaves_the_month_valid_and_is_counted(world: World, month: Statement) -> None:
    inspect(world, month, challenge(world, month))
    inspect(world, month, None)
    report = verify(world)
    assert report.findings == ()
    assert [(check.passed, check.failed) for check in report.checks if check.name == "challenge"] == [(1, 0)]


def test_more_draws_than_asked_for_at_least_are_taken(world: World) -> None:
    wide = [{"gw": "GW-1", "epoch": 1, "start": 0, "end": 2_560_000}]
    seed, log = parse_checkpoint(sign_checkpoint(ORIGIN, 6, ROOT, world.log_key)), world.trust().log
    for draws in (LEAST_DRAWS, LEAST_DRAWS + 40, MOST_DRAWS):
        drawn = draw(seed_of(seed, log), MONTH, wide, draws)
        tiles = [{"gw": one.gw, "epoch": one.epoch, "tile": one.tile, "state": "proven"} for one in drawn]
        said = {"month": MONTH, "asked": 5, "tiles": tiles, "result": "passed"}
        check_tiles(said, seed, log, wide, 4)
    with pytest.raises(EvidenceError, match="do not follow"):
        check_tiles({**said, "tiles": tiles[:250]}, seed, log, wide, 4)


def test_who_appends_the_next_entry_cannot_choose_what_is_drawn(world: World) -> None:
    """A plant lost 100 of 10,000 tiles and tries statements until the root to come would spare it: in vain."""
    cover = [{"gw": "GW-1", "epoch": 1, "start": 0, "end": 2_560_000}]
    log = [leaf_hash(jws.encode()) for jws in world.log]
    tried = 0
    while True:
        foreseen = root([*log, leaf_hash(b"statement %d" % tried)])
        if not any(one.tile % 100 == 0 for one in draw(foreseen, MONTH, cover)):
            break
        tried += 1
    assert 0 < tried < 100, "the root alone could be chosen at leisure"
    seed = parse_checkpoint(sign_checkpoint(ORIGIN, len(log) + 1, foreseen, world.log_key))
    assert any(one.tile % 100 == 0 for one in draw(seed_of(seed, world.trust().log), MONTH, cover))


def test_a_seed_that_the_log_signed_twice_is_none(world: World) -> None:
    note = sign_checkpoint(ORIGIN, 6, ROOT, world.log_key)
    doubled = parse_checkpoint(note + note.rpartition("\n\n")[2])
    with pytest.raises(EvidenceError, match="SIGNATURE"):
        seed_of(doubled, world.trust().log)


@pytest.mark.parametrize("state", ["refused", "missing"])
def test_a_challenge_that_the_plant_failed_makes_the_month_invalid(world: World, month: Statement, state: str) -> None:
    said = challenge(world, month, result="failed")
    said["tiles"][2]["state"] = state
    inspect(world, month, said)
    report = verify(world)
    assert found(report) == {(Code.CHALLENGE_FAIL, Verdict.INVALID)}
    assert f"tile {said['tiles'][2]['tile']} of GW-1 epoch 1: {state}" in report.findings[0].detail


def swap(said: dict[str, Any]) -> None:
    said["tiles"].reverse()


def drop(said: dict[str, Any]) -> None:
    said["tiles"].pop()


def choose(said: dict[str, Any]) -> None:
    said["tiles"][0]["tile"] += 100


def hide(said: dict[str, Any]) -> None:
    said["tiles"][0]["state"] = "refused"


def slander(said: dict[str, Any]) -> None:
    said["result"] = "failed"


def know(said: dict[str, Any]) -> None:
    said["asked"] = parse_checkpoint(said["seed"]).size


def predate(said: dict[str, Any]) -> None:
    said["asked"] = 2


def forge_seed(said: dict[str, Any]) -> None:
    said["seed"] = said["seed"].replace("\n\n", "A\n\n", 1)


def other_log(said: dict[str, Any]) -> None:
    said["seed"] = sign_checkpoint("other.example/log", 999, ROOT, SigningKey.from_seed(bytes(32)))


def own_key(said: dict[str, Any]) -> None:
    said["seed"] = sign_checkpoint(ORIGIN, parse_checkpoint(said["seed"]).size, ROOT, SigningKey.from_seed(bytes(32)))


@pytest.mark.parametrize(
    ("crime", "expected"),
    [
        (swap, Code.CHALLENGE_FAIL),
        (drop, Code.CHALLENGE_FAIL),
        (choose, Code.CHALLENGE_FAIL),
        (hide, Code.CHALLENGE_FAIL),
        (slander, Code.CHALLENGE_FAIL),
        (know, Code.CHALLENGE_FAIL),
        (predate, Code.CHALLENGE_FAIL),
        (forge_seed, Code.CHECKPOINT_FORMAT),
        (other_log, Code.LOG_ORIGIN),
        (own_key, Code.QUORUM),
    ],
)
def test_a_challenge_that_contradicts_itself_is_named(
    world: World, month: Statement, crime: Callable[[dict[str, Any]], None], expected: Code
) -> None:
    said = challenge(world, month)
    crime(said)
    inspect(world, month, said)
    assert found(verify(world)) == {(expected, Verdict.INVALID)}


def test_a_seed_signed_with_the_right_name_by_another_is_named(world: World, month: Statement) -> None:
    said = challenge(world, month)
    head, _, signature = said["seed"].rpartition(" ")
    said["seed"] = f"{head} {signature[:20]}{'A' if signature[20] != 'A' else 'B'}{signature[21:]}"
    inspect(world, month, said)
    assert found(verify(world)) == {(Code.SIGNATURE, Verdict.INVALID)}


def test_a_seed_that_todays_witnesses_have_not_cosigned_is_a_warning(world: World, month: Statement) -> None:
    """Receipts are made anew when witnesses change, a signed seed is not."""
    inspect(world, month, challenge(world, month))
    witness = NoteKey("w.example", ED25519_COSIGNATURE, SigningKey.from_seed(bytes(32)).public.raw)
    trust = world.trust(policy=Policy.of_number([witness], 1))
    told = {finding for finding in verify_bundle(world.pack(), trust, NOW).findings if "its seed" in finding.detail}
    assert {(finding.code, finding.grade) for finding in told} == {(Code.QUORUM, Verdict.VALID_WITH_WARNINGS)}


def test_a_seed_larger_than_the_log_was_is_named(world: World, month: Statement) -> None:
    said = challenge(world, month)
    future = sign_checkpoint(ORIGIN, 500, ROOT, world.log_key)
    tiles = drawn_from(world, future, month)
    said["tiles"] = [{"gw": one.gw, "epoch": one.epoch, "tile": one.tile, "state": "proven"} for one in tiles]
    inspect(world, month, {**said, "seed": future})
    assert found(verify(world)) == {(Code.TIME_CONTRADICTION, Verdict.INVALID)}


def test_a_challenge_of_a_month_that_is_not_here_cannot_be_told(world: World, month: Statement) -> None:
    said = challenge(world, month)
    said["month"] = MONTH
    world.say("inspector", "inspect", subjects=[MONTH], findings=[], anchor=None, challenge=said)
    assert found(verify(world)) == {(Code.CHAIN_INCOMPLETE, Verdict.INDETERMINATE)}


@pytest.mark.parametrize("who", ["city", "technician", "gateway"])
def test_only_an_inspector_signs_an_inspection(world: World, month: Statement, who: str) -> None:
    inspect(world, month, challenge(world, month), who)
    assert {code for code, _ in found(verify(world))} == {Code.ROLE}


def test_an_inspector_of_another_region_is_named(world: World, month: Statement) -> None:
    world.add_key("stranger", "ins-2", {"inspector"}, region="31")
    inspect(world, month, challenge(world, month), "stranger")
    assert {code for code, _ in found(verify(world))} == {Code.SUBJECT_SCOPE}


# --- the schema ------------------------------------------------------------------------------------


def payload() -> dict[str, Any]:
    tile = {"gw": "GW-1", "epoch": 1, "tile": 0, "state": "proven"}
    said = {"month": MONTH, "asked": 7, "seed": "a\n\nb\n", "tiles": [tile], "result": "passed"}
    common = {"v": 1, "kind": "inspect", "plant": "P-1", "t": "2026-04-04T00:00:00.000Z", "anchor": None}
    return {**common, "subjects": [MONTH], "findings": [], "challenge": said}


def test_the_schema_takes_an_inspection_with_and_without_a_challenge() -> None:
    whole = payload()
    validate(whole)
    del whole["challenge"]
    validate(whole)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("challenge",), None),
        (("challenge", "extra"), 1),
        (("challenge", "asked"), -1),
        (("challenge", "asked"), "7"),
        (("challenge", "seed"), "x" * 4001),
        (("challenge", "seed"), None),
        (("challenge", "result"), "open"),
        (("challenge", "month"), "cd" * 32),
        (("challenge", "tiles"), []),
        (("challenge", "tiles", 0, "state"), "waiting"),
        (("challenge", "tiles", 0, "epoch"), 0),
        (("challenge", "tiles", 0, "tile"), 1.0),
        (("challenge", "tiles", 0, "extra"), 1),
        (("findings",), ["x" * 2001]),
        (("findings",), [""] * 101),
        (("subjects",), []),
        (("subjects",), ["ab"]),
    ],
)
def test_a_malformed_inspection_is_refused(path: tuple[Any, ...], value: Any) -> None:
    changed = payload()
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(EvidenceError, match="SCHEMA"):
        validate(changed)


def test_a_tile_named_twice_is_refused() -> None:
    changed = payload()
    changed["challenge"]["tiles"] *= 2
    with pytest.raises(EvidenceError, match="SCHEMA"):
        validate(deepcopy(changed))
