"""Signing, verifying and hashing beside the bare libraries, and one reading's proof in a month of 2.6 million."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from joserfc import jws
from measure import Rate, measure, show

from evidence.encoding import jcs
from evidence.keys import ED25519, ES256, SigningKey
from evidence.merkle import RightEdge, inclusion_path, leaf_hash, verify_inclusion
from evidence.reading import Flag, Leaf, leaf_line
from evidence.registry import KeyEntry, PlantEntry, Registry
from evidence.statement import sign
from evidence.tiles import TILE_WIDTH, Tile, TileTree, tile_hash
from evidence.verify_statement import verify_statement

COUNT, ROUNDS = 1000, 3
LEAVES = 200_000
MONTH = 2_592_000
EVENT = {
    "v": 1, "kind": "event", "plant": "P-1", "t": "2026-03-01T00:00:05.250Z", "gw": "GW-1", "epoch": 1, "seq": 1,
    "prev": None, "clk": {"boot": "b", "mono": 1, "src": "ntp", "off_ms": -3}, "anchor": None,
    "type": "restart", "data": {"reason": "power"},
}  # fmt: skip


def statements(alg: str) -> None:
    """Sign and verify one statement many times: as the product does, as joserfc does, and the bare signature."""
    key = SigningKey.from_seed(bytes(range(1, 33)), alg)
    statement = sign(EVENT, key)
    header, payload = {"alg": alg, "kid": key.kid, "typ": statement.typ}, jcs(EVENT)
    data, signature, bare = statement.signing_input, statement.signature, key.raw_private
    entry = KeyEntry(key.kid, key.jwk, "gateway", "GW-1", frozenset({"gateway"}), frozenset({"P-1"}))
    registry = Registry.of([entry], [PlantEntry("P-1", "Asia/Shanghai", "420100")])
    if isinstance(bare, Ed25519PrivateKey):
        bare_sign, bare_verify = partial(bare.sign, data), partial(bare.public_key().verify, signature, data)
    else:
        how = ec.ECDSA(hashes.SHA256())
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        bare_sign = partial(bare.sign, data, how)
        bare_verify = partial(bare.public_key().verify, encode_dss_signature(r, s), data, how)
    jose_sign = partial(jws.serialize_compact, header, payload, key.jose, algorithms=[alg])
    jose_verify = partial(jws.deserialize_compact, statement.jws, key.public.jose, algorithms=[alg])
    beside(
        f"Sign, {alg}",
        ("statement: schema, canonical JSON, signature, read back", partial(sign, EVENT, key)),
        ("joserfc: the same bytes as compact JWS", jose_sign),
        ("cryptography: the bare signature", bare_sign),
    )
    beside(
        f"Verify, {alg}",
        ("statement: all of steps 1-8, from its text", partial(verify_statement, statement.jws, registry)),
        ("joserfc: the same text as compact JWS", jose_verify),
        ("cryptography: the bare signature", bare_verify),
    )


def beside(title: str, *works: tuple[str, Callable[[], object]]) -> None:
    """Measure several ways of one thing in turns, so that a busy moment hits all, and show the best of each."""
    best: dict[str, Rate] = {}
    for _ in range(ROUNDS):
        for name, work in works:
            rate = measure(name, COUNT, lambda work=work: [work() for _ in range(COUNT)])
            if name not in best or rate.cpu_s < best[name].cpu_s:
                best[name] = rate
    print(f"\n{title}")
    rates = list(best.values())
    for rate in rates:
        print(f"  {rate.line()}  {rates[0].cpu_us / rate.cpu_us:>5.2f}")
    print("  last column: processor time of the first, in those of the line   (shown for the record)", flush=True)


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
    statements(ED25519)
    statements(ES256)
    leaves()
    proof()
