# ruff: noqa: E501 - tables of choices read better on one line each
"""Bundles that a seeded hand has changed, signed anew and packed: what two verifiers must judge alike, whatever it is."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from evidence_world import START, indexed
from payload_mutations import places
from vector_case import Files, World, packed

from evidence.bundle import Bundle
from evidence.channel import Channel, ChannelKind
from evidence.errors import EvidenceError
from evidence.keys import SigningKey
from evidence.reading import Flag, Leaf
from evidence.stack import StackMeaning
from evidence.statement import Statement
from evidence.totaliser import Totaliser

HOURS = ["2026-02-28T15:00:00.000Z", "2026-02-28T16:00:00.000Z", "2026-02-28T17:00:00.000Z", "2026-03-31T16:00:00.000Z"]
WORDS = [
    "approve",
    "return",
    "GW-1",
    "GW-2",
    "E.KWH",
    "2026-03",
    "2026-02",
    "kWh",
    "MWh",
    "city",
    "province",
    "total",
    "value",
]
MOMENTS = ["2026-04-05T00:00:00.000Z"] * 6 + [
    "2026-04-04T00:00:00.000Z",
    "2026-04-14T00:00:00.000Z",
    "2026-06-05T00:00:00.000Z",
]


class Forger(World):
    """A world in which some statements say something else than they should, under good signatures."""

    def __init__(self, rng: random.Random, rate: float) -> None:
        self.rng, self.rate, self.sids = rng, rate, ["0" * 64]
        super().__init__()

    def sign(self, payload: Mapping[str, Any], key: SigningKey) -> Statement:  # type: ignore[override]
        """Sign a payload, now and then after changing one place of it to something that fits its kind."""
        said = dict(payload)
        if self.rng.random() < self.rate:
            try:
                said = dict(World.sign(self._changed(said), key).payload)
            except EvidenceError:
                said = dict(payload)
        statement = World.sign(said, key)
        self.sids.append(statement.sid)
        return statement

    def _changed(self, payload: dict[str, Any]) -> dict[str, Any]:
        changed = copy.deepcopy(payload)
        *above, name = self.rng.choice(list(places(changed)))
        holder: Any = changed
        for one in above:
            holder = holder[one]
        holder[name] = self._other(holder[name])
        return changed

    def _other(self, value: Any) -> Any:
        match value:
            case bool():
                return not value
            case int():
                return max(0, value + self.rng.choice((-3, -1, 1, 2, 1000)))
            case str() if len(value) == 64:
                return self.rng.choice(self.sids)
            case str() if value.endswith("Z"):
                return self.rng.choice(HOURS)
            case str() if value.replace(".", "").isdigit():
                return self.rng.choice(("1", "7.92", "0", "11.92", "3.17", "0.5"))
            case list() if value:
                return value[:-1] if self.rng.random() < 0.5 else [*value, self.rng.choice(value)]
            case None:
                return self.rng.choice(self.sids)
        return self.rng.choice(WORDS)


def channel(rng: random.Random) -> Channel:
    """Return a channel of any kind, of a stack or not."""
    kind, rule, stack = rng.choice(list(ChannelKind)), None, None
    if kind is ChannelKind.TOTAL:
        modulus = Decimal(rng.choice(("100", "1000", "99.5"))) if rng.random() < 0.6 else None
        rule = Totaliser(
            Decimal(rng.randrange(1, 50)), Decimal(1), rng.random() < 0.6, modulus, Decimal(rng.choice(("1", "0.1")))
        )
    if rng.random() < 0.5:
        limits = (Decimal(rng.choice(("12", "3", "2.5"))), Decimal(rng.choice(("0.75", "0.5", "1"))))
        stack = StackMeaning("flow", *limits, {"id": "r", "version": "1", "hash": "ab" * 32})
    poll = timedelta(milliseconds=rng.choice((5000, 7000, 30_000, 60_000, 900_000)))
    return Channel("E.KWH", "kWh", kind, poll, "meter", "modbus", totaliser=rule, stack=stack)


def read(world: World, rng: random.Random) -> None:
    """Read an hour with gaps, bad flags, missing numbers, jumps and moments that come twice."""
    value = Decimal(rng.randrange(9000)).scaleb(-2)
    time = START + timedelta(hours=len(world.segments))
    for _ in range(rng.choice((1, 4, 20, 40))):
        time = max(START, time + timedelta(milliseconds=rng.choice((0, 5000, 60_000, 90_000, 600_000, -5000))))
        value = (
            value + Decimal(rng.randrange(80)).scaleb(-rng.choice((0, 1)))
            if rng.random() < 0.8
            else Decimal(rng.randrange(99))
        )
        flag = rng.choice([Flag.NORMAL] * 6 + list(Flag))
        number = None if flag is not Flag.NORMAL and rng.random() < 0.5 else value
        world.leaves.append(Leaf(len(world.leaves), time, "E.KWH", number, "kWh", flag))


def changed_files(bundle: Bundle, rng: random.Random) -> Bundle:
    """Leave out, flip or copy up to two files; the index mostly follows."""
    for _ in range(rng.choice((0, 0, 1, 2))):
        folder = rng.choice(("statements", "proofs", "content", "readings", "tiles"))
        files = dict(bundle.folder(folder))
        if not files:
            continue
        name = rng.choice(sorted(files))
        data, at = files[name], rng.randrange(len(files[name]))
        match rng.randrange(3):
            case 0:
                del files[name]
            case 1:
                files[name] = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
            case _:
                files[rng.choice(sorted(files))] = data
        bundle = replace(bundle, **{folder: files})
    return indexed(bundle) if rng.random() < 0.9 else bundle


def bundle_mutation(seed: str) -> Files:
    """Make one bundle with its trust file and moment, from a seed alone."""
    rng = random.Random(seed)
    world = Forger(rng, rng.choice((0.0, 0.05, 0.15)))
    if rng.random() < 0.5:
        meter = channel(rng)
        world.channels = {meter.id: meter}
        world.run_hours(0)
        for hour in range(rng.choice((1, 2))):
            read(world, rng)
            world.seal(hour)
    else:
        world.run_hours(rng.choice((1, 2, 3)))
    month = world.close_month()
    if rng.random() < 0.8:
        world.approve(month)
    if rng.random() < 0.15:
        world.approve(world.close_month(rev=2, supersedes=month.sid))
    if rng.random() < 0.2:
        at = rng.randrange(len(world.entries))
        otherwise = (
            {"until_index": 5, "reason": "lost"},
            {"from_index": 6},
            {"region": "33"},
            {"owner_id": "li"},
            {"roles": frozenset()},
        )
        world.entries[at] = replace(world.entries[at], **rng.choice(otherwise))
    shown = rng.choice((tuple(range(len(world.leaves))), (0,), ()))
    tiles = tuple(world.tile(0, segment) for segment in world.segments if rng.random() < 0.5)
    files = packed(changed_files(world.pack(readings=shown, tiles=tiles), rng), world.trust())
    return {**files, "case.json": json.dumps({"at": rng.choice(MOMENTS)}).encode()}


def bundle_mutations(count: int, seed: str) -> list[Files]:
    """Make so many bundles; worlds that fall apart under their forger make none."""
    made: list[Files] = []
    number = 0
    while len(made) < count:
        number += 1
        try:
            made.append(bundle_mutation(f"{seed} {number}"))
        except (EvidenceError, StopIteration, KeyError, ValueError, ArithmeticError):
            assert number < 3 * count, "most worlds fall apart"
    return made
