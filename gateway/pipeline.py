"""The gateway's two hand-offs in order. Does not decide; calls what does.

    wire ─ decoded ─ judged ─▶ store (hand-off 1) ─ hour over ─▶ seal (hand-off 2) ─▶ outbox

Each arrow is one transaction of the writer. Nothing downstream sees a reading before its commit.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from evidence.channel import Channel
from evidence.commissioning import Commissioned
from evidence.encoding import time_text
from evidence.errors import EvidenceError
from evidence.judge import uncertain
from evidence.marks import CalibrationRecord, Mark
from evidence.reading import Reading
from gateway.begun_segment import give_up_begun
from gateway.chain import Signer, append_event, ensure_open
from gateway.channel_store import declared_channels, is_declared, remember_channel
from gateway.derived import derive_hour
from gateway.errors import GarbledError, MisuseError
from gateway.hour_quality import count_hours
from gateway.hours import hour_text
from gateway.judgement import Judge, Pending
from gateway.long_hour import Halt, finish_begun, go_on_always, seal_long_hour
from gateway.problems import clear_problem, raise_problem
from gateway.quality_store import add_counts, keep_calibration, keep_mark
from gateway.rawtile import RawFolder
from gateway.reading_store import Arrival, insert_readings
from gateway.recall import recall_hours
from gateway.sealer import READINGS_PER_TRANSACTION, OpenHour, Sealed, batches, due_hours, seal_hours
from gateway.segment_notes import notes_of
from gateway.start_check import Repair, check_start, repairs_json
from gateway.store import Store
from gateway.writer import Writer

__all__ = ["SOFTWARE", "Judge", "Pipeline"]

SOFTWARE = "cunzheng"
REPAIRED = "start-repair"

log = logging.getLogger("cunzheng.gateway")


class Pipeline:
    """Hand-offs 1 and 2 over one writer."""

    def __init__(
        self,
        writer: Writer,
        signer: Signer,
        raw: RawFolder,
        judge: Judge,
        *,
        readings_at_once: int = READINGS_PER_TRANSACTION,
    ) -> None:
        """`readings_at_once`: what one transaction seals at most; a longer hour takes several."""
        self.writer, self.signer, self.raw, self.judge = writer, signer, raw, judge
        self.readings_at_once = readings_at_once

    def open(self) -> None:
        """Check chain and tree, begin the epoch, declare the channels; before anything else.

        Raises:
            IntegrityError: chain or tree lack what nothing else can give back.
            MisuseError: a channel was declared before with another unit or kind.
        """
        self.writer.call(self._open)

    def arrival(self, reading: Reading, identity: str | None = None) -> Arrival:
        """Judge one reading and place it in its hour."""
        kind = self.judge.channels[reading.channel].kind
        if self.signer.clock.doubt is not None and not reading.imported:
            # The judge does not see it: what it knows of times goes on when the clock is right again.
            doubted = uncertain(reading, self.judge.rules)
            return Arrival(doubted, hour_text(doubted.time, kind, self.signer.identity.zone_info), identity)
        verdict = self.judge.verdict(reading)
        # After the judgement, which moves a reading of an impossible time into the hour in which it came.
        hour = hour_text(verdict.reading.time, kind, self.signer.identity.zone_info)
        return Arrival(verdict.reading, hour, identity, verdict.is_repeat)

    async def store(self, arrivals: Sequence[Arrival]) -> int:
        """Commit readings with what the judge found; return how many were new."""
        found = self.judge.take()

        def work(store: Store) -> int:
            self._record(store, found)
            return insert_readings(store, arrivals)

        try:
            return await self.writer.do(work)
        except BaseException:
            self.judge.give_back(found)
            raise

    async def judge_by(self, judge: Judge, said: Sequence[Mapping[str, object]]) -> None:
        """Declare what another judge knows anew, sign `said` as restarts, and judge by it from now on.

        Raises:
            MisuseError: a channel was declared before with another unit or kind; nothing was changed.
            StoreError: nothing was changed.
        """

        def work(store: Store) -> None:
            _require_same_measures(declared_channels(store), judge.channels)
            self._declare(store, judge, again=False)
            for data in said:
                append_event(store, self.signer, "restart", data)
            judge.resume(store)

        await self.writer.do(work)
        judge.follow(self.judge)
        self.judge = judge

    async def event(self, event_type: str, data: Mapping[str, object]) -> None:
        """Sign and queue an event."""
        await self.writer.do(lambda store: append_event(store, self.signer, event_type, data))

    def mark(self, mark: Mark) -> None:
        """Sign a mark of operation and know it from now on; readings that are stored stay as they are."""

        def work(store: Store) -> None:
            statement = append_event(store, self.signer, "maintenance", mark.event_data())
            keep_mark(store, mark, statement.sid)

        self.writer.call(work)
        self.writer.call(self.judge.refresh)

    def calibration(self, record: CalibrationRecord) -> None:
        """Sign how a calibration went and judge by it from now on."""

        def work(store: Store) -> None:
            statement = append_event(store, self.signer, "calibration", record.event_data())
            keep_calibration(store, record, statement.sid)

        self.writer.call(work)
        self.writer.call(self.judge.refresh)

    def commission(self, records: Sequence[Commissioned]) -> list[str]:
        """Sign that channels were taken into use, all of them or none; return the statements' sids."""

        def work(store: Store) -> list[str]:
            sids = []
            for record in records:
                statement = append_event(store, self.signer, "config", record.event_data())
                remember_channel(store, record.channel, statement.sid)
                sids.append(statement.sid)
            return sids

        return self.writer.call(work)

    def store_findings(self) -> None:
        """Store what the judge found since the last time: counts by rule, and gaps as events."""
        found = self.judge.take()
        if found:
            self._with(found, lambda store: self._record(store, found))

    def seal_due(self, grace: timedelta, halt: Halt = go_on_always) -> Sealed:
        """Seal every hour that is over, a few in one transaction; return what was sealed.

        An hour that cannot be sealed becomes a problem for a person and stops no other hour. Once `halt` says so,
        the transaction under way is the last one.
        """
        self.store_findings()
        self.writer.call(self.judge.refresh)
        now = self.signer.clock.now()
        begun = finish_begun(self.writer, self.signer, self.raw, self.readings_at_once, halt)
        hours = self.writer.call(lambda store: due_hours(store, now, grace, self.readings_at_once))
        segments, readings = begun.segments, begun.readings
        for batch in batches(hours, self.readings_at_once):
            if halt():
                break
            try:
                parts = [self._seal(batch, halt)]
            except (EvidenceError, GarbledError, ArithmeticError):
                parts = [self._seal_alone(hour, halt) for hour in batch]
            segments += sum(done.segments for done in parts)
            readings += sum(done.readings for done in parts)
        return Sealed(segments, readings)

    async def seal_due_async(self, grace: timedelta) -> Sealed:
        """Do `seal_due` without holding up the event loop; cancelled, it ends after the transaction under way."""
        halted = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(None, self.seal_due, grace, halted.is_set)
        except asyncio.CancelledError:
            halted.set()
            raise

    def _seal_alone(self, hour: OpenHour, halt: Halt) -> Sealed:
        try:
            return self._seal([hour], halt)
        except (EvidenceError, GarbledError, ArithmeticError) as error:
            now, said = time_text(self.signer.clock.now()), str(error) or type(error).__name__
            zh = f"{hour.start} 这一小时无法封存：{said}；其读数已保存，其他小时照常封存"
            en = f"the hour {hour.start} cannot be sealed: {said}; its readings are kept, other hours go on"
            self.writer.call(lambda store: raise_problem(store, f"seal:{hour.start}", zh, en, now))
            return Sealed(0, 0)

    def _seal(self, batch: list[OpenHour], halt: Halt) -> Sealed:
        hours = [hour.start for hour in batch]

        def seal(store: Store) -> Sealed:
            recall_hours(store, self.raw, hours)
            for hour in hours:
                derive_hour(store, self.judge.derived, hour, self.signer.clock.now())
            sealed = seal_hours(store, self.signer, self.raw, hours, notes_of(store, self.judge))
            for hour in hours:
                clear_problem(store, f"seal:{hour}")
            count_hours(store, self.judge, hours)
            return sealed

        if batch[0].is_long:
            most = self.readings_at_once
            done = seal_long_hour(self.writer, self.signer, self.raw, self.judge, hours[0], most, halt)
            if not halt():
                self.writer.call(lambda store: clear_problem(store, f"seal:{hours[0]}"))
        else:
            done = self.writer.call(seal)
        log.info("sealed hours=%d from=%s readings=%d segments=%d", len(hours), hours[0], done.readings, done.segments)
        return done

    def _with(self, found: Pending, work: Callable[[Store], None]) -> None:
        try:
            self.writer.call(work)
        except BaseException:
            self.judge.give_back(found)
            raise

    def _record(self, store: Store, found: Pending) -> None:
        add_counts(store, found.counts)
        for data in self.judge.gap_events(found.gaps):
            append_event(store, self.signer, "gap", data)

    def _open(self, store: Store) -> None:
        repairs = check_start(store, self.raw, self.signer.identity.epoch, self.signer.key.public)
        _require_same_measures(declared_channels(store), self.judge.channels)
        give_up_begun(store, self.signer.identity.epoch)
        is_new_epoch = ensure_open(store, self.signer, SOFTWARE)
        self._note_repairs(store, repairs)
        self._declare(store, self.judge, again=is_new_epoch)
        self.judge.resume(store)

    def _declare(self, store: Store, judge: Judge, *, again: bool) -> None:
        for channel in judge.channels.values():
            if again or not is_declared(store, channel):
                statement = append_event(store, self.signer, "config", channel.config_data())
                remember_channel(store, channel, statement.sid)

    def _note_repairs(self, store: Store, repairs: list[Repair]) -> None:
        """Sign what was put right, and show it until a start finds nothing."""
        if not repairs:
            clear_problem(store, REPAIRED)
            return
        append_event(store, self.signer, "restart", {"reason": "repair", "repaired": repairs_json(repairs)})
        zh = f"启动时发现数据不一致并已修复：{'、'.join(one.zh for one in repairs)}；请检查磁盘和电源"
        en = f"put right at start: {', '.join(one.en for one in repairs)}; check disk and power"
        raise_problem(store, REPAIRED, zh, en, time_text(self.signer.clock.now()))


def _require_same_measures(declared: Mapping[str, Channel], wanted: Mapping[str, Channel]) -> None:
    """Refuse a channel that changes its unit or kind: its hours could not be added up any more."""
    for name, channel in wanted.items():
        before = declared.get(name)
        if before is not None and (before.unit, before.kind) != (channel.unit, channel.kind):
            raise MisuseError(
                f"通道 {name} 已声明为 {before.kind} {before.unit}，不能改为 {channel.kind} {channel.unit}；"
                "请用新的通道编号",
                f"channel {name} was declared as {before.kind} in {before.unit}, not {channel.kind} in {channel.unit};"
                " give the changed one a new id",
            )
