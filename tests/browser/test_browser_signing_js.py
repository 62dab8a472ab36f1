"""The browser's canonical JSON, thumbprint and signature agree with the evidence package."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Error, Page

import webapp
from evidence.encoding import jcs
from evidence.keys import PublicKey
from evidence.statement import parse

pytestmark = pytest.mark.browser
STATIC = Path(webapp.__file__).parent / "static"

VALUES: list[Any] = [
    {},
    [],
    "",
    0,
    -1,
    2**53 - 1,
    -(2**53 - 1),
    True,
    None,
    {"b": 1, "a": {"d": None, "c": [1, "2", False]}},
    {"钢": "水", "a": "铝", "é": "e\u0301"},
    # UTF-16 order is not code point order: U+1F600 (d83d de00) sorts before U+FB33.
    {"\U0001f600": 1, "\ufb33": 2, "\u20ac": 3, "\r": 4, "1": 5, "\u0080": 6, "\u00f6": 7},
    {"10": 1, "9": 2, "a10": 3, "__proto__x": 4},
    '"\\/\b\f\n\r\t\u0000\u001f\u007f\u2028\u2029<>&\U00010000',
    [[[[1]]], {"": ""}],
]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/":
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>t</title>")
        else:
            super().do_GET()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """Serve the static files alone."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(STATIC)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


CANONICAL = "async (value) => (await import('/js/canonical.js')).canonical(value)"


def test_canonical_json_is_the_same_in_browser_and_python(page: Page, site: str) -> None:
    page.goto(site)
    for value in VALUES:
        assert page.evaluate(CANONICAL, value).encode("utf-8") == jcs(value), value


@pytest.mark.parametrize("script", ["1.5", "NaN", "2**53", "-0", "undefined", "'\\ud800'", "new Date()", "{a: [0.1]}"])
def test_what_statements_do_not_hold_is_refused(page: Page, site: str, script: str) -> None:
    page.goto(site)
    with pytest.raises(Error, match="TypeError"):
        page.evaluate(f"async () => (await import('/js/canonical.js')).canonical({script})")


def test_a_statement_signed_in_the_browser_verifies_in_python(page: Page, site: str) -> None:
    page.goto(site)
    payload = {
        "v": 1,
        "kind": "ledger",
        "plant": "P-0001",
        "t": "2026-03-01T00:00:00.000Z",
        "param": "crude_steel",
        "period": "2026-02",
        "value": "1234.50",
        "unit": "t",
        "mode": "measured",
        "source": "生产日报 第 3 页 \U0001f600",
        "subjects": [],
    }
    made = page.evaluate(
        """async (payload) => {
          const { make, find } = await import('/js/keystore.js');
          const { sign } = await import('/js/statement.js');
          const first = await make('li.na');
          const entry = await find('li.na');
          let exported = 'no';
          try { await crypto.subtle.exportKey('pkcs8', entry.key); exported = 'yes'; } catch { }
          const made = await sign(payload, entry);
          return { ...made, kid: entry.kid, same: first.kid === entry.kid, jwk: entry.jwk, exported };
        }""",
        payload,
    )
    statement = parse(made["jws"])
    key = PublicKey.from_jwk(made["jwk"])
    statement.verify_signature(key)
    assert key.kid == made["kid"] == statement.kid
    assert statement.sid == made["sid"]
    assert dict(statement.payload) == payload
    assert made["same"]
    assert made["exported"] == "no"
