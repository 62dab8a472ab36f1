"""The trust file that verifiers carry: log key, witness policy, registry and plants as of now."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.orm import Session

from evidence.trust import Trust
from webapp import stamping, store_keys, store_log
from webapp.center import Center


def trust_of(center: Center, session: Session) -> Trust:
    """Make the trust file; it expires after the days that the settings say."""
    now = center.now()
    return Trust(
        log=center.log.vkey,
        registry=store_keys.registry(session),
        size=store_log.size_of(session),
        issued=now,
        expires=now + timedelta(days=center.settings.log.trust_days),
        policy=center.policy,
        tsa=stamping.authorities(center.settings.tsa),
    )
