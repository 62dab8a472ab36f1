"""Which language a request is answered in, and how times and numbers are written in it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from flask import Flask, g, has_request_context, request
from flask_babel import Babel, gettext
from flask_babel import ngettext as plural
from jinja2 import Undefined
from markupsafe import Markup, escape

from webapp.center import current_center
from webapp.extensions import LANGUAGES
from webapp.numerals import grouped
from webapp.translations_build import compiled_directory

COOKIE = "lang"
COOKIE_SECONDS = 365 * 24 * 3600


def current() -> str:
    """Return `zh` or `en`: the cookie, else the centre's default."""
    if not has_request_context():
        return "zh"
    if "lang" not in g:
        chosen = request.cookies.get(COOKIE)
        g.lang = chosen if chosen in LANGUAGES else current_center().settings.web.default_language
    return str(g.lang)


def prepare(app: Flask) -> None:
    """Set up Flask-Babel, the template filters for times and numbers, and the `lang` of every page."""
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(compiled_directory())
    app.config["BABEL_DEFAULT_LOCALE"] = "en"
    Babel(app, locale_selector=current)
    app.jinja_env.filters.update(moment=moment, clock=clock, clock_span=clock_span, hour_span=hour_span)
    app.jinja_env.filters.update(day=day, age=age, period=period, number=number)
    app.context_processor(lambda: {"lang": current(), "here": _here()})

    @app.after_request
    def _vary(response: Any) -> Any:
        response.headers.setdefault("Content-Language", "zh-CN" if current() == "zh" else "en")
        response.vary.add("Cookie")
        return response


def pick(zh: str, en: str) -> str:
    """Return the one of two stored texts that suits the reader."""
    return (zh or en) if current() == "zh" else (en or zh)


def _here() -> str:
    """The address of this page, to come back to; a page that answered a POST has none."""
    return request.full_path.rstrip("?") if request.method == "GET" else "/"


def moment(time: datetime, zone: str = "Asia/Shanghai") -> Markup:
    """Write date and time to the second in a plant's legal time."""
    local = time.astimezone(ZoneInfo(zone))
    text = f"{_date(local)} {local:%H:%M:%S}"
    return Markup(f'<time datetime="{escape(time.isoformat())}">{escape(text)}</time>')


def clock(time: datetime, zone: str = "Asia/Shanghai") -> Markup:
    """Write the time of day only; the full time is in the element's attribute."""
    local = time.astimezone(ZoneInfo(zone))
    return Markup(f'<time datetime="{escape(time.isoformat())}">{local:%H:%M}</time>')


def clock_span(start: datetime, zone: str = "Asia/Shanghai") -> str:
    """Write the hour that starts then, as times of day: 00:00–01:00."""
    local, end = (time.astimezone(ZoneInfo(zone)) for time in (start, start + timedelta(hours=1)))
    return f"{local:%H:%M}–{end:%H:%M}"


def hour_span(start: datetime, zone: str = "Asia/Shanghai") -> Markup:
    """Write the hour that starts then, with its day; it stays on one line."""
    text = f"{_date(start.astimezone(ZoneInfo(zone)))} {clock_span(start, zone)}"
    return Markup(f'<span class="nowrap">{escape(text)}</span>')


def day(value: date) -> str:
    """Write a day."""
    return _date(value)


def _date(value: date) -> str:
    if current() == "zh":
        return f"{value.year}年{value.month}月{value.day}日"
    return f"{value:%Y-%m-%d}"


def period(text: str) -> str:
    """Write a month `YYYY-MM`."""
    year, month = text.split("-")
    return f"{year}年{int(month)}月" if current() == "zh" else text


def age(value: timedelta) -> str:
    """Write how long ago something was, in its largest unit."""
    seconds = max(int(value.total_seconds()), 0)
    if seconds < 90:
        return plural("%(num)d second ago", "%(num)d seconds ago", seconds)
    if seconds < 90 * 60:
        return plural("%(num)d minute ago", "%(num)d minutes ago", seconds // 60)
    if seconds < 48 * 3600:
        return plural("%(num)d hour ago", "%(num)d hours ago", seconds // 3600)
    return plural("%(num)d day ago", "%(num)d days ago", seconds // 86400)


def number(value: object) -> str:
    """Write a decimal with thin groups of three before the point; every digit stays."""
    if value is None or value == "" or isinstance(value, Undefined):
        return gettext("no value")
    return grouped(format(value, "f") if isinstance(value, Decimal) else str(value))
