"""Rows of people's accounts and of what they did. Contains no policy."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.accounts import Account
from webapp.models import Act, User


def find(session: Session, name: str) -> Account | None:
    """Get an account by name."""
    row = session.get(User, name)
    return None if row is None else Account.of(row)


def load_session(session: Session, session_id: str) -> Account | None:
    """Get the account of a session cookie, unless it was disabled or its sessions were ended."""
    name, _, generation = session_id.rpartition(":")
    account = find(session, name)
    if account is None or not account.enabled or str(account.session_generation) != generation:
        return None
    return account


def password_hash(session: Session, name: str) -> str | None:
    """Get the password hash of an enabled account."""
    return session.scalar(select(User.password_hash).where(User.name == name, User.enabled))


def list_all(session: Session) -> list[Account]:
    """List all accounts by name."""
    return [Account.of(row) for row in session.scalars(select(User).order_by(User.name))]


def add(session: Session, user: User) -> None:
    """Add an account."""
    session.add(user)
    session.flush()


def set_password(session: Session, name: str, password_hash: str) -> None:
    """Change a password and end all sessions of the account."""
    row = session.get_one(User, name)
    row.password_hash = password_hash
    row.session_generation += 1


def end_sessions(session: Session, name: str) -> None:
    """End all sessions of an account."""
    session.get_one(User, name).session_generation += 1


def set_key(session: Session, name: str, kid: str) -> None:
    """Note the account's newest key and use up one enrolment."""
    row = session.get_one(User, name)
    row.kid = kid
    row.enrolments_left -= 1


def allow_enrolment(session: Session, name: str) -> None:
    """Let the person enrol one more browser key."""
    session.get_one(User, name).enrolments_left += 1


def note_login(session: Session, name: str, at: datetime) -> None:
    """Remember the time of the last login."""
    session.get_one(User, name).last_login_at = at


def note_act(
    session: Session,
    *,
    at: datetime,
    actor: str,
    action: str,
    object_: str,
    plant: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write down who did what."""
    session.add(Act(at=at, actor=actor, action=action, object=object_, plant=plant, details=dict(details or {})))
