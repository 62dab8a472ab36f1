"""Registers to numbers and back: every type and word order, nothing about points or profiles.

An order is written as the bytes on the wire, A being the most significant: ABCD is big-endian, CDAB has the
words reversed, BADC the bytes swapped in each word, DCBA both. The four-letter names hold for any width
(CDAB of a 64-bit value is GHEFCDAB); strings keep the order of words, only their bytes may be swapped.
Floats become the shortest decimal text that reads back as the same float, so 42F6 E979 is 123.456.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from decimal import Decimal

from .errors import EncodeError
from .units import plain

INTEGERS = {
    "uint8": (1, False),
    "int8": (1, True),
    "uint16": (2, False),
    "int16": (2, True),
    "uint32": (4, False),
    "int32": (4, True),
    "uint64": (8, False),
    "int64": (8, True),
}
#: Types of half a register: the point says which half.
BYTES = ("uint8", "int8")
FLOATS = {"float32": (4, ">f", 9), "float64": (8, ">d", 17)}
#: Types whose length in registers is given by the point.
SIZED = ("bcd", "string")
WORD_TYPES = (*INTEGERS, *FLOATS, *SIZED)

SHORT_ORDERS = ("ABCD", "BADC", "CDAB", "DCBA")
LONG_ORDERS = ("ABCDEFGH", "BADCFEHG", "GHEFCDAB", "HGFEDCBA", "EFGHABCD", "CDABGHEF")
ORDERS = SHORT_ORDERS + LONG_ORDERS

_SURE_DIGITS = 6
_LEAST_NORMAL = 2.0**-126
"""The smallest float32 that has all its digits (IEEE 754)."""
_HEX_WORDS = re.compile(r"[0-9A-Fa-f]{4}(?: ?[0-9A-Fa-f]{4})*\Z", re.ASCII)


class BadWordsError(ValueError):
    """Words that are no value of their type; `reason` is canonical."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def width(kind: str, length: int = 1) -> int:
    """Count the registers of a type (`length` matters for bcd and string only)."""
    if kind in INTEGERS:
        return (INTEGERS[kind][0] + 1) // 2
    if kind in FLOATS:
        return FLOATS[kind][0] // 2
    return length


def fits(order: str, words: int) -> bool:
    """Tell whether an order may be used for a value of so many registers."""
    return order in SHORT_ORDERS or (order in LONG_ORDERS and words == 4)


def to_bytes(words: Sequence[int], order: str, *, text: bool = False) -> bytes:
    """Put words as they came into big-endian bytes."""
    wire = b"".join(word.to_bytes(2, "big") for word in words)
    result = bytearray(len(wire))
    for position, source in enumerate(_places(order, len(words), text=text)):
        result[source] = wire[position]
    return bytes(result)


def to_words(data: bytes, order: str, *, text: bool = False) -> tuple[int, ...]:
    """Put big-endian bytes into words as the device would send them."""
    wire = bytes(data[source] for source in _places(order, len(data) // 2, text=text))
    return tuple(int.from_bytes(wire[at : at + 2], "big") for at in range(0, len(wire), 2))


def _places(order: str, words: int, *, text: bool) -> list[int]:
    """List, for each byte on the wire, its place in the big-endian value."""
    if len(order) == 8:
        return ["ABCDEFGH".index(letter) for letter in order]
    sequence = list(range(words))
    if order in ("CDAB", "DCBA") and not text:
        sequence.reverse()
    swap = order in ("BADC", "DCBA")
    return [2 * word + (half ^ 1 if swap else half) for word in sequence for half in (0, 1)]


def word_places(order: str, words: int) -> tuple[tuple[int, ...], bool]:
    """List where a number's words stand on the wire, the most significant first, and tell whether bytes are swapped."""
    places = _places(order, words, text=False)
    is_swapped = places[0] % 2 == 1
    return tuple(places.index(2 * word + is_swapped) // 2 for word in range(words)), is_swapped


def number(kind: str, data: bytes) -> Decimal:
    """Read big-endian bytes as a number; floats may be NaN or infinite.

    Raises: BadWordsError for a BCD nibble above 9.
    """
    if kind in INTEGERS:
        return Decimal(int.from_bytes(data, "big", signed=INTEGERS[kind][1]))
    if kind in FLOATS:
        return _shortest(kind, data)
    digits = data.hex()
    if not digits.isdecimal():
        raise BadWordsError("bcd-digit")
    return Decimal(int(digits))


def _shortest(kind: str, data: bytes) -> Decimal:
    _, form, most = FLOATS[kind]
    (value,) = struct.unpack(form, data)
    if math.isnan(value):
        return Decimal("NaN")
    if math.isinf(value):
        return Decimal("Infinity") if value > 0 else Decimal("-Infinity")
    if value == 0:
        return Decimal(0)
    if kind == "float64":
        return plain(Decimal(repr(value)))
    # Every decimal of six digits survives a normal float32, so that six digits, where they read back, are the shortest.
    for digits in range(_SURE_DIGITS if abs(value) >= _LEAST_NORMAL else 1, most):
        text = f"{value:.{digits}g}"
        try:
            if struct.pack(form, float(text)) == data:
                return plain(Decimal(text)) if "e" in text else Decimal(text)
        except OverflowError:
            continue
    return plain(Decimal(f"{value:.{most}g}"))


def text_of(data: bytes) -> str:
    """Read bytes as ASCII padded with zeros or spaces.

    Raises: BadWordsError where there is something else in it.
    """
    body = data.rstrip(b"\0 ")
    if any(byte < 0x20 or byte > 0x7E for byte in body):
        raise BadWordsError("text")
    return body.decode("ascii")


def number_bytes(kind: str, value: Decimal, words: int) -> bytes:
    """Write a number as big-endian bytes of the type.

    Raises: EncodeError where it does not fit. Floats take the nearest value.
    """
    if kind in FLOATS:
        try:
            return struct.pack(FLOATS[kind][1], float(value))
        except OverflowError as error:
            raise EncodeError(f"{value} is too large for {kind}") from error
    if value != value.to_integral_value():
        raise EncodeError(f"{value} is no whole number, {kind} needs one")
    whole = int(value)
    if kind in INTEGERS:
        size, signed = INTEGERS[kind]
        try:
            return whole.to_bytes(size, "big", signed=signed)
        except OverflowError as error:
            raise EncodeError(f"{whole} does not fit {kind}") from error
    digits = str(whole)
    if whole < 0 or len(digits) > words * 4:
        raise EncodeError(f"{whole} does not fit {words * 4} BCD digits")
    return bytes.fromhex(digits.rjust(words * 4, "0"))


def text_bytes(text: str, words: int) -> bytes:
    """Write ASCII text padded with zeros.

    Raises: EncodeError for other characters or too many of them.
    """
    try:
        data = text.encode("ascii")
    except UnicodeEncodeError as error:
        raise EncodeError(f"{text!r} is not ASCII") from error
    if len(data) > words * 2:
        raise EncodeError(f"{text!r} is longer than {words * 2} characters")
    return data.ljust(words * 2, b"\0")


def hex_text(words: Sequence[int]) -> str:
    """Print words as they came: `42F6 E979`."""
    return " ".join(f"{word:04X}" for word in words)


def hex_words(text: str) -> tuple[int, ...]:
    """Read `42F6 E979` (blanks optional in groups of four digits).

    Raises: ValueError.
    """
    if not _HEX_WORDS.match(text):
        raise ValueError(f"{text!r} is not made of four-digit hex words")
    compact = "".join(text.split())
    return tuple(int(compact[at : at + 4], 16) for at in range(0, len(compact), 4))
