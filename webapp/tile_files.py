"""The tiles of the log as files (tlog-tiles layout), each written once and whole.

A file appears by rename after its bytes reached the disk, so a crash leaves either the old or the new
tile. A tile may hold more hashes than the signed tree: entries of a transaction that was not committed;
readers take the beginning that they need, which never changes once it is signed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from evidence.merkle import HASH_BYTES
from evidence.tiles import TILE_WIDTH, Tile, entries_tile, parse_entries

ENTRIES = -1
"""Level of the tiles that hold the statements themselves."""
_READ_ATTEMPTS = 5


class TileFiles:
    """Reads and writes the tiles below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, tile: Tile) -> bytes:
        """Read a tile of hashes at exactly its width.

        Raises:
            FileNotFoundError: no file holds that many hashes.
        """
        return self._find(tile)[: tile.width * HASH_BYTES]

    def read_entries(self, number: int, width: int) -> bytes:
        """Read a tile of entries at exactly its width; raises as `read` does."""
        data = self._find(Tile(ENTRIES, number, width))
        entries = parse_entries(data)
        return data if len(entries) == width else entries_tile(entries[:width])

    def write(self, tile: Tile, data: bytes) -> None:
        """Write a tile; when this returns, it survives a power cut."""
        write_durably(self.folder / tile.path, data)

    def drop_narrower(self, tile: Tile) -> None:
        """Delete the partial forms of a tile that `tile` contains."""
        folder = (self.folder / Tile(tile.level, tile.number, 1).path).parent
        for file in folder.glob("*") if folder.is_dir() else ():
            if file.name.isdigit() and int(file.name) < tile.width:
                file.unlink(missing_ok=True)
        if tile.width == TILE_WIDTH:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _find(self, tile: Tile) -> bytes:
        # Between the look and the read another process may replace a partial tile by a wider one.
        for _ in range(_READ_ATTEMPTS):
            for path in self._holders(tile):
                with contextlib.suppress(FileNotFoundError):
                    return path.read_bytes()
        raise FileNotFoundError(f"tile {tile.path} is not in {self.folder}")

    def _holders(self, tile: Tile) -> list[Path]:
        partials = (self.folder / Tile(tile.level, tile.number, 1).path).parent
        wider = sorted(
            (int(file.name) for file in partials.glob("*") if file.name.isdigit() and int(file.name) > tile.width)
            if partials.is_dir()
            else ()
        )
        widths = dict.fromkeys([tile.width, *wider, TILE_WIDTH])
        return [self.folder / Tile(tile.level, tile.number, width).path for width in widths]


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that after a crash it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Make a file's bytes, or what was made, renamed or deleted in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
