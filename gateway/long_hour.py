"""Seal an hour of many readings in short transactions, so that what is polled meanwhile is committed in time.

    summary (reads only) ─▶ begin part ─▶ some leaves ─▶ … ─▶ last leaves + segment + outbox ─▶ next part

The figures are computed from the readings up to one sequence number; what comes later waits for a segment of its own,
like every late reading. A part is as many channels as one statement can hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from evidence.channel import Channel
from evidence.reading import Leaf
from evidence.segment import Baseline, ChannelHour
from gateway.begun_segment import begin_part, go_on
from gateway.chain import Signer
from gateway.channel_store import baselines, declared_channels
from gateway.derived import Derived, derive_hour
from gateway.hour_quality import count_hour
from gateway.judgement import Judge
from gateway.rawtile import RawFolder
from gateway.reading_store import StoredReading, last_open, window_end, window_readings
from gateway.recall import recall_hours
from gateway.sealer import Sealed, parts_of
from gateway.segment_notes import count_errors, noted
from gateway.store import Store
from gateway.writer import Writer

Halt = Callable[[], bool]
"""Tells whether to stop after the transaction under way; what has begun is gone on with at the next start."""


def go_on_always() -> bool:
    """Never stop."""
    return False


class HourSummary:
    """Entries, errors and baselines of one hour while its readings go by; keeps none of them."""

    def __init__(self, channels: Mapping[str, Channel], baselines: Mapping[str, Baseline], judge: Judge) -> None:
        self._channels, self._before, self._judge = channels, baselines, judge
        self._hours: dict[str, ChannelHour] = {}
        self.errors: dict[str, Counter[str]] = {}

    def add(self, readings: Iterable[StoredReading]) -> None:
        """Take in the next readings of the hour, in the order they were stored.

        Raises:
            EvidenceError: time or value are not as they were stored.
        """
        groups: dict[str, list[Leaf]] = {}
        for reading in readings:
            groups.setdefault(reading.channel, []).append(reading.leaf_at(0))
            count_errors(self._judge, reading, self.errors)
        for channel, leaves in groups.items():
            if channel not in self._hours:
                self._hours[channel] = ChannelHour(self._channels[channel], self._before.get(channel))
            self._hours[channel].add(leaves)

    def entries(self) -> list[dict[str, Any]]:
        """Return the entries of the hour, sorted by channel."""
        return [hour.entry() for _, hour in sorted(self._hours.items())]

    def baselines(self) -> dict[str, Baseline]:
        """Return what the next differences are taken from, of the channels that the hour holds."""
        return {name: hour.baseline for name, hour in self._hours.items() if hour.baseline is not None}


def finish_begun(writer: Writer, signer: Signer, raw: RawFolder, most: int, halt: Halt = go_on_always) -> Sealed:
    """Bring the part that is under way to its segment, in as many transactions as it takes."""
    done = Sealed(0, 0)
    while not halt() and (step := writer.call(lambda store: go_on(store, signer, raw, most))) is not None:
        done = Sealed(done.segments + step.segments, done.readings + step.readings)
    return done


def seal_long_hour(
    writer: Writer, signer: Signer, raw: RawFolder, judge: Judge, hour: str, most: int, halt: Halt = go_on_always
) -> Sealed:
    """Seal one hour with at most `most` readings a transaction; nothing else is under way.

    Raises:
        EvidenceError, ArithmeticError: the hour cannot be sealed; what was signed of it stands.
    """

    def derive(one: Derived, store: Store) -> None:
        recall_hours(store, raw, [hour])
        derive_hour(store, [one], hour, signer.clock.now())

    def count(channel: str, store: Store) -> None:
        recall_hours(store, raw, [hour])
        count_hour(store, judge, hour, channel)

    for one in judge.derived:
        writer.call(partial(derive, one))
    for channel in judge.minute_channels():
        writer.call(partial(count, channel))
    upto = writer.call(lambda store: last_open(store, hour))
    summary = HourSummary(writer.call(declared_channels), writer.call(baselines), judge)
    at = 0
    while at < upto:
        if halt():
            return Sealed(0, 0)

        def look(store: Store, at: int = at) -> tuple[int, list[StoredReading]]:
            end = window_end(store, hour, at, upto, most)
            return end, window_readings(store, hour, at, end)

        at, readings = writer.call(look)
        summary.add(readings)
    entries = writer.call(lambda store: noted(store, judge, hour, summary.entries(), summary.errors))
    done = Sealed(0, 0)
    for part in parts_of(entries):
        if halt():
            break
        writer.call(partial(begin_part, signer, hour, upto, part, summary.baselines()))
        step = finish_begun(writer, signer, raw, most, halt)
        done = Sealed(done.segments + step.segments, done.readings + step.readings)
    return done
