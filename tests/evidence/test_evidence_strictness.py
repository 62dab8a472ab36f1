# ruff: noqa: E501 - tables of cases read better on one line each
"""The strictness of a statement, signed by a registered key all the same: every malformed form is refused by name."""

import copy
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from evidence_world import NOW, World, indexed, seed

from evidence.encoding import b64u, jcs, sha256_hex, unb64u
from evidence.errors import Code, EvidenceError
from evidence.keys import ED25519, ES256, PublicKey, SigningKey
from evidence.kinds import KINDS, validate
from evidence.registry import KeyEntry, PlantEntry, Registry
from evidence.statement import MAX_BYTES, Statement, parse, sign
from evidence.verdict import Verdict
from evidence.verify import verify_bundle
from evidence.verify_statement import verify_statement

KEYS = {alg: SigningKey.from_seed(seed(alg), alg) for alg in (ED25519, ES256)}
REGISTRY = Registry.of(
    [
        KeyEntry(key.kid, key.jwk, "gateway", "GW-1", frozenset({"gateway"}), frozenset({"P-1"}))
        for key in KEYS.values()
    ],
    [PlantEntry("P-1", "Asia/Shanghai", "420100")],
)
CLOCK = {"boot": "b", "mono": 1, "src": "ntp", "off_ms": -3}
EVENT: dict[str, Any] = {
    "v": 1, "kind": "event", "plant": "P-1", "t": "2026-03-01T00:00:05.250Z", "gw": "GW-1", "epoch": 1, "seq": 1,
    "prev": None, "clk": CLOCK, "anchor": None, "type": "restart", "data": {"reason": "power"},
}  # fmt: skip


def header_of(key: SigningKey, **changes: Any) -> bytes:
    return jcs({"alg": key.alg, "kid": key.kid, "typ": "ev-event+jws", **changes})


def signed(header: bytes, payload: bytes, key: SigningKey) -> str:
    """Sign any bytes, as somebody who holds the key and follows no rule could."""
    signing_input = f"{b64u(header)}.{b64u(payload)}"
    return f"{signing_input}.{b64u(key.sign(signing_input.encode()))}"


def refused(jws: str) -> Code:
    with pytest.raises(EvidenceError) as caught:
        verify_statement(jws, REGISTRY)
    return caught.value.code


@pytest.mark.parametrize("alg", list(KEYS))
def test_the_honest_form_is_accepted(alg: str) -> None:
    key = KEYS[alg]
    statement, entry = verify_statement(signed(header_of(key), jcs(EVENT), key), REGISTRY)
    assert (statement.payload, entry.kid) == (EVENT, key.kid)


@pytest.mark.parametrize("alg", list(KEYS))
@pytest.mark.parametrize(
    "more",
    [
        {"crit": ["exp"]}, {"crit": []}, {"b64": False, "crit": ["b64"]}, {"b64": True}, {"jwk": dict(KEYS[ED25519].jwk)},
        {"jku": "https://evil.example/keys"}, {"x5c": ["MIIB"]}, {"x5u": "https://evil.example/c"}, {"x5t": "AAAA"},
        {"x5t#S256": "AAAA"}, {"zip": "DEF"}, {"cty": "json"}, {"enc": "A128GCM"}, {"iss": "P-1"}, {"nonce": "n"},
        {"Alg": "none"}, {"alg ": "none"}, {"": ""}, {"kid2": "x"}, {"v": 1},
    ],
    ids=lambda more: " ".join(more) or "empty name",
)  # fmt: skip
def test_header_has_its_three_members_and_no_other(alg: str, more: dict[str, Any]) -> None:
    key = KEYS[alg]
    assert refused(signed(header_of(key, **more), jcs(EVENT), key)) is Code.HEADER


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda text: text.replace(',"kid"', ', "kid"'), Code.HEADER),
        (lambda text: text + " ", Code.HEADER),
        (lambda text: " " + text, Code.HEADER),
        (lambda text: text + text, Code.HEADER),
        (lambda text: "\ufeff" + text, Code.HEADER),
        (lambda text: text.replace('"alg"', '"\\u0061lg"'), Code.HEADER),
        (lambda text: text.replace("ev-event+jws", "ev-event\\u002bjws"), Code.HEADER),
        (lambda text: text.replace("ev-event+jws", "ev-event\\/jws"), Code.HEADER),
        (lambda text: text.replace("ev-event+jws", "\\ud800"), Code.HEADER),
        (lambda text: text.replace("{", '{"alg":"Ed25519",'), Code.HEADER),
        (lambda text: text.replace("{", '{"alg":"none",'), Code.HEADER),
        (lambda text: text.replace("}", ',"typ":"ev-month+jws"}'), Code.HEADER),
        (lambda text: '{"kid":' + text.split('"kid":')[1], Code.HEADER),
        (lambda text: text.replace('"Ed25519"', "1"), Code.HEADER),
        (lambda text: text.replace('"Ed25519"', "null"), Code.HEADER),
        (lambda text: text.replace('"Ed25519"', '["Ed25519"]'), Code.HEADER),
        (lambda text: text.replace('"Ed25519"', "true"), Code.HEADER),
        (lambda text: f"[{text}]", Code.HEADER),
        (lambda text: json.dumps(text), Code.HEADER),
        (lambda text: "null", Code.HEADER),
        (lambda text: "{}", Code.HEADER),
        (lambda text: "x", Code.HEADER),
        (lambda text: '{"a":' * 17 + "1" + "}" * 17, Code.HEADER),
        (lambda text: text.replace("ev-event+jws", ""), Code.TYP_MISMATCH),
        (lambda text: text.replace("ev-event+jws", "ev-month+jws"), Code.TYP_MISMATCH),
        (lambda text: text.replace("ev-event+jws", "EV-EVENT+JWS"), Code.TYP_MISMATCH),
        (lambda text: text.replace("ev-event+jws", "application/ev-event+jws"), Code.TYP_MISMATCH),
        (lambda text: text.replace("ev-event+jws", "JWT"), Code.TYP_MISMATCH),
    ],
)  # fmt: skip
def test_header_in_any_other_form(edit: Any, code: Code) -> None:
    key = KEYS[ED25519]
    header = edit(header_of(key).decode())
    assert refused(signed(header.encode(), jcs(EVENT), key)) is code


def test_header_that_is_no_text() -> None:
    assert refused(signed(b'{"alg":"\xff"}', jcs(EVENT), KEYS[ED25519])) is Code.HEADER


@pytest.mark.parametrize("key", KEYS.values(), ids=list(KEYS))
@pytest.mark.parametrize(
    "alg",
    ["none", "None", "NONE", "HS256", "HS512", "RS256", "PS256", "ES384", "ES512", "ES256K", "EdDSA", "Ed448", "ed25519", "es256", "SM2", "",
     "Ed25519 ", "ML-DSA-44"],
)  # fmt: skip
def test_algorithm_that_is_not_accepted(key: SigningKey, alg: str) -> None:
    assert refused(signed(header_of(key, alg=alg), jcs(EVENT), key)) is Code.ALG


@pytest.mark.parametrize(("alg", "other"), [(ED25519, ES256), (ES256, ED25519)])
def test_registry_decides_the_algorithm_not_the_header(alg: str, other: str) -> None:
    """Also where the signature would hold under the algorithm that the header asks for."""
    key, lure = KEYS[alg], KEYS[other]
    assert refused(signed(header_of(key, alg=other), jcs(EVENT), key)) is Code.ALG
    assert refused(signed(header_of(key, alg=other), jcs(EVENT), lure)) is Code.ALG


def test_public_key_used_as_a_shared_secret() -> None:
    key = KEYS[ED25519]
    signing_input = f"{b64u(header_of(key, alg='HS256'))}.{b64u(jcs(EVENT))}"
    tag = hmac.new(key.public.raw, signing_input.encode(), hashlib.sha256).digest()
    assert refused(f"{signing_input}.{b64u(tag + tag)}") is Code.ALG


@pytest.mark.parametrize(
    "kid", ["", "k" * 43, "k", KEYS[ED25519].kid[:-1], KEYS[ED25519].kid + "=", "../" + KEYS[ED25519].kid, "\u0000"]
)
def test_key_that_is_not_registered(kid: str) -> None:
    assert refused(signed(header_of(KEYS[ED25519], kid=kid), jcs(EVENT), KEYS[ED25519])) is Code.KEY_UNKNOWN


@pytest.mark.parametrize(
    ("jwk", "code"),
    [
        ({"kty": "EC", "crv": "P-384", "x": "A" * 64, "y": "A" * 64}, Code.ALG),
        ({"kty": "EC", "crv": "secp256k1", "x": "A" * 43, "y": "A" * 43}, Code.ALG),
        ({"kty": "OKP", "crv": "X25519", "x": "A" * 43}, Code.ALG),
        ({"kty": "OKP", "crv": "Ed448", "x": "A" * 76}, Code.ALG),
        ({"kty": "RSA", "n": "AQAB", "e": "AQAB"}, Code.ALG),
        ({"kty": "oct", "k": "AAAA"}, Code.ALG),
        ({}, Code.ALG),
        ({**KEYS[ED25519].jwk, "d": "A" * 43}, Code.ENCODING),
        ({**KEYS[ES256].jwk, "y": "A" * 43}, Code.ENCODING),
        ({**KEYS[ES256].jwk, "x": "A" * 42}, Code.ENCODING),
    ],
)
def test_key_of_another_curve_is_no_key(jwk: dict[str, str], code: Code) -> None:
    with pytest.raises(EvidenceError) as caught:
        PublicKey.from_jwk(jwk)
    assert caught.value.code is code


GOOD = jcs(EVENT).decode()


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (GOOD.replace("{", '{"v":1,', 1), Code.PAYLOAD),
        (GOOD.replace('"mono":1', '"mono":1,"mono":1'), Code.PAYLOAD),
        (GOOD.replace('"mono":1', '"mono":1,"mon\\u006f":2'), Code.PAYLOAD),
        (GOOD.replace('"seq":1', '"seq":1.0'), Code.PAYLOAD),
        (GOOD.replace('"seq":1', '"seq":1e0'), Code.PAYLOAD),
        (GOOD.replace('"seq":1', '"seq":1E0'), Code.PAYLOAD),
        (GOOD.replace('"off_ms":-3', '"off_ms":-0'), Code.PAYLOAD),
        (GOOD.replace('"off_ms":-3', '"off_ms":-3.5'), Code.PAYLOAD),
        (GOOD.replace('"off_ms":-3', '"off_ms":NaN'), Code.PAYLOAD),
        (GOOD.replace('"off_ms":-3', '"off_ms":Infinity'), Code.PAYLOAD),
        (GOOD.replace('"off_ms":-3', '"off_ms":-Infinity'), Code.PAYLOAD),
        (GOOD.replace('"off_ms":-3', '"off_ms":+3'), Code.PAYLOAD),
        (GOOD.replace('"off_ms":-3', '"off_ms":03'), Code.PAYLOAD),
        (GOOD.replace('"off_ms":-3', '"off_ms":0x3'), Code.PAYLOAD),
        (GOOD.replace('"mono":1', '"mono":9007199254740992'), Code.PAYLOAD),
        (GOOD.replace('"mono":1', '"mono":' + "9" * 5000), Code.PAYLOAD),
        (GOOD.replace('"off_ms":-3', '"off_ms":-9007199254740992'), Code.PAYLOAD),
        ("\ufeff" + GOOD, Code.PAYLOAD),
        (GOOD + "\n", Code.PAYLOAD),
        (" " + GOOD, Code.PAYLOAD),
        (GOOD + GOOD, Code.PAYLOAD),
        (GOOD + ",", Code.PAYLOAD),
        (GOOD + "//", Code.PAYLOAD),
        (GOOD.replace(",", ", "), Code.PAYLOAD),
        (GOOD.replace(":", ": "), Code.PAYLOAD),
        (GOOD[:-1] + ",}", Code.PAYLOAD),
        (GOOD.replace('"', "'"), Code.PAYLOAD),
        (GOOD.replace("power", "p\\u006fwer"), Code.PAYLOAD),
        (GOOD.replace("power", "po\\/wer"), Code.PAYLOAD),
        (GOOD.replace("power", "\\ud83d\\ude00"), Code.PAYLOAD),
        (GOOD.replace("power", "\\ud800"), Code.PAYLOAD),
        (GOOD.replace("power", "\\ude00\\ud83d"), Code.PAYLOAD),
        (GOOD.replace("power", "a\tb"), Code.PAYLOAD),
        (GOOD.replace("power", "\\u0009"), Code.PAYLOAD),
        (GOOD.replace("power", "\\u001F"), Code.PAYLOAD),
        (GOOD.replace('{"reason":"power"}', "[" * 16 + "]" * 16), Code.PAYLOAD),
        (GOOD.replace('{"reason":"power"}', '{"a":' * 16 + "1" + "}" * 16), Code.PAYLOAD),
        (GOOD.replace('{"reason":"power"}', "[" * 20_000 + "]" * 20_000), Code.PAYLOAD),
        (jcs({**EVENT, "data": {"\ufb33": 1, "\U0001f600": 2}}).decode().replace('"\U0001f600":2,"\ufb33":1', '"\ufb33":1,"\U0001f600":2'), Code.PAYLOAD),
        (json.dumps(EVENT, separators=(",", ":")), Code.PAYLOAD),
        ("", Code.ENCODING),
        ("null", Code.SCHEMA),
        ("[]", Code.SCHEMA),
        ("1", Code.SCHEMA),
        ('"text"', Code.SCHEMA),
        ("{}", Code.SCHEMA),
    ],
)  # fmt: skip
def test_payload_that_two_readers_could_read_differently(payload: str, code: Code) -> None:
    assert payload != GOOD
    key = KEYS[ED25519]
    assert refused(signed(header_of(key), payload.encode("utf-8", "surrogatepass"), key)) is code


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        GOOD.encode("utf-16"),
        GOOD.encode().replace(b"power", b"\xed\xa0\x80"),
        GOOD.encode().replace(b"power", b"\xc0\xaf"),
    ],
)
def test_payload_that_is_no_utf8(data: bytes) -> None:
    key = KEYS[ED25519]
    assert refused(signed(header_of(key), data, key)) is Code.PAYLOAD


HONEST = signed(header_of(KEYS[ED25519]), jcs(EVENT), KEYS[ED25519])


@pytest.mark.parametrize(
    "jws",
    [
        HONEST + "\n", "\n" + HONEST, HONEST + "=", HONEST.replace(".", "..", 1), HONEST + ".", "." + HONEST, HONEST.rpartition(".")[0],
        HONEST.rpartition(".")[0] + ".", HONEST.replace("_", "/").replace("-", "+") if "_" in HONEST or "-" in HONEST else HONEST + "/",
        HONEST[:-1], HONEST + "A", HONEST[:-1] + "\u0430", HONEST[:10] + " " + HONEST[10:], HONEST[:10] + "\n" + HONEST[10:],
        json.dumps({"payload": "x", "signatures": []}), "", ".", "..", "a.b.c", "A" * (MAX_BYTES + 1),
    ],
)  # fmt: skip
def test_text_that_is_not_one_compact_jws(jws: str) -> None:
    assert refused(jws) is Code.ENCODING


@pytest.mark.parametrize("part", [0, 1, 2])
def test_loose_bits_at_the_end_of_a_part(part: int) -> None:
    """Base64url of a length that is no multiple of three has bits that say nothing; set, they are refused."""
    event = EVENT
    while len(jcs(event)) % 3 == 0:
        event = {**event, "data": {"reason": event["data"]["reason"] + "x"}}
    key = SigningKey.from_seed(seed("loose"))
    header = header_of(key, typ="ev-event+jws" if len(header_of(key)) % 3 else "ev-event+jws ")
    parts = signed(header, jcs(event), key).split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    parts[part] = parts[part][:-1] + alphabet[alphabet.index(parts[part][-1]) | 1]
    assert parts != signed(header, jcs(event), key).split(".")
    assert refused(".".join(parts)) is Code.ENCODING


def test_signature_is_checked_before_the_payload_is_believed() -> None:
    header, _, signature = HONEST.split(".")
    assert refused(f"{header}.{b64u(b'not json')}.{signature}") is Code.SIGNATURE


# --- one identity, whatever the signature ----------------------------------------------------------

ORDER = {ED25519: 2**252 + 27742317777372353535851937790883648493, ES256: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551}  # fmt: skip


def twin_of(statement: Statement) -> str:
    """The other ES256 signature (r, n-s), which everybody can compute from the first."""
    signature = statement.signature
    s = ORDER[ES256] - int.from_bytes(signature[32:], "big")
    return f"{statement.jws.rpartition('.')[0]}.{b64u(signature[:32] + s.to_bytes(32, 'big'))}"


def test_es256_twin_is_the_same_statement() -> None:
    first = parse(signed(header_of(KEYS[ES256]), jcs(EVENT), KEYS[ES256]))
    twin, _ = verify_statement(twin_of(first), REGISTRY)
    assert twin.jws != first.jws
    assert (twin.sid, twin.payload) == (first.sid, first.payload)
    assert twin.sid == sha256_hex(first.signing_input)


def test_es256_twin_does_not_stand_in_for_the_bytes_that_were_logged(approved: World) -> None:
    bundle = approved.pack()
    (sid,) = [
        sid for sid, jws in bundle.statements.items()
        if parse(jws.decode()).kind == "declare" and parse(jws.decode()).payload["role"] == "technician"
    ]  # fmt: skip
    twin = twin_of(parse(bundle.statements[sid].decode())).encode()
    forged = indexed(replace(bundle, statements={**bundle.statements, sid: twin}))
    report = verify_bundle(forged, approved.trust(), NOW)
    assert (report.verdict, {one.code for one in report.findings}) == (Verdict.INVALID, {Code.INCLUSION_FAIL})


@pytest.mark.parametrize(
    "forge",
    [
        lambda r, s, n: (0, s), lambda r, s, n: (r, 0), lambda r, s, n: (n, s), lambda r, s, n: (r, n), lambda r, s, n: (r + n if r + n < 2**256 else n, s),
        lambda r, s, n: (s, r), lambda r, s, n: (n - r, s), lambda r, s, n: (r, s ^ 1),
    ],
)  # fmt: skip
def test_es256_signature_out_of_range_or_turned_round(forge: Any) -> None:
    key = KEYS[ES256]
    jws = signed(header_of(key), jcs(EVENT), key)
    blob = unb64u(jws.rpartition(".")[2])
    r, s = forge(int.from_bytes(blob[:32], "big"), int.from_bytes(blob[32:], "big"), ORDER[ES256])
    assert refused(f"{jws.rpartition('.')[0]}.{b64u(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}") is Code.SIGNATURE


def test_es256_signature_in_der_is_not_the_form() -> None:
    key = KEYS[ES256]
    signing_input = f"{b64u(header_of(key))}.{b64u(jcs(EVENT))}"
    private = key.raw_private
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    der = private.sign(signing_input.encode(), ec.ECDSA(hashes.SHA256()))
    assert refused(f"{signing_input}.{b64u(der)}") is Code.ENCODING


def test_ed25519_signature_has_no_twin() -> None:
    """S + L verifies in careless libraries (RFC 8032 s5.1.7)."""
    blob = unb64u(HONEST.rpartition(".")[2])
    s = int.from_bytes(blob[32:], "little") + ORDER[ED25519]
    forged = blob[:32] + s.to_bytes(32, "little")
    assert refused(f"{HONEST.rpartition('.')[0]}.{b64u(forged)}") is Code.SIGNATURE
    assert isinstance(KEYS[ED25519].raw_private, Ed25519PrivateKey)


# --- every kind is closed --------------------------------------------------------------------------

SUBJECT = {"name": "body.json", "size": 1, "sha256": "ab" * 32, "type": "application/json"}
DEVICE = {"v": 1, "plant": "P-1", "t": "2026-03-01T00:00:05.250Z", "gw": "GW-1", "epoch": 1, "seq": 2, "prev": "cd" * 32,
          "clk": {**CLOCK, "sync": "2026-03-01T00:00:00.000Z"}, "anchor": {"origin": "log", "size": 1, "root": "ab" * 32}}  # fmt: skip
PERSON = {"v": 1, "plant": "P-1", "t": "2026-03-01T00:00:05.250Z"}
EXAMPLES: dict[str, dict[str, Any]] = {
    "segment": {**DEVICE, "kind": "segment", "tree": {"start": 0, "end": 4, "root": "ab" * 32},
                "span": ["2026-03-01T00:00:00.000Z", "2026-03-01T01:00:00.000Z"],
                "ch": [{"id": "A", "n": 2, "valid": 2, "sum": "3", "min": "1", "max": "2", "hour": "2026-03-01T00:00:00.000Z"},
                       {"id": "B", "n": 2, "valid": 2, "first": "1", "last": "2", "use": "1", "gap": True}]},
    "event": {**DEVICE, "kind": "event", "type": "config",
              "data": {"channel": "E", "unit": "kWh", "kind": "total", "poll_ms": 1000, "source": {"device": "d", "via": "modbus"},
                       "totaliser": {"max_rate": "1", "backstep": "0", "resettable": True}, "profile": {"id": "p", "version": 1, "hash": "ab" * 32}}},
    "lab": {**PERSON, "kind": "lab", "sample": "s", "point": "p", "taken": "2026-03-01T00:00:00.000Z",
            "results": [{"param": "ncv", "value": "20.1", "unit": "GJ/t", "method": "GB/T 213", "lod": "0.1"}], "subjects": [SUBJECT]},
    "ledger": {**PERSON, "kind": "ledger", "param": "p", "value": "1", "unit": "t", "mode": "measured", "source": "s", "subjects": [SUBJECT],
               "subject": "kiln-1", "day": "2026-03-01"},
    "declare": {**PERSON, "kind": "declare", "role": "responsible", "period": "2026-03", "rev": 1, "subjects": [SUBJECT], "after": "ab" * 32},
    "month": {**DEVICE, "kind": "month", "period": "2026-03", "rev": 2, "supersedes": "ab" * 32, "reason": "late report", "prev_month": "ab" * 32,
              "subjects": [SUBJECT], "declared": ["ab" * 32, "cd" * 32],
              "cover": [{"gw": "GW-1", "epoch": 1, "start": 0, "end": 4, "root": "ab" * 32, "first": "ab" * 32, "last": "ab" * 32, "n": 1}]},
    "review": {**PERSON, "kind": "review", "level": "city", "subject": "ab" * 32, "decision": "approve", "after": "ab" * 32, "report": "ab" * 32,
               "note": "", "anchor": {"origin": "log", "size": 1, "root": "ab" * 32}},
    "inspect": {**PERSON, "kind": "inspect", "subjects": ["ab" * 32], "findings": ["none"], "anchor": None},
    "key": {**PERSON, "kind": "key", "op": "approve", "kid": "k" * 43, "owner": {"type": "person", "id": "li"}, "roles": ["technician"],
            "scope": {"plants": ["P-1"]}},
}  # fmt: skip
MAY_BE_LEFT_OUT = {
    ("segment", "sync"), ("segment", "hour"), ("segment", "gap"), ("event", "sync"), ("event", "profile"), ("month", "sync"),
    ("lab", "lod"), ("ledger", "subject"), ("key", "plants"),
}  # fmt: skip


def test_there_is_an_example_of_every_kind() -> None:
    assert set(EXAMPLES) == set(KINDS)
    for example in EXAMPLES.values():
        validate(example)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every object of a payload with the way to it."""
    if isinstance(value, dict):
        yield path, value
        for name, member in value.items():
            yield from places(member, (*path, name))
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from places(member, (*path, number))


def at(payload: dict[str, Any], path: tuple[Any, ...]) -> Any:
    found: Any = payload
    for step in path:
        found = found[step]
    return found


def members_of(kind: str) -> list[tuple[tuple[Any, ...], str]]:
    return [(path, name) for path, value in places(EXAMPLES[kind]) for name in value]


def schema_refuses(payload: dict[str, Any]) -> bool:
    try:
        validate(payload)
    except EvidenceError as error:
        return error.code is Code.SCHEMA
    return False


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize("name", ["extra", "V", "", "crit", "__class__"])
def test_unknown_member_is_refused_in_every_object_of_every_kind(kind: str, name: str) -> None:
    for path, _ in places(EXAMPLES[kind]):
        payload = copy.deepcopy(EXAMPLES[kind])
        at(payload, path)[name] = 1
        assert schema_refuses(payload), path


@pytest.mark.parametrize("kind", EXAMPLES)
def test_member_that_is_left_out_is_missed(kind: str) -> None:
    for path, name in members_of(kind):
        payload = copy.deepcopy(EXAMPLES[kind])
        del at(payload, path)[name]
        assert schema_refuses(payload) is not ((kind, name) in MAY_BE_LEFT_OUT), (path, name)


@pytest.mark.parametrize("kind", EXAMPLES)
@pytest.mark.parametrize(
    "value", [None, True, 1.5, -1, "", "\0", [], {}, [[]], "9" * 70_000], ids=lambda value: repr(value)[:8]
)
def test_member_of_another_type_is_refused(kind: str, value: Any) -> None:
    """Unless that very value may stand there: some texts may be empty, some numbers negative, some lists empty."""
    for path, name in members_of(kind):
        payload = copy.deepcopy(EXAMPLES[kind])
        was = at(payload, path)[name]
        at(payload, path)[name] = value
        assert schema_refuses(payload) is not may_stand(kind, path, name, was, value), (path, name)


def may_stand(kind: str, path: tuple[Any, ...], name: str, was: Any, value: Any) -> bool:
    if isinstance(was, str) and value in ("", "\0"):
        is_free = name in FREE_TEXTS or (kind, name) in {("event", "id"), ("month", "reason")}
        return (is_free and (kind, name, value) != ("month", "reason", "")) or (name, value) == ("plant", "")
    return (
        (value is None and path == () and name in {"anchor", "prev_month"})
        or (value is True and isinstance(was, bool))
        or (value == -1 and name == "off_ms")
        or (value == [] and isinstance(was, list) and (kind, name) in MAY_BE_EMPTY)
        or (value == {} and name == "scope")
    )


FREE_TEXTS = {"boot", "origin", "unit", "device", "sample", "point", "param", "method", "source", "note"}
MAY_BE_EMPTY = {
    ("lab", "subjects"),
    ("ledger", "subjects"),
    ("month", "cover"),
    ("inspect", "findings"),
    ("key", "plants"),
    ("key", "roles"),
}


def test_statement_that_was_signed_is_read_as_it_was_meant() -> None:
    for kind, example in EXAMPLES.items():
        statement = sign(example, KEYS[ED25519])
        assert (statement.kind, dict(statement.payload)) == (kind, example)
