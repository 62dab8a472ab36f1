"""The raw readings of one hour: which tiles are here, which are on their way, and what the proof says.

A tile that is here was proven on arrival; it is proven again for the screen, against the root in the logged
segment, and the hour's readings are counted again from its leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from evidence.channel import ChannelKind
from evidence.errors import EvidenceError
from evidence.reading import Leaf
from evidence.segment import hour_of_leaf
from evidence.statement import parse_envelope
from evidence.tile_proof import verify_tile
from evidence.tiles import TILE_WIDTH
from webapp import store_log, store_readings, tile_wants
from webapp.models import Plant, TileAnswer
from webapp.views.channel_hours import ChannelHour, SegmentRef

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


def page(db: Session, plant: Plant, hour: ChannelHour, channel: str, kind: ChannelKind | None) -> dict[str, Any]:
    """Return what the fragment of raw readings needs."""
    rows: list[ReadingRow] = []
    waiting = absent = checked = 0
    failure = ""
    for segment in hour.segments:
        tiles = segment.tiles
        answers = store_readings.answers_of(db, segment.gw, segment.epoch, tiles.start, tiles.stop - 1)
        wants = store_readings.wants_of(db, segment.gw, segment.epoch, tiles.start, tiles.stop - 1)
        here = {answer.tile for answer in answers}
        asked = {want.tile for want in wants} - here
        waiting += len(asked)
        absent += len(set(tiles) - here - asked)
        for answer in answers:
            try:
                leaves = _prove(db, answer)
            except EvidenceError as error:
                failure = f"{error.code}: {error.detail}"
                continue
            checked += 1
            rows += _rows(leaves, answer, segment, hour, channel, kind, ZoneInfo(plant.zone))
    rows.sort(key=lambda row: (row.time, row.index))
    words, tag = _verdict(rows, hour, failure, is_complete=not (waiting or absent))
    return {
        "rows": rows,
        "waiting": waiting,
        "absent": min(absent, MAX_TILES),
        "checked": checked or bool(failure),
        "verdict_words": words,
        "verdict_kind": tag,
    }


def ask(db: Session, plant: str, hour: ChannelHour, person: str, now: datetime) -> None:
    """Ask for the tiles of an hour that are not here yet."""
    left = MAX_TILES
    for segment in hour.segments:
        for tile in list(segment.tiles)[:left]:
            tile_wants.ask(db, plant, segment.gw, segment.epoch, tile, person, now)
            left -= 1


def _prove(db: Session, answer: TileAnswer) -> list[Leaf]:
    entry = store_log.by_sid(db, answer.segment_sid)
    root = "" if entry is None else str(parse_envelope(entry.jws).payload["tree"]["root"])
    return verify_tile(tile_wants.proof_of(answer), bytes.fromhex(root))


def _rows(
    leaves: Iterable[Leaf],
    answer: TileAnswer,
    segment: SegmentRef,
    hour: ChannelHour,
    channel: str,
    kind: ChannelKind | None,
    zone: ZoneInfo,
) -> Iterable[ReadingRow]:
    for leaf in leaves:
        if leaf.channel != channel or not segment.start <= leaf.index < segment.end:
            continue
        if hour_of_leaf(leaf, kind or ChannelKind.VALUE, zone) != hour.start:
            continue
        side = tile_wants.raw_side(answer, leaf.index % TILE_WIDTH)
        yield ReadingRow(
            index=leaf.index,
            time=leaf.time,
            value=leaf.value,
            flag=leaf.flag.value,
            segment_sid=segment.sid,
            **_side(side),
        )


def _side(side: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "reason": str(side.get("reason", "")),
        "raw": str(side.get("raw", "")),
        "device_time": str(side.get("device_time", "")),
        "received": side.get("received"),
        "imported": bool(side.get("imported", False)),
    }


def _verdict(rows: list[ReadingRow], hour: ChannelHour, failure: str, *, is_complete: bool) -> tuple[str, str]:
    if failure:
        return _("not proven: %(why)s", why=failure), "bad"
    if not is_complete:
        return _("the tiles that are here are proven; some are missing"), "warn"
    valid = sum(1 for row in rows if row.flag == "N" and row.value is not None)
    if (len(rows), valid) != (hour.n, hour.valid):
        counted = _("%(valid)s of %(all)s accepted", valid=valid, all=len(rows))
        return _("proven, but the counts differ from the segment: %(counted)s", counted=counted), "bad"
    return _("all readings proven against the signed root; counts agree with the segment"), "good"
