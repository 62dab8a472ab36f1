"""What is asked of one device in a poll, and what was learned about it: blocks it rejects whole, requests it refuses.

A block that a device rejects is cut in halves until the part it minds is alone; what answers is asked like that from
then on, for the life of the process. What is refused for itself is a matter of configuration, not of patience: it is
asked again after ever longer pauses. Times are seconds of a clock that never steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from device_profiles import ReadBlock, Table
from gateway.catalogue import Instrument
from gateway.errors import DeviceError

_MOST_DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the device refused: how, how often in a row, and when it is asked again."""

    error: DeviceError
    times: int
    again_at: float


class RequestList:
    """The requests of one device."""

    def __init__(self, instrument: Instrument, *, first_pause_s: float, longest_pause_s: float) -> None:
        self._profile = instrument.profile
        self._planned = tuple(instrument.profile.plan(sorted(instrument.channels)))
        self._learned: dict[ReadBlock, tuple[ReadBlock, ...]] = {}
        self._refusals: dict[ReadBlock, Refusal] = {}
        self._first_pause_s, self._longest_pause_s = first_pause_s, longest_pause_s

    def requests(self) -> tuple[ReadBlock, ...]:
        """List what to ask in a poll."""
        return tuple(one for block in self._planned for one in self._learned.get(block, (block,)))

    @property
    def looks_twice(self) -> bool:
        """Whether something is read before and after the rest."""
        return any(block.again for block in self._planned)

    @property
    def splits(self) -> int:
        """How many blocks are asked in parts."""
        return len(self._learned)

    @property
    def refusals(self) -> tuple[tuple[ReadBlock, Refusal], ...]:
        """What the device refuses now."""
        return tuple(self._refusals.items())

    def held(self, block: ReadBlock, now: float) -> DeviceError | None:
        """Return why a request is not to be sent now."""
        refusal = self._refusals.get(block)
        return refusal.error if refusal is not None and now < refusal.again_at else None

    def halves(self, block: ReadBlock) -> tuple[ReadBlock, ...]:
        """Cut a block between points; a block of one point stays whole."""
        pieces = self._pieces(block)
        if len(pieces) < 2:
            return (block,)
        middle = len(pieces) // 2
        return _joined(pieces[:middle], block), _joined(pieces[middle:], block)

    def learn(self, block: ReadBlock, parts: tuple[ReadBlock, ...]) -> None:
        """Ask a block of `requests` in these parts from now on."""
        for planned in self._planned:
            known = self._learned.get(planned, (planned,))
            if block in known:
                at = known.index(block)
                self._learned[planned] = (*known[:at], *parts, *known[at + 1 :])
                return

    def refused(self, block: ReadBlock, error: DeviceError, now: float) -> None:
        """Note that the device refused a request."""
        was = self._refusals.get(block)
        times = 1 if was is None else was.times + 1
        pause = min(self._first_pause_s * (1 << min(times - 1, _MOST_DOUBLINGS)), self._longest_pause_s)
        self._refusals[block] = Refusal(error, times, now + pause)

    def answered(self, block: ReadBlock) -> None:
        """Note that the device answered a request."""
        self._refusals.pop(block, None)

    def _pieces(self, block: ReadBlock) -> list[tuple[tuple[Table, int, int], tuple[str, ...]]]:
        found: dict[tuple[Table, int, int], tuple[str, ...]] = {}
        for name in block.points:
            for piece in self._profile.points[name].pieces:
                table, address, words = piece
                if table is block.table and block.address <= address <= block.address + block.count - words:
                    found[piece] = (*found.get(piece, ()), name)
        return sorted(found.items(), key=lambda one: (one[0][1], one[0][2]))


def _joined(pieces: list[tuple[tuple[Table, int, int], tuple[str, ...]]], block: ReadBlock) -> ReadBlock:
    start = pieces[0][0][1]
    end = max(address + words for (_, address, words), _ in pieces)
    names = dict.fromkeys(name for _, names in pieces for name in names)
    return ReadBlock(block.table, start, end - start, tuple(names), again=block.again)
