"""One thread that owns the database connection and takes functions from a queue.

Each function runs inside one `BEGIN IMMEDIATE` transaction and gets the store; its result comes back as a future.
asyncio code awaits `do`, everything else blocks on `call`.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from gateway.errors import StoreError
from gateway.store import Store

R = TypeVar("R")
_Job = tuple[Callable[[Store], object], "Future[object]"]


class Writer:
    """Runs functions over the store one after another, each in its own transaction."""

    def __init__(self, path: Path) -> None:
        """Open the store in the new thread.

        Raises:
            StoreError: the store cannot be opened.
        """
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._closed = False
        self._door = threading.Lock()
        """Nothing is queued behind the end, where nobody would ever answer it."""
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(path, opened), name="gateway-writer", daemon=True)
        self._thread.start()
        opened.result()

    def submit(self, function: Callable[[Store], R]) -> Future[R]:
        """Queue a function; the future resolves after its commit.

        Raises:
            StoreError: the writer is closed.
        """
        future: Future[R] = Future()
        with self._door:
            if self._closed:
                raise StoreError("数据库已关闭", "the database is closed")
            self._jobs.put((function, future))  # type: ignore[arg-type]
        return future

    def call(self, function: Callable[[Store], R]) -> R:
        """Run a function and wait for its commit."""
        return self.submit(function).result()

    async def do(self, function: Callable[[Store], R]) -> R:
        """Run a function and await its commit."""
        return await asyncio.wrap_future(self.submit(function))

    def close(self) -> None:
        """Finish what is queued, then close the store."""
        with self._door:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        self._thread.join()

    def _run(self, path: Path, opened: Future[None]) -> None:
        try:
            store = Store(path)
        except BaseException as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        while (job := self._jobs.get()) is not None:
            function, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                with store.transaction():
                    result = function(store)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
        store.close()
