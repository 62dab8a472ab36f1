"""Collect the readings of many polls into few commits, without ever dropping one.

A reading is judged when it arrives and committed within `commit_s`. If the store refuses (locked, disk full), the group
is kept and tried again; polling goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from evidence.reading import Reading
from gateway.errors import StoreError
from gateway.pipeline import Pipeline
from gateway.reading_store import Arrival

RETRY_S = 1.0

log = logging.getLogger("cunzheng.gateway")


class GroupCommit:
    """A buffer with one committing task."""

    def __init__(self, pipeline: Pipeline, commit_s: float, on_reading: Callable[[Reading], None]) -> None:
        self._pipeline, self._commit_s, self._on_reading = pipeline, commit_s, on_reading
        self._waiting: list[Arrival] = []
        self._wake = asyncio.Event()

    async def take(self, readings: Sequence[Reading]) -> None:
        """Judge readings and put them into the next commit."""
        self._waiting += [self._pipeline.arrival(reading) for reading in readings]
        self._wake.set()

    async def run(self) -> None:
        """Commit until cancelled; what is left is committed by `flush`."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._commit_s)
            self._wake.clear()
            while self._waiting:
                try:
                    await self.flush()
                except StoreError as error:
                    log.error("readings wait count=%d reason=%r", len(self._waiting), str(error))
                    await asyncio.sleep(RETRY_S)

    async def flush(self) -> None:
        """Commit everything that waits.

        Raises:
            StoreError: nothing was committed; everything still waits.
        """
        group = self._waiting[:]
        if group:
            commit = asyncio.ensure_future(self._pipeline.store(group))
            try:
                await asyncio.shield(commit)
            except asyncio.CancelledError:
                # The commit goes on in its thread all the same: a group that is in the store must not wait again.
                with suppress(StoreError):
                    await commit
                    self._take_away(group)
                raise
            self._take_away(group)

    def _take_away(self, group: Sequence[Arrival]) -> None:
        del self._waiting[: len(group)]
        for arrival in group:
            self._on_reading(arrival.reading)
