"""What must hold after a soak: the devices' journal against the gateway's store. Each check returns what is wrong.

answered by a device  ─▶ stored once, or the gateway died within its commit time, or it gave the answer up and said so
acknowledged message  ─▶ stored once
answered frame        ─▶ stored once
time                  ─▶ no hole without a gap event or a reading that names it
injected fault        ─▶ an event, a quarantined message, or a reading with its reason, while it lasted
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from fault_soak import (
    CHANNELS,
    FRAME_S,
    HARMLESS,
    LINE_POLL_S,
    MODBUS,
    POLL_S,
    PROFILE_OF,
    QUARANTINED,
    TIMEOUT_S,
    Soak,
)

from device_profiles import shipped
from evidence.statement import parse

COMMIT_S = 1.0
"""A polled reading is committed within a second (ARCHITECTURE.md, invariant 8)."""
_SLACK_S = 0.6
_FEWEST_LOOKS = 3
_FROZEN_S = 1.4
_NAMES_TIME = re.compile("Q0[3-6]")
"""A gap, or a device whose own times are said to be wrong: by them there may be no hole."""
_LOOKS = frozenset({"answered", "refused", "silent", "disconnected", "message"})
_SENDS = frozenset({"silent", "disconnected", "frame"})
"""A frame is made once and sent again as it is until it is answered."""
_AFTER_S = 4.0
"""How long after its end a fault may still show: late readings, a broker that was away."""
_TRIES_S = 8 * TIMEOUT_S
_GIVEN_UP_S = 0.85 * TIMEOUT_S
_SOONER = 0.85
"""An answer asked for again after less than so much of a poll had been given up."""
_BURST_S = POLL_S / 4
"""No poll follows another so soon: answers so close together were given up, but for one at most."""


@dataclass(frozen=True)
class Row:
    """A stored reading; times in seconds since 1970."""

    seq: int
    time: float
    received: float
    value: float | None
    flag: str
    reason: str
    raw: str


@dataclass(frozen=True)
class Answer:
    """What a device answered for one channel, as words."""

    at: float
    words: str


@dataclass(frozen=True)
class Facts:
    """Both sides after a soak."""

    served: Mapping[str, Sequence[Answer]]
    """By Modbus channel."""
    messages: Mapping[str, Sequence[str]]
    """Payloads that the broker acknowledged, by device."""
    frames: Sequence[str]
    """QN of the frames that the gateway answered."""
    faults: Sequence[tuple[str, Mapping[str, Any], float, float]]
    rows: Mapping[str, Sequence[Row]]
    events: Sequence[Mapping[str, Any]]
    quarantine: Sequence[tuple[float, str]]
    kills: Sequence[float]
    ended: float
    broker_away: Sequence[tuple[float, float]]
    looks: Mapping[str, Sequence[float]]
    """When each device was asked, or sent something."""
    kinds: Mapping[str, tuple[str, float]]
    """By what is turned: by which reason it is seen, and how long that takes."""


def facts_of(soak: Soak) -> Facts:
    """Read journal and store."""
    journal = soak.journal()
    channels = {channel: device for device, listed in CHANNELS.items() for channel, _, _ in listed}
    rows: dict[str, list[Row]] = {channel: [] for channel in channels}
    for seq, channel, when, received, value, flag, reason, raw in soak.world.gateway_rows(
        "SELECT seq, channel, time, received, value, flag, reason, raw FROM reading WHERE imported = 0 ORDER BY seq"
    ):
        number = None if value is None else float(value)
        rows[channel].append(Row(seq, _at(when), _at(received), number, flag, reason, raw))
    payloads = [
        dict(parse(jws).payload)
        for (jws,) in soak.world.gateway_rows("SELECT jws FROM statement WHERE kind = 'event' ORDER BY seq")
    ]
    return Facts(
        served={channel: list(_served(journal, device, channel)) for channel, device in channels.items()},
        messages={device: list(_acknowledged(journal, device)) for device in ("gas1", "gas2")},
        frames=[one["qn"] for one in journal if one["device"] == "cems" and one["what"] == "answered"],
        faults=[
            (one["device"], one["dials"], _at(one["from"]), _at(one["at"]))
            for one in journal
            if one["what"] == "fault-end"
        ],
        rows=rows,
        events=payloads,
        quarantine=[
            (_at(received), source)
            for received, source in soak.world.gateway_rows("SELECT received, source FROM quarantine")
        ],
        kills=soak.kills,
        ended=soak.ended,
        broker_away=soak.broker_away,
        looks={
            device: [_at(one["at"]) for one in journal if one["device"] == device and one["what"] in _looks(device)]
            for device in CHANNELS
        },
        kinds={_key(one.device, one.kind.dials): (one.kind.seen_by, one.kind.least_s) for one in soak.plan.faults},
    )


def harms(facts: Facts) -> list[str]:
    """Name everything that is wrong."""
    return [*_answers(facts), *_messages(facts), *_frames(facts), *_holes(facts), *_unseen(facts)]


def summary(facts: Facts) -> str:
    """Count what the soak was about."""
    served = sum(len(one) for one in facts.served.values())
    dropped = Counter(f"{device} {'+'.join(dials)}" for device, dials, _, _ in facts.faults)
    return (
        f"answered={served} messages={sum(map(len, facts.messages.values()))} frames={len(facts.frames)}"
        f" readings={sum(map(len, facts.rows.values()))} faults={sum(dropped.values())} of {len(dropped)} kinds"
        f" kills={len(facts.kills)} broker={len(facts.broker_away)} events={len(facts.events)}"
        f" quarantined={len(facts.quarantine)} oldest-uncommitted={max(_uncommitted_ages(facts), default=0.0):.2f}s"
    )


def _uncommitted_ages(facts: Facts) -> Iterator[float]:
    """Tell of each kill for how long the oldest answer that went with it had been here."""
    stored = sorted(row.received for device in MODBUS for name, _, _ in CHANNELS[device] for row in facts.rows[name])
    answered = sorted(one.at for channel in facts.served for one in facts.served[channel])
    for kill in facts.kills:
        newest = stored[max(0, bisect_left(stored, kill) - 1)] if stored else 0.0
        behind = bisect_left(answered, newest + 0.05)
        if behind < len(answered) and answered[behind] < kill:
            yield kill - answered[behind]


# -- what was said is stored once ---------------------------------------------------------------------------


def _answers(facts: Facts) -> Iterator[str]:
    gone = _uncommitted(facts)
    for device in MODBUS:
        for channel, _, _ in CHANNELS[device]:
            yield from _channel(facts, device, channel, gone)


def _channel(facts: Facts, device: str, channel: str, gone: Sequence[tuple[float, float]]) -> Iterator[str]:
    """Pair readings with answers, each answer once; say which is left on either side without an excuse."""
    answers, rows = facts.served[channel], facts.rows[channel]
    times = [one.at for one in answers]
    taken: set[int] = set()
    for row in rows:
        if row.flag == "B":
            continue
        words = row.raw.replace(" ", "").upper()
        first = bisect_left(times, row.received - _TRIES_S)
        last = bisect_left(times, row.received + 0.05)
        found = [at for at in range(first, last) if at not in taken and answers[at].words == words]
        if not found:
            yield f"{channel}: reading {row.seq} ({words}) was answered by nobody, or is there twice"
            continue
        taken.add(found[-1])
    ordered = sorted(rows, key=lambda row: row.received)
    received = [row.received for row in ordered]
    for at, answer in enumerate(answers):
        if at in taken or any(first <= answer.at <= last for first, last in gone):
            continue
        behind = bisect_left(received, answer.at - 0.01)
        following = ordered[behind] if behind < len(ordered) else None
        if following is not None and (following.flag == "B" or "Q06" in following.reason):
            continue  # given up, and said so
        before = ordered[behind - 1] if behind else None
        if before is not None and before.flag == "B" and answer.at - before.received < 2 * TIMEOUT_S:
            continue  # the late answer to what had just been given up, and said so
        asked_again = times[at + 1] if at + 1 < len(times) else facts.ended
        if any(0 < kill - answer.at < _TRIES_S and kill < asked_again for kill in facts.kills):
            continue  # the poll waited for another answer of the device when the gateway was killed
        asked_before = times[at - 1] if at else 0.0
        if asked_again - answer.at < _SOONER * poll_of(device) or answer.at - asked_before < _BURST_S:
            continue  # a device that stood still answers at once what it was asked again and again meanwhile
        is_cut = any(
            name == device and "disconnect" in dials and a < answer.at < b for name, dials, a, b in facts.faults
        )
        if is_cut and asked_again - answer.at < 2 * TIMEOUT_S:
            continue  # what a reset connection still carried is gone, and was asked for again at once
        if asked_again - answer.at > _GIVEN_UP_S and (following is None or following.received > asked_again):
            continue  # given up after its time, and asked again: the poll's reading is the next answer
        around = [dict(dials) for name, dials, a, b in facts.faults if name == device and a < answer.at < b + 5]
        yield (
            f"{channel}: the answer at {answer.at:.3f} ({answer.words}) of {device} is lost; stored before:"
            f" {_told(before, answer.at)}, after: {_told(following, answer.at)};"
            f" answered {asked_before - answer.at:+.3f} and {asked_again - answer.at:+.3f} s;"
            f" killed {_nearest(facts.kills, answer.at):+.3f} s; faults: {around}"
        )


def _told(row: Row | None, at: float) -> str:
    return "nothing" if row is None else f"{row.received - at:+.3f} s {row.flag} {row.reason!r}"


def _nearest(moments: Sequence[float], at: float) -> float:
    return min((one - at for one in moments), key=abs, default=0.0)


def _uncommitted(facts: Facts) -> list[tuple[float, float]]:
    """List the times whose answers went with a kill: the group that waited, longer where the disk stood still."""
    polled = [channel for device in MODBUS for channel, _, _ in CHANNELS[device]]
    received = sorted(row.received for channel in polled for row in facts.rows[channel])
    starts = [_at(one["t"]) for one in facts.events if one["type"] == "restart"]
    found = [(facts.ended - 0.05, float("inf"))]
    for kill in facts.kills:
        newest = received[max(0, bisect_left(received, kill) - 1)]
        # What a device answers after the kill it says to nobody, until the next start.
        found.append((min(kill - COMMIT_S, newest), min([at for at in starts if at > kill], default=kill)))
    return found


def _messages(facts: Facts) -> Iterator[str]:
    for device, payloads in facts.messages.items():
        for channel, point, _ in CHANNELS[device]:
            stored = Counter(row.raw for row in facts.rows[channel])
            begun = next((at for at, one in enumerate(payloads) if stored[one]), len(payloads))
            if begun == len(payloads):
                yield f"{channel}: nothing was stored"
            for payload in dict.fromkeys(payloads[begun:]):
                if stored[payload] != 1:
                    yield f"{channel}: message {payload} is stored {stored[payload]} times ({point})"
            yield from (f"{channel}: {raw} is stored {n} times" for raw, n in stored.items() if n > 1)


def _frames(facts: Facts) -> Iterator[str]:
    for channel, _, _ in CHANNELS["cems"]:
        stored = Counter(json.loads(row.raw)["qn"] for row in facts.rows[channel])
        for qn in facts.frames:
            if stored[qn] != 1:
                yield f"{channel}: frame {qn} is stored {stored[qn]} times"


# -- no hole in time ----------------------------------------------------------------------------------------


def poll_of(device: str) -> float:
    """Return how often a device is asked, or sends."""
    return FRAME_S if device == "cems" else POLL_S if device in ("em1", "em2", "gas1", "gas2") else LINE_POLL_S


def _holes(facts: Facts) -> Iterator[str]:
    """Look for time without any reading that neither a gap event nor the reading behind it names."""
    gaps = [
        (_at(one["data"]["from"]), _at(one["data"]["to"]), str(one["data"].get("source", "")))
        for one in facts.events
        if one["type"] == "gap"
    ]
    gaps += [(_at(one["t"]), _at(one["t"]), "") for one in facts.events if one["type"] == "restart"]
    for device, channels in CHANNELS.items():
        allowed = 3 * poll_of(device) + 1.0 + (2 * _TRIES_S if device in MODBUS else 0.5)
        for channel, _, _ in channels:
            rows = sorted(facts.rows[channel], key=lambda row: row.received)
            for before, after in pairwise(rows):
                if after.received - before.received <= allowed or _NAMES_TIME.search(after.reason):
                    continue
                if not any(start < after.received and end > before.received for start, end, _ in gaps):
                    hole = f"{before.received:.1f} to {after.received:.1f}"
                    yield f"{channel}: no reading from {hole} and nothing says so"


# -- every fault is seen ------------------------------------------------------------------------------------


def _unseen(facts: Facts) -> Iterator[str]:
    ups = _ups(facts)
    for device, dials, start, end in facts.faults:
        seen_by, least = facts.kinds[_key(device, dials)]
        if seen_by == HARMLESS or not _can_be_known(facts, device, dials, start):
            continue
        if end > facts.ended or not _was_looked_at(facts, device, start, end, least, ups):
            continue
        if seen_by == "Q18" and not _stood_still(facts, device, start, end):
            continue
        late = sum(b - a + _AFTER_S for a, b in facts.broker_away if a < end and b > start)
        if not _is_seen(facts, device, seen_by, start, end + _AFTER_S + late):
            looks = [f"{at - start:.1f}" for at in facts.looks[device] if start <= at <= end + late]
            rows = [
                f"{row.received - start:.1f} {row.flag} {row.value} {row.reason}"
                for row in facts.rows[CHANNELS[device][0][0]]
                if start - 1 <= row.received <= end + _AFTER_S + late
            ]
            kills = [f"{kill - start:.1f}" for kill in facts.kills if start - 5 <= kill <= end + 5]
            what = f"{dict(dials)} from {start:.1f} for {end - start:.1f} s left no trace ({seen_by})"
            yield f"{device}: {what}; looked {looks}; killed {kills}; stored {rows}"


def _can_be_known(facts: Facts, device: str, dials: Mapping[str, Any], start: float) -> bool:
    """Tell whether a count that jumps once was ever read before it did; other faults last."""
    if not {"reset", "rollover"} & set(dials):
        return True
    total = CHANNELS[device][0][0]
    return any(row.flag == "N" and row.received < start for row in facts.rows[total])


def _was_looked_at(
    facts: Facts, device: str, start: float, end: float, least: float, ups: Sequence[tuple[float, float]]
) -> bool:
    """Tell whether one run of the gateway looked at the faulty device long enough, and lived to commit what it saw."""
    for since, till in ups:
        first, last = max(start, since), min(end, till - COMMIT_S - _TRIES_S / 2)
        looks = [at for at in facts.looks[device] if first <= at <= last]
        if len(looks) >= _FEWEST_LOOKS and looks[-1] - looks[0] >= least - _SLACK_S:
            return True
    return False


def _stood_still(facts: Facts, device: str, start: float, end: float) -> bool:
    """Tell whether one run of the gateway read a value that stayed the same long enough, without a failed poll."""
    starts = [_at(one["t"]) for one in facts.events if one["type"] == "restart"]
    rates = [channel for channel, _, _ in CHANNELS[device] if not channel.endswith(("TOTAL", "CLOCK"))]
    for channel in rates:
        since = 0.0
        before: Row | None = None
        for row in facts.rows[channel]:
            if not start <= row.received <= end:
                continue
            goes_on = before is not None and row.value == before.value and row.flag == before.flag == "N"
            if not goes_on or (before is not None and _any_between(starts, before.received, row.received)):
                since = row.received
            before = row
            if row.received - since > _FROZEN_S:
                return True
    return False


def _is_seen(facts: Facts, device: str, seen_by: str, start: float, end: float) -> bool:
    channels = [channel for channel, _, _ in CHANNELS[device]]
    rows = [row for channel in channels for row in facts.rows[channel] if start <= row.received <= end]
    if seen_by == QUARANTINED:
        mark = "hj212" if device == "cems" else f"plant/{device}/"
        return any(start <= at <= end and mark in source for at, source in facts.quarantine)
    if any(re.search(seen_by, row.reason) for row in rows):
        return True
    if seen_by == "Q31":  # a torn value is nothing wrong as long as the count goes on rising
        values = [
            row.value for row in facts.rows[channels[0]] if start <= row.received <= end and row.value is not None
        ]
        return values == sorted(values)
    return any(_is_gap_of(one, device, channels, seen_by, start, end) for one in facts.events)


def _is_gap_of(
    event: Mapping[str, Any], device: str, channels: Sequence[str], seen_by: str, start: float, end: float
) -> bool:
    data = event["data"]
    if event["type"] != "gap" or not (data.get("source") == device or data.get("channel") in channels):
        return False
    said = f"{data['reason']} Q06"
    return _at(data["from"]) < end and _at(data["to"]) > start and re.search(seen_by, said) is not None


def _ups(facts: Facts) -> list[tuple[float, float]]:
    """List when the gateway ran: from each start that it committed to the next kill."""
    starts = [_at(one["t"]) for one in facts.events if one["type"] == "restart"]
    return [
        (start + _SLACK_S, min([kill for kill in (*facts.kills, facts.ended) if kill > start], default=start))
        for start in starts
    ]


# -- the journal --------------------------------------------------------------------------------------------


def _served(journal: Sequence[Mapping[str, Any]], device: str, channel: str) -> Iterator[Answer]:
    if device not in MODBUS:
        return
    points = shipped()[PROFILE_OF[device]].points
    point = points[next(point for name, point, _ in CHANNELS[device] if name == channel)]
    first = min((part.address for part in point.parts), default=point.address)
    words = sum(part.words for part in point.parts) or point.words
    for one in journal:
        if one["device"] != device or one["what"] != "answered" or one["table"] != point.table:
            continue
        offset = first - one["address"]
        if offset >= 0 and offset + words <= one["count"]:
            yield Answer(_at(one["at"]), one["words"][4 * offset : 4 * (offset + words)])


def _acknowledged(journal: Sequence[Mapping[str, Any]], device: str) -> Iterator[str]:
    """Give the payloads that reached the broker, without those that are no JSON."""
    on_their_way: dict[int, str] = {}
    early: set[int] = set()
    for one in journal:
        if one["device"] != device:
            continue
        if one["what"] == "message":
            if one["mid"] in early:
                early.discard(one["mid"])
                if not one["payload"].startswith("hex:"):
                    yield one["payload"]
            else:
                on_their_way[one["mid"]] = one["payload"]
        elif one["what"] == "acknowledged":
            payload = on_their_way.pop(one["mid"], None)
            if payload is None:
                early.add(one["mid"])
            elif not payload.startswith("hex:"):
                yield payload


def _key(device: str, dials: Mapping[str, Any]) -> str:
    """Name a fault the same whether it comes from the plan or, as JSON, from the journal."""
    return f"{device} " + ", ".join(f"{name}={_plain(value)}" for name, value in sorted(dials.items()))


def _plain(value: Any) -> str:
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError):
        return str(value)


def _any_between(moments: Sequence[float], first: float, last: float) -> bool:
    at = bisect_left(moments, first)
    return at < len(moments) and moments[at] <= last


def _looks(device: str) -> frozenset[str]:
    return _SENDS if device == "cems" else _LOOKS


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
