"""A small honest world for verification tests: one plant, its people, a log in memory, a signed month.

``World`` is a simulator with dials, not a mock: tests change what is signed, logged or packed, and look at the verdict.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from evidence.bundle import Bundle
from evidence.channel import Channel, ChannelKind
from evidence.disclosure import Disclosure
from evidence.encoding import jcs, sha256_hex, time_text
from evidence.keys import ED25519, ES256, SigningKey
from evidence.merkle import inclusion_proof, leaf_hash, root
from evidence.note import NoteKey, sign_checkpoint
from evidence.reading import Flag, Leaf, leaf_line, leaf_members
from evidence.receipt import Receipt
from evidence.registry import KeyEntry, PlantEntry, Registry
from evidence.segment import Baseline, summarise
from evidence.statement import Statement, sign
from evidence.tile_file import TileFile
from evidence.tile_proof import TileProof, tile_path
from evidence.tiles import TILE_WIDTH
from evidence.trust import Trust

NOW = datetime(2026, 4, 5, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 2, 28, 16, tzinfo=UTC)
ORIGIN = "log.example/evidence"


def seed(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


@dataclass
class World:
    """Signs, logs and packs a month; every list may be changed by a test before packing."""

    keys: dict[str, SigningKey] = field(default_factory=dict)
    entries: list[KeyEntry] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)
    content: dict[str, bytes] = field(default_factory=dict)
    seq: int = 0
    prev: str | None = None
    sealed: int = 0
    baselines: dict[str, Baseline] = field(default_factory=dict)
    anchor: dict[str, Any] | None = None
    segments: list[Statement] = field(default_factory=list)
    edit_body: Callable[[dict[str, Any]], None] = lambda body: None
    edit_entries: Callable[[list[dict[str, Any]]], None] = lambda entries: None

    def __post_init__(self) -> None:
        self.log_key = SigningKey.from_seed(seed("log"))
        self.channels = {
            "E.KWH": Channel("E.KWH", "kWh", ChannelKind.INTERVAL, timedelta(minutes=15), "meter", "import"),
        }
        self.add_key("gateway", "GW-1", {"gateway"}, plants={"P-1"}, alg=ED25519)
        self.add_key("technician", "li", {"technician"}, plants={"P-1"})
        self.add_key("responsible", "wang", {"responsible"}, plants={"P-1"})
        self.add_key("city", "city-1", {"city"}, region="4201")
        self.add_key("province", "prov-1", {"province"}, region="42")
        self.add_key("nation", "nat-1", {"nation"}, region="")

    def add_key(
        self,
        name: str,
        owner: str,
        roles: set[str],
        *,
        plants: set[str] | None = None,
        region: str | None = None,
        alg: str = ES256,
    ) -> None:
        key = self.keys[name] = SigningKey.from_seed(seed(name), alg)
        owner_type = "gateway" if "gateway" in roles else "person"
        self.entries.append(
            KeyEntry(
                key.kid, key.jwk, owner_type, owner, frozenset(roles), frozenset(plants or ()), region, "software", 0
            )
        )

    @staticmethod
    def sign(payload: dict[str, Any], key: SigningKey) -> Statement:
        return sign(payload, key)

    def put(self, statement: Statement) -> Statement:
        self.log.append(statement.jws)
        return statement

    def say(self, who: str, kind: str, **members: Any) -> Statement:
        common = {"v": 1, "kind": kind, "plant": "P-1", "t": time_text(NOW - timedelta(days=1))}
        return self.put(self.sign({**common, **members}, self.keys[who]))

    def device(self, kind: str, *, boot: str = "b1", **members: Any) -> Statement:
        self.seq += 1
        clock = {"boot": boot, "mono": self.seq * 1000, "off_ms": 3, "src": "ntp"}
        chain = {"gw": "GW-1", "epoch": 1, "seq": self.seq, "prev": self.prev, "clk": clock, "anchor": self.anchor}
        statement = self.say("gateway", kind, **{**chain, **members})
        self.prev = statement.sid
        return statement

    @staticmethod
    def salt(tile: int) -> bytes:
        return seed(f"tile {tile}")

    def line(self, leaf: Leaf) -> bytes:
        return leaf_line(leaf, self.salt(leaf.index // 256))

    def hashes(self) -> list[bytes]:
        return [leaf_hash(self.line(leaf)) for leaf in self.leaves]

    def read_hour(self, hour: int, values: list[str]) -> None:
        for quarter, value in enumerate(values):
            time = START + timedelta(hours=hour, minutes=15 * quarter)
            self.leaves.append(Leaf(len(self.leaves), time, "E.KWH", Decimal(value), "kWh", Flag.NORMAL))

    def seal(self, hour: int) -> Statement:
        span = START + timedelta(hours=hour)
        new = self.leaves[self.sealed :]
        entries, self.baselines = summarise(new, self.channels, span, ZONE, self.baselines)
        self.edit_entries(entries)
        tree = {"start": self.sealed, "end": len(self.leaves), "root": root(self.hashes()).hex()}
        times = [time_text(span), time_text(span + timedelta(hours=1))]
        statement = self.device("segment", tree=tree, span=times, ch=entries)
        self.sealed = len(self.leaves)
        self.segments.append(statement)
        return statement

    def attach(self, name: str, data: bytes) -> dict[str, Any]:
        digest = sha256_hex(data)
        self.content[digest] = data
        return {"name": name, "size": len(data), "sha256": digest, "type": "application/json"}

    def cover(self) -> list[dict[str, Any]]:
        first, last = self.segments[0], self.segments[-1]
        return [
            {
                "gw": "GW-1",
                "epoch": 1,
                "start": first.payload["tree"]["start"],
                "end": last.payload["tree"]["end"],
                "root": last.payload["tree"]["root"],
                "first": first.sid,
                "last": last.sid,
                "n": len(self.segments),
            }
        ]

    def body(self) -> bytes:
        valid = [leaf.value for leaf in self.leaves if leaf.is_valid and leaf.value is not None]
        channel = {"gw": "GW-1", "id": "E.KWH", "n": len(self.leaves), "valid": len(valid), "sum": str(sum(valid))}
        body = {"v": 1, "plant": "P-1", "period": "2026-03", "cover": self.cover(), "channels": [channel]}
        self.edit_body(body)
        return jcs(body)

    def run_hours(self, hours: int = 4) -> None:
        self.device("event", type="epoch-open", data={"reason": "enrolled"})
        for channel in self.channels.values():
            self.device("event", type="config", data=channel.config_data())
        for hour in range(hours):
            self.read_hour(hour, [f"{hour}.25", "3.17", "4", "0.5"])
            self.seal(hour)

    def declare(self, subjects: list[dict[str, Any]], rev: int = 1) -> list[str]:
        said = {"period": "2026-03", "rev": rev, "subjects": subjects}
        technician = self.say("technician", "declare", role="technician", after=None, **said)
        responsible = self.say("responsible", "declare", role="responsible", after=technician.sid, **said)
        return [technician.sid, responsible.sid]

    def close_month(self, rev: int = 1, supersedes: str | None = None, **changed: Any) -> Statement:
        subjects = [self.attach("body.json", self.body()), self.attach("plan.json", b'{"plan":1}')]
        members: dict[str, Any] = {
            "period": "2026-03",
            "rev": rev,
            "supersedes": supersedes,
            "prev_month": None,
            "subjects": subjects,
            "declared": self.declare(subjects, rev),
            "cover": self.cover(),
        }
        if supersedes:
            members["reason"] = "late report"
        return self.device("month", **{**members, **changed})

    def review(
        self, level: str, month: str, after: str, decision: str = "approve", who: str | None = None
    ) -> Statement:
        said = {"level": level, "subject": month, "decision": decision, "after": after, "note": ""}
        report = self.attach("report.json", b"report")["sha256"]
        return self.say(who or level, "review", **said, report=report, anchor=None)

    def approve(self, month: Statement) -> None:
        city = self.review("city", month.sid, month.sid)
        self.review("province", month.sid, city.sid)

    def trust(self, **changed: Any) -> Trust:
        registry = Registry.of(self.entries, [PlantEntry("P-1", "Asia/Shanghai", "420100")])
        log = NoteKey(ORIGIN, 1, self.log_key.public.raw)
        trust = Trust(log, registry, len(self.log), NOW, NOW + timedelta(days=7))
        return replace(trust, **changed)

    def disclosure(self, index: int) -> Disclosure:
        segment = next(one for one in self.segments if one.payload["tree"]["end"] > index)
        end = segment.payload["tree"]["end"]
        path = tuple(inclusion_proof(self.hashes()[:end], index))
        return Disclosure("GW-1", 1, segment.sid, self.line(self.leaves[index]).decode(), index, end, path)

    def tile(self, number: int, segment: Statement | None = None) -> TileFile:
        """The raw tile, proven against the first segment that holds it whole, or else the last."""
        whole = [one for one in self.segments if one.payload["tree"]["end"] >= (number + 1) * TILE_WIDTH]
        chosen = segment or (whole or self.segments[-1:])[0]
        size, hashes = chosen.payload["tree"]["end"], self.hashes()
        path = tile_path(lambda start, end: root(hashes[start:end]), number, size)
        lines = [stored_line(leaf) for leaf in self.leaves[number * TILE_WIDTH : min((number + 1) * TILE_WIDTH, size)]]
        return TileFile(chosen.sid, TileProof(number, size, self.salt(number), tuple(lines), tuple(path)))

    def pack(self, *, readings: tuple[int, ...] = (0, 5), tiles: tuple[TileFile, ...] = ()) -> Bundle:
        hashes = [leaf_hash(jws.encode()) for jws in self.log]
        checkpoint = sign_checkpoint(ORIGIN, len(hashes), root(hashes), self.log_key)
        statements, proofs = {}, {}
        for index, jws in enumerate(self.log):
            sid = sha256_hex(jws.rpartition(".")[0].encode())
            statements[sid] = jws.encode()
            proofs[sid] = Receipt(index, tuple(inclusion_proof(hashes, index)), checkpoint).to_text().encode()
        shown = {self.disclosure(index).name: self.disclosure(index).to_bytes() for index in readings}
        raw = {tile.name: tile.to_bytes() for tile in tiles}
        return indexed(Bundle(statements, proofs, dict(self.content), shown, raw))


def stored_line(leaf: Leaf) -> str:
    return json.dumps(leaf_members(leaf), ensure_ascii=False, separators=(",", ":"))


def indexed(bundle: Bundle) -> Bundle:
    return replace(bundle, index=bundle.expected_index())
