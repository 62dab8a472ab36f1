"""Plain points: the quick way of decoding gives what the long way gives, for every shipped device."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles import Profile, decode, shipped
from device_profiles.decoder import decode_words
from device_profiles.judged import out_of_sight
from device_profiles.model import Invalid, Point, Role, Table
from device_profiles.plain_point import plain_point
from device_profiles.quality import Fired, Quality
from device_profiles.words import INTEGERS, LONG_ORDERS, SHORT_ORDERS, width

PLAIN = [(profile, name) for profile in shipped().values() for name in profile.plain_points]
NAN, INFINITY = 0x7FC0, 0x7F80
EDGES = st.sampled_from([0, 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, NAN, INFINITY, 0xFF80])
WORDS = st.lists(EDGES | st.integers(0, 0xFFFF), min_size=4, max_size=4)
SENTINELS = (
    Invalid(nan=True, raw=None, raw_bytes=0, value=None, quality=Quality.FAULT, flag="D", reason="nan"),
    Invalid(nan=False, raw=(0xFFFE, 0xFFFF), raw_bytes=2, value=None, quality=Quality.FAULT, flag="D", reason="off"),
    Invalid(
        nan=False,
        raw=None,
        raw_bytes=0,
        value=(Decimal(0), Decimal(1)),
        quality=Quality.OVER_RANGE,
        flag="T",
        reason="under-range",
    ),
)


def both_ways(point: Point, words: list[int]) -> None:
    """Decode quickly and at length; values, raw numbers and what fired must be the same."""
    quick = plain_point(point)
    assert quick is not None
    came = words[: point.words]
    placed = {(point.table, point.address + offset): word for offset, word in enumerate(came)}
    found: tuple[Fired, dict[str, Decimal]] = set(), {}
    wanted: tuple[Fired, dict[str, Decimal]] = set(), {}
    assert quick.decoded(placed, *found) == decode_words(point, came, out_of_sight, *wanted)
    assert found == wanted


def test_most_points_of_the_shipped_devices_are_plain() -> None:
    numbers = [name for one in shipped().values() for name, point in one.points.items() if point.type in INTEGERS]
    assert len(PLAIN) > len(numbers) / 2


@given(st.sampled_from(PLAIN), WORDS)
def test_shipped_points_decode_the_same_both_ways(one: tuple[Profile, str], words: list[int]) -> None:
    profile, name = one
    both_ways(profile.points[name], words)


@given(
    st.sampled_from(["uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]),
    st.sampled_from(SHORT_ORDERS + LONG_ORDERS),
    st.sampled_from(["1", "0.1", "-2.5", "1000"]),
    st.sampled_from(["0", "-40"]),
    st.lists(st.sampled_from(SENTINELS), max_size=3),
    WORDS,
)
def test_every_type_order_and_scale_decodes_the_same_both_ways(
    kind: str, order: str, scale: str, offset: str, invalid: list[Invalid], words: list[int]
) -> None:
    if order in LONG_ORDERS and width(kind) != 4:
        order = "CDAB"
    both_ways(
        Point(
            "x",
            {},
            Role.RATE,
            "kW",
            kind,
            table=Table.INPUT,
            address=7,
            words=width(kind),
            order=order,
            scale=Decimal(scale),
            offset=Decimal(offset),
            invalid=tuple(invalid),
        ),
        words,
    )


@pytest.mark.parametrize("missing", [0, 1])
def test_half_a_plain_number_is_no_number(missing: int) -> None:
    profile = shipped()["eastron-sdm630"]
    point = profile.points["voltage_l1"]
    words = {(point.table, point.address + offset): 0x4148 for offset in range(point.words) if offset != missing}
    decoded = decode(profile, words, ["voltage_l1"])["voltage_l1"]
    assert (decoded.value, decoded.quality, decoded.reason) == (None, Quality.NO_COMMUNICATION, "missing")
