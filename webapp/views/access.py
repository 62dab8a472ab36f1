"""Who may see and do what on the pages: fetching and authorising in one place.

What a signature may say is decided again by admission; this file keeps people from pages that are none
of their business.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar, cast
from urllib.parse import urlsplit

from flask import abort, request
from flask_login import current_user, login_required
from sqlalchemy.orm import Session

from webapp import store_plants
from webapp.accounts import Account
from webapp.models import Plant

P = ParamSpec("P")
R = TypeVar("R")


def account() -> Account:
    """Return the person who is logged in."""
    return cast(Account, current_user._get_current_object())


def requires(*roles: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let only these roles in; everyone else gets a page that says so."""

    def wrap(view: Callable[P, R]) -> Callable[P, R]:
        @wraps(view)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            if account().role not in roles:
                abort(403)
            return view(*args, **kwargs)

        return cast(Callable[P, R], login_required(guarded))

    return wrap


def plant_of(session: Session, plant_id: str) -> Plant:
    """Fetch a plant that this person may see; 404 when there is none, 403 when it is not theirs."""
    plant = store_plants.find(session, plant_id)
    if plant is None:
        abort(404)
    if not account().may_see(plant.id, plant.region):
        abort(403)
    return plant


def plants_of(session: Session) -> list[Plant]:
    """List the plants this person may see."""
    return [plant for plant in store_plants.list_all(session) if account().may_see(plant.id, plant.region)]


def local_target(target: str | None) -> str:
    """Return where to go next: a path of this site, else the start page."""
    if not target or not target.startswith("/") or target.startswith("//") or "\\" in target:
        return "/"
    if any(ord(character) < 32 for character in target):
        return "/"
    parts = urlsplit(target)
    return "/" if parts.scheme or parts.netloc else target


def is_fragment() -> bool:
    """Tell whether htmx asks for a part of the page."""
    return request.headers.get("HX-Request") == "true" and request.headers.get("HX-Boosted") != "true"
