"""A TCP proxy between gateway and broker that takes MQTT packets apart as they pass, in the order they pass."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

CONNECT, PUBLISH, PUBACK = 1, 3, 4
_SESSION_EXPIRY, _RECEIVE_MAXIMUM = 0x11, 0x21
_VERSION_5 = 5


@dataclass(frozen=True)
class Packet:
    """One packet: its type, flags, and what follows the length."""

    kind: int
    flags: int
    body: bytes

    @property
    def mid(self) -> int:
        """Packet identifier of a PUBLISH of QoS 1 or of a PUBACK."""
        at = 0 if self.kind == PUBACK else 2 + int.from_bytes(self.body[:2])
        return int.from_bytes(self.body[at : at + 2])


@dataclass(frozen=True)
class Greeting:
    """What a CONNECT says of the session (MQTT 5, 3.1)."""

    version: int
    clean_start: bool
    client_id: str
    session_expiry_s: int | None = None
    receive_maximum: int | None = None


def greeting(packet: Packet) -> Greeting:
    """Read a CONNECT."""
    body = packet.body
    at = 2 + int.from_bytes(body[:2])
    version, flags = body[at], body[at + 1]
    at += 4  # version, flags, keep alive
    found: dict[int, int] = {}
    if version == _VERSION_5:
        length, at = _varint(body, at)
        end = at + length
        while at < end:
            width = {_SESSION_EXPIRY: 4, _RECEIVE_MAXIMUM: 2}[body[at]]
            found[body[at]] = int.from_bytes(body[at + 1 : at + 1 + width])
            at += 1 + width
    size = int.from_bytes(body[at : at + 2])
    name = body[at + 2 : at + 2 + size].decode()
    return Greeting(version, bool(flags & 2), name, found.get(_SESSION_EXPIRY), found.get(_RECEIVE_MAXIMUM))


@dataclass
class Recorder:
    """Listens on the loopback, passes everything on, and keeps the packets of both directions in one list."""

    host: str
    port: int
    packets: list[tuple[str, Packet]] = field(default_factory=list)
    """`to` or `from` the broker, and the packet."""
    listens_on: int = 0

    async def __aenter__(self) -> Recorder:
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.listens_on = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def seen(self, direction: str, kind: int) -> list[Packet]:
        """Return the packets of one kind in one direction."""
        return [packet for way, packet in self.packets if (way, packet.kind) == (direction, kind)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            there, back = await asyncio.open_connection(self.host, self.port)
            await asyncio.gather(self._pass(reader, back, "to"), self._pass(there, writer, "from"))
        self._tasks.discard(task)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, way: str) -> None:
        held = b""
        try:
            while data := await source.read(1 << 16):
                held += data
                while (first := _first(held)) is not None:
                    packet, end = first
                    self.packets.append((way, packet))
                    held = held[end:]
                target.write(data)
                await target.drain()
        finally:
            target.close()


def _first(data: bytes) -> tuple[Packet, int] | None:
    """Return the first packet and where it ends, once all of it is there."""
    length = data[1:5]
    if not any(byte < 0x80 for byte in length):
        return None
    size, at = _varint(data, 1)
    if len(data) < at + size:
        return None
    return Packet(data[0] >> 4, data[0] & 0xF, data[at : at + size]), at + size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if not byte & 0x80:
            return value, at
