"""A serial port without a cable: a pseudo-terminal behind which an RTU server stands.

Whoever opens the port finds the devices of that server on the line. A connection that the server closes is made anew,
because a serial line has nothing to hang up.
"""

from __future__ import annotations

import asyncio
import os
import tty
from contextlib import suppress
from pathlib import Path

from .errors import ListenError
from .modbus_device import ModbusSimulatorServer

_MOST_BYTES = 1024
_RECONNECT_S = 0.05


class SerialLine:
    """Joins a pseudo-terminal to a server with RTU framing; use `async with`."""

    def __init__(self, server: ModbusSimulatorServer, path: Path | None = None) -> None:
        """`path` is where the port appears, as a link; without one it has the name that the system gives it."""
        self.name = ""
        self._server, self._path = server, path
        self._ends: tuple[int, int] | None = None
        self._task: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> SerialLine:
        """Open the port. Raises: ListenError where it cannot be had."""
        try:
            master, port = os.openpty()
            tty.setraw(master)
            tty.setraw(port)
            self._ends, self.name = (master, port), os.ttyname(port)
            if self._path is not None:
                if self._path.is_symlink():
                    self._path.unlink()
                self._path.symlink_to(self.name)
                self.name = str(self._path)
        except OSError as error:
            self._close_ends()
            raise ListenError(
                f"无法建立串口 {self._path or ''}：{error}", f"cannot make the port {self._path or ''}: {error}"
            ) from error
        os.set_blocking(master, False)
        asyncio.get_running_loop().add_reader(master, self._asked)
        self._task = asyncio.create_task(self._answers())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._ends is not None:
            asyncio.get_running_loop().remove_reader(self._ends[0])
        if self._path is not None and self._path.is_symlink():
            self._path.unlink()
        self._close_ends()

    def _asked(self) -> None:
        """Pass on what the line's master says; without a connection it is lost, as on a line that nobody hears."""
        with suppress(OSError):
            data = os.read(self._ends[0] if self._ends else -1, _MOST_BYTES)
            if self._writer is not None and not self._writer.is_closing():
                self._writer.write(data)

    async def _answers(self) -> None:
        while True:
            try:
                reader, self._writer = await asyncio.open_connection(self._server.host, self._server.port)
            except OSError:
                await asyncio.sleep(_RECONNECT_S)
                continue
            try:
                while data := await reader.read(_MOST_BYTES):
                    with suppress(OSError):  # nobody empties the port: what does not fit is lost
                        os.write(self._ends[0] if self._ends else -1, data)
            except ConnectionError:
                pass
            finally:
                self._writer.close()
                self._writer = None

    def _close_ends(self) -> None:
        for end in self._ends or ():
            os.close(end)
        self._ends = None
