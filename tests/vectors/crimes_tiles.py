"""Cases of raw tiles: 256 readings a file, with their secret salt, proven against a segment's root."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vector_case import Files, World, alone, case, few, opened

from evidence.encoding import canonical_json, jcs
from evidence.merkle import root
from evidence.tile_file import TileFile
from evidence.tile_proof import tile_path

LONG = 300
"""Readings of a world with two tiles: one full, one of 44."""


def long_world() -> World:
    """Return two hours with 300 readings, the first hour ending within the first tile."""
    world = World()
    world.run_hours(0)
    for hour, count in ((0, 200), (1, LONG - 200)):
        world.read_hour(hour, [str(number % 7) for number in range(count)][:4])
        while len(world.leaves) < (200, LONG)[hour]:
            world.leaves.append(replace(world.leaves[-1], index=len(world.leaves)))
        world.seal(hour)
    return world


def tiled(world: World, *tiles: TileFile) -> Files:
    """Pack a world with raw tiles and a reading."""
    return few(world, tiles={tile.name: tile.to_bytes() for tile in tiles})


@case("bundle/tile", "an hour with its one raw tile, which holds its hour whole")
def _() -> Files:
    world = opened()
    return tiled(world, world.tile(0))


@case("bundle/tiles-in-a-row", "two tiles of 256 and 44 readings, of which two hours are recomputed")
def _() -> Files:
    world = long_world()
    return tiled(world, world.tile(0, world.segments[1]), world.tile(1))


@case("bundle/tile-that-grew", "one tile shown at two sizes of the tree")
def _() -> Files:
    world = opened(2)
    return tiled(world, *(world.tile(0, segment) for segment in world.segments))


@case("bundle/second-tile-alone", "the first tile is not here, so that no hour is whole")
def _() -> Files:
    world = long_world()
    return tiled(world, world.tile(1))


def only(**changed: Any) -> Files:
    """Show the one tile of an hour and its segment, with members of the tile replaced."""
    world = opened()
    said = {**canonical_json(world.tile(0).to_bytes()), **changed}
    return alone(world.segments[0], "tile.json", jcs(said), world)


def lines(old: str, new: str) -> list[str]:
    """Return the lines of that tile with a piece of one replaced."""
    return [line.replace(old, new, 1) for line in opened().tile(0).proof.lines]


@case("tile/honest", "a raw tile and the segment that commits to it")
def _() -> Files:
    return only()


@case("tile/reading-edited", "a stored reading was edited: 3.17 became 3.18", "INCLUSION_FAIL")
def _() -> Files:
    return only(lines=lines('"3.17"', '"3.18"'))


@case("tile/reading-dropped", "a tile with one line less", "INDEX_MISMATCH")
def _() -> Files:
    return only(lines=lines("", "")[:-1])


@case("tile/readings-exchanged", "two lines in each other's place", "INDEX_MISMATCH")
def _() -> Files:
    return only(lines=lines("", "")[::-1])


@case("tile/reading-in-another-spelling", "3.17 written 03.17", "LEAF_MISMATCH")
def _() -> Files:
    return only(lines=lines('"3.17"', '"03.17"'))


@case("tile/reading-with-spaces", "a line with a space in it", "LEAF_MISMATCH")
def _() -> Files:
    return only(lines=lines('"r1",1', '"r1", 1'))


@case("tile/with-another-salt", "the salt is that of another tile", "INCLUSION_FAIL")
def _() -> Files:
    return only(salt=canonical_json(replace_salt(1))["salt"])


def replace_salt(tile: int) -> bytes:
    """Return the tile under the salt of another one."""
    whole = opened().tile(0)
    return replace(whole, proof=replace(whole.proof, salt=World.salt(tile))).to_bytes()


@case("tile/with-a-short-salt", "a salt of 31 bytes", "LEAF_MISMATCH")
def _() -> Files:
    return only(salt="A" * 41 + "A==")


@case("tile/with-a-loose-salt", "a salt with loose trailing bits", "ENCODING")
def _() -> Files:
    return only(salt="A" * 42 + "B=")


@case("tile/of-another-size", "a tile that says another tree size than its segment's", "INDEX_MISMATCH")
def _() -> Files:
    return only(size=5)


@case("tile/number-beyond-the-tree", "tile 1 of a tree of four readings", "INDEX_MISMATCH")
def _() -> Files:
    return only(tile=1)


@case("tile/of-another-segment", "the tile names another segment", "LEAF_MISMATCH")
def _() -> Files:
    return only(segment="ab" * 32)


@case("bundle/tile-under-another-name", "the file holds another tile than its name says", "INDEX_MISMATCH")
def _() -> Files:
    world = opened()
    return few(world, tiles={f"{world.segments[0].sid}-1": world.tile(0).to_bytes()})


@case("tile/with-a-path-too-long", "a path for a tree of one tile", "INCLUSION_FAIL")
def _() -> Files:
    return only(path=["A" * 43 + "="])


@case("tile/whose-path-is-a-text", "the path of a tile is no list", "ENCODING")
def _() -> Files:
    return only(path="")


@case("tile/whose-lines-are-numbers", "the lines of a tile are no texts", "ENCODING")
def _() -> Files:
    return only(lines=[1, 2, 3, 4])


@case("tile/number-as-text", "the number of a tile is a text", "ENCODING")
def _() -> Files:
    return only(tile="0")


@case("tile/of-version-true", "true for 1", "LEAF_MISMATCH")
def _() -> Files:
    return only(v=True)


@case("tile/with-one-member-more", "what came over the wire is no part of it", "LEAF_MISMATCH")
def _() -> Files:
    return only(raw=[])


@case("tile/not-canonical", "a tile with a line break behind it", "PAYLOAD")
def _() -> Files:
    world = opened()
    return alone(world.segments[0], "tile.json", world.tile(0).to_bytes() + b"\n", world)


@case("bundle/tile-of-an-unknown-segment", "the segment of the tile is not here", "LEAF_MISMATCH")
def _() -> Files:
    world = opened()
    tile = replace(world.tile(0), segment="ab" * 32)
    return tiled(world, tile)


@case(
    "bundle/tile-against-a-single-reading",
    "a reading was disclosed as another than its tile holds",
    "CONSISTENCY_FAIL",
    "AGGREGATE_MISMATCH",
)
def _() -> Files:
    """The gateway signed a second tree in the next hour, in which reading 1 is another one."""
    world = opened()
    shown = world.disclosure(1)
    return few(two_trees(), shown=(), tiles=tiles_of(two_trees(), 1), readings={shown.name: shown.to_bytes()})


def two_trees() -> World:
    """Return two hours in the second of which the gateway's tree begins otherwise: its history was rewritten."""
    world = World()
    world.run_hours(1)
    world.leaves[1] = replace(world.leaves[1], value=world.leaves[2].value)
    world.read_hour(1, ["1.25", "3.17", "4", "0.5"])
    world.seal(1)
    return world


def tiles_of(world: World, number: int) -> dict[str, bytes]:
    """Return the tile as the segment of a number has it."""
    tile = world.tile(0, world.segments[number])
    return {tile.name: tile.to_bytes()}


@case(
    "bundle/tree-rewritten-between-hours",
    "the tile does not grow through the first hour's root",
    "CONSISTENCY_FAIL",
    "AGGREGATE_MISMATCH",
)
def _() -> Files:
    world = two_trees()
    return few(world, shown=(4,), tiles=tiles_of(world, 1))


@case(
    "bundle/tile-shown-with-other-readings",
    "one tile at two sizes, with different readings",
    "CONSISTENCY_FAIL",
    "AGGREGATE_MISMATCH",
)
def _() -> Files:
    world = two_trees()
    before = World()
    before.run_hours(1)
    old = replace(before.tile(0), segment=world.segments[0].sid)
    return few(world, shown=(4,), tiles={old.name: old.to_bytes(), **tiles_of(world, 1)})


@case(
    "bundle/tile-with-readings-that-the-gateway-denies", "an hour's sum is not that of its tile", "AGGREGATE_MISMATCH"
)
def _() -> Files:
    world = World()
    world.edit_entries = lambda entries: entries[0].update(sum="7.93")
    world.run_hours(1)
    return tiled(world, world.tile(0))


@case("bundle/tile-of-the-wrong-place", "the second tile is shown as the first", "INDEX_MISMATCH")
def _() -> Files:
    world = long_world()
    whole = world.tile(1)
    hashes = world.hashes()
    path = tile_path(lambda start, end: root(hashes[start:end]), 0, LONG)
    return tiled(world, replace(whole, proof=replace(whole.proof, number=0, path=tuple(path))))
