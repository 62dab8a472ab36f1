"""Raw readings behind a figure: asking the gateway for tiles, and taking only what proves itself.

A tile that only a challenge asked for is proven and not kept: raw readings stay at the plant until a person asks.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from evidence.code_words import CODE_WORDS
from evidence.encoding import parse_time
from evidence.errors import Code, EvidenceError
from evidence.statement import parse_envelope
from evidence.tile_proof import TileProof, verify_tile
from sync import RawSide, TileAnswer, TileRefusal
from webapp import challenges, store_log, store_readings
from webapp.models import TileAnswer as TileRow
from webapp.models import TileWant


def ask(session: Session, plant: str, gw: str, epoch: int, tile: int, person: str, now: datetime) -> None:
    """Ask a gateway for a tile, unless it was asked or has answered."""
    if store_readings.answers_of(session, gw, epoch, tile, tile):
        return
    store_readings.give_to(session, gw, epoch, tile, person)
    row = TileWant(id=secrets.token_hex(16), plant=plant, gw=gw, epoch=epoch, tile=tile, made_by=person, made_at=now)
    store_readings.want(session, row)


def take(session: Session, gw: str, plant: str, answer: TileAnswer, now: datetime) -> None:
    """Check a gateway's answer against the root of a logged segment, and keep it.

    Raises:
        EvidenceError: ``NOT_LOGGED``, ``INDEX_MISMATCH``, ``ENCODING`` or what the proof fails with.
    """
    want = store_readings.find_want(session, answer.id)
    if want is None or want.gw != gw:
        raise EvidenceError(Code.NOT_LOGGED, "nobody asked for this tile")
    if (want.epoch, want.tile) != (answer.epoch, answer.tile):
        raise EvidenceError(Code.INDEX_MISMATCH, f"tile {want.tile} of epoch {want.epoch} was asked for, not this one")
    segment = store_log.segment_ending_at(session, gw, answer.epoch, answer.size)
    if segment is None:
        raise EvidenceError(Code.NOT_LOGGED, f"no logged segment ends at reading {answer.size}")
    try:
        salt, path = bytes.fromhex(answer.tile_salt), tuple(bytes.fromhex(text) for text in answer.path)
    except ValueError as error:
        raise EvidenceError(Code.ENCODING, "tile_salt and path are hexadecimal") from error
    if answer.raw and len(answer.raw) != len(answer.lines):
        raise EvidenceError(Code.INDEX_MISMATCH, "raw has another number of lines than the tile")
    proof = TileProof(answer.tile, answer.size, salt, answer.lines, path, answer.raw)
    verify_tile(proof, bytes.fromhex(parse_envelope(segment.jws).payload["tree"]["root"]))
    challenges.hear_proof(session, gw, answer.epoch, answer.tile, answer.size, now)
    if not want.made_by:
        store_readings.forget_refusal(session, want)
        store_readings.close_want(session, want, now)
        return
    row = TileRow(
        gw=gw,
        epoch=answer.epoch,
        tile=answer.tile,
        plant=plant,
        size=answer.size,
        tile_salt=answer.tile_salt,
        lines=list(answer.lines),
        path=list(answer.path),
        raw=list(answer.raw),
        segment_sid=segment.sid,
        received_at=now,
    )
    store_readings.keep_answer(session, row, now)


def note_wrong(session: Session, gw: str, answer: TileAnswer, error: EvidenceError, now: datetime) -> None:
    """Note that a gateway answered a challenge with what is not the tile; a proof that fails is an answer, too."""
    want = store_readings.find_want(session, answer.id)
    if want is None or want.gw != gw or error.code in challenges.NOT_AN_ANSWER:
        return
    said = {"zh": CODE_WORDS[error.code][0], "en": CODE_WORDS[error.code][1]}
    challenges.hear_refusal(session, gw, want.epoch, want.tile, error.code.value, said, now)


def refuse(session: Session, gw: str, plant: str, refusal: TileRefusal, now: datetime) -> None:
    """Keep that a gateway cannot show a tile; it may be asked again, and a tile proven before stays.

    Raises:
        EvidenceError: ``NOT_LOGGED``: nobody asked for it.
    """
    want = store_readings.find_want(session, refusal.id)
    if want is None or (want.gw, want.epoch, want.tile) != (gw, refusal.epoch, refusal.tile):
        raise EvidenceError(Code.NOT_LOGGED, "nobody asked for this tile")
    said = {"code": refusal.code[:40], "zh": refusal.zh[:300], "en": refusal.en[:300]}
    challenges.hear_refusal(session, gw, refusal.epoch, refusal.tile, said["code"], said, now)
    if store_readings.answers_of(session, gw, refusal.epoch, refusal.tile, refusal.tile):
        store_readings.close_want(session, want, now)
        return
    row = TileRow(
        gw=gw,
        epoch=refusal.epoch,
        tile=refusal.tile,
        plant=plant,
        size=0,
        tile_salt="",
        lines=[],
        path=[],
        raw=[said],
        segment_sid="",
        received_at=now,
    )
    store_readings.keep_answer(session, row, now)


def refusal_of(row: TileRow, lang: str) -> str:
    """Say in a language why a gateway could not show a tile."""
    said: Mapping[str, str] = row.raw[0]
    return f"{said['code']}: {said['zh' if lang == 'zh' else 'en']}"


def salt_of(answer: TileRow) -> bytes:
    """The tile's salt."""
    return bytes.fromhex(answer.tile_salt)


def proof_of(answer: TileRow) -> TileProof:
    """The proof as it was kept."""
    path = tuple(bytes.fromhex(text) for text in answer.path)
    return TileProof(answer.tile, answer.size, salt_of(answer), tuple(answer.lines), path, tuple(map(str, answer.raw)))


def raw_side(answer: TileRow, offset: int) -> Mapping[str, Any]:
    """What came over the wire beside one reading of a tile; empty when the gateway kept nothing."""
    if offset >= len(answer.raw):
        return {}
    side = RawSide.from_text(str(answer.raw[offset]))
    try:
        received = None if side.received is None else parse_time(side.received)
    except EvidenceError:
        received = None
    return {
        "raw": side.raw,
        "reason": side.reason or "",
        "device_time": side.device_time or "",
        "received": received,
        "imported": side.imported,
    }
