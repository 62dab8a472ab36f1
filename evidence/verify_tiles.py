"""Raw tiles of a bundle, one at a time: each leads to a signed root, and hours that they hold whole are recomputed.

A tile is unpacked, checked, counted and forgotten; kept are the edge of the tree and the figures of the segments that
the readings at hand belong to. So a month of millions of readings needs the memory of a few hours' figures.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evidence.case import Case
from evidence.errors import Code, EvidenceError
from evidence.recount import SegmentRecount
from evidence.tile_file import TileFile
from evidence.tile_proof import ProvenTile
from evidence.tile_run import TileRun
from evidence.verify_month import Signed
from evidence.verify_readings import judge_recount, recount_of

_Chain = tuple[str, int]
"""Gateway and epoch."""


def check_tiles(case: Case) -> None:
    """Each raw tile belongs to the tree that a segment signed; what tiles hold whole is recomputed from them."""
    segments = {one.sid: one for one in case.of_kind("segment")}
    chains: dict[_Chain, list[tuple[int, int, str]]] = {}
    for name in sorted(case.bundle.tiles):
        sid, _, number = name.partition("-")
        segment = segments.get(sid)
        if segment is None:
            with case.examining("tile", sid):
                raise EvidenceError(Code.LEAF_MISMATCH, f"segment of tile {name} is not here", sid)
        else:
            key = (int(number), int(segment.payload["tree"]["end"]), name)
            chains.setdefault(_chain_of(segment), []).append(key)
    for chain, keys in sorted(chains.items()):
        walk = _Walk(case, [one for one in segments.values() if _chain_of(one) == chain])
        for tile in _proven(case, segments, sorted(keys)):
            walk.take(tile)


def _chain_of(segment: Signed) -> _Chain:
    return str(segment.payload["gw"]), int(segment.payload["epoch"])


def _proven(case: Case, segments: Mapping[str, Signed], keys: Sequence[tuple[int, int, str]]) -> Iterator[ProvenTile]:
    """Check tiles in the order of their numbers; of a tile that grew, only its last state goes on."""
    held: ProvenTile | None = None
    for _, _, name in keys:
        case.counts["tiles"] += 1
        sid = name.partition("-")[0]
        tile = None
        with case.examining("tile", sid):
            tile = _tile(name, case.bundle.tiles[name], segments[sid].payload)
            _check_shown(case.shown.get(_chain_of(segments[sid]), {}), tile)
            if held is not None and held.number == tile.number and tile.hashes[: len(held.hashes)] != held.hashes:
                raise EvidenceError(Code.CONSISTENCY_FAIL, f"tile {tile.number} was shown with other readings", sid)
        if tile is None:
            continue
        if held is not None and held.number != tile.number:
            yield held
        held = tile
    if held is not None:
        yield held


def _tile(name: str, data: bytes, segment: Mapping[str, Any]) -> ProvenTile:
    try:
        tile = TileFile.from_bytes(data)
        if tile.name != name:
            raise EvidenceError(Code.INDEX_MISMATCH, "the file holds another tile than its name says")
        return tile.verify(segment)
    except EvidenceError as error:
        raise EvidenceError(error.code, f"tile {name[:12]}…{name[64:]}: {error.detail}", error.sid) from error


def _check_shown(shown: Mapping[int, bytes], tile: ProvenTile) -> None:
    """A reading that was disclosed by itself is the one that its tile holds."""
    for index, hashed in enumerate(tile.hashes if shown else (), tile.first):
        if shown.get(index, hashed) != hashed:
            raise EvidenceError(Code.CONSISTENCY_FAIL, f"reading {index} was disclosed as another than its tile holds")


class _Walk:
    """Goes along the tiles of one gateway's tree, and along the segments that they reach."""

    def __init__(self, case: Case, segments: Sequence[Signed]) -> None:
        self._case = case
        self._run: TileRun | None = None
        self._segments: list[Signed] = []
        reached = 0
        for one in sorted(segments, key=lambda one: (one.payload["tree"]["start"], one.payload["tree"]["end"])):
            if one.payload["tree"]["start"] >= reached:  # `RANGE_OVERLAP` is reported with the chain
                self._segments.append(one)
                reached = one.payload["tree"]["end"]
        self._at = 0
        self._recount: SegmentRecount | None = None

    def take(self, tile: ProvenTile) -> None:
        """Take in the next tile: compare the roots of segments that end in it, and count its readings."""
        self._case.counts["readings"] += len(tile.leaves)
        self._case.tally.add("reading", passed=len(tile.leaves))
        if self._run is not None and self._run.is_next(tile):
            self._run.grow(tile)
        else:
            self._run, self._recount = TileRun(tile), None
        while self._at < len(self._segments):
            segment = self._segments[self._at]
            tree = segment.payload["tree"]
            if tree["start"] >= tile.end:
                return
            self._count(segment, tile)
            if tree["end"] > tile.end:
                return
            self._compare(segment)
            self._at, self._recount = self._at + 1, None

    def _count(self, segment: Signed, tile: ProvenTile) -> None:
        tree = segment.payload["tree"]
        if self._recount is None and tree["start"] >= tile.first:
            self._recount = recount_of(self._case, segment.payload)
        if self._recount is not None:
            first = self._recount.next
            self._recount.add(tile.leaves[first - tile.first : min(tree["end"], tile.end) - tile.first])
            if self._recount.is_whole:
                judge_recount(self._case, segment.sid, self._recount)

    def _compare(self, segment: Signed) -> None:
        """Compare the root of a segment that ends in the last tile of the run."""
        tree = segment.payload["tree"]
        if self._run is None or tree["end"] <= self._run.last.first:
            return
        with self._case.examining("tree", segment.sid):
            if self._run.root_at(tree["end"]) != bytes.fromhex(tree["root"]):
                words = "the segment's root is not that of the readings up to its end"
                self._case.findings.add(Code.CONSISTENCY_FAIL, words, segment.sid)
