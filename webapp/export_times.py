"""What a bundle shows of time: the first checkpoint over each entry that bears a time, and the first time-stamp.

A checkpoint that nobody cosigned says nothing of time and stays out, so a log without witnesses exports none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from webapp import store_stamps

_SIGNATURE_LINE = "\n— "


@dataclass(frozen=True)
class TimeFiles:
    """Files of a bundle by log size."""

    checkpoints: dict[str, bytes]
    stamps: dict[str, bytes]


def time_files(session: Session, indexes: Sequence[int]) -> TimeFiles:
    """Gather checkpoints and time-stamps that bound the times of some entries."""
    stamps = store_stamps.first_over(session, indexes)
    notes = {
        size: text
        for size, text in store_stamps.first_checkpoints_over(session, indexes).items()
        if text.count(_SIGNATURE_LINE) > 1
    }
    notes |= store_stamps.checkpoint_texts(session, [stamp.size for stamp in stamps])
    return TimeFiles(
        {str(size): text.encode("utf-8") for size, text in notes.items()},
        {str(stamp.size): stamp.data for stamp in stamps},
    )
