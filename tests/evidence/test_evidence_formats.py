# ruff: noqa: E501 - tables of cases read better on one line each
"""Round trips and refusals of every format: JSON, base64, statements, notes, receipts, tiles, trees."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.encoding import b64u, decimal_text, jcs, parse_decimal, strict_json, unb64, unb64u
from evidence.errors import Code, EvidenceError
from evidence.keys import ED25519, ES256, PublicKey, SigningKey
from evidence.kinds import validate
from evidence.merkle import (
    RightEdge,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from evidence.note import NoteKey, parse_checkpoint, sign_checkpoint, verify_checkpoint
from evidence.receipt import Receipt, verify_receipt
from evidence.statement import parse, sign
from evidence.tiles import Tile, TileTree, entries_tile, parse_entries, tile_hash, tiles_between, tiles_of

LOG_KEY = SigningKey.from_seed(b"\x07" * 32)
LOG = NoteKey("log.example/evidence", 1, LOG_KEY.public.raw)
EVENT: dict[str, Any] = {
    "v": 1, "kind": "event", "plant": "P-1", "t": "2026-03-01T00:00:05.250Z", "gw": "GW-1", "epoch": 1, "seq": 1,
    "prev": None, "clk": {"boot": "b", "mono": 1, "src": "ntp", "off_ms": -3}, "anchor": None,
    "type": "restart", "data": {"reason": "power"},
}  # fmt: skip
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(json_values)
def test_canonical_json_reads_back_as_itself(value: Any) -> None:
    assert strict_json(jcs(value)) == value
    assert jcs(strict_json(jcs(value))) == jcs(value)


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"a":2}', "1.0", "1e3", "NaN", "Infinity", "-0", "9007199254740992", '"\\ud800"', "\ufeff1", "1 2", "", "[1,]",
     "[" * 17 + "]" * 17],
)  # fmt: skip
def test_json_that_two_readers_could_read_differently_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError) as caught:
        strict_json(text)
    assert caught.value.code is Code.PAYLOAD


@given(st.binary(max_size=70))
def test_base64url_has_one_spelling(data: bytes) -> None:
    assert unb64u(b64u(data)) == data


@pytest.mark.parametrize("text", ["A", "AA=", "A/", "AB", "AAB", "A A", "ÄÄ", "AA\n"])
def test_loose_base64_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError):
        unb64u(text)
    with pytest.raises(EvidenceError):
        unb64(text)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4))
def test_decimals_read_back_with_their_digits(value: Any) -> None:
    text = decimal_text(value)
    assert parse_decimal(text) == value
    assert decimal_text(parse_decimal(text)) == text


@pytest.mark.parametrize("text", ["1.", ".5", "01", "+1", "-0", "-0.00", "1e3", "NaN", "", " 1", "1\n", "１", "1,0"])
def test_loose_decimals_are_refused(text: str) -> None:
    with pytest.raises(EvidenceError):
        parse_decimal(text)


@pytest.mark.parametrize("alg", [ED25519, ES256])
@given(
    seed=st.binary(min_size=32, max_size=32).filter(lambda data: 0 < int.from_bytes(data, "big") < 2**255),
    data=st.binary(),
)
def test_signatures_verify_and_bind_every_bit(alg: str, seed: bytes, data: bytes) -> None:
    key = SigningKey.from_seed(seed, alg)
    public = PublicKey.from_jwk(key.jwk)
    signature = key.sign(data)
    public.verify(signature, data)
    for forged, text in ((signature, data + b"x"), (signature[:-1] + bytes([signature[-1] ^ 1]), data), (b"", data)):
        with pytest.raises(EvidenceError):
            public.verify(forged, text)


@pytest.mark.parametrize("alg", [ED25519, ES256])
def test_statement_round_trip_and_identity_without_signature(alg: str) -> None:
    key = SigningKey.from_seed(b"\x01" * 32, alg)
    statement = sign(EVENT, key)
    assert parse(statement.jws) == statement
    assert dict(statement.payload) == EVENT
    statement.verify_signature(key.public)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"extra": 1}, Code.SCHEMA), ({"seq": 0}, Code.SCHEMA), ({"seq": 2}, Code.SCHEMA), ({"v": 2}, Code.SCHEMA),
        ({"t": "2026-03-01T00:00:05Z"}, Code.SCHEMA), ({"t": "2026-02-30T00:00:05.000Z"}, Code.SCHEMA),
        ({"kind": "mystery"}, Code.SCHEMA), ({"plant": None}, Code.SCHEMA), ({"plant": "a b"}, Code.SCHEMA),
        ({"data": {"x": 1.5}}, Code.PAYLOAD), ({"data": {"x": None}}, Code.SCHEMA), ({"type": "party"}, Code.SCHEMA),
        ({"epoch": "1"}, Code.SCHEMA), ({"epoch": True}, Code.SCHEMA), ({"type": "config"}, Code.SCHEMA),
    ],
)  # fmt: skip
def test_payload_out_of_schema_is_not_signed(change: dict[str, Any], code: Code) -> None:
    with pytest.raises(EvidenceError) as caught:
        sign({**EVENT, **change}, LOG_KEY)
    assert caught.value.code is code


CONFIG = {"channel": "E", "unit": "kWh", "kind": "value", "poll_ms": 1000, "source": {"device": "d", "via": "import"}}
RULE = {"max_rate": "1", "backstep": "0", "resettable": True}
LEDGER = {"v": 1, "kind": "ledger", "plant": "P-1", "t": "2026-03-01T00:00:00.000Z", "param": "x", "value": "1", "unit": "t",
          "mode": "measured", "source": "s", "subjects": []}  # fmt: skip


@pytest.mark.parametrize(
    "payload",
    [
        {**EVENT, "type": "config", "data": {**CONFIG, "kind": "total"}},
        {**EVENT, "type": "config", "data": {**CONFIG, "totaliser": RULE}},
        {**LEDGER, "day": "2026-02-31"},
        {**LEDGER, "day": "2026-02-01", "period": "2026-02"},
        LEDGER,
    ],
)
def test_members_that_contradict_each_other_are_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(EvidenceError) as caught:
        validate(payload)
    assert caught.value.code is Code.SCHEMA


def test_missing_member_is_named() -> None:
    payload = {name: value for name, value in EVENT.items() if name != "gw"}
    with pytest.raises(EvidenceError, match="gw"):
        validate(payload)


def forge(header: str, payload: str, signature: bytes = bytes(64)) -> str:
    return ".".join(b64u(part) for part in (header.encode(), payload.encode(), signature))


GOOD_HEADER = json.dumps({"alg": "Ed25519", "kid": "k" * 43, "typ": "ev-event+jws"}, separators=(",", ":"))


@pytest.mark.parametrize(
    ("jws", "code"),
    [
        ("", Code.ENCODING), ("a.b", Code.ENCODING), ("a.b.c.d", Code.ENCODING),
        (forge(GOOD_HEADER, "{}") + "=", Code.ENCODING), (forge(GOOD_HEADER, "{}", b"short"), Code.ENCODING),
        (forge('{"alg":"none","kid":"k","typ":"t"}', "{}"), Code.ALG),
        (forge('{"alg":"HS256","kid":"k","typ":"t"}', "{}"), Code.ALG),
        (forge('{"alg":"EdDSA","kid":"k","typ":"t"}', "{}"), Code.ALG),
        (forge('{"alg":"Ed25519","crit":["b64"],"kid":"k","typ":"t"}', "{}"), Code.HEADER),
        (forge('{"alg":"Ed25519","jwk":{},"kid":"k","typ":"t"}', "{}"), Code.HEADER),
        (forge('{"alg":"Ed25519","kid":"k"}', "{}"), Code.HEADER),
        (forge('{"kid":"k","alg":"Ed25519","typ":"t"}', "{}"), Code.HEADER),
        (forge('{"alg":"Ed25519","kid":1,"typ":"t"}', "{}"), Code.HEADER),
        (forge(GOOD_HEADER, '{"a":1,"a":1}'), Code.PAYLOAD), (forge(GOOD_HEADER, '{ "a":1}'), Code.PAYLOAD),
        (forge(GOOD_HEADER, '{"b":1,"a":1}'), Code.PAYLOAD), (forge(GOOD_HEADER, "[]"), Code.SCHEMA),
        ("A" * 70_000, Code.ENCODING),
    ],
)  # fmt: skip
def test_malformed_envelopes_are_refused_by_name(jws: str, code: Code) -> None:
    with pytest.raises(EvidenceError) as caught:
        parse(jws)
    assert caught.value.code is code


def test_type_of_the_header_must_name_the_kind() -> None:
    header = jcs({"alg": "Ed25519", "kid": LOG_KEY.kid, "typ": "ev-month+jws"}).decode()
    with pytest.raises(EvidenceError) as caught:
        parse(forge(header, jcs(EVENT).decode()))
    assert caught.value.code is Code.TYP_MISMATCH


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(count)]


@given(st.integers(1, 70), st.data())
def test_every_inclusion_proof_verifies_for_its_place_only(size: int, data: st.DataObject) -> None:
    hashes = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_proof(hashes, index)
    verify_inclusion(hashes[index], index, size, path, root(hashes))
    for leaf, place, whole, proof in (
        (leaf_hash(b"other"), index, size, path),
        (hashes[index], size, size, path),
        (hashes[index], index, size, [*path, path[0] if path else hashes[0]]),
        (hashes[index], index, size, [path[0][:31], *path[1:]] if path else [b""]),
    ):
        with pytest.raises(EvidenceError):
            verify_inclusion(leaf, place, whole, proof, root(hashes))


@given(st.integers(1, 70), st.data())
def test_every_consistency_proof_verifies_and_no_rewrite_does(size: int, data: st.DataObject) -> None:
    hashes = leaves(size)
    old = data.draw(st.integers(1, size))
    path = consistency_proof(hashes, old)
    verify_consistency(old, size, path, root(hashes[:old]), root(hashes))
    rewritten = [leaf_hash(b"rewritten"), *hashes[1:]]
    with pytest.raises(EvidenceError):
        verify_consistency(old, size, path, root(rewritten[:old]), root(hashes))
    with pytest.raises(EvidenceError):
        verify_consistency(0, size, path, root([]), root(hashes))


@given(st.lists(st.binary(max_size=3), max_size=80))
def test_right_edge_equals_the_whole_tree(entries: list[bytes]) -> None:
    edge = RightEdge()
    for count, entry in enumerate(entries, 1):
        edge.append(leaf_hash(entry))
        assert edge.root() == root([leaf_hash(one) for one in entries[:count]])
        assert len(edge.hashes) == count.bit_count()


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 600, 65_536 + 300])
def test_trees_read_from_tiles_give_the_same_roots_and_proofs(size: int) -> None:
    stored: dict[Tile, bytes] = {}
    level = leaves(size)
    depth = 0
    while level:
        for start in range(0, len(level), 256):
            part = level[start : start + 256]
            stored[Tile(depth, start // 256, len(part))] = b"".join(part)
        level = [tile_hash(level[start : start + 256]) for start in range(0, len(level) // 256 * 256, 256)]
        depth += 1
    assert set(tiles_of(size)) == set(stored)
    tree = TileTree(stored.__getitem__, size)
    hashes = leaves(size)
    assert tree.root() == root(hashes)
    for index in {0, size // 2, size - 1}:
        verify_inclusion(hashes[index], index, size, tree.inclusion(index), root(hashes))
    for old in {1, size // 2 or 1, size}:
        verify_consistency(old, size, tree.consistency(old), root(hashes[:old]), root(hashes))


def test_tile_paths_of_the_specification() -> None:
    assert Tile(0, 1_234_067).path == "tile/0/x001/x234/067"
    assert Tile(-1, 273, 112).path == "tile/entries/273.p/112"
    assert sorted((tile.level, tile.width) for tile in tiles_of(70_000) if tile.width < 256) == [
        (0, 112),
        (1, 17),
        (2, 1),
    ]
    assert sum(1 for tile in tiles_of(70_000) if tile.level == 0) == 274


@given(st.integers(-1, 63), st.integers(0, 10**9), st.integers(1, 256))
def test_tile_paths_read_back(level: int, number: int, width: int) -> None:
    tile = Tile(level, number, width)
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path", ["tile/0/1", "tile/00/001", "tile/0/x000/001", "tile/0/001.p/0", "tile/0/001.p/256", "x"]
)
def test_other_spellings_of_tile_paths_are_refused(path: str) -> None:
    with pytest.raises(EvidenceError):
        Tile.parse(path)


@given(st.integers(0, 700), st.integers(0, 700))
def test_new_tiles_complete_the_old_ones(first: int, second: int) -> None:
    old, new = sorted((first, second))
    assert set(tiles_of(new)) - set(tiles_of(old)) == set(tiles_between(old, new)) - set(tiles_of(old))
    assert set(tiles_between(old, new)) <= set(tiles_of(new))


@given(st.lists(st.binary(max_size=300)))
def test_entries_read_back(entries: list[bytes]) -> None:
    assert parse_entries(entries_tile(entries)) == entries


@given(st.integers(1, 40), st.data())
def test_receipts_round_trip_and_prove(size: int, data: st.DataObject) -> None:
    entries = [f"entry{number}" for number in range(size)]
    hashes = [leaf_hash(entry.encode()) for entry in entries]
    index = data.draw(st.integers(0, size - 1))
    note = sign_checkpoint(LOG.name, size, root(hashes), LOG_KEY)
    receipt = Receipt(index, tuple(inclusion_proof(hashes, index)), note)
    assert Receipt.from_text(receipt.to_text()) == receipt
    assert verify_receipt(receipt, entries[index], LOG).size == size
    with pytest.raises(EvidenceError) as caught:
        verify_receipt(receipt, "entry?", LOG)
    assert caught.value.code is Code.INCLUSION_FAIL


NOTE = sign_checkpoint(LOG.name, 5, root(leaves(5)), LOG_KEY)


@pytest.mark.parametrize(
    ("note", "code"),
    [
        (NOTE.replace("\n5\n", "\n05\n"), Code.CHECKPOINT_FORMAT), (NOTE.replace("\n5\n", "\n+5\n"), Code.CHECKPOINT_FORMAT),
        (NOTE.replace("\n5\n", "\n6\n"), Code.SIGNATURE), (NOTE.replace("log.example", "log.other", 1), Code.LOG_ORIGIN),
        (NOTE.replace("\n\n", "\n"), Code.CHECKPOINT_FORMAT), (NOTE.replace("—", "-"), Code.CHECKPOINT_FORMAT),
        (NOTE[:-1], Code.CHECKPOINT_FORMAT), (NOTE + "\n", Code.CHECKPOINT_FORMAT), ("", Code.CHECKPOINT_FORMAT),
        (NOTE.replace("\n\n", "\nextension\n\n"), Code.CHECKPOINT_FORMAT), (NOTE.replace("\n", "\r\n"), Code.CHECKPOINT_FORMAT),
        (NOTE + NOTE.splitlines(keepends=True)[-1] * 100, Code.CHECKPOINT_FORMAT),
        (NOTE.replace("— log", "— dog"), Code.QUORUM),
    ],
)  # fmt: skip
def test_malformed_and_forged_checkpoints_are_refused(note: str, code: Code) -> None:
    with pytest.raises(EvidenceError) as caught:
        verify_checkpoint(note, LOG)
    assert caught.value.code is code


def test_checkpoint_of_another_key_with_the_same_name_is_refused() -> None:
    forged = sign_checkpoint(LOG.name, 5, root(leaves(5)), SigningKey.from_seed(b"\x08" * 32))
    assert parse_checkpoint(forged).size == 5
    with pytest.raises(EvidenceError) as caught:
        verify_checkpoint(forged, LOG)
    assert caught.value.code is Code.QUORUM
