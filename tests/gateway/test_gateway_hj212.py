"""HJ 212 over real sockets: what a frame becomes, never twice, bad frames aside, nothing ever commanded."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from conftest import Plant
from hj212_plant import (
    FRAMES,
    KEY,
    MN,
    NOW,
    SITE,
    listening,
    logger,
    quarantined,
    readings,
    rows,
    send_raw,
    site_with,
    until,
    upload,
)

from cunzheng.simulator.errors import LoggerError
from cunzheng.simulator.hj212_logger import LoggerDials
from device_profiles.hj212 import Edition, encrypt
from gateway.chain import own_statements


@pytest.fixture
def plant(make_plant: Callable[..., Plant]) -> Plant:
    return make_plant(SITE, now=NOW)


# -- readings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dials", "value", "flag", "reason"),
    [
        (LoggerDials(clock_offset_s=600), "12.5", "D", "Q03 time lies in the future"),
        (LoggerDials(flag="C", zero=True), "0", "C", "logger says C"),
        (LoggerDials(drift=4), "62.5000", "T", "Q15 above 40"),
    ],
)
async def test_fault_of_a_logger_is_said_of_its_reading(
    plant: Plant, dials: LoggerDials, value: str, flag: str, reason: str
) -> None:
    async with listening(plant) as listener, logger(plant, listener, dials=dials) as simulator:
        await simulator.send()
        plant.clock.advance(timedelta(hours=1))
        await simulator.send()
    last = readings(plant)[-1]
    assert Decimal(last["value"]) == Decimal(value)
    assert last["flag"] == flag
    assert reason in last["reason"]


async def test_frame_becomes_readings_and_is_answered(plant: Plant) -> None:
    async with listening(plant) as listener, logger(plant, listener) as simulator:
        sent = await simulator.send()
        (answer,) = simulator.answers
        assert (answer.qn, answer.st, answer.cn, answer.flag, answer.cp) == (sent.qn, "91", "9014", 4, "")
        assert answer.mn == MN
    (row,) = readings(plant)
    assert (row["value"], row["unit"], row["flag"], row["reason"]) == ("12.5", "%", "N", "")
    assert (row["time"], row["device_time"]) == ("2026-03-01T00:00:05.000Z", "20260301080005")
    raw = json.loads(row["raw"])
    assert (raw["item"], raw["edition"], raw["qn"]) == ("a05001-Rtd=12.5,a05001-Flag=N", "2017", sent.qn)
    (pressure,) = readings(plant, "PRESSURE")
    assert (pressure["value"], pressure["unit"]) == ("-123.0723", "Pa")
    (frame,) = rows(plant, "SELECT * FROM hj212_frame")
    assert (frame["source"], frame["sha256"], frame["times"]) == ("cems1", raw["frame"], 1)


async def test_nothing_is_answered_that_did_not_ask(plant: Plant) -> None:
    async with listening(plant) as listener:
        answer = await send_raw(listener.port, upload("DataTime=20260301080000;a05001-Rtd=1,a05001-Flag=N", Flag="4"))
    assert answer == b""
    assert len(readings(plant)) == 1


async def test_hour_values_carry_the_start_of_their_hour(plant: Plant) -> None:
    cp = "DataTime=20260301070000;a00000-Min=3,a00000-Avg=3.9151,a00000-Max=4,a00000-Cou=12758.2462,a00000-Flag=N"
    async with listening(plant) as listener:
        assert await send_raw(listener.port, upload(cp, CN="2061"))
        # The same field in minute data belongs to no channel of this site.
        await send_raw(listener.port, upload(cp, CN="2051", QN="20260301080000124"))
    (amount,) = readings(plant, "GAS.HOUR")
    assert (amount["time"], amount["value"], amount["unit"]) == ("2026-02-28T23:00:00.000Z", "12758.2462", "m3")
    (mean,) = readings(plant, "FLOW.HOUR")
    assert (mean["time"], mean["value"], mean["unit"]) == ("2026-02-28T23:00:00.000Z", "3.9151", "m3/s")


async def test_label_at_the_end_of_the_period_is_a_setting(make_plant: Callable[..., Plant]) -> None:
    plant = make_plant(site_with(logger='period_label = "end"\nzone = "Asia/Shanghai"'), now=NOW)
    async with listening(plant) as listener:
        await send_raw(listener.port, upload("DataTime=20260301080000;a00000-Cou=5,a00000-Flag=N", CN="2061"))
    (amount,) = readings(plant, "GAS.HOUR")
    assert (amount["time"], amount["reason"]) == ("2026-02-28T23:00:00.000Z", "")


@pytest.mark.parametrize(
    ("pairs", "value", "flag", "reason"),
    [
        ("a05001-Rtd=9.1,a05001-Flag=F", "9.1", "F", "logger says F"),
        ("a05001-Rtd=9.1,a05001-Flag=M", "9.1", "M", "logger says M"),
        ("a05001-Rtd=9.1,a05001-Flag=S", "9.1", "S", "logger says S"),
        ("a05001-Rtd=9.1,a05001-Flag=D", "9.1", "D", "logger says D"),
        ("a05001-Rtd=9.1,a05001-Flag=C", "9.1", "C", "logger says C"),
        ("a05001-Rtd=9.1,a05001-Flag=T", "9.1", "T", "logger says T"),
        ("a05001-Rtd=0,a05001-Flag=B", "0", "B", "Q13 no communication, yet a value of 0; logger says B"),
        ("a05001-Rtd=9.1,a05001-Flag=X", "9.1", "D", "unknown data flag 'X'"),
        ("a05001-Rtd=9.1", "9.1", "N", "no data flag"),
        ("a05001-Rtd=,a05001-Flag=N", None, "D", "not a number: ''"),
        ("a05001-Rtd=--,a05001-Flag=B", None, "B", "logger says B; not a number: '--'"),
        ("a05001-Rtd=55,a05001-Flag=N", "55", "T", "Q15 above 40"),
        ("a05001-Rtd=55", "55", "T", "Q15 above 40; no data flag"),
    ],
)
async def test_flag_of_the_logger_is_kept_with_the_value(
    plant: Plant, pairs: str, value: str | None, flag: str, reason: str
) -> None:
    async with listening(plant) as listener:
        assert await send_raw(listener.port, upload(f"DataTime=20260301080000;{pairs}"))
    (row,) = readings(plant)
    assert (row["value"], row["flag"], row["reason"]) == (value, flag, reason)


async def test_late_frame_says_by_how_much(make_plant: Callable[..., Plant]) -> None:
    plant = make_plant(site_with(mn="81733553216103"), now=datetime(2024, 1, 23, 4, 39, 50, 241_000, tzinfo=UTC))
    async with listening(plant) as listener:
        await send_raw(listener.port, FRAMES["H04"].encode() + b"\r\n")
    (row,) = readings(plant, "PRESSURE")
    assert (row["flag"], row["reason"]) == ("N", "late 102230 s")
    assert json.loads(row["raw"])["deviations"] == ["short-mn"]


async def test_time_of_a_dead_clock_is_marked_and_kept(plant: Plant) -> None:
    async with listening(plant) as listener:
        await send_raw(listener.port, upload("DataTime=19700101080000;a05001-Rtd=1,a05001-Flag=N"))
        await send_raw(
            listener.port, upload("DataTime=20260301090000;a05001-Rtd=2,a05001-Flag=N", QN="20260301080000999")
        )
    impossible, future = readings(plant)
    assert (impossible["flag"], impossible["device_time"]) == ("D", "19700101080000")
    assert impossible["reason"].startswith("Q04 impossible time; late ")
    assert (future["flag"], future["reason"]) == ("D", "Q03 time lies in the future")


async def test_backfill_of_2025_says_so(plant: Plant) -> None:
    dials = LoggerDials(late_s=7200)
    async with listening(plant) as listener, logger(plant, listener, edition=Edition.HJ2025, dials=dials) as one:
        await one.send()
        assert one.answers[0].flag == 8
    (row,) = readings(plant)
    assert row["reason"] == "late 7200 s; back-fill RF=1; edition 2025"
    assert row["time"] == "2026-02-28T22:00:05.000Z"


# -- twice, other, missing ------------------------------------------------------------------------------------------


async def test_repetition_is_stored_once_and_answered_again(plant: Plant) -> None:
    frame = upload("DataTime=20260301080000;a05001-Rtd=1,a05001-Flag=N")
    async with listening(plant) as listener:
        first = await send_raw(listener.port, frame + frame)
        second = await send_raw(listener.port, frame)
    assert first == second * 2
    assert len(readings(plant)) == 1
    assert rows(plant, "SELECT times FROM hj212_frame")[0]["times"] == 3


async def test_repetition_is_known_after_a_restart(plant: Plant) -> None:
    frame = upload("DataTime=20260301080000;a05001-Rtd=1,a05001-Flag=N")
    async with listening(plant) as listener:
        await send_raw(listener.port, frame)
    again = plant.reopen()
    try:
        async with listening(again) as listener:
            assert await send_raw(listener.port, frame)
        assert len(readings(again)) == 1
    finally:
        again.writer.close()


async def test_other_exchange_with_the_same_value_is_dropped(plant: Plant) -> None:
    cp = "DataTime=20260301070000;a00000-Cou=5,a00000-Flag=N"
    async with listening(plant) as listener:
        await send_raw(listener.port, upload(cp, CN="2061"), upload(cp, CN="2061", QN="20260301080100000"))
    assert len(readings(plant, "GAS.HOUR")) == 1
    assert len(rows(plant, "SELECT * FROM hj212_frame")) == 2


async def test_other_value_for_the_same_time_is_kept_and_enters_no_sum(plant: Plant) -> None:
    def hour(value: str, flag: str, qn: str) -> bytes:
        return upload(f"DataTime=20260301070000;a00000-Cou={value},a00000-Flag={flag}", CN="2061", QN=qn)

    async with listening(plant) as listener:
        await send_raw(
            listener.port,
            hour("0", "B", "20260301080000001"),
            hour("5", "N", "20260301080000002"),
            hour("6", "N", "20260301080000003"),
            # The same QN with other content is no repetition.
            hour("7", "N", "20260301080000003"),
        )
    assert [(row["value"], row["flag"], row["reason"]) for row in readings(plant, "GAS.HOUR")] == [
        ("0", "B", "Q13 no communication, yet a value of 0; logger says B"),
        ("5", "N", "Q02 after a marked value"),
        ("6", "D", "Q02 differs from the value before"),
        ("7", "D", "Q02 differs from the value before"),
    ]


async def test_silence_of_a_logger_leaves_a_gap_event(plant: Plant) -> None:
    async with listening(plant) as listener, logger(plant, listener) as simulator:
        await simulator.send()
        plant.clock.advance(timedelta(seconds=170))
        await simulator.send()
        plant.clock.advance(timedelta(seconds=181))
        await simulator.send()
    events = [one.payload for one in plant.writer.call(lambda store: own_statements(store, "event"))]
    (gap,) = [one["data"] for one in events if one["type"] == "gap"]
    assert gap == {
        "source": "cems1",
        "from": "2026-03-01T00:02:55.000Z",
        "to": "2026-03-01T00:05:56.000Z",
        "reason": "no frames from the data logger",
    }


async def test_packets_of_a_split_upload_share_their_time(plant: Plant) -> None:
    async with listening(plant) as listener:
        answer = await send_raw(
            listener.port,
            upload("DataTime=20260301080000;a05001-Rtd=1,a05001-Flag=N", Flag="7;PNUM=2;PNO=1"),
            upload("a01013-Rtd=5,a01013-Flag=N", Flag="7;PNO=2;PNUM=2"),
        )
    assert answer.count(b"CN=9014") == 2
    (row,) = readings(plant, "PRESSURE")
    assert (row["time"], row["reason"]) == ("2026-03-01T00:00:00.000Z", "datatime-of-packet-before")
    assert "pno-before-pnum" in json.loads(row["raw"])["deviations"]


# -- bad frames -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dials",
    [
        LoggerDials(),
        LoggerDials(noise=True),
        LoggerDials(split=1),
        LoggerDials(split=7, noise=True),
        LoggerDials(duplicate=True),
        LoggerDials(lower_case=True),
        LoggerDials(noise=True, duplicate=True, split=3),
    ],
    ids=repr,
)
async def test_every_frame_arrives_once_whatever_the_line_does(plant: Plant, dials: LoggerDials) -> None:
    async with listening(plant) as listener, logger(plant, listener, dials=dials) as simulator:
        for _ in range(20):
            await simulator.send()
            plant.clock.advance(timedelta(seconds=30))
        # The last repetition may still be on its way when its first copy was answered.
        await until(lambda: len(quarantined(plant)) == 20 * dials.noise * (1 + dials.duplicate))
    assert len(readings(plant)) == 20
    assert {row["flag"] for row in readings(plant)} == {"N"}


async def test_joined_frames_are_both_read(plant: Plant) -> None:
    async with listening(plant) as listener, logger(plant, listener) as simulator:
        simulator.dials = LoggerDials(joined=True)
        await simulator.send()
        plant.clock.advance(timedelta(seconds=30))
        simulator.dials = LoggerDials()
        await simulator.send()
    assert len(readings(plant)) == 2


async def test_bad_check_sum_goes_aside_and_is_not_answered(plant: Plant) -> None:
    options: dict[str, Any] = {"dials": LoggerDials(bad_crc=True), "timeout_s": 0.1, "retries": 1}
    async with listening(plant) as listener, logger(plant, listener, **options) as simulator:
        with pytest.raises(LoggerError):
            await simulator.send()
        assert simulator.answers == []
    async with listening(plant) as listener, logger(plant, listener) as simulator:
        await simulator.send()
    assert len(readings(plant)) == 1
    bad = quarantined(plant)
    assert len(bad) == 2
    assert bad[0]["reason"].startswith("Q01 crc: says 0000, computed")
    assert bad[0]["source"].startswith("hj212 127.0.0.1:")
    assert bytes(bad[0]["payload"]).startswith(b"##0")


async def test_cut_frame_is_given_up_for_the_next(plant: Plant) -> None:
    async with listening(plant) as listener, logger(plant, listener) as simulator:
        simulator.dials = LoggerDials(cut=60, no_answer=True)
        await simulator.send()
        simulator.dials = LoggerDials()
        await simulator.send()
    (bad,) = quarantined(plant)
    assert len(bad["payload"]) == 60
    assert len(readings(plant)) == 1


async def test_frame_that_the_connection_cuts_is_kept(plant: Plant) -> None:
    frame = upload("DataTime=20260301080000;a05001-Rtd=1,a05001-Flag=N")
    async with listening(plant) as listener:
        assert await send_raw(listener.port, frame[:50]) == b""
    (bad,) = quarantined(plant)
    assert (bytes(bad["payload"]), bad["reason"]) == (frame[:50], "Q01 cut: the connection ended")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (FRAMES["H09"].encode() + b"\r\n", "Q01 crc: says 1100, computed 2D00"),
        (FRAMES["H10"].encode() + b"\r\n", "Q01 length: says 96 characters, has 95"),
        (FRAMES["H08"].encode() + b"\r\n", "Q01 crc-nonstandard: 524F is the Modbus check sum"),
        (FRAMES["H03"].encode() + b"\r\n", "MN 'NEWPROTOCOLTEST000000092' belongs to no logger of the site"),
        (FRAMES["H01"].encode() + b"\r\n", "CN 1062 is no upload; commands are not obeyed"),
        (upload("QnRtn=1", CN="9011"), "CN 9011 is no upload; commands are not obeyed"),
        (upload("DataTime=20260301080000;a05001-Rtd=1", CN="7777"), "CN 7777 is not known in HJ 212-2017"),
        (upload("", ST="x"), "Q01 head: ST='x'"),
        (encrypt(b"", bytes(16)) + b"hello\r\n", "Q01 noise: bytes outside a frame"),
    ],
)
async def test_what_is_no_upload_of_ours_goes_aside_unanswered(plant: Plant, frame: bytes, reason: str) -> None:
    async with listening(plant) as listener:
        assert await send_raw(listener.port, frame) == b""
    (bad,) = quarantined(plant)
    assert bytes(bad["payload"]) == frame
    assert bad["reason"].startswith(reason)
    assert rows(plant, "SELECT * FROM reading") == []


@pytest.mark.parametrize("cp", ["a05001-Rtd=1,a05001-Flag=N", "DataTime=20260230000000;a05001-Rtd=1"])
async def test_upload_whose_content_cannot_be_read_is_kept_and_answered(plant: Plant, cp: str) -> None:
    """The logger would send it for ever and hold back everything behind it."""
    async with listening(plant) as listener:
        answer = await send_raw(listener.port, upload(cp))
    assert b"CN=9014" in answer
    (bad,) = quarantined(plant)
    assert bad["reason"].startswith("Q01 time: ")
    assert rows(plant, "SELECT * FROM reading") == []


async def test_nonstandard_check_sum_is_an_option_of_the_logger(make_plant: Callable[..., Plant]) -> None:
    site = f"""
[[hj212]]
id = "old"
mn = "MP1"
edition = "2005"
nonstandard_crc = true

[[hj212]]
id = "new"
mn = "{MN}"

[[channel]]
id = "FLOW"
device = "old"
point = "B02-Rtd"
unit = "m3/h"
"""
    plant = make_plant(site, now=datetime(2021, 1, 29, 7, 23, tzinfo=UTC))
    async with listening(plant) as listener:
        # Bit A is not set and there is no QN to repeat: nothing can be answered.
        assert await send_raw(listener.port, FRAMES["H08"].encode() + b"\r\n") == b""
        wrong = FRAMES["H08"].encode().replace(b"MN=MP1", b"MN=MP2")
        assert await send_raw(listener.port, wrong + b"\r\n") == b""
    (row,) = readings(plant, "FLOW")
    assert (row["value"], row["unit"], row["flag"]) == ("6015.213", "m3/h", "N")
    assert row["reason"] == "no data flag; crc-nonstandard"
    (bad,) = quarantined(plant)
    assert bad["reason"].startswith("Q01 crc")


async def test_encrypted_frames_are_read_with_the_key_file(make_plant: Callable[..., Plant], tmp_path: Path) -> None:
    (tmp_path / "sm4.key").write_text(KEY + "\n", "ascii")
    plant = make_plant(site_with(logger='edition = "2025"\nsm4_key_file = "sm4.key"'), now=NOW)
    options: dict[str, Any] = {"edition": Edition.HJ2025, "key": bytes.fromhex(KEY), "dials": LoggerDials(split=5)}
    async with listening(plant) as listener, logger(plant, listener, **options) as simulator:
        await simulator.send()
    (row,) = readings(plant)
    assert (row["value"], row["reason"]) == ("12.5", "")
    assert json.loads(row["raw"])["encrypted"] is True


async def test_encrypted_frames_without_key_are_refused_clearly(plant: Plant) -> None:
    options: dict[str, Any] = {"edition": Edition.HJ2025, "key": bytes(16), "timeout_s": 0.1, "retries": 0}
    async with listening(plant) as listener, logger(plant, listener, **options) as simulator:
        with pytest.raises(LoggerError):
            await simulator.send()
        await until(lambda: bool(quarantined(plant)))
    (bad,) = quarantined(plant)
    assert bad["reason"] == f"Q01 encrypted: data area of '{MN}' is no text and there is no SM4 key for it"
