"""Serves the centre: gunicorn with the workers of the settings, or one process for a developer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from webapp.chores import Chores
from webapp.settings import Settings

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
GRACE_SECONDS = 30


class _Server(BaseApplication):  # type: ignore[misc]
    """gunicorn, told everything by the settings and nothing by files of its own."""

    def __init__(self, make: Callable[[], Flask], options: dict[str, Any]) -> None:
        self._make = make
        self._options = options
        super().__init__()

    def load_config(self) -> None:
        """Hand the options over."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Build the application; called in each worker, so each has connections and chores of its own."""
        return _with_chores(self._make())


def _with_chores(app: Flask) -> Flask:
    Chores(app.extensions["center"]).start()
    return app


def run(settings: Settings, make: Callable[[], Flask], *, is_developing: bool = False) -> None:
    """Serve until a signal ends it."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    if is_developing:
        _with_chores(make()).run(settings.web.host, settings.web.port, threaded=True, use_reloader=False)
        return
    options = {
        "bind": f"{settings.web.host}:{settings.web.port}",
        "workers": settings.web.workers,
        "threads": settings.web.threads,
        "worker_class": "gthread",
        "graceful_timeout": GRACE_SECONDS,
        "timeout": 120,
        "accesslog": None,
        "errorlog": "-",
        "proc_name": "cunzheng-center",
        "limit_request_line": 8190,
        "limit_request_fields": 60,
        "forwarded_allow_ips": "127.0.0.1" if settings.web.trusted_proxies else "",
        "control_socket_disable": True,
    }
    _Server(make, options).run()
