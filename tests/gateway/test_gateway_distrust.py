"""A log that shows two histories is proven to lie and not believed again; receipts that wait are waited for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from conftest import Plant
from plant_life import measure, waiting
from small_centre import CODE, LOG, SmallCentre

from evidence.contradiction import prove
from evidence.errors import Code
from evidence.keys import SigningKey
from evidence.note import NoteKey
from evidence.policy import Policy
from evidence.statement import parse
from gateway.chain import own_statements
from gateway.enrol import enrol
from gateway.errors import UplinkError
from gateway.logwatch import LogHistoryError
from gateway.problems import problems
from gateway.syncing import Syncing
from gateway.trust_store import fetch_trust, keep_trust, known_trust
from gateway.uplink import Uplink
from sync.sender import Phase

WITNESS = NoteKey("witness.example/city", 4, SigningKey.from_seed(b"\x08" * 32).public.raw)


@pytest.fixture
def plant(enrolled: Plant) -> Plant:
    return enrolled


def swap(centre: SmallCentre) -> None:
    centre.log[3], centre.log[4] = centre.log[4], centre.log[3]


@pytest.mark.parametrize("grows", [False, True], ids=["same size", "grown since"])
@pytest.mark.parametrize("change", [swap, lambda centre: centre.log.pop(3)], ids=["rewritten", "entry dropped"])
def test_two_histories_are_kept_as_proof_and_never_forgiven(
    plant: Plant, centre: SmallCentre, syncing: Syncing, change: object, grows: bool
) -> None:
    measure(plant, 5)
    syncing.round()
    honest = list(centre.log)
    change(centre)  # type: ignore[operator]
    while len(centre.log) < len(honest) + grows:
        centre.log.append(f"entry {len(centre.log)}")
    with pytest.raises(LogHistoryError, match="two histories"):
        syncing.round()
    (file,) = (plant.folder / "evidence").iterdir()
    proven = prove(file.read_bytes(), plant.writer.call(known_trust))
    assert (proven.code, proven.facts["size"]) == (Code.LOG_EQUIVOCATION, len(honest))
    centre.log[:] = honest
    measure(plant, 1, start=5)
    with pytest.raises(LogHistoryError, match="is not believed any more"):
        syncing.round()
    assert waiting(plant) > 0
    (problem,) = plant.writer.call(problems)
    assert str(file) in problem.en


def test_new_enrolment_begins_trust_anew(plant: Plant, centre: SmallCentre, syncing: Syncing) -> None:
    measure(plant, 5)
    syncing.round()
    swap(centre)
    with pytest.raises(LogHistoryError):
        syncing.round()
    swap(centre)
    with Uplink(centre.url, None, plant.clock, timeout_s=5) as uplink:
        enrol(plant.writer, uplink, plant.clock, plant.folder / "gateway.key", CODE, again=True, abandon=True)
    syncing._watch_log([])
    assert plant.writer.call(problems) == []


def test_log_that_only_shrank_is_no_proof_and_may_come_back(
    plant: Plant, centre: SmallCentre, syncing: Syncing
) -> None:
    measure(plant, 5)
    syncing.round()
    lost = centre.log[-3:]
    del centre.log[-3:]
    with pytest.raises(LogHistoryError, match="shrank"):
        syncing.round()
    assert not (plant.folder / "evidence").exists()
    centre.log += lost
    syncing.round()
    assert plant.writer.call(problems) == []


def test_receipt_that_waits_for_cosignatures_is_asked_for_until_it_comes(
    plant: Plant, centre: SmallCentre, syncing: Syncing
) -> None:
    centre.dials.no_quorum = True
    measure(plant, 3)
    for _ in range(4):
        assert syncing.round().logged == 0
        plant.clock.advance(timedelta(minutes=20))
    count = len(plant.writer.call(own_statements))
    assert waiting(plant) == count
    assert len(centre.log) == 2 + count
    assert syncing._sender.phase is Phase.BACKING_OFF
    measure(plant, 2, start=3)
    centre.dials.no_quorum = False
    result = syncing.round()
    mine = plant.writer.call(own_statements)
    assert (result.logged, waiting(plant)) == (len(mine), 0)
    sids = [parse(jws).sid for jws in centre.log]
    assert len(sids) == len(set(sids)) == 2 + len(mine)


def test_log_without_the_cosignatures_of_the_policy_is_not_believed(
    plant: Plant, centre: SmallCentre, syncing: Syncing
) -> None:
    policy = Policy.of_number([WITNESS], 1)
    trust = replace(plant.writer.call(known_trust), policy=policy)
    plant.writer.call(lambda store: keep_trust(store, trust))
    demanding = Syncing(plant.pipeline, syncing._uplink, plant.folder / "content", batch=20, longest_pause_s=60)
    with pytest.raises(UplinkError, match="QUORUM"):
        demanding.round()
    assert waiting(plant) > 0


def test_centre_alone_cannot_do_without_its_witnesses(plant: Plant, syncing: Syncing) -> None:
    held = replace(plant.writer.call(known_trust), policy=Policy.of_number([WITNESS], 1))
    now = plant.clock.now()
    fresh = fetch_trust(syncing._uplink, held, plant.folder / "trust", None, now)
    assert fresh.policy == held.policy
    assert fresh.log == LOG
