"""kill -9 of a gateway that lets go of what is old: no proof is lost, and nothing goes that has to stay.

Two of three imported files are logged; years later the rows of their tiles go, and, where the month is signed, the
raw tiles. Whatever is killed when, the end is that of an undisturbed run.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from fault_injection import Fault, Injection, Setting, WrongClock
from fault_programs import Program, wait_until
from fault_world import PERIOD, World, done

from evidence.encoding import time_text
from evidence.tile_proof import verify_tile
from evidence.tiles import TILE_WIDTH
from gateway.assembly import open_gateway
from gateway.chain import Signer, append, own_statements, store_receipt
from gateway.clock import RealClock
from gateway.kept_store import Kept, kept_of
from gateway.rawtile import RawFolder
from gateway.store import Store
from gateway.tree import ReadingTree

ROUNDS = int(os.environ.get("CUNZHENG_FAULT_ROUNDS", "50"))
KILLED = -signal.SIGKILL
LATER = timedelta(days=6 * 366)
LOOKS = 40
"""Looks of the retention, a tile each, after which nothing more goes."""
LOOK_EVERY_S = 0.05
SITE = """
[[import]]
id = "historian"
interval_s = 900
[[channel]]
id = "ELEC.IMPORT"
device = "historian"
kind = "interval"
unit = "kWh"
param = "electricity"
subject = "enterprise"
[[channel]]
id = "GAS.IMPORT"
device = "historian"
kind = "interval"
unit = "Nm3"
param = "gas"
subject = "ROLL1"
"""
KEPT_FOR_EVER = ("statement", "segment", "receipt", "tile", "tree", "channel")


@dataclass(frozen=True)
class Left:
    """What is still there of the readings."""

    kept: Kept
    rows: frozenset[int]
    files: frozenset[str]

    def holds(self, other: Left) -> bool:
        """Tell whether everything of another state is here as well."""
        return self.rows >= other.rows and self.files >= other.files


class OldWorld(World):
    """A gateway whose readings are years old; nothing is polled."""

    @property
    def data(self) -> Path:
        return self.folder / "gateway"

    def write_settings(self, *, centre_url: str | None = None) -> None:
        """Read nothing but imports, and believe a clock that is years ahead."""
        super().write_settings(centre_url=centre_url)
        self.write("site.toml", SITE)
        text = (self.folder / "gateway.toml").read_text("utf-8")
        self.write("gateway.toml", f"{text}[clock]\nahead_days = 3650\n[retention]\nrows_days = 1\n")

    def run_years_later(self, *faults: Injection) -> Program:
        """Start the service; its retention takes one small step after the other."""
        self.write("clock", str(LATER.total_seconds()))
        steps = [
            WrongClock("gateway.clock:datetime", str(self.folder / "clock")),
            Setting("gateway.service:RETENTION_CHECK_S", LOOK_EVERY_S),
            Setting("gateway.retention:TILES_A_STEP", 1),
            Setting("gateway.retention:STEPS_A_RUN", 1),
        ]
        return self.gateway("run", faults=[*steps, *faults])

    def left(self) -> Left:
        """Look at what is there."""
        kept = self.gateway_rows("SELECT rows_from, files_from FROM kept WHERE epoch = 1") or [(0, 0)]
        return Left(
            Kept(1, *kept[0]),
            frozenset(row[0] for row in self.gateway_rows("SELECT seq FROM reading WHERE leaf IS NOT NULL")),
            frozenset(path.relative_to(self.data).as_posix() for path in self.data.glob("raw/1/*/*.json.gz")),
        )

    def kept_for_ever(self) -> dict[str, list[tuple[object, ...]]]:
        """Return every row that no retention may touch."""
        return {name: self.gateway_rows(f"SELECT * FROM {name}") for name in KEPT_FOR_EVER}


def build(folder: Path, template: Path, *, signed: bool) -> None:
    """Import three files, log two of them, and let the years pass."""
    shutil.copytree(template, folder, ignore=shutil.ignore_patterns("logs"))
    world = OldWorld(folder, is_copy=False)
    try:
        world.start_centre()
        *logged, unsent = world.exports(3, 10)
        for file in logged:
            world.import_file(file)
        world.sync()
        world.kill_centre()
        world.import_file(unsent)
        with open_gateway(folder / "gateway.toml") as gateway:
            signer = gateway.pipeline.signer
            gateway.writer.call(lambda store: _pass_years(store, signer, signed=signed))
    finally:
        world.close()


def _pass_years(store: Store, signer: Signer, *, signed: bool) -> None:
    """Sign the month, of which only its period matters here, and hear from the centre once more years later."""
    zero = "0" * 64
    names = ("body.json", "plan.json", "p.json")
    if signed:
        month = {
            "period": PERIOD,
            "rev": 1,
            "supersedes": None,
            "prev_month": None,
            "subjects": [{"name": name, "sha256": zero, "size": 1, "type": "application/json"} for name in names],
            "declared": [zero, zero],
            "cover": [],
        }
        append(store, signer, "month", month)
    heard = append(store, signer, "event", {"type": "restart", "data": {"reason": "start"}})
    store_receipt(store, heard.sid, 1_000_000, "receipt", time_text(RealClock().now() + LATER))


@pytest.fixture(scope="module", params=["rows", "rows and raw tiles"])
def old(request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old") / "world"
    build(folder, template, signed=request.param != "rows")
    return folder


@pytest.fixture
def make_old(old: Path, tmp_path: Path) -> Iterator[Callable[[], OldWorld]]:
    made: list[OldWorld] = []

    def make() -> OldWorld:
        folder = tmp_path / f"old-{len(made)}"
        shutil.copytree(old, folder, ignore=shutil.ignore_patterns("logs"))
        made.append(OldWorld(folder))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture(scope="module")
def expected(old: Path, tmp_path_factory: pytest.TempPathFactory) -> Left:
    """What an undisturbed run leaves."""
    folder = tmp_path_factory.mktemp("undisturbed") / "world"
    shutil.copytree(old, folder, ignore=shutil.ignore_patterns("logs"))
    world = OldWorld(folder)
    try:
        before = world.left()
        after = undisturbed(world)
    finally:
        world.close()
    signed = after.kept.files_from > 0
    assert before.holds(after)
    assert len(before.rows) - len(after.rows) >= after.kept.rows_from * TILE_WIDTH - 4  # newest of each channel stay
    assert len(before.files) - len(after.files) == after.kept.files_from == (after.kept.rows_from if signed else 0)
    assert 8 <= after.kept.rows_from < len(before.files) - 5, "a third of it is not logged and stays"
    return after


def undisturbed(world: OldWorld) -> Left:
    """Run until the retention has looked so often that nothing more goes."""
    service = world.run_years_later(Fault("gateway.retention:Retention.run", "die after", LOOKS))
    assert service.wait() == KILLED, service.said()
    return world.left()


def audit(world: OldWorld, expected: Left, forever: dict[str, list[tuple[object, ...]]]) -> None:
    """Check that everything that has to be there is, and that every raw tile still proves its readings."""
    checked = done(world.gateway("check"))
    assert checked["ok"], checked
    assert world.left().holds(expected), "something went that has to stay"
    for name, rows in world.kept_for_ever().items():
        gone = set(forever[name]) - set(rows)
        assert gone == set(), f"{name}: {len(gone)} rows went"
    store, raw = Store(world.data / "gateway.db"), RawFolder(world.data / "raw")
    try:
        tree = ReadingTree(store, raw, 1, bytes)
        signed = {one.payload["tree"]["end"]: one.payload["tree"]["root"] for one in own_statements(store, "segment")}
        for number in range(kept_of(store, 1).files_from, -(-tree.size // TILE_WIDTH)):
            proof = tree.prove_tile(number, tree.size)
            assert verify_tile(proof, bytes.fromhex(signed[tree.size]))
    finally:
        store.close()


def kill(world: OldWorld, rng: random.Random, last: Kept) -> bool:
    """Kill the service at a random moment, mostly soon after a step; tell whether it had let go of something."""
    before = world.left().kept
    service = world.run_years_later()
    if before != last and rng.random() < 0.75:  # else in the middle of the start
        wait_until(lambda: world.left().kept != before or not service.is_running, "a step of the retention")
    time.sleep(rng.uniform(0.0, 2 * LOOK_EVERY_S))
    assert service.is_running, service.said()
    service.kill()
    assert "Traceback" not in service.said(), service.said()
    return world.left().kept != before


def kill_and_compare(make_old: Callable[[], OldWorld], expected: Left, rng: random.Random, kills: int) -> None:
    world = make_old()
    forever = world.kept_for_ever()
    met = 0
    for _ in range(kills):
        met += kill(world, rng, expected.kept)
        audit(world, expected, forever)
    print(f"kills={kills} while it let go={met} kept={world.left().kept}")
    assert met >= 2
    assert undisturbed(world) == expected
    audit(world, expected, forever)


def test_kills_while_old_readings_go_change_nothing(
    make_old: Callable[[], OldWorld], expected: Left, rng: random.Random
) -> None:
    kill_and_compare(make_old, expected, rng, 6)


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(max(1, ROUNDS // 10)))
def test_kills_with_other_seeds_while_old_readings_go_change_nothing(
    make_old: Callable[[], OldWorld], expected: Left, seed: int
) -> None:
    print(f"seed={seed}")
    kill_and_compare(make_old, expected, random.Random(f"retention:{seed}"), 10)


@pytest.mark.parametrize("old", ["rows and raw tiles"], indirect=True)
@pytest.mark.parametrize(
    "fault",
    [
        Fault("gateway.retention:keep_from", "die after", 2),  # written down, nothing committed
        Fault("gateway.retention:drop_rows", "die after", 3),  # rows deleted, not committed
        Fault("gateway.retention:Retention._drop", "die after", 2),  # committed, the file is still there
        Fault("os:unlink", "die after"),  # the first file is gone
    ],
    ids=str,
)
def test_gateway_that_dies_at_a_step_of_letting_go_goes_on(
    make_old: Callable[[], OldWorld], expected: Left, fault: Fault
) -> None:
    world = make_old()
    forever = world.kept_for_ever()
    assert world.run_years_later(fault).wait() == KILLED
    assert world.programs.happened() == 1
    audit(world, expected, forever)
    assert undisturbed(world) == expected
    audit(world, expected, forever)
