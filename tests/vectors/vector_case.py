"""Cases of the conformance corpus: how one is declared, and what its files are made of.

A case is a function that returns the files of its folder; the decorator says what happened and what a verifier must
answer. The functions stand in `crimes_*.py`; `make_vectors.py` writes the folders. Nothing here is random or reads a
clock: the same source gives the same files.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import evidence_world
from evidence_world import NOW, indexed

from evidence.bundle import Bundle, write_bundle
from evidence.encoding import b64u, jcs, time_text
from evidence.keys import SigningKey
from evidence.registry import Registry
from evidence.statement import Statement, parse
from evidence.trust import Trust

Files = dict[str, bytes]


@dataclass(frozen=True)
class Case:
    """One folder of the corpus: `name` is its path, `at` the moment at which the verifier looks."""

    name: str
    what: str
    verdict: str
    codes: tuple[str, ...]
    at: datetime
    make: Callable[[], Files]

    def files(self) -> Files:
        """Make every file of the folder, `case.json` included."""
        told = {"what": self.what, "at": time_text(self.at), "verdict": self.verdict, "codes": sorted(self.codes)}
        return {**self.make(), "case.json": (json.dumps(told, ensure_ascii=False, indent=2) + "\n").encode()}


CASES: dict[str, Case] = {}


def case(
    name: str, what: str, *codes: str, verdict: str | None = None, at: datetime = NOW
) -> Callable[[Callable[[], Files]], Callable[[], Files]]:
    """Declare a case; without a verdict it is INVALID where there are codes, VALID where there are none."""

    def declare(make: Callable[[], Files]) -> Callable[[], Files]:
        assert name not in CASES, f"two cases are called {name}"
        CASES[name] = Case(name, what, verdict or ("INVALID" if codes else "VALID"), codes, at, make)
        return make

    return declare


class World(evidence_world.World):
    """A world whose every signature is the same each time (RFC 6979 for ES256)."""

    @staticmethod
    def sign(payload: Mapping[str, Any], key: SigningKey) -> Statement:
        """Sign a payload that is as it should be."""
        return parse(forged(key, jcs(payload), typ=f"ev-{payload['kind']}+jws"))

    def run_hours(self, hours: int = 4) -> None:
        """Declare the channels, then read and seal some hours; no more, as every byte of the corpus is kept."""
        for channel in self.channels.values():
            self.device("event", type="config", data=channel.config_data())
        for hour in range(hours):
            self.read_hour(hour, [f"{hour}.25", "3.17", "4", "0.5"])
            self.seal(hour)


sign = World.sign


def opened(hours: int = 1) -> World:
    """Return a world in which some hours were read and sealed, and nothing is declared."""
    world = World()
    world.run_hours(hours)
    return world


def approved(hours: int = 1) -> World:
    """Return a world with an approved month of a few hours."""
    world = opened(hours)
    world.approve(world.close_month())
    return world


def trust_json(trust: Trust, **changed: Any) -> bytes:
    """Write a trust file, with members of it replaced."""
    return jcs({**trust.to_json(), **changed})


def month(world: World, *, shown: tuple[int, ...] = (), trust: Trust | None = None, **parts: Any) -> Files:
    """Pack a world as a bundle beside its trust file, with these readings disclosed.

    `parts` are replaced in the bundle; its index follows from what is in it.
    """
    bundle = world.pack(readings=shown)
    return packed(indexed(replace(bundle, **parts)), trust or world.trust())


def few(world: World, *, shown: tuple[int, ...] = (0,), trust: Trust | None = None, **parts: Any) -> Files:
    """Pack a world of segments and events only, with these readings disclosed: a bundle that asserts no month.

    A third of a month's size: whatever is not about months is shown in it.
    """
    world.entries = [one for one in world.entries if "gateway" in one.roles]
    return month(world, shown=shown, trust=trust, content={}, **parts)


def alone(segment: Statement, name: str, data: bytes, world: World) -> Files:
    """Show a reading or a raw tile (`name` says which) with nothing but its segment."""
    world.entries = world.entries[:1]  # the gateway's key
    return {"statement.jws": segment.jws.encode(), name: data, "trust.json": trust_json(world.trust())}


def packed(bundle: Bundle, trust: Trust) -> Files:
    """Write a bundle and its trust file."""
    return {"bundle.evb": write_bundle(bundle), "trust.json": trust_json(trust)}


def bare_trust(**changed: Any) -> bytes:
    """Write a trust file without any key of a signer, for what is judged before one is looked for."""
    return trust_json(World().trust(registry=Registry(), **changed))


def without(files: Mapping[str, bytes], *names: str) -> dict[str, bytes]:
    """Leave some files out."""
    return {name: data for name, data in files.items() if name not in names}


def flipped(data: bytes, position: int, mask: int = 1) -> bytes:
    """Flip bits of one byte."""
    position %= len(data)
    return data[:position] + bytes([data[position] ^ mask]) + data[position + 1 :]


def forged(key: SigningKey, payload: bytes, header: bytes | None = None, typ: str = "ev-event+jws") -> str:
    """Sign any bytes as a payload under any header, as somebody would who holds the key and wrote his own program."""
    head = jcs({"alg": key.alg, "kid": key.kid, "typ": typ}) if header is None else header
    text = f"{b64u(head)}.{b64u(payload)}"
    return f"{text}.{b64u(key.sign(text.encode()))}"


@dataclass(frozen=True)
class Member:
    """A file of a zip and how it lies there; what is not given is as the container of bundles has it."""

    name: str
    data: bytes
    method: int = 8
    packed: bytes | None = None
    size: int | None = None
    crc: int | None = None
    flags: int = 0
    mode: int = 0o100644
    date: int = 0x21
    made_by: int = 0x0314
    extra: bytes = b""

    def body(self) -> bytes:
        """Return the packed bytes."""
        if self.packed is not None:
            return self.packed
        return deflated(self.data) if self.method == 8 else self.data


def deflated(data: bytes) -> bytes:
    """Deflate without header."""
    packing = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packing.compress(data) + packing.flush()


def zip_of(members: Iterable[Member], *, before: bytes = b"", after: bytes = b"", comment: bytes = b"") -> bytes:
    """Write a zip record by record, so that every field can lie (APPNOTE 4.3.7, 4.3.12, 4.3.16)."""
    out, directory, count = bytearray(before), bytearray(), 0
    for one in members:
        name, body, position = one.name.encode(), one.body(), len(out)
        size = len(one.data) if one.size is None else one.size
        crc = zlib.crc32(one.data) if one.crc is None else one.crc
        common = (20, one.flags, one.method, 0, one.date, crc, len(body), size, len(name), len(one.extra))
        out += struct.pack("<4s5H3L2H", b"PK\x03\x04", *common) + name + one.extra + body
        directory += struct.pack("<4sH5H3L2H", b"PK\x01\x02", one.made_by, *common)
        directory += struct.pack("<3H2L", 0, 0, 0, one.mode << 16, position) + name + one.extra
        count += 1
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(out), len(comment))
    return bytes(out + directory + end + comment + after)
