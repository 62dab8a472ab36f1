"""The tile layout of a log (C2SP tlog-tiles): which tile holds which hash, and trees read from tiles.

A tile of level L holds up to 256 hashes, each the root of a full tile of level L−1 (level 0: leaf
hashes). Reading and writing files is left to the caller, who passes a reader function.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from evidence.errors import Code, EvidenceError
from evidence.merkle import (
    HASH_BYTES,
    RightEdge,
    consistency_path,
    inclusion_path,
    node_hash,
    root,
    split_point,
)

TILE_WIDTH = 256
TILE_HEIGHT = 8
MAX_ENTRY_BYTES = 65_535
_PATH = re.compile(r"tile/(entries|[0-5]?[0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([0-9]{1,3}))?\Z", re.ASCII)


@dataclass(frozen=True)
class Tile:
    """The address of a tile: level (−1 for entries), number, and width 1–256."""

    level: int
    number: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """Return the published path, such as ``tile/0/x001/x234/067`` or ``tile/1/000.p/17``."""
        level = "entries" if self.level < 0 else str(self.level)
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{_number_text(self.number)}{partial}"

    @classmethod
    def parse(cls, path: str) -> "Tile":
        """Read a published path.

        Raises:
            EvidenceError: ``ENCODING``.
        """
        match = _PATH.match(path)
        if match is None:
            raise EvidenceError(Code.ENCODING, f"not a tile path: {path[:60]!r}")
        level, number, width = match.groups()
        tile = cls(
            -1 if level == "entries" else int(level),
            int(number.replace("/", "").replace("x", "")),
            TILE_WIDTH if width is None else int(width),
        )
        if tile.path != path or (width is not None and not 1 <= tile.width < TILE_WIDTH):
            raise EvidenceError(Code.ENCODING, f"not the one spelling of a tile path: {path[:60]!r}")
        return tile


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield every hash tile of a tree, level by level, partial tiles last in their level."""
    level, count = 0, size
    while count:
        full, rest = divmod(count, TILE_WIDTH)
        yield from (Tile(level, number) for number in range(full))
        if rest:
            yield Tile(level, full, rest)
        level, count = level + 1, full


def tiles_between(old: int, new: int) -> Iterator[Tile]:
    """Yield the hash tiles that a tree of ``new`` leaves has and the tree of ``old`` had not."""
    level, before, after = 0, old, new
    while after > before:
        full, rest = divmod(after, TILE_WIDTH)
        yield from (Tile(level, number) for number in range(before // TILE_WIDTH, full))
        if rest:
            yield Tile(level, full, rest)
        level, before, after = level + 1, before // TILE_WIDTH, full


def entries_tile(entries: Sequence[bytes]) -> bytes:
    """Write the content of an entries tile: each entry behind its big-endian 16-bit length."""
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise ValueError("a log entry is longer than 65,535 bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_entries(data: bytes) -> list[bytes]:
    """Read the content of an entries tile.

    Raises:
        EvidenceError: ``ENCODING``.
    """
    entries, position = [], 0
    while position < len(data):
        end = position + 2 + int.from_bytes(data[position : position + 2], "big")
        if position + 2 > len(data) or end > len(data):
            raise EvidenceError(Code.ENCODING, "entries tile ends in the middle of an entry")
        entries.append(data[position + 2 : end])
        position = end
    return entries


TileReader = Callable[[Tile], bytes]
"""Returns the bytes of a tile (width × 32); may raise anything of its own."""


class TileTree:
    """A tree of a known size, read through its tiles."""

    def __init__(self, read: TileReader, size: int) -> None:
        self._read = read
        self.size = size
        self._hashes: dict[tuple[int, int], list[bytes]] = {}

    def root(self) -> bytes:
        """Recompute the tree head from the tiles."""
        return self.range_hash(0, self.size)

    def inclusion(self, index: int) -> list[bytes]:
        """Prove a leaf."""
        return inclusion_path(self.range_hash, index, self.size)

    def consistency(self, old: int) -> list[bytes]:
        """Prove that the tree of ``old`` leaves is a beginning of this one."""
        return consistency_path(self.range_hash, old, self.size)

    def leaf(self, index: int) -> bytes:
        """Return one leaf hash."""
        return self._tile(0, index // TILE_WIDTH)[index % TILE_WIDTH]

    def range_hash(self, start: int, end: int) -> bytes:
        """Return MTH(D[start:end]) for a range that is a node of this tree."""
        if start == end:
            return root([])
        count = end - start
        if count & (count - 1):
            middle = start + split_point(count)
            return node_hash(self.range_hash(start, middle), self.range_hash(middle, end))
        level = (count.bit_length() - 1) // TILE_HEIGHT
        unit = 1 << TILE_HEIGHT * level
        number, offset = divmod(start // unit, TILE_WIDTH)
        return root(self._tile(level, number)[offset : offset + count // unit])

    def _tile(self, level: int, number: int) -> list[bytes]:
        key = (level, number)
        if key not in self._hashes:
            available = self.size >> TILE_HEIGHT * level
            width = min(TILE_WIDTH, available - number * TILE_WIDTH)
            tile = Tile(level, number, width)
            data = self._read(tile)
            if len(data) != width * HASH_BYTES:
                raise EvidenceError(Code.CONSISTENCY_FAIL, f"{tile.path} has {len(data)} bytes, not {width * 32}")
            self._hashes[key] = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
        return self._hashes[key]


def tile_hash(hashes: Sequence[bytes]) -> bytes:
    """Return the root of a full tile: its entry one level up."""
    if len(hashes) != TILE_WIDTH:
        raise ValueError("only a full tile has an entry above it")
    return RightEdge.of(hashes).root()


def _number_text(number: int) -> str:
    groups = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        groups.append(f"x{number % 1000:03d}")
    return "/".join(reversed(groups))
