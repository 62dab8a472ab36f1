"""Brings together, in the page's own thread, what the store says and what the running service knows."""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.assembly import Gateway
from gateway.page_facts import Facts, Vitals, gather
from gateway.reload import Reload

ANSWER_S = 2.0
"""A loop that does not say how it is for so long is shown with what it said last."""


class Running(Protocol):
    """The service, as far as the page asks it."""

    reload: Reload

    def vitals(self) -> Vitals:
        """Tell what only it knows; called on its event loop."""


class Board:
    """Asks the service on its loop, and the store beside it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, gateway: Gateway, service: Running) -> None:
        self._loop, self._gateway, self._service = loop, gateway, service
        self._last = Vitals()

    def facts(self) -> Facts:
        """Look at everything once; never called on the service's loop, which is waited for.

        Raises:
            StoreError: the store cannot be read.
        """
        asked = asyncio.run_coroutine_threadsafe(self._vitals(), self._loop)
        try:
            self._last = asked.result(ANSWER_S)
        except TimeoutError:
            asked.cancel()
        return gather(
            self._gateway.settings, self._gateway.clock, self._last, tuple(self._service.reload.catalogue.channels)
        )

    async def _vitals(self) -> Vitals:
        return self._service.vitals()
