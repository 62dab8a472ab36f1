"""Events that carry a record of people: complete and of the right type, or refused."""

from __future__ import annotations

from typing import Any

import pytest

from evidence.errors import Code, EvidenceError
from evidence.kinds import validate

NOW = "2026-03-01T00:00:00.000Z"
MARK: dict[str, Any] = {
    "record": "mark",
    "kind": "stop",
    "from": NOW,
    "to": "2026-03-01T08:00:00.000Z",
    "entered": NOW,
    "by": "Li Lei",
    "reason": "relining",
    "subject": "KILN",
}
CALIBRATION: dict[str, Any] = {
    "record": "calibration",
    "channel": "CO2",
    "check": "zero-span",
    "at": NOW,
    "entered": NOW,
    "by": "Han Mei",
    "passed": True,
}
IDENTITY = {
    "record": "identity",
    "device": "gas",
    "point": "serial_number",
    "before": "17012345",
    "after": "17012346",
    "seen": NOW,
    "found": "2026-03-01T01:00:00.000Z",
}


def event(event_type: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "v": 1, "kind": "event", "plant": "P-0001", "t": NOW, "gw": "GW-0001", "epoch": 1, "seq": 1, "prev": None,
        "clk": {"boot": "b", "mono": 1, "src": "ntp", "off_ms": 0}, "anchor": None, "type": event_type, "data": data,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("maintenance", MARK),
        (
            "maintenance",
            {**{k: v for k, v in MARK.items() if k != "subject"}, "channels": ["CO2"], "evidence": ["0" * 64]},
        ),
        ("calibration", CALIBRATION),
        ("calibration", {**CALIBRATION, "reference": "12.5", "reading": "12.4", "note": "bottle 7"}),
        ("maintenance", IDENTITY),
        ("maintenance", {"note": "an older event of free form"}),
    ],
)
def test_complete_record_is_accepted(event_type: str, data: dict[str, Any]) -> None:
    validate(event(event_type, data))


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("maintenance", {**IDENTITY, "after": "17012345"}),
        ("maintenance", {k: v for k, v in IDENTITY.items() if k != "before"}),
        ("calibration", IDENTITY),
        ("calibration", MARK),
        ("maintenance", CALIBRATION),
        ("maintenance", {**MARK, "kind": "holiday"}),
        ("maintenance", {**MARK, "to": NOW}),
        ("maintenance", {**MARK, "channels": ["CO2"]}),
        ("maintenance", {k: v for k, v in MARK.items() if k != "subject"}),
        ("maintenance", {**MARK, "reason": ""}),
        ("maintenance", {**MARK, "value": "0"}),
        ("calibration", {**CALIBRATION, "passed": "yes"}),
        ("calibration", {**CALIBRATION, "check": "look"}),
        ("calibration", {k: v for k, v in CALIBRATION.items() if k != "by"}),
    ],
)
def test_record_that_lacks_or_adds_something_is_refused(event_type: str, data: dict[str, Any]) -> None:
    with pytest.raises(EvidenceError) as caught:
        validate(event(event_type, data))
    assert caught.value.code is Code.SCHEMA
