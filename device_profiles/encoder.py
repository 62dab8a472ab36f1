"""Values to raw words and messages by a profile: what a simulated device puts on the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from .errors import EncodeError
from .model import Point
from .profile import Profile
from .units import EXACT, plain
from .words import FLOATS, number_bytes, text_bytes, to_words

Value = Decimal | str | None


def encode(profile: Profile, point: str, value: Value) -> tuple[int, ...]:
    """Give the words in which the device shows a value; None asks for the point's "no value".

    Whole-number types are rounded half to even to the last digit the device has, floats to the nearest float.
    Raises: EncodeError where the device cannot show it.
    """
    described = profile.points[point]
    if value is None:
        return to_words(_no_value(described), described.order, text=described.is_text)
    if described.is_text:
        return to_words(text_bytes(str(value), described.words), described.order, text=True)
    raw = _unscaled(described, value)
    if described.type == "bit":
        if raw not in (0, 1):
            raise EncodeError(f"{point} is a bit, not {raw}")
        return (int(raw) << (described.bit or 0),)
    return to_words(number_bytes(described.type, raw, described.words), described.order)


def _unscaled(point: Point, value: Decimal | str) -> Decimal:
    if isinstance(value, str):
        for code, text in (point.enum or {}).items():
            if text == value:
                return Decimal(code)
        raise EncodeError(f"{point.id} knows no state {value!r}")
    if point.enum is not None:
        return value
    shifted = EXACT.subtract(value, point.offset)
    if point.scale == 1:
        raw = shifted
    else:
        quotient = EXACT.divide_int(shifted, point.scale) if shifted % point.scale == 0 else None
        raw = quotient if quotient is not None else shifted / point.scale
    if point.type in FLOATS or point.type == "bit":
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
    for name, value in values.items():
        point = profile.points[name]
        _put(tree, point.pointer, _json_value(point, value))
    return _write(tree).encode("utf-8")


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
