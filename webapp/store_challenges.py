"""Rows of retention challenges and of the tiles they ask for. Contains no policy."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Challenge, ChallengeTile


def add(session: Session, row: Challenge) -> None:
    """Keep a challenge."""
    session.add(row)
    session.flush()


def find(session: Session, challenge: str) -> Challenge | None:
    """Get a challenge."""
    return session.get(Challenge, challenge)


def of_month(session: Session, plant: str, period: str) -> list[Challenge]:
    """List the challenges of a month, oldest first."""
    query = select(Challenge).where(Challenge.plant == plant, Challenge.period == period)
    return list(session.scalars(query.order_by(Challenge.made_at, Challenge.id)))


def unfixed_at(session: Session, plant: str) -> list[int]:
    """List the sizes of the log at which a plant's challenges without tiles were asked."""
    query = select(Challenge.asked).where(Challenge.plant == plant, Challenge.seed_size.is_(None))
    return list(session.scalars(query))


def unfixed(session: Session, plant: str) -> list[Challenge]:
    """List a plant's challenges without tiles, for this transaction alone."""
    query = select(Challenge).where(Challenge.plant == plant, Challenge.seed_size.is_(None))
    return list(session.scalars(query.order_by(Challenge.id).with_for_update()))


def add_tiles(session: Session, rows: Iterable[ChallengeTile]) -> None:
    """Keep which tiles a challenge asks for."""
    session.add_all(rows)
    session.flush()


def tiles_of(session: Session, challenge: str) -> list[ChallengeTile]:
    """List the tiles of a challenge in the order in which they were drawn."""
    query = select(ChallengeTile).where(ChallengeTile.challenge == challenge)
    return list(session.scalars(query.order_by(ChallengeTile.place)))


def waiting(session: Session, gw: str, epoch: int, tile: int) -> list[ChallengeTile]:
    """List where a tile is asked for and was not answered."""
    query = select(ChallengeTile).where(
        ChallengeTile.gw == gw,
        ChallengeTile.epoch == epoch,
        ChallengeTile.tile == tile,
        ChallengeTile.answered_at.is_(None),
    )
    return list(session.scalars(query))
