"""Tell systemd how the service is doing: ready, reloading, stopping, and alive (sd_notify(3), one datagram each).

Alive means that both halves of the gateway move: the event loop, which must come round to this task, and the writer,
which must answer a transaction. Whichever is stuck stops the pings, and systemd starts the gateway anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from gateway.errors import StoreError
from gateway.store import Store
from gateway.writer import Writer

PINGS_PER_LIMIT = 4
"""So many pings in the time after which systemd would give up."""

log = logging.getLogger("cunzheng.gateway")


class Notifier:
    """The service manager, if there is one; otherwise everything here does nothing."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        is_mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit = environment.get("WATCHDOG_USEC", "") if is_mine and address else ""
        self.limit_s = int(limit) / 1_000_000 if limit.isascii() and limit.isdigit() else 0.0
        """Seconds without a ping after which the service is restarted; 0 when nobody watches."""

    def say(self, *states: str) -> None:
        """Send assignments such as `READY=1`; a manager that does not listen is no reason to fail."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.setblocking(False)
                channel.sendto("\n".join(states).encode(), self._address)
        except OSError as error:
            log.warning("systemd not told states=%s reason=%r", ",".join(states), str(error))

    def reloading(self) -> None:
        """Say that the site file is read again; `READY=1` says that this is over."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
        self.say("RELOADING=1", f"MONOTONIC_USEC={now}")

    async def watchdog(self, writer: Writer) -> None:
        """Ping for ever, each time after the writer has answered; wait for ever where nobody watches."""
        while self.limit_s:
            with suppress(StoreError):  # refused is answered: a full or locked disk is not cured by a restart
                await writer.do(_nothing)
            self.say("WATCHDOG=1")
            await asyncio.sleep(self.limit_s / PINGS_PER_LIMIT)
        await asyncio.Event().wait()


def _nothing(_store: Store) -> None:
    """Begin and commit an empty transaction."""
