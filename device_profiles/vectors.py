"""A profile's own test vectors: each must come out as written, and together they must cover the profile.

Covered means: every way of decoding that points use (type, order, scale, offset, bit, enumeration, composite) gives a
valid value in some vector; every word order that a register may choose does; and every sentinel, every quality rule
and every word of a quality map shows up in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from .decoder import decode
from .document import Document
from .errors import Fault, PayloadError
from .messages import Memory, decode_messages
from .model import Point, Vector
from .payload import decode_payload, topic_for
from .profile import Profile
from .quality import Decoded, Fired, Quality

Outcome = tuple[Vector, Mapping[str, Decoded]]


def vector_faults(profile: Profile, document: Document) -> list[Fault]:
    """Run every vector; list what differs and what is not covered."""
    faults: list[Fault] = []
    outcomes: list[Outcome] = []
    fired: Fired = set()
    for at, vector in enumerate(profile.vectors):
        place = ("vectors", at)
        values = _values(profile, vector, document, at, faults, fired)
        if values is None:
            continue
        outcomes.append((vector, values))
        for name, wanted in vector.expect.items():
            says = _difference(profile.points[name], wanted, values.get(name))
            if says:
                faults.append(document.fault((*place, "expect", name), *says))
    if not faults:
        faults.extend(_gaps(profile, outcomes, document, fired))
    return faults


def _values(
    profile: Profile, vector: Vector, document: Document, at: int, faults: list[Fault], fired: Fired
) -> Mapping[str, Decoded] | None:
    place = ("vectors", at)
    try:
        ready = profile.configured(settings_of(profile, vector.parameters))
    except ValueError as error:
        faults.append(document.fault((*place, "parameters"), f"参数不对：{error}", str(error)))
        return None
    if profile.mqtt is None:
        return decode(ready, vector.words, after=vector.after, fired=fired)
    if vector.messages:
        return _conversation(ready, vector, document, at, faults, fired)
    try:
        topic = vector.topic or topic_for(profile, "device")
        readings = decode_payload(ready, topic, vector.payload or b"", vector.retained, fired=fired)
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


def _conversation(
    ready: Profile, vector: Vector, document: Document, at: int, faults: list[Fault], fired: Fired
) -> Mapping[str, Decoded] | None:
    """Say a conversation message by message; the last word about each point counts."""
    values: dict[str, Decoded] = {}
    state: Memory | None = None
    for number, (topic, payload) in enumerate(vector.messages):
        try:
            said = decode_messages(ready, "group/edge/device", topic, payload, state=state, fired=fired)
        except PayloadError as error:
            place = ("vectors", at, "messages", number)
            faults.append(document.fault(place, f"无法解码：{error}", f"cannot be decoded: {error}"))
            return None
        state = said.state
        for readings in said.readings:
            values.update(readings.values)
    return values


def settings_of(profile: Profile, given: Mapping[str, str]) -> dict[str, Decimal | str]:
    """Read parameters as they are written in a vector or on a command line.

    Raises: ValueError for one that the profile does not know or that does not fit it.
    """
    found: dict[str, Decimal | str] = {}
    for name, text in given.items():
        parameter = profile.parameters.get(name)
        if parameter is None:
            raise ValueError(f"there is no parameter {name}")
        found[name] = parameter.read(text)
    return found


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


def _gaps(profile: Profile, outcomes: list[Outcome], document: Document, fired: Fired) -> Iterator[Fault]:
    ways: set[tuple[object, ...]] = set()
    for vector, values in outcomes:
        for name in vector.expect:
            if values[name].value is not None:
                ways.add(_way(profile.points[name]))
    shown = {key[1:] for key in fired if key[0] == "invalid"}
    covered = {(profile.points[str(name)].invalid[int(str(at))], profile.points[str(name)].type) for name, at in shown}
    for point in profile.points.values():
        if _way(point) not in ways:
            ways.add(_way(point))
            kind = f"{point.type} {point.order}" if profile.mqtt is None else point.type
            yield document.fault(
                point.place,
                f"没有覆盖这种解码方式（{kind}）的向量",
                f"no vector covers this way of decoding ({kind})",
            )
        for invalid in point.invalid:
            if (invalid, point.type) not in covered:
                covered.add((invalid, point.type))
                yield document.fault(
                    point.place,
                    f"没有覆盖无效值（{invalid.reason}）的向量",
                    f"no vector covers the invalid value ({invalid.reason})",
                )
    yield from _rule_gaps(profile, document, fired)
    yield from _quality_gaps(profile, outcomes, document)


def _rule_gaps(profile: Profile, document: Document, fired: Fired) -> Iterator[Fault]:
    alone = isinstance(document.data.get("quality"), dict)
    for at, group in enumerate(profile.quality):
        for number, rule in enumerate(group.rules):
            if ("rule", at, number) not in fired:
                place = ("quality", "rules", number) if alone else ("quality", at, "rules", number)
                yield document.fault(
                    place,
                    f"没有覆盖该规则（{rule.quality.value}）的向量",
                    f"no vector covers this rule ({rule.quality.value})",
                )
    seen: set[tuple[str, str]] = set()
    for point in profile.points.values():
        rule_ = point.order_from
        for order in () if rule_ is None else rule_.map.values():
            if rule_ is not None and ("order", rule_.point, order) not in fired and (rule_.point, order) not in seen:
                seen.add((rule_.point, order))
                yield document.fault(
                    point.place, f"没有覆盖字序 {order} 的向量", f"no vector covers the word order {order}"
                )


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
        point.byte,
        point.bits,
        tuple((part.type, part.order, part.weight, part.add, part.field) for part in point.parts),
        point.tear_check,
        None if point.scale_from is None else (point.scale_from.form, tuple((point.scale_from.map or {}).items())),
        (point.scale_parameter, point.percent_of, point.unit_from),
        point.clock,
        point.at is None,
    )
