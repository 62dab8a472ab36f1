"""Collect the readings of many polls into few commits, without ever dropping one.

A reading is judged when it arrives and committed within `commit_s`. If the store refuses, the group is kept and tried
again; polling goes on until so many readings wait that no more are taken, and stops at once when the disk is full.
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
from gateway.room import Room

RETRY_S = 1.0
MOST_WAITING = 50_000
"""Readings held in memory, about 50 MB; who brings more waits, and the gap is seen by check Q06."""
_WHO = "readings"

log = logging.getLogger("cunzheng.gateway")


class GroupCommit:
    """A buffer with one committing task."""

    def __init__(
        self,
        pipeline: Pipeline,
        commit_s: float,
        on_reading: Callable[[Reading], None],
        *,
        room: Room | None = None,
        most: int = MOST_WAITING,
    ) -> None:
        self._pipeline, self._commit_s, self._on_reading = pipeline, commit_s, on_reading
        self._room, self._most = room or Room(pipeline.signer.clock), most
        self._waiting: list[Arrival] = []
        self._wake, self._place = asyncio.Event(), asyncio.Event()
        self._place.set()
        self._gone, self._moved = 0, asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many readings are not committed yet."""
        return len(self._waiting)

    async def take(self, readings: Sequence[Reading]) -> None:
        """Judge readings and put them into the next commit; wait while there are too many already."""
        while not self._place.is_set():
            await self._place.wait()
        self._waiting += [self._pipeline.arrival(reading) for reading in readings]
        if len(self._waiting) >= self._most:
            self._place.clear()
        self._wake.set()

    async def run(self) -> None:
        """Commit until cancelled; what is left is committed by `flush`."""
        said = ""
        while True:
            await self._wake.wait()
            await asyncio.sleep(self._commit_s)
            self._wake.clear()
            while self._waiting:
                try:
                    await self.flush()
                except StoreError as error:
                    if str(error) != said:
                        log.error("readings wait count=%d reason=%r", len(self._waiting), str(error))
                    said = str(error)
                    await asyncio.sleep(RETRY_S)
                else:
                    said = ""

    async def committed(self) -> None:
        """Wait until everything that was taken so far is in the store; one may wait at a time."""
        last = self._gone + len(self._waiting)
        while self._gone < last:
            self._moved.clear()
            await self._moved.wait()

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
            except StoreError as error:
                self._room.refused(_WHO, error)
                raise
            self._take_away(group)

    def _take_away(self, group: Sequence[Arrival]) -> None:
        del self._waiting[: len(group)]
        if len(self._waiting) < self._most:
            self._place.set()
        self._room.accepted(_WHO)
        self._gone += len(group)
        self._moved.set()
        for arrival in group:
            self._on_reading(arrival.reading)
