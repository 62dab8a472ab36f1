"""Serve the status page and `/metrics`: GET and HEAD only, one answer a connection, everything bounded.

Has a thread and an event loop of its own, so that no client and no slow query can hold up the polling. A client gets
a few seconds for its request, a few kilobytes for its head, and a few more seconds to take the answer; answers are
made at most once a second, however many ask.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from gateway.errors import GatewayError
from gateway.metrics import CONTENT_TYPE, metrics_text
from gateway.page_facts import Facts
from gateway.page_html import CONTENT_SECURITY_POLICY, LANGUAGES, Look, page_html
from gateway.settings import PageSettings

HEAD_BYTES = 8_192
KEEP_S = 1.0
"""How long an answer is given again before it is made anew."""
LISTEN_RETRY_S = 5.0
BACKLOG = 16
END_S = 2.0
"""How long the end waits for the server's thread."""
_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    421: "Misdirected Request",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
_REFRESHES = ("10", "60")

log = logging.getLogger("cunzheng.gateway")


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, without what every one has."""

    status: int
    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"
    language: str = ""

    def encoded(self, *, with_body: bool) -> bytes:
        """Write it out."""
        body = self.body or f"{self.status} {_REASONS[self.status]}\n".encode()
        head = [
            f"HTTP/1.1 {self.status} {_REASONS[self.status]}",
            f"Content-Type: {self.kind}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            f"Content-Security-Policy: {CONTENT_SECURITY_POLICY}",
            "X-Content-Type-Options: nosniff",
            "X-Frame-Options: DENY",
            "Referrer-Policy: no-referrer",
            "Cross-Origin-Resource-Policy: same-origin",
            "Vary: Accept-Language",
            "Connection: close",
        ]
        if self.language:
            head.append(f"Content-Language: {self.language}")
        if self.status == 405:
            head.append("Allow: GET, HEAD")
        return "\r\n".join([*head, "", ""]).encode("ascii") + (body if with_body else b"")


@dataclass(frozen=True)
class Request:
    """What matters of a request."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]

    @property
    def language(self) -> str:
        """The language asked for by address, else by browser, else Chinese."""
        chosen = self.query.get("lang", [""])[0]
        return chosen if chosen in LANGUAGES else preferred_language(self.headers.get("accept-language", ""))

    @property
    def refresh(self) -> str:
        """After how many seconds the page loads itself again; empty for never."""
        chosen = self.query.get("refresh", [""])[0]
        return chosen if chosen in _REFRESHES else ""


class PageServer:
    """Answers while `run` runs; `facts` is called in the server's own thread."""

    def __init__(self, settings: PageSettings, facts: Callable[[], Facts]) -> None:
        self._settings, self._facts = settings, facts
        self._open: set[asyncio.StreamWriter] = set()
        self._made: dict[tuple[str, ...], tuple[float, Answer]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None
        self.port = 0
        """The port it listens on, once it does."""
        self.listening = threading.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        thread = threading.Thread(target=self._in_thread, name="gateway-page", daemon=True)
        thread.start()
        try:
            await asyncio.Event().wait()
        finally:
            loop, serving = self._loop, self._serving
            if loop is not None and serving is not None:
                with suppress(RuntimeError):  # it has ended by itself
                    loop.call_soon_threadsafe(serving.cancel)
            await asyncio.to_thread(thread.join, END_S)

    def _in_thread(self) -> None:
        try:
            asyncio.run(self._serve())
        except asyncio.CancelledError:
            pass
        except Exception:  # a page that fails must not take the gateway with it
            log.exception("page ended")

    async def _serve(self) -> None:
        self._loop, self._serving = asyncio.get_running_loop(), asyncio.current_task()
        settings, said = self._settings, ""
        while True:
            try:
                server = await asyncio.start_server(
                    self._accepted, settings.host, settings.port, limit=HEAD_BYTES, backlog=BACKLOG
                )
                break
            except OSError as error:
                if str(error) != said:
                    log.error("page cannot listen address=%s:%d reason=%r", settings.host, settings.port, str(error))
                said = str(error)
                await asyncio.sleep(LISTEN_RETRY_S)
        self.port = server.sockets[0].getsockname()[1]
        self.listening.set()
        log.info("page listens address=%s:%d", settings.host, self.port)
        async with server:
            await server.serve_forever()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)
        if len(self._open) >= self._settings.connections:
            writer.transport.abort()
            return
        self._open.add(writer)
        try:
            answer, with_body = await self._answered(reader, writer)
            writer.write(answer.encoded(with_body=with_body))
            async with asyncio.timeout(self._settings.request_s):
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            writer.close()
            self._open.discard(writer)

    async def _answered(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[Answer, bool]:
        if not self._may_look(writer.get_extra_info("peername")):
            return Answer(403), True
        try:
            async with asyncio.timeout(self._settings.request_s):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            return Answer(408), True
        except asyncio.LimitOverrunError:
            return Answer(431), True
        request = parse_request(head)
        if request is None:
            return Answer(400), True
        return self._answer(request), request.method != "HEAD"

    def _may_look(self, address: tuple[str, int] | None) -> bool:
        if not self._settings.peers:
            return True
        host = ip_address(address[0].partition("%")[0]) if address else None
        return host is not None and any(host in network for network in self._settings.peers)

    def _answer(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return Answer(405)
        if not is_own_name(request.headers.get("host", ""), self._settings):
            return Answer(421)
        if request.path == "/metrics":
            return self._made_lately(
                ("metrics",), lambda facts: Answer(200, metrics_text(facts).encode(), CONTENT_TYPE)
            )
        if request.path == "/":
            look = Look(request.language, request.refresh)
            return self._made_lately(
                ("page", look.language, look.refresh),
                lambda facts: Answer(200, page_html(facts, look).encode(), "text/html; charset=utf-8", look.language),
            )
        return Answer(404)

    def _made_lately(self, key: tuple[str, ...], make: Callable[[Facts], Answer]) -> Answer:
        now = time.monotonic()
        known = self._made.get(key)
        if known is not None and now - known[0] < KEEP_S:
            return known[1]
        try:
            answer = make(self._facts())
        except GatewayError as error:
            answer = Answer(503, f"{error.zh}\n{error.en}\n".encode())
        except Exception:
            log.exception("page failed")
            answer = Answer(503)
        self._made[key] = time.monotonic(), answer
        return answer


def parse_request(head: bytes) -> Request | None:
    """Read the head of a request; None where it is none."""
    try:
        first, *lines = head.decode("ascii").removesuffix("\r\n\r\n").split("\r\n")
        method, target, version = first.split(" ")
        parts = urlsplit(target)
        query = parse_qs(parts.query, max_num_fields=10)
    except ValueError:
        return None
    if not version.startswith("HTTP/1.") or not target.startswith("/"):
        return None
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            return None
        headers[name.lower()] = value.strip()
    return Request(method, parts.path, query, headers)


def preferred_language(accepted: str) -> str:
    """Choose by an `Accept-Language` header; Chinese where it says nothing of use."""
    wishes: list[tuple[float, int, str]] = []
    for place, item in enumerate(accepted.split(",")[:20]):
        tag, _, weight = item.strip().lower().partition(";q=")
        try:
            wishes.append((-float(weight or 1), place, tag.split("-")[0]))
        except ValueError:
            continue
    return next((tag for weight, _, tag in sorted(wishes) if tag in LANGUAGES and weight < 0), LANGUAGES[0])


def is_own_name(host: str, settings: PageSettings) -> bool:
    """Tell whether a `Host` header names this machine: an address, `localhost`, or a name that the settings give."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    name = name.strip("[]").lower()
    if name in {"localhost", settings.host.lower(), *(one.lower() for one in settings.names)}:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
