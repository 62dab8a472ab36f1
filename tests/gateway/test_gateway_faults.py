"""kill -9 at random moments of import and sealing: nothing missing, nothing twice, the chain unbroken."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import Plant, open_plant

from gateway.chain import own_statements
from gateway.integrity import check_store

KILLS = int(os.environ.get("CUNZHENG_KILLS", "6"))
MAP = """
[time]
column = "interval_end"
period_label = "end"
interval = "15m"
[[value]]
column = "active_energy_kwh"
channel = "ELEC.IMPORT"
unit = "kWh"
"""
CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from datetime import UTC, datetime
from pathlib import Path
from conftest import Identity, LOG, ORIGIN, SEED, SigningKey, SteppedClock, open_plant
from gateway.importer import import_file
folder = Path(sys.argv[2])
key = SigningKey.from_seed(SEED)
identity = Identity("GW-0001", "P-0001", "Asia/Seoul", 1, key.kid, ORIGIN, LOG.text)
plant = open_plant(folder, SteppedClock(datetime(2018, 8, 1, tzinfo=UTC)), identity)
print("ready", flush=True)
import_file(plant.pipeline, plant.catalogue.channels, folder / "export.csv", folder / "map.toml")
"""


@pytest.mark.faults
@pytest.mark.no_cover
def test_killed_import_is_the_same_as_an_undisturbed_one(
    make_plant: Callable[..., Plant], tmp_path: Path, root: Path, rng: random.Random
) -> None:
    plant = make_plant(zone="Asia/Seoul", now=datetime(2018, 8, 1, tzinfo=UTC))
    export = (root / "cunzheng/demo_data/steel_meter_2018_h1.csv").read_text("utf-8").splitlines(keepends=True)
    rows = 4000
    plant.import_paths("".join(export[: rows + 1]).encode(), MAP)
    plant.writer.close()
    kills = 0
    for _ in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(tmp_path)],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(rng.uniform(0.0, 0.2))
        if child.poll() is None:
            child.kill()
            kills += 1
        child.wait()
        child.stdout.close()
    assert kills > 0
    last = subprocess.run(
        [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(tmp_path)], cwd=root, capture_output=True
    )
    assert last.returncode == 0, last.stderr.decode()
    again = open_plant(tmp_path, plant.clock, plant.identity)
    try:
        report = again.writer.call(lambda store: check_store(store, again.pipeline.raw, repair=False))
        assert report.faults == []
        assert report.readings == rows
        segments = again.writer.call(lambda store: own_statements(store, "segment"))
        assert sum(entry["n"] for one in segments for entry in one.payload["ch"]) == rows
        spans = [one.payload["span"][0] for one in segments]
        assert len(spans) == len(set(spans))
    finally:
        again.writer.close()
