"""Rows of time-stamps over checkpoints. Contains no policy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import CheckpointRow, CosignedCheckpoint, TimeStamp


def find(session: Session, size: int) -> TimeStamp | None:
    """Get the time-stamp of the checkpoint of a size."""
    return session.get(TimeStamp, size)


def add(session: Session, size: int, at: datetime, data: bytes) -> None:
    """Keep a time-stamp; the first one of a checkpoint stays."""
    if find(session, size) is None:
        session.add(TimeStamp(size=size, at=at, data=data))
        session.flush()


def first_over(session: Session, indexes: Iterable[int]) -> list[TimeStamp]:
    """List, for each entry, the first time-stamp whose checkpoint holds it; each once."""
    found: dict[int, TimeStamp] = {}
    for index in indexes:
        row = session.scalar(select(TimeStamp).where(TimeStamp.size > index).order_by(TimeStamp.size).limit(1))
        if row is not None:
            found[row.size] = row
    return [found[size] for size in sorted(found)]


def first_checkpoints_over(session: Session, indexes: Iterable[int]) -> dict[int, str]:
    """Give, for each entry, the first checkpoint that holds it, a cosigned one where there is any: text by size."""
    found: dict[int, str] = {}
    for index in indexes:
        for table in (CosignedCheckpoint, CheckpointRow):
            query = select(table.size, table.text).where(table.size > index).order_by(table.size).limit(1)
            row = session.execute(query).first()
            if row is not None:
                found[row.size] = row.text
                break
    return found


def checkpoint_texts(session: Session, sizes: Iterable[int]) -> dict[int, str]:
    """Give the checkpoints of some sizes."""
    rows = session.scalars(select(CheckpointRow).where(CheckpointRow.size.in_(list(sizes))))
    return {row.size: row.text for row in rows}
