"""Signing, verifying and hashing beside the bare libraries, and one reading's proof in a month of 2.6 million."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from decimal import Decimal

from measure import measure, show

from evidence.keys import SigningKey
from evidence.merkle import RightEdge, inclusion_path, leaf_hash, verify_inclusion
from evidence.reading import Flag, Leaf, leaf_line
from evidence.statement import parse_envelope, sign
from evidence.tiles import TILE_WIDTH, Tile, TileTree, tile_hash

COUNT = 3000
LEAVES = 200_000
MONTH = 2_592_000
EVENT = {
    "v": 1, "kind": "event", "plant": "P-1", "t": "2026-03-01T00:00:05.250Z", "gw": "GW-1", "epoch": 1, "seq": 1,
    "prev": None, "clk": {"boot": "b", "mono": 1, "src": "ntp", "off_ms": -3}, "anchor": None,
    "type": "restart", "data": {"reason": "power"},
}  # fmt: skip


def statements() -> None:
    key = SigningKey.from_seed(bytes(range(32)))
    statement = sign(EVENT, key)
    data, signature = statement.signing_input, statement.signature
    ours = measure("statement: schema, canonical JSON, sign", COUNT, lambda: [sign(EVENT, key) for _ in range(COUNT)])
    bare = measure("cryptography: bare Ed25519 sign", COUNT, lambda: [key.sign(data) for _ in range(COUNT)])
    show("Sign", ours, bare, "shown for the record")
    ours = measure(
        "statement: form and signature",
        COUNT,
        lambda: [parse_envelope(statement.jws).verify_signature(key.public) for _ in range(COUNT)],
    )
    bare = measure(
        "cryptography: bare Ed25519 verify", COUNT, lambda: [key.public.verify(signature, data) for _ in range(COUNT)]
    )
    show("Verify", ours, bare, "shown for the record")


def leaves() -> None:
    salt, now = bytes(32), datetime(2026, 3, 1, tzinfo=UTC)
    lines = [leaf_line(Leaf(index, now, "C", Decimal("35.1"), "u", Flag.NORMAL), salt) for index in range(1000)]

    def build() -> None:
        edge = RightEdge()
        for index in range(LEAVES):
            edge.append(leaf_hash(leaf_line(Leaf(index, now, "C", Decimal("35.1"), "u", Flag.NORMAL), salt)))

    def bare() -> None:
        edge = RightEdge()
        for index in range(LEAVES):
            edge.append(leaf_hash(lines[index % 1000]))

    show(
        "Leaves into the tree",
        measure("leaf line, salt, hash, tree", LEAVES, build),
        measure("hash and tree alone", LEAVES, bare),
        "shown for the record; 9 µs for salt and line were measured before",
    )


def proof() -> None:
    """Build the level-8 hashes of a month from random tile roots and prove one leaf."""
    tiles = MONTH // TILE_WIDTH
    hashes = [os.urandom(32) for _ in range(TILE_WIDTH)]
    level0 = tile_hash(hashes)
    roots = [level0] * tiles
    stored: dict[Tile, bytes] = {}
    for number in range(-(-tiles // TILE_WIDTH)):
        part = roots[number * TILE_WIDTH : (number + 1) * TILE_WIDTH]
        stored[Tile(1, number, len(part))] = b"".join(part)
    upper = [tile_hash(roots[:TILE_WIDTH])] * (tiles // TILE_WIDTH)
    stored[Tile(2, 0, len(upper))] = b"".join(upper)

    def read(tile: Tile) -> bytes:
        return b"".join(hashes) if tile.level == 0 else stored[tile]

    began = time.perf_counter()
    tree = TileTree(read, tiles * TILE_WIDTH)
    path = inclusion_path(tree.range_hash, 1_234_567, tree.size)
    took = time.perf_counter() - began
    began = time.perf_counter()
    verify_inclusion(hashes[1_234_567 % TILE_WIDTH], 1_234_567, tree.size, path, tree.root())
    print(f"\nProof of one reading among {tree.size:,}: {len(path)} hashes, {took * 1e3:.2f} ms (target: at most 5 ms)")
    print(f"  root and verification: {(time.perf_counter() - began) * 1e3:.2f} ms")


if __name__ == "__main__":
    statements()
    leaves()
    proof()
