"""A Modbus TCP server that costs almost nothing, in a process of its own: it must never be what is measured.

Every register pair holds a float32 that changes with every request, so that nothing can be remembered. Ask it for its
registers with functions 03 and 04 only.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import cast

import uvloop

SLOWLY = 0.01
"""By how much a value moves from one request to the next: less than a meter's largest rate allows."""
HOSTS = 20
"""Loopback addresses it answers at, so that each device has a line of its own."""
_HEADER = struct.Struct(">HHHBBHH")
_HEAD = struct.Struct(">HHHBBB")
_REQUEST_BYTES = 12


def host_of(number: int) -> str:
    """Name the address of one device."""
    return f"127.0.0.{1 + number % HOSTS}"


class _Meter(asyncio.Protocol):
    """Answers read requests; values are made for each from its number, address and place."""

    def __init__(self) -> None:
        self._rest = b""
        self._asked = 0
        self._out: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._out = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        data = self._rest + data
        at = 0
        answers = []
        while len(data) - at >= _REQUEST_BYTES:
            transaction, _, _, unit, function, address, count = _HEADER.unpack_from(data, at)
            at += _REQUEST_BYTES
            self._asked += 1
            first = 100.0 + self._asked * SLOWLY
            values = [first + (address + offset) / 8 for offset in range(0, count, 2)]
            body = struct.pack(f">{len(values)}f", *values)[: 2 * count]
            answers.append(_HEAD.pack(transaction, 0, 3 + len(body), unit, function, len(body)) + body)
        self._rest = data[at:]
        if self._out is not None:
            self._out.write(b"".join(answers))


def _serve(pipe: Connection) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Meter, host_of(0), 0)
        port = server.sockets[0].getsockname()[1]
        await loop.create_server(_Meter, [host_of(number) for number in range(1, HOSTS)], port)
        pipe.send(port)
        await server.serve_forever()

    uvloop.run(run())


@contextmanager
def modbus_server() -> Iterator[int]:
    """Run the server; gives its port."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()
