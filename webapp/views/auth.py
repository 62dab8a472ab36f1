"""Logging in and out, the language, and one's own account."""

from __future__ import annotations

from datetime import timedelta

from flask import Blueprint, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user, login_required, login_user, logout_user
from sqlalchemy.orm import Session

from webapp import accounts, store_logins, store_users
from webapp.center import current_center
from webapp.extensions import LANGUAGES, limiter, login_manager
from webapp.forms import LoginForm
from webapp.views import language as languages
from webapp.views.access import account as person
from webapp.views.access import local_target, plants_of
from webapp.views.wording import plant_name

blueprint = Blueprint("auth", __name__)
login_manager.login_view = "auth.login"
login_manager.login_message = None  # the page itself says what to do


WINDOW = timedelta(minutes=15)
"""How long a failed login counts against its account and its address."""


def _login_limit() -> str:
    return f"{current_center().settings.limits.login_per_minute} per minute"


def _address() -> str:
    return request.remote_addr or "-"


def _is_blocked(db: Session, name: str) -> bool:
    """Tell whether so many logins failed that not even the right password is looked at.

    The limiter above counts in one worker's memory; this counts for all of them, and survives a restart.
    """
    center = current_center()
    limits, since = center.settings.limits, center.now() - WINDOW
    return (
        store_logins.count_of_account(db, name, since) >= limits.login_failures_of_account
        or store_logins.count_of_address(db, _address(), since) >= limits.login_failures_of_address
    )


@blueprint.route("/login", methods=["GET", "POST"])
@limiter.limit(_login_limit, methods=["POST"])
def login() -> ResponseReturnValue:
    """Show the login form; let the person in when name and password fit."""
    if current_user.is_authenticated:
        return redirect(url_for("plants.home"))
    form = LoginForm(next=request.args.get("next", ""))
    if request.method != "POST":
        return render_template("auth/login.html", form=form, wrong=None)
    if not form.validate():
        return render_template("auth/login.html", form=form, wrong=None), 422
    name = str(form.name.data)
    center = current_center()
    with center.database.reading() as db:
        if _is_blocked(db, name):
            words = _("Too many failed logins. Wait %(minutes)s minutes.", minutes=WINDOW // timedelta(minutes=1))
            return render_template("auth/login.html", form=form, wrong=words), 429
        found, password_hash = store_users.find(db, name), store_users.password_hash(db, name)
    is_right = accounts.is_password(password_hash, str(form.password.data))
    if found is None or not is_right:
        with center.database.writing() as db:
            store_logins.forget_before(db, center.now() - WINDOW)
            store_logins.note_failure(db, name, _address(), center.now())
            store_users.note_act(db, at=center.now(), actor="-", action="login-refused", object_=name[:64])
        return render_template("auth/login.html", form=form, wrong=_("Login name or password is wrong.")), 401
    # A fresh session: nothing that was in the cookie before the login survives it.
    session.clear()
    login_user(found)
    session.permanent = True
    with center.database.writing() as db:
        store_logins.forget_account(db, found.name)
        store_users.note_login(db, found.name, center.now())
        store_users.note_act(db, at=center.now(), actor=found.name, action="login", object_=found.name)
    return redirect(local_target(form.next.data), 303)


@blueprint.post("/logout")
def logout() -> ResponseReturnValue:
    """End all sessions of the person: a cookie that somebody kept must open nothing afterwards."""
    if current_user.is_authenticated:
        with current_center().database.writing() as db:
            store_users.end_sessions(db, person().name)
    logout_user()
    session.clear()
    return redirect(url_for("auth.login"), 303)


@blueprint.post("/language")
def language() -> ResponseReturnValue:
    """Change the language and come back."""
    chosen = request.form.get("lang", "")
    response = make_response(redirect(local_target(request.form.get("next")), 303))
    if chosen in LANGUAGES:
        response.set_cookie(
            languages.COOKIE,
            chosen,
            max_age=languages.COOKIE_SECONDS,
            samesite="Lax",
            httponly=True,
            secure=current_center().settings.web.secure_cookies,
        )
    return response


@blueprint.get("/account")
@login_required
def account() -> ResponseReturnValue:
    """Show who one is here, and for what."""
    who = person()
    with current_center().database.reading() as db:
        names = [plant_name(plant) for plant in plants_of(db)]
    region = who.region if who.is_reviewer else None
    return render_template("auth/account.html", login=who.name, roles=[who.role], plants=names, region=region)
