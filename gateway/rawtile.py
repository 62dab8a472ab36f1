"""Raw tiles: 256 readings with their raw words in one compressed file beside the database.

Written temp → fsync → rename → fsync folder before the database says the tile exists, so a file that the database
names is always whole; the folder is synced once for all tiles of a transaction (`RawFolder.settle`). The lines are leaf
lines without their salt; the tile's secret stands beside them.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from evidence.merkle import leaf_hash
from evidence.reading import salted_line
from evidence.tiles import TILE_WIDTH
from gateway.durable import make_folder, sync_folder
from gateway.errors import DiskFullError, IntegrityError

FORMAT = 1
SUFFIX = ".json.gz"
_COMPRESSION = 6
_TILES_A_FOLDER = 1_000


class RawReading(NamedTuple):
    """What is kept of a reading beside its leaf: where the value came from. A tuple, because there are so many."""

    seq: int
    received: str
    device_time: str
    reason: str
    raw: str
    imported: bool


@dataclass(frozen=True)
class RawTile:
    """One full tile: leaf lines without salt, the tile's salt, and the raw side of each reading."""

    epoch: int
    number: int
    salt: bytes
    lines: tuple[str, ...]
    raw: tuple[RawReading, ...]

    def leaf_hashes(self) -> list[bytes]:
        """Recompute the level-0 hashes; whether the lines are the sealed ones is for the tile's root to say.

        Raises:
            IntegrityError: a line is no text.
        """
        return list(self._hashes)

    @cached_property
    def _hashes(self) -> list[bytes]:
        first = self.number * TILE_WIDTH
        try:
            return [leaf_hash(salted_line(line, index, self.salt)) for index, line in enumerate(self.lines, first)]
        except UnicodeEncodeError as error:
            raise IntegrityError(
                f"原始数据块 {self.number} 已损坏: {error}", f"raw tile {self.number} is damaged: {error}"
            ) from error

    def to_bytes(self) -> bytes:
        """Serialise and compress; the same tile gives the same bytes."""
        content = {
            "v": FORMAT,
            "epoch": self.epoch,
            "tile": self.number,
            "salt": self.salt.hex(),
            "lines": self.lines,
            "raw": [
                [one.seq, one.received, one.device_time, one.reason, one.raw, int(one.imported)] for one in self.raw
            ],
        }
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return gzip.compress(text.encode("utf-8"), _COMPRESSION, mtime=0)

    @classmethod
    def from_bytes(cls, data: bytes) -> RawTile:
        """Read a file's content.

        Raises:
            ValueError, KeyError, TypeError, OSError, EOFError, zlib.error: the content is damaged.
        """
        content = json.loads(gzip.decompress(data))
        if content["v"] != FORMAT:
            raise ValueError("unknown raw tile format")
        return cls(
            epoch=content["epoch"],
            number=content["tile"],
            salt=bytes.fromhex(content["salt"]),
            lines=tuple(content["lines"]),
            raw=tuple(
                RawReading(seq, received, device_time, reason, raw, bool(imported))
                for seq, received, device_time, reason, raw, imported in content["raw"]
            ),
        )


class RawFolder:
    """The folder of raw tiles, one sub-folder per epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unsettled: set[Path] = set()

    def path(self, epoch: int, number: int) -> Path:
        """Name the file of a tile, a thousand tiles to a sub-folder."""
        folder = self.folder / str(epoch) / f"{number // _TILES_A_FOLDER:06d}"
        return folder / f"{number % _TILES_A_FOLDER:03d}{SUFFIX}"

    def epochs(self) -> list[int]:
        """Return the epochs that have a folder."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal())

    def there(self) -> Iterator[tuple[int, int]]:
        """Go through the tiles on disk by epoch and number."""
        for epoch in self.epochs():
            for path in sorted((self.folder / str(epoch)).glob(f"[0-9]*/[0-9]*{SUFFIX}")):
                yield epoch, int(path.parent.name) * _TILES_A_FOLDER + int(path.name.removesuffix(SUFFIX))

    def write(self, tile: RawTile) -> None:
        """Write a tile so that after a power cut it is there whole or not at all; after `settle` it is there.

        Raises:
            DiskFullError: the disk refused.
        """
        path = self.path(tile.epoch, tile.number)
        self._unsettled.add(path.parent)
        with _refusal_of(path):
            make_folder(path.parent)
            _write_durably(path, tile.to_bytes())

    def settle(self) -> None:
        """Make sure that the tiles written so far survive a power cut; before the database names them.

        Raises:
            StoreError: the disk refused.
        """
        while self._unsettled:
            folder = next(iter(self._unsettled))
            with _refusal_of(folder):
                sync_folder(folder)
            self._unsettled.discard(folder)

    def read(self, epoch: int, number: int) -> RawTile:
        """Read a tile.

        Raises:
            IntegrityError: it is missing or damaged.
        """
        path = self.path(epoch, number)
        try:
            tile = RawTile.from_bytes(path.read_bytes())
        except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error) as error:
            raise IntegrityError(
                f"原始数据块 {path} 缺失或损坏；请运行 cunzheng gateway check --repair",
                f"raw tile {path} is missing or damaged; run cunzheng gateway check --repair",
            ) from error
        if (tile.epoch, tile.number) != (epoch, number):
            raise IntegrityError(f"{path} 是另一个数据块", f"{path} holds another tile")
        return tile

    def drop_before(self, epoch: int, number: int) -> int:
        """Remove the tiles before one, also those that an earlier removal left behind; return how many they were."""
        removed = 0
        for path in sorted((self.folder / str(epoch)).glob("[0-9]*")):
            first = int(path.name) * _TILES_A_FOLDER
            if first >= number:
                break
            for file in path.glob("[0-9]*.json.gz"):
                if first + int(file.name[:3]) < number:
                    file.unlink(missing_ok=True)
                    removed += 1
            if first + _TILES_A_FOLDER <= number:
                with suppress(OSError):
                    path.rmdir()
        return removed


def write_file(path: Path, data: bytes) -> None:
    """Write a raw tile or a content of the centre so that it is there whole or not at all.

    Raises:
        DiskFullError: the disk refused.
    """
    with _refusal_of(path):
        make_folder(path.parent)
        _write_durably(path, data)
        sync_folder(path.parent)


@contextmanager
def _refusal_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DiskFullError(
            f"无法写入 {path}: {error.strerror}；请检查磁盘",
            f"cannot write {path}: {error.strerror}; check the disk",
        ) from error


def _write_durably(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):  # half a file on a full disk would only be in the way
            temporary.unlink()
        raise
