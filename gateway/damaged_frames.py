"""Frames of one device that were refused for a wrong check sum or length, until they are put aside (check Q01).

All are counted; of a line that is bad for hours only so many are kept, cut to the length of the longest frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

KEPT_AN_HOUR = 20
LONGEST = 256
"""Bytes of an RTU frame."""
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class DamagedFrame:
    """Bytes as they came, why they were refused, and when, on a clock that never steps."""

    raw: bytes
    reason: str
    at: float


class DamagedFrames:
    """What waits to be put aside, and how many were refused since the last time."""

    def __init__(self) -> None:
        self._frames: list[DamagedFrame] = []
        self._refused = self._kept = 0
        self._hour_began = float("-inf")

    def add(self, raw: bytes, reason: str, at: float) -> None:
        """Count a refused frame, and keep it if there is room."""
        self._refused += 1
        if at - self._hour_began >= _HOUR_S:
            self._hour_began, self._kept = at, 0
        if raw and self._kept < KEPT_AN_HOUR:
            self._kept += 1
            self._frames.append(DamagedFrame(raw[:LONGEST], reason, at))

    def take(self) -> tuple[int, list[DamagedFrame]]:
        """Hand over the count and the frames; whoever cannot store them gives them back."""
        taken = self._refused, self._frames
        self._refused, self._frames = 0, []
        return taken

    def give_back(self, refused: int, frames: Iterable[DamagedFrame]) -> None:
        """Keep what could not be stored."""
        self._refused += refused
        self._frames[:0] = frames
