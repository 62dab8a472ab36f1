"""A gateway in a test's hand: it signs a chain with a real tree, and the test decides what is sent when."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from views_world import plan

from evidence.encoding import jcs, time_text
from evidence.keys import SigningKey
from evidence.merkle import consistency_proof, leaf_hash, root
from evidence.reading import Flag, Leaf, leaf_line, leaf_members
from evidence.statement import Statement, sign
from evidence.tile_proof import tile_path
from evidence.tiles import TILE_WIDTH
from sync import PushItem, TileAnswer
from webapp import administration, enrolment
from webapp.center import Center
from webapp.settings import from_mapping

PLANT, GW = "P-0001", "GW-0001"
START = datetime(2026, 2, 28, 16, tzinfo=UTC)
"""Midnight of 1 March 2026 in the plant's zone."""
HOUR = timedelta(hours=1)


@dataclass
class Device:
    """Signs statements one after the other; nothing is sent by itself."""

    key: SigningKey = field(default_factory=lambda: SigningKey.from_seed(b"device-double-seed-0123456789abc"))
    plant: str = PLANT
    gw: str = GW
    epoch: int = 1
    seq: int = 0
    prev: str | None = None
    sealed: int = 0
    leaves: list[Leaf] = field(default_factory=list)
    anchor: dict[str, Any] | None = None

    def enrol(self, center: Center) -> enrolment.Enrolled:
        """Register the key with a fresh code."""
        code = enrolment.invite_gateway(center, self.plant, self.gw)
        return enrolment.finish(center, code, self.enrolment(center, enrolment.start(center, code).nonce))

    def enrolment(self, center: Center, nonce: str, **changes: Any) -> str:
        """Sign an enrolment."""
        payload = {
            "v": 1,
            "kind": "key",
            "plant": self.plant,
            "t": time_text(center.now()),
            "op": "enrol",
            "kid": self.key.kid,
            "jwk": dict(self.key.jwk),
            "nonce": nonce,
        }
        return sign({**payload, **changes}, self.key).jws

    def make(self, kind: str, *, is_next: bool = True, **members: Any) -> Statement:
        """Sign the next statement of the chain; `is_next=False` leaves the chain where it is."""
        payload = {
            "v": 1,
            "kind": kind,
            "plant": self.plant,
            "t": "2026-03-01T00:00:00.000Z",
            "gw": self.gw,
            "epoch": self.epoch,
            "seq": self.seq + 1,
            "prev": self.prev,
            "clk": {"boot": "b1", "mono": (self.seq + 1) * 1000, "src": "ntp", "off_ms": 0},
            "anchor": self.anchor,
            **members,
        }
        statement = sign(payload, self.key)
        if is_next:
            self.seq += 1
            self.prev = statement.sid
        return statement

    def event(self, type_: str = "maintenance", **members: Any) -> PushItem:
        """Sign an event."""
        return PushItem(self.make("event", type=type_, data=members.pop("data", {"note": "x"}), **members).jws)

    def config(self, channel: str = "ELEC.IMPORT") -> PushItem:
        """Declare a channel."""
        data = {
            "channel": channel,
            "unit": "kWh",
            "kind": "interval",
            "poll_ms": 900_000,
            "source": {"device": "meter-1", "via": "modbus"},
        }
        return self.event("config", data=data)

    def segment(self, hour: int, count: int = 4, value: str = "120.5", **members: Any) -> PushItem:
        """Read `count` values in an hour of the month and seal them."""
        start = START + hour * HOUR
        for number in range(count):
            time = start + number * (HOUR / count)
            self.leaves.append(Leaf(len(self.leaves), time, "ELEC.IMPORT", Decimal(value), "kWh", Flag.NORMAL))
        hashes = self.hashes(len(self.leaves))
        proof = tuple(one.hex() for one in consistency_proof(hashes, self.sealed)) if self.sealed else None
        total = str(Decimal(value) * count)
        entry = {"id": "ELEC.IMPORT", "n": count, "valid": count, "sum": total, "min": value, "max": value}
        given: dict[str, Any] = {
            "tree": {"start": self.sealed, "end": len(self.leaves), "root": root(hashes).hex()},
            "span": [time_text(start), time_text(start + HOUR)],
            "ch": [entry],
            **members,
        }
        self.sealed = len(self.leaves)
        return PushItem(self.make("segment", **given).jws, proof)

    @staticmethod
    def salt(tile: int) -> bytes:
        """The secret of a tile."""
        return bytes([tile % 251]) * 32

    def hashes(self, end: int) -> list[bytes]:
        """Level-0 hashes."""
        return [leaf_hash(leaf_line(leaf, self.salt(leaf.index // TILE_WIDTH))) for leaf in self.leaves[:end]]

    def tile(self, want: str, number: int, **changes: Any) -> TileAnswer:
        """Answer a want."""
        first, size = number * TILE_WIDTH, self.sealed
        hashes = self.hashes(size)
        lines = [jcs(leaf_members(leaf)).decode() for leaf in self.leaves[first : min(first + TILE_WIDTH, size)]]
        answer = {
            "id": want,
            "epoch": self.epoch,
            "tile": number,
            "size": size,
            "tile_salt": self.salt(number).hex(),
            "lines": tuple(lines),
            "path": tuple(one.hex() for one in tile_path(lambda a, b: root(hashes[a:b]), number, size)),
            "raw": tuple(f"{first + n:04x}" for n in range(len(lines))),
        }
        return TileAnswer(**{**answer, **changes})


@cache
def _template() -> Path:
    """A fresh centre on SQLite, made once and copied for each test."""
    folder = Path(tempfile.mkdtemp(prefix="cunzheng-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    settings = from_mapping({"data_dir": "data", "log": {"origin": "log.example/evidence"}}, folder)
    administration.initialise(settings)
    return folder


def bare_center(folder: Path, **sections: dict[str, Any]) -> Center:
    """A centre with one steel plant and nobody in it."""
    settings = from_mapping({"data_dir": "data", "log": {"origin": "log.example/evidence"}, **sections}, folder)
    if settings.database_url.startswith("sqlite"):
        shutil.copytree(_template() / "data", settings.data_dir)
    else:
        administration.initialise(settings)
    center = Center.open(settings)
    administration.add_plant(center, jcs(plan()))
    return center
