"""Rows of failed logins. Contains no policy."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from webapp.models import LoginFailure

MAX_NAME = 64


def note_failure(session: Session, account: str, address: str, at: datetime) -> None:
    """Write down a failed login."""
    session.add(LoginFailure(at=at, account=account[:MAX_NAME], address=address[:MAX_NAME]))
    session.flush()


def count_of_account(session: Session, account: str, since: datetime) -> int:
    """Count the failed logins under a name, whether there is such an account or not."""
    query = select(func.count()).where(LoginFailure.account == account[:MAX_NAME], LoginFailure.at >= since)
    return session.scalar(query) or 0


def count_of_address(session: Session, address: str, since: datetime) -> int:
    """Count the failed logins from an address."""
    query = select(func.count()).where(LoginFailure.address == address[:MAX_NAME], LoginFailure.at >= since)
    return session.scalar(query) or 0


def forget_account(session: Session, account: str) -> None:
    """Forget the failures of an account whose owner has come in, or got a new password."""
    session.execute(delete(LoginFailure).where(LoginFailure.account == account[:MAX_NAME]))


def forget_before(session: Session, at: datetime) -> None:
    """Delete what no longer counts."""
    session.execute(delete(LoginFailure).where(LoginFailure.at < at))
