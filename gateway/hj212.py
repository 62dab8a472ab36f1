"""The TCP server that data loggers forward their HJ 212 frames to. Listens; never connects, never commands.

One stream per connection. A logger that sends is read as fast as the store commits and no faster, and not at all while
the disk has no room; its answer goes out on its own connection after the commit. What a frame means is the business of
`gateway/hj212_intake.py`.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from ipaddress import ip_address

from device_profiles.hj212 import Broken, FrameStream, PacketSeries
from gateway.hj212_intake import LoggerIntake
from gateway.settings import LoggerSettings

READ_BYTES = 16_384
ANSWER_TIMEOUT_S = 10.0
"""A logger that does not take its answers for so long is cut off; it will connect and send again."""
LISTEN_RETRY_S = 5.0
MOST_BROKEN = 65_536
"""Bytes of no frame in a row before the connection is closed: whoever sends this speaks another protocol."""

log = logging.getLogger("cunzheng.gateway")


class LoggerListener:
    """Accepts connections, hands over what they carry, answers."""

    def __init__(self, settings: LoggerSettings, intake: LoggerIntake) -> None:
        self._settings, self._intake = settings, intake
        self._connections: set[asyncio.Task[None]] = set()
        self._listening = asyncio.Event()
        self.port = 0
        """The port it listens on, once it does."""
        self.error: str | None = None
        """Why it does not listen; None while it does."""

    async def ready(self) -> None:
        """Wait until connections are accepted."""
        await self._listening.wait()

    def cut(self) -> None:
        """Close every connection; the loggers connect again and repeat what was not answered."""
        for task in self._connections:
            task.cancel()

    async def run(self) -> None:
        """Listen until cancelled; an address that cannot be had is tried again."""
        try:
            server = await self._server()
            async with server:
                await server.serve_forever()
        finally:
            self.cut()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _server(self) -> asyncio.Server:
        settings = self._settings
        while True:
            try:
                server = await asyncio.start_server(self._accepted, settings.host, settings.port)
            except OSError as error:
                if str(error) != self.error:
                    self.error = str(error)
                    await self._intake.note_listening(f"{settings.host}:{settings.port}", self.error)
                await asyncio.sleep(LISTEN_RETRY_S)
                continue
            self.error, self.port = None, server.sockets[0].getsockname()[1]
            await self._intake.note_listening(f"{settings.host}:{self.port}", None)
            self._listening.set()
            log.info("hj212 listens address=%s:%d", settings.host, self.port)
            return server

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("peername")
        peer = f"{address[0]}:{address[1]}" if address else "?"
        try:
            refusal = self._refusal(address)
            if refusal:
                log.warning("hj212 connection refused peer=%s reason=%r", peer, refusal)
                return
            log.info("hj212 connected peer=%s", peer)
            reason = await self._converse(reader, writer, peer)
            log.info("hj212 disconnected peer=%s reason=%r", peer, reason)
        except OSError as error:
            log.info("hj212 disconnected peer=%s reason=%r", peer, str(error))
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _refusal(self, address: tuple[str, int] | None) -> str:
        if len(self._connections) > self._settings.connections:
            return "too many connections"
        if self._settings.peers:
            host = ip_address(address[0].partition("%")[0]) if address else None
            if host is None or not any(host in network for network in self._settings.peers):
                return "not among peers"
        return ""

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> str:
        stream = FrameStream(
            allow_nonstandard_crc=self._intake.allows_nonstandard_crc,
            keys=self._intake.keys,
            longest=self._settings.longest,
        )
        series, broken = PacketSeries(), 0
        while True:
            try:
                data = await asyncio.wait_for(reader.read(READ_BYTES), self._settings.idle_s)
            except TimeoutError:
                data, reason = b"", "idle"
            except ConnectionError as error:
                data, reason = b"", str(error)
            else:
                reason = "closed by the logger"
            items = stream.feed(data) if data else stream.finish()
            for item in items:
                broken = broken + len(item.raw) if isinstance(item, Broken) else 0
            if items:
                answers = await self._intake.handle([self._intake.arrived(item, peer, series) for item in items])
                if answers and not await self._answered(writer, answers):
                    return "answers not taken"
            if not data:
                return reason
            if broken >= MOST_BROKEN:
                return "no frames, only noise"

    async def _answered(self, writer: asyncio.StreamWriter, answers: list[bytes]) -> bool:
        writer.write(b"".join(answers))
        try:
            await asyncio.wait_for(writer.drain(), ANSWER_TIMEOUT_S)
        except TimeoutError:
            writer.transport.abort()
            return False
        return True
