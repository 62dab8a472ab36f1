"""Rows of the key registry and of nonces. Contains no policy."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from evidence.registry import KeyEntry, Registry
from webapp import store_plants
from webapp.models import RegistryKey, RequestNonce, ServerNonce


def find_row(session: Session, kid: str) -> RegistryKey | None:
    """Get a key, approved or not."""
    return session.get(RegistryKey, kid)


def find(session: Session, kid: str) -> KeyEntry | None:
    """Get an approved key as the registry states it."""
    row = session.get(RegistryKey, kid)
    return None if row is None or row.from_index is None else entry(row)


def entry(row: RegistryKey) -> KeyEntry:
    """Read a registry entry from its row."""
    return KeyEntry(
        kid=row.kid,
        jwk=row.jwk,
        owner_type=row.owner_type,
        owner_id=row.owner_id,
        roles=frozenset(row.roles),
        plants=frozenset(row.plants),
        region=row.region,
        custody=row.custody,
        from_index=row.from_index or 0,
        until_index=row.until_index,
        reason=row.reason,
        sm2=row.sm2,
    )


def save(session: Session, row: RegistryKey) -> None:
    """Write a key."""
    session.merge(row)
    session.flush()


def of_owner(session: Session, owner_id: str) -> list[RegistryKey]:
    """List the approved keys of an owner, newest first."""
    query = select(RegistryKey).where(RegistryKey.owner_id == owner_id, RegistryKey.from_index.is_not(None))
    return list(session.scalars(query.order_by(RegistryKey.from_index.desc())))


def newest_end(session: Session, kids: Iterable[str]) -> int:
    """Get the number of the entry that last ended one of these keys; -1 when none has ended."""
    query = select(func.max(RegistryKey.until_index)).where(RegistryKey.kid.in_(list(kids)))
    newest = session.scalar(query)
    return -1 if newest is None else newest


def registry(session: Session) -> Registry:
    """Read the whole registry."""
    rows = session.scalars(select(RegistryKey).where(RegistryKey.from_index.is_not(None)))
    plants = [store_plants.entry(plant) for plant in store_plants.list_all(session)]
    return Registry.of([entry(row) for row in rows], plants)


# --- nonces ----------------------------------------------------------------------------------------


def burn(session: Session, kid: str, nonce: str, expires_at: datetime) -> bool:
    """Use up a nonce of a signed request; says whether it was fresh."""
    values = {"kid": kid, "nonce": nonce, "expires_at": expires_at}
    # Two processes may burn the same nonce at once: the database decides, by one row or none.
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = sqlite.insert if is_sqlite else postgresql.insert
    statement = insert(RequestNonce).values(**values).on_conflict_do_nothing().returning(RequestNonce.nonce)
    return session.execute(statement).first() is not None


def forget_nonces(session: Session, before: datetime) -> None:
    """Delete nonces that expired."""
    session.execute(delete(RequestNonce).where(RequestNonce.expires_at < before))
    session.execute(delete(ServerNonce).where(ServerNonce.expires_at < before))


def give_nonce(session: Session, nonce: str, subject: str, expires_at: datetime) -> None:
    """Keep a nonce that was given to somebody."""
    session.add(ServerNonce(nonce=nonce, subject=subject, expires_at=expires_at))
    session.flush()


def take_nonce(session: Session, nonce: str, subject: str, now: datetime) -> bool:
    """Use up a nonce that was given; says whether it was good."""
    query = (
        update(ServerNonce)
        .where(
            ServerNonce.nonce == nonce,
            ServerNonce.subject == subject,
            ServerNonce.used_at.is_(None),
            ServerNonce.expires_at >= now,
        )
        .values(used_at=now)
        .returning(ServerNonce.nonce)
    )
    return session.execute(query).first() is not None
