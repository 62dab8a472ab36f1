"""The gateway's reading tree as one transaction sees it.

Loaded from the state row, grown leaf by leaf, stored again before the commit. Full tiles leave as raw files; the
database keeps their roots only, level by level. Which readings become leaves is decided in `gateway/sealer.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from evidence.merkle import HASH_BYTES, RightEdge, leaf_hash
from evidence.reading import salted_line
from evidence.tile_proof import TileProof, tile_path
from evidence.tiles import TILE_WIDTH, Tile, TileTree, tile_hash
from gateway.errors import IntegrityError, RefusedError
from gateway.rawtile import RawFolder, RawTile
from gateway.reading_store import StoredReading, sealed_readings
from gateway.store import Store
from gateway.tile_repair import read_tile

_TILES_REMEMBERED = 64
"""Leaf hashes of so many finished tiles are kept for consistency proofs; a megabyte."""


class ReadingTree:
    """One epoch's tree: the right edge above the full tiles, and the tile that is being filled with its own edge."""

    def __init__(self, store: Store, raw: RawFolder, epoch: int, new_salt: Callable[[], bytes]) -> None:
        """Load the tree as the open transaction sees it."""
        self._store, self._raw, self.epoch, self._new_salt = store, raw, epoch, new_salt
        row = store.row("SELECT size, edge, salt FROM tree WHERE epoch = ?", (epoch,))
        self._filling: list[StoredReading] = []
        self._lines: list[str] = []
        self._hashes: list[bytes] = []
        self._recent: dict[int, list[bytes]] = {}
        self._last_read: RawTile | None = None
        self._above, self._edge = RightEdge(), RightEdge()
        if row is None:
            self._salt = new_salt()
        else:
            edge: bytes = row["edge"]
            hashes = [edge[at : at + HASH_BYTES] for at in range(0, len(edge), HASH_BYTES)]
            tiles, width = divmod(int(row["size"]), TILE_WIDTH)
            self._above = RightEdge(tiles, hashes[: tiles.bit_count()])
            self._edge = RightEdge(width, hashes[tiles.bit_count() :])
            self._salt = row["salt"]
            self._load_filling()

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._above.size * TILE_WIDTH + self._edge.size

    def root(self) -> bytes:
        """The tree head."""
        return self._whole_edge().root()

    def root_at(self, size: int) -> bytes:
        """The tree head when it had so many leaves.

        Raises:
            IntegrityError, EvidenceError: tiles it stood on are missing.
        """
        return TileTree(self._read_tile, size).root()

    def append(self, reading: StoredReading) -> None:
        """Make a reading the next leaf."""
        index = self.size
        line = reading.line_at(index)
        leaf = leaf_hash(salted_line(line, index, self._salt))
        self._edge.append(leaf)
        self._filling.append(reading)
        self._lines.append(line)
        self._hashes.append(leaf)
        if len(self._hashes) == TILE_WIDTH:
            self._finish_tile()

    def save(self) -> None:
        """Store the state row; part of the caller's transaction. The raw tiles are on the disk before."""
        self._raw.settle()
        self._store.execute(
            "INSERT INTO tree (epoch, size, edge, salt) VALUES (?, ?, ?, ?) ON CONFLICT (epoch) DO UPDATE"
            " SET size = excluded.size, edge = excluded.edge, salt = excluded.salt",
            (self.epoch, self.size, b"".join(self._whole_edge().hashes), self._salt),
        )

    def consistency(self, old: int) -> list[bytes]:
        """Prove that the tree of `old` leaves is a beginning of the present one."""
        return TileTree(self._read_tile, self.size).consistency(old)

    def prove_tile(self, number: int, size: int) -> TileProof:
        """Show one tile and prove that it belongs to the tree of `size` leaves.

        Raises:
            RefusedError: the tile is not inside that tree.
        """
        start = number * TILE_WIDTH
        if not start < size <= self.size:
            raise RefusedError(
                f"数据块 {number} 不在大小为 {size} 的树中", f"tile {number} is not inside the tree of {size} leaves"
            )
        tile = self.raw_tile(number, min(size, start + TILE_WIDTH) - start)
        path = tile_path(TileTree(self._read_tile, size).range_hash, number, size)
        return TileProof(number, size, tile.salt, tile.lines, tuple(path), tuple(one.raw for one in tile.raw))

    def prove_leaf(self, index: int, size: int) -> tuple[bytes, list[bytes]]:
        """Show one leaf, its line with the salt, and prove that it belongs to the tree of `size` leaves.

        Raises:
            RefusedError: the leaf is not inside that tree.
        """
        if not 0 <= index < size <= self.size:
            raise RefusedError(
                f"读数 {index} 不在大小为 {size} 的树中", f"reading {index} is not inside the tree of {size} leaves"
            )
        tile = self.raw_tile(index // TILE_WIDTH, min(size - index // TILE_WIDTH * TILE_WIDTH, TILE_WIDTH))
        line = salted_line(tile.lines[index % TILE_WIDTH], index, tile.salt)
        return line, TileTree(self._read_tile, size).inclusion(index)

    def raw_tile(self, number: int, width: int = TILE_WIDTH) -> RawTile:
        """Return the first `width` readings of a tile with their raw side, full or still being filled."""
        if number < self.size // TILE_WIDTH:
            full = self._full_tile(number)
            if width == TILE_WIDTH:
                return full
            return RawTile(full.epoch, full.number, full.salt, full.lines[:width], full.raw[:width])
        return self._as_raw(number, width)

    def verify_edge(self) -> None:
        """Recompute the right edge from tile roots and open lines, and compare.

        Raises:
            IntegrityError: the state row does not fit what it stands for.
        """
        if self.recomputed_edge().hashes != self._whole_edge().hashes:
            raise IntegrityError(
                f"第 {self.epoch} 期的树与其数据块不符；请运行 cunzheng gateway check",
                f"the tree of epoch {self.epoch} does not fit its tiles; run cunzheng gateway check",
            )

    def recomputed_edge(self) -> RightEdge:
        """Build the edge from stored tile roots, highest level first, and the tile being filled."""
        counts = [self.size]
        while counts[-1] >= TILE_WIDTH:
            counts.append(counts[-1] // TILE_WIDTH)
        edge: list[bytes] = []
        for level in range(len(counts) - 1, 0, -1):
            first = counts[level] // TILE_WIDTH * TILE_WIDTH
            edge += RightEdge.of(self._tile_root(level, n) for n in range(first, counts[level])).hashes
        edge += RightEdge.of(self._hashes).hashes
        return RightEdge(self.size, edge)

    # -- inside -------------------------------------------------------------------------------------------

    def _whole_edge(self) -> RightEdge:
        return RightEdge(self.size, [*self._above.hashes, *self._edge.hashes])

    def _load_filling(self) -> None:
        start = self.size // TILE_WIDTH * TILE_WIDTH
        self._filling = sealed_readings(self._store, self.epoch, start, self.size)
        self._lines = [reading.line_at(index) for index, reading in enumerate(self._filling, start)]
        self._hashes = [
            leaf_hash(salted_line(line, index, self._salt)) for index, line in enumerate(self._lines, start)
        ]
        if len(self._hashes) != self.size - start:
            raise IntegrityError(
                f"第 {self.epoch} 期缺少叶 {start} 之后的读数",
                f"readings after leaf {start} of epoch {self.epoch} are missing",
            )

    def _finish_tile(self) -> None:
        number = self._above.size
        (root,) = self._edge.hashes
        self._raw.write(self._as_raw(number, TILE_WIDTH))
        self._put_root(1, number, root, self._salt)
        self._above.append(root)
        self._recent[number] = self._hashes
        self._recent.pop(number - _TILES_REMEMBERED, None)
        self._edge, self._filling, self._lines, self._hashes = RightEdge(), [], [], []
        self._salt = self._new_salt()

    def _put_root(self, level: int, number: int, root: bytes, salt: bytes | None) -> None:
        self._store.execute(
            "INSERT INTO tile (epoch, level, n, hash, salt) VALUES (?, ?, ?, ?, ?)",
            (self.epoch, level, number, root, salt),
        )
        if (number + 1) % TILE_WIDTH == 0:
            parent = number // TILE_WIDTH
            below = [self._tile_root(level, n) for n in range(parent * TILE_WIDTH, number + 1)]
            self._put_root(level + 1, parent, tile_hash(below), None)

    def _tile_root(self, level: int, number: int) -> bytes:
        found = self._store.value(
            "SELECT hash FROM tile WHERE epoch = ? AND level = ? AND n = ?", (self.epoch, level, number)
        )
        if found is None:
            raise IntegrityError(
                f"缺少数据块根 {level}/{number}", f"the root of tile {level}/{number} is missing; run gateway check"
            )
        return bytes(found)

    def _read_tile(self, tile: Tile) -> bytes:
        if tile.level > 0:
            rows = self._store.rows(
                "SELECT hash FROM tile WHERE epoch = ? AND level = ? AND n >= ? AND n < ? ORDER BY n",
                (self.epoch, tile.level, tile.number * TILE_WIDTH, tile.number * TILE_WIDTH + tile.width),
            )
            return b"".join(row["hash"] for row in rows)
        return b"".join(self._leaf_hashes(tile.number)[: tile.width])

    def _leaf_hashes(self, number: int) -> list[bytes]:
        if number == self.size // TILE_WIDTH:
            return self._hashes
        if number not in self._recent:
            self._recent = {number: self._full_tile(number).leaf_hashes()}
        return self._recent[number]

    def _full_tile(self, number: int) -> RawTile:
        """Read a full tile; the last one read is remembered, because a proof needs its lines and its hashes."""
        if self._last_read is None or self._last_read.number != number:
            self._last_read = read_tile(self._store, self._raw, self.epoch, number)[0]
        return self._last_read

    def _as_raw(self, number: int, width: int) -> RawTile:
        return RawTile(
            epoch=self.epoch,
            number=number,
            salt=self._salt,
            lines=tuple(self._lines[:width]),
            raw=tuple(reading.to_raw() for reading in self._filling[:width]),
        )
