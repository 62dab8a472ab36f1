"""The worked example of the protocol, byte for byte, and the published vectors it stands on."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from evidence.channel import Channel, ChannelKind
from evidence.encoding import b64, jcs
from evidence.errors import EvidenceError
from evidence.keys import PublicKey, SigningKey, thumbprint
from evidence.merkle import (
    RightEdge,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from evidence.note import NoteKey, parse_checkpoint, sign_checkpoint, verify_checkpoint, verify_note
from evidence.policy import Policy
from evidence.reading import Flag, Leaf, leaf_line, parse_leaf
from evidence.receipt import Receipt, verify_receipt
from evidence.segment import summarise
from evidence.statement import parse, sign

TEST_1 = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
TEST_1024 = bytes.fromhex("f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5")
TILE_SALT = bytes(range(32))

LINES = [
    '["r1",0,"2026-03-01T00:00:00.000Z","CEMS1.SO2","35.1","mg/m3","N","nwzZuUCX_kkpkY0riUKzRA"]',
    '["r1",1,"2026-03-01T00:00:01.000Z","CEMS1.SO2","35.3","mg/m3","N","xDLgWcN47vf-LxGBpAUINg"]',
    '["r1",2,"2026-03-01T00:00:02.000Z","CEMS1.SO2","35.0","mg/m3","N","-SrWE80BTHRJ_MXUzpitAg"]',
    '["r1",3,"2026-03-01T00:00:03.000Z","CEMS1.SO2","0","mg/m3","F","ls7p8p5Dw5XGCKRUuFTaKw"]',
    '["r1",4,"2026-03-01T00:00:04.000Z","CEMS1.SO2","34.9","mg/m3","N","-CO9Lv_yTNUNjzaq6tHhmQ"]',
]
LEAF_HASHES = [
    "b360d3db0fcf17a0981763f35aeff647db8a94f272a2e121649f6fc8f1ea221d",
    "1a058b1f9dbf64e3b2d4d74e63f53982c48f9e7436b19c3fd943d55124060d0d",
    "84ee2f0224caf845ace439a2597da863a34c835dfcaf1d17882f84f6b518e6a6",
    "5b718fcd3a7d1a3f3dd522a0d99a5d4c8e892eb2fc473bcb2edbff00f582bfb9",
    "ad3aa5cbc3b30604dd7711e4cc65534fa08f73f39fa9b5d4cfab24708b1eb99d",
]
ROOT_5 = "323322f68d84916586fc23a10290af7e71e560f1aa4c3c18da59bfc62504275c"
ROOT_3 = "6aab9406a80ca417e88d9dd0c4c4e53af3e1948b070fd12b0d256cf5512f6b7c"
NODE_0_1 = "c14275223db151b4adab95003382ed5d69c893bbbeb205d26d1a62187b696636"
STATEMENT = (
    "eyJhbGciOiJFZDI1NTE5Iiwia2lkIjoia1ByS19xbXhWV2FZVkE5d3dCRjZJdW8zdlZ6ejdUeEhDVHdYQnlnclM0ayIsInR5cCI6ImV2LXNlZ21l"
    "bnQrandzIn0.eyJhbmNob3IiOm51bGwsImNoIjpbeyJpZCI6IkNFTVMxLlNPMiIsIm1heCI6IjM1LjMiLCJtaW4iOiIzNC45IiwibiI6NSwic3Vt"
    "IjoiMTQwLjMiLCJ2YWxpZCI6NH1dLCJjbGsiOnsiYm9vdCI6ImI3YzEiLCJtb25vIjo1MjUwLCJvZmZfbXMiOjEyLCJzcmMiOiJudHAifSwiZXBv"
    "Y2giOjEsImd3IjoiR1ctMDAwMSIsImtpbmQiOiJzZWdtZW50IiwicGxhbnQiOiJQLTAwMDEiLCJwcmV2IjpudWxsLCJzZXEiOjEsInNwYW4iOlsi"
    "MjAyNi0wMy0wMVQwMDowMDowMC4wMDBaIiwiMjAyNi0wMy0wMVQwMDowMDowNS4wMDBaIl0sInQiOiIyMDI2LTAzLTAxVDAwOjAwOjA1LjI1MFoi"
    "LCJ0cmVlIjp7ImVuZCI6NSwicm9vdCI6IjMyMzMyMmY2OGQ4NDkxNjU4NmZjMjNhMTAyOTBhZjdlNzFlNTYwZjFhYTRjM2MxOGRhNTliZmM2MjUw"
    "NDI3NWMiLCJzdGFydCI6MH0sInYiOjF9.NvEHXRkLa6OwXqWC_CcSsbEQSWHLTrxknO4PH1Jb84gTBZdtFjaq4hIz4RXKS6hs1InHypcGvovNMaHB"
    "AHjoAQ"
)
SID = "531890b37e0f4ab45501c558fa7c15d93f4715039ab0024791f809e84fdba234"
CENTRAL_LEAF = "e2eb6eb42dc04e28b9fff2f2f70206673b03fcd4594c12a3aed22c917ae9e897"
RECEIPT = """c2sp.org/tlog-proof@v1
index 1
uYmoCZl8WNzZsvX9VThOyR13ouL04Jnwbfr/UGxgKLY=
Fh6zaVzWR8Dzi9ivUF+TcREB8neNLUECqCoY2Ju3kDg=

log.example/evidence
3
cglqpizYoPXCP/oUB05WH/hHcDZCGQjQ0OYNc/O8kmM=

— log.example/evidence tfTGIrw2TZ1Y/cNppxd5vFEPz2+hR7DLODbNhqgJP/fAKns4YZ7o/MmDx5PMJWwbdaOFqSSAczmEV9pKfdJJpRCCQw0=
— witness.example/city RGKviwAAAABpo4GKp9EFGzZIET0FwjGD2rjszC/6smAHi6mm7PgRPRprq78D0NiLXhjx2Hae2YbD4ZUzQFHLleX+1bIOhZMRQ32lCA==
"""  # noqa: E501 - a signature line is one line
LOG_VKEY = "log.example/evidence+b5f4c622+ASeBF/wUTHI0D2fQ8jFug4bO/78rJCjJxR/vfFl/HUJu"
WITNESS_VKEY = "witness.example/city+4462af8b+BOwXK5OtXlY79JMscOEkUDTDVGfvLv1NZOv4GWg0Z+K/"
REFERENCE_LEAVES = [
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
]  # fmt: skip
REFERENCE_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaves() -> list[Leaf]:
    values = [("35.1", "N"), ("35.3", "N"), ("35.0", "N"), ("0", "F"), ("34.9", "N")]
    return [
        Leaf(index, datetime(2026, 3, 1, 0, 0, index, tzinfo=UTC), "CEMS1.SO2", Decimal(value), "mg/m3", Flag(flag))
        for index, (value, flag) in enumerate(values)
    ]


def payload() -> dict[str, Any]:
    channel = Channel("CEMS1.SO2", "mg/m3", ChannelKind.VALUE, timedelta(seconds=1), "CEMS1", "modbus")
    start = datetime(2026, 3, 1, tzinfo=UTC)
    entries, _ = summarise(leaves(), {"CEMS1.SO2": channel}, start, ZoneInfo("Asia/Shanghai"), {})
    return {
        "v": 1,
        "kind": "segment",
        "plant": "P-0001",
        "gw": "GW-0001",
        "epoch": 1,
        "seq": 1,
        "prev": None,
        "t": "2026-03-01T00:00:05.250Z",
        "anchor": None,
        "clk": {"boot": "b7c1", "mono": 5250, "off_ms": 12, "src": "ntp"},
        "span": ["2026-03-01T00:00:00.000Z", "2026-03-01T00:00:05.000Z"],
        "tree": {"start": 0, "end": 5, "root": ROOT_5},
        "ch": entries,
    }


def test_leaf_lines_and_hashes() -> None:
    lines = [leaf_line(leaf, TILE_SALT) for leaf in leaves()]
    assert [line.decode() for line in lines] == LINES
    assert [leaf_hash(line).hex() for line in lines] == LEAF_HASHES
    assert [parse_leaf(line) for line in lines] == leaves()


def test_roots_and_proofs_of_the_readings() -> None:
    hashes = [bytes.fromhex(text) for text in LEAF_HASHES]
    assert root(hashes).hex() == ROOT_5
    assert root(hashes[:3]).hex() == ROOT_3
    path = inclusion_proof(hashes, 3)
    assert [value.hex() for value in path] == [LEAF_HASHES[2], NODE_0_1, LEAF_HASHES[4]]
    verify_inclusion(hashes[3], 3, 5, path, bytes.fromhex(ROOT_5))
    proof = consistency_proof(hashes, 3)
    assert [value.hex() for value in proof] == [LEAF_HASHES[2], LEAF_HASHES[3], NODE_0_1, LEAF_HASHES[4]]
    verify_consistency(3, 5, proof, bytes.fromhex(ROOT_3), bytes.fromhex(ROOT_5))


def test_segment_statement_byte_for_byte() -> None:
    statement = sign(payload(), SigningKey.from_seed(TEST_1))
    assert statement.jws == STATEMENT
    assert len(STATEMENT) == 791
    assert statement.sid == SID
    assert leaf_hash(statement.leaf).hex() == CENTRAL_LEAF
    assert parse(STATEMENT).payload["ch"] == [
        {"id": "CEMS1.SO2", "max": "35.3", "min": "34.9", "n": 5, "sum": "140.3", "valid": 4}
    ]


def test_receipt_byte_for_byte() -> None:
    entries = [b"first entry", STATEMENT.encode(), b"third entry"]
    hashes = [leaf_hash(entry) for entry in entries]
    log_key = SigningKey.from_seed(TEST_1024)
    checkpoint = sign_checkpoint("log.example/evidence", 3, root(hashes), log_key)
    receipt = Receipt(1, tuple(inclusion_proof(hashes, 1)), checkpoint)
    assert RECEIPT.startswith(receipt.to_text())
    whole = Receipt.from_text(RECEIPT)
    assert whole.to_text() == RECEIPT
    log, witness = NoteKey.parse(LOG_VKEY), NoteKey.parse(WITNESS_VKEY)
    assert log == NoteKey("log.example/evidence", 1, log_key.public.raw)
    assert verify_receipt(whole, STATEMENT, log, Policy.of_number([witness], 1)).size == 3
    _, signers = verify_note(whole.checkpoint, [log, witness])
    assert signers == {log: None, witness: 1772323210}
    assert verify_checkpoint(whole.checkpoint, log) == parse_checkpoint(whole.checkpoint)


def test_thumbprint_of_rfc_8037() -> None:
    key = SigningKey.from_seed(TEST_1)
    assert key.kid == thumbprint(key.jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    assert key.public.raw.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


def test_signature_of_rfc_8032_test_1() -> None:
    assert SigningKey.from_seed(TEST_1).sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
        "655141438e7a100b"
    )


def test_note_of_the_specification() -> None:
    key = NoteKey.parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")
    line = "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
    note, signers = verify_note(f"This is an example message.\n\n— example.com/foo {line}\n", [key])
    assert note.text == "This is an example message.\n"
    assert signers == {key: None}


@pytest.mark.parametrize("size", range(1, 9))
def test_reference_tree(size: int) -> None:
    hashes = [leaf_hash(bytes.fromhex(text)) for text in REFERENCE_LEAVES[:size]]
    assert root(hashes).hex() == REFERENCE_ROOTS[size - 1]
    assert RightEdge.of(hashes).root().hex() == REFERENCE_ROOTS[size - 1]


def test_canonical_json_sorts_by_utf16_units() -> None:
    expected = '{"\u00f6":3,"\U0001f600":2,"\ufb33":1}'
    assert jcs({"\ufb33": 1, "\U0001f600": 2, "\u00f6": 3}) == expected.encode()


def test_low_order_keys_are_refused() -> None:
    for point in (bytes(32), (1).to_bytes(32, "little"), b"\xff" * 32):
        with pytest.raises(EvidenceError):
            PublicKey.from_ed25519(point)
    assert b64(b"") == ""
