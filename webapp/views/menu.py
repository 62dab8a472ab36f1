"""The main menu, by role."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flask import Flask, current_app, request, url_for
from flask_babel import gettext as _
from flask_login import current_user

from webapp.accounts import ADMIN
from webapp.views.access import account
from webapp.views.language import pick


@dataclass(frozen=True)
class MenuItem:
    """One entry; `exact` is true on the very page it leads to."""

    name: str
    url: str
    current: bool
    exact: bool


def prepare(app: Flask) -> None:
    """Give the templates the menu and the place of htmx."""
    path = _htmx(Path(app.static_folder or ""))
    app.context_processor(
        lambda: {
            "main_menu": main_menu,
            "htmx_path": path and url_for("static", filename=path),
            "person_name": person_name(),
            "site_notice": site_notice(app),
        }
    )


def site_notice(app: Flask) -> str:
    """Return what every page must say, if anything: `SITE_NOTICE` of the configuration, in both languages."""
    notice = app.config.get("SITE_NOTICE") or {}
    return pick(notice.get("zh", ""), notice.get("en", ""))


def person_name() -> str:
    """Return the name of whoever is logged in; empty when nobody is."""
    return pick(current_user.name_zh, current_user.name_en) if current_user.is_authenticated else ""


def main_menu() -> list[MenuItem]:
    """Return the entries this person may open."""
    here = request.path
    return [
        MenuItem(name, url, current=here == url or here.startswith(f"{url}/"), exact=here == url)
        for name, url in _entries()
    ]


def _entries() -> Iterator[tuple[str, str]]:
    person = account()
    if person.is_reviewer:
        yield _("Review queue"), url_for("review.queue")
    yield _("Plants"), url_for("plants.index")
    if person.role == ADMIN:
        yield _("People"), url_for("people.index")
    yield _("My signing key"), url_for("keys.mine")


def can_fetch_parts() -> bool:
    """Tell whether pages carry htmx, and so may leave a slow part to be fetched after them."""
    return _htmx(Path(current_app.static_folder or "")) is not None


def _htmx(static: Path) -> str | None:
    """Find htmx where set-up put it; pages work without it."""
    found = sorted(static.glob("vendor/**/htmx.min.js"))
    return found[-1].relative_to(static).as_posix() if found else None
