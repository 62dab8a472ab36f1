"""Raw tiles that were damaged are faults with a name, whichever byte it is; so is a database that forgot its tiles."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from conftest import Plant

from gateway.errors import IntegrityError
from gateway.integrity import check_store
from gateway.rawtile import RawFolder, RawReading, RawTile

LINES = tuple(f'["r1",{n},"2026-03-01T00:00:00.000Z","TEMP","{n}","degC","N"]' for n in range(256))
TILE = RawTile(1, 0, bytes(32), LINES, tuple(RawReading(n, "", "", "", f"{n:04X}", False) for n in range(256)))


def test_any_flipped_bit_of_a_raw_tile_is_a_fault_or_changes_nothing(tmp_path: Path, rng: random.Random) -> None:
    raw = RawFolder(tmp_path)
    raw.write(TILE)
    raw.settle()
    path = raw.path(1, 0)
    data = path.read_bytes()
    assert raw.read(1, 0) == TILE
    named = 0
    for _ in range(400):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            assert raw.read(1, 0) == TILE
        except IntegrityError:
            named += 1
    assert named > 300
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(IntegrityError):
        raw.read(1, 0)


def test_emptied_database_beside_raw_tiles_is_a_fault(plant: Plant) -> None:
    raw = RawFolder(plant.folder / "raw")
    assert plant.writer.call(lambda store: check_store(store, raw, repair=False)).faults == []
    raw.write(TILE)
    raw.settle()
    plant.writer.call(lambda store: store.execute("DELETE FROM identity"))
    (fault,) = plant.writer.call(lambda store: check_store(store, raw, repair=False)).faults
    assert "emptied or exchanged" in fault
