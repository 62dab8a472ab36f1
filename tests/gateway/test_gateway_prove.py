"""One reading shown to an inspector at the plant: a file that verifies alone, and what cannot be shown."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import START, Plant
from small_centre import SmallCentre
from test_gateway_retention import HOUR, STEP_S, measure, prune, reading_at

from cunzheng.cli import cunzheng
from evidence.bundle import Bundle, read_bundle, write_bundle
from evidence.disclosure import Disclosure
from evidence.encoding import time_text
from evidence.errors import Code
from evidence.statement import parse
from evidence.tiles import TILE_WIDTH
from evidence.verdict import Verdict
from evidence.verify import verify_bundle
from gateway.errors import GatewayError, IntegrityError, MisuseError, NoLongerKeptError, RefusedError
from gateway.prove import Proof, prove_reading
from gateway.reading_store import insert_readings
from gateway.syncing import Syncing

SETTINGS = """
data = "."
site = "site.toml"

[centre]
url = "{url}"
"""


@pytest.fixture
def plant(enrolled: Plant) -> Plant:
    measure(enrolled, 3)
    return enrolled


@pytest.fixture
def logged(plant: Plant, syncing: Syncing) -> Plant:
    """Three hours of 300 readings, all with their receipts."""
    syncing.round()
    return plant


def prove(plant: Plant, seconds: float, channel: str = "TEMP") -> Proof:
    """Disclose what the channel read so long after the start."""
    moment = START + timedelta(seconds=seconds)
    return plant.writer.call(lambda store: prove_reading(store, plant.pipeline.raw, channel, moment))


def opened(proof: Proof) -> Bundle:
    return read_bundle(io.BytesIO(proof.bundle))


def remade(bundle: Bundle) -> Bundle:
    """Give an altered bundle the index that fits, as a forger would."""
    return replace(bundle, index=bundle.expected_index())


# The first reading, the last of a tile and the first of the next, the borders of segments, and the tile being filled.
@pytest.mark.parametrize("index", [0, 255, 256, 299, 300, 511, 767, 768, 899])
def test_a_reading_verifies_alone(logged: Plant, centre: SmallCentre, index: int) -> None:
    proof = prove(logged, index * STEP_S)
    report = verify_bundle(opened(proof), centre.trust(), logged.clock.now())
    assert (report.verdict, report.findings) == (Verdict.VALID, ())
    assert report.subject["channel"] == "TEMP"
    assert report.subject["time"] == time_text(START + timedelta(seconds=index * STEP_S))
    assert report.subject["value"] == f"{index / 10:g}"
    assert [one.leaf.index for one in proof.readings] == [index]


def test_no_other_reading_is_told(logged: Plant) -> None:
    bundle = opened(prove(logged, 256 * STEP_S))
    (data,) = bundle.readings.values()
    kinds = sorted(parse(jws.decode()).kind for jws in bundle.statements.values())
    assert kinds == ["event", "segment"]
    assert set(bundle.statements) == set(bundle.proofs)
    assert Disclosure.from_bytes(data).line.count("TEMP") == 1
    assert len(prove(logged, 256 * STEP_S).bundle) < 6000


def test_between_two_readings_the_one_before_is_shown(logged: Plant) -> None:
    assert prove(logged, 100 * STEP_S + 11.9).readings == prove(logged, 100 * STEP_S).readings


def test_two_readings_of_one_time_are_both_shown(enrolled: Plant, syncing: Syncing, centre: SmallCentre) -> None:
    measure(enrolled, 1)
    late = [enrolled.pipeline.arrival(reading_at(START, "7.5"))]
    enrolled.writer.call(lambda store: insert_readings(store, late))
    enrolled.clock.set(START + 2 * HOUR)
    enrolled.pipeline.seal_due(timedelta(0))
    syncing.round()
    proof = prove(enrolled, 0)
    assert len(opened(proof).readings) == len(proof.readings) == 2
    assert verify_bundle(opened(proof), centre.trust(), enrolled.clock.now()).verdict is Verdict.VALID


# --- what a forger does with the file --------------------------------------------------------------


def other_value(bundle: Bundle) -> Bundle:
    return _edited(bundle, lambda one: replace(one, line=one.line.replace('"1"', '"9"')))


def other_time(bundle: Bundle) -> Bundle:
    return _edited(bundle, lambda one: replace(one, line=one.line.replace("T00:02:", "T00:03:")))


def other_place(bundle: Bundle) -> Bundle:
    return _edited(bundle, lambda one: replace(one, index=one.index + 1))


def other_path(bundle: Bundle) -> Bundle:
    return _edited(bundle, lambda one: replace(one, path=(bytes(32), *one.path[1:])))


def other_size(bundle: Bundle) -> Bundle:
    return _edited(bundle, lambda one: replace(one, size=one.size + 1))


def no_segment(bundle: Bundle) -> Bundle:
    (one,) = bundle.readings.values()
    sid = Disclosure.from_bytes(one).segment
    statements = {name: data for name, data in bundle.statements.items() if name != sid}
    proofs = {name: data for name, data in bundle.proofs.items() if name != sid}
    return replace(bundle, statements=statements, proofs=proofs)


def _edited(bundle: Bundle, change: Callable[[Disclosure], Disclosure]) -> Bundle:
    (data,) = bundle.readings.values()
    forged = change(Disclosure.from_bytes(data))
    assert forged.to_bytes() != data
    return replace(bundle, readings={forged.name: forged.to_bytes()})


@pytest.mark.parametrize(
    ("crime", "code"),
    [
        (other_value, Code.INCLUSION_FAIL),
        (other_time, Code.INCLUSION_FAIL),
        (other_path, Code.INCLUSION_FAIL),
        (other_place, Code.INDEX_MISMATCH),
        (other_size, Code.INDEX_MISMATCH),
        (no_segment, Code.LEAF_MISMATCH),
    ],
)
def test_an_altered_file_is_named(
    logged: Plant, centre: SmallCentre, crime: Callable[[Bundle], Bundle], code: Code
) -> None:
    forged = remade(crime(opened(prove(logged, 10 * STEP_S))))
    report = verify_bundle(read_bundle(io.BytesIO(write_bundle(forged))), centre.trust(), logged.clock.now())
    assert (report.verdict, {finding.code for finding in report.findings}) == (Verdict.INVALID, {code})


def test_a_file_without_receipts_cannot_be_told(logged: Plant, centre: SmallCentre) -> None:
    bare = remade(replace(opened(prove(logged, 0)), proofs={}))
    report = verify_bundle(bare, centre.trust(), logged.clock.now())
    assert (report.verdict, {finding.code for finding in report.findings}) == (
        Verdict.INDETERMINATE,
        {Code.NOT_LOGGED},
    )


# --- what cannot be shown --------------------------------------------------------------------------


def lost_file(plant: Plant) -> None:
    plant.pipeline.raw.path(1, 0).unlink()
    plant.writer.call(lambda store: store.execute("UPDATE reading SET value = '9' WHERE leaf = 7"))


def changed_file(plant: Plant) -> None:
    """One byte of one reading, in the file and in its row, as somebody does who knows both."""
    tile = plant.pipeline.raw.read(1, 0)
    plant.pipeline.raw.write(replace(tile, lines=(tile.lines[0].replace('"0"', '"1"'), *tile.lines[1:])))
    plant.pipeline.raw.settle()
    plant.writer.call(lambda store: store.execute("UPDATE reading SET value = '1' WHERE leaf = 0"))


@pytest.mark.parametrize("crime", [lost_file, changed_file])
def test_a_reading_of_a_damaged_tile_is_not_shown(logged: Plant, crime: Callable[[Plant], None]) -> None:
    crime(logged)
    with pytest.raises(IntegrityError):
        prove(logged, 10 * STEP_S)


def test_a_tile_whose_row_was_changed_is_shown_from_its_file(logged: Plant, centre: SmallCentre) -> None:
    logged.writer.call(lambda store: store.execute("UPDATE reading SET value = '9' WHERE leaf = 10"))
    proof = prove(logged, 10 * STEP_S)
    assert proof.readings[0].leaf.value == 1
    assert verify_bundle(opened(proof), centre.trust(), logged.clock.now()).verdict is Verdict.VALID


@pytest.mark.parametrize(
    ("channel", "seconds", "error", "words"),
    [
        ("NOTHING", 0, MisuseError, "no channel NOTHING"),
        ("TEMP", -3600, MisuseError, "no reading"),
        ("TEMP", 9 * 3600, MisuseError, "no reading"),
        ("ELEC.IMPORT", 0, MisuseError, "no reading"),
    ],
)
def test_what_is_not_there_is_said(
    logged: Plant, channel: str, seconds: float, error: type[GatewayError], words: str
) -> None:
    with pytest.raises(error, match=words):
        prove(logged, seconds, channel)


def test_a_reading_that_is_not_sealed_or_not_logged_is_refused(plant: Plant) -> None:
    with pytest.raises(RefusedError, match="no receipt yet"):
        prove(plant, 0)
    fresh = [plant.pipeline.arrival(reading_at(START + 3 * HOUR))]
    plant.writer.call(lambda store: insert_readings(store, fresh))
    with pytest.raises(RefusedError, match="not sealed yet"):
        prove(plant, 3 * 3600)


def test_readings_whose_rows_went_are_shown_from_raw_tiles(logged: Plant, centre: SmallCentre) -> None:
    assert prune(logged, days=30).rows == 2 * TILE_WIDTH
    for index in (0, 255, 299, 300, 511, 512):
        proof = prove(logged, index * STEP_S)
        assert [one.leaf.index for one in proof.readings] == [index]
        assert verify_bundle(opened(proof), centre.trust(), logged.clock.now()).verdict is Verdict.VALID


def test_readings_older_than_the_retention_are_said_to_be_gone(logged: Plant) -> None:
    prune(logged, days=30)
    logged.writer.call(lambda store: store.execute("UPDATE kept SET files_from = 1"))
    with pytest.raises(NoLongerKeptError):
        prove(logged, 0)


# --- the command -----------------------------------------------------------------------------------


def called(plant: Plant, centre: SmallCentre, *words: str) -> Result:
    config = plant.folder / "gateway.toml"
    config.write_text(SETTINGS.format(url=centre.url), "utf-8")
    return CliRunner().invoke(cunzheng, ["gateway", "prove", "-c", str(config), *words])


def test_the_command_writes_a_file_that_verify_accepts(
    logged: Plant, centre: SmallCentre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = called(logged, centre, "TEMP", "2026-03-01T08:02:00", "--json")
    assert result.exit_code == 0, result.output
    said: dict[str, Any] = json.loads(result.stdout)
    assert said["readings"][0]["value"] == "1"
    assert said["file"] == "TEMP-20260301T000200Z.evb"
    (tmp_path / "trust.json").write_text(json.dumps(centre.trust().to_json()), "utf-8")
    checked = CliRunner().invoke(cunzheng, ["verify", said["file"], "--trust", "trust.json"])
    assert checked.exit_code == 0, checked.output
    assert checked.stdout.startswith("VALID ")
    assert "of the reading TEMP 2026-03-01T00:02:00.000Z 1 degC N, plant P-0001" in checked.stdout.splitlines()[0]
    assert "no month is judged" in checked.stdout
    again = called(logged, centre, "TEMP", "2026-03-01T08:02:00")
    assert again.exit_code == 1
    assert "exists and is never written over" in again.output


def test_the_command_says_what_it_wrote_and_how_to_check_it(logged: Plant, centre: SmallCentre, tmp_path: Path) -> None:
    result = called(logged, centre, "TEMP", "2026-03-01T00:02:00Z", "-o", str(tmp_path / "shown.evb"))
    assert result.exit_code == 0, result.output
    assert "cunzheng verify" in result.stdout
    assert called(logged, centre, "TEMP", "yesterday").exit_code == 3
    assert called(logged, centre, "TEMP", "2026-03-01T00:02:00Z", "-o", str(tmp_path / "no/where")).exit_code == 1
