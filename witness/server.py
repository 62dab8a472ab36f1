"""Serves a witness over HTTP: `POST <prefix>/add-checkpoint` and nothing else; TLS is left to a proxy before it.

A thread for each connection, as many as the settings say, each with a few seconds of patience; requests are small and
everything about them is bounded.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

from witness.judging import Answer, Witness
from witness.settings import Settings

MAX_BODY = 65_536
PATIENCE_S = 10.0
logger = logging.getLogger("cunzheng.witness")


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "cunzheng-witness", ""
    timeout = PATIENCE_S
    server: WitnessServer

    def do_POST(self) -> None:
        """Answer `add-checkpoint`."""
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > 8 or int(length) > MAX_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                self.close_connection = True
            elif self.path != self.server.path:
                self._answer(Answer(404, "there is only add-checkpoint here\n"))
            else:
                self._answer(self._judged(body))

    def do_GET(self) -> None:
        """Say that there is nothing to read."""
        self._answer(Answer(404, "there is only POST add-checkpoint here\n"))

    def _judged(self, body: bytes) -> Answer:
        try:
            answer = self.server.witness.add_checkpoint(body)
        except sqlite3.Error as error:
            logger.error("memory failed error=%r", str(error))
            return Answer(503, "the witness cannot remember now; try again\n")
        logger.info("asked status=%d bytes=%d", answer.status, len(body))
        return answer

    def _answer(self, answer: Answer) -> None:
        data = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True
        self._answer(Answer(status, f"{status.phrase}\n"))

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request; what is judged is logged there."""


class WitnessServer(ThreadingHTTPServer):
    """Listens and answers until it is shut down."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, settings: Settings, witness: Witness) -> None:
        self.witness = witness
        self.path = f"{settings.prefix}/add-checkpoint"
        self._places = threading.BoundedSemaphore(settings.threads)
        super().__init__((settings.host, settings.port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread, or close it when there are too many."""
        if not self._places.acquire(timeout=PATIENCE_S):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, then give the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Log what a handler stumbled over; a client that went away is nobody's fault."""
        logger.info("connection ended badly", exc_info=True)
