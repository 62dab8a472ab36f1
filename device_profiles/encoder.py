"""Values to raw words and messages by a profile: what a simulated device puts on the wire."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from .clocks import fields_of
from .decoder import factor_of
from .errors import EncodeError
from .model import Point, Table
from .profile import Profile
from .units import EXACT, plain
from .words import BYTES, FLOATS, fits, number_bytes, text_bytes, to_words

Value = Decimal | str | None
Words = dict[tuple[Table, int], int]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def encode(profile: Profile, point: str, value: Value, shown: Mapping[str, Value] | None = None) -> tuple[int, ...]:
    """Give the words in which the device shows a value; None asks for the point's "no value".

    Whole-number types are rounded half to even to the last digit the device has, floats to the nearest float.
    `shown` holds what the device shows elsewhere: the register of the word order, of the scale.
    Raises: EncodeError where the device cannot show it.
    """
    described = profile.points[point]
    if described.parts:
        raise EncodeError(f"{point} is a composite; encode_words gives its registers")
    return _encoded(profile, described, value, shown or {})


def encode_words(profile: Profile, values: Mapping[str, Value]) -> Words:
    """Give every register and bit of the device with these values; what is not named shows zero or nothing.

    Points that others need (word order, scale) show the first code of their table, or no scaling.
    Raises: EncodeError.
    """
    shown = {**_usual(profile), **values}
    words: Words = {}
    # What is named comes last, so that the zero of an unnamed point never covers a part of a named composite.
    for name in sorted(profile.points, key=lambda one: one in shown):
        point = profile.points[name]
        value = shown.get(name, "" if point.is_text else Decimal(0))
        if point.parts:
            words.update(_composite(profile, point, value, shown))
            continue
        try:
            encoded = _encoded(profile, point, value, shown)
        except EncodeError:
            if value is not None:
                raise
            encoded = (0,) * point.words  # a type with no "no value": such a device shows zero
        for offset, word in enumerate(encoded):
            place = (point.table, point.address + offset)
            # Several bits, or two bytes, may share one register.
            shares = point.bit is not None or point.bits is not None or point.type in BYTES
            words[place] = words.get(place, 0) | word if shares else word
    return words


def _usual(profile: Profile) -> dict[str, Value]:
    """Say what auxiliary points show when nobody says: the first code of a table, factor 1, exponent 0."""
    found: dict[str, Value] = {}
    for point in profile.points.values():
        if point.order_from is not None:
            found.setdefault(point.order_from.point, Decimal(next(iter(point.order_from.map))))
        if point.scale_from is not None:
            rule = point.scale_from
            first = next(iter(rule.map)) if rule.map else int(rule.form == "factor")
            found.setdefault(rule.point, Decimal(first))
    return found


def _encoded(profile: Profile, point: Point, value: Value, shown: Mapping[str, Value]) -> tuple[int, ...]:
    order = point.order
    if point.order_from is not None:
        order = point.order_from.map.get(int(_code(profile, point.order_from.point, shown)), order)
    if value is None:
        if point.type in ("bit", "bits", *BYTES):
            return (0,)
        return to_words(_no_value(point), order, text=point.is_text)
    if point.is_text:
        return to_words(text_bytes(str(value), point.words), order, text=True)
    raw = _unscaled(point, value, _factor(profile, point, shown))
    if point.type == "bit":
        if raw not in (0, 1):
            raise EncodeError(f"{point.id} is a bit, not {raw}")
        return (int(raw) << (point.bit or 0),)
    if point.type == "bits":
        low, high = point.bits or (0, 15)
        if not 0 <= raw < 1 << high - low + 1:
            raise EncodeError(f"{raw} does not fit the bits of {point.id}")
        return (int(raw) << low,)
    data = number_bytes(point.type, raw, point.words)
    if point.type in BYTES:
        return (data[0] << 8 if point.byte == "high" else data[0],)
    return to_words(data, order)


def _composite(profile: Profile, point: Point, value: Value, shown: Mapping[str, Value]) -> Words:
    """Share a value among the parts, the heaviest first; the last takes the rest."""
    words: Words = {}
    order = point.order
    if point.order_from is not None:
        order = point.order_from.map.get(int(_code(profile, point.order_from.point, shown)), order)
    if point.clock is not None:
        fields = _clock_fields(profile, point, value, shown)
        shares = {part: (fields[part.field] - part.add) / part.weight for part in point.parts}
    else:
        shares = {}
        rest = Decimal(0) if value is None else _unscaled(point, value, _factor(profile, point, shown), whole=False)
        ranked = sorted(point.parts, key=lambda part: -abs(part.weight))
        for at, part in enumerate(ranked):
            is_last = at == len(ranked) - 1
            even = any(abs(other.weight) == abs(part.weight) for other in ranked[at + 1 :])
            share = (rest - part.add) / part.weight
            if not is_last:
                share = share / 2 if even else Decimal(int(share))
                share = share.to_integral_value(rounding=ROUND_HALF_EVEN)
            elif part.type not in FLOATS:
                share = share.to_integral_value(rounding=ROUND_HALF_EVEN)
            shares[part] = share
            rest -= share * part.weight + part.add
    for part, share in shares.items():
        if value is None and part.type in FLOATS:
            data = bytes.fromhex("7FC00000" if part.words == 2 else "7FF8000000000000")
        else:
            data = number_bytes(part.type, share, part.words)
        if part.type in BYTES:
            place = (part.table, part.address)
            words[place] = words.get(place, 0) | (data[0] << 8 if part.byte == "high" else data[0])
            continue
        chosen = part.order or (order if fits(order, part.words) else "ABCD")
        for offset, word in enumerate(to_words(data, chosen)):
            words[(part.table, part.address + offset)] = word
    return words


def _clock_fields(profile: Profile, point: Point, value: Value, shown: Mapping[str, Value]) -> dict[str, Decimal]:
    rule = point.clock
    seconds = value if isinstance(value, Decimal) else Decimal(0)
    instant = datetime.fromisoformat(value) if isinstance(value, str) and value else _EPOCH
    if isinstance(value, Decimal):
        instant = _EPOCH + timedelta(microseconds=int(seconds.scaleb(6)))
    zone_from = rule.zone_from if rule is not None else ""
    hours = _code(profile, zone_from, shown) if zone_from else None
    return fields_of(instant, rule.zone if rule is not None else "", hours)


def _code(profile: Profile, name: str, shown: Mapping[str, Value]) -> Decimal:
    """Give the number another point shows; of an enumeration the code of its word."""
    value = shown.get(name)
    return _unscaled(profile.points[name], value, whole=False) if value is not None else Decimal(0)


def _factor(profile: Profile, point: Point, shown: Mapping[str, Value]) -> Decimal:
    if point.scale_from is None:
        return Decimal(1)
    return factor_of(point.scale_from, _code(profile, point.scale_from.point, shown)) or Decimal(1)


def _unscaled(point: Point, value: Decimal | str, factor: Decimal = Decimal(1), *, whole: bool = True) -> Decimal:
    if isinstance(value, str):
        for code, text in (point.enum or {}).items():
            if text == value:
                return Decimal(code)
        raise EncodeError(f"{point.id} knows no state {value!r}")
    if point.enum is not None:
        return value
    shifted = EXACT.subtract(value, point.offset)
    scale = EXACT.multiply(point.scale, factor)
    if scale == 1:
        raw = shifted
    else:
        quotient = EXACT.divide_int(shifted, scale) if EXACT.remainder(shifted, scale) == 0 else None
        raw = quotient if quotient is not None else shifted / scale
    if point.type in FLOATS or point.type == "bit" or not whole:
        return raw
    return raw.to_integral_value(rounding=ROUND_HALF_EVEN)


def _no_value(point: Point) -> bytes:
    size = point.words * 2
    if point.type in FLOATS:
        return bytes.fromhex("7FC00000" if size == 4 else "7FF8000000000000")
    for invalid in point.invalid:
        if invalid.raw is not None:
            return invalid.raw[0].to_bytes(size, "big")
        if invalid.value is not None:
            return number_bytes(point.type, invalid.value[0], point.words)
    raise EncodeError(f"{point.id} has no way to show that it has no value")


def encode_payload(
    profile: Profile,
    values: Mapping[str, Value],
    *,
    time: datetime | None = None,
    sequence: int | None = None,
    quality: str | None = None,
) -> bytes:
    """Build the JSON message of an MQTT device; numbers keep their decimal text.

    Raises: EncodeError.
    """
    rule = profile.mqtt
    if rule is None:
        raise EncodeError(f"{profile.id} is no MQTT profile")
    tree: dict[str, Any] = {}
    if time is not None and rule.time_pointer:
        _put(tree, rule.time_pointer, time_value(time, rule.time_format, rule.time_zone))
    if sequence is not None and rule.sequence_pointer:
        if rule.sequence_modulus:
            sequence %= rule.sequence_modulus
        _put(tree, rule.sequence_pointer, sequence)
    if quality is not None and rule.quality_pointer:
        _put(tree, rule.quality_pointer, quality)
    if rule.accept_pointer:
        _put(tree, rule.accept_pointer, rule.accept_words[0])
    for name, value in values.items():
        point = profile.points[name]
        if point.at is None:
            _put(tree, rule.unwrap + point.pointer, _json_value(point, value))
    if rule.blob_pointer:
        data = _blob(profile, values)
        text = base64.b64encode(data).decode("ascii") if rule.blob_encoding == "base64" else data.hex()
        _put(tree, rule.blob_pointer, text)
    return _write(tree).encode("utf-8")


def _blob(profile: Profile, values: Mapping[str, Value]) -> bytes:
    placed = [point for point in profile.points.values() if point.at is not None]
    sizes = [(point.at or 0) + (1 if point.type in ("bit", *BYTES) else 2 * point.words) for point in placed]
    result = bytearray(max(sizes, default=0))
    for point in placed:
        first = point.at or 0
        words = _encoded(profile, point, values.get(point.id, Decimal(0)), values)
        if point.type in ("bit", *BYTES):
            result[first] |= words[0]
            continue
        result[first : first + 2 * len(words)] = b"".join(word.to_bytes(2, "big") for word in words)
    return bytes(result)


def time_value(time: datetime, form: str, zone: str) -> str | int:
    """Write an instant as the device would."""
    if form == "unix_s":
        return int(time.timestamp())
    if form == "unix_ms":
        return int(time.timestamp()) * 1000 + time.microsecond // 1000
    if form == "local":
        return time.astimezone(ZoneInfo(zone)).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json_value(point: Point, value: Value) -> Any:
    if value is None or point.type == "string":
        return value
    if point.type == "bool":
        return bool(value)
    raw = plain(_unscaled_json(point, value))
    return format(raw, "f") if point.type == "text_number" else raw


def _unscaled_json(point: Point, value: Decimal | str) -> Decimal:
    if isinstance(value, str):
        raise EncodeError(f"{point.id} is a number, not {value!r}")
    shifted = EXACT.subtract(value, point.offset)
    return shifted if point.scale == 1 else shifted / point.scale


def _put(tree: dict[str, Any], pointer: str, value: Any) -> None:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    for step in steps[:-1]:
        tree = tree.setdefault(step, {})
    tree[steps[-1]] = value


def _write(value: Any) -> str:
    """Write JSON with decimals as numbers, which the standard encoder cannot."""
    if isinstance(value, dict):
        members = (f"{json.dumps(key, ensure_ascii=False)}:{_write(one)}" for key, one in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value, ensure_ascii=False)
