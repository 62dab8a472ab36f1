"""Whole raw tiles in a bundle: each is proven, hours are recomputed from them, and one tree grew through them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from evidence_world import NOW, START, ZONE, World, indexed, stored_line
from hypothesis import given
from hypothesis import strategies as st

from evidence.encoding import jcs, strict_json
from evidence.errors import Code, EvidenceError
from evidence.merkle import inclusion_proof, leaf_hash, root
from evidence.reading import Flag, Leaf, leaf_line, parse_leaf_members
from evidence.recount import SegmentRecount
from evidence.tile_file import TileFile
from evidence.tile_proof import TileProof, prove_tile, tile_path
from evidence.tile_run import TileRun
from evidence.verdict import Report, Verdict
from evidence.verify import verify_bundle

HOURS = 70
"""Of four readings each: one tile whole, the second begun."""


@pytest.fixture(scope="module")
def long() -> World:
    """An approved month of two tiles. Tests do not change it."""
    world = World()
    world.run_hours(HOURS)
    world.approve(world.close_month())
    return world


def verify(world: World, *tiles: TileFile, readings: tuple[int, ...] = ()) -> Report:
    return verify_bundle(world.pack(readings=readings, tiles=tiles), world.trust(), NOW)


def counted(report: Report) -> dict[str, tuple[int, int]]:
    return {check.name: (check.passed, check.failed) for check in report.checks}


def test_month_is_recomputed_from_its_raw_tiles(long: World) -> None:
    report = verify(long, long.tile(0), long.tile(1), readings=(3,))
    assert report.findings == ()
    assert (report.counts["tiles"], report.counts["readings"], report.counts["hours"]) == (2, 4 * HOURS + 1, HOURS)
    checks = counted(report)
    assert (checks["tile"], checks["reading"]) == ((2, 0), (4 * HOURS + 1, 0))
    assert (checks["recount"], checks["tree"]) == ((HOURS, 0), (HOURS, 0))


def test_tiles_from_the_middle_of_the_tree_are_enough_for_their_hours(long: World) -> None:
    report = verify(long, long.tile(1))
    assert report.findings == ()
    assert counted(report)["tree"] == counted(report)["recount"] == (HOURS - 64, 0)


def edited(**changes: Any) -> Callable[[TileFile], bytes]:
    return lambda tile: jcs({**strict_json(tile.to_bytes()), **changes})


def line(number: int, edit: Callable[[str], str]) -> Callable[[TileFile], bytes]:
    def forge(tile: TileFile) -> bytes:
        lines = list(tile.proof.lines)
        lines[number] = edit(lines[number])
        return replace(tile, proof=replace(tile.proof, lines=tuple(lines))).to_bytes()

    return forge


@pytest.mark.parametrize(
    ("forge", "code"),
    [
        (line(5, lambda text: text.replace("3.17", "3.18")), Code.INCLUSION_FAIL),
        (line(5, lambda text: text.replace('"N"', '"F"')), Code.INCLUSION_FAIL),
        (line(5, lambda text: text.replace(",5,", ",6,")), Code.INDEX_MISMATCH),
        (line(5, lambda text: text.replace(",", ", ")), Code.LEAF_MISMATCH),
        (line(5, lambda text: text.replace("3.17", "-0")), Code.LEAF_MISMATCH),
        (line(5, lambda text: text.replace("E.KWH", "E\\u002eKWH")), Code.LEAF_MISMATCH),
        (line(5, lambda text: text.replace("T17:", "T24:")), Code.LEAF_MISMATCH),
        (line(5, lambda text: text.replace('"N"', '"X"')), Code.LEAF_MISMATCH),
        (line(5, lambda text: ""), Code.LEAF_MISMATCH),
        (edited(lines=[]), Code.INDEX_MISMATCH),
        (edited(lines="text"), Code.ENCODING),
        (edited(lines=[1] * 256), Code.ENCODING),
        (edited(lines=None), Code.ENCODING),
        (edited(salt="AA=="), Code.LEAF_MISMATCH),
        (edited(salt="A" * 43 + "="), Code.INCLUSION_FAIL),
        (edited(salt="A"), Code.ENCODING),
        (edited(path=["A" * 43 + "="]), Code.INCLUSION_FAIL),
        (edited(path=["AAAA"]), Code.INCLUSION_FAIL),
        (edited(size=257), Code.INDEX_MISMATCH),
        (edited(size="256"), Code.ENCODING),
        (edited(tile=1), Code.INDEX_MISMATCH),
        (edited(segment="0" * 64), Code.INDEX_MISMATCH),
        (edited(segment=None), Code.LEAF_MISMATCH),
        (edited(v=2), Code.LEAF_MISMATCH),
        (edited(v=True), Code.LEAF_MISMATCH),
        (edited(raw=[]), Code.LEAF_MISMATCH),
        (lambda tile: b"[]", Code.LEAF_MISMATCH),
        (lambda tile: b"", Code.PAYLOAD),
        (lambda tile: tile.to_bytes() + b" ", Code.PAYLOAD),
        (lambda tile: tile.to_bytes().replace(b":", b": ", 1), Code.PAYLOAD),
    ],
)
def test_changed_tile_is_named_and_no_hour_of_it_counts(
    long: World, forge: Callable[[TileFile], bytes], code: Code
) -> None:
    tile = long.tile(0)
    bundle = long.pack(readings=(), tiles=(tile,))
    forged = forge(tile)
    assert forged != tile.to_bytes()
    report = verify_bundle(indexed(replace(bundle, tiles={tile.name: forged})), long.trust(), NOW)
    assert [finding.code for finding in report.findings] == [code]
    assert "tile" in report.findings[0].detail
    assert counted(report)["tile"] == (0, 1)
    assert "recount" not in counted(report)


def test_tile_of_a_segment_that_is_not_in_the_bundle(long: World) -> None:
    tile = replace(long.tile(0), segment="ab" * 32)
    assert [finding.code for finding in verify(long, tile).findings] == [Code.LEAF_MISMATCH]


@pytest.mark.parametrize("lie", [{"sum": "8.00"}, {"max": "99"}, {"min": "0.1"}, {"valid": 3}])
def test_gateway_that_lies_about_its_hours_is_caught_by_its_tiles(lie: dict[str, Any]) -> None:
    world = World()
    world.edit_entries = lambda entries: entries[0].update(lie)
    world.run_hours(2)
    world.approve(world.close_month())
    details = [one.detail for one in verify(world, world.tile(0)).findings if one.code is Code.AGGREGATE_MISMATCH]
    assert any("what its readings say" in detail for detail in details)


def rewritten(world: World) -> World:
    """Have the third hour sealed over another past than the hours before and after it."""
    world.run_hours(2)
    truth = world.leaves[1]
    world.leaves[1] = replace(truth, value=Decimal("99"))
    world.read_hour(2, ["1", "1", "1", "1"])
    world.seal(2)
    world.leaves[1] = truth
    world.read_hour(3, ["1", "1", "1", "1"])
    world.seal(3)
    world.approve(world.close_month())
    return world


def test_hour_sealed_over_another_past_is_no_part_of_the_tree() -> None:
    world = rewritten(World())
    report = verify(world, world.tile(0))
    assert [(one.code, one.sid) for one in report.findings] == [(Code.CONSISTENCY_FAIL, world.segments[2].sid)]
    assert counted(report)["tree"] == (3, 1)


@pytest.mark.parametrize("is_alone", [False, True], ids=["in a tile", "alone"])
def test_one_place_of_the_tree_shown_with_two_readings(is_alone: bool) -> None:
    world = rewritten(World())
    honest, truth = world.tile(0), world.leaves[1]
    world.leaves[1] = replace(truth, value=Decimal("99"))
    other = world.tile(0, world.segments[2])
    shown = world.disclosure(9)
    forged = replace(shown, index=1, line=world.line(world.leaves[1]).decode(), path=path_of(world, 1, shown.size))
    world.leaves[1] = truth
    bundle = world.pack(readings=(), tiles=(honest,) if is_alone else (other, honest))
    bundle = indexed(replace(bundle, readings={forged.name: forged.to_bytes()} if is_alone else {}))
    report = verify_bundle(bundle, world.trust(), NOW)
    assert report.verdict is Verdict.INVALID
    codes = {one.code for one in report.findings}
    # A reading shown alone must lie in the segment that it names, so the forger does not get that far.
    assert codes == ({Code.INDEX_MISMATCH, Code.CONSISTENCY_FAIL} if is_alone else {Code.CONSISTENCY_FAIL})


def path_of(world: World, index: int, size: int) -> tuple[bytes, ...]:
    return tuple(inclusion_proof(world.hashes()[:size], index))


@given(st.integers(1, 1500), st.data())
def test_run_of_tiles_knows_the_root_of_every_size_it_reaches(size: int, data: st.DataObject) -> None:
    salt = bytes(32)
    leaves = [Leaf(index, START, "C", Decimal(index), "u", Flag.NORMAL) for index in range(size)]
    hashes = [leaf_hash(leaf_line(leaf, salt)) for leaf in leaves]
    tiles = -(-size // 256)
    first = data.draw(st.integers(0, tiles - 1))
    proven = []
    for number in range(first, tiles):
        path = tile_path(lambda start, end: root(hashes[start:end]), number, size)
        lines = tuple(stored_line(leaf) for leaf in leaves[number * 256 : (number + 1) * 256])
        proven.append(prove_tile(TileProof(number, size, salt, lines, tuple(path)), root(hashes)))
    run = TileRun(proven[0])
    for number, tile in enumerate(proven):
        if number:
            assert run.is_next(tile)
            run.grow(tile)
        at = data.draw(st.integers(tile.first + 1, tile.end))
        assert run.root_at(at) == root(hashes[:at])
    assert not run.is_next(proven[0])


@given(
    st.integers(0, 2**53 - 1),
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.decimals(allow_nan=False, allow_infinity=False, places=2) | st.none(),
)
def test_stored_lines_read_back_in_their_one_spelling(
    index: int, time: datetime, name: str, value: Decimal | None
) -> None:
    moment = time.replace(microsecond=time.microsecond // 1000 * 1000, tzinfo=UTC)
    leaf = Leaf(index, moment, name, value, name, Flag.FAULT)
    text = stored_line(leaf)
    assert parse_leaf_members(text) == leaf
    for other in (f" {text}", f"{text} ", text.replace(",", ", ", 1), text.replace('"r1"', '"\\u00721"')):
        with pytest.raises(EvidenceError):
            parse_leaf_members(other)


@pytest.mark.parametrize(
    "leaf",
    [
        Leaf(0, START, "E.KWH", Decimal("1" + "0" * 250), "kWh", Flag.NORMAL),
        Leaf(0, datetime(9999, 12, 31, 23, tzinfo=UTC), "E.KWH", Decimal(1), "kWh", Flag.NORMAL),
    ],
    ids=["a number of 250 digits", "the last hour of the calendar"],
)
def test_readings_that_nobody_can_add_up_are_a_difference_and_no_crash(long: World, leaf: Leaf) -> None:
    recount = SegmentRecount(long.segments[0].payload, long.channels, ZONE)
    recount.add([leaf])
    recount.add([replace(leaf, index=1, time=START + timedelta(minutes=1), value=Decimal("0.1"))])
    assert len(recount.differences()) == 1
    assert "cannot be computed with" in recount.differences()[0]
