"""What every page with a signature shows: the exact text, the person's key, and why it was not taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from evidence.encoding import jcs
from webapp.views.keys import key_of


def signing_box(db: Session, payload: Mapping[str, Any], refused: str | None) -> dict[str, Any]:
    """Return what the templates need to have a payload signed in the browser."""
    key = key_of(db)
    return {
        "payload": payload,
        "canonical": jcs(payload).decode("utf-8"),
        "kid": key.kid if key is not None else None,
        "key_ready": key is not None and key.is_ready,
        "refused": refused,
    }
