# ruff: noqa: E501 - tables of cases read better on one line each
"""Cases of trust files, which a verifier takes or refuses before it looks at any evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from evidence_world import ORIGIN, seed
from nacl.bindings import crypto_core_ed25519_add
from vector_case import Files, World, case, trust_json

from evidence.encoding import b64, b64u, canonical_json, jcs, unb64u
from evidence.keys import SigningKey
from evidence.note import NoteKey

ORDER_8 = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
"""A point of order 8 of Curve25519's twisted Edwards form."""


CITY, PROVINCE, OTHER_LOG = (
    NoteKey(f"{name}.example/x", type_, SigningKey.from_seed(seed(name)).public.raw).text
    for name, type_ in (("city", 4), ("province", 4), ("other", 1))
)


def older(value: dict[str, Any], quorum: int, *witnesses: str) -> None:
    """Write the trust file as it was before there were policies."""
    del value["policy"]
    value.update(witnesses=list(witnesses), quorum=quorum)


def trusted(change: Callable[[dict[str, Any]], Any]) -> Files:
    """Show a trust file that was changed."""
    world = World()
    world.entries = world.entries[:2]
    value = canonical_json(trust_json(world.trust()))
    change(value)
    return {"trust.json": jcs(value)}


def key(value: dict[str, Any], kty: str = "OKP") -> dict[str, Any]:
    """Return the first key of a kind."""
    found: dict[str, Any] = next(one for one in value["registry"]["keys"] if one["jwk"]["kty"] == kty)
    return found


def point(value: dict[str, Any]) -> bytes:
    """Return the gateway's public key."""
    return unb64u(key(value)["jwk"]["x"])


@case("trust/honest", "the trust file of a centre")
def _() -> Files:
    return trusted(lambda value: None)


for label, what, change in (
    ("version-2", "version 2", lambda value: value.update(v=2)),
    ("without-a-log", "no log key", lambda value: value.pop("log")),
    ("quorum-impossible", "older form: more witnesses wanted than known", lambda value: older(value, 1)),
    ("quorum-negative", "older form: a negative quorum", lambda value: older(value, -1)),
    ("witness-twice", "older form: one witness twice", lambda value: older(value, 1, CITY, CITY)),
    ("witness-key-of-a-log", "older form: a witness whose key is a log's", lambda value: older(value, 0, value["log"])),
    ("policy-of-another-log", "the policy names another log alone", lambda value: value.update(policy=f"log {OTHER_LOG}\nquorum none\n")),
    ("size-negative", "a negative log size", lambda value: value.update(size=-1)),
    ("expires-before-issued", "it expires before it was issued", lambda value: value.update(expires=value["issued"])),
    ("issued-soon", "a time that is none", lambda value: value.update(issued="soon")),
    ("zone-unknown", "a time zone that does not exist", lambda value: value["registry"]["plants"][0].update(zone="Asia/Nowhere")),
    ("kid-of-another-key", "a kid that is not the key's thumbprint", lambda value: key(value).update(kid="A" * 43)),
    ("until-as-text", "an end that is no log index", lambda value: key(value).update(until="9")),
    ("roles-missing", "a key without roles", lambda value: key(value).pop("roles")),
    ("region-null", "null for a region", lambda value: key(value).update(region=None)),
):  # fmt: skip

    @case(f"trust/{label}", what, "SCHEMA")
    def _(change: Callable[[dict[str, Any]], Any] = change) -> Files:
        return trusted(change)


for label, policy in {
    "without-a-quorum": f"witness city {CITY}\n",
    "with-two-quorums": "quorum none\nquorum none\n",
    "without-the-last-line-break": "quorum none",
    "of-nothing": "",
    "with-an-unknown-word": "notary x\nquorum none\n",
    "with-a-witness-twice": f"witness city {CITY}\nwitness province {CITY}\nquorum none\n",
    "with-a-name-twice": f"witness city {CITY}\nwitness city {PROVINCE}\nquorum none\n",
    "with-a-witness-called-none": f"witness none {CITY}\nquorum none\n",
    "with-a-log-for-a-witness": f"witness city {OTHER_LOG}\nquorum none\n",
    "with-a-witness-for-a-log": f"log {CITY}\nquorum none\n",
    "with-a-group-before-its-members": f"group g 1 city\nwitness city {CITY}\nquorum g\n",
    "with-a-member-of-two-groups": f"witness city {CITY}\ngroup g any city\ngroup h any city\nquorum h\n",
    "with-a-group-of-nobody": "group g any\nquorum g\n",
    "that-wants-three-of-two": f"witness a {CITY}\nwitness b {PROVINCE}\ngroup g 3 a b\nquorum g\n",
    "that-wants-none-of-two": f"witness a {CITY}\nwitness b {PROVINCE}\ngroup g 0 a b\nquorum g\n",
    "that-wants-a-stranger": "quorum stranger\n",
    "with-a-control-character": "quorum none\x01\n",
}.items():

    @case(f"trust/policy-{label}", f"a policy {label.replace('-', ' ')}", "SCHEMA")
    def _(policy: str = policy) -> Files:
        return trusted(lambda value: value.update(policy=policy))


@case("trust/policy-with-comments", "comments, tabs, addresses and empty lines are allowed")
def _() -> Files:
    text = f"# known logs\n\n\tlog {World().trust().log.text} https://log.example\nwitness city\t{CITY} https://w.example \nquorum city\n"
    return trusted(lambda value: value.update(policy=text))


@case("trust/older-form", "witnesses and a number in place of a policy")
def _() -> Files:
    return trusted(lambda value: older(value, 1, CITY, PROVINCE))


def moved(y: bytes) -> Callable[[dict[str, Any]], None]:
    """Replace the gateway's point."""
    return lambda value: key(value)["jwk"].update(x=b64u(y))


for label, what, change in (
    ("key-of-order-1", "the neutral element as a key: one signature fits every message", moved(b"\x01" + bytes(31))),
    ("key-of-order-2", "a key of order 2", moved(bytes.fromhex("ec" + "ff" * 30 + "7f"))),
    ("key-of-order-4", "a key of order 4", moved(bytes(32))),
    ("key-of-order-8", "a key of order 8", moved(ORDER_8)),
    ("key-not-canonical", "the neutral element written as p + 1", moved(bytes.fromhex("ee" + "ff" * 30 + "7f"))),
    ("key-of-mixed-order", "the gateway's key plus a point of order 8", lambda value: moved(crypto_core_ed25519_add(point(value), ORDER_8))(value)),
    ("key-off-the-curve", "an Ed25519 key that is no point", moved(b"\x02" + bytes(31))),
    ("key-short", "a key of 31 bytes", moved(b"\x02" * 31)),
    ("key-with-its-private-half", "a private key in the registry", lambda value: key(value)["jwk"].update(d="A" * 43)),
    ("p256-off-the-curve", "a P-256 key that is no point", lambda value: key(value, "EC")["jwk"].update(y=b64u(b"\x01" * 32))),
    ("log-key-id-wrong", "the log's key id does not fit its key", lambda value: value.update(log=value["log"].replace("+", "+00000000+", 1).replace(value["log"].split("+")[1] + "+", "", 1))),
    ("log-key-of-order-8", "the log's key is of order 8", lambda value: value.update(log=vkey(ORDER_8))),
    ("log-key-of-another-type", "the log's key is of type 2", lambda value: value.update(log=vkey(b"\x02" * 32, 2))),
    ("log-key-without-a-name", "the log's key bears no name", lambda value: value.update(log=vkey(SigningKey.from_seed(b"\x07" * 32).public.raw, name=""))),
):  # fmt: skip

    @case(f"trust/{label}", what, "ENCODING")
    def _(change: Callable[[dict[str, Any]], Any] = change) -> Files:
        return trusted(change)


def vkey(public: bytes, type: int = 1, name: str = ORIGIN) -> str:
    """Write a verifier key whose id fits."""
    return f"{name}+{NoteKey(name, type, public).key_id.hex()}+{b64(bytes([type]) + public)}"


@case("trust/key-of-another-curve", "a key of P-384", "ALG")
def _() -> Files:
    return trusted(lambda value: key(value, "EC")["jwk"].update(crv="P-384"))


@case("trust/key-x25519", "a key for key agreement", "ALG")
def _() -> Files:
    return trusted(lambda value: key(value)["jwk"].update(crv="X25519"))


@case("trust/no-json", "a text", "PAYLOAD")
def _() -> Files:
    return {"trust.json": b"trust me"}


@case("trust/member-twice", "a member is named twice", "PAYLOAD")
def _() -> Files:
    return {"trust.json": trusted(lambda value: None)["trust.json"].replace(b'"v":1', b'"v":1,"v":1')}


@case("trust/indented", "a trust file need not be canonical: it is not signed")
def _() -> Files:
    value = canonical_json(trusted(lambda value: None)["trust.json"])
    return {"trust.json": json.dumps(value, indent=2).encode()}
