"""Turns away requests that no honest browser or gateway sends, before anything of ours looks at them.

A host name that is none would leave every page without an address of its own; a NUL is a character that PostgreSQL
can neither store nor compare. Both are answered with 400, which is the truth, instead of an error of the server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from flask import Flask, abort, request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,259}}\Z)({_LABEL}(\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]{{2,45}}\])(:[0-9]{{1,5}})?", re.ASCII)
"""A host as a request names it (RFC 9110 7.2, RFC 1035 2.3.4): labels of at most 63 characters, or an IPv6 address."""


class RequestGate:
    """The application behind a look at each request's host, path and query."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer 400, or let the application answer."""
        refusal = _refusal(environ)
        if refusal is None:
            return self._app(environ, start_response)
        body = f"{refusal}\n".encode()
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response("400 Bad Request", headers)
        return [body]


def refuse_nul_in_forms(app: Flask) -> None:
    """Refuse a form in which a field holds a NUL."""

    @app.before_request
    def _look() -> None:
        if request.mimetype in ("application/x-www-form-urlencoded", "multipart/form-data") and any(
            "\0" in value for _, value in request.form.items(multi=True)
        ):
            abort(400)


def _refusal(environ: WSGIEnvironment) -> str | None:
    host = environ.get("HTTP_HOST")
    if host is not None and not _HOST.fullmatch(host):
        return "the Host header is no host name / Host 请求头不是主机名"
    path, query = environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
    if "\0" in path or b"\0" in unquote_to_bytes(query):
        return "the address holds a NUL character / 地址中含有 NUL 字符"
    return None
