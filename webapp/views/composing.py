"""Composes the draft of a month for a page, and puts what went wrong into the reader's language."""

from __future__ import annotations

from accounting.errors import AccountingError
from webapp import drafts
from webapp.center import Center
from webapp.errors import CenterError
from webapp.views.language import pick


def compose(center: Center, plant: str, period: str) -> str:
    """Compose and keep the newest draft; answer the problem in words, or nothing."""
    try:
        drafts.compose(center, plant, period)
    except (AccountingError, CenterError) as error:
        return pick(error.zh, error.en)
    return ""
