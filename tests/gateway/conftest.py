"""A gateway that is enrolled without a centre, on a clock that the test moves."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from small_centre import CODE, SmallCentre

from evidence.keys import SigningKey
from evidence.note import ED25519_NOTE, NoteKey
from gateway.assembly import judge_of
from gateway.catalogue import Catalogue, load_catalogue
from gateway.chain import Signer
from gateway.clock import SteppedClock
from gateway.enrol import enrol
from gateway.identity import Identity, adopt, read_key
from gateway.pipeline import Pipeline
from gateway.rawtile import RawFolder
from gateway.syncing import Syncing
from gateway.uplink import Uplink
from gateway.writer import Writer

if TYPE_CHECKING:
    from plant_life import People

SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
LOG_KEY = SigningKey.from_seed(bytes(range(32)))
ORIGIN = "log.example/evidence"
LOG = NoteKey(ORIGIN, ED25519_NOTE, LOG_KEY.public.raw)
START = datetime(2026, 3, 1, tzinfo=UTC)

SITE = """
[[import]]
id = "historian"

[[channel]]
id = "ELEC.IMPORT"
device = "historian"
kind = "interval"
unit = "kWh"
param = "electricity"
subject = "enterprise"

[[channel]]
id = "TEMP"
device = "historian"
kind = "value"
unit = "degC"
"""


@dataclass
class Plant:
    """One gateway's parts, and a way to open them again as after a restart."""

    folder: Path
    clock: SteppedClock
    identity: Identity
    catalogue: Catalogue
    writer: Writer
    pipeline: Pipeline

    def reopen(self) -> Plant:
        """Close the store and open everything anew."""
        self.writer.close()
        return open_plant(self.folder, self.clock, self.identity)

    def import_paths(self, csv: str | bytes, how: str) -> tuple[Path, Path]:
        """Write an export and its map; return their paths."""
        data, map_path = self.folder / "export.csv", self.folder / "map.toml"
        data.write_bytes(csv if isinstance(csv, bytes) else textwrap.dedent(csv).lstrip().encode())
        map_path.write_text(textwrap.dedent(how), "utf-8")
        return data, map_path


def open_plant(folder: Path, clock: SteppedClock, identity: Identity, key: SigningKey | None = None) -> Plant:
    catalogue = load_catalogue(folder / "site.toml")
    writer = Writer(folder / "gateway.db")
    writer.call(lambda store: adopt(store, identity))
    signer = Signer(identity, key or SigningKey.from_seed(SEED), clock)
    pipeline = Pipeline(writer, signer, RawFolder(folder / "raw"), judge_of(catalogue))
    pipeline.open()
    return Plant(folder, clock, identity, catalogue, writer, pipeline)


def enrolled_plant(folder: Path, clock: SteppedClock, centre: SmallCentre) -> Plant:
    """Enrol with the small centre in a folder that has a site file and no database."""
    writer = Writer(folder / "gateway.db")
    with Uplink(centre.url, None, clock, timeout_s=2) as uplink:
        identity = enrol(writer, uplink, clock, folder / "gateway.key", CODE, again=False)
    writer.close()
    return open_plant(folder, clock, identity, read_key(folder / "gateway.key"))


@pytest.fixture
def make_plant(tmp_path: Path) -> Iterator[Callable[..., Plant]]:
    """Make a plant from a site file's text; its writer is closed at the end."""
    made: list[Plant] = []

    def make(site: str = SITE, *, zone: str = "Asia/Shanghai", now: datetime = START) -> Plant:
        (tmp_path / "site.toml").write_text(site, "utf-8")
        key = SigningKey.from_seed(SEED)
        identity = Identity("GW-0001", "P-0001", zone, 1, key.kid, ORIGIN, LOG.text)
        made.append(open_plant(tmp_path, SteppedClock(now), identity))
        return made[-1]

    yield make
    for plant in made:
        plant.writer.close()


@pytest.fixture
def plant(make_plant: Callable[..., Plant]) -> Plant:
    return make_plant()


@pytest.fixture
def centre() -> Iterator[SmallCentre]:
    with SmallCentre() as made:
        yield made


@pytest.fixture
def enrolled(make_plant: Callable[..., Plant], centre: SmallCentre, tmp_path: Path) -> Plant:
    """A plant that enrolled with the small centre."""
    made = make_plant()
    made.writer.close()
    (tmp_path / "gateway.db").unlink()
    fresh = enrolled_plant(tmp_path, made.clock, centre)
    made.writer, made.pipeline, made.identity = fresh.writer, fresh.pipeline, fresh.identity
    return made


@pytest.fixture
def uplink(enrolled: Plant, centre: SmallCentre) -> Iterator[Uplink]:
    with Uplink(centre.url, enrolled.pipeline.signer.key, enrolled.clock, timeout_s=2) as made:
        yield made


@pytest.fixture
def syncing(enrolled: Plant, uplink: Uplink) -> Syncing:
    return Syncing(enrolled.pipeline, uplink, enrolled.folder / "content", batch=20, longest_pause_s=60)


@pytest.fixture
def people(enrolled: Plant, centre: SmallCentre, root: Path) -> People:
    from plant_life import People

    return People(enrolled, centre, root)
