"""Rows of drafts and of where months stand. Contains no policy."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Draft, MonthState, Plant


def find_draft(session: Session, plant: str, period: str) -> Draft | None:
    """Get the newest draft of a month."""
    return session.get(Draft, (plant, period))


def save_draft(session: Session, draft: Draft) -> None:
    """Write the draft of a month."""
    session.merge(draft)
    session.flush()


def save_state(session: Session, state: MonthState) -> None:
    """Write where a month stands."""
    session.merge(state)
    session.flush()


def states(session: Session, plant: str) -> dict[str, MonthState]:
    """Get where the months of a plant stand, by period."""
    return {row.period: row for row in session.scalars(select(MonthState).where(MonthState.plant == plant))}


def queue(session: Session, region: str, statuses: Sequence[str]) -> list[tuple[Plant, MonthState]]:
    """List the months of a region that stand at one of these, oldest first."""
    query = (
        select(Plant, MonthState)
        .join(MonthState, MonthState.plant == Plant.id)
        .where(Plant.region.startswith(region, autoescape=True), MonthState.status.in_(statuses))
        .order_by(MonthState.period, Plant.id)
    )
    return [(row[0], row[1]) for row in session.execute(query)]
