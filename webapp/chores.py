"""What the centre does by itself beside requests: get checkpoints cosigned, and read the log again and again.

Runs as a thread of each worker process. Witnesses are asked by whoever comes first; the log is read by one process,
the others stand by in case it ends.
"""

from __future__ import annotations

import fcntl
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from evidence.encoding import time_text
from webapp.center import Center
from webapp.log_scrub import Damage, scrub
from webapp.tile_files import write_durably

TICK_S = 1.0
logger = logging.getLogger(__name__)


def damage_file(folder: Path) -> Path:
    """Where the last walk through the log says what it found."""
    return folder / "scrub.json"


def known_damage(folder: Path) -> list[str]:
    """Return the places that the last walk found damaged."""
    try:
        places = json.loads(damage_file(folder).read_bytes())["damaged"]
    except (OSError, ValueError, KeyError):
        return []
    return [str(place) for place in places]


class Chores:
    """Does the chores of one process until it is told to stop."""

    def __init__(self, center: Center) -> None:
        self._center = center
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self._turn: IO[str] | None = None
        self._walk: Iterator[list[Damage]] | None = None
        self._found: list[Damage] = []
        self._rest = 0.0

    def start(self) -> None:
        """Begin, in a thread that ends with the process."""
        self._thread = threading.Thread(target=self._run, name="centre-chores", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for what is under way."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        if self._turn is not None:
            self._turn.close()

    def _run(self) -> None:
        while not self._end.wait(TICK_S):
            try:
                self.once()
            except Exception:  # a chore that fails must not end the others
                logger.exception("chore failed")
                self._walk = None

    def once(self) -> None:
        """Do what is due now."""
        cosigning = self._center.log.cosigning
        if cosigning is not None:
            cosigning.ask_again()
        self._rest -= TICK_S
        if self._rest <= 0 and self._has_turn():
            self._rest = self._center.settings.log.scrub_pause_s
            self._scrub_step()

    def _scrub_step(self) -> None:
        center = self._center
        if self._walk is None:
            self._walk, self._found = scrub(center.log, center.database), []
        found = next(self._walk, None)
        for damage in found or ():
            logger.critical("log damaged place=%r detail=%r", damage.place, damage.en)
        self._found += found or []
        if found is None:
            self._walk = None
        if found is None or found:
            facts = {"at": time_text(center.now()), "damaged": [damage.place for damage in self._found]}
            write_durably(damage_file(center.log.folder), json.dumps(facts).encode())

    def _has_turn(self) -> bool:
        """Take the place of the one that reads the log, unless another process has it."""
        if self._turn is None:
            file = (self._center.log.folder / ".scrub").open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return False
            self._turn = file
        return True
