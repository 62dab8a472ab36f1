"""The bundle of a month (`.evb`): everything an inspector needs to check it without this site.

Receipts are against the newest checkpoint, so all of them lead to one root. The same log gives the same bytes.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from evidence.bundle import MAX_FILES, Bundle, BundleWriter
from evidence.encoding import strict_json
from evidence.statement import parse_envelope
from evidence.tile_file import TileFile
from evidence.tiles import TILE_WIDTH
from evidence.trust import Trust
from webapp import (
    month_files,
    month_statements,
    second_signatures,
    store_contents,
    store_log,
    store_plants,
    store_readings,
    tile_wants,
    trust_file,
)
from webapp.center import Center
from webapp.export_times import time_files
from webapp.models import LogEntry

TILES_AT_ONCE = 64
"""Raw tiles that are fetched from the database together: a month may have ten thousand."""


def trust(center: Center) -> Trust:
    """The trust file as of now."""
    with center.database.reading() as session:
        return trust_file.trust_of(center, session)


def month_bundle(center: Center, plant: str, period: str) -> bytes | None:
    """Pack the newest submission of a month; None when nothing was submitted."""
    with center.database.reading() as session:
        submitted = month_files.month_file(session, plant, period).submitted
        row = None if submitted is None else store_log.by_sid(session, submitted.sid)
        if submitted is None or row is None:
            return None
        cover = submitted.payload.get("cover") or _draft_cover(session, plant, submitted.payload["subjects"])
        rows = month_statements.bundle_entries(session, plant, period, row, cover)
        receipts = center.log.fresh_receipts(session, [entry.idx for entry in rows])
        times = time_files(session, [entry.idx for entry in rows])
        payloads = {entry.sid: parse_envelope(entry.jws).payload for entry in rows}
        statements = {entry.sid: entry.jws.encode("ascii") for entry in rows}
        proofs = {
            entry.sid: receipt.to_text().encode("utf-8")
            for entry, receipt in zip(rows, receipts, strict=True)
            if receipt is not None
        }
        contents = _contents(session, plant, list(payloads.values()))
        second = _second(session, plant, rows)
        files = Bundle(
            statements, proofs, contents, sm2=second, checkpoints=times.checkpoints, stamps=times.stamps
        ).files()
        out = io.BytesIO()
        writer = BundleWriter(out)
        for name, data in files.items():
            writer.add(name, data)
        segments = {sid for sid, payload in payloads.items() if payload["kind"] == "segment"}
        room = MAX_FILES - 1 - len(files)
        for tile in itertools.islice(_tiles(session, segments, cover), room):
            writer.add(f"tiles/{tile.name}.json", tile.to_bytes())
        writer.close()
        return out.getvalue()


def _second(session: Session, plant: str, rows: Sequence[LogEntry]) -> dict[str, bytes]:
    """The second signatures that the plant's policy asks for; others would be refused in a bundle."""
    known = store_plants.find(session, plant)
    since = None if known is None else known.sm2_from
    return {} if since is None else second_signatures.of_statements(session, [r.sid for r in rows if r.idx >= since])


def _draft_cover(session: Session, plant: str, subjects: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    body = store_contents.data(session, plant, next(iter(subjects))["sha256"])
    return [] if body is None else list(strict_json(body)["cover"])


def _contents(session: Session, plant: str, payloads: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    listed = {
        subject["sha256"]
        for payload in payloads
        for subject in payload.get("subjects", ())
        if isinstance(subject, dict)
    }
    listed |= {payload["report"] for payload in payloads if payload["kind"] == "review"}
    found = {sha256: store_contents.data(session, plant, sha256) for sha256 in sorted(listed)}
    return {sha256: data for sha256, data in found.items() if data is not None}


def _tiles(session: Session, segments: Collection[str], cover: Iterable[Mapping[str, Any]]) -> Iterator[TileFile]:
    """Give every raw tile of the month that was fetched, as far as the segment that proves it is in the bundle."""
    for part in cover:
        first, last = part["start"] // TILE_WIDTH, max(part["end"] - 1, 0) // TILE_WIDTH
        for start in range(first, last + 1, TILES_AT_ONCE):
            end = min(start + TILES_AT_ONCE - 1, last)
            for answer in store_readings.answers_of(session, part["gw"], part["epoch"], start, end):
                if answer.segment_sid in segments:
                    yield TileFile(answer.segment_sid, tile_wants.proof_of(answer))
