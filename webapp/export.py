"""The bundle of a month (`.evb`): everything an inspector needs to check it without this site.

Receipts are against the newest checkpoint, so all of them lead to one root. The same log gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from evidence.bundle import Bundle, write_bundle
from evidence.disclosure import Disclosure
from evidence.encoding import strict_json
from evidence.errors import EvidenceError
from evidence.merkle import leaf_hash
from evidence.reading import leaf_line
from evidence.statement import parse_envelope
from evidence.tile_proof import reading_path, verify_tile
from evidence.tiles import TILE_WIDTH
from evidence.trust import Trust
from webapp import month_files, month_statements, store_contents, store_log, store_readings, tile_wants, trust_file
from webapp.center import Center
from webapp.models import LogEntry, TileAnswer

MAX_DISCLOSED = 5000
"""Readings shown in one bundle; a bundle holds at most 20,000 files."""


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
        payloads = {entry.sid: parse_envelope(entry.jws).payload for entry in rows}
        return write_bundle(
            Bundle(
                statements={entry.sid: entry.jws.encode("ascii") for entry in rows},
                proofs={
                    entry.sid: receipt.to_text().encode("utf-8") for entry, receipt in zip(rows, receipts, strict=True)
                },
                content=_contents(session, plant, list(payloads.values())),
                readings=_readings(session, rows, payloads, cover),
            )
        )


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


def _readings(
    session: Session,
    rows: Iterable[LogEntry],
    payloads: Mapping[str, Mapping[str, Any]],
    cover: Iterable[Mapping[str, Any]],
) -> dict[str, bytes]:
    """Disclose the readings of every proven tile, as far as their segment is in the bundle."""
    segments = {row.sid for row in rows if row.kind == "segment"}
    disclosed: dict[str, bytes] = {}
    for part in cover:
        first, last = part["start"] // TILE_WIDTH, max(part["end"] - 1, 0) // TILE_WIDTH
        for answer in store_readings.answers_of(session, part["gw"], part["epoch"], first, last):
            if answer.segment_sid in segments:
                for one in _disclosures(answer, payloads[answer.segment_sid]):
                    if len(disclosed) < MAX_DISCLOSED:
                        disclosed.setdefault(one.name, one.to_bytes())
    return disclosed


def _disclosures(answer: TileAnswer, segment: Mapping[str, Any]) -> list[Disclosure]:
    proof = tile_wants.proof_of(answer)
    try:
        leaves = verify_tile(proof, bytes.fromhex(segment["tree"]["root"]))
    except EvidenceError:
        return []
    lines = [leaf_line(leaf, proof.salt) for leaf in leaves]
    hashes = [leaf_hash(line) for line in lines]
    return [
        Disclosure(
            answer.gw,
            answer.epoch,
            answer.segment_sid,
            line.decode("utf-8"),
            leaf.index,
            proof.size,
            tuple(reading_path(hashes, leaf.index % TILE_WIDTH, proof.path)),
        )
        for leaf, line in zip(leaves, lines, strict=True)
        if segment["tree"]["start"] <= leaf.index < segment["tree"]["end"]
    ]
