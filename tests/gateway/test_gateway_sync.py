"""The talk with the centre over real HTTP: nothing acknowledged without proof, nothing lost, nothing twice."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import START, Plant, open_plant
from plant_life import measure, waiting
from small_centre import CODE, LOG, SmallCentre

from evidence.encoding import time_text
from evidence.keys import SigningKey
from evidence.reading import Flag, Reading
from evidence.statement import parse
from evidence.tile_proof import TileProof, verify_tile
from gateway.chain import anchor, append_event, own_statements
from gateway.clock import SteppedClock
from gateway.enrol import enrol
from gateway.errors import RefusedError, UplinkError
from gateway.identity import read_key
from gateway.live import LiveBoard
from gateway.logwatch import LogHistoryError
from gateway.problems import problems
from gateway.syncing import Syncing
from gateway.uplink import RefusedByCentreError, Uplink
from gateway.writer import Writer


@pytest.fixture
def plant(enrolled: Plant) -> Plant:
    return enrolled


def test_everything_arrives_once_and_in_order(plant: Plant, centre: SmallCentre, syncing: Syncing) -> None:
    measure(plant, 50)
    result = syncing.round()
    mine = plant.writer.call(own_statements)
    assert (result.logged, result.waiting) == (len(mine), 0)
    assert [parse(jws).sid for jws in centre.log[2:]] == [one.sid for one in mine]
    assert syncing.round().sent == 0
    assert plant.writer.call(anchor) == {
        "origin": "log.example/evidence",
        "size": len(centre.log),
        "root": plant.writer.call(anchor)["root"],  # type: ignore[index]
    }


def test_statements_carry_the_last_verified_checkpoint(plant: Plant, syncing: Syncing) -> None:
    syncing.round()
    measure(plant, 1)
    (segment,) = plant.writer.call(lambda store: own_statements(store, "segment"))
    assert segment.payload["anchor"] == plant.writer.call(anchor)


@pytest.mark.parametrize("batches", [1, 3])
def test_lost_receipts_are_answered_again(plant: Plant, centre: SmallCentre, syncing: Syncing, batches: int) -> None:
    measure(plant, 30)
    centre.dials.lose_answers = batches
    for _ in range(batches):
        with pytest.raises(UplinkError):
            syncing.round()
        plant.clock.advance(timedelta(minutes=2))
    assert waiting(plant) > 0
    syncing.round()
    assert waiting(plant) == 0
    sids = [parse(jws).sid for jws in centre.log]
    assert len(sids) == len(set(sids)) == 2 + len(plant.writer.call(own_statements))


def test_centre_away_for_weeks_then_back(plant: Plant, centre: SmallCentre, syncing: Syncing) -> None:
    centre.dials.down = True
    for week in range(3):
        measure(plant, 60, start=60 * week)
        with pytest.raises(UplinkError, match="cannot reach the centre"):
            syncing.round()
        plant.clock.advance(timedelta(minutes=2))
    centre.dials.down = False
    result = syncing.round()
    assert result.logged == len(plant.writer.call(own_statements))
    assert waiting(plant) == 0


def test_forged_receipt_acknowledges_nothing(plant: Plant, centre: SmallCentre, syncing: Syncing) -> None:
    centre.dials.forge_receipts = True
    result = syncing.round()
    assert (result.logged, waiting(plant)) == (0, 3)
    centre.dials.forge_receipts = False
    plant.clock.advance(timedelta(minutes=2))
    assert syncing.round().logged == 3


def test_receipt_by_another_log_acknowledges_nothing(plant: Plant, centre: SmallCentre, syncing: Syncing) -> None:
    centre.dials.other_key = True
    with pytest.raises(UplinkError, match="checkpoint of the centre's log is not valid"):
        syncing.round()
    assert waiting(plant) == 3


def test_log_that_shrank_is_not_believed(plant: Plant, centre: SmallCentre, syncing: Syncing) -> None:
    measure(plant, 5)
    syncing.round()
    before = plant.writer.call(anchor)
    del centre.log[-4:]
    measure(plant, 1, start=5)
    with pytest.raises(LogHistoryError, match="the centre's log shrank"):
        syncing.round()
    assert plant.writer.call(anchor) == before
    assert [one.key for one in plant.writer.call(problems)] == ["log-history"]
    assert waiting(plant) > 0


def test_log_with_two_histories_is_not_believed(plant: Plant, centre: SmallCentre, syncing: Syncing) -> None:
    measure(plant, 5)
    syncing.round()
    centre.log[3], centre.log[4] = centre.log[4], centre.log[3]
    measure(plant, 1, start=5)
    with pytest.raises(LogHistoryError, match="two histories"):
        syncing.round()
    assert waiting(plant) > 0


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_refusing_centre_only_delays(plant: Plant, centre: SmallCentre, syncing: Syncing, status: int) -> None:
    centre.dials.status = status
    with pytest.raises(UplinkError, match=str(status)):
        syncing.round()
    centre.dials.status = None
    plant.clock.advance(timedelta(minutes=2))
    syncing.round()
    assert waiting(plant) == 0


def test_garbage_answers_only_delay(plant: Plant, centre: SmallCentre, syncing: Syncing) -> None:
    centre.dials.garbage = True
    with pytest.raises(UplinkError, match="answer is wrong"):
        syncing.round()
    centre.dials.garbage = False
    plant.clock.advance(timedelta(minutes=2))
    syncing.round()
    assert waiting(plant) == 0


def test_refused_statement_stays_and_is_shown(plant: Plant, centre: SmallCentre, syncing: Syncing) -> None:
    measure(plant, 2)
    centre.dials.refuse = "RANGE_GAP"
    result = syncing.round()
    assert (result.refused, waiting(plant)) == (2, 2)
    (problem,) = plant.writer.call(problems)
    assert "RANGE_GAP" in problem.en
    assert "RANGE_GAP" in problem.zh
    centre.dials.refuse = None
    plant.clock.advance(timedelta(minutes=2))
    syncing.round()
    assert (waiting(plant), plant.writer.call(problems)) == (0, [])


def test_wanted_tile_is_answered_with_proof(plant: Plant, centre: SmallCentre, syncing: Syncing) -> None:
    measure(plant, 100)
    syncing.round()
    centre.wants = [{"id": "w1", "epoch": 1, "tile": 0}, {"id": "w2", "epoch": 1, "tile": 9}]
    assert syncing.round().tiles == 1
    answer, refusal = sorted(centre.tiles, key=lambda one: str(one["id"]))
    assert (refusal["id"], refusal["code"]) == ("w2", "CHALLENGE_FAIL")
    roots = {
        one.payload["tree"]["end"]: one.payload["tree"]["root"]
        for one in plant.writer.call(lambda store: own_statements(store, "segment"))
    }
    proof = TileProof(
        answer["tile"],
        answer["size"],
        bytes.fromhex(answer["tile_salt"]),
        tuple(answer["lines"]),
        tuple(bytes.fromhex(one) for one in answer["path"]),
    )
    assert len(verify_tile(proof, bytes.fromhex(roots[answer["size"]]))) == 256


def test_tile_whose_file_was_lost_is_built_again_from_its_rows(
    plant: Plant, centre: SmallCentre, syncing: Syncing
) -> None:
    measure(plant, 100)
    syncing.round()
    path = plant.pipeline.raw.path(1, 0)
    kept = path.read_bytes()
    path.unlink()
    centre.wants = [{"id": "w1", "epoch": 1, "tile": 0}]
    assert (syncing.round().tiles, plant.writer.call(problems)) == (1, [])
    assert path.read_bytes() == kept


def test_tile_whose_file_and_rows_were_lost_is_answered_with_the_reason(
    plant: Plant, centre: SmallCentre, syncing: Syncing
) -> None:
    measure(plant, 100)
    syncing.round()
    path = plant.pipeline.raw.path(1, 0)
    kept = path.read_bytes()
    path.unlink()
    plant.writer.call(lambda store: store.execute("UPDATE reading SET unit = 'K' || unit WHERE leaf = 7"))
    centre.wants = [{"id": "w1", "epoch": 1, "tile": 0}]
    assert syncing.round().tiles == 0
    (refusal,) = centre.tiles
    assert (refusal["code"], centre.wants) == ("CHALLENGE_FAIL", [])
    assert "缺失或损坏" in refusal["reason"]["zh"]
    assert "missing or damaged" in refusal["reason"]["en"]
    assert [one.key for one in plant.writer.call(problems)] == ["tile:1:0"]
    path.write_bytes(kept)
    centre.wants = [{"id": "w1", "epoch": 1, "tile": 0}]
    assert (syncing.round().tiles, plant.writer.call(problems)) == (1, [])


def test_a_statement_that_comes_to_wait_goes_before_the_tiles_that_are_wanted(
    plant: Plant, centre: SmallCentre, syncing: Syncing
) -> None:
    """A challenge may want hundreds of tiles over a thin line; the hour that ends meanwhile does not wait for them."""
    measure(plant, 500)
    syncing.round()
    centre.wants = [{"id": f"w{tile}", "epoch": 1, "tile": tile} for tile in range(7)]
    centre.tiles = InterruptedTiles(plant)
    first = syncing.round()
    assert (first.tiles, first.waiting, len(centre.wants)) == (3, 1, 4)
    second = syncing.round()
    assert (second.logged, second.tiles, second.waiting, centre.wants) == (1, 4, 0, [])
    assert second.has_moved
    assert not syncing.round().has_moved


class InterruptedTiles(list[dict[str, Any]]):
    """What a centre got of tiles; with the third one, something is to be sent."""

    def __init__(self, plant: Plant) -> None:
        super().__init__()
        self._plant = plant

    def append(self, tile: dict[str, Any]) -> None:
        super().append(tile)
        if len(self) == 3:
            signer = self._plant.pipeline.signer
            self._plant.writer.call(lambda store: append_event(store, signer, "maintenance", {"note": "filter"}))


def test_live_values_are_posted(plant: Plant, centre: SmallCentre, uplink: Uplink) -> None:
    board = LiveBoard(frozenset({"TEMP"}))
    for value in ("1", "2"):
        board.note(Reading("TEMP", START, Decimal(value), "degC", Flag.NORMAL, START))
    board.note(Reading("ELEC.IMPORT", START, Decimal(9), "kWh", Flag.NORMAL, START))
    assert board.post(uplink) == 1
    assert centre.live == [{"channel": "TEMP", "time": time_text(START), "value": "2", "unit": "degC", "flag": "N"}]


def test_request_of_another_key_is_refused(plant: Plant, centre: SmallCentre) -> None:
    stranger = SigningKey.from_seed(bytes(range(7, 39)))
    with (
        Uplink(centre.url, stranger, plant.clock, timeout_s=2) as uplink,
        pytest.raises(RefusedByCentreError, match="401"),
    ):
        uplink.get("/api/v1/pull")


# -- enrolment ---------------------------------------------------------------------------------------------


def test_enrolment_stores_identity_trust_and_anchor(plant: Plant, centre: SmallCentre) -> None:
    assert (plant.identity.gw, plant.identity.plant, plant.identity.epoch) == ("GW-0001", "P-0001", 1)
    assert plant.identity.log_vkey == LOG.text
    statement = parse(centre.log[0])
    assert (statement.payload["op"], statement.kid) == ("enrol", plant.pipeline.signer.key.kid)
    assert plant.writer.call(anchor)["size"] == 2  # type: ignore[index]


def test_wrong_code_is_refused_and_changes_nothing(tmp_path: Path, centre: SmallCentre, plant: Plant) -> None:
    writer = Writer(tmp_path / "other.db")
    with (
        Uplink(centre.url, None, plant.clock, timeout_s=2) as uplink,
        pytest.raises(RefusedError, match="this code is wrong"),
    ):
        enrol(writer, uplink, plant.clock, tmp_path / "other.key", "guess", again=False)
    assert writer.call(lambda store: store.get("gw")) is None
    writer.close()


def test_enrolment_whose_answer_was_lost_is_finished_with_the_same_key(tmp_path: Path) -> None:
    clock = SteppedClock(START)
    with SmallCentre() as centre, Uplink(centre.url, None, clock, timeout_s=2) as uplink:
        centre.reusable = False
        centre.dials.lose_enrolments = 1
        writer = Writer(tmp_path / "gateway.db")
        with pytest.raises(UplinkError):
            enrol(writer, uplink, clock, tmp_path / "gateway.key", CODE, again=False)
        assert not (tmp_path / "gateway.key").exists()
        identity = enrol(writer, uplink, clock, tmp_path / "gateway.key", CODE, again=False)
        writer.close()
    assert len(centre.log) == 2
    assert read_key(tmp_path / "gateway.key").kid == identity.kid == parse(centre.log[0]).kid


def test_second_enrolment_needs_again_and_opens_an_epoch(plant: Plant, centre: SmallCentre, syncing: Syncing) -> None:
    key_file = plant.folder / "gateway.key"
    with Uplink(centre.url, None, plant.clock, timeout_s=2) as uplink:
        with pytest.raises(RefusedError, match="already enrolled as GW-0001"):
            enrol(plant.writer, uplink, plant.clock, key_file, CODE, again=False)
        syncing.round()
        identity = enrol(plant.writer, uplink, plant.clock, key_file, CODE, again=True)
    plant.writer.close()
    again = open_plant(plant.folder, plant.clock, identity, read_key(key_file))
    measure(again, 2, start=2)
    statements = [one.payload for one in again.writer.call(own_statements) if one.payload["epoch"] == 2]
    assert (statements[0]["seq"], statements[0]["prev"], statements[0]["type"]) == (1, None, "epoch-open")
    assert [one["type"] for one in statements if one["kind"] == "event"] == ["epoch-open", "config", "config"]
    segments = [one for one in statements if one["kind"] == "segment"]
    assert segments[0]["tree"]["start"] == 0
    again.writer.close()


def test_second_enrolment_waits_until_everything_is_sent_or_given_up(
    plant: Plant, centre: SmallCentre, syncing: Syncing
) -> None:
    syncing.round()
    measure(plant, 2)
    key_file, before = plant.folder / "gateway.key", len(centre.log)
    with Uplink(centre.url, None, plant.clock, timeout_s=2) as uplink:
        with pytest.raises(RefusedError, match=r"2 statements still wait .* --abandon") as refused:
            enrol(plant.writer, uplink, plant.clock, key_file, CODE, again=True)
        assert "2 条声明" in refused.value.zh
        assert (waiting(plant), len(centre.log)) == (2, before)
        assert read_key(key_file).kid == plant.identity.kid
        enrol(plant.writer, uplink, plant.clock, key_file, CODE, again=True, abandon=True)
    assert waiting(plant) == 0
    assert plant.writer.call(lambda store: store.value("SELECT count(*) FROM outbox WHERE state = 'refused'")) == 2


def test_statements_of_a_key_that_has_ended_stand_in_nobodys_way(plant: Plant, centre: SmallCentre) -> None:
    measure(plant, 30)
    assert waiting(plant) > 20
    key_file, old = plant.folder / "gateway.key", plant.identity.kid
    with Uplink(centre.url, None, plant.clock, timeout_s=2) as uplink:
        identity = enrol(plant.writer, uplink, plant.clock, key_file, CODE, again=True, abandon=True)
    # A gateway that enrolled again before this was refused has them in its queue still.
    plant.writer.call(lambda store: store.execute("UPDATE outbox SET state = 'queued' WHERE state = 'refused'"))
    plant.writer.close()
    centre.dials.ended_key = old
    again = open_plant(plant.folder, plant.clock, identity, read_key(key_file))
    measure(again, 1, start=30)
    with Uplink(centre.url, again.pipeline.signer.key, again.clock, timeout_s=2) as uplink:
        syncing = Syncing(again.pipeline, uplink, again.folder / "content", batch=20, longest_pause_s=60)
        for _ in range(3):
            syncing.round()
            again.clock.advance(timedelta(minutes=2))
    mine = [one.sid for one in again.writer.call(own_statements) if one.payload["epoch"] == 2]
    assert [parse(jws).sid for jws in centre.log if parse(jws).kid == identity.kid][1:] == mine
    assert (waiting(again), again.writer.call(problems)) == (0, [])
    again.writer.close()
