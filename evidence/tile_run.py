"""Consecutive raw tiles of one gateway's tree, and the tree's root at any size that they reach.

So every segment that ends within a run can be compared with the readings themselves: one tree grew through all of
them. Keeps the edge of the tree and the last tile, however long the run.
"""

from evidence.merkle import RightEdge, node_hash, root
from evidence.tile_proof import ProvenTile
from evidence.tiles import TILE_WIDTH


class TileRun:
    """Grows tile by tile; the hashes left of the first tile are taken from its proven path."""

    def __init__(self, first: ProvenTile) -> None:
        self._edge = RightEdge(first.number, _left_of(first))
        self.last = first

    def is_next(self, tile: ProvenTile) -> bool:
        """Tell whether a tile continues the run."""
        return tile.first == self.last.end

    def grow(self, tile: ProvenTile) -> None:
        """Append the tile that comes next; the one before is full."""
        self._edge.append(self.last.root)
        self.last = tile

    def root_at(self, size: int) -> bytes:
        """Return the root of the tree of the first ``size`` leaves, which ends in the last tile."""
        shown = size - self.last.first
        computed = self.last.root if shown == len(self.last.hashes) else root(self.last.hashes[:shown])
        for left in reversed(self._edge.hashes):
            computed = node_hash(left, computed)
        return computed


def _left_of(tile: ProvenTile) -> list[bytes]:
    """Pick from a tile's path the roots of all that is left of it, largest subtree first (RFC 9162 s2.1.3.2)."""
    fn, sn = tile.number, -(-tile.size // TILE_WIDTH) - 1
    left = []
    for sibling in tile.path:
        if fn & 1 or fn == sn:
            left.append(sibling)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        fn, sn = fn >> 1, sn >> 1
    return left[::-1]
