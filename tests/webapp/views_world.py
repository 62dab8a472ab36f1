"""A real centre (SQLite, log, pages) with a steel plant, its people and a gateway that signs."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from evidence.channel import Channel, ChannelKind
from evidence.encoding import jcs, sha256_hex, time_text
from evidence.keys import SigningKey
from evidence.merkle import consistency_proof, leaf_hash, root
from evidence.reading import Flag, Leaf, leaf_line, leaf_members
from evidence.segment import Baseline, summarise
from evidence.statement import Statement, sign
from evidence.tile_proof import tile_path
from evidence.tiles import TILE_WIDTH
from sync import ItemResult, PushItem, RawSide, Status, TileAnswer
from webapp import administration, enrolment, store_plants, store_readings, store_users, tile_wants
from webapp.center import Center
from webapp.models import LiveSample
from webapp.settings import from_mapping
from webapp.submission import submit

PLANT, GW, PERIOD = "P-0001", "GW-0001", "2026-03"
OTHER_PLANT = "P-0002"
ZONE = ZoneInfo("Asia/Shanghai")
START = datetime(2026, 3, 1, tzinfo=ZONE).astimezone(UTC)
PASSWORD = "correct horse battery"
PEOPLE = {
    "li.na": ("李娜", "Li Na", "technician", [PLANT], ""),
    "wang.jun": ("王军", "Wang Jun", "responsible", [PLANT], ""),
    "city": ("市审核员", "City Reviewer", "city", [], "4201"),
    "province": ("省审核员", "Province Reviewer", "province", [], "42"),
    "nation": ("国家审核员", "Nation Reviewer", "nation", [], ""),
    "inspector": ("执法人员", "Inspector", "inspector", [], "42"),
    "other.city": ("外市审核员", "Other City", "city", [], "3101"),
    "admin": ("管理员", "Administrator", "admin", [], ""),
}


def plan(plant: str = PLANT) -> dict[str, Any]:
    """The control plan: one metered item, one from the ledgers."""
    return {
        "v": 1,
        "plant": plant,
        "name": {"zh": "示范电炉钢厂", "en": "Example EAF works"},
        "zone": "Asia/Shanghai",
        "region": "420100",
        "sector": "steel",
        "parameters": "cn-steel-2024",
        "subjects": [
            {"id": "enterprise", "kind": "enterprise", "name": {"zh": "全厂", "en": "Enterprise"}},
            {"id": "EAF1", "kind": "process", "process": "eaf", "name": {"zh": "1#电炉", "en": "EAF 1"}},
        ],
        "items": [
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


@dataclass
class TestGateway:
    """An honest gateway without wires: signs what it is given and answers for its tiles."""

    __test__ = False
    center: Center
    key: SigningKey = field(default_factory=lambda: SigningKey.from_seed(bytes(range(32))))
    leaves: list[Leaf] = field(default_factory=list)
    sealed: int = 0
    seq: int = 0
    boot: int = 1
    mono: int = 0
    prev: str | None = None
    baselines: dict[str, Baseline] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    clock: str = "ntp"

    def enrol(self) -> None:
        """Enrol with a one-time code."""
        code = enrolment.invite_gateway(self.center, PLANT, GW)
        nonce = enrolment.start(self.center, code).nonce
        payload = {
            "v": 1,
            "kind": "key",
            "plant": PLANT,
            "t": time_text(self.center.now()),
            "op": "enrol",
            "kid": self.key.kid,
            "jwk": dict(self.key.jwk),
            "nonce": nonce,
        }
        enrolment.finish(self.center, code, sign(payload, self.key).jws)

    def say(self, kind: str, t: datetime, **members: Any) -> Statement:
        """Sign the next statement of the chain and have it logged."""
        self.seq += 1
        mono = (t - START + timedelta(days=3)) // timedelta(milliseconds=1)
        # What says it was signed earlier than the one before it was signed by a machine that had started anew.
        self.boot += mono < self.mono
        self.mono = mono
        payload = {
            "v": 1,
            "kind": kind,
            "plant": PLANT,
            "t": time_text(t),
            "gw": GW,
            "epoch": 1,
            "seq": self.seq,
            "prev": self.prev,
            "clk": {"boot": f"b{self.boot}", "mono": mono, "src": self.clock, "off_ms": 3},
            "anchor": None,
            **members,
        }
        consistency = payload.pop("consistency", None)
        statement = sign(payload, self.key)
        result = submit(self.center, [PushItem(statement.jws, consistency)])[0]
        assert result.status is Status.LOGGED, result
        self.prev = statement.sid
        return statement

    def declare(self, channel: Channel) -> None:
        """Declare a channel."""
        self.channels[channel.id] = channel
        self.say("event", START - timedelta(days=1), type="config", data=channel.config_data())

    @staticmethod
    def salt(tile: int) -> bytes:
        """The secret of a tile."""
        return bytes([tile % 256]) * 32

    def hashes(self, end: int) -> list[bytes]:
        """Level-0 hashes of the first leaves."""
        return [leaf_hash(leaf_line(leaf, self.salt(leaf.index // TILE_WIDTH))) for leaf in self.leaves[:end]]

    def hour(self, start: datetime, values: list[tuple[str, str | None, Flag]], **lies: str) -> Statement:
        """Read an hour of (channel, value, flag), evenly spread, and seal it; `lies` replace what the entries say."""
        for n, (channel, value, flag) in enumerate(values):
            number = None if value is None else Decimal(value)
            time = start + timedelta(minutes=15 * (n % 4))
            self.leaves.append(Leaf(len(self.leaves), time, channel, number, self.channels[channel].unit, flag))
        entries, self.baselines = summarise(self.leaves[self.sealed :], self.channels, start, ZONE, self.baselines)
        entries = [{**entry, **lies} for entry in entries]
        hashes = self.hashes(len(self.leaves))
        proof = tuple(value.hex() for value in consistency_proof(hashes, self.sealed)) if self.sealed else None
        tree = {"start": self.sealed, "end": len(self.leaves), "root": root(hashes).hex()}
        end = start + timedelta(hours=1)
        self.sealed = len(self.leaves)
        return self.say(
            "segment", end, tree=tree, span=[time_text(start), time_text(end)], ch=entries, consistency=proof
        )

    def tile(self, want: str, number: int, **changes: Any) -> TileAnswer:
        """Answer a want, under the last segment."""
        first = number * TILE_WIDTH
        lines = [jcs(leaf_members(leaf)).decode() for leaf in self.leaves[first : min(first + TILE_WIDTH, self.sealed)]]
        path = tile_path(partial(_range_root, self.hashes(self.sealed)), number, self.sealed)
        answer = {
            "id": want,
            "epoch": 1,
            "tile": number,
            "size": self.sealed,
            "tile_salt": self.salt(number).hex(),
            "lines": tuple(lines),
            "path": tuple(value.hex() for value in path),
            "raw": tuple(raw_side(first + n) for n in range(len(lines))),
        }
        return TileAnswer(**{**answer, **changes})

    def answer_wants(self) -> int:
        """Send every tile that was asked for; say how many."""
        with self.center.database.reading() as db:
            wants = store_readings.open_wants(db, GW, 100)
        for want in wants:
            with self.center.database.writing() as db:
                tile_wants.take(db, GW, PLANT, self.tile(want.id, want.tile), self.center.now())
        return len(wants)

    def sign_month(self, declared: tuple[str, str], subjects: list[Any], cover: list[Any]) -> Statement:
        """Sign the month that two people declared."""
        return self.say(
            "month",
            self.center.now(),
            period=PERIOD,
            rev=1,
            supersedes=None,
            prev_month=None,
            subjects=subjects,
            declared=list(declared),
            cover=cover,
        )


def _range_root(hashes: list[bytes], start: int, end: int) -> bytes:
    return root(hashes[start:end])


def raw_side(index: int) -> str:
    """What came over the wire for a leaf."""
    return RawSide(raw=f"{index:04x} 41a0", received=time_text(START + timedelta(minutes=15 * index))).to_text()


SETTINGS = {
    "data_dir": "data",
    "log": {"origin": "log.example/evidence"},
    "web": {"secure_cookies": False},
    "limits": {"login_per_minute": 1000},
}


@cache
def _template() -> Path:
    """One initialised centre for the whole run, to be copied: hashing passwords takes its time."""
    folder = Path(tempfile.mkdtemp(prefix="cunzheng-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    make_center(folder).database.close()
    return folder


def copy_center(folder: Path) -> Center:
    """Give a test its own copy of an initialised centre."""
    shutil.copytree(_template() / "data", folder / "data")
    return Center.open(from_mapping(SETTINGS, folder))


def make_center(folder: Path) -> Center:
    """Initialise a centre with two plants and people of every role."""
    settings = from_mapping(SETTINGS, folder)
    administration.initialise(settings)
    center = Center.open(settings)
    administration.add_plant(center, jcs(plan()))
    administration.add_plant(center, jcs({**plan(OTHER_PLANT), "region": "310100"}))
    for name, (zh, en, role, plants, region) in PEOPLE.items():
        administration.add_user(
            center, name=name, role=role, password=PASSWORD, plants=plants, region=region, name_zh=zh, name_en=en
        )
    return center


def fill(center: Center, hours: int = 30) -> TestGateway:
    """Enrol a gateway and seal the first hours of the month, with one fault in hour 5."""
    gateway = TestGateway(center)
    gateway.enrol()
    gateway.declare(
        Channel("ELEC.IMPORT", "kWh", ChannelKind.INTERVAL, timedelta(minutes=15), "meter-1", "modbus", serial="E-4711")
    )
    for n in range(hours):
        values: list[tuple[str, str | None, Flag]] = [
            ("ELEC.IMPORT", f"{120 + n % 7}.{quarter}", Flag.NORMAL) for quarter in range(4)
        ]
        if n == 5:
            values[2] = ("ELEC.IMPORT", None, Flag.NO_COMMUNICATION)
        gateway.hour(START + timedelta(hours=n), values)
    return gateway


def add_live(center: Center) -> None:
    """A day of live values, with a pause and a flagged one."""
    now = center.now()
    samples = [
        LiveSample(
            plant=PLANT,
            channel="ELEC.IMPORT",
            time=now - timedelta(minutes=15 * n + 1),
            value=f"{120 + (n * 7) % 40}.{n % 10}",
            unit="kWh",
            flag="D" if n == 20 else "N",
            gw=GW,
        )
        for n in range(95)
        if not 40 < n < 46
    ]
    with center.database.writing() as db:
        store_readings.add_live(db, samples)
        store_plants.note_seen(db, GW, now - timedelta(minutes=3))


class Person:
    """Someone whose key a test holds itself, in place of a browser."""

    def __init__(self, center: Center, name: str) -> None:
        self.center, self.name = center, name
        self.key = SigningKey.from_seed(sha256_hex(name.encode()).encode()[:32], "ES256")

    def payload(self, **members: Any) -> dict[str, Any]:
        """A payload at the present time."""
        return {"v": 1, "t": time_text(self.center.now()), **members}

    def enrol(self) -> ItemResult | None:
        """Register the key."""
        with self.center.database.reading() as db:
            account = store_users.find(db, self.name)
        assert account is not None
        nonce = enrolment.give_nonce(self.center, self.name)
        jws = self.sign(kind="key", plant="", op="enrol", kid=self.key.kid, jwk=dict(self.key.jwk), nonce=nonce)
        return enrolment.enrol_person(self.center, account, jws)

    def sign(self, **members: Any) -> str:
        """Sign a statement."""
        return sign(self.payload(**members), self.key).jws


def log_in(app: Flask, name: str) -> FlaskClient:
    """Log in as somebody who reads English."""
    client = app.test_client()
    client.set_cookie("lang", "en")
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/login").text)
    assert found is not None
    answer = client.post("/login", data={"csrf_token": found[1], "name": name, "password": PASSWORD})
    assert answer.status_code == 303
    return client


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    """Serve an application on a free port."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
