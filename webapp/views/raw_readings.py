"""The raw readings of one hour: which tiles are here, which are on their way, and what the proof says.

A tile that is here was proven on arrival; it is proven again for the screen, against the root in the logged
segment. Once all readings of a segment's entry are here, its figures are computed again from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import get_locale
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from evidence.channel import ChannelKind
from evidence.errors import Code, EvidenceError
from evidence.reading import Leaf
from evidence.segment import entry_agrees, hour_of_leaf
from evidence.statement import parse_envelope
from evidence.tile_proof import verify_tile
from evidence.tiles import TILE_WIDTH
from webapp import store_log, store_readings, tile_wants
from webapp.models import Plant, TileAnswer
from webapp.views.channel_hours import ChannelHour, SegmentRef
from webapp.views.declared_channel import Declared, declared_for

MAX_TILES = 64
"""Raw tiles one click may ask for: 16,384 readings."""


@dataclass(frozen=True)
class ReadingRow:
    """One reading as the screen shows it."""

    index: int
    time: datetime
    value: Decimal | None
    flag: str
    reason: str
    raw: str
    device_time: str
    received: datetime | None
    imported: bool
    segment_sid: str


@dataclass(frozen=True)
class Tiles:
    """The tiles of one segment: proven ones by their leaves, those on their way, those nobody asked for."""

    answers: list[TileAnswer]
    waiting: set[int]
    absent: set[int]
    refused: str = ""
    """Why the gateway cannot show one of the absent ones."""


def page(db: Session, plant: Plant, hour: ChannelHour, channel: str) -> dict[str, Any]:
    """Return what the fragment of raw readings needs."""
    rows: list[ReadingRow] = []
    waiting = absent = checked = 0
    failure = ""
    differing: list[SegmentRef] = []
    for segment in hour.segments:
        tiles = _tiles(db, segment)
        waiting += len(tiles.waiting)
        absent += len(tiles.absent)
        failure = failure or tiles.refused
        declared = declared_for(db, segment, channel)
        found: list[Leaf] = []
        for answer in tiles.answers:
            try:
                leaves = _prove(db, answer)
            except EvidenceError as error:
                failure = f"{error.code}: {error.detail}"
                continue
            checked += 1
            ours = _of_entry(leaves, segment, hour, channel, declared, ZoneInfo(plant.zone))
            found += ours
            rows += [_row(leaf, answer, segment) for leaf in ours]
        if not (tiles.waiting or tiles.absent or failure) and not _agrees(segment, found, declared):
            differing.append(segment)
    rows.sort(key=lambda row: (row.time, row.index))
    words, tag = _verdict(failure, differing, is_complete=not (waiting or absent))
    return {
        "rows": rows,
        "waiting": waiting,
        "absent": min(absent, MAX_TILES),
        "checked": checked or bool(failure),
        "verdict_words": words,
        "verdict_kind": tag,
    }


def ask(db: Session, plant: str, hour: ChannelHour, person: str, now: datetime) -> None:
    """Ask for tiles of an hour that are not here and not on their way; the next click asks for the next ones."""
    left = MAX_TILES
    for segment in hour.segments:
        for tile in sorted(_tiles(db, segment).absent)[:left]:
            tile_wants.ask(db, plant, segment.gw, segment.epoch, tile, person, now)
            left -= 1


def _tiles(db: Session, segment: SegmentRef) -> Tiles:
    tiles = segment.tiles
    answers = store_readings.answers_of(db, segment.gw, segment.epoch, tiles.start, tiles.stop - 1)
    wants = store_readings.wants_of(db, segment.gw, segment.epoch, tiles.start, tiles.stop - 1)
    here = {answer.tile for answer in answers}
    asked = {want.tile for want in wants if want.answered_at is None} - here
    said = [
        tile_wants.refusal_of(row, str(get_locale())[:2])
        for row in store_readings.refusals_of(db, segment.gw, segment.epoch, tiles.start, tiles.stop - 1)
        if row.tile not in asked
    ]
    return Tiles(answers, asked, set(tiles) - here - asked, said[0] if said else "")


def _prove(db: Session, answer: TileAnswer) -> list[Leaf]:
    entry = store_log.by_sid(db, answer.segment_sid)
    root = "" if entry is None else str(parse_envelope(entry.jws).payload["tree"]["root"])
    return verify_tile(tile_wants.proof_of(answer), bytes.fromhex(root))


def _of_entry(
    leaves: Iterable[Leaf],
    segment: SegmentRef,
    hour: ChannelHour,
    channel: str,
    declared: Declared | None,
    zone: ZoneInfo,
) -> list[Leaf]:
    """Pick the leaves that a segment's entry of the channel and hour stands on."""
    kind = declared.channel.kind if declared is not None else ChannelKind.VALUE
    return [
        leaf
        for leaf in leaves
        if leaf.channel == channel
        and segment.start <= leaf.index < segment.end
        and hour_of_leaf(leaf, kind, zone) == hour.start
    ]


def _agrees(segment: SegmentRef, leaves: list[Leaf], declared: Declared | None) -> bool:
    if declared is None:
        return False
    return entry_agrees(segment.entry, sorted(leaves, key=lambda leaf: leaf.index), declared.channel)


def _row(leaf: Leaf, answer: TileAnswer, segment: SegmentRef) -> ReadingRow:
    return ReadingRow(
        index=leaf.index,
        time=leaf.time,
        value=leaf.value,
        flag=leaf.flag.value,
        segment_sid=segment.sid,
        **_side(tile_wants.raw_side(answer, leaf.index % TILE_WIDTH)),
    )


def _side(side: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "reason": str(side.get("reason", "")),
        "raw": str(side.get("raw", "")),
        "device_time": str(side.get("device_time", "")),
        "received": side.get("received"),
        "imported": bool(side.get("imported", False)),
    }


def _verdict(failure: str, differing: list[SegmentRef], *, is_complete: bool) -> tuple[str, str]:
    if failure:
        return _("not proven: %(why)s", why=failure), "bad"
    if differing:
        numbers = ", ".join(str(segment.seq) for segment in differing)
        said = _("proven, but the signed figures do not follow from the readings: segment no. %(numbers)s")
        return f"{said % {'numbers': numbers}} [{Code.AGGREGATE_MISMATCH}]", "bad"
    if not is_complete:
        return _("the tiles that are here are proven; some are missing"), "warn"
    return _("all readings proven against the signed root; counts and sums computed again from them agree"), "good"
