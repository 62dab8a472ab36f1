"""JSON messages to values by a profile.

What concerns one point is a value with a quality; what makes the whole message unreadable is a PayloadError.
Limits are fixed before parsing, so a hostile message costs no more than an honest one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from .condition import Lookup, Value
from .decoder import decode_words, factor_of, finish
from .errors import PayloadError
from .judged import judged, out_of_sight
from .model import Mqtt, Point
from .profile import Profile
from .quality import FLAG_OF, Decoded, Fired, Quality, Reason, bad
from .words import BYTES

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
    it: by the profile's rule `last_known` its values are marked held, by `ignore` there are none. `dated` is false
    where the profile lets a message without a time of its own count from its receipt; its values say so. `backfill`
    marks what the device kept while it was cut off.
    """

    device_time_text: str | None
    device_time: datetime | None
    sequence: int | None
    values: Mapping[str, Decoded]
    dedup: str
    retained: bool
    dated: bool = True
    backfill: bool = False


def topic_for(profile: Profile, device: str) -> str:
    """Fill the device's name into the topic.

    Raises: PayloadError for a profile without MQTT or a name that would change the topic's meaning.
    """
    rule = _rule(profile)
    if "{device}" in rule.topic and (not device or any(mark in device for mark in "/+#\0")):
        raise PayloadError("topic", f"{device!r} cannot be a part of a topic")
    return rule.topic.replace("{device}", device)


def device_of(profile: Profile, topic: str) -> str:
    """Find the device's name in a topic; empty where the profile's topic is the same for every device.

    Raises: PayloadError where the topic is not the profile's.
    """
    wanted = _rule(profile).topic
    before, marked, after = wanted.partition("{device}")
    if not marked:
        if topic != wanted:
            raise PayloadError("topic", f"{topic!r} is not {wanted}")
        return ""
    name = topic[len(before) : len(topic) - len(after) if after else None]
    if not (topic.startswith(before) and topic.endswith(after)) or not name or "/" in name:
        raise PayloadError("topic", f"{topic!r} is not {wanted}")
    return name


def decode_payload(
    profile: Profile, topic: str, payload: bytes, retained: bool = False, *, fired: Fired | None = None
) -> PayloadReadings:
    """Decode one message that is one JSON object.

    Raises: PayloadError (codes: topic, too-large, not-utf8, not-json, not-object, time-missing, time, sequence).
    """
    found = decode_batch(profile, topic, payload, retained, fired=fired)
    if len(found) != 1:
        raise PayloadError("not-object", f"the message is a list of {len(found)}")
    return found[0]


def decode_batch(
    profile: Profile, topic: str, payload: bytes, retained: bool = False, *, fired: Fired | None = None
) -> tuple[PayloadReadings, ...]:
    """Decode a message that may be a list of messages, where the profile says so.

    Raises: PayloadError, see `decode_payload`; one bad entry refuses the whole message.
    """
    rule = _rule(profile)
    device_of(profile, topic)
    parsed = _parse(payload, rule.max_bytes)
    trees = parsed if isinstance(parsed, list) and rule.batch else [parsed]
    found = []
    for tree in trees:
        if not isinstance(tree, dict):
            raise PayloadError("not-object", "the message is no JSON object")
        found.append(_readings(profile, rule, tree, payload, retained, fired))
    return tuple(found)


def _readings(
    profile: Profile, rule: Mqtt, tree: dict[str, Any], payload: bytes, retained: bool, fired: Fired | None
) -> PayloadReadings:
    if rule.accept_pointer and _find(tree, rule.accept_pointer) not in rule.accept_words:
        return PayloadReadings(None, None, None, {}, "", retained)
    time_text, time = _time(tree, rule)
    sequence = _sequence(tree, rule)
    values: dict[str, Decoded] = {}
    if not (retained and rule.retained == "ignore"):
        message = _Message(profile, rule, tree, fired)
        for name in profile.points:
            decoded = message.judged(name)
            if decoded is not None:
                values[name] = decoded
        _apply_quality(tree, rule, values)
        if retained and rule.retained == "last_known":
            values = {name: _held(decoded) for name, decoded in values.items()}
    dated = time is not None or not rule.time_format
    if not dated:
        values = {name: _undated(decoded) for name, decoded in values.items()}
    names = {
        "time": time_text or "",
        "sequence": "" if sequence is None else str(sequence),
        "hash": hashlib.sha256(payload).hexdigest() if "hash" in rule.dedup else "",
    }
    dedup = "|".join(names[key] for key in rule.dedup)
    return PayloadReadings(time_text, time, sequence, values, dedup, retained, dated)


class _Message:
    """One JSON object, decoded point by point as they are asked for."""

    def __init__(self, profile: Profile, rule: Mqtt, tree: dict[str, Any], fired: Fired | None) -> None:
        self.profile, self.rule, self.fired = profile, rule, fired
        inner = _find(tree, rule.unwrap) if rule.unwrap else tree
        self._tree = inner if isinstance(inner, dict) else tree
        self._blob = _blob(tree, rule)
        self._raws: dict[str, Decimal] = {}
        self._known: dict[str, Decoded | None] = {}

    def get(self, name: str) -> Decoded | None:
        """Decode a point; None where a partial message says nothing of it."""
        if name not in self._known:
            self._known[name] = None
            self._known[name] = self._decode(self.profile.points[name])
        return self._known[name]

    def judged(self, name: str) -> Decoded | None:
        """Decode a point and let the states of the same message speak."""
        decoded = self.get(name)
        if decoded is None:
            return None
        raw, silent = self._raws.get(name), self.rule.partial
        return judged(self.profile, name, decoded, self.lookup, None, self.fired, raw, silent=silent)

    def lookup(self, name: str) -> Value | None:
        """Give a point's text or number, or a parameter, to a condition."""
        if name in self.profile.points:
            found = self.get(name)
            if found is None:
                return None
            return found.word
        return self.profile.settings.get(name)

    def _decode(self, point: Point) -> Decoded | None:
        if point.only_if is not None and self.lookup(point.only_if[0]) != Decimal(point.only_if[1]):
            return bad(point.unit, Quality.STOPPED, Reason.OTHER_KIND, "")
        if point.at is None:
            found = _find(self._tree, point.pointer)
            number = _number_in(point, found)
            if number is not None:
                self._raws[point.id] = number
            return value_of(point, found, partial=self.rule.partial, lookup=self.lookup, fired=self.fired)
        words = _words_in(point, self._blob)
        if words is None:
            return value_of(point, _MISSING, partial=self.rule.partial)
        return decode_words(point, words, self.lookup, self.fired, self._raws)


def _blob(tree: dict[str, Any], rule: Mqtt) -> bytes:
    """Take the bytes out of a message; what is no such text is no bytes."""
    text = _find(tree, rule.blob_pointer) if rule.blob_pointer else None
    if not isinstance(text, str):
        return b""
    try:
        return base64.b64decode(text, validate=True) if rule.blob_encoding == "base64" else bytes.fromhex(text)
    except (ValueError, binascii.Error):
        return b""


def _words_in(point: Point, blob: bytes) -> tuple[int, ...] | None:
    first = point.at or 0
    if point.type in ("bit", *BYTES):
        return (blob[first],) if first < len(blob) else None
    data = blob[first : first + 2 * point.words]
    if len(data) < 2 * point.words:
        return None
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))


def _rule(profile: Profile) -> Mqtt:
    if profile.mqtt is None:
        raise PayloadError("topic", f"{profile.id} is no MQTT profile")
    return profile.mqtt


def _parse(payload: bytes, limit: int) -> Any:
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
    if (found is _MISSING or found is None) and rule.time_missing == "received":
        return None, None
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


def value_of(
    point: Point, found: Any, *, partial: bool, lookup: Lookup = out_of_sight, fired: Fired | None = None
) -> Decoded | None:
    """Turn what stands at a point's place into its value; None where it may be missing and is."""
    if found is _MISSING:
        return None if partial else bad(point.unit, Quality.NO_COMMUNICATION, Reason.MISSING, "")
    raw = _raw_text(found)
    if found is None:
        return bad(point.unit, Quality.FAULT, Reason.NULL, raw)
    if point.type == "string" and isinstance(found, str) and not _SURROGATE.search(found):
        return Decoded(found[:200], point.unit, Quality.VALID, "N", "", raw)
    number = _number_in(point, found)
    if number is None:
        return bad(point.unit, Quality.FAULT, Reason.TYPE, raw)
    factor = None
    if point.scale_from is not None:
        factor = factor_of(point.scale_from, lookup(point.scale_from.point))
        if factor is None:
            return bad(point.unit, Quality.UNCERTAIN, Reason.SCALE_MISSING, raw)
    return finish(point, number, raw, lookup, fired, factor)


def _number_in(point: Point, found: Any) -> Decimal | None:
    if point.type == "bool" and isinstance(found, bool):
        return Decimal(int(found))
    if point.type == "number" and isinstance(found, Decimal):
        return found
    if point.type == "text_number" and isinstance(found, str) and _NUMBER.match(found.strip()):
        return Decimal(found.strip())
    return None


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


def _undated(decoded: Decoded) -> Decoded:
    return replace(decoded, reason=Reason.TIME_RECEIVED.value) if decoded.is_valid and not decoded.reason else decoded
