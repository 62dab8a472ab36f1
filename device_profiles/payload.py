"""JSON messages to values by a profile.

What concerns one point is a value with a quality; what makes the whole message unreadable is a PayloadError.
Limits are fixed before parsing, so a hostile message costs no more than an honest one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from .decoder import finish
from .errors import PayloadError
from .model import Mqtt, Point
from .profile import Profile
from .quality import FLAG_OF, Decoded, Quality, Reason, bad

_MISSING = object()
_NUMBER = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,2})?\Z", re.ASCII)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)\Z", re.ASCII)
_LOCAL = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?\Z", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,18}\Z", re.ASCII)
#: Half of a character: JSON can carry it, no store and no signature can.
_SURROGATE = re.compile("[\ud800-\udfff]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PayloadReadings:
    """What one message says.

    `device_time_text` is the time as sent, `device_time` the same instant in UTC; both None where the profile
    has no time. `dedup` names the message: two with the same name are one. `retained` says that the broker kept
    it: by the profile's rule `last_known` its values are marked held, by `ignore` there are none.
    """

    device_time_text: str | None
    device_time: datetime | None
    sequence: int | None
    values: Mapping[str, Decoded]
    dedup: str
    retained: bool


def topic_for(profile: Profile, device: str) -> str:
    """Fill the device's name into the topic.

    Raises: PayloadError for a profile without MQTT or a name that would change the topic's meaning.
    """
    rule = _rule(profile)
    if not device or any(mark in device for mark in "/+#\0"):
        raise PayloadError("topic", f"{device!r} cannot be a part of a topic")
    return rule.topic.replace("{device}", device)


def device_of(profile: Profile, topic: str) -> str:
    """Find the device's name in a topic.

    Raises: PayloadError where the topic is not the profile's.
    """
    before, after = _rule(profile).topic.split("{device}")
    name = topic[len(before) : len(topic) - len(after) if after else None]
    if not (topic.startswith(before) and topic.endswith(after)) or not name or "/" in name:
        raise PayloadError("topic", f"{topic!r} is not {_rule(profile).topic}")
    return name


def decode_payload(profile: Profile, topic: str, payload: bytes, retained: bool = False) -> PayloadReadings:
    """Decode one message.

    Raises: PayloadError (codes: topic, too-large, not-utf8, not-json, not-object, time-missing, time, sequence).
    """
    rule = _rule(profile)
    device_of(profile, topic)
    tree = _parse(payload, rule.max_bytes)
    time_text, time = _time(tree, rule)
    sequence = _sequence(tree, rule)
    values: dict[str, Decoded] = {}
    if not (retained and rule.retained == "ignore"):
        for name, point in profile.points.items():
            decoded = _value(point, _find(tree, point.pointer), partial=rule.partial)
            if decoded is not None:
                values[name] = decoded
        _apply_quality(tree, rule, values)
        if retained and rule.retained == "last_known":
            values = {name: _held(decoded) for name, decoded in values.items()}
    names = {
        "time": time_text or "",
        "sequence": "" if sequence is None else str(sequence),
        "hash": hashlib.sha256(payload).hexdigest() if "hash" in rule.dedup else "",
    }
    dedup = "|".join(names[key] for key in rule.dedup)
    return PayloadReadings(time_text, time, sequence, values, dedup, retained)


def _rule(profile: Profile) -> Mqtt:
    if profile.mqtt is None:
        raise PayloadError("topic", f"{profile.id} is no MQTT profile")
    return profile.mqtt


def _parse(payload: bytes, limit: int) -> dict[str, Any]:
    if len(payload) > limit:
        raise PayloadError("too-large", f"{len(payload)} bytes, at most {limit}")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PayloadError("not-utf8", f"byte {error.start}") from error
    try:
        tree = json.loads(
            text,
            parse_float=_number,
            parse_int=_number,
            parse_constant=_constant,
            object_pairs_hook=_unique,
        )
    except (ValueError, RecursionError) as error:
        raise PayloadError("not-json", " ".join(str(error).split())[:120] or "nested too deep") from error
    if not isinstance(tree, dict):
        raise PayloadError("not-object", "the message is no JSON object")
    return tree


def _number(text: str) -> Decimal:
    if not _NUMBER.match(text):
        raise ValueError(f"the number {text[:60]} is too long")
    return Decimal(text)


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name is there twice in one object")
    return result


def _find(tree: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(tree, dict) and step in tree:
            tree = tree[step]
        elif isinstance(tree, list) and _DIGITS.match(step) and int(step) < len(tree):
            tree = tree[int(step)]
        else:
            return _MISSING
    return tree


def _time(tree: Any, rule: Mqtt) -> tuple[str | None, datetime | None]:
    if not rule.time_format:
        return None, None
    found = _find(tree, rule.time_pointer)
    if found is _MISSING or found is None:
        raise PayloadError("time-missing", f"nothing at {rule.time_pointer}")
    text = format(found, "f") if isinstance(found, Decimal) else found if isinstance(found, str) else ""
    if not text or len(text) > 64:
        raise PayloadError("time", f"no {rule.time_format} time at {rule.time_pointer}")
    try:
        return text, read_time(text, rule.time_format, rule.time_zone)
    except (ValueError, OverflowError, InvalidOperation) as error:
        raise PayloadError("time", f"{text!r} is no {rule.time_format} time") from error


def read_time(text: str, form: str, zone: str) -> datetime:
    """Read a device's time text as an instant in UTC.

    Raises: ValueError, OverflowError.
    """
    if form in ("unix_s", "unix_ms"):
        if not _NUMBER.match(text):
            raise ValueError(text)
        seconds = Decimal(text) if form == "unix_s" else Decimal(text).scaleb(-3)
        return _EPOCH + timedelta(microseconds=int(seconds.scaleb(6)))
    if form == "rfc3339":
        if not _RFC3339.match(text):
            raise ValueError(text)
        return _iso(text).astimezone(UTC)
    if not _LOCAL.match(text):
        raise ValueError(text)
    local = _iso(text).replace(tzinfo=ZoneInfo(zone))
    instant = local.astimezone(UTC)
    if instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) != local.replace(tzinfo=None):
        raise ValueError(f"{text} was skipped by the clock change")
    return instant


def _iso(text: str) -> datetime:
    head, _, rest = text.upper().replace(" ", "T").partition(".")
    if rest:
        digits = re.match(r"\d+", rest)
        size = digits.end() if digits else 0
        return datetime.fromisoformat(f"{head}.{rest[: min(size, 6)].ljust(6, '0')}{rest[size:]}")
    return datetime.fromisoformat(head)


def _sequence(tree: Any, rule: Mqtt) -> int | None:
    if not rule.sequence_pointer:
        return None
    found = _find(tree, rule.sequence_pointer)
    text = found if isinstance(found, str) else format(found, "f") if isinstance(found, Decimal) else ""
    if not _DIGITS.match(text):
        raise PayloadError("sequence", f"no whole number at {rule.sequence_pointer}")
    return int(text)


def _value(point: Point, found: Any, *, partial: bool) -> Decoded | None:
    if found is _MISSING:
        return None if partial else bad(point.unit, Quality.NO_COMMUNICATION, Reason.MISSING, "")
    raw = _raw_text(found)
    if found is None:
        return bad(point.unit, Quality.FAULT, Reason.NULL, raw)
    if point.type == "string" and isinstance(found, str) and not _SURROGATE.search(found):
        return Decoded(found[:200], point.unit, Quality.VALID, "N", "", raw)
    if point.type == "bool" and isinstance(found, bool):
        return finish(point, Decimal(int(found)), raw)
    if point.type == "number" and isinstance(found, Decimal):
        return finish(point, found, raw)
    if point.type == "text_number" and isinstance(found, str) and _NUMBER.match(found.strip()):
        return finish(point, Decimal(found.strip()), raw)
    return bad(point.unit, Quality.FAULT, Reason.TYPE, raw)


def _raw_text(found: Any) -> str:
    if isinstance(found, Decimal):
        return str(found)
    text = json.dumps(found, ensure_ascii=False, default=str)[:200]
    return _SURROGATE.sub("\ufffd", text)


def _apply_quality(tree: Any, rule: Mqtt, values: dict[str, Decoded]) -> None:
    if not rule.quality_pointer:
        return
    found = _find(tree, rule.quality_pointer)
    word = found if isinstance(found, str) else _raw_text(found) if found is not _MISSING else ""
    state = rule.quality_map.get(word, rule.quality_otherwise)
    if state.quality is Quality.VALID and state.flag == "N":
        return
    for name in rule.quality_applies_to:
        decoded = values.get(name)
        if decoded is not None and decoded.value is not None:
            values[name] = replace(decoded, quality=state.quality, flag=state.flag, reason=state.reason)


def _held(decoded: Decoded) -> Decoded:
    if decoded.value is None:
        return decoded
    return replace(decoded, quality=Quality.HELD, flag=FLAG_OF[Quality.HELD], reason=Reason.RETAINED.value)
