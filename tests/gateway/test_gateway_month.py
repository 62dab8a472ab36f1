"""The gateway signs a declared month, once, and only what the centre would take."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace

import pytest
from conftest import Plant, open_plant
from plant_life import RESPONSIBLE, People, measure, months
from small_centre import CODE, SmallCentre

from evidence.errors import EvidenceError
from evidence.registry import KeyEntry, Registry
from evidence.roles import GATEWAY
from evidence.statement import parse
from gateway.chain import own_statements
from gateway.enrol import enrol
from gateway.identity import read_key
from gateway.month import sign_declared_months, turn_of
from gateway.problems import problems
from gateway.pulled_store import pulled_statements
from gateway.syncing import Syncing
from gateway.uplink import Uplink
from gateway.writer import Writer


@pytest.fixture
def plant(enrolled: Plant) -> Plant:
    return enrolled


def test_declared_month_is_recomputed_signed_and_logged(
    plant: Plant, centre: SmallCentre, syncing: Syncing, people: People
) -> None:
    measure(plant, 30)
    syncing.round()
    declared = people.declare()
    result = syncing.round()
    assert (result.months, result.waiting) == (1, 0)
    (month,) = months(plant)
    assert (month["declared"], month["rev"], month["supersedes"], month["prev_month"]) == (declared, 1, None, None)
    assert parse(centre.log[-1]).kind == "month"
    syncing.round()
    assert len(months(plant)) == 1


def test_month_that_recomputes_to_something_else_is_not_signed(
    plant: Plant, centre: SmallCentre, syncing: Syncing, people: People
) -> None:
    measure(plant, 30)
    syncing.round()
    people.declare(tamper=True)
    assert syncing.round().months == 0
    (problem,) = plant.writer.call(problems)
    assert problem.key == "month:2026-03:1"
    assert "other figures than declared" in problem.en
    people.declare()
    assert syncing.round().months == 1
    assert plant.writer.call(problems) == []


def test_revision_supersedes_the_one_before(
    plant: Plant, centre: SmallCentre, syncing: Syncing, people: People
) -> None:
    measure(plant, 30)
    syncing.round()
    people.declare()
    syncing.round()
    measure(plant, 10, start=30)
    syncing.round()
    people.declare(rev=2)
    assert syncing.round().months == 1
    first, second = plant.writer.call(lambda store: own_statements(store, "month"))
    assert (second.payload["supersedes"], second.payload["reason"]) == (first.sid, "重新申报 / declared again")


def test_declaration_by_an_unknown_key_counts_for_nothing(
    plant: Plant, centre: SmallCentre, syncing: Syncing, people: People
) -> None:
    measure(plant, 5)
    syncing.round()
    del centre.keys[RESPONSIBLE.kid]
    people.declare()
    syncing.round()
    assert months(plant) == []
    assert len(plant.writer.call(lambda store: pulled_statements(store, "declare"))) == 1
    assert [one.key.partition(":")[0] for one in plant.writer.call(problems)] == ["pulled"]


def test_month_waits_for_both_people(plant: Plant, centre: SmallCentre, syncing: Syncing, people: People) -> None:
    measure(plant, 5)
    syncing.round()
    people.declare()
    del centre.log[-1]
    assert syncing.round().months == 0
    signed = plant.writer.call(lambda store: sign_declared_months(store, plant.pipeline.signer, plant.folder))
    assert (signed, plant.writer.call(problems)) == ([], [])


def test_month_that_the_centre_would_refuse_never_enters_the_chain(
    plant: Plant, centre: SmallCentre, syncing: Syncing, people: People
) -> None:
    measure(plant, 5)
    syncing.round()
    centre.register(dict(RESPONSIBLE.jwk), "tech", "responsible")
    people.declare()
    assert syncing.round().months == 0
    assert months(plant) == []
    (problem,) = plant.writer.call(problems)
    assert problem.key == "month:2026-03:1"
    assert "SEPARATION_OF_DUTY" in problem.en
    assert "不会被中心端接受" in problem.zh
    measure(plant, 1, start=5)
    assert syncing.round().waiting == 0


def test_month_too_long_for_a_statement_stops_no_other(
    plant: Plant, centre: SmallCentre, syncing: Syncing, people: People
) -> None:
    measure(plant, 5)
    syncing.round()
    files = [
        {"name": f"{number:03d}{'x' * 90}.pdf", "size": 1, "sha256": f"{number:064x}", "type": "application/pdf"}
        for number in range(1, 231)
    ]
    # As many as just fit a declaration; the month says a little more.
    while True:
        with contextlib.suppress(EvidenceError):
            people.declare(period="2026-02", attachments=files)
            break
        files.pop()
    people.declare()
    assert [one["period"] for one in months(plant)] == []
    assert syncing.round().months == 1
    assert [one["period"] for one in months(plant)] == ["2026-03"]
    assert [one.key for one in plant.writer.call(problems)] == ["month:2026-02:1"]


def enrolled_anew(plant: Plant, centre: SmallCentre) -> tuple[Plant, Uplink]:
    """Lose the disk and enrol the empty box once more, as the same gateway."""
    plant.writer.close()
    for name in ("gateway.db", "gateway.db-wal", "gateway.db-shm", "gateway.key"):
        (plant.folder / name).unlink(missing_ok=True)
    shutil.rmtree(plant.folder / "content", ignore_errors=True)
    shutil.rmtree(plant.folder / "raw", ignore_errors=True)
    key_file, writer = plant.folder / "gateway.key", Writer(plant.folder / "gateway.db")
    with Uplink(centre.url, None, plant.clock, timeout_s=2) as uplink:
        identity = enrol(writer, uplink, plant.clock, key_file, CODE, again=False)
    writer.close()
    again = open_plant(plant.folder, plant.clock, identity, read_key(key_file))
    return again, Uplink(centre.url, again.pipeline.signer.key, again.clock, timeout_s=2)


def test_month_in_which_the_disk_was_lost_is_signed_from_what_the_centre_holds(
    plant: Plant, centre: SmallCentre, syncing: Syncing, people: People
) -> None:
    measure(plant, 10)
    syncing.round()
    again, uplink = enrolled_anew(plant, centre)
    with uplink, contextlib.closing(again.writer):
        assert again.identity.epoch == 2
        later = Syncing(again.pipeline, uplink, again.folder / "content", batch=20, longest_pause_s=60)
        measure(again, 10, start=10)
        later.round()
        people.declare()
        assert later.round().months == 1
        (month,) = months(again)
        assert [(one["gw"], one["epoch"]) for one in month["cover"]] == [("GW-0001", 1), ("GW-0001", 2)]
        assert later.round().months == 0


def test_month_that_was_signed_before_is_not_signed_again_by_another_box(
    plant: Plant, centre: SmallCentre, syncing: Syncing, people: People
) -> None:
    measure(plant, 10)
    syncing.round()
    people.declare()
    assert syncing.round().months == 1
    again, uplink = enrolled_anew(plant, centre)
    with uplink, contextlib.closing(again.writer):
        later = Syncing(again.pipeline, uplink, again.folder / "content", batch=20, longest_pause_s=60)
        assert (later.round().months, months(again)) == (0, [])
        people.declare(rev=2)
        assert later.round().months == 1
        assert months(again)[0]["supersedes"] == next(
            parse(jws).sid for jws in centre.log if parse(jws).kind == "month"
        )


def test_gateways_of_a_plant_sign_one_after_the_other(
    plant: Plant, centre: SmallCentre, syncing: Syncing, people: People
) -> None:
    entry = KeyEntry("k", {}, "gateway", "GW-0000", frozenset({GATEWAY}), frozenset({"P-0001"}), from_index=0)
    cover = [{"gw": "GW-0001"}, {"gw": "GW-0000"}]
    mine = [replace(entry, kid="m", owner_id="GW-0001")]
    assert turn_of("GW-0001", cover, Registry.of([entry, *mine], [])) == 1
    assert turn_of("GW-0000", cover, Registry.of([entry, *mine], [])) == 0
    assert turn_of("GW-0001", cover, Registry.of([replace(entry, until_index=9, reason="ceased"), *mine], [])) == 0
    assert turn_of("GW-0002", cover, Registry.of([entry, *mine], [])) == 2
