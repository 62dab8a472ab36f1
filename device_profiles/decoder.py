"""Raw words to values by a profile: exact decimals, sentinels named, nothing dropped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from .model import Invalid, Point, Table
from .planner import ReadBlock
from .profile import Profile
from .quality import FLAG_OF, Decoded, Quality, Reason, bad
from .units import EXACT, plain
from .words import BadWordsError, hex_text, number, text_of, to_bytes

Words = Mapping[tuple[Table, int], int]


def decode(profile: Profile, words: Words, points: Iterable[str] | None = None) -> dict[str, Decoded]:
    """Decode the points that these words (by table and wire address) belong to.

    With `points` each of them is in the answer, without words as `no_communication`; else points none of whose words
    came are left out. A point with a part of its words is always `no_communication`: half a total is no total.
    """
    result: dict[str, Decoded] = {}
    for name in profile.points if points is None else points:
        point = profile.points[name]
        place = [(point.table, point.address + offset) for offset in range(point.words)]
        came = [words[at] for at in place if at in words]
        if len(came) == point.words:
            result[name] = decode_point(point, came)
        elif came or points is not None:
            result[name] = bad(point.unit, Quality.NO_COMMUNICATION, Reason.MISSING, hex_text(came))
    return result


def decode_block(profile: Profile, block: ReadBlock, registers: Sequence[int | bool]) -> dict[str, Decoded]:
    """Decode the points of one planned request from its answer."""
    words = {(block.table, block.address + offset): int(word) for offset, word in enumerate(registers)}
    return decode(profile, words, block.points)


def decode_point(point: Point, words: Sequence[int]) -> Decoded:
    """Decode one point from exactly its words."""
    if point.type == "bit":
        raw_hex = str(words[0]) if point.table.is_bits else hex_text(words)
        set_bit = words[0] if point.bit is None else words[0] >> point.bit & 1
        return finish(point, Decimal(int(bool(set_bit))), raw_hex)
    raw_hex = hex_text(words)
    data = to_bytes(words, point.order, text=point.is_text)
    sentinel = _raw_sentinel(point.invalid, data)
    if sentinel is not None:
        return _marked(point, sentinel, raw_hex)
    try:
        if point.is_text:
            return Decoded(text_of(data), point.unit, Quality.VALID, "N", "", raw_hex)
        value = number(point.type, data)
    except BadWordsError as error:
        return bad(point.unit, Quality.FAULT, error.reason, raw_hex)
    if value.is_nan():
        for invalid in point.invalid:
            if invalid.nan:
                return _marked(point, invalid, raw_hex)
        return bad(point.unit, Quality.FAULT, Reason.NAN, raw_hex)
    if value.is_infinite():
        return bad(point.unit, Quality.FAULT, Reason.INFINITE, raw_hex)
    return finish(point, value, raw_hex)


def finish(point: Point, value: Decimal, raw_hex: str) -> Decoded:
    """Turn an unscaled number into the point's value: value sentinels, enumeration, scale and offset."""
    for invalid in point.invalid:
        if invalid.value is not None and invalid.value[0] <= value <= invalid.value[1]:
            return _marked(point, invalid, raw_hex)
    if point.enum is not None:
        text = point.enum.get(int(value))
        if text is None:
            return bad(point.unit, Quality.UNCERTAIN, Reason.ENUM_UNKNOWN, raw_hex)
        return Decoded(text, point.unit, Quality.VALID, "N", "", raw_hex, plain(value))
    scaled = plain(EXACT.add(EXACT.multiply(value, point.scale), point.offset))
    return Decoded(scaled, point.unit, Quality.VALID, FLAG_OF[Quality.VALID], "", raw_hex, scaled)


def _raw_sentinel(invalids: tuple[Invalid, ...], data: bytes) -> Invalid | None:
    raw = int.from_bytes(data, "big")
    for invalid in invalids:
        if invalid.raw is not None and invalid.raw[0] <= raw <= invalid.raw[1]:
            return invalid
    return None


def _marked(point: Point, invalid: Invalid, raw_hex: str) -> Decoded:
    return bad(point.unit, invalid.quality, invalid.reason, raw_hex, invalid.flag)
