"""A plant whose gateway and people sign real statements, for the tests of the month's body."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from evidence.encoding import jcs, sha256_hex, time_text
from evidence.keys import SigningKey
from evidence.statement import Statement, sign

GATEWAY_KEY = SigningKey.from_seed(bytes(range(32)))
PERSON_KEY = SigningKey.from_seed(bytes(range(32, 64)), "ES256")

PLAN: dict[str, Any] = {
    "v": 1,
    "plant": "P-0001",
    "name": {"zh": "示范钢铁厂", "en": "Model steel works"},
    "zone": "Asia/Shanghai",
    "region": "420100",
    "sector": "steel",
    "parameters": "cn-steel-2024",
    "subjects": [
        {"id": "enterprise", "kind": "enterprise", "name": {"zh": "全厂", "en": "Enterprise"}},
        {"id": "EAF1", "kind": "process", "process": "eaf", "name": {"zh": "1#电炉", "en": "EAF 1"}},
        {"id": "ROLL1", "kind": "process", "process": "rolling", "name": {"zh": "1#轧线", "en": "Rolling line 1"}},
    ],
    "items": [
        {
            "id": "gas_rolling",
            "name": {"zh": "轧线天然气", "en": "Natural gas, rolling"},
            "role": "fuel",
            "material": "natural_gas",
            "subjects": ["enterprise", "ROLL1"],
            "source": {"channel": "ROLL1.GAS"},
            "unit": "10^4Nm3",
        },
        {
            "id": "electricity",
            "name": {"zh": "外购电力", "en": "Purchased electricity"},
            "role": "electricity",
            "material": "electricity",
            "subjects": ["enterprise"],
            "source": {"channel": "ELEC.IMPORT"},
            "unit": "MWh",
        },
        {
            "id": "scrap",
            "name": {"zh": "外购废钢", "en": "Purchased scrap"},
            "role": "input",
            "material": "scrap",
            "subjects": ["enterprise", "EAF1"],
            "source": {"ledger": "scrap"},
            "unit": "t",
        },
        {
            "id": "electrode",
            "name": {"zh": "石墨电极", "en": "Graphite electrode"},
            "role": "input",
            "material": "graphite_electrode",
            "subjects": ["enterprise", "EAF1"],
            "source": {"ledger": "electrode"},
            "unit": "t",
        },
        {
            "id": "limestone",
            "name": {"zh": "石灰石", "en": "Limestone"},
            "role": "input",
            "material": "limestone",
            "subjects": ["enterprise", "EAF1"],
            "source": {"ledger": "limestone"},
            "unit": "t",
        },
        {
            "id": "crude_steel",
            "name": {"zh": "粗钢", "en": "Crude steel"},
            "role": "product",
            "material": "crude_steel",
            "subjects": ["enterprise", "EAF1"],
            "source": {"ledger": "crude_steel"},
            "unit": "t",
        },
    ],
}

LEDGERS = {"scrap": "55461.56", "electrode": "371.22", "limestone": "1891.38", "crude_steel": "56000.00"}


def plan_bytes(**changes: Any) -> bytes:
    """The plan, with top-level members changed."""
    return jcs({**copy.deepcopy(PLAN), **changes})


def moment(text: str) -> datetime:
    """A UTC moment."""
    return datetime.fromisoformat(text).astimezone(UTC)


class Chain:
    """One epoch of one gateway; each call signs the next statement and keeps it."""

    def __init__(self, gw: str = "GW-0001", epoch: int = 1, plant: str = "P-0001") -> None:
        self.gw, self.epoch, self.plant = gw, epoch, plant
        self.statements: list[Statement] = []
        self.leaves = 0

    def config(self, channel: str, unit: str, kind: str, **members: Any) -> Statement:
        """Declare a channel."""
        data = {
            "channel": channel,
            "unit": unit,
            "kind": kind,
            "poll_ms": 60_000,
            "source": {"device": "D1", "via": members.pop("via", "modbus")},
            **members,
        }
        if kind == "total":
            data["totaliser"] = {"max_rate": "100000", "backstep": "1", "resettable": False}
        return self.event("config", data)

    def event(self, type_: str, data: Mapping[str, Any]) -> Statement:
        """Sign an event."""
        return self._sign({"kind": "event", "type": type_, "data": dict(data)}, moment("2026-02-28T00:00:00+00:00"))

    def segment(self, hour: datetime, entries: list[dict[str, Any]]) -> Statement:
        """Sign the segment of an hour."""
        start, self.leaves = self.leaves, self.leaves + sum(entry["n"] for entry in entries)
        payload = {
            "kind": "segment",
            "tree": {"start": start, "end": self.leaves, "root": sha256_hex(str(self.leaves).encode())},
            "span": [time_text(hour), time_text(hour + timedelta(hours=1))],
            "ch": entries,
        }
        return self._sign(payload, hour + timedelta(hours=1, minutes=1))

    def month(
        self,
        period: str,
        rev: int,
        cover: list[Any],
        subjects: list[Any],
        supersedes: str | None = None,
        declared: tuple[str, str] = ("0" * 64, "1" * 64),
    ) -> Statement:
        """Sign a month."""
        payload = {
            "kind": "month",
            "period": period,
            "rev": rev,
            "supersedes": supersedes,
            "prev_month": None,
            "subjects": subjects,
            "declared": list(declared),
            "cover": cover,
        }
        if supersedes is not None:
            payload["reason"] = "late readings"
        return self._sign(payload, moment("2026-04-05T00:00:00+00:00"))

    def _sign(self, payload: dict[str, Any], t: datetime) -> Statement:
        statement = self._made(self._whole(payload, t))
        self.statements.append(statement)
        return statement

    def _made(self, payload: dict[str, Any]) -> Statement:
        return sign(payload, GATEWAY_KEY)

    def _whole(self, payload: dict[str, Any], t: datetime) -> dict[str, Any]:
        seq = len(self.statements) + 1
        return {
            "v": 1,
            "plant": self.plant,
            "t": time_text(t),
            "gw": self.gw,
            "epoch": self.epoch,
            "seq": seq,
            "prev": self.statements[-1].sid if self.statements else None,
            "clk": {"boot": "b1", "mono": seq * 1000, "src": "ntp", "off_ms": 3},
            "anchor": None,
            **payload,
        }


def ledger(
    param: str,
    value: str,
    unit: str = "t",
    *,
    period: str | None = "2026-03",
    day: str | None = None,
    subject: str | None = None,
    t: str = "2026-04-02T08:00:00.000Z",
    mode: str = "measured",
    plant: str = "P-0001",
    attachments: list[dict[str, Any]] | None = None,
) -> Statement:
    """Sign a captured value."""
    payload: dict[str, Any] = {
        "v": 1,
        "kind": "ledger",
        "plant": plant,
        "t": t,
        "param": param,
        "value": value,
        "unit": unit,
        "mode": mode,
        "source": "weighbridge ledger",
        "subjects": attachments or [],
    }
    for name, given in (("period", None if day else period), ("day", day), ("subject", subject)):
        if given is not None:
            payload[name] = given
    return sign(payload, PERSON_KEY)


MARCH = moment("2026-03-01T00:00:00+08:00")
MARCH_HOURS = 744


def march(*, hours: int = MARCH_HOURS, skip: frozenset[int] = frozenset()) -> list[Statement]:
    """March 2026 of the model plant: a gas totaliser and an interval electricity meter, and the ledgers."""
    chain = Chain()
    chain.config("ROLL1.GAS", "Nm3", "total", param="natural_gas", serial="G-17")
    chain.config("ELEC.IMPORT", "kWh", "interval", param="electricity", serial="E-4")
    for n in range(hours):
        if n in skip:
            continue
        gas = {"id": "ROLL1.GAS", "n": 60, "valid": 60, "first": str(n * 300), "last": str((n + 1) * 300), "use": "300"}
        power = {"id": "ELEC.IMPORT", "n": 4, "valid": 4, "sum": "120.25", "min": "30.05", "max": "30.10"}
        chain.segment(MARCH + timedelta(hours=n), [power, gas])
    return [*chain.statements, *(ledger(param, value) for param, value in LEDGERS.items())]


def body_of(data: bytes) -> dict[str, Any]:
    """Read a body."""
    body: dict[str, Any] = json.loads(data)
    return body


def codes(body: Mapping[str, Any]) -> set[str]:
    """The codes of a body's issues."""
    return {issue["code"] for issue in body["issues"]}
