"""A Modbus TCP server that costs almost nothing, in a process of its own: it must never be what is measured.

Every register pair holds a float32 that changes with every request, so that nothing can be remembered; no device ever
gives a value twice. Ask it for its registers with functions 03 and 04 only. With a journal it writes down what it
answered: time, device, connection, and the words of the first value; and which connections ended.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
import struct
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import cast

import uvloop

SLOWLY = 0.01
"""By how much a value moves from one request to the next: less than a meter's largest rate allows."""
HOSTS = 20
"""Loopback addresses it answers at, so that each device has a line of its own."""
_HEADER = struct.Struct(">HHHBBHH")
_HEAD = struct.Struct(">HHHBBB")
_REQUEST_BYTES = 12
_FIRST_WORDS = 4
_REQUESTS_A_START = 100_000
"""So many values lie between those of one start and of the next."""


def host_of(number: int) -> str:
    """Name the address of one device."""
    return f"127.0.0.{1 + number % HOSTS}"


class _Meters:
    """What all connections share: how often each device was asked, and the journal."""

    def __init__(self, first: int, journal: Path | None) -> None:
        self.asked: Counter[str] = Counter()
        self._first = first
        self._connections = itertools.count()
        self._journal = None if journal is None else os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def connection(self) -> str:
        return f"{self._first}.{next(self._connections)}"

    def value(self, host: str) -> float:
        self.asked[host] += 1
        return 100.0 + (self._first + self.asked[host]) * SLOWLY

    def note(self, *words: str) -> None:
        """Write a line at once: whoever is killed next has said it."""
        if self._journal is not None:
            os.write(self._journal, f"{time.time():.6f} {' '.join(words)}\n".encode())


class _Meter(asyncio.Protocol):
    """Answers read requests; values are made for each from its number, address and place."""

    def __init__(self, meters: _Meters) -> None:
        self._meters = meters
        self._rest = b""
        self._out: asyncio.Transport | None = None
        self._name = self._host = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._out = cast(asyncio.Transport, transport)
        self._host, self._name = transport.get_extra_info("sockname")[0], self._meters.connection()

    def connection_lost(self, exc: Exception | None) -> None:
        self._meters.note(self._host, self._name, "closed")

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at = 0
        answers = []
        while len(data) - at >= _REQUEST_BYTES:
            transaction, _, _, unit, function, address, count = _HEADER.unpack_from(data, at)
            at += _REQUEST_BYTES
            first = self._meters.value(self._host)
            values = [first + (address + offset) / 8 for offset in range(0, count, 2)]
            body = struct.pack(f">{len(values)}f", *values)[: 2 * count]
            answers.append(_HEAD.pack(transaction, 0, 3 + len(body), unit, function, len(body)) + body)
            self._meters.note(self._host, self._name, body[:_FIRST_WORDS].hex().upper())
        self._rest = data[at:]
        if self._out is not None:
            self._out.write(b"".join(answers))


def _serve(pipe: Connection, port: int, first: int, journal: Path | None) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        meters = _Meters(first, journal)
        server = await loop.create_server(lambda: _Meter(meters), host_of(0), port)
        chosen = server.sockets[0].getsockname()[1]
        await loop.create_server(lambda: _Meter(meters), [host_of(number) for number in range(1, HOSTS)], chosen)
        pipe.send(chosen)
        await server.serve_forever()

    uvloop.run(run())


class MeterServer:
    """The server as something that can be stopped and comes back on its port."""

    def __init__(self, journal: Path | None = None) -> None:
        self.port = 0
        self._journal = journal
        self._starts = 0
        self._process: SpawnProcess | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; it answers when this returns."""
        spawned = multiprocessing.get_context("spawn")
        ours, theirs = spawned.Pipe()
        first = self._starts * _REQUESTS_A_START
        self._process = spawned.Process(target=_serve, args=(theirs, self.port, first, self._journal), daemon=True)
        self._process.start()
        self._starts += 1
        self.port = ours.recv()

    def stop(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


@contextmanager
def modbus_server() -> Iterator[int]:
    """Run the server; gives its port."""
    server = MeterServer()
    server.start()
    try:
        yield server.port
    finally:
        server.stop()
