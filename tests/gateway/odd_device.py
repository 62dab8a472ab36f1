"""A Modbus device that misbehaves on purpose: it speaks bytes, knows no library, and does what its script says.

Each request it hears takes the next act of the script; when that is used up it answers well. Its registers hold their
own address, so that an answer taken for another is seen.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from device_profiles.hj212.crc import modbus_crc


@dataclass(frozen=True)
class Asked:
    """One request as it came."""

    frame: bytes
    transaction: int
    unit: int
    data: bytes

    @property
    def count(self) -> int:
        return int.from_bytes(self.data[3:5], "big")


def good(data: bytes) -> bytes:
    """The right answer: each register holds its address, each bit whether its address is odd."""
    function, address, count = struct.unpack(">BHH", data)
    if function in (1, 2):
        packed = sum(((address + at) & 1) << at for at in range(count)).to_bytes((count + 7) // 8, "little")
        return bytes([function, len(packed)]) + packed
    return bytes([function, 2 * count]) + struct.pack(f">{count}H", *(address + at & 0xFFFF for at in range(count)))


def wrapped(asked: Asked, data: bytes, *, unit: int | None = None, transaction: int | None = None) -> bytes:
    """Put data into a frame of the kind that the request came in."""
    body = bytes([asked.unit if unit is None else unit]) + data
    if asked.transaction < 0:
        return body + modbus_crc(body).to_bytes(2, "big")
    number = asked.transaction if transaction is None else transaction
    return struct.pack(">HHH", number & 0xFFFF, 0, len(body)) + body


Act = Callable[["OddDevice", Asked], Sequence[bytes | float | None]]
"""What to do on a request: bytes to send (none at all: send nothing ever more), seconds to wait, None to hang up."""


def answer(device: OddDevice, asked: Asked) -> Sequence[bytes | float | None]:
    return [wrapped(asked, good(asked.data))]


@dataclass
class OddDevice:
    """The device; `async with` it, over TCP in either framing."""

    framing: str
    script: list[Act] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    silent_units: frozenset[int] = frozenset()
    port: int = 0

    async def __aenter__(self) -> OddDevice:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.sleep(0)  # a connection made this moment has its task now
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                asked = await self._request(reader)
                self.asked.append(asked)
                if asked.unit in self.silent_units:
                    continue
                act = self.script.pop(0) if self.script else answer
                for step in act(self, asked):
                    if step is None:
                        return
                    if isinstance(step, float):
                        await asyncio.sleep(step)
                    elif not step:
                        writer.write_eof()
                    else:
                        writer.write(step)
                        await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            self._tasks.discard(task)

    async def _request(self, reader: asyncio.StreamReader) -> Asked:
        if self.framing == "tcp":
            head = await reader.readexactly(6)
            body = await reader.readexactly(int.from_bytes(head[4:6], "big"))
            return Asked(head + body, int.from_bytes(head[:2], "big"), body[0], body[1:])
        head = await reader.readexactly(2)
        rest = await reader.readexactly(5 if head[1] == 0x2B else 6)
        body = head + rest[:-2]
        assert modbus_crc(body).to_bytes(2, "big") == rest[-2:]
        return Asked(head + rest, -1, body[0], body[1:])
