"""What is old enough goes: rows that raw tiles hold, then the tiles; never what is unsent, open or still needed."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import SITE, START, Plant
from pydantic import ValidationError
from small_centre import SmallCentre
from test_gateway_hj212 import SITE as LOGGER_SITE
from test_gateway_hj212 import listening as logger_listening
from test_gateway_hj212 import send_raw, upload
from test_gateway_mqtt import SITE as MQTT_SITE
from test_gateway_mqtt import TOPIC, message

from cunzheng.cli import cunzheng
from evidence.encoding import time_text
from evidence.merkle import verify_consistency
from evidence.reading import Flag, Reading
from evidence.tile_proof import TileProof, verify_tile
from evidence.tiles import TILE_WIDTH
from gateway.answers import answer_want
from gateway.chain import append, own_statements, store_receipt
from gateway.errors import ConflictError, NoLongerKeptError
from gateway.importer import import_file
from gateway.intake import MqttIntake
from gateway.integrity import CheckReport, check_store
from gateway.kept_store import Kept, kept_of
from gateway.mqtt import Incoming
from gateway.problems import problems
from gateway.reading_store import insert_readings
from gateway.retention import Pruned, Retention
from gateway.settings import RetentionSettings, Settings
from gateway.status import status_of
from gateway.store import Store
from gateway.syncing import Syncing
from sync import NO_LONGER_KEPT, TileWanted

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
YEAR = timedelta(days=366)
KEEP = RetentionSettings(rows_days=10)
STEP_S = 12
PER_HOUR = 3600 // STEP_S


def measure(plant: Plant, hours: int, *, start: int = 0, channel: str = "TEMP", unit: str = "degC") -> None:
    """Store a reading each 12 s for some hours, and seal."""
    for hour in range(start, start + hours):
        times = [START + hour * HOUR + timedelta(seconds=STEP_S * n) for n in range(PER_HOUR)]
        arrivals = [plant.pipeline.arrival(reading_at(time, channel=channel, unit=unit)) for time in times]
        plant.writer.call(lambda store, arrivals=arrivals: insert_readings(store, arrivals))
        plant.clock.set(START + (hour + 1) * HOUR)
        plant.pipeline.seal_due(timedelta(0))


def reading_at(time: datetime, value: str | None = None, *, channel: str = "TEMP", unit: str = "degC") -> Reading:
    number = Decimal((time - START) // timedelta(seconds=STEP_S)) / 10 if value is None else Decimal(value)
    return Reading(channel, time, number, unit, Flag.NORMAL, time, raw="beef", imported=True)


def log_all(plant: Plant, *, upto: int | None = None) -> None:
    """Give the waiting statements a receipt now, at most up to a number of segments."""
    now = time_text(plant.clock.now())

    def work(store: Store) -> None:
        rows = store.rows(
            "SELECT o.sid FROM outbox o LEFT JOIN segment g ON g.sid = o.sid WHERE o.state <> 'logged'"
            " AND (g.sid IS NULL OR ? IS NULL OR (SELECT count(*) FROM segment h WHERE h.start < g.start) < ?)",
            (upto, upto),
        )
        for row in rows:
            store_receipt(store, row["sid"], 1, "receipt", now)

    plant.writer.call(work)


def sign_month(plant: Plant, period: str) -> None:
    """Let the gateway sign a month; only its period matters here."""
    zero = "0" * 64
    members = {
        "period": period,
        "rev": 1,
        "supersedes": None,
        "prev_month": None,
        "subjects": [
            {"name": name, "sha256": zero, "size": 1, "type": "application/json"}
            for name in ("body.json", "plan.json", "p.json")
        ],
        "declared": [zero, zero],
        "cover": [],
    }
    plant.writer.call(lambda store: append(store, plant.pipeline.signer, "month", members))


def prune(plant: Plant, settings: RetentionSettings = KEEP, **passed: Any) -> Pruned:
    """Let time pass, hear from the centre, and let go."""
    if passed:
        plant.clock.advance(timedelta(**passed))
    hear(plant)
    return Retention(plant.pipeline, settings).run()


def hear(plant: Plant) -> None:
    """Get a receipt for something small, so that the gateway knows the time."""

    def work(store: Store) -> None:
        statement = append(store, plant.pipeline.signer, "event", {"type": "restart", "data": {"reason": "start"}})
        store_receipt(store, statement.sid, 1, "receipt", time_text(plant.clock.now()))

    plant.writer.call(work)


def kept(plant: Plant) -> Kept:
    return plant.writer.call(lambda store: kept_of(store, 1))


def row_count(plant: Plant) -> int:
    return int(plant.writer.call(lambda store: store.value("SELECT count(*) FROM reading")))


def checked(plant: Plant) -> CheckReport:
    report = plant.writer.call(lambda store: check_store(store, plant.pipeline.raw, repair=False))
    assert report.faults == []
    return report


def files(plant: Plant) -> int:
    return len(list(plant.pipeline.raw.folder.glob("1/*/*.json.gz")))


def roots(plant: Plant) -> dict[int, bytes]:
    segments = plant.writer.call(lambda store: own_statements(store, "segment"))
    return {one.payload["tree"]["end"]: bytes.fromhex(one.payload["tree"]["root"]) for one in segments}


# -- rows -------------------------------------------------------------------------------------------------


def test_rows_of_full_tiles_go_and_everything_is_still_proven(plant: Plant) -> None:
    measure(plant, 4)  # 1,200 readings: four full tiles and a part
    log_all(plant)
    assert prune(plant, days=9) == Pruned()
    done = prune(plant, days=2)
    assert (done.rows, kept(plant)) == (3 * TILE_WIDTH, Kept(1, rows_from=3))
    assert (row_count(plant), files(plant)) == (1200 - 3 * TILE_WIDTH, 4)
    assert checked(plant).readings == 1200
    for tile in (0, 2):
        answer = plant.writer.call(
            lambda store, tile=tile: answer_want(store, plant.pipeline.raw, TileWanted("w", 1, tile))
        )  # type: ignore[misc]
        path = tuple(bytes.fromhex(one) for one in answer.path)
        proof = TileProof(tile, answer.size, bytes.fromhex(answer.tile_salt), answer.lines, path, answer.raw)
        assert len(verify_tile(proof, roots(plant)[answer.size])) == TILE_WIDTH
    again = plant.reopen()
    try:
        measure(again, 2, start=24 * 12)
        assert checked(again).readings == 1800
        assert prune(again) == Pruned(rows=TILE_WIDTH), "it is not the last tile any more"
        assert checked(again).readings == 1800
    finally:
        again.writer.close()


@pytest.mark.parametrize("seed", range(2))
def test_tree_grows_consistently_whatever_goes_in_between(plant: Plant, seed: int) -> None:
    rng = random.Random(seed)
    hour = 0
    sizes: list[int] = []
    for _ in range(6):
        count = rng.randint(1, 3)
        measure(plant, count, start=hour)
        hour += count + rng.choice((0, 24 * 6, 24 * 12))
        log_all(plant)
        if rng.random() < 0.7:
            prune(plant, KEEP)
        sizes.append(max(roots(plant)))
    proofs = plant.writer.call(
        lambda store: store.rows(
            'SELECT g.start, g."end", o.consistency FROM segment g JOIN outbox o ON o.sid = g.sid WHERE g.start > 0'
        )
    )
    known = roots(plant)
    for row in proofs:
        path = [bytes.fromhex(one) for one in json.loads(row["consistency"])]
        verify_consistency(row["start"], row["end"], path, known[row["start"]], known[row["end"]])
    assert checked(plant).readings == sizes[-1], f"seed {seed}"


HELD = ["nothing", "unsent", "held in the middle", "open", "young receipt", "clock ahead"]


@pytest.mark.parametrize("why", HELD)
def test_nothing_goes_that_is_unsent_open_or_young(plant: Plant, why: str) -> None:
    measure(plant, 4)
    if why == "held in the middle":
        log_all(plant, upto=2)  # 600 of 1,200 readings
    elif why == "young receipt":
        plant.clock.advance(30 * DAY)
        log_all(plant)
    elif why != "unsent":
        log_all(plant)
    if why == "open":
        late = plant.pipeline.arrival(reading_at(START + timedelta(seconds=1), "5"))
        plant.writer.call(lambda store: insert_readings(store, [late]))
    if why == "clock ahead":
        hear(plant)
        plant.clock.advance(3650 * DAY)
        done = Retention(plant.pipeline, KEEP).run()
    else:
        done = prune(plant, days=9 if why == "young receipt" else 20)
    expected = {"nothing": 768, "held in the middle": 512, "open": 768 - 300}.get(why, 0)
    assert done.rows == expected
    assert kept(plant).files_from == 0
    assert row_count(plant) == 1200 + (why == "open") - expected


def test_last_word_of_a_channel_stays_for_the_judge_and_the_status(make_plant: Callable[..., Plant]) -> None:
    plant = make_plant(SITE + '[[channel]]\nid = "OLD"\ndevice = "historian"\nkind = "value"\nunit = "degC"\n')
    last = reading_at(START + timedelta(minutes=2), "7", channel="OLD")
    for one in (last, replace(last, time=last.time + timedelta(seconds=1), value=None, flag=Flag.FAULT)):
        plant.writer.call(lambda store, one=one: insert_readings(store, [plant.pipeline.arrival(one)]))  # type: ignore[misc]
    measure(plant, 4)
    log_all(plant)
    assert prune(plant, days=20).rows == 3 * TILE_WIDTH - 2
    settings = Settings.model_validate({"data": plant.folder, "centre": {"url": "http://127.0.0.1"}})
    facts = plant.writer.call(lambda store: status_of(store, settings))
    assert {one["channel"]: one.get("flag") for one in facts["channels"]}["OLD"] == "D"
    assert facts["readings"] == 1202
    assert (facts["retention"]["rows_from"], facts["retention"]["oldest_kept"]) == (
        "2026-03-01T02:00:00.000Z",
        "2026-03-01T00:00:00.000Z",
    )
    checked(plant)


def test_rows_stay_where_the_raw_tile_does_not_hold_them(plant: Plant) -> None:
    measure(plant, 4)
    log_all(plant)
    path = plant.pipeline.raw.path(1, 1)
    good = path.read_bytes()
    path.write_bytes(good[:-9])
    assert prune(plant, days=20).rows == TILE_WIDTH
    assert [one.key for one in plant.writer.call(problems)] == ["retention:1"]
    assert plant.writer.call(lambda store: check_store(store, plant.pipeline.raw, repair=True)).repaired == 1
    assert path.read_bytes() == good
    assert prune(plant).rows == 2 * TILE_WIDTH
    assert plant.writer.call(problems) == []


# -- what comes late --------------------------------------------------------------------------------------


MAP = """
[time]
column = "time"
[[value]]
column = "t"
channel = "TEMP"
unit = "degC"
"""


def export(times: Sequence[datetime], value: str | None = None) -> str:
    lines = [f"{time_text(one)},{reading_at(one, value).value}" for one in times]
    return "\n".join(["time,t", *lines, ""])


def test_import_of_what_is_in_raw_tiles_only_is_known_and_a_conflict_is_seen(plant: Plant) -> None:
    measure(plant, 4)
    log_all(plant)
    prune(plant, days=20)
    times = [START + HOUR + timedelta(seconds=STEP_S * n) for n in range(0, 100, 7)]
    data, how = plant.import_paths(export(times), MAP)
    result = import_file(plant.pipeline, plant.catalogue.channels, data, how)
    assert (result.stored, result.already, result.segments) == (0, len(times), 0)
    data.write_text(export(times[:3], "99"), "utf-8")
    with pytest.raises(ConflictError, match="nothing was imported"):
        import_file(plant.pipeline, plant.catalogue.channels, data, how)
    late = [START + HOUR + timedelta(seconds=5), times[0]]
    data.write_text(export(sorted(late)), "utf-8")
    result = import_file(plant.pipeline, plant.catalogue.channels, data, how)
    assert (result.stored, result.already, result.segments) == (1, 1, 1)
    report = checked(plant)
    assert report.readings == 1201
    assert prune(plant).rows == 300, "the hour that was called back goes again"
    assert row_count(plant) == 1201 - 3 * TILE_WIDTH


async def test_message_delivered_again_after_its_rows_went_stores_nothing(make_plant: Callable[..., Plant]) -> None:
    plant = make_plant(MQTT_SITE)
    intake = MqttIntake(plant.pipeline, plant.catalogue.mqtt, on_reading=lambda one: None)
    said = [
        Incoming(TOPIC, message(n), False, START + timedelta(seconds=n), n, 1, 1) for n in range(1, 301)
    ]  # 600 readings
    await intake.handle(said)
    plant.clock.set(START + 2 * HOUR)
    await asyncio.to_thread(plant.pipeline.seal_due, timedelta(0))
    log_all(plant)
    assert await asyncio.to_thread(lambda: prune(plant, days=20).rows) == TILE_WIDTH
    plant.pipeline.judge._watches.clear()  # as after a restart
    await intake.handle(said[:50])
    assert plant.writer.call(lambda store: store.value("SELECT count(*) FROM reading WHERE leaf IS NULL")) == 0
    assert row_count(plant) == 600


async def test_value_a_logger_sends_again_after_its_rows_went_is_compared(make_plant: Callable[..., Plant]) -> None:
    plant = make_plant(LOGGER_SITE)

    def hour(value: str, qn: str) -> bytes:
        return upload(f"DataTime=20260301070000;a00000-Cou={value},a00000-Flag=N", CN="2061", QN=f"202603010800000{qn}")

    async with logger_listening(plant) as listener:
        await send_raw(listener.port, hour("5", "01"))
        more = [reading_at(START + timedelta(seconds=n), channel="CO2", unit="%") for n in range(800)]
        arrivals = [plant.pipeline.arrival(one) for one in more]
        plant.writer.call(lambda store: insert_readings(store, arrivals))
        plant.clock.set(START + 2 * HOUR)
        await asyncio.to_thread(plant.pipeline.seal_due, timedelta(0))
        log_all(plant)
        assert await asyncio.to_thread(lambda: prune(plant, days=20).rows) == 2 * TILE_WIDTH - 1
        plant.writer.call(lambda store: store.execute("DELETE FROM reading WHERE channel = 'GAS.HOUR'"))  # none stays
        await send_raw(listener.port, hour("5", "02"), hour("6", "03"))
    found = plant.writer.call(
        lambda store: store.rows("SELECT value, flag, reason FROM reading WHERE channel = 'GAS.HOUR' ORDER BY seq")
    )
    assert [(row["value"], row["flag"]) for row in found] == [("5", "N"), ("6", "D")]
    assert "Q02 differs from the value before" in found[1]["reason"]


# -- files ------------------------------------------------------------------------------------------------


def test_raw_tiles_go_after_the_years_once_their_month_is_signed(plant: Plant) -> None:
    measure(plant, 4)
    log_all(plant)
    assert prune(plant, days=365 * 5).tiles == 0
    assert prune(plant, days=365).tiles == 0, "the month is not signed"
    sign_month(plant, "2026-02")
    assert prune(plant).tiles == 0
    sign_month(plant, "2026-03")
    assert prune(plant).tiles == 3
    assert (kept(plant), files(plant)) == (Kept(1, rows_from=3, files_from=3), 1)
    with pytest.raises(NoLongerKeptError, match="older than the retention"):
        plant.writer.call(lambda store: answer_want(store, plant.pipeline.raw, TileWanted("w", 1, 2)))
    report = checked(plant)
    assert (report.no_longer_kept, report.readings, report.segments) == (3, 1200, 4)
    again = plant.reopen()
    try:
        at = (again.clock.now() - START) // HOUR + 1
        measure(again, 2, start=at)
        assert checked(again).readings == 1800
        again.writer.call(lambda store: answer_want(store, again.pipeline.raw, TileWanted("w", 1, 3)))
    finally:
        again.writer.close()


def test_segment_root_before_what_is_kept_is_still_compared_with_the_roots_of_tiles(plant: Plant) -> None:
    for part in range(4):
        times = [START + part * HOUR + timedelta(seconds=n) for n in range(TILE_WIDTH)]
        arrivals = [plant.pipeline.arrival(reading_at(time, "1")) for time in times]
        plant.writer.call(lambda store, arrivals=arrivals: insert_readings(store, arrivals))  # type: ignore[misc]
        plant.clock.set(START + (part + 1) * HOUR)
        plant.pipeline.seal_due(timedelta(0))
    log_all(plant)
    sign_month(plant, "2026-03")
    assert prune(plant, days=3000).tiles == 3
    checked(plant)
    plant.writer.call(lambda store: store.execute("UPDATE tile SET hash = zeroblob(32) WHERE level = 1 AND n = 0"))
    report = plant.writer.call(lambda store: check_store(store, plant.pipeline.raw, repair=False))
    assert any("the segment that ends at 256 has another root" in fault for fault in report.faults)


def test_file_that_outlived_a_power_cut_goes_with_the_next_run(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    measure(plant, 4)
    log_all(plant)
    sign_month(plant, "2026-03")

    def cut(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("gateway.rawtile.RawFolder.drop_before", cut)
        with pytest.raises(KeyboardInterrupt):
            prune(plant, days=3000)
    assert (kept(plant).files_from, files(plant)) == (3, 4)
    checked(plant)
    prune(plant)
    assert files(plant) == 1


def test_one_run_is_bounded_and_the_next_goes_on(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.retention.TILES_A_STEP", 1)
    monkeypatch.setattr("gateway.retention.STEPS_A_RUN", 2)
    measure(plant, 4)
    log_all(plant)
    sign_month(plant, "2026-03")
    assert [prune(plant, days=days).rows // TILE_WIDTH for days in (20, 0, 0)] == [2, 1, 0]
    assert [prune(plant, days=days).tiles for days in (3000, 0, 0)] == [2, 1, 0]


def test_frames_and_quarantine_go_after_the_years_and_a_wrong_clock_keeps_them(plant: Plant) -> None:
    def fill(store: Store) -> None:
        for received in ("2001-01-01T00:00:00.000Z", "2026-03-01T00:00:00.000Z", "2031-01-01T00:00:00.000Z"):
            store.execute("INSERT INTO hj212_frame VALUES (?, 'x', 'cems1', ?, x'00', 1)", (received, received))
            store.execute(
                "INSERT INTO quarantine (received, source, payload, reason) VALUES (?, '', x'', '')", (received,)
            )

    plant.writer.call(fill)
    plant.clock.set(START + 6 * YEAR)
    assert prune(plant).frames == 2
    for table in ("hj212_frame", "quarantine"):
        left = plant.writer.call(lambda store, table=table: store.rows(f"SELECT received FROM {table} ORDER BY 1"))  # type: ignore[misc]
        assert [row[0][:4] for row in left] == ["2001", "2031"]


async def test_what_comes_for_an_hour_that_is_gone_enters_no_sum(make_plant: Callable[..., Plant]) -> None:
    plant = make_plant(SITE + MQTT_SITE)
    measure(plant, 4)
    log_all(plant)
    sign_month(plant, "2026-03")
    prune(plant, days=3000)
    data, how = plant.import_paths(export([START + HOUR]), MAP)
    with pytest.raises(NoLongerKeptError, match="nothing was imported"):
        import_file(plant.pipeline, plant.catalogue.channels, data, how)
    assert row_count(plant) == 1200 - 3 * TILE_WIDTH
    intake = MqttIntake(plant.pipeline, plant.catalogue.mqtt, on_reading=lambda one: None)
    await intake.handle([Incoming(TOPIC, message(5), False, plant.clock.now(), 1, 1, 1)])
    found = plant.writer.call(lambda store: store.rows("SELECT flag, reason FROM reading WHERE leaf IS NULL"))
    assert {row["flag"] for row in found} == {"D"}
    assert all(row["reason"].startswith("older than the retention") for row in found)


def test_centre_is_told_that_a_tile_is_no_longer_kept(enrolled: Plant, centre: SmallCentre, syncing: Syncing) -> None:
    measure(enrolled, 4)
    syncing.round()
    sign_month(enrolled, "2026-03")
    assert prune(enrolled, days=3000).tiles == 3
    centre.wants = [{"id": "w1", "epoch": 1, "tile": 0}]
    assert syncing.round().tiles == 0
    (refusal,) = centre.tiles
    assert (refusal["code"], centre.wants) == (NO_LONGER_KEPT, [])
    assert "不再保存" in refusal["reason"]["zh"]
    assert "no longer kept" in refusal["reason"]["en"]
    assert enrolled.writer.call(problems) == []


# -- settings ---------------------------------------------------------------------------------------------


def test_less_than_five_years_needs_a_reason() -> None:
    assert RetentionSettings().years == 5
    with pytest.raises(ValidationError, match=r"5 years at least; say in retention\.reason"):
        RetentionSettings(years=4)
    assert RetentionSettings(years=4, reason="trial plant, agreed with the bureau").is_short


def test_command_refuses_a_short_retention_without_reason(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text('[centre]\nurl = "http://127.0.0.1"\n[retention]\nyears = 1\n', "utf-8")
    result = CliRunner().invoke(cunzheng, ["gateway", "status", "-c", str(tmp_path / "gateway.toml")])
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1)
    assert "retention" in result.stderr
