# ruff: noqa: E501 - tables of payloads read better on one line each
"""Payloads of every kind, and seeded mutations of them: what two verifiers must judge alike, whatever it is."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

from crimes_statement import EVENT, LEDGER, REVIEW, REVOKE, SEGMENT

SID = "ab" * 32
SUBJECT = {"name": "body.json", "size": 1, "sha256": SID, "type": "application/json"}
COVER = {"gw": "GW-1", "epoch": 1, "start": 0, "end": 4, "root": SID, "first": SID, "last": SID, "n": 1}
RULES = {
    "id": "cn-hj75",
    "version": "1",
    "hash": SID,
    "overrides": [{"rule": "Q01", "reason": "r", "limit": "low", "value": "1.5"}],
}
DISPLAY = {"at": "2026-03-01T00:00:00.000Z", "shown": "12.5", "read": "12.6", "read_at": "2026-03-01T00:00:01.000Z", "words": "41A0 0000",
           "agrees": True, "off": "0.1", "least": "-0.2", "most": "0.2"}  # fmt: skip
COMMISSIONED = {
    "at": "2026-03-01T00:20:00.000Z", "by": "li", "point": "p", "table": "holding", "address": 40001, "words": "41A0 0000", "value": "12.6",
    "displays": [DISPLAY, {**DISPLAY, "at": "2026-03-01T00:10:00.000Z", "read_at": "2026-03-01T00:10:01.000Z"}], "order": "ABCD",
    "neighbours": [{"offset": -1, "words": "0000"}], "reason": "r",
}  # fmt: skip
CONFIG = {
    "channel": "E", "unit": "kWh", "kind": "total", "poll_ms": 1000, "source": {"device": "d", "via": "modbus"}, "param": "p", "subject": "kiln",
    "serial": "s", "certificate": "c", "profile": {"id": "p", "version": 1, "hash": SID}, "commissioned": COMMISSIONED,
    "totaliser": {"max_rate": "100", "backstep": "1", "resettable": True, "modulus": "10000", "step": "0.1"},
}  # fmt: skip
STACK = {
    "channel": "E", "unit": "m3", "kind": "derived", "poll_ms": 1000, "source": {"device": "d", "via": "derived"},
    "stack": {"quantity": "flow", "samples": "12", "share": "0.75", "rules": RULES},
    "derived": {"rule": "flow", "inputs": {"a": "E1"}, "constants": {"k": "1.5"}, "basis": "dry", "rules": RULES},
}  # fmt: skip
MARK = {"record": "mark", "kind": "stop", "from": "2026-03-01T00:00:00.000Z", "to": "2026-03-01T01:00:00.000Z",
        "entered": "2026-03-01T02:00:00.000Z", "by": "li", "reason": "r", "subject": "kiln", "evidence": [SID]}  # fmt: skip
CALIBRATION = {"record": "calibration", "channel": "E", "check": "zero", "at": "2026-03-01T00:00:00.000Z",
               "entered": "2026-03-01T02:00:00.000Z", "by": "li", "passed": True, "reference": "0", "reading": "0.1", "note": "n"}  # fmt: skip
IDENTITY = {"record": "identity", "device": "d", "point": "p", "before": "1", "after": "2", "seen": "2026-03-01T00:00:00.000Z",
            "found": "2026-03-01T02:00:00.000Z"}  # fmt: skip
ENTRIES = [
    {
        "id": "E",
        "n": 4,
        "valid": 3,
        "sum": "6.0",
        "min": "1.0",
        "max": "3.0",
        "code": "measured",
        "found": {"Q01": 2},
        "minutes": "N" * 60,
    },
    {
        "id": "F",
        "n": 2,
        "valid": 2,
        "first": "1",
        "last": "3",
        "use": "2",
        "gap": True,
        "hour": "2026-02-28T15:00:00.000Z",
    },
]
BASE = {"v": 1, "plant": "P-1", "t": EVENT["t"]}
DEVICE = {**BASE, "gw": "GW-1", "epoch": 1, "seq": 2, "prev": SID, "clk": {**EVENT["clk"], "sync": EVENT["t"]},
          "anchor": {"origin": "log.example/evidence", "size": 1, "root": SID}}  # fmt: skip
PAYLOADS: list[dict[str, Any]] = [
    EVENT,
    {**SEGMENT, "tree": {"start": 0, "end": 6, "root": SID}, "ch": ENTRIES},
    {**DEVICE, "kind": "event", "type": "config", "data": CONFIG},
    {**DEVICE, "kind": "event", "type": "config", "data": STACK},
    {**DEVICE, "kind": "event", "type": "maintenance", "data": MARK},
    {**DEVICE, "kind": "event", "type": "calibration", "data": CALIBRATION},
    {**DEVICE, "kind": "event", "type": "maintenance", "data": IDENTITY},
    {**DEVICE, "kind": "month", "period": "2026-03", "rev": 2, "supersedes": SID, "prev_month": None, "subjects": [SUBJECT],
     "declared": [SID, SID], "cover": [COVER], "reason": "r"},
    LEDGER,
    {**BASE, "kind": "ledger", "param": "p", "value": "-1.50", "unit": "t", "mode": "default", "source": "", "subjects": [SUBJECT],
     "subject": "kiln", "day": "2026-02-28"},
    {**BASE, "kind": "lab", "sample": "s", "point": "p", "taken": EVENT["t"], "subjects": [],
     "results": [{"param": "C", "value": "0.5", "unit": "%", "method": "m", "lod": "0.01"}]},
    {**BASE, "kind": "declare", "role": "responsible", "period": "2026-03", "rev": 1, "subjects": [SUBJECT], "after": SID, "reason": "r"},
    REVIEW,
    {**BASE, "kind": "inspect", "subjects": [SID], "findings": ["f"], "anchor": None},
    {**BASE, "kind": "inspect", "subjects": [SID], "findings": [], "anchor": None, "challenge": {
        "month": SID, "asked": 9, "seed": "s\n", "tiles": [{"gw": "GW-1", "epoch": 1, "tile": 0, "state": "proven"}], "result": "passed"}},
    {**BASE, "kind": "key", "op": "revoke", "kid": "k" * 43, "reason": "ceased"},
    REVOKE,
    {**BASE, "kind": "key", "op": "approve", "kid": "k" * 43, "owner": {"type": "person", "id": "li"}, "roles": ["technician"],
     "scope": {"plants": ["P-1"], "region": "42"}},
]  # fmt: skip
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 59, 2**53 - 1, -(2**53) + 1, "", " ", "x", "1", "1.0", "-1", "0.10", "-0", "01", "1e3", "9" * 64, "9" * 65,
    "x" * 32, "x" * 33, "x" * 64, "x" * 65, "x" * 200, "x" * 201, "\U0001f600" * 200, "\U0001f600" * 201, "a/b", "../x", "a\x7fb", "钢", "A.b-c_d:/@+",
    SID, SID.upper(), SID[:-1], "2026-03", "2026-13", "1999-12", "2200-01", "2026-02-29", "2024-02-29", "2026-3-1",
    "2026-03-01T00:00:00.000Z", "2026-03-01T24:00:00.000Z", "2026-02-29T00:00:00.000Z", "1999-12-31T23:59:59.999Z", "2026-03-01T00:00:00Z",
    "0000-01-01T00:00:00.000Z", "Q01", "Q1", "N" * 60, "N" * 59 + "X", "ABCD", "0", "FFFF", "none", "yes", "constructor", "__proto__", "toString",
    [], [None], ["x"], [1, 2], {}, {"x": 1}, {"constructor": 1}, {"__proto__": {"x": 1}},
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path of every member and element."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in members:
        yield (*path, name)
        yield from places(member, (*path, name))


def mutated(payload: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Change one or two places: another value, left out, one more member, an element twice."""
    changed: dict[str, Any] = copy.deepcopy(payload)
    for _ in range(rng.choice((1, 1, 1, 2))):
        path = rng.choice(list(places(changed)))
        holder: Any = changed
        for name in path[:-1]:
            holder = holder[name]
        match rng.randrange(6):
            case 0:
                del holder[path[-1]]
            case 1 if isinstance(holder, dict):
                holder[rng.choice(("x", "v", "constructor", "__proto__", "reason", "hour", "sum"))] = copy.deepcopy(
                    rng.choice(ODD)
                )
            case 2 if isinstance(holder, list):
                holder.append(copy.deepcopy(rng.choice(holder)))
            case _:
                holder[path[-1]] = copy.deepcopy(rng.choice(ODD))
    return changed


def payload_mutations(count: int, seed: str) -> list[dict[str, Any]]:
    """Return every payload as it should be, and so many that were changed."""
    rng = random.Random(seed)
    return [*PAYLOADS, *(mutated(rng.choice(PAYLOADS), rng) for _ in range(count))]
