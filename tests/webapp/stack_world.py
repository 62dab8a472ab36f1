"""A gateway that seals hours of a stack for the tests of pages: a CO2 mass channel and what it is computed from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from accounting.cems_rules import rules_name
from evidence.channel import Channel, ChannelKind
from evidence.encoding import time_text
from evidence.judge_rules import packaged_rules
from evidence.merkle import consistency_proof, root
from evidence.reading import Flag, Leaf
from evidence.segment import summarise
from evidence.stack import Derivation, StackMeaning
from tests.webapp import views_world as world
from webapp.center import Center

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
MASS, CO2 = "STACK.CO2MASS", "STACK.CO2"
RULES = packaged_rules()


def meaning(quantity: str) -> StackMeaning:
    return StackMeaning(quantity, Decimal(12), Decimal("0.75"), RULES.name_json())


CHANNELS = (
    Channel(
        MASS,
        "t/h",
        ChannelKind.DERIVED,
        MINUTE,
        "cems1",
        "derived",
        subject="EAF1",
        stack=meaning("co2_mass"),
        derived=Derivation("co2-mass", {"co2": CO2}, {"area_m2": Decimal("27.64")}, rules_name(), "dry"),
    ),
    Channel(CO2, "%", ChannelKind.VALUE, MINUTE, "cems1", "modbus", subject="EAF1", stack=meaning("co2_concentration")),
)


class Stack:
    """A gateway that seals hours of a stack, one reading a minute."""

    def __init__(self, center: Center, gateway: world.TestGateway | None = None) -> None:
        self.center, self.gateway = center, gateway or world.fill(center, hours=1)
        self.app: Flask | None = None
        self.clients: dict[str, FlaskClient] = {}
        for channel in CHANNELS:
            self.gateway.declare(channel)

    def hour(self, at: int, valid: int = 60, *, tonnes: str = "12.5", **notes: Mapping[str, Any]) -> None:
        """Seal an hour whose first minutes are valid and the rest in calibration; `notes` are said of the mass."""
        gateway, start = self.gateway, world.START + at * HOUR
        for minute in range(60):
            flag = Flag.NORMAL if minute < valid else Flag.CALIBRATION
            for channel, value in ((MASS, tonnes), (CO2, "18.4")):
                leaf = Leaf(
                    len(gateway.leaves),
                    start + minute * MINUTE,
                    channel,
                    Decimal(value),
                    gateway.channels[channel].unit,
                    flag,
                )
                gateway.leaves.append(leaf)
        new = gateway.leaves[gateway.sealed :]
        entries, gateway.baselines = summarise(new, gateway.channels, start, world.ZONE, gateway.baselines)
        entries = [{**entry, **notes} if entry["id"] == MASS else entry for entry in entries]
        hashes = gateway.hashes(len(gateway.leaves))
        tree = {"start": gateway.sealed, "end": len(gateway.leaves), "root": root(hashes).hex()}
        proof = tuple(value.hex() for value in consistency_proof(hashes, gateway.sealed))
        gateway.sealed = len(gateway.leaves)
        span = [time_text(start), time_text(start + HOUR)]
        gateway.say("segment", start + HOUR, tree=tree, span=span, ch=entries, consistency=proof)

    def stop(self, first: int, end: int) -> None:
        """Mark a stop of the stack."""
        start, finish = world.START + first * HOUR, world.START + end * HOUR
        data = {
            "record": "mark",
            "kind": "stop",
            "from": time_text(start),
            "to": time_text(finish),
            "entered": time_text(finish),
            "by": "Li",
            "reason": "planned",
            "subject": "EAF1",
        }
        self.gateway.say("event", finish, type="maintenance", data=data)
