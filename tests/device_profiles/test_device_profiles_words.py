"""Words to numbers: the table of word decodings, and round trips over every type and order."""

from __future__ import annotations

import struct
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.errors import EncodeError
from device_profiles.words import (
    FLOATS,
    INTEGERS,
    LONG_ORDERS,
    SHORT_ORDERS,
    BadWordsError,
    fits,
    hex_text,
    hex_words,
    number,
    number_bytes,
    text_bytes,
    text_of,
    to_bytes,
    to_words,
)

TABLE = [
    ("float32", "123.456", {"ABCD": "42F6 E979", "BADC": "F642 79E9", "CDAB": "E979 42F6", "DCBA": "79E9 F642"}),
    ("uint32", "305419896", {"ABCD": "1234 5678", "BADC": "3412 7856", "CDAB": "5678 1234", "DCBA": "7856 3412"}),
    ("int32", "-123456", {"ABCD": "FFFE 1DC0", "BADC": "FEFF C01D", "CDAB": "1DC0 FFFE", "DCBA": "C01D FEFF"}),
    ("float64", "987654321.25", {"ABCD": "41CD 6F34 58A0 0000", "CDAB": "0000 58A0 6F34 41CD"}),
    ("uint64", "1234567890123", {"ABCD": "0000 011F 71FB 04CB", "CDAB": "04CB 71FB 011F 0000"}),
    ("int16", "-123", {"ABCD": "FF85"}),
    ("bcd", "123456", {"ABCD": "0012 3456", "CDAB": "3456 0012"}),
]
ROWS = [(kind, value, order, words) for kind, value, forms in TABLE for order, words in forms.items()]


@pytest.mark.parametrize(("kind", "value", "order", "words"), ROWS)
def test_words_decode_as_tabled(kind: str, value: str, order: str, words: str) -> None:
    assert number(kind, to_bytes(hex_words(words), order)) == Decimal(value)


@pytest.mark.parametrize(("kind", "value", "order", "words"), ROWS)
def test_values_encode_as_tabled(kind: str, value: str, order: str, words: str) -> None:
    size = len(hex_words(words))
    assert hex_text(to_words(number_bytes(kind, Decimal(value), size), order)) == words


@pytest.mark.parametrize(("order", "words"), [("ABCD", "504D 3535 3630"), ("BADC", "4D50 3535 3036")])
def test_strings_decode_as_tabled(order: str, words: str) -> None:
    assert text_of(to_bytes(hex_words(words), order, text=True)) == "PM5560"


def test_nan_words_decode_to_nan() -> None:
    assert number("float32", to_bytes(hex_words("7FC0 0000"), "ABCD")).is_nan()


def test_float32_cannot_hold_the_odd_number_behind_its_last_whole() -> None:
    assert number("float32", number_bytes("float32", Decimal(16777217), 2)) == Decimal(16777216)


def test_float32_reads_as_the_shortest_text() -> None:
    assert str(number("float32", bytes.fromhex("3DCCCCCD"))) == "0.1"
    assert number("float32", bytes.fromhex("00000001")) == Decimal("1E-45")
    assert number("float32", bytes.fromhex("7F7FFFFF")) == Decimal("3.4028235E+38")
    assert number("float32", bytes.fromhex("80000000")) == 0


def test_bcd_with_a_nibble_above_nine_is_refused() -> None:
    with pytest.raises(BadWordsError, match="bcd-digit"):
        number("bcd", bytes.fromhex("001A"))


@pytest.mark.parametrize("data", [b"\x80abc", b"a\x01b\0"])
def test_text_that_is_not_printable_ascii_is_refused(data: bytes) -> None:
    with pytest.raises(BadWordsError, match="text"):
        text_of(data)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint16", "65536"),
        ("uint16", "-1"),
        ("int16", "0.5"),
        ("bcd", "100000000"),
        ("bcd", "-1"),
        ("float32", "1E+39"),
    ],
)
def test_values_that_do_not_fit_are_refused(kind: str, value: str) -> None:
    with pytest.raises(EncodeError):
        number_bytes(kind, Decimal(value), 2)


@pytest.mark.parametrize("text", ["", "12", "12 34", "GHIJ", "12345", "1_23", "+123"])
def test_broken_hex_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        hex_words(text)


ORDERS_64 = [order for order in SHORT_ORDERS + LONG_ORDERS if fits(order, 4)]


@given(kind=st.sampled_from(sorted(INTEGERS)), order=st.sampled_from(ORDERS_64), seed=st.integers(0, 2**64 - 1))
def test_integers_survive_every_order(kind: str, order: str, seed: int) -> None:
    size, signed = INTEGERS[kind]
    if size < 2 or not fits(order, size // 2):
        return
    whole = seed % 2 ** (8 * size)
    value = Decimal(whole - 2 ** (8 * size) if signed and whole >= 2 ** (8 * size - 1) else whole)
    words = to_words(number_bytes(kind, value, size // 2), order)
    assert number(kind, to_bytes(words, order)) == value


@given(kind=st.sampled_from(sorted(FLOATS)), order=st.sampled_from(SHORT_ORDERS), seed=st.integers(0, 2**64 - 1))
def test_every_float_survives_its_decimal_text(kind: str, order: str, seed: int) -> None:
    size = FLOATS[kind][0]
    data = (seed % 2 ** (8 * size)).to_bytes(size, "big")
    value = number(kind, to_bytes(to_words(data, order), order))
    if not value.is_finite():
        return
    again = number_bytes(kind, value, size // 2)
    assert again == data or struct.unpack(FLOATS[kind][1], data)[0] == 0


@given(value=st.integers(0, 10**8 - 1), order=st.sampled_from(SHORT_ORDERS))
def test_bcd_survives_every_order(value: int, order: str) -> None:
    assert number("bcd", to_bytes(to_words(number_bytes("bcd", Decimal(value), 2), order), order)) == value


@given(
    text=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=8), order=st.sampled_from(SHORT_ORDERS)
)
def test_text_survives_every_order(text: str, order: str) -> None:
    assert text_of(to_bytes(to_words(text_bytes(text, 4), order, text=True), order, text=True)) == text


@given(words=st.lists(st.integers(0, 0xFFFF), min_size=4, max_size=4), order=st.sampled_from(ORDERS_64))
def test_orders_only_move_bytes(words: list[int], order: str) -> None:
    assert list(to_words(to_bytes(words, order), order)) == words


def _shortest_by_search(bits: bytes) -> str:
    """Try one digit, then two, and so on: the definition."""
    (value,) = struct.unpack(">f", bits)
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        try:
            if struct.pack(">f", float(text)) == bits:
                return text
        except OverflowError:
            continue
    raise AssertionError(bits.hex())


@given(st.one_of(st.integers(0, 2**32 - 1), st.integers(1, 2**23), st.integers(0x7F7FFF00, 0x7F7FFFFF)))
def test_float32_is_its_shortest_decimal(bits: int) -> None:
    data = bits.to_bytes(4, "big")
    value = number("float32", data)
    if value.is_finite() and value:
        assert value == Decimal(_shortest_by_search(data))
        assert value.as_tuple().exponent == 0 or value.as_tuple().digits[-1] != 0


@given(st.decimals(-9999, 9999, places=2))
def test_what_a_device_shows_with_six_digits_is_read_as_shown(shown: Decimal) -> None:
    assert number("float32", number_bytes("float32", shown, 2)) == shown
