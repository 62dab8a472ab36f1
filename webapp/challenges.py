"""Retention challenges: asked of a signed month, fixed by the next checkpoint, asked through wants, judged.

Nothing here waits or runs by itself: a challenge is fixed when its gateway or a reader comes after the checkpoint, and
what it came to follows at any moment from the answers that are kept and the time. The first answer for a tile counts.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from accounting.period import month_of
from evidence.challenge import (
    Answer,
    Result,
    TileState,
    check_result,
    draw,
    least_size,
    result_of,
    seed_of,
    state_of,
    tile_count,
)
from evidence.errors import Code, EvidenceError
from evidence.note import parse_checkpoint
from evidence.statement import Statement, parse_envelope
from evidence.verify_month import Signed
from webapp import store_challenges, store_log, store_readings
from webapp.center import Center
from webapp.log import Log
from webapp.models import Challenge, ChallengeTile, LogEntry, Plant, TileWant
from webapp.settings import ChallengeSettings

RETENTION_YEARS = 5
"""Raw readings are kept so long unless a gateway's `restart` event says less."""
NOT_AN_ANSWER = frozenset({Code.NOT_LOGGED})
"""What says more of the centre than of the tile that a gateway sent."""


@dataclass(frozen=True)
class Standing:
    """A challenge as it stands at a moment: its tiles, each with its state (None: waiting), and what follows."""

    row: Challenge
    tiles: Sequence[tuple[ChallengeTile, TileState | None]]
    sid: str = ""
    """The inspector's statement that tells the result, once there is one."""

    @property
    def result(self) -> Result | None:
        """Passed or failed; None while it is open. One lost tile fails it before all are answered."""
        return result_of(state for _, state in self.tiles)

    @property
    def is_finished(self) -> bool:
        """Whether nothing can change any more."""
        return bool(self.tiles) and all(state is not None for _, state in self.tiles)

    def count(self, state: TileState | None) -> int:
        """Count the tiles in a state."""
        return sum(one is state for _, one in self.tiles)

    @property
    def lost(self) -> list[tuple[ChallengeTile, TileState]]:
        """The tiles that were not shown."""
        return [(tile, state) for tile, state in self.tiles if state is not None and state is not TileState.PROVEN]


def cover_of(month: Statement) -> list[Mapping[str, Any]]:
    """The parts of trees that a submission stands on; without a gateway there are none."""
    return list(month.payload.get("cover") or ())


def why_not(session: Session, plant: Plant, period: str, month: Statement, now: datetime, days: int) -> str:
    """Say why a month cannot be challenged now: `none` (no raw readings), `open` (one runs), `old`; else nothing."""
    if not tile_count(cover_of(month)):
        return "none"
    if any(not one.is_finished for one in standings(session, plant.id, period, now)):
        return "open"
    first = month_of(period, ZoneInfo(plant.zone)).start
    years = min(_retention_years(session, plant.id, part["gw"]) for part in cover_of(month))
    return "old" if first + timedelta(days=365 * years) < now + timedelta(days=days) else ""


def ask(
    session: Session, plant: str, period: str, month: str, settings: ChallengeSettings, person: str, now: datetime
) -> Challenge:
    """Record a request, with the size that the log has now."""
    row = Challenge(
        id=secrets.token_hex(16),
        plant=plant,
        period=period,
        month=month,
        asked=store_log.size_of(session),
        draws=settings.draws,
        days=settings.days,
        made_by=person,
        made_at=now,
        seed_size=None,
        seed="",
        due_at=None,
    )
    store_challenges.add(session, row)
    return row


def fix_due(center: Center, plant: str) -> None:
    """Draw and ask for the tiles of a plant's challenges whose checkpoint has been signed; writes only if there are."""
    with center.database.reading() as session:
        asked = store_challenges.unfixed_at(session, plant)
        is_due = any(center.log.shown_covering(session, size) for size in asked)
    if is_due:
        with center.database.writing() as session:
            _fix(session, center.log, plant, center.now())


def _fix(session: Session, log: Log, plant: str, now: datetime) -> None:
    for row in store_challenges.unfixed(session, plant):
        signed = log.shown_covering(session, row.asked)
        month = store_log.by_sid(session, row.month)
        if signed is None or month is None:
            continue
        cover = cover_of(parse_envelope(month.jws))
        drawn = draw(seed_of(parse_checkpoint(signed.text), log.vkey), row.month, cover, row.draws)
        row.seed_size, row.seed, row.due_at = signed.size, signed.text, now + timedelta(days=row.days)
        tiles = [
            ChallengeTile(
                challenge=row.id,
                place=place,
                plant=plant,
                gw=ref.gw,
                epoch=ref.epoch,
                tile=ref.tile,
                least_size=least_size(ref, cover),
                answered_at=None,
                code="",
                said={},
            )
            for place, ref in enumerate(drawn)
        ]
        store_challenges.add_tiles(session, tiles)
        for tile in tiles:
            store_readings.want(session, _want(tile, now))


def _want(tile: ChallengeTile, now: datetime) -> TileWant:
    return TileWant(
        id=secrets.token_hex(16),
        plant=tile.plant,
        gw=tile.gw,
        epoch=tile.epoch,
        tile=tile.tile,
        made_by="",
        made_at=now,
        answered_at=None,
    )


def hear_proof(session: Session, gw: str, epoch: int, tile: int, size: int, now: datetime) -> None:
    """Take in that a tile proved itself in a tree of a size.

    Raises:
        EvidenceError: ``INDEX_MISMATCH``: the tree is too small to hold all that the challenged month has of the tile.
    """
    for row in store_challenges.waiting(session, gw, epoch, tile):
        if size < row.least_size:
            raise EvidenceError(
                Code.INDEX_MISMATCH, f"tile {tile} was shown up to leaf {size}, the month reaches {row.least_size}"
            )
        row.answered_at = now


def hear_refusal(
    session: Session, gw: str, epoch: int, tile: int, code: str, said: Mapping[str, str], now: datetime
) -> None:
    """Take in that a tile was not shown: the gateway said so, or what it sent is not the tile."""
    for row in store_challenges.waiting(session, gw, epoch, tile):
        row.answered_at, row.code, row.said = now, code, dict(said)


def standings(session: Session, plant: str, period: str, now: datetime) -> list[Standing]:
    """List the challenges of a month as they stand, oldest first."""
    rows = store_challenges.of_month(session, plant, period)
    told = _told(store_log.period_entries(session, plant, period, ["inspect"])) if rows else {}
    return [
        Standing(row, _tiles(session, row, now), told.get((row.month, row.asked, row.seed_size), "")) for row in rows
    ]


def _tiles(session: Session, row: Challenge, now: datetime) -> list[tuple[ChallengeTile, TileState | None]]:
    if row.due_at is None:
        return []
    tiles = store_challenges.tiles_of(session, row.id)
    return [(tile, state_of(_answer(tile), row.due_at, now)) for tile in tiles]


def _answer(tile: ChallengeTile) -> Answer | None:
    return None if tile.answered_at is None else Answer(tile.answered_at, tile.code)


def _told(entries: Sequence[LogEntry]) -> dict[tuple[str, int, int | None], str]:
    told: dict[tuple[str, int, int | None], str] = {}
    for entry in entries:
        said = parse_envelope(entry.jws).payload.get("challenge")
        if said is not None:
            told[str(said["month"]), int(said["asked"]), parse_checkpoint(said["seed"]).size] = entry.sid
    return told


def stated(standing: Standing) -> dict[str, Any]:
    """Return a finished challenge as an `inspect` statement states it."""
    row = standing.row
    if not standing.is_finished:
        raise LookupError(f"challenge {row.id} is not finished")
    return {
        "month": row.month,
        "asked": row.asked,
        "seed": row.seed,
        "tiles": [
            {"gw": tile.gw, "epoch": tile.epoch, "tile": tile.tile, "state": str(state)}
            for tile, state in standing.tiles
        ],
        "result": str(standing.result),
    }


def failure(standing: Standing) -> str:
    """Say which tiles were not shown, as a verifier says it of an `inspect` statement; empty when none is lost yet."""
    states = [{"gw": one.gw, "epoch": one.epoch, "tile": one.tile, "state": state} for one, state in standing.tiles]
    try:
        check_result({"tiles": [one for one in states if one["state"] is not None], "result": standing.result})
    except EvidenceError as error:
        return error.detail
    return ""


def check_inspect(session: Session, signed: Signed, now: datetime) -> None:
    """Check that an inspector's statement is about logged statements of the plant, and its challenge as recorded.

    Raises:
        EvidenceError: ``NOT_LOGGED``, ``SUBJECT_SCOPE`` or ``CHALLENGE_FAIL``.
    """
    plant, payload = signed.statement.plant, signed.payload
    for sid in payload["subjects"]:
        row = store_log.by_sid(session, sid)
        if row is None:
            raise EvidenceError(Code.NOT_LOGGED, f"{sid[:12]} is not in the log")
        if row.plant != plant:
            raise EvidenceError(Code.SUBJECT_SCOPE, f"{sid[:12]} is of another plant")
    said = payload.get("challenge")
    if said is None:
        return
    month = store_log.by_sid(session, said["month"])
    period = "" if month is None else str(parse_envelope(month.jws).payload.get("period", ""))
    finished = [one for one in standings(session, plant, period, now) if one.is_finished]
    if not any(stated(one) == said for one in finished):
        raise EvidenceError(Code.CHALLENGE_FAIL, "the challenge is none that this centre asked and judged so")


def _retention_years(session: Session, plant: str, gw: str) -> int:
    """Return how many years a gateway keeps raw readings by its newest word."""
    for row in reversed(store_log.plant_entries(session, plant, kinds=["event"])):
        payload = parse_envelope(row.jws).payload
        if (payload["gw"], payload["type"]) == (gw, "restart"):
            said = payload["data"].get("retention")
            return int(said["years"]) if isinstance(said, dict) else RETENTION_YEARS
    return RETENTION_YEARS
