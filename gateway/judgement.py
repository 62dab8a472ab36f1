"""The gateway's judge: one state per channel, what is marked and calibrated, and what was found, until it is stored.

The rules themselves are evidence's (`evidence.judge`); here they meet the order in which readings arrive. Findings
wait here as counts and gaps; the pipeline stores them with the readings, or soon after.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from evidence.channel import Channel, ChannelKind
from evidence.judge import Basis, Circumstances, Finding, Gap, Limits, TotalWatch, Verdict, Watch, decide
from evidence.judge_device import Calibrated, IdentityChange, changed_identity, frame_refused
from evidence.judge_rules import RuleSet, packaged_rules
from evidence.judge_time import Instant
from evidence.judge_total import FaultWatch, judge_fault
from evidence.marks import CalibrationRecord, Mark, MarkKind
from evidence.reading import Flag, Reading
from gateway.channel_store import newest_totals, newest_value
from gateway.derived import Derived
from gateway.quality_store import records_after
from gateway.store import Store

CHANNELS_IN_EVENT = 200
"""Keeps a gap event far below the longest statement."""
_NO_LIMITS = Limits()
_MAINTENANCE = frozenset({MarkKind.MAINTENANCE, MarkKind.MONITOR_FAULT})


@dataclass
class Pending:
    """What was found and is not stored yet: counts by (day, rule, channel), and gaps."""

    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    gaps: list[Gap] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.counts or self.gaps)


class Judge:
    """Judges readings of declared channels, one after another."""

    def __init__(
        self,
        channels: dict[str, Channel],
        limits: Mapping[str, Limits],
        bases: Mapping[str, Basis] | None = None,
        *,
        rules: RuleSet | None = None,
        restart_counters: Mapping[str, tuple[str, ...]] | None = None,
        error_counters: Mapping[str, tuple[str, ...]] | None = None,
        derived: tuple[Derived, ...] = (),
    ) -> None:
        """Take the channels; `bases` says more of some of them, `restart_counters` whose restarts a channel counts.

        `error_counters` are counters of what passed in fault, each with the totals that do not hold it. `derived` are
        the channels that are computed when an hour is sealed.
        """
        self.channels, self.rules, self.derived = channels, rules or packaged_rules(), derived
        self.bases = {
            name: (bases or {}).get(name) or Basis(channel, self.rules, limits.get(name, _NO_LIMITS))
            for name, channel in channels.items()
        }
        self._counters, self._error_counters = restart_counters or {}, error_counters or {}
        self._faults: dict[str, FaultWatch] = {}
        self._in_fault: dict[str, Decimal] = {}
        self._of_device: dict[str, tuple[Finding, ...]] = {}
        self._watches: dict[str, Watch] = {}
        self._marks: dict[str, list[Mark]] = {}
        self._restarted: set[str] = set()
        self._last_record = 0
        self._calibrated: dict[str, Calibrated] = {}
        """Beside the watches, because records arrive in the writer's thread."""
        self._pending, self._lock = Pending(), threading.Lock()
        self._former: dict[str, str] = {}
        """Devices of channels that a judge before this one knew."""

    def resume(self, store: Store) -> None:
        """Take the newest stored totals as believed, and what was recorded of marks, calibrations and identity.

        Times are not taken: that the gateway was not running is a gap of its own.
        """
        self._watches = {name: Watch(total=TotalWatch(base)) for name, base in newest_totals(store).items()}
        for name in self._error_counters:
            if (total := self._watches.get(name, Watch()).total) is not None:
                self._faults[name] = FaultWatch(total.believed)
        for name, basis in self.bases.items():
            if basis.is_identity or name in self._counters:
                known = newest_value(store, name)
                if known is not None:
                    seen = Instant(known.time, known.value, Flag.NORMAL)
                    self._watches[name] = replace(self._watch(name), identity=seen)
        self.refresh(store)

    def follow(self, before: Judge) -> None:
        """Go on where another judge stopped, with every channel that means the same as before."""
        self._former = {**before._former, **{name: one.device for name, one in before.channels.items()}}
        same = [name for name, basis in self.bases.items() if before.bases.get(name) == basis]
        self._watches |= {name: before._watches[name] for name in same if name in before._watches}
        self._faults |= {name: before._faults[name] for name in same if name in before._faults}
        self._in_fault = {name: before._in_fault[name] for name in same if name in before._in_fault}
        self._of_device = {name: before._of_device[name] for name in same if name in before._of_device}
        self._restarted = before._restarted & set(same)
        self.give_back(before.take())

    def refresh(self, store: Store) -> None:
        """Know the marks and calibrations that were recorded since, by this program or another."""
        for number, record in records_after(store, self._last_record):
            self._last_record = number
            if isinstance(record, Mark):
                self._note_mark(record)
            else:
                self._note_calibration(record)

    # -- judging -------------------------------------------------------------------------------------------

    def judged(self, reading: Reading) -> Reading:
        """Return the reading with the flag and reason it deserves."""
        return self.verdict(reading).reading

    def verdict(self, reading: Reading) -> Verdict:
        """Judge a reading and remember what was found."""
        name = reading.channel
        basis = self.bases[name]
        before = self._watch(name)
        calibrated = self._calibrated.get(name)
        if calibrated is not None and before.calibrated != calibrated:
            before = replace(before, calibrated=calibrated)
        verdict = decide(before, reading, basis, reading.received, self._around(reading))
        self._watches[name] = verdict.watch
        if name in self._counters:
            self._count_restart(before, verdict)
        if name in self._error_counters:
            self._count_in_fault(verdict)
        if name in self._of_device and self._of_device[name][0] in verdict.findings:
            del self._of_device[name]
        if name in self._restarted and verdict.reading.is_valid:
            self._restarted.discard(name)
        if verdict.findings or verdict.gaps:
            day = f"{reading.received:%Y-%m-%d}"
            with self._lock:
                for one in verdict.findings:
                    self._pending.counts[day, one.rule, name] += 1
                self._pending.gaps += verdict.gaps
        return verdict

    def forget_times(self) -> None:
        """Take the next readings for no gap and no jump, after a pause that has a gap event of its own."""
        for name, watch in self._watches.items():
            self._watches[name] = replace(watch, last=None, alive=None, why_silent="")

    def frame_refused(self, source: str, reason: str, now: datetime) -> None:
        """Count a frame that its parser refused (check Q01)."""
        if frame_refused(reason, self.rules) is not None:
            with self._lock:
                self._pending.counts[f"{now:%Y-%m-%d}", "Q01", source] += 1

    def _watch(self, channel: str) -> Watch:
        return self._watches.get(channel) or Watch()

    def _around(self, reading: Reading) -> Circumstances:
        name = reading.channel
        marks = self._marks.get(name)
        kinds = {mark.kind for mark in marks if mark.covers(reading.time)} if marks else frozenset()
        of_device, in_fault = self._of_device.get(name, ()), self._in_fault.get(name)
        if not kinds and name not in self._restarted and not of_device and in_fault is None:
            return _USUAL
        return Circumstances(
            is_stopped=MarkKind.STOP in kinds,
            is_maintained=bool(kinds & _MAINTENANCE),
            has_restarted=name in self._restarted,
            of_device=of_device,
            in_fault=in_fault,
        )

    def _count_restart(self, before: Watch, verdict: Verdict) -> None:
        """A counter of restarts that moved tells every total of its device."""
        reading = verdict.reading
        if not reading.is_valid:
            return
        name, known = reading.channel, before.identity
        if known is not None and known.value != reading.value:
            self._restarted |= set(self._counters[name])
        here = Instant(reading.time, reading.value, reading.flag)
        self._watches[name] = replace(verdict.watch, identity=here)

    def _count_in_fault(self, verdict: Verdict) -> None:
        """A counter of what passed in fault tells its totals, for as long as it grows."""
        name, reading = verdict.reading.channel, verdict.reading
        if not reading.is_valid:
            return
        watch, grown, told = judge_fault(self._faults.get(name), reading, self.bases[name].rules)
        if watch is not None:
            self._faults[name] = watch
        for total in self._error_counters[name]:
            if grown is None:
                self._in_fault.pop(total, None)
            else:
                self._in_fault[total] = grown
            if told is not None:
                said = f"Q31 counted in fault: {name} from {told[0].value} to {told[1].value}"
                with self._lock:
                    self._pending.gaps.append(Gap(total, told[0].time, told[1].time, said))

    def device_changed(self, changes: Iterable[IdentityChange], channels: Iterable[str]) -> None:
        """Let the next reading of each channel say that its device is another one (check Q34).

        Maintenance that is marked between the two looks at the device excuses it.
        """
        for name in channels:
            basis, marks = self.bases[name], self._marks.get(name, ())
            for change in changes:
                is_maintained = any(
                    mark.kind in _MAINTENANCE and mark.start <= change.found and change.seen < mark.end
                    for mark in marks
                )
                finding = changed_identity(change, basis.rules, is_maintained=is_maintained)
                if finding is not None:
                    self._of_device[name] = (*self._of_device.get(name, ()), finding)

    # -- records -------------------------------------------------------------------------------------------

    def _note_mark(self, mark: Mark) -> None:
        for name, channel in self.channels.items():
            if mark.concerns(name, channel.subject):
                self._marks.setdefault(name, []).append(mark)

    def _note_calibration(self, record: CalibrationRecord) -> None:
        if record.channel in self.channels:
            known = self._calibrated.get(record.channel, Calibrated())
            self._calibrated[record.channel] = known.after(record.at, is_passed=record.passed)

    def marks_of(self, channel: str) -> list[Mark]:
        """Return what is marked of a channel."""
        return self._marks.get(channel, [])

    # -- what waits to be stored ---------------------------------------------------------------------------

    def take(self) -> Pending:
        """Hand over what was found; whoever cannot store it gives it back."""
        with self._lock:
            taken, self._pending = self._pending, Pending()
        return taken

    def give_back(self, taken: Pending) -> None:
        """Keep what could not be stored."""
        with self._lock:
            self._pending.counts.update(taken.counts)
            self._pending.gaps[:0] = taken.gaps

    def gap_events(self, gaps: Iterable[Gap]) -> list[dict[str, Any]]:
        """Write one event for what is one gap of one device, however many channels it has."""
        joined: list[tuple[str, Gap, list[str]]] = []
        for gap in sorted(gaps, key=lambda one: (self._device(one.channel), one.reason, one.start)):
            device = self._device(gap.channel)
            last = joined[-1] if joined else None
            if last is not None and last[0] == device and last[1].reason == gap.reason and gap.start <= last[1].end:
                wider = replace(last[1], end=max(last[1].end, gap.end))
                joined[-1] = (device, wider, [*last[2], gap.channel])
            else:
                joined.append((device, gap, [gap.channel]))
        return [_event(device, gap, sorted(set(names))) for device, gap, names in joined]

    def _device(self, channel: str) -> str:
        known = self.channels.get(channel)
        return self._former[channel] if known is None else known.device

    def rules_record(self) -> dict[str, Any]:
        """Name the rule set and every override, for the record of a start."""
        said = self.rules.name_json()
        own = [
            {"channel": name, **one.to_json()}
            for name, basis in sorted(self.bases.items())
            for one in basis.rules.overrides
            if one not in self.rules.overrides
        ]
        return {**said, "overrides": [*said.get("overrides", []), *own]} if own else said

    def minute_channels(self) -> list[str]:
        """Return the channels that have minute and hour values: quantities of a stack polled at least once a minute."""
        return [
            name
            for name, basis in self.bases.items()
            if basis.channel.kind is ChannelKind.VALUE
            and self.rules.range_of(basis.quantity, basis.channel.unit) is not None
            and basis.channel.poll <= timedelta(minutes=1)
        ]


_USUAL = Circumstances()


def _event(device: str, gap: Gap, names: list[str]) -> dict[str, Any]:
    data: dict[str, Any] = gap.event_data()
    if len(names) > 1:
        del data["channel"]
        data |= {"source": device, "channels": names[:CHANNELS_IN_EVENT]}
    return data
