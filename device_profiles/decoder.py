"""Raw words of one poll to values by a profile: exact decimals, sentinels named, nothing dropped.

A point may need others: the register that holds its word order or its scale, the state bits that say whether it
measures. They are taken from the same words, so whoever polls reads all that `Profile.plan` lists and decodes once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from .clocks import instant_of, seconds_of
from .condition import Lookup, Value, holds
from .judged import Places, judged, lookup_in, out_of_sight
from .model import Invalid, Part, Point, ScaleFrom, Table
from .planner import ReadBlock
from .profile import Profile
from .quality import FLAG_OF, Decoded, Fired, Quality, Reason, bad
from .units import EXACT, plain
from .words import BYTES, BadWordsError, fits, hex_text, number, text_of, to_bytes

Words = Mapping[tuple[Table, int], int]

#: Powers of ten beyond this are no scale but a misread register.
MAX_EXPONENT = 18


def decode(
    profile: Profile,
    words: Words,
    points: Iterable[str] | None = None,
    *,
    after: Words | None = None,
    fired: Fired | None = None,
) -> dict[str, Decoded]:
    """Decode the points that these words (by table and wire address) belong to.

    With `points` each of them is in the answer, without words as `no_communication`; else points none of whose words
    came are left out. A point with a part of its words is always `no_communication`: half a total is no total.
    `after` holds what the blocks marked `again` answered. `fired` collects which rules spoke, for tests.
    """
    cycle = _Cycle(profile, words, fired)
    later = None if after is None else _Cycle(profile, after, fired)
    result: dict[str, Decoded] = {}
    unjudged = profile.unjudged_points
    for name in profile.points if points is None else points:
        quick = unjudged.get(name)
        if quick is not None and (read := quick.decoded(words, fired, cycle.raws)) is not None:
            result[name] = read
            continue
        decoded = cycle.get(name)
        if decoded is None:
            if points is None:
                continue
            decoded = bad(profile.points[name].unit, Quality.NO_COMMUNICATION, Reason.MISSING, "")
        if later is not None and _is_torn(profile.points[name], words, after or {}):
            decoded = bad(decoded.unit, Quality.UNCERTAIN, Reason.TORN, decoded.raw_hex)
        if profile.quality_of(name):
            second = None if later is None else later.lookup
            decoded = judged(profile, name, decoded, cycle.lookup, second, fired, cycle.raws.get(name))
        result[name] = decoded
    return result


def decode_block(profile: Profile, block: ReadBlock, registers: Sequence[int | bool]) -> dict[str, Decoded]:
    """Decode the points of one planned request from its answer alone.

    Enough where no point needs another; where one does and the other is in another request, it comes out as a fault.
    """
    words = {(block.table, block.address + offset): int(word) for offset, word in enumerate(registers)}
    return decode(profile, words, block.points)


def decode_point(point: Point, words: Sequence[int]) -> Decoded:
    """Decode one plain point from exactly its words."""
    return decode_words(point, words, out_of_sight, None, {})


def decode_words(
    point: Point, words: Sequence[int], lookup: Lookup, fired: Fired | None, raws: dict[str, Decimal]
) -> Decoded:
    """Decode one point from exactly its words, with a way to look up others."""
    came = {(point.table, point.address + offset): word for offset, word in enumerate(words)}
    return _decoded(point, came, lookup, fired, raws)


def finish(
    point: Point,
    value: Decimal,
    raw_hex: str,
    lookup: Lookup = out_of_sight,
    fired: Fired | None = None,
    factor: Decimal | None = None,
) -> Decoded:
    """Turn an unscaled number into the point's value: value sentinels, enumeration, scale and offset."""
    for at, invalid in enumerate(point.invalid):
        if invalid.raw is not None or invalid.nan:
            continue
        if invalid.value is not None and not invalid.value[0] <= value <= invalid.value[1]:
            continue
        if applies(invalid, lookup_in({"raw": value}, lookup)):
            return _marked(point, at, raw_hex, fired)
    if point.enum is not None:
        text = point.enum.get(int(value))
        if text is None:
            return bad(point.unit, Quality.UNCERTAIN, Reason.ENUM_UNKNOWN, raw_hex)
        return Decoded(text, point.unit, Quality.VALID, "N", "", raw_hex, plain(value))
    if point.unit_from or point.scale_parameter or point.percent_of:
        return bad(point.unit, Quality.FAULT, Reason.PARAMETER_MISSING, raw_hex)
    number_ = EXACT.multiply(value, point.scale)
    if factor is not None:
        number_ = EXACT.multiply(number_, factor)
    scaled = plain(EXACT.add(number_, point.offset))
    return Decoded(scaled, point.unit, Quality.VALID, FLAG_OF[Quality.VALID], "", raw_hex, scaled)


def applies(invalid: Invalid, lookup: Lookup) -> bool:
    """Tell whether a sentinel's condition holds; what cannot be told does not hold."""
    return invalid.when is None or holds(invalid.when, lookup) is True


class _Cycle:
    """The words of one look at the device, decoded point by point as they are asked for."""

    def __init__(self, profile: Profile, words: Words, fired: Fired | None) -> None:
        self.profile, self.words, self.fired = profile, words, fired
        self.raws: dict[str, Decimal] = {}
        self._known: dict[str, Decoded | None] = {}

    def get(self, name: str) -> Decoded | None:
        """Decode a point; None where none of its words came."""
        if name not in self._known:
            self._known[name] = None  # a point that asks for itself finds nothing; the loader refuses such profiles
            self._known[name] = self._decode(self.profile.points[name])
        return self._known[name]

    def lookup(self, name: str) -> Value | None:
        """Give a point's text or number, or a parameter, to a condition."""
        if name in self.profile.points:
            found = self.get(name)
            if found is None:
                return None
            return found.word
        return self.profile.settings.get(name)

    def _decode(self, point: Point) -> Decoded | None:
        quick = self.profile.plain_points.get(point.id)
        if quick is not None and (decoded := quick.decoded(self.words, self.fired, self.raws)) is not None:
            return decoded
        places: Places = [
            (table, address + offset) for table, address, words in point.pieces for offset in range(words)
        ]
        if point.parts and not point.tear_check:
            places = [(part.table, part.address + offset) for part in point.parts for offset in range(part.words)]
        came = [self.words[at] for at in places if at in self.words]
        if not came:
            return None
        if len(came) < len(places):
            return bad(point.unit, Quality.NO_COMMUNICATION, Reason.MISSING, hex_text(came))
        if point.only_if is not None:
            kind = self.lookup(point.only_if[0])
            if kind is None:
                return bad(point.unit, Quality.UNCERTAIN, Reason.STATE_MISSING, hex_text(came))
            if kind != Decimal(point.only_if[1]):
                return bad(point.unit, Quality.STOPPED, Reason.OTHER_KIND, hex_text(came))
        return _decoded(point, self.words, self.lookup, self.fired, self.raws)


def _decoded(point: Point, words: Words, lookup: Lookup, fired: Fired | None, raws: dict[str, Decimal]) -> Decoded:
    shown = _shown_words(point, words)
    order, factor = point.order, None
    if point.order_from is not None:
        code = lookup(point.order_from.point)
        chosen = point.order_from.map.get(int(code)) if isinstance(code, Decimal) else None
        if chosen is None:
            return bad(point.unit, Quality.UNCERTAIN, Reason.ORDER_UNKNOWN, shown)
        order = chosen
    if point.scale_from is not None:
        code = lookup(point.scale_from.point)
        factor = factor_of(point.scale_from, code)
        if factor is None:
            return bad(point.unit, Quality.UNCERTAIN, Reason.SCALE_MISSING, shown)
    if point.clock is not None:
        return _clock(point, words, shown, lookup)
    try:
        if point.parts:
            value = sum((_part(part, words, order) for part in point.parts), Decimal(0))
        else:
            data = _data(point, words, order)
            for at, invalid in enumerate(point.invalid):
                if invalid.raw is not None and invalid.raw[0] <= int.from_bytes(data, "big") <= invalid.raw[1]:
                    raw = Decimal(int.from_bytes(data, "big"))
                    if applies(invalid, lookup_in({"raw": raw}, lookup)):
                        return _marked(point, at, shown, fired)
            if point.is_text:
                return Decoded(text_of(data), point.unit, Quality.VALID, "N", "", shown)
            value = _bits(point, words) if point.type in ("bit", "bits") else number(point.type, data)
    except BadWordsError as error:
        return bad(point.unit, Quality.FAULT, error.reason, shown)
    if value.is_nan():
        for at, invalid in enumerate(point.invalid):
            if invalid.nan and applies(invalid, lookup):
                return _marked(point, at, shown, fired)
        return bad(point.unit, Quality.FAULT, Reason.NAN, shown)
    if value.is_infinite():
        return bad(point.unit, Quality.FAULT, Reason.INFINITE, shown)
    raws[point.id] = value
    decoded = finish(point, value, shown, lookup, fired, factor)
    if fired is not None and decoded.is_valid:
        if point.order_from is not None:
            fired.add(("order", point.order_from.point, order))
        fired.add(("value", point.id))
    return decoded


def _shown_words(point: Point, words: Words) -> str:
    if point.parts:
        return hex_text([words[(one.table, one.address + at)] for one in point.parts for at in range(one.words)])
    came = [words[(point.table, point.address + offset)] for offset in range(point.words)]
    return str(came[0]) if point.table.is_bits else hex_text(came)


def _data(point: Point, words: Words, order: str) -> bytes:
    came = [words[(point.table, point.address + offset)] for offset in range(point.words)]
    data = to_bytes(came, order, text=point.is_text)
    return _half(data, point.byte) if point.type in BYTES else data


def _half(data: bytes, byte: str) -> bytes:
    return data[:1] if byte == "high" else data[1:]


def _bits(point: Point, words: Words) -> Decimal:
    word = words[(point.table, point.address)]
    if point.bits is not None:
        low, high = point.bits
        return Decimal(word >> low & (1 << high - low + 1) - 1)
    return Decimal(int(bool(word if point.bit is None else word >> point.bit & 1)))


def _part(part: Part, words: Words, order: str) -> Decimal:
    came = [words[(part.table, part.address + offset)] for offset in range(part.words)]
    data = to_bytes(came, part.order or (order if fits(order, part.words) else "ABCD"))
    value = number(part.type, _half(data, part.byte) if part.type in BYTES else data)
    if value.is_nan() or value.is_infinite():
        return value
    return EXACT.add(EXACT.multiply(value, part.weight), part.add)


def factor_of(rule: ScaleFrom, code: Value | None) -> Decimal | None:
    """Read a factor from what another point shows; None where that is no factor."""
    if not isinstance(code, Decimal):
        return None
    if rule.map is not None:
        return rule.map.get(int(code)) if code == int(code) else None
    if rule.form == "factor":
        return code or None
    if code != int(code) or abs(code) > MAX_EXPONENT:
        return None
    return Decimal(1).scaleb(int(code) if rule.form == "exponent" else -int(code))


def _clock(point: Point, words: Words, shown: str, lookup: Lookup) -> Decoded:
    rule = point.clock
    if rule is None:
        raise ValueError(point.id)
    hours = lookup(rule.zone_from) if rule.zone_from else None
    if rule.zone_from and not isinstance(hours, Decimal):
        return bad(point.unit, Quality.UNCERTAIN, Reason.STATE_MISSING, shown)
    try:
        fields = {part.field: _part(part, words, point.order) for part in point.parts}
        instant = instant_of(fields, rule.zone, hours if isinstance(hours, Decimal) else None)
    except (BadWordsError, ValueError, OverflowError, ArithmeticError):
        return bad(point.unit, Quality.FAULT, Reason.CLOCK, shown)
    text = instant.isoformat(timespec="seconds").replace("+00:00", "Z")
    return Decoded(text, point.unit, Quality.VALID, "N", "", shown, seconds_of(instant))


def _is_torn(point: Point, words: Words, after: Words) -> bool:
    return any(
        words.get((table, address + offset)) != after.get((table, address + offset))
        for table, address, count in point.high_pieces
        for offset in range(count)
    )


def _marked(point: Point, at: int, raw_hex: str, fired: Fired | None) -> Decoded:
    invalid = point.invalid[at]
    if fired is not None:
        fired.add(("invalid", point.id, at))
    return bad(point.unit, invalid.quality, invalid.reason, raw_hex, invalid.flag)
