"""What time does to a log: cosigned checkpoints and time-stamps say which entries were there, and when at the latest.

A cosignature means "the largest consistent tree I have seen as of that time" (C2SP tlog-cosignature), a time-stamp "I
have seen this text at that time" (RFC 3161). So every entry below a checkpoint's size was there by its time, and who
has verified a cosigned checkpoint did so after its time.
"""

import bisect
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from evidence.errors import Code, EvidenceError
from evidence.note import verify_checkpoint, verify_note
from evidence.trust import Trust

LAST_SECOND = int(datetime(9999, 1, 1, tzinfo=UTC).timestamp())


@dataclass(frozen=True)
class Mark:
    """The first ``size`` entries of the log were there at ``time``.

    ``is_cosigned``: the checkpoint itself bears the time, so whoever anchors to it did so later.
    """

    size: int
    time: datetime
    is_cosigned: bool


class Timeline:
    """The marks of one log, to be asked for the limits of a statement's time."""

    def __init__(self, marks: Iterable[Mark]) -> None:
        ordered = sorted(marks, key=lambda mark: mark.size)
        self._sizes = [mark.size for mark in ordered]
        backwards = itertools.accumulate((mark.time for mark in reversed(ordered)), min)
        self._first = list(backwards)[::-1]
        cosigned = [mark for mark in ordered if mark.is_cosigned]
        self._cosigned_sizes = [mark.size for mark in cosigned]
        self._last = list(itertools.accumulate((mark.time for mark in cosigned), max))

    def first_with(self, index: int) -> datetime | None:
        """Return the earliest time at which entry ``index`` is shown to be in the log; None where nothing shows it."""
        at = bisect.bisect_right(self._sizes, index)
        return self._first[at] if at < len(self._first) else None

    def last_before(self, size: int) -> datetime | None:
        """Return the latest time that somebody who has verified a checkpoint of ``size`` must have been at."""
        at = bisect.bisect_right(self._cosigned_sizes, size)
        return self._last[at - 1] if at else None


def cosigned_at(note: str, trust: Trust) -> datetime | None:
    """Return when a checkpoint first had the cosignatures that the policy asks for; None where it bears no time.

    Where the policy asks for none, the first known witness counts.

    Raises:
        EvidenceError: as :func:`evidence.note.verify_checkpoint`; ``CHECKPOINT_FORMAT`` for an impossible time.
    """
    verify_checkpoint(note, trust.log, trust.policy)
    _, signers = verify_note(note, [trust.log, *trust.policy.witness_keys])
    cosigned = sorted((time, key.text, key) for key, time in signers.items() if time is not None)
    for count, (time, _, _) in enumerate(cosigned, 1):
        if trust.policy.is_met([key for _, _, key in cosigned[:count]]):
            if time > LAST_SECOND:
                raise EvidenceError(Code.CHECKPOINT_FORMAT, f"cosigned at second {time}, which no calendar has")
            return datetime.fromtimestamp(time, UTC)
    return None
