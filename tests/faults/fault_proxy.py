"""A TCP proxy between gateway and centre that loses answers, sends requests twice, waits, or cuts.

It understands HTTP only as far as needed to know where a request or an answer ends.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

Deed = Literal["pass", "lose answer", "send twice", "delay", "cut request", "cut answer"]
_TIMEOUT_S = 20.0


@dataclass
class Proxy:
    """Does `deed` to every request to a path that starts with `path`, at most `times` times."""

    target: int
    deed: Deed = "pass"
    path: str = "/"
    times: int = 1_000_000
    delay_s: float = 0.15
    done: int = 0
    replayed: list[int] = field(default_factory=list)
    """Status of the answers to requests that were sent a second time."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open = True
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def url(self) -> str:
        """Where the gateway connects to."""
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self) -> None:
        """Stop listening."""
        self._open = False
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._acceptor.join(_TIMEOUT_S)
        for thread in self._threads:
            thread.join(_TIMEOUT_S)

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_TIMEOUT_S)
        with client, suppress(OSError, ValueError):
            while request := _message(client):
                if not self._one(client, request):
                    return

    def _one(self, client: socket.socket, request: bytes) -> bool:
        deed = self._deed_for(request)
        if deed == "cut request":
            with self._connected() as server:
                server.sendall(request[: len(request) // 2])
            return False
        if deed == "delay":
            time.sleep(self.delay_s)
        answer = self._asked(request)
        if deed == "send twice":
            self.replayed.append(int(self._asked(request).split(b" ", 2)[1]))
        if deed == "lose answer":
            return False
        if deed == "cut answer":
            client.sendall(answer[: len(answer) // 2])
            return False
        client.sendall(answer)
        return True

    def _deed_for(self, request: bytes) -> Deed:
        path = request.split(b" ", 2)[1].decode("ascii", "replace")
        with self._lock:
            if self.deed == "pass" or not path.startswith(self.path) or self.done >= self.times:
                return "pass"
            self.done += 1
            return self.deed

    def _asked(self, request: bytes) -> bytes:
        with self._connected() as server:
            server.sendall(request)
            return _message(server)

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.target), _TIMEOUT_S) as server:
            yield server


def _message(source: socket.socket) -> bytes:
    """Read one request or answer; empty when the other side closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := source.recv(65_536)):
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        if name.lower() == b"transfer-encoding":
            raise ValueError("chunked messages are not expected here")
    while len(body) < length:
        if not (more := source.recv(65_536)):
            return b""
        body += more
    return head + b"\r\n\r\n" + body
