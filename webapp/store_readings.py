"""Rows of live values and of raw tiles fetched from gateways. Contains no policy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from webapp.models import LiveSample, TileAnswer, TileWant


def add_live(session: Session, samples: Iterable[LiveSample]) -> None:
    """Keep live values; one that is there already is replaced."""
    for sample in samples:
        session.merge(sample)
    session.flush()


def forget_live(session: Session, before: datetime) -> None:
    """Delete old live values."""
    session.execute(delete(LiveSample).where(LiveSample.time < before))


def latest(session: Session, plant: str) -> list[LiveSample]:
    """List the newest live value of each channel."""
    newest = (
        select(LiveSample.channel, func.max(LiveSample.time).label("time"))
        .where(LiveSample.plant == plant)
        .group_by(LiveSample.channel)
        .subquery()
    )
    query = (
        select(LiveSample)
        .join(newest, (newest.c.channel == LiveSample.channel) & (newest.c.time == LiveSample.time))
        .where(LiveSample.plant == plant)
        .order_by(LiveSample.channel)
    )
    return list(session.scalars(query))


class LiveValue(NamedTuple):
    """One live value of a channel, as a chart needs it: there may be thousands."""

    time: datetime
    value: str | None
    unit: str
    flag: str


def series(session: Session, plant: str, channel: str, since: datetime) -> list[LiveValue]:
    """List a channel's live values since a time."""
    query = select(LiveSample.time, LiveSample.value, LiveSample.unit, LiveSample.flag).where(
        LiveSample.plant == plant, LiveSample.channel == channel, LiveSample.time >= since
    )
    return [LiveValue(*row) for row in session.execute(query.order_by(LiveSample.time))]


# --- raw tiles -------------------------------------------------------------------------------------


def want(session: Session, row: TileWant) -> None:
    """Ask a gateway for a raw tile; one it was asked for before is asked for again."""
    query = select(TileWant).where(TileWant.gw == row.gw, TileWant.epoch == row.epoch, TileWant.tile == row.tile)
    known = session.scalar(query)
    if known is None:
        session.add(row)
    else:
        known.answered_at = None
    session.flush()


def open_wants(session: Session, gw: str, limit: int) -> list[TileWant]:
    """List the tiles a gateway was asked for and did not answer yet, those of people first."""
    query = select(TileWant).where(TileWant.gw == gw, TileWant.answered_at.is_(None))
    # Somebody waits for what a person asked for; a challenge has days.
    return list(session.scalars(query.order_by(TileWant.made_by == "", TileWant.made_at).limit(limit)))


def give_to(session: Session, gw: str, epoch: int, tile: int, person: str) -> None:
    """Note that a person wants a tile that nobody but a challenge asked for."""
    session.execute(
        update(TileWant)
        .where(TileWant.gw == gw, TileWant.epoch == epoch, TileWant.tile == tile, TileWant.made_by == "")
        .values(made_by=person)
    )


def close_want(session: Session, row: TileWant, at: datetime) -> None:
    """Note that a want was answered, without keeping the answer."""
    row.answered_at = at
    session.flush()


def forget_refusal(session: Session, row: TileWant) -> None:
    """Forget that a gateway could not show a tile which it has shown since."""
    of_tile = (TileAnswer.gw == row.gw, TileAnswer.epoch == row.epoch, TileAnswer.tile == row.tile)
    session.execute(delete(TileAnswer).where(*of_tile, TileAnswer.size == 0))


def find_want(session: Session, want_id: str) -> TileWant | None:
    """Get a want."""
    return session.get(TileWant, want_id)


def wants_of(session: Session, gw: str, epoch: int, first: int, last: int) -> list[TileWant]:
    """List what was asked for among these tiles."""
    query = select(TileWant).where(
        TileWant.gw == gw, TileWant.epoch == epoch, TileWant.tile >= first, TileWant.tile <= last
    )
    return list(session.scalars(query.order_by(TileWant.tile)))


def keep_answer(session: Session, answer: TileAnswer, at: datetime) -> None:
    """Keep a proven tile and close what asked for it."""
    session.merge(answer)
    session.execute(
        update(TileWant)
        .where(TileWant.gw == answer.gw, TileWant.epoch == answer.epoch, TileWant.tile == answer.tile)
        .values(answered_at=at)
    )
    session.flush()


def answers_of(session: Session, gw: str, epoch: int, first: int, last: int) -> list[TileAnswer]:
    """List the proven tiles in a range."""
    return [row for row in _said_of(session, gw, epoch, first, last) if row.size]


def answer_count(session: Session, plant: str) -> int:
    """Count what a plant's gateways answered for their tiles."""
    return session.scalar(select(func.count()).select_from(TileAnswer).where(TileAnswer.plant == plant)) or 0


def refusals_of(session: Session, gw: str, epoch: int, first: int, last: int) -> list[TileAnswer]:
    """List the tiles in a range that the gateway said it cannot show; such a row has size 0 and no lines."""
    return [row for row in _said_of(session, gw, epoch, first, last) if not row.size]


def _said_of(session: Session, gw: str, epoch: int, first: int, last: int) -> list[TileAnswer]:
    query = select(TileAnswer).where(
        TileAnswer.gw == gw, TileAnswer.epoch == epoch, TileAnswer.tile >= first, TileAnswer.tile <= last
    )
    return list(session.scalars(query.order_by(TileAnswer.tile)))
