"""The verifier's reports that decisions name: sealed while the reviewer reads, kept only with a decision.

Looking at a month stores nothing. The page carries the report, sealed with the centre's secret, and sends it
back with the signed decision; so what is kept is what this centre wrote, and what the reviewer saw.
"""

from __future__ import annotations

from datetime import datetime

from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy.orm import Session

from webapp import store_contents

JSON_TYPE = "application/json"


def name_of(period: str) -> str:
    """How the report on a month is called among the plant's contents."""
    return f"report-{period}.json"


def seal(secret: str | bytes, plant: str, period: str, data: bytes) -> str:
    """Write a report so that nobody else can make one like it."""
    return str(_serializer(secret, plant, period).dumps(data.decode("utf-8")))


def unseal(secret: str | bytes, plant: str, period: str, text: str) -> bytes | None:
    """Read a sealed report; None when this centre did not make it for this month."""
    try:
        return str(_serializer(secret, plant, period).loads(text)).encode("utf-8")
    except BadData:
        return None


def keep(session: Session, plant: str, period: str, data: bytes, now: datetime) -> str:
    """Keep the report of a decision; gives its digest."""
    return store_contents.add(session, plant, name_of(period), JSON_TYPE, data, now)


def is_kept(session: Session, plant: str, period: str, sha256: str) -> bool:
    """Tell whether a digest is that of a report on this month."""
    found = store_contents.subject(session, plant, sha256)
    return found is not None and found["name"] == name_of(period)


def _serializer(secret: str | bytes, plant: str, period: str) -> URLSafeSerializer:
    return URLSafeSerializer(secret, salt=f"report {plant} {period}")
