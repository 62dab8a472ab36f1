"""A month of one gateway as a bundle with every raw reading in it: signed, logged, approved, written piece by piece.

One channel read once a second, sealed every hour. The people, the log and the trust file are those of the
verification tests (`tests/evidence/evidence_world.py`); only the tree is kept in a way that bears millions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

__all__ = ["NOW", "BigWorld", "write_month"]
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "evidence"))

from evidence_world import NOW, ORIGIN, START, World, stored_line

from evidence.bundle import BundleWriter
from evidence.channel import Channel, ChannelKind
from evidence.encoding import jcs, sha256_hex, time_text
from evidence.merkle import RightEdge, inclusion_path, leaf_hash, node_hash, root, split_point
from evidence.note import sign_checkpoint
from evidence.reading import Flag, Leaf, salted_line
from evidence.receipt import Receipt
from evidence.segment import ChannelHour
from evidence.statement import Statement
from evidence.tile_file import TileFile
from evidence.tile_proof import TileProof
from evidence.tiles import TILE_WIDTH

HOUR_S = 3600
CHANNEL = Channel("CEMS1.FLOW", "m3/h", ChannelKind.VALUE, timedelta(seconds=1), "cems", "modbus")


class Ranges:
    """Hashes of ranges of a growing list, the full subtrees remembered."""

    def __init__(self, hashes: list[bytes]) -> None:
        self._hashes = hashes
        self._full: dict[tuple[int, int], bytes] = {}

    def __call__(self, start: int, end: int) -> bytes:
        width = end - start
        if width == 1:
            return self._hashes[start]
        is_full = width & (width - 1) == 0
        if is_full and (start, end) in self._full:
            return self._full[start, end]
        middle = start + split_point(width)
        computed = node_hash(self(start, middle), self(middle, end))
        if is_full:
            self._full[start, end] = computed
        return computed


class BigWorld(World):
    """A plant whose readings go straight into the bundle."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = {CHANNEL.id: CHANNEL}
        self.edge = RightEdge()
        self.tile_roots: list[bytes] = []
        self.open_lines: list[str] = []
        self.open_hashes: list[bytes] = []
        self.count = 0
        self.total = Decimal(0)

    def read(self, hour: int, second: int) -> Leaf:
        """Take one reading; no two neighbours are the same."""
        at = START + timedelta(seconds=hour * HOUR_S + second)
        value = Decimal(300_000 + (self.count * 7919) % 99_991) / 10
        leaf = Leaf(self.count, at, CHANNEL.id, value, CHANNEL.unit, Flag.NORMAL)
        line = stored_line(leaf)
        hashed = leaf_hash(salted_line(line, self.count, self.salt(self.count // TILE_WIDTH)))
        self.edge.append(hashed)
        self.open_lines.append(line)
        self.open_hashes.append(hashed)
        self.count += 1
        self.total += value
        return leaf

    def full_tiles(self) -> Iterator[tuple[int, list[str]]]:
        """Take out what was completed."""
        while len(self.open_hashes) >= TILE_WIDTH:
            self.tile_roots.append(root(self.open_hashes[:TILE_WIDTH]))
            yield len(self.tile_roots) - 1, self.open_lines[:TILE_WIDTH]
            del self.open_lines[:TILE_WIDTH], self.open_hashes[:TILE_WIDTH]

    def seal_hour(self, hour: int, leaves: list[Leaf]) -> Statement:
        """Sign the hour's segment."""
        said = ChannelHour(CHANNEL, None)
        said.add(leaves)
        start, end = START + timedelta(hours=hour), START + timedelta(hours=hour + 1)
        tree = {"start": self.sealed, "end": self.count, "root": self.edge.root().hex()}
        span = [time_text(start), time_text(end)]
        segment = self.device("segment", tree=tree, span=span, ch=[said.entry()], t=time_text(end))
        self.sealed = self.count
        self.segments.append(segment)
        return segment

    def body(self) -> bytes:
        """The body's channels; the other members are not needed here."""
        channel = {"gw": "GW-1", "id": CHANNEL.id, "n": self.count, "valid": self.count, "sum": str(self.total)}
        return jcs({"v": 1, "plant": "P-1", "period": "2026-03", "cover": self.cover(), "channels": [channel]})


def write_month(path: Path, trust_path: Path, readings: int) -> tuple[int, int]:
    """Write bundle and trust file; return the numbers of segments and of tiles."""
    world, tiles = BigWorld(), 0
    world.device("event", type="epoch-open", data={"reason": "enrolled"})
    world.device("event", type="config", data=CHANNEL.config_data())
    with path.open("wb") as out:
        writer = BundleWriter(out)
        for hour, first in enumerate(range(0, readings, HOUR_S)):
            leaves = [world.read(hour, second) for second in range(min(HOUR_S, readings - first))]
            segment = world.seal_hour(hour, leaves)
            for number, lines, path_of in _tiles(world, is_last=first + HOUR_S >= readings):
                proof = TileProof(number, world.count, world.salt(number), tuple(lines), path_of)
                file = TileFile(segment.sid, proof)
                writer.add(f"tiles/{file.name}.json", file.to_bytes())
                tiles += 1
        world.approve(world.close_month())
        _write_statements(world, writer)
        for digest, data in sorted(world.content.items()):
            writer.add(f"content/{digest}", data)
        writer.close()
    trust_path.write_bytes(jcs(world.trust().to_json()))
    return len(world.segments), tiles


def _tiles(world: BigWorld, *, is_last: bool) -> Iterator[tuple[int, list[str], tuple[bytes, ...]]]:
    new = list(world.full_tiles())
    open_root = [root(world.open_hashes)] if world.open_hashes else []
    mth = Ranges([*world.tile_roots, *open_root])
    if is_last and open_root:
        new.append((len(world.tile_roots), world.open_lines))
    for number, lines in new:
        yield number, lines, tuple(inclusion_path(mth, number, len(world.tile_roots) + len(open_root)))


def _write_statements(world: BigWorld, writer: BundleWriter) -> None:
    hashes = [leaf_hash(jws.encode()) for jws in world.log]
    mth = Ranges(hashes)
    checkpoint = sign_checkpoint(ORIGIN, len(hashes), root(hashes), world.log_key)
    for index, jws in enumerate(world.log):
        sid = sha256_hex(jws.rpartition(".")[0].encode())
        receipt = Receipt(index, tuple(inclusion_path(mth, index, len(hashes))), checkpoint)
        writer.add(f"statements/{sid}.jws", jws.encode())
        writer.add(f"proofs/{sid}.tlog-proof", receipt.to_text().encode())
