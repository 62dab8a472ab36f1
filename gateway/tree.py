"""The gateway's reading tree as one transaction sees it.

Loaded from the state row, grown leaf by leaf, stored again before the commit. Full tiles leave as raw files; the
database keeps their roots only, level by level. Which readings become leaves is decided in `gateway/sealer.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from evidence.merkle import HASH_BYTES, RightEdge, leaf_hash
from evidence.reading import leaf_line, leaf_members
from evidence.tile_proof import TileProof, tile_path
from evidence.tiles import TILE_WIDTH, Tile, TileTree, tile_hash
from gateway.errors import IntegrityError, RefusedError
from gateway.rawtile import RawFolder, RawTile
from gateway.reading_store import StoredReading, sealed_readings
from gateway.store import Store


class ReadingTree:
    """One epoch's tree: size, right edge, and the tile that is being filled."""

    def __init__(self, store: Store, raw: RawFolder, epoch: int, new_salt: Callable[[], bytes]) -> None:
        """Load the tree as the open transaction sees it."""
        self._store, self._raw, self.epoch, self._new_salt = store, raw, epoch, new_salt
        row = store.row("SELECT size, edge, salt FROM tree WHERE epoch = ?", (epoch,))
        self._filling: list[StoredReading] = []
        self._hashes: list[bytes] = []
        self._recent: dict[int, list[bytes]] = {}
        if row is None:
            self._edge, self._salt = RightEdge(), new_salt()
        else:
            edge: bytes = row["edge"]
            hashes = [edge[at : at + HASH_BYTES] for at in range(0, len(edge), HASH_BYTES)]
            self._edge, self._salt = RightEdge(row["size"], hashes), row["salt"]
            self._load_filling()

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._edge.size

    def root(self) -> bytes:
        """The tree head."""
        return self._edge.root()

    def append(self, reading: StoredReading) -> None:
        """Make a reading the next leaf; its index must already be the tree's size."""
        if reading.leaf != self.size:
            raise IntegrityError(
                f"叶序号 {reading.leaf} 不等于树的大小 {self.size}",
                f"leaf {reading.leaf} is not next; size is {self.size}",
            )
        leaf = leaf_hash(leaf_line(reading.to_leaf(), self._salt))
        self._edge.append(leaf)
        self._filling.append(reading)
        self._hashes.append(leaf)
        if len(self._hashes) == TILE_WIDTH:
            self._finish_tile()

    def save(self) -> None:
        """Store the state row; part of the caller's transaction."""
        self._store.execute(
            "INSERT INTO tree (epoch, size, edge, salt) VALUES (?, ?, ?, ?) ON CONFLICT (epoch) DO UPDATE"
            " SET size = excluded.size, edge = excluded.edge, salt = excluded.salt",
            (self.epoch, self.size, b"".join(self._edge.hashes), self._salt),
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

    def raw_tile(self, number: int, width: int = TILE_WIDTH) -> RawTile:
        """Return the first `width` readings of a tile with their raw side, full or still being filled."""
        if number < self.size // TILE_WIDTH:
            full = self._raw.read(self.epoch, number)
            if width == TILE_WIDTH:
                return full
            return RawTile(full.epoch, full.number, full.salt, full.lines[:width], full.raw[:width])
        return self._as_raw(number, self._filling[:width])

    def verify_edge(self) -> None:
        """Recompute the right edge from tile roots and open lines, and compare.

        Raises:
            IntegrityError: the state row does not fit what it stands for.
        """
        if self.recomputed_edge().hashes != self._edge.hashes:
            raise IntegrityError(
                f"第 {self.epoch} 期的树与其数据块不符；请运行 cunzheng gateway check",
                f"the tree of epoch {self.epoch} does not fit its tiles; run cunzheng gateway check",
            )
        full = self.size // TILE_WIDTH
        if full and tile_hash(self._raw.read(self.epoch, full - 1).leaf_hashes()) != self._tile_root(1, full - 1):
            raise IntegrityError(
                f"数据块 {full - 1} 的内容与其根不符", f"the content of raw tile {full - 1} does not give its root"
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

    def _load_filling(self) -> None:
        start = self.size // TILE_WIDTH * TILE_WIDTH
        self._filling = sealed_readings(self._store, self.epoch, start, self.size)
        self._hashes = [leaf_hash(leaf_line(reading.to_leaf(), self._salt)) for reading in self._filling]
        if len(self._hashes) != self.size - start:
            raise IntegrityError(
                f"第 {self.epoch} 期缺少叶 {start} 之后的读数",
                f"readings after leaf {start} of epoch {self.epoch} are missing",
            )

    def _finish_tile(self) -> None:
        number = self.size // TILE_WIDTH - 1
        self._raw.write(self._as_raw(number, self._filling))
        self._put_root(1, number, tile_hash(self._hashes), self._salt)
        self._recent[number] = self._hashes
        self._recent.pop(number - 2, None)
        self._filling, self._hashes, self._salt = [], [], self._new_salt()

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
            self._recent = {number: self._raw.read(self.epoch, number).leaf_hashes()}
        return self._recent[number]

    def _as_raw(self, number: int, readings: list[StoredReading]) -> RawTile:
        return RawTile(
            epoch=self.epoch,
            number=number,
            salt=self._salt,
            lines=tuple(line_text(reading) for reading in readings),
            raw=tuple(reading.to_raw() for reading in readings),
        )


def line_text(reading: StoredReading) -> str:
    """Write a reading's leaf line without its salt, as raw tiles keep it."""
    return json.dumps(leaf_members(reading.to_leaf()), ensure_ascii=False, separators=(",", ":"))
