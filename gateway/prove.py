"""The disclosure of one reading: a small bundle that anyone can verify alone, made from what is on the disk.

It holds the reading's leaf with its path, the segment that signed the root, the event that declared the channel, and
the receipt of each. Nothing is asked of the centre, and no other reading is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from evidence.bundle import Bundle, write_bundle
from evidence.channel import ChannelKind
from evidence.disclosure import Disclosure
from evidence.encoding import time_text
from evidence.reading import Leaf
from evidence.statement import Statement, parse
from evidence.tiles import TILE_WIDTH
from gateway.errors import MisuseError, NoLongerKeptError, RefusedError
from gateway.hours import HOUR, hour_text
from gateway.identity import required_identity
from gateway.kept_store import dropped_leaves, has_dropped_rows, kept_of
from gateway.rawtile import RawFolder
from gateway.store import Store
from gateway.tree import ReadingTree

_KINDS = (ChannelKind.VALUE, ChannelKind.TOTAL)
"""A running total belongs to the hour that ends with it, everything else to the one that begins."""


@dataclass(frozen=True)
class ProvenReading:
    """One reading and where it stands."""

    leaf: Leaf
    epoch: int
    segment: str
    log_index: int


@dataclass(frozen=True)
class Proof:
    """A bundle of one reading; of several, where the channel has several of one time."""

    readings: tuple[ProvenReading, ...]
    bundle: bytes


def prove_reading(store: Store, raw: RawFolder, channel: str, moment: datetime) -> Proof:
    """Disclose the reading of a channel at a moment, else the last one within the hour before.

    Raises:
        MisuseError: the channel was never declared, or has no reading there.
        RefusedError: the reading is not sealed yet, or its segment has no receipt yet.
        NoLongerKeptError: it is older than the retention.
        IntegrityError: its raw tile is missing or damaged.
    """
    identity = required_identity(store)
    if store.value("SELECT 1 FROM channel WHERE id = ?", (channel,)) is None:
        raise MisuseError(f"没有通道 {channel}", f"there is no channel {channel}")
    places = _places(store, raw, channel, moment)
    statements: dict[str, bytes] = {}
    receipts: dict[str, bytes] = {}
    shown: dict[str, bytes] = {}
    proven = []
    for epoch, index in places:
        segment, log_index = _segment(store, epoch, index)
        line, path = ReadingTree(store, raw, epoch, bytes).prove_leaf(index, segment.payload["tree"]["end"])
        disclosure = Disclosure(
            identity.gw, epoch, segment.sid, line.decode("utf-8"), index, segment.payload["tree"]["end"], tuple(path)
        )
        leaf = disclosure.verify(segment.payload)
        shown[disclosure.name] = disclosure.to_bytes()
        for statement in (segment, *_declaration(store, segment, channel)):
            receipt = _receipt(store, statement.sid)
            if receipt is not None:
                statements[statement.sid], receipts[statement.sid] = statement.jws.encode("ascii"), receipt
        proven.append(ProvenReading(leaf, epoch, segment.sid, log_index))
    return Proof(tuple(proven), write_bundle(Bundle(statements=statements, proofs=receipts, readings=shown)))


def _places(store: Store, raw: RawFolder, channel: str, moment: datetime) -> list[tuple[int, int]]:
    """Return (epoch, leaf) of the readings with the newest time within the hour before a moment, that included."""
    span = (channel, time_text(moment - HOUR), time_text(moment))
    newest_row = "SELECT time FROM reading WHERE channel = ? AND time > ? AND time <= ? ORDER BY time DESC LIMIT 1"
    at = store.value(newest_row, span)
    rows = store.rows("SELECT epoch, leaf FROM reading WHERE channel = ? AND time = ? ORDER BY seq", (channel, at))
    found: dict[str, list[tuple[int, int] | None]] = {}
    for row in rows:
        place = None if row["leaf"] is None else (int(row["epoch"]), int(row["leaf"]))
        found.setdefault(str(at), []).append(place)
    for time, place in _in_tiles(store, raw, channel, moment):
        if place not in found.setdefault(time, []):
            found[time].append(place)
    if not found:
        raise MisuseError(
            f"通道 {channel} 在 {time_text(moment)} 及之前一小时内没有读数",
            f"channel {channel} has no reading at {time_text(moment)} or within the hour before",
        )
    newest = found[max(found)]
    if None in newest:
        raise RefusedError(
            f"通道 {channel} {max(found)} 的读数尚未封存；该小时结束后再试",
            f"the reading of {channel} at {max(found)} is not sealed yet; try again when its hour is over",
        )
    return [place for place in newest if place is not None]


def _in_tiles(store: Store, raw: RawFolder, channel: str, moment: datetime) -> Iterator[tuple[str, tuple[int, int]]]:
    """Look into the raw tiles of hours whose rows were dropped."""
    if not has_dropped_rows(store):
        return
    zone, first, last = required_identity(store).zone_info, time_text(moment - HOUR), time_text(moment)
    hours = {hour_text(moment - before, kind, zone) for before in (HOUR, timedelta(0)) for kind in _KINDS}
    for epoch, start, end in sorted({part for hour in hours for part in dropped_leaves(store, hour)}):
        there = kept_of(store, epoch).files_from * TILE_WIDTH
        if start < there:
            raise NoLongerKeptError(
                f"第 {epoch} 期该小时的原始读数已超过保存期限，不再保存",
                f"the raw readings of that hour of epoch {epoch} are older than the retention and no longer kept",
            )
        for number in range(start // TILE_WIDTH, -(-end // TILE_WIDTH)):
            for index, line in enumerate(raw.read(epoch, number).lines, number * TILE_WIDTH):
                _, _, time, name, *_ = json.loads(line)
                if name == channel and first < time <= last and start <= index < end:
                    yield time, (epoch, index)


def _segment(store: Store, epoch: int, index: int) -> tuple[Statement, int]:
    row = store.row(
        "SELECT s.jws, r.log_index FROM segment g JOIN statement s ON s.sid = g.sid"
        ' LEFT JOIN receipt r ON r.sid = g.sid WHERE g.epoch = ? AND g.start <= ? AND g."end" > ?',
        (epoch, index, index),
    )
    if row is None:
        raise RefusedError(
            f"第 {epoch} 期的读数 {index} 尚未封存", f"reading {index} of epoch {epoch} is not sealed yet"
        )
    if row["log_index"] is None:
        raise RefusedError(
            f"第 {epoch} 期的读数 {index} 已封存，但中心端尚未给出回执；请先运行 cunzheng gateway sync",
            f"reading {index} of epoch {epoch} is sealed, but the centre has given no receipt yet;"
            " run cunzheng gateway sync first",
        )
    return parse(row["jws"]), int(row["log_index"])


def _declaration(store: Store, segment: Statement, channel: str) -> Iterator[Statement]:
    """Find the event that declared the channel when a segment was signed."""
    rows = store.rows(
        "SELECT jws FROM statement WHERE epoch = ? AND kind = 'event' AND seq < ? ORDER BY seq DESC",
        (segment.payload["epoch"], segment.payload["seq"]),
    )
    for row in rows:
        event = parse(row["jws"])
        if event.payload["type"] == "config" and event.payload["data"]["channel"] == channel:
            yield event
            return


def _receipt(store: Store, sid: str) -> bytes | None:
    found = store.value("SELECT receipt FROM receipt WHERE sid = ?", (sid,))
    return None if found is None else str(found).encode("utf-8")
