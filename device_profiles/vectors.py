"""A profile's own test vectors: each must come out as written, and together they must cover the profile.

Covered means: every way of decoding that points use (type, order, scale, offset, bit, enumeration) gives a valid
value in some vector, and every sentinel and every word of a quality map shows up in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from .decoder import decode
from .document import Document
from .errors import Fault, PayloadError
from .model import Invalid, Point, Vector
from .payload import decode_payload, topic_for
from .profile import Profile
from .quality import Decoded, Quality

Outcome = tuple[Vector, Mapping[str, Decoded]]


def vector_faults(profile: Profile, document: Document) -> list[Fault]:
    """Run every vector; list what differs and what is not covered."""
    faults: list[Fault] = []
    outcomes: list[Outcome] = []
    for at, vector in enumerate(profile.vectors):
        place = ("vectors", at)
        values = _values(profile, vector, document, at, faults)
        if values is None:
            continue
        outcomes.append((vector, values))
        for name, wanted in vector.expect.items():
            says = _difference(profile.points[name], wanted, values.get(name))
            if says:
                faults.append(document.fault((*place, "expect", name), *says))
    if not faults:
        faults.extend(_gaps(profile, outcomes, document))
    return faults


def _values(
    profile: Profile, vector: Vector, document: Document, at: int, faults: list[Fault]
) -> Mapping[str, Decoded] | None:
    place = ("vectors", at)
    if vector.payload is None:
        return decode(profile, vector.words)
    try:
        topic = vector.topic or topic_for(profile, "device")
        readings = decode_payload(profile, topic, vector.payload, vector.retained)
    except PayloadError as error:
        faults.append(document.fault((*place, "payload"), f"无法解码：{error}", f"cannot be decoded: {error}"))
        return None
    got = "" if readings.device_time is None else readings.device_time.isoformat().replace("+00:00", "Z")
    if vector.time and vector.time != got:
        faults.append(document.fault((*place, "time"), f"得到 {got}", f"came out as {got}"))
    if vector.sequence is not None and vector.sequence != readings.sequence:
        says = str(readings.sequence)
        faults.append(document.fault((*place, "sequence"), f"得到 {says}", f"came out as {says}"))
    return readings.values


def _difference(point: Point, wanted: object, got: Decoded | None) -> tuple[str, str] | None:
    if got is None:
        return "向量中没有该测点的数据", "the vector has no words for this point"
    members = wanted if isinstance(wanted, dict) else {"value": wanted, "state": "valid"}
    shown = shown_value(got.value)
    found = {"value": shown, "state": got.quality.value, "hj212": got.flag, "reason": got.reason}
    for key, value in members.items():
        if key == "value" and isinstance(got.value, Decimal):
            same = _is_number(value) and Decimal(str(value)) == got.value
        else:
            same = str(value) == (found[key] or "")
        if not same:
            return f"{key} 应为 {value}，得到 {found[key]}", f"{key} should be {value}, came out as {found[key]}"
    return None


def shown_value(value: Decimal | str | None) -> str | None:
    """Print a decoded value without exponent."""
    return format(value, "f") if isinstance(value, Decimal) else value


def _is_number(value: object) -> bool:
    try:
        Decimal(str(value))
    except ArithmeticError:
        return False
    return True


def _gaps(profile: Profile, outcomes: list[Outcome], document: Document) -> Iterator[Fault]:
    ways: set[tuple[object, ...]] = set()
    sentinels: set[tuple[Invalid, str]] = set()
    for vector, values in outcomes:
        for name in vector.expect:
            point, got = profile.points[name], values[name]
            if got.value is not None:
                ways.add(_way(point))
            for invalid in point.invalid:
                if got.reason == invalid.reason and got.quality is invalid.quality:
                    sentinels.add((invalid, point.type))
    for name, point in profile.points.items():
        if _way(point) not in ways:
            ways.add(_way(point))
            kind = f"{point.type} {point.order}" if profile.mqtt is None else point.type
            yield document.fault(
                ("points", name),
                f"没有覆盖这种解码方式（{kind}）的向量",
                f"no vector covers this way of decoding ({kind})",
            )
        for invalid in point.invalid:
            if (invalid, point.type) not in sentinels:
                sentinels.add((invalid, point.type))
                yield document.fault(
                    ("points", name),
                    f"没有覆盖无效值（{invalid.reason}）的向量",
                    f"no vector covers the invalid value ({invalid.reason})",
                )
    yield from _quality_gaps(profile, outcomes, document)


def _quality_gaps(profile: Profile, outcomes: list[Outcome], document: Document) -> Iterator[Fault]:
    rule = profile.mqtt
    if rule is None or not rule.quality_pointer:
        return
    seen = {
        (values[name].quality, values[name].flag)
        for vector, values in outcomes
        for name in vector.expect
        if name in rule.quality_applies_to
    }
    for word, state in (*rule.quality_map.items(), ("otherwise", rule.quality_otherwise)):
        if (state.quality, state.flag) not in seen and state.quality is not Quality.VALID:
            yield document.fault(
                ("mqtt", "quality", "map", word),
                f"没有覆盖该质量状态（{state.quality.value}）的向量",
                f"no vector covers this quality ({state.quality.value})",
            )


def _way(point: Point) -> tuple[object, ...]:
    return (
        point.type,
        point.order,
        point.words,
        point.bit,
        point.scale,
        point.offset,
        point.table.is_bits,
        None if point.enum is None else tuple(point.enum.items()),
    )
