"""HJ 212 frames from public repositories come out as their list says; what the tables and answers promise holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from device_profiles.hj212 import (
    AnswerKind,
    Broken,
    Deviation,
    Edition,
    Fault,
    Frame,
    FrameStream,
    Packet,
    PacketError,
    PacketSeries,
    WriteError,
    annex_crc,
    answer_to,
    crc_text,
    decrypt,
    edition_of_flag,
    encrypt,
    groups,
    modbus_crc,
    number_of,
    parse_time,
    parse_zone,
    read_packet,
    table,
    time_of,
    write_frame,
    write_packet,
)
from device_profiles.units import UNITS

CHINA = parse_zone("+08:00")
FRAMES: dict[str, str] = json.loads((Path(__file__).parent / "data" / "hj212_frames.json").read_text("utf-8"))
#: Annex A.2 of HJ 212-2025 as quoted by an implementation: the key is sixteen times 0x30.
ANNEX_KEY = b"0" * 16
ANNEX_PLAIN = (
    b"QN=20240520210700000;ST=31;CN=2051;PW=123456;MN=010000A8900016F000169DC0;Flag=9;CP=&&"
    b"DataTime=20240520210600;a01011-Min=1.35,a01011-Avg=1.35,a01011-Max=1.35,a01011-Flag=N;"
    b"a01014-Min=3.20,a01014-Avg=3.20,a01014-Max=3.20,a01014-Flag=N&&"
)
ANNEX_CIPHER = bytes.fromhex(
    "E43E159ACFAB242CB53155FB8B9281A1A242577ABFAED881BE88B72D69FC55ED1A80119FAAC8B3CD33D285CC76F57F2C"
    "A7F88B9573C6647E0F07E24609BD6B63EB20C5B9784F28E71D2F4994FF61D9E13B391A1D2A454B65388D5D9435DBF021"
    "528C7BF9755EF16518710C0CAC0ADEF9C5156CD0A5A17674AC0ED2ABC40023E9EF70128554B82438E91ADCE98A0D03A4"
)


def wire(name: str) -> bytes:
    return FRAMES[name].encode() + b"\r\n"


def parsed(raw: bytes, **options: bool) -> list[Frame | Broken]:
    stream = FrameStream(**options)  # type: ignore[arg-type]
    return [*stream.feed(raw), *stream.finish()]


def frame_of(name: str, **options: bool) -> Frame:
    (found,) = parsed(wire(name), **options)
    assert isinstance(found, Frame), found
    return found


def packet_of(name: str, **options: bool) -> Packet:
    return read_packet(frame_of(name, **options))


def segment(**changed: str) -> bytes:
    fields = {
        "QN": "20260301000000123",
        "ST": "31",
        "CN": "2011",
        "PW": "123456",
        "MN": "010000A8900016F000169DC0",
        "Flag": "5",
        "CP": "&&DataTime=20260301000000;a05001-Rtd=12.5,a05001-Flag=N&&",
    }
    return ";".join(f"{name}={value}" for name, value in {**fields, **changed}.items() if value != "-").encode()


def packet_from(**changed: str) -> Packet:
    (found,) = parsed(write_frame(segment(**changed)))
    assert isinstance(found, Frame)
    return read_packet(found)


@pytest.mark.parametrize(
    ("name", "crc"),
    [
        ("H01", "1C80"),
        ("H02", "2200"),
        ("H03", "5140"),
        ("H04", "6740"),
        ("H05", "47C0"),
        ("H06", "CC01"),
        ("H07", "7D00"),
        ("H08", "4400"),
        ("H09", "2D00"),
        ("H10", "5B40"),
    ],
)
def test_annex_check_sum_of_public_frames(name: str, crc: str) -> None:
    assert crc_text(annex_crc(FRAMES[name].encode()[6:-4])) == crc


@pytest.mark.parametrize(
    ("name", "edition", "deviations"),
    [
        ("H01", "2017", {"edition-before-issue"}),
        ("H02", "2025", {"edition-before-issue"}),
        ("H03", "2017", {"mn-characters"}),
        ("H04", "2017", {"short-mn"}),
        ("H05", "2017", {"empty-pw", "mn-characters"}),
        ("H06", "2017", {"crc-lower-case", "short-mn", "mn-characters"}),
        ("H07", "2025", {"crc-lower-case", "short-mn", "mn-characters", "edition-before-issue"}),
    ],
)
def test_valid_frame_is_read_with_its_deviations(name: str, edition: str, deviations: set[str]) -> None:
    packet = packet_of(name)
    assert packet.edition == edition
    assert set(packet.deviations) == deviations


@pytest.mark.parametrize(
    ("name", "fault", "said"),
    [
        ("H08", Fault.CRC_NONSTANDARD, "4400"),
        ("H09", Fault.CRC, "2D00"),
        ("H10", Fault.LENGTH, "says 96 characters, has 95"),
    ],
)
def test_invalid_frame_is_set_aside_whole(name: str, fault: Fault, said: str) -> None:
    (found,) = parsed(wire(name))
    assert isinstance(found, Broken)
    assert (found.raw, found.fault) == (wire(name), fault)
    assert said in found.detail


def test_annex_check_sum_has_256_values_and_finds_any_one_wrong_byte() -> None:
    assert len({annex_crc(bytes([one, two])) for one in range(256) for two in range(256)}) == 256
    whole = frame_of("H01").segment
    right = annex_crc(whole)
    for at in range(len(whole)):
        wrong = {annex_crc(whole[:at] + bytes([byte]) + whole[at + 1 :]) for byte in range(256) if byte != whole[at]}
        assert right not in wrong


def test_modbus_check_sum_is_accepted_only_where_allowed() -> None:
    packet = packet_of("H08", allow_nonstandard_crc=True)
    assert crc_text(modbus_crc(frame_of("H08", allow_nonstandard_crc=True).segment)) == "524F"
    assert packet.edition is Edition.HJ2005
    assert {Deviation.CRC_NONSTANDARD, Deviation.NO_QN, Deviation.NO_FLAG} <= set(packet.deviations)
    (group,) = groups(packet, CHINA)
    assert number_of(group.factors["B02"].fields["Rtd"]) == Decimal("6015.213")
    for name in ("H09", "H10"):
        (found,) = parsed(wire(name), allow_nonstandard_crc=True)
        assert isinstance(found, Broken)


def test_request_of_the_standard() -> None:
    packet = packet_of("H01")
    assert (packet.st, packet.cn, packet.flag, packet.wants_answer) == ("32", "1062", 5, True)
    assert packet.value("RtdInterval") == "30"
    empty = packet_of("H02")
    assert (empty.cn, empty.flag, empty.wants_answer, empty.items) == ("1011", 9, True, ())


def test_hour_data_of_a_stack() -> None:
    packet = packet_of("H03")
    (group,) = groups(packet, CHINA)
    assert group.time == datetime(2021, 7, 22, 5, tzinfo=UTC)
    assert len(group.factors) == 9
    flow = group.factors["a00000"]
    assert (number_of(flow.fields["Avg"]), number_of(flow.fields["Cou"]), flow.flag) == (
        Decimal("3.9151"),
        Decimal("12758.2462"),
        "N",
    )
    for code, average in (("a01012", "39.7515"), ("a19001", "15.1909"), ("a01013", "-123.0723")):
        assert (number_of(group.factors[code].fields["Avg"]), group.factors[code].flag) == (Decimal(average), "T")
    # Flow × 3600 s is 9.5 % more than the logger's own amount: what check Q25 is there to see.
    assert Decimal("3.9151") * 3600 == Decimal("14094.36")


def test_late_real_time_data() -> None:
    packet = packet_of("H04")
    (group,) = groups(packet, CHINA)
    assert len(group.factors) == 7
    assert {factor.flag for factor in group.factors.values()} == {"N"}
    sent = parse_time(packet.qn, CHINA)
    assert (sent - group.time) // timedelta(seconds=1) == 102_230
    assert not packet.is_backfill


def test_start_of_the_logger_has_two_times() -> None:
    packet = packet_of("H05")
    assert (packet.cn, packet.pw, packet.value("RestartTime")) == ("2081", "", "20200425120954")


def test_digits_are_kept_as_sent() -> None:
    (group,) = groups(packet_of("H07"), CHINA)
    assert number_of(group.factors["w21003"].fields["Rtd"]) == Decimal("0.09055002")


@pytest.mark.parametrize(
    ("changed", "deviation"),
    [
        ({"PW": ""}, Deviation.EMPTY_PW),
        ({"PW": "1234"}, Deviation.PW_LENGTH),
        ({"MN": "8173355"}, Deviation.SHORT_MN),
        ({"MN": "0" * 30}, Deviation.MN_LENGTH),
        ({"MN": "X" * 24}, Deviation.MN_CHARACTERS),
        ({"QN": "-"}, Deviation.NO_QN),
        ({"Flag": "-"}, Deviation.NO_FLAG),
        ({"Flag": "13"}, Deviation.UNKNOWN_EDITION),
        ({"Flag": "7"}, Deviation.PACKET_BIT),
        ({"CP": "&&DataTime=20260301000000;a05001-Rtd=1,a05001-Flag=N,;&&"}, Deviation.COMMA_BEFORE_SEMICOLON),
        ({"CP": "&&DataTime=20260301000000;a05001-Rtd=1;&&"}, Deviation.SEMICOLON_AT_END),
        ({"CP": "&&DataTime=20260301000000;a-Info=" + "9" * 930 + "&&", "PW": "", "QN": "-"}, Deviation.LONG_CP),
    ],
)
def test_deviation_is_understood_and_noted(changed: dict[str, str], deviation: Deviation) -> None:
    (found,) = parsed(write_frame(segment(**changed)))
    assert isinstance(found, Frame), found
    assert deviation in read_packet(found).deviations


def test_frame_as_the_standard_wants_it_has_no_deviation() -> None:
    assert packet_from().deviations == ()


def test_packet_numbers_in_either_order() -> None:
    head = b"QN=20260301000000123;ST=31;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=7;"
    right = read_packet(Frame(b"", head + b"PNUM=3;PNO=2;CP=&&&&", ""))
    wrong = read_packet(Frame(b"", head + b"PNO=2;PNUM=3;CP=&&&&", ""))
    assert (right.pnum, right.pno, right.deviations) == (3, 2, ())
    assert (wrong.pnum, wrong.pno, wrong.deviations) == (3, 2, (Deviation.PNO_BEFORE_PNUM,))


def test_length_of_three_digits() -> None:
    raw = write_frame(segment())
    assert raw.startswith(b"##0")
    (found,) = parsed(b"##" + raw[3:])
    assert isinstance(found, Frame)
    assert Deviation.LENGTH_THREE_DIGITS in found.deviations


def test_time_with_milliseconds() -> None:
    (group,) = groups(packet_from(CP="&&DataTime=20260301000000250;a05001-Rtd=1&&"), CHINA)
    assert group.time == datetime(2026, 2, 28, 16, 0, 0, 250_000, tzinfo=UTC)
    assert group.deviations == (Deviation.DATATIME_17,)


def test_several_times_in_one_packet() -> None:
    cp = "&&DataTime=20260301000000;a05001-Avg=1;DataTime=20260301010000;a05001-Avg=2&&"
    first, second = groups(packet_from(CN="2061", CP=cp), CHINA)
    assert second.time - first.time == timedelta(hours=1)
    assert second.factors["a05001"].fields == {"Avg": "2"}


def test_later_packet_takes_the_time_of_the_packet_before() -> None:
    series = PacketSeries()
    head = b"QN=20260301000000123;ST=31;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=7;PNUM=2;PNO=%d;CP=&&%s&&"
    first = read_packet(Frame(b"", head % (1, b"DataTime=20260301000000;a05001-Rtd=1"), ""))
    second = read_packet(Frame(b"", head % (2, b"a19001-Rtd=8"), ""))
    with pytest.raises(PacketError, match="before any DataTime"):
        groups(second, CHINA, series.data_time_before(second))
    assert series.data_time_before(first) == ""
    (group,) = groups(second, CHINA, series.data_time_before(second))
    assert group.data_time == "20260301000000"
    assert group.deviations == (Deviation.DATATIME_BEFORE,)


def test_backfill_mark_of_2025() -> None:
    head = b"QN=20260301000000123;ST=31;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=8;RF=1;CP=&&&&"
    assert read_packet(Frame(b"", head, "")).is_backfill


@pytest.mark.parametrize(
    "changed",
    [
        {"ST": "-"},
        {"ST": "3"},
        {"CN": "abcd"},
        {"MN": "-"},
        {"MN": ""},
        {"MN": "A" * 65},
        {"QN": "2026"},
        {"QN": "20261301000000000"},
        {"Flag": "256"},
        {"Flag": "x"},
        {"CP": "DataTime=1"},
        {"CP": "&&DataTime&&"},
        {"CP": "&&=1&&"},
        {"CP": "&&DataTime=1\t&&"},
        {"ST": "31;ST=31"},
    ],
)
def test_content_that_cannot_be_read_is_one_kind_of_error(changed: dict[str, str]) -> None:
    with pytest.raises(PacketError):
        read_packet(Frame(b"", segment(**changed), ""))


@pytest.mark.parametrize(
    "cp",
    [
        "a05001-Rtd=1",
        "DataTime=20260230000000;a05001-Rtd=1",
        "DataTime=2026;a05001-Rtd=1",
        "DataTime=00000101000000;a05001-Rtd=1",
        "DataTime=00010101000000;a05001-Rtd=1",
        "DataTime=20260301000000;a05001-Rtd=1,a05001-Rtd=2",
    ],
)
def test_values_without_a_time_or_twice_are_refused(cp: str) -> None:
    with pytest.raises(PacketError):
        groups(packet_from(CP=f"&&{cp}&&"), CHINA)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", "1"),
        ("-0.052", "-0.052"),
        ("+3.50", "3.50"),
        ("", None),
        ("1e5", None),
        (".5", None),
        ("NaN", None),
        ("１", None),
    ],
)
def test_numbers_are_written_as_the_standard_writes_them(text: str, value: str | None) -> None:
    found = number_of(text)
    assert (None if found is None else str(found)) == value


def test_flag_names_the_edition() -> None:
    assert [edition_of_flag(flag) for flag in (None, 0, 3, 4, 7, 8, 11, 12, 255)] == [
        Edition.HJ2005,
        Edition.HJ2005,
        Edition.HJ2005,
        Edition.HJ2017,
        Edition.HJ2017,
        Edition.HJ2025,
        Edition.HJ2025,
        None,
        None,
    ]


@pytest.mark.parametrize("edition", list(Edition))
def test_tables_agree_with_themselves_and_with_the_units(edition: Edition) -> None:
    rules = table(edition)
    assert rules.edition is edition
    assert len(rules.hash) == 64
    for factor in rules.factors.values():
        assert {factor.unit, factor.cou_unit} - {""} <= set(UNITS), factor.code
        assert factor.mark in ("A", "B", "C", "UNCONFIRMED")
    assert {command.answer for command in rules.commands.values()} <= {"", "9013", "9014"}
    assert all(not command.answer or command.direction == "up" for command in rules.commands.values())
    assert set(rules.flags.values()) <= set("NFMSDCTB")


def test_carbon_dioxide_needs_a_declared_unit_in_every_edition() -> None:
    declared = {
        (edition.value, code)
        for edition in Edition
        for code, factor in table(edition).factors.items()
        if factor.declare_unit
    }
    assert declared == {("2005", "30"), ("2017", "a05001"), ("2025", "a05001")}


def test_data_answer_repeats_the_exchange_and_says_nothing() -> None:
    raw = write_packet(answer_to(packet_from(), AnswerKind.DATA), is_answer=True)
    assert raw[6:-6] == (b"QN=20260301000000123;ST=91;CN=9014;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&&&")
    (found,) = parsed(raw)
    assert isinstance(found, Frame)


def test_answers_to_requests_and_notices() -> None:
    request = answer_to(packet_of("H01"), AnswerKind.REQUEST, result=1)
    assert b"ST=91;CN=9011;PW=100000;MN=010000A8900016F000169DC0;Flag=4;CP=&&QnRtn=1&&" in write_packet(
        request, is_answer=True
    )
    notice = answer_to(packet_from(CN="1013"), AnswerKind.NOTICE)
    assert b"CN=9013" in write_packet(notice, is_answer=True)
    assert b"Flag=8;" in write_packet(answer_to(packet_of("H02"), AnswerKind.NOTICE), is_answer=True)
    with pytest.raises(WriteError):
        answer_to(packet_of("H01"), AnswerKind.DATA, result=1)
    with pytest.raises(WriteError):
        answer_to(packet_of("H01"), AnswerKind.REQUEST)
    with pytest.raises(WriteError):
        answer_to(packet_of("H08", allow_nonstandard_crc=True), AnswerKind.DATA)


@pytest.mark.parametrize(
    "changed", [{"MN": "8173"}, {"PW": ""}, {"QN": "-"}, {"Flag": "-"}, {"Flag": "13"}, {"Flag": "7"}]
)
def test_writer_does_not_write_what_a_reader_tolerates(changed: dict[str, str]) -> None:
    with pytest.raises(WriteError):
        write_packet(packet_from(**changed))


def test_same_packet_has_the_same_key() -> None:
    assert packet_from().key == packet_from(PW="").key == ("010000A8900016F000169DC0", "20260301000000123", "2011", 0)
    assert packet_from(QN="-").key != packet_from(QN="-", CP="&&DataTime=20260301000001;a05001-Rtd=1&&").key


def test_encryption_of_the_annex() -> None:
    sent = encrypt(ANNEX_PLAIN, ANNEX_KEY)
    start = ANNEX_PLAIN.index(b"&&") + 2
    assert sent[start : start + 144] == ANNEX_CIPHER
    # The rest of three characters stays plain.
    assert sent[start + 144 :] == b"g=N&&"
    assert decrypt(sent, ANNEX_KEY) == ANNEX_PLAIN
    assert write_frame(ANNEX_PLAIN, ANNEX_KEY).endswith(b"B541\r\n")


def test_encrypted_frame_needs_the_key_of_its_logger() -> None:
    raw = write_frame(ANNEX_PLAIN, ANNEX_KEY)
    mn = "010000A8900016F000169DC0"
    (read,) = FrameStream(keys={mn: ANNEX_KEY}).feed(raw)
    assert isinstance(read, Frame)
    assert (read.segment, read.is_encrypted) == (ANNEX_PLAIN, True)
    for keys, said in (({}, "no SM4 key"), ({mn: b"1" * 16}, "does not fit"), ({"other": ANNEX_KEY}, "no SM4 key")):
        (refused,) = FrameStream(keys=keys).feed(raw)
        assert isinstance(refused, Broken)
        assert (refused.raw, refused.fault) == (raw, Fault.ENCRYPTED)
        assert said in refused.detail


def test_zones() -> None:
    assert parse_zone("Asia/Shanghai").utcoffset(datetime(2026, 1, 1)) == timedelta(hours=8)
    assert parse_zone("-03:30").utcoffset(None) == timedelta(hours=-3, minutes=-30)
    for wrong in ("+8", "8", "Nowhere/At", "+08:60", "../etc"):
        with pytest.raises(ValueError):
            parse_zone(wrong)
    assert (
        time_of(datetime(2026, 2, 28, 16, 0, 0, 123_000, tzinfo=UTC), CHINA, milliseconds=True) == "20260301000000123"
    )
