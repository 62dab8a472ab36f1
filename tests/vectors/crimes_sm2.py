"""Cases of second signatures: SM2 with SM3 over what a gateway signed, where its plant's policy asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from sm2_signer import N, Sm2Key
from vector_case import Files, World, case, few, flipped, opened, without

from evidence.registry import PlantEntry, Registry
from evidence.statement import parse_envelope

INDETERMINATE = "INDETERMINATE"
KEY = Sm2Key(b"gateway")
NO_POINT = "00" * 31 + "01" + "00" * 31 + "02"


def second(world: World) -> dict[str, bytes]:
    """Sign a second time all that the gateway signed."""
    own = [one for one in map(parse_envelope, world.log) if "gw" in one.payload]
    return {one.sid: KEY.sign(one.signing_input) for one in own}


def shown(
    change: Callable[[dict[str, bytes], str], Mapping[str, bytes]] = lambda sm2, sid: sm2,
    *,
    start: int = 0,
    public: str | None = KEY.public,
) -> Files:
    """Pack an hour of a plant that signs twice from a log index on; `change` is given a segment's sid."""
    world = opened()
    world.entries[0] = replace(world.entries[0], sm2=public)
    registry = Registry.of(world.entries[:1], [PlantEntry("P-1", "Asia/Shanghai", "420100", start)])
    sm2 = dict(change(second(world), world.segments[0].sid))
    return few(world, trust=world.trust(registry=registry), sm2=sm2)


def resigned(change: Callable[[bytes], bytes]) -> Callable[[dict[str, bytes], str], Mapping[str, bytes]]:
    """Change the second signature of the segment."""
    return lambda sm2, sid: {**sm2, sid: change(sm2[sid])}


def numbers(change: Callable[[int, int], tuple[int, int]]) -> Callable[[bytes], bytes]:
    """Change r and s of a signature."""
    return lambda der: encode_dss_signature(*change(*decode_dss_signature(der)))


@case("bundle/signed-twice", "a plant whose gateway signs twice")
def _() -> Files:
    return shown()


@case("bundle/signed-twice-from-later-on", "the policy asks from log index 1 on; what was before is signed once")
def _() -> Files:
    return shown(lambda sm2, sid: {sid: sm2[sid]}, start=1)


@case(
    "bundle/second-signature-before-it-was-asked",
    "a second signature of a time when none was asked for",
    "CONTENT_EXTRA",
)
def _() -> Files:
    return shown(start=1)


@case("bundle/second-signature-missing", "one second signature is left out", "SM2_MISSING", verdict=INDETERMINATE)
def _() -> Files:
    return shown(lambda sm2, sid: without(sm2, sid))


@case(
    "bundle/second-key-missing", "the registry has no second key of the gateway", "SM2_MISSING", verdict=INDETERMINATE
)
def _() -> Files:
    return shown(public=None)


@case("bundle/second-key-off-the-curve", "the second key is no point of the curve", "ENCODING")
def _() -> Files:
    return shown(public=NO_POINT)


@case("bundle/second-key-of-another", "another second key stands in the registry", "SIGNATURE")
def _() -> Files:
    return shown(public=Sm2Key(b"thief").public)


for label, what, change in (
    ("flipped", "a bit of s was flipped", lambda der: flipped(der, -1)),
    ("of-zeros", "r and s are 0", numbers(lambda r, s: (0, 0))),
    ("of-the-order", "r and s are the order of the curve", numbers(lambda r, s: (N, N))),
    ("whose-sum-is-the-order", "r + s is the order of the curve", numbers(lambda r, s: (r, N - r))),
    ("with-more-behind", "a byte behind the signature", lambda der: der + b"\0"),
    ("cut-off", "the last byte is missing", lambda der: der[:-1]),
    ("not-der", "r and s without DER", lambda der: bytes(64)),
    ("empty", "no bytes", lambda der: b""),
):

    @case(f"bundle/second-signature-{label}", what, "SIGNATURE")
    def _(change: Callable[[bytes], bytes] = change) -> Files:
        return shown(resigned(change))


@case("bundle/second-signature-of-another-statement", "two second signatures in each other's place", "SIGNATURE")
def _() -> Files:
    return shown(lambda sm2, sid: dict(zip(sm2, reversed(sm2.values()), strict=True)))
