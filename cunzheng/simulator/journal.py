"""What a simulated plant did, as JSON lines: what it served, with true values, and each fault from start to end.

A test reads it to know what a gateway must have: an answer or a message that stands here and nowhere else was lost.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Protocol

from .errors import PlantFileError


class Note(Protocol):
    """Takes one thing that a device did."""

    def __call__(self, what: str, **facts: object) -> None: ...


def unnoted(what: str, **facts: object) -> None:
    """Note nothing."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Journal:
    """Counts everything, and writes it to a file where there is one; any thread may note."""

    def __init__(self, path: Path | None = None, clock: Callable[[], datetime] = _utc_now) -> None:
        """Open the file.

        Raises: PlantFileError where it cannot be written.
        """
        self.counts: Counter[tuple[str, str]] = Counter()
        """By device and what it did."""
        self._clock, self._lock = clock, threading.Lock()
        self._file: IO[str] | None = None
        if path is not None:
            try:
                self._file = path.open("a", encoding="utf-8", buffering=1)
            except OSError as error:
                raise PlantFileError(f"{path}：无法写入：{error}", f"{path}: cannot be written: {error}") from error

    def of(self, device: str) -> Note:
        """Return what one device notes with."""

        def note(what: str, **facts: object) -> None:
            self.note(device, what, facts)

        return note

    def note(self, device: str, what: str, facts: Mapping[str, object]) -> None:
        """Write a line."""
        at = self._clock()
        with self._lock:
            self.counts[device, what] += 1
            if self._file is not None and not self._file.closed:
                line = {"at": _text(at), "device": device, "what": what, **facts}
                self._file.write(json.dumps(line, ensure_ascii=False, default=_text) + "\n")

    def close(self) -> None:
        """Write the counts and close the file."""
        for device in sorted({device for device, _ in self.counts}):
            self.note(device, "count", {what: n for (name, what), n in sorted(self.counts.items()) if name == device})
        with self._lock:
            if self._file is not None:
                self._file.close()


def _text(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, frozenset):
        return sorted(value)
    return str(value)
