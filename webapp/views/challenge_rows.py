"""What pages show of retention challenges: how far each is, what it came to, and which tiles were not shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext, ngettext
from flask_babel.speaklater import LazyString
from sqlalchemy.orm import Session

from evidence.challenge import Result, TileState
from webapp import challenges, store_users
from webapp.accounts import CHALLENGE_ROLES, INSPECTOR
from webapp.center import current_center
from webapp.challenges import Standing
from webapp.views.access import account
from webapp.views.language import pick
from webapp.views.month_page import MonthView

TILE_STATES: Mapping[str, LazyString] = {
    "proven": lazy_gettext("proven"),
    "refused": lazy_gettext("not shown"),
    "missing": lazy_gettext("no answer in time"),
}
SHOWN = 20
"""Lost tiles listed one by one; there may be hundreds."""


@dataclass(frozen=True)
class LostTile:
    """A tile that was not shown, and why by the gateway's word or the check that failed."""

    gw: str
    epoch: int
    tile: int
    state: str
    why: str


@dataclass(frozen=True)
class ChallengeRow:
    """One challenge as the page shows it; `answered` of `all` tiles."""

    made_at: datetime
    made_by: str
    words: str
    kind: str
    answered: int
    all: int
    due_at: datetime | None
    is_finished: bool
    lost: list[LostTile]
    more: int
    sid: str


def challenge_part(db: Session, view: MonthView) -> dict[str, Any]:
    """Return what the fragment of challenges needs."""
    standings = challenges.standings(db, view.plant.id, view.period, view.now)
    rows = [challenge_row(db, one) for one in reversed(standings)]
    has_tiles = view.submitted is not None and bool(challenges.cover_of(view.submitted.statement))
    is_open = any(not row.is_finished for row in rows)
    return {
        "challenges": rows,
        "challenge_draws": current_center().settings.challenge.draws,
        "is_challenge_open": is_open,
        "may_challenge": account().role in CHALLENGE_ROLES and has_tiles and not is_open,
        "may_inspect": account().role == INSPECTOR and view.submitted is not None,
    }


def challenge_row(db: Session, one: Standing) -> ChallengeRow:
    """Put one challenge into words."""
    words, kind = _words(one)
    user = store_users.find(db, one.row.made_by)
    lost = [
        LostTile(tile.gw, tile.epoch, tile.tile, str(TILE_STATES[state]), _why(tile.code, tile.said))
        for tile, state in one.lost[:SHOWN]
    ]
    return ChallengeRow(
        made_at=one.row.made_at,
        made_by=one.row.made_by if user is None else pick(user.name_zh, user.name_en),
        words=words,
        kind=kind,
        answered=len(one.tiles) - one.count(None),
        all=len(one.tiles),
        due_at=one.row.due_at,
        is_finished=one.is_finished,
        lost=lost,
        more=len(one.lost) - len(lost),
        sid=one.sid,
    )


def _words(one: Standing) -> tuple[str, str]:
    if not one.tiles:
        return _("waits for the next checkpoint of the log"), "now"
    if one.result is Result.FAILED:
        lost = len(one.lost)
        return ngettext("failed: %(num)d tile was not shown", "failed: %(num)d tiles were not shown", lost), "bad"
    if one.result is Result.PASSED:
        proven = one.count(TileState.PROVEN)
        return ngettext("passed: %(num)d tile is proven", "passed: all %(num)d tiles are proven", proven), "good"
    return _("the gateway is answering"), "now"


def _why(code: str, said: Mapping[str, str]) -> str:
    return f"{code}: {pick(said.get('zh', ''), said.get('en', ''))}" if code else ""
