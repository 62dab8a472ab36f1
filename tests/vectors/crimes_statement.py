# ruff: noqa: E501 - tables of cases read better on one line each
"""Cases of one statement, judged by itself (steps 1 to 8): form, header, algorithm, key, signature, payload, role."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any

from evidence_world import seed
from vector_case import Files, World, case, flipped, forged, sign, trust_json

from evidence.encoding import b64u, jcs, unb64u
from evidence.keys import ES256, SigningKey

INDETERMINATE = "INDETERMINATE"
ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ORDER_ED25519 = 2**252 + 27742317777372353535851937790883648493

EVENT: dict[str, Any] = {
    "v": 1, "kind": "event", "plant": "P-1", "t": "2026-03-01T00:00:05.250Z", "gw": "GW-1", "epoch": 1, "seq": 1,
    "prev": None, "clk": {"boot": "b", "mono": 1, "src": "ntp", "off_ms": -3}, "anchor": None,
    "type": "restart", "data": {"reason": "power"},
}  # fmt: skip
LEDGER: dict[str, Any] = {
    "v": 1, "kind": "ledger", "plant": "P-1", "t": "2026-03-01T00:00:00.000Z", "param": "crude_steel", "value": "1234.50",
    "unit": "t", "mode": "measured", "source": "生产日报 第 3 页", "subjects": [], "period": "2026-02",
}  # fmt: skip
CONFIG = {"channel": "E", "unit": "kWh", "kind": "value", "poll_ms": 1000, "source": {"device": "d", "via": "import"}}
SEGMENT: dict[str, Any] = {
    **EVENT, "kind": "segment", "tree": {"start": 0, "end": 4, "root": "ab" * 32},
    "span": ["2026-02-28T16:00:00.000Z", "2026-02-28T17:00:00.000Z"],
    "ch": [{"id": "E", "n": 4, "valid": 3, "sum": "6.0", "min": "1.0", "max": "3.0"}],
}  # fmt: skip
del SEGMENT["type"], SEGMENT["data"]


def world(*others: str) -> World:
    """Return the keys of a gateway and a technician, and of those asked for."""
    world = World()
    world.add_key("registrar", "reg-1", {"registrar"})
    world.entries = [one for one in world.entries if one.roles & {"gateway", "technician", *others}]
    return world


GATEWAY, TECHNICIAN = world().keys["gateway"], world().keys["technician"]


def shown(jws: str | bytes, world: World = world()) -> Files:  # noqa: B008 - read only
    """Show a statement beside a trust file."""
    return {"statement.jws": jws.encode() if isinstance(jws, str) else jws, "trust.json": trust_json(world.trust())}


def put_together(jws: str, *, signature: bytes) -> str:
    """Put another signature under a statement."""
    return f"{jws.rpartition('.')[0]}.{b64u(signature)}"


def number(jws: str) -> tuple[bytes, int]:
    """Return the two halves of a signature, the second as a number of the byte order of P-256."""
    signature = unb64u(jws.rpartition(".")[2])
    return signature[:32], int.from_bytes(signature[32:], "big")


HONEST, LEDGERED = sign(EVENT, GATEWAY).jws, sign(LEDGER, TECHNICIAN).jws


@case("statement/honest-ed25519", "an event of a gateway")
def _() -> Files:
    return shown(HONEST)


@case("statement/honest-es256", "a captured value of a technician")
def _() -> Files:
    return shown(LEDGERED)


@case("statement/honest-event-of-free-data", "what an event says beside the known records is free")
def _() -> Files:
    return shown(sign({**EVENT, "data": {"record": ["mark"], "nested": {"list": [1, True, "x"]}}}, GATEWAY).jws)


@case("statement/honest-segment", "an hour's segment")
def _() -> Files:
    return shown(sign(SEGMENT, GATEWAY).jws)


@case("statement/es256-other-half", "(r, n-s) is a signature too; the statement's identity does not change")
def _() -> Files:
    r, s = number(LEDGERED)
    return shown(put_together(LEDGERED, signature=r + (ORDER_P256 - s).to_bytes(32, "big")))


@case("statement/ed25519-s-plus-order", "S + L would be a second form of one signature", "SIGNATURE")
def _() -> Files:
    r, _ = number(HONEST)
    s = int.from_bytes(unb64u(HONEST.rpartition(".")[2])[32:], "little") + ORDER_ED25519
    return shown(put_together(HONEST, signature=r + s.to_bytes(32, "little")))


@case("statement/signature-flipped", "one bit of the signature was flipped", "SIGNATURE")
def _() -> Files:
    return shown(put_together(HONEST, signature=flipped(unb64u(HONEST.rpartition(".")[2]), 7)))


@case("statement/signature-of-zeros", "64 zeros for an Ed25519 signature", "SIGNATURE")
def _() -> Files:
    return shown(put_together(HONEST, signature=bytes(64)))


@case("statement/es256-signature-of-zeros", "r and s are 0", "SIGNATURE")
def _() -> Files:
    return shown(put_together(LEDGERED, signature=bytes(64)))


@case("statement/es256-signature-of-n", "r and s are the order of the curve", "SIGNATURE")
def _() -> Files:
    return shown(put_together(LEDGERED, signature=ORDER_P256.to_bytes(32, "big") * 2))


@case("statement/signature-of-another-statement", "the signature of the segment under the event", "SIGNATURE")
def _() -> Files:
    return shown(put_together(HONEST, signature=unb64u(sign(SEGMENT, GATEWAY).jws.rpartition(".")[2])))


@case("statement/payload-changed", "the payload was changed and not signed again", "SIGNATURE")
def _() -> Files:
    head, _, signature = HONEST.split(".")
    return shown(f"{head}.{b64u(jcs({**EVENT, 'data': {'reason': 'storm'}}))}.{signature}")


@case("statement/signed-by-another-key", "the header names the gateway's key, a thief signed", "SIGNATURE")
def _() -> Files:
    head = jcs({"alg": "Ed25519", "kid": GATEWAY.kid, "typ": "ev-event+jws"})
    return shown(forged(SigningKey.from_seed(seed("thief"), "Ed25519"), jcs(EVENT), head))


@case("statement/key-unknown", "signed by a key that is not in the registry", "KEY_UNKNOWN", verdict=INDETERMINATE)
def _() -> Files:
    return shown(sign(EVENT, SigningKey.from_seed(seed("thief"))).jws)


for label, what, jws in (
    ("padded", "with base64 padding", HONEST + "=="),
    ("with-a-line-break", "with a line break behind it", HONEST + "\n"),
    ("with-loose-bits", "the last character has loose bits", HONEST[:-1] + chr(ord(HONEST[-1]) + 1)),
    ("in-the-other-alphabet", "base64 in place of base64url", HONEST.replace("_", "/").replace("-", "+")),
    ("of-two-parts", "without a signature", HONEST.rpartition(".")[0]),
    ("of-four-parts", "with a part too many", HONEST + ".AA"),
    ("with-a-short-signature", "a signature of 63 bytes", put_together(HONEST, signature=bytes(63))),
    ("with-an-empty-payload", "the payload is detached (RFC 7515 appendix F)", ".".join((HONEST.split(".")[0], "", "A" * 86))),
    ("with-a-payload-of-odd-length", "one character more in the payload", HONEST.replace(".", ".A", 1) if len(HONEST.split(".")[1]) % 4 == 0 else HONEST.replace(".", ".AA", 1)),
    ("as-json", "the general JSON form of a JWS", json.dumps({"payload": "e30", "signatures": []})),
    ("not-ascii", "a statement with a Chinese comma", HONEST.replace(".", "，", 1)),
    ("nothing", "a file of no bytes", ""),
):  # fmt: skip

    @case(f"statement/{label}", what, "ENCODING")
    def _(jws: str = jws) -> Files:
        return shown(jws)


GOOD = {"alg": "Ed25519", "kid": GATEWAY.kid, "typ": "ev-event+jws"}
PUBLIC = dict(GATEWAY.jwk)


def headed(header: str | dict[str, Any]) -> str:
    """Sign the event under another header."""
    return forged(GATEWAY, jcs(EVENT), header.encode() if isinstance(header, str) else jcs(header))


for label, what, header in (
    ("with-crit", "crit in the header", {**GOOD, "crit": ["exp"], "exp": 0}),
    ("with-jwk", "the key in the header", {**GOOD, "jwk": PUBLIC}),
    ("with-jku", "the key's address in the header", {**GOOD, "jku": "https://example.com/keys"}),
    ("with-x5u", "a certificate's address in the header", {**GOOD, "x5u": "https://example.com/cert"}),
    ("with-b64", "an unencoded payload is announced", {**GOOD, "b64": False, "crit": ["b64"]}),
    ("header-without-typ", "typ is missing", {"alg": "Ed25519", "kid": GATEWAY.kid}),
    ("header-without-kid", "kid is missing", {"alg": "Ed25519", "typ": "ev-event+jws"}),
    ("header-kid-is-a-number", "kid is a number", {**GOOD, "kid": 1}),
    ("header-typ-is-null", "typ is null", {**GOOD, "typ": None}),
    ("header-is-an-array", "the header is an array", '["alg","kid","typ"]'),
    ("header-alg-twice", "alg is named twice", f'{{"alg":"none","alg":"Ed25519","kid":"{GATEWAY.kid}","typ":"ev-event+jws"}}'),
    ("header-in-another-order", "the members are not sorted", f'{{"kid":"{GATEWAY.kid}","alg":"Ed25519","typ":"ev-event+jws"}}'),
    ("header-with-spaces", "a space in the header", f'{{"alg": "Ed25519","kid":"{GATEWAY.kid}","typ":"ev-event+jws"}}'),
    ("header-escaped", "an escape where none is needed", f'{{"alg":"Ed25519","kid":"{GATEWAY.kid}","typ":"ev-event\\u002bjws"}}'),
    ("header-of-514-characters", "a header longer than allowed", {**GOOD, "typ": "ev-event+jws" + "x" * 295}),
    ("header-is-no-json", "the header is not JSON", "Ed25519"),
):  # fmt: skip

    @case(f"statement/{label}", what, "HEADER")
    def _(header: str | dict[str, Any] = header) -> Files:
        return shown(headed(header))


for alg in ("none", "HS256", "EdDSA", "ES384", "ES256K", "RS256", "ed25519", ""):

    @case(f"statement/alg-{alg or 'empty'}", f"the header says {alg!r}", "ALG")
    def _(alg: str = alg) -> Files:
        return shown(headed({**GOOD, "alg": alg}))


@case("statement/alg-of-another-key", "ES256 over the kid of an Ed25519 key", "ALG")
def _() -> Files:
    return shown(headed({**GOOD, "alg": "ES256"}))


@case("statement/hmac-under-the-public-key", "HS256 with the public key as the secret", "ALG")
def _() -> Files:
    text = f"{b64u(jcs({**GOOD, 'alg': 'HS256'}))}.{b64u(jcs(EVENT))}"
    tag = hmac.new(GATEWAY.public.raw, text.encode(), hashlib.sha512).digest()
    return shown(f"{text}.{b64u(tag)}")


@case("statement/type-of-another-kind", "the header says month, the payload is an event", "TYP_MISMATCH")
def _() -> Files:
    return shown(headed({**GOOD, "typ": "ev-month+jws"}))


@case(
    "statement/header-of-512-characters", "a header as long as allowed, though of a type that is none", "TYP_MISMATCH"
)
def _() -> Files:
    return shown(headed({**GOOD, "typ": "ev-event+jws" + "x" * 294}))


@case("statement/type-jwt", "the header says JWT", "TYP_MISMATCH")
def _() -> Files:
    return shown(headed({**GOOD, "typ": "JWT"}))


TEXT = jcs(EVENT).decode()


def put(old: str, new: str) -> bytes:
    """Replace a piece of the event's canonical text."""
    assert old in TEXT
    return TEXT.replace(old, new, 1).encode("utf-8", "surrogatepass")


for label, what, payload in (
    ("member-twice", "a member is named twice", put('"seq":1', '"seq":1,"seq":1')),
    ("float", "1.0 for 1", put('"seq":1', '"seq":1.0')),
    ("exponent", "1e0 for 1", put('"seq":1', '"seq":1e0')),
    ("negative-zero", "-0", put('"off_ms":-3', '"off_ms":-0')),
    ("nan", "NaN", put('"off_ms":-3', '"off_ms":NaN')),
    ("integer-beyond-2-to-the-53", "9007199254740992", put('"mono":1', '"mono":9007199254740992')),
    ("integer-with-a-leading-zero", "01", put('"seq":1', '"seq":01')),
    ("byte-order-mark", "a byte order mark before the object", "\ufeff".encode() + TEXT.encode()),
    ("lone-surrogate-escaped", "half a character, escaped", put('"power"', '"\\ud800"')),
    ("lone-surrogate-raw", "half a character in bytes that are not UTF-8", put('"power"', '"\ud800"')),
    ("not-utf8", "a byte that is not UTF-8", TEXT.encode().replace(b"power", b"pow\xffr")),
    ("overlong-utf8", "a slash in two bytes", TEXT.encode().replace(b"power", b"pow\xc0\xafr")),
    ("members-in-another-order", "the members are not sorted", put('{"anchor":null,', "{").replace(b',"v":1}', b',"v":1,"anchor":null}')),
    ("with-a-space", "a space behind a colon", put('"seq":1', '"seq": 1')),
    ("with-a-space-behind", "a space behind the object", TEXT.encode() + b" "),
    ("escaped-letter", "an escape where none is needed", put('"power"', '"p\\u006fwer"')),
    ("escaped-slash", "an escaped slash", put('"power"', '"po\\/wer"')),
    ("escape-in-capitals", "hexadecimal digits in capitals", put('"power"', '"\\u001F"')),
    ("raw-control-character", "a control character not escaped", put('"power"', '"po\x01wer"')),
    ("deeper-than-16", "17 levels", put('{"reason":"power"}', '{"a":' * 16 + "1" + "}" * 16)),
    ("two-values", "a second value behind the first", TEXT.encode() * 2),
    ("comma-at-the-end", "a comma before the last bracket", put('"power"}', '"power",}')),
    ("single-quotes", "JavaScript, not JSON", put('"power"', "'power'")),
    ("no-json", "an unquoted word", b"event"),
    ("empty-text", "a space", b" "),
):  # fmt: skip

    @case(f"statement/payload-{label}", what, "PAYLOAD")
    def _(payload: bytes = payload) -> Files:
        return shown(forged(GATEWAY, payload))


ASTRAL = {
    "\U0001f600": "1",
    "\ufb33": "2",
    "\u20ac": "3",
    "\r": "4",
    "1": "5",
    "\u0080": "6",
    "\u007f\u2028": '\\"/\b\f\n\t\u0001',
}


@case("statement/payload-in-utf16-order", "members sort by UTF-16 code units, which is not the order of code points")
def _() -> Files:
    return shown(sign({**EVENT, "data": ASTRAL}, GATEWAY).jws)


@case("statement/payload-in-code-point-order", "members sorted by code points", "PAYLOAD")
def _() -> Files:
    text = json.dumps({**EVENT, "data": ASTRAL}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return shown(forged(GATEWAY, text.encode()))


@case("statement/payload-16-deep", "16 levels are the most")
def _() -> Files:
    return shown(forged(GATEWAY, put('{"reason":"power"}', '{"a":' * 15 + "1" + "}" * 15)))


for label, what, payload in (
    ("member-more", "a member that the kind does not have", {**EVENT, "extra": 1}),
    ("member-less", "a member is missing", {name: value for name, value in EVENT.items() if name != "gw"}),
    ("member-null", "null in place of an absent member", {**EVENT, "data": {"x": None}}),
    ("member-null-in-a-list", "null in a list", {**EVENT, "data": {"x": [None]}}),
    ("version-2", "version 2", {**EVENT, "v": 2}),
    ("version-true", "true for 1", {**EVENT, "v": True}),
    ("gap-1", "1 for true", {**SEGMENT, "ch": [{"id": "E", "n": 4, "valid": 3, "first": "1", "last": "2", "use": "1", "gap": 1}]}),
    ("kind-unknown", "a kind that is none", {**EVENT, "kind": "mystery"}),
    ("kind-is-a-list", "the kind is a list", {**EVENT, "kind": ["event"]}),
    ("array", "the payload is an array", [EVENT]),
    ("number", "the payload is a number", 1),
    ("plant-with-a-space", "a plant id with a space", {**EVENT, "plant": "P 1"}),
    ("gateway-of-33-characters", "a gateway id too long", {**EVENT, "gw": "G" * 33}),
    ("epoch-as-text", "the epoch is a text", {**EVENT, "epoch": "1"}),
    ("epoch-true", "the epoch is true", {**EVENT, "epoch": True}),
    ("seq-0", "seq 0", {**EVENT, "seq": 0}),
    ("first-with-a-predecessor", "seq 1 names a predecessor", {**EVENT, "prev": "ab" * 32}),
    ("second-without-a-predecessor", "seq 2 names none", {**EVENT, "seq": 2}),
    ("sid-in-capitals", "a sid in capitals", {**EVENT, "seq": 2, "prev": "AB" * 32}),
    ("time-without-milliseconds", "a time without decimals", {**EVENT, "t": "2026-03-01T00:00:05Z"}),
    ("time-of-another-zone", "a time with an offset", {**EVENT, "t": "2026-03-01T00:00:05.250+08:00"}),
    ("time-that-is-none", "30 February", {**EVENT, "t": "2026-02-30T00:00:05.000Z"}),
    ("time-of-a-leap-second", "23:59:60", {**EVENT, "t": "2016-12-31T23:59:60.000Z"}),
    ("time-of-a-clock-never-set", "1970", {**EVENT, "t": "1970-01-01T00:00:05.000Z"}),
    ("clock-source-unknown", "a clock that is set by a rooster", {**EVENT, "clk": {**EVENT["clk"], "src": "rooster"}}),
    ("event-of-no-type", "a type that is none", {**EVENT, "type": "party"}),
    ("config-incomplete", "a channel without a unit", {**EVENT, "type": "config", "data": {**CONFIG, "unit": 1}}),
    ("config-total-without-a-rule", "a total without its rule", {**EVENT, "type": "config", "data": {**CONFIG, "kind": "total"}}),
    ("mark-in-another-event", "a mark in a restart", {**EVENT, "data": {"record": "mark"}}),
    ("mark-that-ends-first", "a mark that ends before it begins", {
        **EVENT, "type": "maintenance", "data": {
            "record": "mark", "kind": "stop", "from": "2026-03-01T02:00:00.000Z", "to": "2026-03-01T01:00:00.000Z",
            "entered": "2026-03-01T03:00:00.000Z", "by": "li", "reason": "r", "subject": "kiln"},
    }),
    ("segment-of-nothing", "an empty range", {**SEGMENT, "tree": {**SEGMENT["tree"], "end": 0}}),
    ("segment-counts-wrong", "the entries do not count the range", {**SEGMENT, "tree": {**SEGMENT["tree"], "end": 5}}),
    ("segment-entry-twice", "two entries of one channel and hour", {**SEGMENT, "tree": {**SEGMENT["tree"], "end": 8}, "ch": SEGMENT["ch"] * 2}),
    ("segment-sum-cannot-be", "sum, min and max contradict each other", {**SEGMENT, "ch": [{**SEGMENT["ch"][0], "sum": "9.1"}]}),
    ("segment-sum-alone", "a sum without min and max", {**SEGMENT, "ch": [{"id": "E", "n": 4, "valid": 3, "sum": "6.0"}]}),
    ("segment-more-valid-than-read", "more valid readings than readings", {**SEGMENT, "ch": [{"id": "E", "n": 4, "valid": 5}]}),
    ("number-as-a-number", "a measured value as a JSON number", {**LEDGER, "value": 1234}),
    ("number-with-exponent", "a decimal with an exponent", {**LEDGER, "value": "1e3"}),
    ("number-negative-zero", "-0.0", {**LEDGER, "value": "-0.0"}),
    ("number-with-leading-zero", "01.5", {**LEDGER, "value": "01.5"}),
    ("number-in-other-digits", "full-width digits", {**LEDGER, "value": "１"}),
    ("number-of-65-characters", "a decimal too long", {**LEDGER, "value": "1" * 65}),
    ("ledger-of-day-and-period", "two time references", {**LEDGER, "day": "2026-02-01"}),
    ("ledger-of-no-time", "no time reference", {name: value for name, value in LEDGER.items() if name != "period"}),
    ("file-name-with-a-slash", "an attachment named ../x", {**LEDGER, "subjects": [{"name": "../x", "size": 1, "sha256": "ab" * 32, "type": "a/b"}]}),
):  # fmt: skip

    @case(f"statement/schema-{label}", what, "SCHEMA")
    def _(payload: Any = payload) -> Files:
        kind = payload.get("kind") if isinstance(payload, dict) else "event"
        return shown(forged(TECHNICIAN if kind == "ledger" else GATEWAY, jcs(payload), typ=f"ev-{kind}+jws"))


REVOKE = {"v": 1, "kind": "key", "plant": "", "t": EVENT["t"], "op": "revoke", "kid": GATEWAY.kid, "reason": "lost"}
REVIEW = {"v": 1, "kind": "review", "plant": "P-1", "t": EVENT["t"], "level": "city", "subject": "ab" * 32, "decision": "approve",
          "after": "ab" * 32, "report": "ab" * 32, "note": "", "anchor": None}  # fmt: skip

for label, what, who, payload in (
    ("technician-signs-an-event", "a technician's key under an event", "technician", EVENT),
    ("gateway-signs-a-review", "a gateway's key under an approval", "gateway", REVIEW),
    ("city-signs-for-the-province", "a city's key under a decision of the province", "city", {**REVIEW, "level": "province"}),
    ("technician-declares-as-responsible", "a technician's key under the second declaration", "technician", {
        "v": 1, "kind": "declare", "plant": "P-1", "t": EVENT["t"], "role": "responsible", "period": "2026-02", "rev": 1,
        "subjects": [{"name": "body.json", "size": 1, "sha256": "ab" * 32, "type": "application/json"}], "after": "ab" * 32}),
    ("key-revokes-itself", "a revocation signed by the key that it is about", "gateway", REVOKE),
    ("registrar-enrols", "an enrolment proves a new key; no role may sign it", "registrar", {
        "v": 1, "kind": "key", "plant": "", "t": EVENT["t"], "op": "enrol", "kid": GATEWAY.kid, "jwk": PUBLIC, "nonce": "n"}),
):  # fmt: skip

    @case(f"statement/role-{label}", what, "ROLE")
    def _(who: str = who, payload: dict[str, Any] = payload) -> Files:
        return shown(sign(payload, world().keys[who]).jws, world(who))


@case("statement/revocation-by-the-registrar", "a key is revoked by a registrar")
def _() -> Files:
    return shown(sign(REVOKE, world().keys["registrar"]).jws, world("registrar"))


@case("statement/scope-plant-unknown", "a plant that is not in the registry", "SUBJECT_SCOPE")
def _() -> Files:
    return shown(sign({**EVENT, "plant": "P-9"}, GATEWAY).jws)


@case("statement/scope-other-gateway", "the key of GW-1 under an event of GW-2", "SUBJECT_SCOPE")
def _() -> Files:
    return shown(sign({**EVENT, "gw": "GW-2"}, GATEWAY).jws)


@case("statement/scope-other-region", "a reviewer of another city", "SUBJECT_SCOPE")
def _() -> Files:
    other = world("city")
    other.entries = [replace(one, region="3301") if one.region else one for one in other.entries]
    return shown(sign(REVIEW, other.keys["city"]).jws, other)


@case("statement/es256-gateway", "a gateway whose key is of P-256")
def _() -> Files:
    other = world()
    other.entries = other.entries[1:]
    other.add_key("p256", "GW-1", {"gateway"}, plants={"P-1"}, alg=ES256)
    return shown(sign(EVENT, other.keys["p256"]).jws, other)
