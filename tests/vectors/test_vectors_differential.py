# ruff: noqa: E501 - tables of cases read better on one line each
"""Every accept and reject of a statement beside four verifiers of others, over mutations of each byte and field.

What we accept everybody accepts. Where we refuse what another accepts, the difference has a name below, with the
code that we give and the tools that do not refuse; a difference without a name fails, and so does a name that nothing shows.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crimes_statement import EVENT, GATEWAY, LEDGER, ORDER_ED25519, ORDER_P256, TECHNICIAN, world
from other_verifiers import answers
from vector_case import forged

from evidence.encoding import b64u, jcs, unb64u
from evidence.errors import Code, EvidenceError
from evidence.keys import ED25519, SigningKey
from evidence.verify_statement import verify_statement

SIGNED = {"Ed25519": (GATEWAY, EVENT), "ES256": (TECHNICIAN, LEDGER)}
SAMPLES = 60
"""Single-byte mutations that openssl, a process each, is asked about; it is asked about all others."""
Mutation = tuple[str, str]
"""What was done, and the text."""


def honest(alg: str) -> str:
    key, payload = SIGNED[alg]
    return forged(key, jcs(payload), typ=f"ev-{payload['kind']}+jws")


def bytes_changed(text: str, rng: random.Random) -> Iterator[Mutation]:
    """One bit of each character, staying ASCII, as a text travels."""
    for at, letter in enumerate(text):
        other = chr(ord(letter) ^ (1 << rng.randrange(7)))
        yield "byte changed", text[:at] + other + text[at + 1 :]


def last_letters(text: str) -> Iterator[Mutation]:
    """Other last letters of each part: some differ in bits that decode to nothing."""
    parts = text.split(".")
    for number, part in enumerate(parts):
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[number::3]:
            if letter != part[-1]:
                yield "last letter", ".".join([*parts[:number], part[:-1] + letter, *parts[number + 1 :]])


def reshaped(text: str) -> Iterator[Mutation]:
    """Parts padded, cut, joined, in the other alphabet, with white space."""
    parts = text.split(".")
    for number, part in enumerate(parts):
        for changed in (part + "=", part + "==", part[:-1], part + "A", "", part + " ", part + "\n", " " + part):
            yield "part reshaped", ".".join([*parts[:number], changed, *parts[number + 1 :]])
        yield "part in the other alphabet", text.replace(part, part.replace("-", "+").replace("_", "/"))
    for changed in (
        text + ".",
        text + "." + parts[2],
        "." + text,
        text + "\n",
        "\n" + text,
        text + "\0",
        ".".join(parts[:2]),
        "",
    ):
        yield "text reshaped", changed
    general = {"payload": parts[1], "signatures": [{"protected": parts[0], "signature": parts[2]}]}
    yield "JSON form", json.dumps(general)
    yield "JSON form", json.dumps({"payload": parts[1], "protected": parts[0], "signature": parts[2]})


def signatures_changed(text: str, alg: str) -> Iterator[Mutation]:
    """Other numbers in the signature, among them those that mean the same to a careless verifier."""
    signed, _, part = text.rpartition(".")
    blob = unb64u(part)
    first, second = blob[:32], blob[32:]
    if alg == ED25519:
        s = int.from_bytes(second, "little")
        for more in (ORDER_ED25519, 2 * ORDER_ED25519, 8 * ORDER_ED25519):
            yield "S plus the order", f"{signed}.{b64u(first + (s + more).to_bytes(32, 'little'))}"
        yield "S from the order", f"{signed}.{b64u(first + (ORDER_ED25519 - s).to_bytes(32, 'little'))}"
    else:
        r, s = (int.from_bytes(half, "big") for half in (first, second))
        yield "other half", f"{signed}.{b64u(first + (ORDER_P256 - s).to_bytes(32, 'big'))}"
        for one, other in ((0, s), (r, 0), (0, 0), (ORDER_P256, s), (r, ORDER_P256), (1, 1), (s, r)):
            yield "numbers changed", f"{signed}.{b64u(one.to_bytes(32, 'big') + other.to_bytes(32, 'big'))}"
    for changed in (bytes(64), second + first, blob[::-1], blob[:63], blob + b"\0", b"\0" + blob, b"\xff" * 64):
        yield "signature reshaped", f"{signed}.{b64u(changed)}"


def headers_signed(key: SigningKey, payload: dict[str, Any]) -> Iterator[Mutation]:
    """Headers that the key's own holder signed: members more, less, otherwise, in another form."""
    kind, good = payload["kind"], {"alg": key.alg, "kid": key.kid, "typ": f"ev-{payload['kind']}+jws"}
    changed: list[tuple[str, Any]] = [
        *(("header member more", {**good, name: value}) for name, value in {
            "x": 1, "cty": "json", "jwk": dict(key.jwk), "jku": "https://example.com/k", "x5u": "https://example.com/k",
            "nonce": "n", "iat": 1, "b64": True,
        }.items()),
        *(("header member critical", {**good, "crit": crit, **more}) for crit, more in (
            ([], {}), (["x"], {"x": 1}), (["b64"], {"b64": False}), (["b64"], {"b64": True}), (["alg"], {}), ("b64", {"b64": True}),
        )),
        *(("header member less", {name: value for name, value in good.items() if name != left}) for left in good),
        *(("header member of another type", {**good, name: value}) for name in good for value in (1, None, True, [], {}, [good[name]])),
        *(("algorithm named otherwise", {**good, "alg": alg}) for alg in ("none", "EdDSA", "HS256", "ES384", "ES256K", "Ed448", key.alg.lower(), "")),
        *(("algorithm of the other key", {**good, "alg": alg}) for alg in SIGNED if alg != key.alg),
        *(("type named otherwise", {**good, "typ": typ}) for typ in ("JWT", "ev-month+jws", f"ev-{kind}", f"application/ev-{kind}+jws", "")),
        *(("key named otherwise", {**good, "kid": kid}) for kid in ("", "A" * 43, key.kid[:-1], key.kid + "=", f" {key.kid}")),
    ]  # fmt: skip
    for what, header in changed:
        yield what, forged(key, jcs(payload), jcs(header))
    text = jcs(good).decode()
    turned = json.dumps({name: good[name] for name in sorted(good, reverse=True)}, separators=(",", ":"))
    twice = text.replace("{", '{"alg":"none",', 1)
    for form in (
        turned,
        text.replace(",", ", "),
        text + " ",
        "\ufeff" + text,
        text.replace("+", "\\u002b"),
        twice,
        text[:-1] + "," + text[1:],
        "[]",
        "1",
        "",
        "x",
    ):
        yield "header in another form", forged(key, jcs(payload), form.encode())


def payloads_signed(key: SigningKey, payload: dict[str, Any]) -> Iterator[Mutation]:
    """Payloads that the key's own holder signed: each member left out, of another type, another value; other forms."""
    typ = f"ev-{payload['kind']}+jws"
    for name, value in payload.items():
        yield "payload member less", forged(key, jcs({k: v for k, v in payload.items() if k != name}), typ=typ)
        for other in (None, True, -1, 2**53 - 1, "", "x" * 3000, [], {}, [value], {"x": value}):
            if other != value:
                yield "payload member otherwise", forged(key, jcs({**payload, name: other}), typ=typ)
        yield "payload member more", forged(key, jcs({**payload, f"{name}_": value}), typ=typ)
    text = jcs(payload)
    for form in (
        text + b" ",
        b"\xef\xbb\xbf" + text,
        text.replace(b",", b", "),
        text[:-1],
        b"",
        b"[]",
        b"1",
        b"\xff",
        text * 2,
        text.replace(b'"v":1', b'"v":1,"v":1'),
        text.replace(b'"v":1', b'"v":1.0'),
    ):
        yield "payload in another form", forged(key, form, typ=typ)


def mutations(alg: str) -> list[Mutation]:
    key, payload = SIGNED[alg]
    text, rng = honest(alg), random.Random(f"differential {alg}")
    first = [*bytes_changed(text, rng)]
    rest = [
        ("nothing", text),
        *last_letters(text),
        *reshaped(text),
        *signatures_changed(text, alg),
        *headers_signed(key, payload),
        *payloads_signed(key, payload),
    ]
    return [*first, *rest]


def our_answer(text: str) -> Code | None:
    """The code that we refuse a text with, None where we accept it."""
    try:
        verify_statement(text, REGISTRY)
    except EvidenceError as error:
        return error.code
    return None


REGISTRY = world().trust().registry
EVERY = {"jose", "joserfc", "jwcrypto", "openssl"}
STRICTER: dict[tuple[str, Code], set[str]] = {
    # One text has one spelling: loose bits, padding, white space and the other alphabet decode to the same signature.
    ("byte changed", Code.ENCODING): {"jwcrypto"},
    ("last letter", Code.ENCODING): {"jose", "jwcrypto", "openssl"},
    ("part reshaped", Code.ENCODING): {"jose", "jwcrypto", "openssl"},
    ("part in the other alphabet", Code.ENCODING): {"jwcrypto", "openssl"},
    ("text reshaped", Code.ENCODING): {"jose"},
    ("JSON form", Code.ENCODING): {"jwcrypto"},
    ("payload in another form", Code.ENCODING): EVERY,  # an empty payload
    ("header in another form", Code.ENCODING): {"openssl"},  # an empty header, which openssl never reads
    # A header has exactly three members, in canonical form; openssl reads none.
    ("header in another form", Code.HEADER): EVERY,
    ("header member more", Code.HEADER): EVERY,
    ("header member less", Code.HEADER): EVERY,
    ("header member critical", Code.HEADER): EVERY,
    ("header member of another type", Code.HEADER): {"jose", "jwcrypto", "openssl"},
    ("algorithm named otherwise", Code.ALG): {"openssl"},
    ("algorithm of the other key", Code.ALG): {"openssl"},
    # The others are handed the key; we look it up by its name, and the type must name the kind.
    ("key named otherwise", Code.KEY_UNKNOWN): EVERY,
    ("type named otherwise", Code.TYP_MISMATCH): EVERY,
    # What a statement may say is no business of a signature.
    ("payload in another form", Code.PAYLOAD): EVERY,
    ("payload in another form", Code.SCHEMA): EVERY,
    ("payload member less", Code.SCHEMA): EVERY,
    ("payload member more", Code.SCHEMA): EVERY,
    ("payload member otherwise", Code.SCHEMA): EVERY,
    ("payload member otherwise", Code.SUBJECT_SCOPE): EVERY,
}
"""What was done, our code, and the tools of which at least one text of this kind convinces each."""


@pytest.mark.no_cover
def test_every_answer_is_that_of_the_other_tools_or_a_difference_with_a_name(tmp_path: Path) -> None:
    found: dict[tuple[str, Code], set[str]] = {}
    for alg, (key, _) in SIGNED.items():
        done, length = mutations(alg), len(honest(alg))
        rng = random.Random(f"openssl {alg}")
        asked_of_openssl = {*rng.sample(range(length), SAMPLES), *range(length, len(done))}
        theirs = answers([text for _, text in done], key.public, tmp_path, asked_of_openssl)
        for at, (what, text) in enumerate(done):
            code = our_answer(text)
            convinced = {tool for tool, said in theirs.items() if said[at]}
            if code is None:
                assert {tool for tool, said in theirs.items() if said[at] is not False} == EVERY, (what, text)
            elif convinced:
                assert code is not Code.SIGNATURE, (what, text)
                found.setdefault((what, code), set()).update(convinced)
        assert [what for what, text in done if our_answer(text) is None].count("nothing") == 1
    assert found == STRICTER
