"""The centre: accounts, review pages, the gateways' interface and the append-only log.

`create_app` reads top to bottom as configuration, extensions, blueprints. Rules are in `admission`,
`month_rules` and the pure packages; SQL is in `store_*`; pages are in `views`.
"""

from __future__ import annotations

import importlib
import importlib.util
from datetime import timedelta
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from webapp import keyfile, store_users
from webapp.accounts import Account
from webapp.api import blueprint as gateway_blueprint
from webapp.api_log import blueprint as log_blueprint
from webapp.api_trust import blueprint as trust_blueprint
from webapp.center import Center, Clock, current_center, utc_now
from webapp.extensions import LANGUAGES, csrf, limiter, login_manager
from webapp.request_gate import RequestGate, refuse_nul_in_forms
from webapp.security_headers import add_security_headers
from webapp.settings import Settings


def create_app(settings: Settings, *, clock: Clock = utc_now, center: Center | None = None) -> Flask:
    """Build the web application of an initialised centre.

    Raises:
        NotReadyError: `center init` was not run, or was run by another version.
        LogRefusedError: the log must not be continued.
    """
    app = Flask(__name__)
    center = center or Center.open(settings, clock)
    app.extensions["center"] = center
    app.config.update(
        SECRET_KEY=keyfile.read_secret(settings.secret_file),
        SESSION_COOKIE_NAME="__Host-cunzheng" if settings.web.secure_cookies else "cunzheng",
        SESSION_COOKIE_SECURE=settings.web.secure_cookies,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        PERMANENT_SESSION_LIFETIME=timedelta(hours=settings.web.session_hours),
        MAX_CONTENT_LENGTH=settings.limits.request_mb * 2**20,
        MAX_FORM_PARTS=200,
        WTF_CSRF_TIME_LIMIT=settings.web.session_hours * 3600,
        WTF_CSRF_SSL_STRICT=settings.web.secure_cookies,
        RATELIMIT_STORAGE_URI=settings.limits.storage,
        BABEL_DEFAULT_LOCALE=settings.web.default_language,
        LANGUAGES=LANGUAGES,
        SITE_NOTICE=settings.notice.model_dump(),
    )
    # Behind the proxy's host, in front of everything that builds an address from it.
    gated: Any = RequestGate(app.wsgi_app)
    if settings.web.trusted_proxies:
        hops = settings.web.trusted_proxies
        gated = ProxyFix(gated, x_for=hops, x_proto=hops, x_host=hops)
    app.wsgi_app = gated  # type: ignore[method-assign]
    refuse_nul_in_forms(app)

    csrf.init_app(app)
    limiter.init_app(app)
    login_manager.init_app(app)
    login_manager.session_protection = "strong"
    login_manager.user_loader(_load_account)
    add_security_headers(app)

    for blueprint in (gateway_blueprint, log_blueprint, trust_blueprint):
        app.register_blueprint(blueprint)
        csrf.exempt(blueprint)
    # The pages are a part of their own: without them the centre still serves gateways.
    if importlib.util.find_spec("webapp.views") is not None:
        importlib.import_module("webapp.views").register(app)
    return app


def _load_account(session_id: str) -> Account | None:
    with current_center().database.reading() as session:
        return store_users.load_session(session, session_id)
