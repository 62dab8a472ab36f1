"""HJ 212 over real sockets: answered after the commit, never twice, bad frames aside, nothing ever commanded."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from conftest import Plant
from small_centre import CODE, SmallCentre

from cunzheng.cli import cunzheng
from cunzheng.simulator.errors import LoggerError
from cunzheng.simulator.hj212_logger import Hj212LoggerSimulator, LoggerDials
from device_profiles.hj212 import Edition, FrameStream, Packet, encrypt, read_packet, write_frame, write_packet
from gateway.assembly import open_gateway
from gateway.chain import own_statements
from gateway.errors import MisuseError, StoreError
from gateway.field import end_tasks
from gateway.hj212 import LoggerListener
from gateway.hj212_intake import LoggerIntake
from gateway.service import Service
from gateway.settings import LoggerSettings
from gateway.store import Row

MN = "010000A8900016F000169DC0"
FRAMES: dict[str, str] = json.loads(
    (Path(__file__).parents[1] / "device_profiles" / "data" / "hj212_frames.json").read_text("utf-8")
)
NOW = datetime(2026, 3, 1, 0, 0, 5, tzinfo=UTC)
WAIT_S = 10.0
KEY = "000102030405060708090a0b0c0d0e0f"
VALUES = {"a05001-Rtd": "12.5", "a01013-Rtd": "-123.0723", "a19001-Rtd": "8.1"}

SITE = f"""
[[hj212]]
id = "cems1"
mn = "{MN}"
serial = "DL-77"

[[channel]]
id = "CO2"
device = "cems1"
point = "a05001-Rtd"
unit = "%"
limits = {{ high = "40" }}

[[channel]]
id = "PRESSURE"
device = "cems1"
point = "a01013-Rtd"
unit = "Pa"

[[channel]]
id = "FLOW.HOUR"
device = "cems1"
point = "a00000-Avg/hour"

[[channel]]
id = "GAS.HOUR"
device = "cems1"
point = "a00000-Cou/hour"
"""


def site_with(*, logger: str = "", mn: str = MN) -> str:
    return SITE.replace(f'mn = "{MN}"', f'mn = "{mn}"\n{logger}')


@pytest.fixture
def plant(make_plant: Callable[..., Plant]) -> Plant:
    return make_plant(SITE, now=NOW)


@asynccontextmanager
async def listening(plant: Plant, **options: Any) -> AsyncIterator[LoggerListener]:
    intake = LoggerIntake(plant.pipeline, plant.catalogue.loggers, on_reading=lambda reading: None)
    listener = LoggerListener(LoggerSettings(port=0, **options), intake)
    task = asyncio.create_task(listener.run())
    try:
        async with asyncio.timeout(WAIT_S):
            await listener.ready()
        yield listener
    finally:
        await end_tasks((task,))


@asynccontextmanager
async def logger(plant: Plant, listener: LoggerListener, **options: Any) -> AsyncIterator[Hj212LoggerSimulator]:
    given: dict[str, Any] = {"values": lambda at: VALUES, "clock": plant.clock.now, "timeout_s": WAIT_S, **options}
    simulator = Hj212LoggerSimulator(given.pop("mn", MN), host="127.0.0.1", port=listener.port, **given)
    await simulator.connect()
    try:
        yield simulator
    finally:
        await simulator.close()


def rows(plant: Plant, sql: str, *parameters: object) -> list[Row]:
    return plant.writer.call(lambda store: store.rows(sql, parameters))


def readings(plant: Plant, channel: str = "CO2") -> list[Row]:
    return rows(plant, "SELECT * FROM reading WHERE channel = ? ORDER BY seq", channel)


def quarantined(plant: Plant) -> list[Row]:
    return rows(plant, "SELECT * FROM quarantine ORDER BY id")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def send_raw(port: int, *pieces: bytes) -> bytes:
    """Send, close our side, and return everything that came back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
    async with asyncio.timeout(WAIT_S):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def upload(cp: str, **changed: str) -> bytes:
    head = {"QN": "20260301080000123", "ST": "31", "CN": "2011", "PW": "123456", "MN": MN, "Flag": "5", **changed}
    return write_frame((";".join(f"{name}={value}" for name, value in head.items()) + f";CP=&&{cp}&&").encode())


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


# -- commits and connections ---------------------------------------------------------------------------------------


async def test_answer_waits_for_the_commit(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.hj212_intake.RETRY_S", 0.02)
    failures = iter([True, True, False])
    real = plant.writer.do
    stored_at_answer: list[int] = []

    async def refuses(function: Callable[..., Any]) -> Any:
        if next(failures, False):
            raise StoreError("满", "full")
        return await real(function)

    async def watched(self: LoggerListener, writer: asyncio.StreamWriter, answers: Sequence[bytes]) -> bool:
        stored_at_answer.append(len(readings(plant)))
        return await answered(self, writer, list(answers))

    answered: Callable[..., Awaitable[bool]] = LoggerListener._answered
    monkeypatch.setattr(plant.writer, "do", refuses)
    monkeypatch.setattr(LoggerListener, "_answered", watched)
    async with listening(plant) as listener, logger(plant, listener) as simulator:
        await simulator.send()
    assert stored_at_answer == [1]


async def test_logger_that_is_not_answered_sends_again_and_is_stored_once(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: Callable[..., Awaitable[bool]] = LoggerListener._answered
    lost = iter([True, True])

    async def loses(self: LoggerListener, writer: asyncio.StreamWriter, answers: list[bytes]) -> bool:
        return True if next(lost, False) else await answered(self, writer, answers)

    monkeypatch.setattr(LoggerListener, "_answered", loses)
    async with listening(plant) as listener, logger(plant, listener, timeout_s=0.1) as simulator:
        await simulator.send()
        assert simulator.count.repeated == 2
    assert len(readings(plant)) == 1


async def test_loggers_do_not_disturb_each_other(make_plant: Callable[..., Plant]) -> None:
    other = "1" * 24
    second = f"""
[[hj212]]
id = "cems2"
mn = "{other}"

[[channel]]
id = "CO2.2"
device = "cems2"
point = "a05001-Rtd"
unit = "%"
"""
    plant = make_plant(SITE + second, now=NOW)
    async with (
        listening(plant) as listener,
        logger(plant, listener) as one,
        logger(plant, listener, mn=other) as two,
    ):
        two.dials = LoggerDials(split=2, noise=True)
        for _ in range(10):
            await asyncio.gather(one.send(), two.send())
            plant.clock.advance(timedelta(seconds=30))
    assert (len(readings(plant)), len(readings(plant, "CO2.2"))) == (10, 10)


async def test_connection_of_pure_noise_is_closed(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.hj212.MOST_BROKEN", 100)
    async with listening(plant) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET / HTTP/1.1\r\n" * 10)
        async with asyncio.timeout(WAIT_S):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_only_named_peers_may_connect(plant: Plant) -> None:
    frame = upload("DataTime=20260301080000;a05001-Rtd=1,a05001-Flag=N")
    async with listening(plant, peers=("192.0.2.0/24",)) as listener:
        with suppress(ConnectionError):
            assert await send_raw(listener.port, frame) == b""
    async with listening(plant, peers=("192.0.2.0/24", "127.0.0.1")) as listener:
        assert await send_raw(listener.port, frame)
    assert len(readings(plant)) == 1


async def test_more_connections_than_allowed_are_refused(plant: Plant) -> None:
    async with listening(plant, connections=1) as listener, logger(plant, listener) as simulator:
        await simulator.send()
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        async with asyncio.timeout(WAIT_S):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        plant.clock.advance(timedelta(seconds=30))
        await simulator.send()


async def test_idle_connection_is_closed(plant: Plant) -> None:
    async with listening(plant, idle_s=0.05) as listener:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        async with asyncio.timeout(WAIT_S):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_port_that_is_taken_is_tried_again(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.hj212.LISTEN_RETRY_S", 0.02)
    async with listening(plant) as first:
        intake = LoggerIntake(plant.pipeline, plant.catalogue.loggers, on_reading=lambda reading: None)
        second = LoggerListener(LoggerSettings(port=first.port), intake)
        task = asyncio.create_task(second.run())
        await until(lambda: bool(rows(plant, "SELECT * FROM problem")))
        (problem,) = rows(plant, "SELECT * FROM problem")
        assert problem["en"].startswith(f"cannot listen for HJ 212 at 127.0.0.1:{first.port}: ")
    async with asyncio.timeout(WAIT_S):
        await second.ready()
    assert second.error is None
    assert rows(plant, "SELECT * FROM problem") == []
    await end_tasks((task,))


# -- site file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ('point = "a05001-Rtd"\nunit = "%"', 'point = "a05001-Rtd"', "needs a declared unit"),
        ('point = "a01013-Rtd"\nunit = "Pa"', 'point = "a01013-Rtd"\nunit = "pascal"', "unknown unit"),
        ('point = "a01013-Rtd"', 'point = "a01013"', "must be written like"),
        ('point = "a01013-Rtd"', 'point = "a01013-Now"', "there is no field"),
        ('point = "a01013-Rtd"', 'point = "a01013-Rtd/hour"', "needs its period"),
        ('point = "a00000-Avg/hour"', 'point = "a00000-Avg"', "needs its period"),
        ('point = "a00000-Avg/hour"', 'point = "a99999-Avg/hour"', "has no unit for a99999-Avg"),
        ('point = "a00000-Cou/hour"', 'point = "a00000-Cou/hour"\nunit = "m3/s"', "cannot be summed"),
        ('point = "a00000-Cou/hour"', 'point = "a00000-Cou/hour"\nkind = "value"', "is a interval"),
        ('serial = "DL-77"', 'zone = "Nowhere"', "is no time zone"),
        ('serial = "DL-77"', 'sm4_key_file = "absent.key"', "cannot read"),
        ('serial = "DL-77"', 'sm4_key_file = "site.toml"', "32 hexadecimal characters"),
        ('serial = "DL-77"', f'[[hj212]]\nid = "again"\nmn = "{MN}"', "is used twice"),
    ],
)
def test_site_that_does_not_fit_refuses_to_load(
    make_plant: Callable[..., Plant], was: str, now: str, said: str
) -> None:
    assert was in SITE
    with pytest.raises(MisuseError, match=re.escape(said)):
        make_plant(SITE.replace(was, now))


def test_channel_names_logger_and_code_table(plant: Plant) -> None:
    channel = plant.catalogue.channels["GAS.HOUR"]
    assert channel.profile is not None
    assert (channel.via, channel.device, channel.serial, channel.kind) == ("hj212", "cems1", "DL-77", "interval")
    assert (channel.profile.id, channel.profile.version) == ("hj212-2017", 1)
    assert channel.poll == timedelta(hours=1)
    configs = [one.payload["data"] for one in plant.writer.call(lambda store: own_statements(store, "event"))]
    assert {"device": "cems1", "via": "hj212"} in [one.get("source") for one in configs]


def test_settings_must_name_a_port_where_the_site_has_loggers(plant: Plant) -> None:
    (plant.folder / "gateway.toml").write_text(
        'data = "."\nsite = "site.toml"\n[centre]\nurl = "http://127.0.0.1:9"\n', "utf-8"
    )
    with pytest.raises(MisuseError, match=r"\[hj212\]"):
        open_gateway(plant.folder / "gateway.toml")


async def test_running_gateway_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[LoggerListener] = []
    real = LoggerListener.__init__

    def remembered(self: LoggerListener, *given: Any) -> None:
        made.append(self)
        real(self, *given)

    monkeypatch.setattr(LoggerListener, "__init__", remembered)
    with SmallCentre() as centre:
        (tmp_path / "gateway.toml").write_text(
            f'data = "data"\n[centre]\nurl = "{centre.url}"\nsync_s = 0.1\n[hj212]\nport = 0\n', "utf-8"
        )
        (tmp_path / "site.toml").write_text(SITE, "utf-8")
        words = ["gateway", "enrol", "-c", str(tmp_path / "gateway.toml"), CODE]
        assert (await asyncio.to_thread(CliRunner().invoke, cunzheng, words)).exit_code == 0
        with open_gateway(tmp_path / "gateway.toml") as gateway:
            stop = asyncio.Event()
            task = asyncio.create_task(Service(gateway).run(stop))
            await until(lambda: bool(made))
            await made[0].ready()
            simulator = Hj212LoggerSimulator(MN, host="127.0.0.1", port=made[0].port, values=lambda at: VALUES)
            await simulator.connect()
            await simulator.send()
            await simulator.close()
            stop.set()
            await task
            stored = gateway.writer.call(lambda store: store.rows("SELECT value, flag, reason FROM reading"))
    assert [tuple(row) for row in stored] == [("12.5", "N", ""), ("-123.0723", "N", "")]


async def test_simulator_runs_and_connects_again(plant: Plant) -> None:
    async with listening(plant) as listener:
        times = iter(range(10_000))
        simulator = Hj212LoggerSimulator(
            MN,
            host="127.0.0.1",
            port=listener.port,
            values=lambda at: VALUES,
            interval_s=0.01,
            clock=lambda: NOW + timedelta(milliseconds=next(times) - 10_000),
        )
        task = asyncio.create_task(simulator.run())
        await until(lambda: simulator.count.answered >= 3)
        await simulator.close()
        await until(lambda: simulator.count.answered >= 6)
        await end_tasks((task,))


def test_simulator_writes_what_the_reader_reads() -> None:
    simulator = Hj212LoggerSimulator(MN, host="", port=0, values=lambda at: VALUES)
    packet = simulator._packet("2011", NOW, NOW, VALUES, (2, 1))
    (frame,) = FrameStream().feed(write_packet(packet))
    again = read_packet(frame)  # type: ignore[arg-type]
    assert isinstance(again, Packet)
    assert replace(again, cp="") == packet
