"""The stream never loses step: cut, joined, noisy and split frames, and any garbage before a good one."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.hj212 import (
    Broken,
    Edition,
    Fault,
    Frame,
    FrameStream,
    Packet,
    PacketError,
    groups,
    parse_zone,
    read_packet,
    write_frame,
    write_packet,
)

FRAMES: dict[str, str] = json.loads((Path(__file__).parent / "data" / "hj212_frames.json").read_text("utf-8"))
GOOD = FRAMES["H01"].encode() + b"\r\n"
OTHER = FRAMES["H06"].encode() + b"\r\n"
KEYS = {"010000A8900016F000169DC0": b"0" * 16}


def fed(*pieces: bytes) -> list[Frame | Broken]:
    stream = FrameStream(keys=KEYS)
    return [found for piece in pieces for found in stream.feed(piece)] + stream.finish()


def frames(found: list[Frame | Broken]) -> list[bytes]:
    return [one.raw for one in found if isinstance(one, Frame)]


def broken(found: list[Frame | Broken]) -> list[Broken]:
    return [one for one in found if isinstance(one, Broken)]


@pytest.mark.parametrize("at", range(6, len(GOOD) - 2))
def test_flipped_character_is_found(at: int) -> None:
    spoiled = GOOD[:at] + bytes([GOOD[at] ^ 1]) + GOOD[at + 1 :]
    found = fed(spoiled, GOOD)
    assert frames(found) == [GOOD]
    assert b"".join(one.raw for one in broken(found)) == spoiled


def test_frame_cut_at_sixty_bytes_waits_and_is_given_up_at_the_end() -> None:
    stream = FrameStream()
    assert stream.feed(GOOD[:60]) == []
    assert stream.pending == 60
    (left,) = stream.finish()
    assert isinstance(left, Broken)
    assert (left.raw, left.fault) == (GOOD[:60], Fault.CUT)


@pytest.mark.parametrize("cut", range(1, len(GOOD)))
def test_cut_frame_does_not_hold_up_the_next(cut: int) -> None:
    stream = FrameStream()
    found = stream.feed(GOOD[:cut]) + stream.feed(OTHER)
    assert frames(found) == [OTHER]
    assert b"".join(one.raw for one in broken(found)) == GOOD[:cut]


def test_joined_frames_are_two() -> None:
    assert frames(fed(GOOD + OTHER + GOOD)) == [GOOD, OTHER, GOOD]


@pytest.mark.parametrize(
    "noise",
    [
        b"\x00\xff",
        b"#",
        b"##",
        b"###",
        b"##12",
        b"##9999",
        b"##0000",
        b"##0101QN=",
        b"\r\n",
        b"##0050\r\n",
        b"a" * 9000,
    ],
)
def test_noise_before_a_frame_is_set_aside(noise: bytes) -> None:
    found = fed(noise + GOOD)
    assert frames(found) == [GOOD]
    assert b"".join(one.raw for one in broken(found)) == noise


@pytest.mark.parametrize("at", range(len(GOOD) + 1))
def test_frame_may_be_split_anywhere(at: int) -> None:
    assert frames(fed(GOOD[:at], GOOD[at:])) == [GOOD]


def test_frame_may_come_byte_by_byte() -> None:
    assert frames(fed(*(bytes([one]) for one in GOOD + OTHER))) == [GOOD, OTHER]


def test_length_beyond_the_longest_is_refused_at_once() -> None:
    stream = FrameStream()
    found = stream.feed(b"##1025" + b"x" * 100 + b"\r\n")
    assert [one.fault for one in broken(found)] == [Fault.LENGTH]
    assert stream.pending == 0
    long = write_frame(b"x" * 1025)
    assert frames(FrameStream(longest=2000).feed(long)) == [long]


def test_memory_is_bounded_whatever_comes() -> None:
    stream = FrameStream()
    rng = random.Random(7)
    for _ in range(200):
        stream.feed(rng.choice([b"##1024", b"#", b"x" * 500, b"##1024" + b"y" * 900, b"\xff" * 700]))
        assert stream.pending < 8_192


def test_chinese_text_is_text() -> None:
    text = "QN=20260301000000123;ST=31;CN=3020;PW=123456;MN=0100;Flag=4;CP=&&PolId=a05001;Info=校准　零点&&"
    raw = write_frame(text.encode())
    (found,) = fed(raw)
    assert isinstance(found, Frame)
    assert read_packet(found).value("Info") == "校准　零点"
    (spoiled,) = fed(raw[:-6] + b"0000\r\n")
    assert isinstance(spoiled, Broken)
    assert spoiled.fault is Fault.CRC


# -- properties -------------------------------------------------------------------------------------------------

marks = st.sampled_from(
    [b"##", b"#", b"\r\n", b"##0101", b"##1024", b"QN=", b";CP=&&", b"&&", GOOD[:40], GOOD[30:], OTHER]
)
garbage = st.lists(st.one_of(st.binary(max_size=40), marks), max_size=12).map(b"".join)


@given(garbage, garbage)
def test_any_garbage_leaves_the_next_good_frame_standing(before: bytes, after: bytes) -> None:
    found = fed(before + GOOD + b"\r\n" + after)
    assert GOOD in frames(found)
    assert b"".join(one.raw for one in found) == before + GOOD + b"\r\n" + after


@given(garbage, st.data())
def test_frames_do_not_depend_on_the_pieces(noise: bytes, data: st.DataObject) -> None:
    whole = noise + GOOD + noise + OTHER
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[start:end] for start, end in pairwise([0, *cuts, len(whole)])]
    found = fed(*pieces)
    assert frames(found) == frames(fed(whole))
    assert b"".join(one.raw for one in found) == whole


@given(st.one_of(st.binary(max_size=200), garbage))
def test_any_content_is_read_or_refused_with_our_error(content: bytes) -> None:
    for text in (content, b"QN=20260301000000123;ST=31;CN=2011;MN=A;CP=&&" + content + b"&&"):
        try:
            groups(read_packet(Frame(b"", text, "")), parse_zone("+08:00"))
        except PacketError:
            continue


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters=";,=&"), min_size=1, max_size=8
)
names = st.from_regex(r"[a-z][0-9]{5}-(Rtd|Avg|Cou)", fullmatch=True)


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    edition = draw(st.sampled_from(Edition))
    is_split, wants = draw(st.booleans()), draw(st.booleans())
    bits = {Edition.HJ2005: 0, Edition.HJ2017: 4, Edition.HJ2025: 8}[edition]
    pnum = draw(st.integers(1, 9999)) if is_split else None
    items = tuple(
        tuple(sorted(item.items()))
        for item in draw(st.lists(st.dictionaries(names, texts, min_size=1, max_size=4), max_size=3))
    )
    return Packet(
        qn=draw(
            st.from_regex(
                r"20[0-4][0-9](0[1-9]|1[0-2])(0[1-9]|1[0-9]|2[0-8])([01][0-9]|2[0-3])([0-5][0-9]){2}[0-9]{3}",
                fullmatch=True,
            )
        ),
        st=draw(st.from_regex(r"[0-9]{2}", fullmatch=True)),
        cn=draw(st.from_regex(r"[0-9]{4}", fullmatch=True)),
        pw=draw(st.from_regex(r"[0-9A-Z]{6}", fullmatch=True)),
        mn=draw(st.from_regex(r"[0-9A-F]{24}", fullmatch=True)),
        flag=bits | (2 if is_split else 0) | (1 if wants else 0),
        pnum=pnum,
        pno=None if pnum is None else draw(st.integers(1, pnum)),
        is_backfill=draw(st.booleans()),
        cp=";".join(",".join(f"{name}={value}" for name, value in item) for item in items),
        items=items,
        edition=edition,
    )


@given(packets(), st.booleans(), garbage)
def test_what_is_written_is_read_again(packet: Packet, is_encrypted: bool, noise: bytes) -> None:
    key = b"0123456789abcdef" if is_encrypted else None
    raw = write_packet(packet, key)
    stream = FrameStream(keys={packet.mn: b"0123456789abcdef"})
    found = [one for one in stream.feed(noise + b"\r\n" + raw) if isinstance(one, Frame)]
    assert found[-1].raw == raw
    again = read_packet(found[-1])
    assert (again.items, again.key, again.flag, again.is_backfill) == (
        packet.items,
        packet.key,
        packet.flag,
        packet.is_backfill,
    )
    assert (again.st, again.cn, again.pw, again.pnum, again.edition) == (
        packet.st,
        packet.cn,
        packet.pw,
        packet.pnum,
        packet.edition,
    )
