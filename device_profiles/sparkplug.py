"""Sparkplug B 3.0 on the reading side: what is remembered of an edge node, and what its messages say.

Pure: the memory goes in, a new memory comes out. Aliases hold since the last birth only; after a lost sequence number
a birth may have been missed, so values that are known by alias alone are uncertain until the next one. The cure, asking
for a rebirth, is a command, and this product sends none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from .condition import Lookup, Value
from .errors import PayloadError
from .judged import judged
from .model import Point
from .payload import PayloadReadings, value_of
from .profile import Profile
from .quality import FLAG_OF, Decoded, Fired, Quality, Reason, bad
from .sparkplug_payload import Metric, SparkplugPayload, read_payload, write_payload

NAMESPACE = "spBv1.0"
SEQUENCES = 256
#: Values of the property Quality (Sparkplug 3.0, 6.4.12).
GOOD, BAD, STALE = 192, 0, 500

_NODE_KINDS = ("NBIRTH", "NDEATH", "NDATA")
_DEVICE_KINDS = ("DBIRTH", "DDEATH", "DDATA")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Milliseconds after which a time is no time (the year 9999).
_LATEST_MS = 253_402_300_800_000


@dataclass(frozen=True, slots=True)
class Memory:
    """What is known of one edge node since its birth."""

    born: bool = False
    bd_seq: int | None = None
    seq: int | None = None
    gap: bool = False
    aliases: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    datatypes: Mapping[int, int] = field(default_factory=dict)
    states: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Said:
    """What one message says: readings, what to remember, and what the operator should know."""

    readings: tuple[PayloadReadings, ...]
    state: Memory | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SparkplugTopic:
    """A topic taken apart; `device` is empty for messages of the edge node itself."""

    group: str
    kind: str
    edge: str
    device: str = ""


def filters_for(name: str) -> tuple[str, ...]:
    """List what to subscribe to for `group/edge/device` (or `group/edge`): the whole edge node, to see its sequence.

    Raises: PayloadError for a name of another form.
    """
    group, edge, _ = parts_of(name)
    node = [f"{NAMESPACE}/{group}/{kind}/{edge}" for kind in _NODE_KINDS]
    return (*node, *(f"{NAMESPACE}/{group}/{kind}/{edge}/+" for kind in _DEVICE_KINDS))


def parts_of(name: str) -> tuple[str, str, str]:
    """Take `group/edge/device` apart.

    Raises: PayloadError.
    """
    parts = name.split("/")
    if len(parts) not in (2, 3) or any(not part or any(mark in part for mark in "+#\0") for part in parts):
        raise PayloadError("topic", f"{name!r} is not group/edge/device or group/edge")
    return parts[0], parts[1], parts[2] if len(parts) == 3 else ""


def topic_parts(topic: str) -> SparkplugTopic:
    """Take a topic apart.

    Raises: PayloadError where it is none of an edge node's.
    """
    parts = topic.split("/")
    if len(parts) == 4 and parts[0] == NAMESPACE and parts[2] in _NODE_KINDS:
        return SparkplugTopic(parts[1], parts[2], parts[3])
    if len(parts) == 5 and parts[0] == NAMESPACE and parts[2] in _DEVICE_KINDS:
        return SparkplugTopic(parts[1], parts[2], parts[3], parts[4])
    raise PayloadError("topic", f"{topic!r} is no Sparkplug topic of an edge node")


def decode_sparkplug(
    profile: Profile, name: str, topic: str, payload: bytes, state: Memory | None, *, fired: Fired | None = None
) -> Said:
    """Decode one message of the edge node that `name` lives on.

    Raises: PayloadError (codes topic, too-large, not-sparkplug, not-born).
    """
    rule = profile.mqtt
    group, edge, device = parts_of(name)
    said = topic_parts(topic)
    if rule is None or (said.group, said.edge) != (group, edge):
        raise PayloadError("topic", f"{topic!r} is not of {group}/{edge}")
    if len(payload) > rule.max_bytes:
        raise PayloadError("too-large", f"{len(payload)} bytes, at most {rule.max_bytes}")
    before = state or Memory()
    read = read_payload(payload, dict(before.datatypes))
    if said.kind == "NDEATH":
        return _node_death(profile, before, read)
    notes: list[str] = []
    after = _counted(before, said, read, notes)
    after = _learned(after, said, read)
    if said.device != device:
        return Said((), after, tuple(notes))
    if said.kind == "DDEATH":
        return Said((_offline(profile, read),), after, tuple(notes))
    return _spoken(profile, said, read, after, notes, fired)


def _node_death(profile: Profile, state: Memory, read: SparkplugPayload) -> Said:
    bd_seq = _bd_seq(read)
    if state.bd_seq is not None and bd_seq is not None and bd_seq != state.bd_seq:
        return Said((), state, (f"an old death (bdSeq {bd_seq}) passed over",))
    return Said((_offline(profile, read),), Memory(), ("the edge node is offline",))


def _counted(state: Memory, said: SparkplugTopic, read: SparkplugPayload, notes: list[str]) -> Memory:
    """Follow the sequence number; a birth of the node starts it anew."""
    if said.kind == "NBIRTH":
        return Memory(born=True, bd_seq=_bd_seq(read), seq=read.seq)
    if read.seq is None:
        return state
    expected = None if state.seq is None else (state.seq + 1) % SEQUENCES
    if expected is not None and read.seq != expected:
        notes.append(f"sequence {expected} expected, {read.seq} came")
        return replace(state, seq=read.seq, gap=True)
    return replace(state, seq=read.seq)


def _learned(state: Memory, said: SparkplugTopic, read: SparkplugPayload) -> Memory:
    """Learn aliases and data types from a birth; forget a device's aliases at its death."""
    if said.kind not in ("NBIRTH", "DBIRTH", "DDEATH"):
        return state
    kept = {alias: owner for alias, owner in state.aliases.items() if owner[0] != said.device}
    types = {alias: state.datatypes[alias] for alias in kept if alias in state.datatypes}
    if said.kind != "DDEATH":
        for metric in read.metrics:
            if metric.alias is not None and metric.name:
                kept[metric.alias] = (said.device, metric.name)
                types[metric.alias] = metric.datatype
    return replace(state, aliases=kept, datatypes=types)


def _spoken(
    profile: Profile,
    said: SparkplugTopic,
    read: SparkplugPayload,
    state: Memory,
    notes: list[str],
    fired: Fired | None,
) -> Said:
    by_metric: dict[str, list[Point]] = {}
    for point in profile.points.values():
        by_metric.setdefault(point.metric, []).append(point)
    groups: dict[tuple[int | None, bool], dict[str, Decoded]] = {}
    unknown = 0
    is_birth = said.kind.endswith("BIRTH")
    for metric in read.metrics:
        name = _name(metric, said.device, state)
        if name is None:
            unknown += 1
            continue
        for point in by_metric.get(name, ()):
            time = read.timestamp if metric.timestamp is None else metric.timestamp
            doubtful = state.gap and not metric.name and not is_birth
            decoded = _metric_value(point, metric, doubtful=doubtful, fired=fired)
            groups.setdefault((time, metric.is_historical), {})[point.id] = decoded
    if unknown and unknown == len(read.metrics):
        raise PayloadError("not-born", f"{unknown} metrics by alias, and no birth that names them")
    if unknown:
        notes.append(f"{unknown} metrics by an unknown alias")
    states = dict(state.states)
    readings = []
    for (time, historical), values in sorted(groups.items(), key=lambda one: (one[0][0] or 0, one[0][1])):
        if not historical:
            states.update(_states_in(profile, values))
        lookup = _lookup(profile, values, states)
        told = {
            name: judged(profile, name, one, lookup, None, fired, None, silent=True) for name, one in values.items()
        }
        readings.append(_dated(time, read.seq, told, historical=historical))
    return Said(tuple(readings), replace(state, states=states), tuple(notes))


def _name(metric: Metric, device: str, state: Memory) -> str | None:
    if metric.name:
        return metric.name
    owner = state.aliases.get(-1 if metric.alias is None else metric.alias)
    return owner[1] if owner is not None and owner[0] == device else None


def _metric_value(point: Point, metric: Metric, *, doubtful: bool, fired: Fired | None) -> Decoded:
    decoded = value_of(point, metric.value, partial=False, fired=fired)
    if decoded is None or decoded.value is None:
        return decoded or bad(point.unit, Quality.NO_COMMUNICATION, Reason.MISSING, "")
    if metric.quality is not None and (metric.quality == STALE or metric.quality < GOOD):
        stale = metric.quality == STALE
        quality, reason = (Quality.UNCERTAIN, Reason.STALE) if stale else (Quality.FAULT, Reason.DEVICE)
        return replace(decoded, quality=quality, flag=FLAG_OF[quality], reason=reason.value)
    if doubtful:
        quality = Quality.UNCERTAIN
        return replace(decoded, quality=quality, flag=FLAG_OF[quality], reason=Reason.STALE.value)
    return decoded


def _states_in(profile: Profile, values: Mapping[str, Decoded]) -> dict[str, Value]:
    asked = frozenset[str]().union(*(profile.states_of(group) for group in profile.quality))
    found: dict[str, Value] = {}
    for name in asked & set(values):
        one = values[name]
        if one.word is not None:
            found[name] = one.word
    return found


def _lookup(profile: Profile, values: Mapping[str, Decoded], states: Mapping[str, Value]) -> Lookup:
    def look(name: str) -> Value | None:
        one = values.get(name)
        if one is not None and one.value is not None:
            return one.word
        return states.get(name, profile.settings.get(name))

    return look


def _offline(profile: Profile, read: SparkplugPayload) -> PayloadReadings:
    values = {
        name: bad(point.unit, Quality.NO_COMMUNICATION, Reason.OFFLINE.value, "")
        for name, point in profile.points.items()
    }
    return replace(_dated(None, read.seq, values, historical=False), dedup=f"death|{_bd_seq(read)}|{read.timestamp}")


def _dated(time: int | None, seq: int | None, values: dict[str, Decoded], *, historical: bool) -> PayloadReadings:
    if time is None or not 0 < time < _LATEST_MS:
        return PayloadReadings(None, None, seq, values, f"|{seq}", False, False, historical)
    instant = _EPOCH + timedelta(milliseconds=time)
    return PayloadReadings(str(time), instant, seq, values, f"{time}|{seq}", False, True, historical)


def _bd_seq(read: SparkplugPayload) -> int | None:
    for metric in read.metrics:
        if metric.name == "bdSeq" and isinstance(metric.value, Decimal):
            return int(metric.value)
    return None


# --- the other side: what an edge node sends, for simulators and tests ----------------------------------


DATATYPE_OF = {"number": 10, "bool": 11, "string": 12}


def birth_of_node(bd_seq: int, time_ms: int) -> bytes:
    """Write the NBIRTH of an edge node without metrics of its own."""
    return write_payload(
        SparkplugPayload(time_ms, 0, (Metric("bdSeq", None, time_ms, 4, Decimal(bd_seq)),)),
    )


def death_of_node(bd_seq: int, time_ms: int) -> bytes:
    """Write the NDEATH that the broker sends in the node's name."""
    return write_payload(SparkplugPayload(time_ms, None, (Metric("bdSeq", None, time_ms, 4, Decimal(bd_seq)),)))


def metrics_of(
    profile: Profile, values: Mapping[str, Decimal | str | None], time_ms: int, seq: int, *, birth: bool
) -> bytes:
    """Write a DBIRTH (names and aliases) or DDATA (aliases) with these values."""
    aliases = {name: at + 1 for at, name in enumerate(profile.points)}
    metrics = []
    for name, value in values.items():
        point = profile.points[name]
        datatype = DATATYPE_OF.get(point.type, 10)
        shown: Decimal | bool | str | None = value
        if isinstance(value, Decimal):
            shown = bool(value) if point.type == "bool" else (value - point.offset) / point.scale
        metrics.append(
            Metric(point.metric if birth else "", aliases[name], time_ms, datatype, shown, is_null=value is None)
        )
    return write_payload(SparkplugPayload(time_ms, seq % SEQUENCES, tuple(metrics)))
