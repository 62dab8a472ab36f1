"""What happens around an enrolled gateway: readings are taken, and two people declare a month."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from conftest import START, Plant
from small_centre import SmallCentre

from accounting.month import compose, subjects_of
from evidence.encoding import jcs, time_text
from evidence.keys import SigningKey
from evidence.reading import Flag, Reading
from evidence.statement import parse, sign
from gateway.chain import outbox_depth, own_statements
from gateway.reading_store import insert_readings

TECHNICIAN = SigningKey.from_seed(bytes(range(100, 132)), "ES256")
RESPONSIBLE = SigningKey.from_seed(bytes(range(132, 164)), "ES256")
PLAN = {
    "v": 1,
    "plant": "P-0001",
    "name": {"zh": "钢厂", "en": "Mill"},
    "zone": "Asia/Shanghai",
    "region": "420100",
    "sector": "steel",
    "parameters": "cn-steel-2024",
    "subjects": [{"id": "enterprise", "kind": "enterprise", "name": {"zh": "全厂", "en": "Enterprise"}}],
    "items": [
        {
            "id": "electricity",
            "name": {"zh": "外购电力", "en": "Purchased electricity"},
            "role": "electricity",
            "material": "electricity",
            "subjects": ["enterprise"],
            "source": {"channel": "ELEC.IMPORT"},
            "unit": "MWh",
        }
    ],
}


def measure(plant: Plant, hours: int, *, start: int = 0) -> None:
    """Store a reading each 15 minutes and seal."""
    for hour in range(start, start + hours):
        arrivals = []
        for quarter in range(4):
            time = START + timedelta(hours=hour, minutes=15 * quarter)
            value = Decimal(hour * 4 + quarter) / 100
            arrivals.append(
                plant.pipeline.arrival(Reading("ELEC.IMPORT", time, value, "kWh", Flag.NORMAL, time, imported=True))
            )
        plant.writer.call(lambda store, arrivals=arrivals: insert_readings(store, arrivals))
    plant.clock.set(START + timedelta(hours=start + hours))
    plant.pipeline.seal_due(timedelta(0))


def waiting(plant: Plant) -> int:
    return plant.writer.call(outbox_depth)


def months(plant: Plant) -> list[dict[str, object]]:
    return [dict(one.payload) for one in plant.writer.call(lambda store: own_statements(store, "month"))]


class People:
    """Composes as the centre does, and declares as the two people do."""

    def __init__(self, plant: Plant, centre: SmallCentre, root: Path) -> None:
        self.plant, self.centre = plant, centre
        self.parameters = jcs(json.loads((root / "accounting/parameters/cn-steel-2024.json").read_bytes()))
        centre.register(dict(TECHNICIAN.jwk), "tech", "technician")
        centre.register(dict(RESPONSIBLE.jwk), "boss", "responsible")

    def declare(
        self,
        *,
        rev: int = 1,
        tamper: bool = False,
        period: str = "2026-03",
        attachments: Sequence[Mapping[str, Any]] = (),
    ) -> list[str]:
        statements = [one for one in map(parse, self.centre.log) if one.kind != "key"]
        body = compose(plant="P-0001", period=period, statements=statements, plan=jcs(PLAN), parameters=self.parameters)
        if tamper:
            body = body.replace(b'"MWh"', b'"kWh"', 1)
        subjects = subjects_of(body, jcs(PLAN), self.parameters, attachments)
        for data in (body, jcs(PLAN), self.parameters):
            self.centre.content(data)
        said = {
            "v": 1,
            "kind": "declare",
            "plant": "P-0001",
            "t": time_text(self.plant.clock.now()),
            "period": period,
            "rev": rev,
            "subjects": subjects,
        }
        first = sign({**said, "role": "technician", "after": None}, TECHNICIAN)
        second = sign({**said, "role": "responsible", "after": first.sid}, RESPONSIBLE)
        self.centre.append(first.jws)
        self.centre.append(second.jws)
        return [first.sid, second.sid]
