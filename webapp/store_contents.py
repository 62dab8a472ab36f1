"""Rows of contents: files named by their digest. Contains no policy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from evidence.encoding import sha256_hex
from webapp.models import Content, ContentUse


def add(session: Session, plant: str, name: str, type_: str, data: bytes, at: datetime) -> str:
    """Keep a content for a plant; adding it again changes nothing. Gives its digest."""
    sha256 = sha256_hex(data)
    if session.get(Content, sha256, options=[defer(Content.data)]) is None:
        session.add(Content(sha256=sha256, size=len(data), type=type_, data=data, added_at=at))
        session.flush()
    if session.get(ContentUse, (plant, sha256)) is None:
        session.add(ContentUse(plant=plant, sha256=sha256, name=name[:200]))
        session.flush()
    return sha256


def data(session: Session, plant: str, sha256: str) -> bytes | None:
    """Get the bytes of a content that this plant may read."""
    row = find(session, plant, sha256)
    return None if row is None else row.data


def find(session: Session, plant: str, sha256: str) -> Content | None:
    """Get a content that this plant may read."""
    query = (
        select(Content)
        .join(ContentUse, ContentUse.sha256 == Content.sha256)
        .where(ContentUse.plant == plant, Content.sha256 == sha256)
    )
    return session.scalar(query)


def subject(session: Session, plant: str, sha256: str) -> dict[str, object] | None:
    """Describe a content as statements list it: name, size, digest, type."""
    query = (
        select(ContentUse.name, Content.size, Content.type)
        .join(Content, Content.sha256 == ContentUse.sha256)
        .where(ContentUse.plant == plant, Content.sha256 == sha256)
    )
    row = session.execute(query).first()
    return None if row is None else {"name": row.name, "size": row.size, "sha256": sha256, "type": row.type}


def missing(session: Session, plant: str, digests: Iterable[str]) -> list[str]:
    """Say which of these contents the plant does not have."""
    wanted = sorted(set(digests))
    query = select(ContentUse.sha256).where(ContentUse.plant == plant, ContentUse.sha256.in_(wanted))
    have = set(session.scalars(query))
    return [sha256 for sha256 in wanted if sha256 not in have]


def sizes(session: Session, digests: Iterable[str]) -> dict[str, int]:
    """Get the sizes of contents."""
    query = select(Content.sha256, Content.size).where(Content.sha256.in_(sorted(set(digests))))
    return {row.sha256: row.size for row in session.execute(query)}
