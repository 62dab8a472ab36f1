"""From HJ 212 frames to stored readings: read, judge, commit, and only then answer.

An upload is kept whole beside its readings, once, however often it comes (MN, QN, CN, PNO); a repetition stores
nothing and is answered again. What is no frame, belongs to no logger of the site, or cannot be read goes to
quarantine as it came (check Q01). The one answer ever sent is 9014; commands are neither sent nor obeyed.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from device_profiles.hj212 import (
    AnswerKind,
    Broken,
    Deviation,
    FactorValue,
    Frame,
    Group,
    Packet,
    PacketError,
    PacketSeries,
    WriteError,
    answer_to,
    groups,
    number_of,
    read_packet,
    table,
    write_packet,
)
from evidence.encoding import decimal_text, parse_time, sha256_hex, time_text
from evidence.reading import Flag, Reading
from gateway.chain import append_event
from gateway.device_store import quarantine
from gateway.errors import StoreError
from gateway.groupcommit import RETRY_S
from gateway.hj212_source import LoggerSource
from gateway.pipeline import Pipeline
from gateway.problems import clear_problem, raise_problem
from gateway.reading_store import Arrival, insert_readings
from gateway.recall import recall_hours, too_old
from gateway.room import DISK_FULL, Room
from gateway.store import Store

log = logging.getLogger("cunzheng.gateway")

GAP_INTERVALS = 3
"""Check Q06: a logger that sent nothing for more than so many intervals leaves a gap event."""
_PROBLEM = "hj212"
_SAID_IN_REASON = (Deviation.CRC_NONSTANDARD, Deviation.DATATIME_BEFORE, Deviation.UNKNOWN_EDITION)
"""Deviations that bear on the value; the others stand in the raw text only."""


@dataclass(frozen=True)
class Arrived:
    """What one connection's stream gave, and when."""

    item: Frame | Broken
    peer: str
    received: datetime
    series: PacketSeries


@dataclass(frozen=True)
class Poison:
    """Bytes that carry no readings, and why; `answer` where the logger may forget them all the same."""

    raw: bytes
    source: str
    received: datetime
    reason: str
    answer: bytes | None = None


@dataclass(frozen=True)
class Upload:
    """A packet of a known logger: its readings, and what is answered after the commit."""

    source: LoggerSource
    key: str
    raw: bytes
    received: datetime
    arrivals: tuple[Arrival, ...]
    answer: bytes | None


class LoggerIntake:
    """Turns frames into committed readings and answers."""

    def __init__(
        self,
        pipeline: Pipeline,
        sources: Sequence[LoggerSource],
        *,
        on_reading: Callable[[Reading], None],
        room: Room | None = None,
    ) -> None:
        self._pipeline, self._on_reading = pipeline, on_reading
        self._room = room or Room(pipeline.signer.clock)
        self._by_mn: Mapping[str, LoggerSource] = {}
        self._keys: dict[str, bytes] = {}
        self.turn = asyncio.Lock()
        """Held while frames are dealt with; whoever else holds it makes them wait."""
        self.follow(sources)

    def follow(self, sources: Sequence[LoggerSource]) -> None:
        """Read by these loggers from now on."""
        self._by_mn = {one.site.mn: one for one in sources}
        self._keys.clear()
        self._keys.update({mn: one.key for mn, one in self._by_mn.items() if one.key is not None})

    @property
    def keys(self) -> Mapping[str, bytes]:
        """SM4 keys by MN; one mapping that follows the loggers, because streams keep it."""
        return self._keys

    @property
    def allows_nonstandard_crc(self) -> bool:
        """Whether any logger of the site may send the Modbus check sum."""
        return any(one.site.nonstandard_crc for one in self._by_mn.values())

    def arrived(self, item: Frame | Broken, peer: str, series: PacketSeries) -> Arrived:
        """Say when an item came."""
        return Arrived(item, peer, self._pipeline.signer.clock.now(), series)

    async def handle(self, arrived: Sequence[Arrived]) -> list[bytes]:
        """Commit everything together, not before there is room for it; return what to answer, in order."""
        await self._room.opened()
        async with self.turn:
            return await self._handle(arrived)

    async def _handle(self, arrived: Sequence[Arrived]) -> list[bytes]:
        plans = [self._planned(one) for one in arrived]
        new = await self._committed(plans)
        for plan in plans:
            if isinstance(plan, Poison):
                log.warning("frame quarantined source=%r reason=%r", plan.source, plan.reason)
                self._pipeline.judge.frame_refused(plan.source, plan.reason, self._pipeline.signer.clock.now())
        for reading in new:
            self._on_reading(reading)
        return [plan.answer for plan in plans if plan.answer is not None]

    async def note_listening(self, address: str, error: str | None) -> None:
        """Make an address that cannot be listened on a problem, until it can."""
        now = time_text(self._pipeline.signer.clock.now())

        def note(store: Store) -> None:
            if error is None:
                clear_problem(store, _PROBLEM)
            else:
                zh, en = f"无法在 {address} 监听 HJ 212：{error}", f"cannot listen for HJ 212 at {address}: {error}"
                raise_problem(store, _PROBLEM, zh, en, now)

        try:
            await self._pipeline.writer.do(note)
        except StoreError as refused:
            log.error("problem not recorded address=%s reason=%r", address, str(refused))

    # -- reading --------------------------------------------------------------------------------------------

    def _planned(self, one: Arrived) -> Poison | Upload:
        label, item = f"hj212 {one.peer}", one.item
        if isinstance(item, Broken):
            return Poison(item.raw, label, one.received, f"Q01 {item.fault}: {item.detail}")
        try:
            packet = read_packet(item)
        except PacketError as error:
            return Poison(item.raw, label, one.received, f"Q01 {error}")
        refusal = self._refusal(packet)
        if refusal:
            return Poison(item.raw, label, one.received, refusal)
        source = self._by_mn[packet.mn]
        answer = _answer(packet)
        try:
            arrivals = tuple(self._arrivals(source, packet, item, one))
        except PacketError as error:
            return Poison(item.raw, label, one.received, f"Q01 {error}", answer)
        except Exception as error:
            # Whatever a frame does to the reader, it must not stop the ones behind it.
            return Poison(item.raw, label, one.received, f"{type(error).__name__}: {error}", answer)
        key = sha256_hex("\x1f".join(str(part) for part in packet.key).encode("utf-8"))
        return Upload(source, key, item.raw, one.received, arrivals, answer)

    def _refusal(self, packet: Packet) -> str:
        source = self._by_mn.get(packet.mn)
        if source is None:
            return f"MN {packet.mn!r} belongs to no logger of the site"
        if Deviation.CRC_NONSTANDARD in packet.deviations and not source.site.nonstandard_crc:
            return "Q01 crc-nonstandard: not allowed for this logger"
        command = table(packet.edition).commands.get(packet.cn)
        if command is None:
            return f"CN {packet.cn} is not known in HJ 212-{packet.edition}"
        if command.direction != "up" or not (command.answer or command.period):
            return f"CN {packet.cn} is no upload; commands are not obeyed"
        return ""

    def _arrivals(self, source: LoggerSource, packet: Packet, frame: Frame, one: Arrived) -> Iterator[Arrival]:
        period = table(packet.edition).commands[packet.cn].period
        if not period:
            return
        for group in groups(packet, source.zone, one.series.data_time_before(packet)):
            for factor in group.factors.values():
                for field in factor.fields:
                    for channel in source.channels.get((period, factor.code, field), ()):
                        reading = self._reading(source, packet, frame, group, factor, field, channel, one.received)
                        yield self._judged(reading)

    def _reading(
        self,
        source: LoggerSource,
        packet: Packet,
        frame: Frame,
        group: Group,
        factor: FactorValue,
        field: str,
        channel: str,
        received: datetime,
    ) -> Reading:
        covered = source.period(table(packet.edition).commands[packet.cn].period)
        start = group.time - covered if source.site.period_label == "end" else group.time
        value = number_of(factor.fields[field])
        flag, said = _flag(packet, factor, field)
        if value is None:
            flag = Flag.FAULT if flag is Flag.NORMAL else flag
            said = [*said, f"not a number: {factor.fields[field][:40]!r}"]
        delay = received - (start + covered)
        if delay > timedelta(seconds=source.site.late_s):
            said.append(f"late {int(delay.total_seconds())} s")
        if packet.is_backfill:
            said.append("back-fill RF=1")
        if packet.edition is not source.table.edition:
            said.append(f"edition {packet.edition}")
        deviations = (*packet.deviations, *group.deviations)
        said += [one.value for one in _SAID_IN_REASON if one in deviations]
        raw = {
            "item": factor.raw,
            "qn": packet.qn,
            "st": packet.st,
            "cn": packet.cn,
            "edition": packet.edition.value,
            "deviations": [one.value for one in deviations],
            "encrypted": frame.is_encrypted,
            "frame": sha256_hex(frame.raw),
        }
        return Reading(
            channel=channel,
            time=start,
            value=value,
            unit=self._pipeline.judge.channels[channel].unit,
            flag=flag,
            received=received,
            reason="; ".join(said),
            raw=json.dumps(raw, ensure_ascii=False, separators=(",", ":")),
            device_time=group.data_time,
        )

    def _judged(self, reading: Reading) -> Arrival:
        """Judge a reading; the verdict stands before what was said of it."""
        return self._pipeline.arrival(reading, f"hj212|{reading.channel}|{reading.time.isoformat()}")

    # -- storing --------------------------------------------------------------------------------------------

    async def _committed(self, plans: Sequence[Poison | Upload]) -> list[Reading]:
        """Commit, as often as it takes: nothing is answered before."""
        said = ""
        while True:
            try:
                new = await self._pipeline.writer.do(lambda store: self._commit(store, plans))
            except StoreError as error:
                self._room.refused(_PROBLEM, error)
                if str(error) != said:
                    log.error("frames wait count=%d reason=%r", len(plans), str(error))
                said = str(error)
                await asyncio.sleep(RETRY_S)
            else:
                self._room.accepted(_PROBLEM)
                return new

    def _commit(self, store: Store, plans: Sequence[Poison | Upload]) -> list[Reading]:
        new: list[Reading] = []
        for plan in plans:
            if isinstance(plan, Poison):
                quarantine(store, [(plan.received, plan.source, plan.raw, plan.reason)])
                continue
            self._note_gap(store, plan)
            if _is_new(store, plan):
                gone = recall_hours(store, self._pipeline.raw, {one.hour for one in plan.arrivals})
                settled = (_settled(store, too_old(each, gone)) for each in plan.arrivals)
                arrivals = [one for one in settled if one is not None]
                insert_readings(store, arrivals)
                new += [one.reading for one in arrivals]
        return new

    def _note_gap(self, store: Store, plan: Upload) -> None:
        site = plan.source.site
        name, now = f"hj212_seen:{site.id}", time_text(plan.received)
        seen = store.get(name)
        if seen is not None and plan.received - parse_time(seen) > timedelta(seconds=GAP_INTERVALS * site.poll_s):
            is_ours = self._room.was_closed(parse_time(seen), plan.received)
            why = DISK_FULL if is_ours else "no frames from the data logger"
            data = {"source": site.id, "from": seen, "to": now, "reason": why}
            append_event(store, self._pipeline.signer, "gap", data)
        store.put(name, now)


def _answer(packet: Packet) -> bytes | None:
    """Write the 9014 that an upload asks for; None where it asks for nothing, or for something else."""
    if not packet.wants_answer or table(packet.edition).commands[packet.cn].answer != AnswerKind.DATA:
        return None
    try:
        return write_packet(answer_to(packet, AnswerKind.DATA), is_answer=True)
    except WriteError as error:
        log.warning("upload cannot be answered mn=%r reason=%r", packet.mn, str(error))
        return None


def _flag(packet: Packet, factor: FactorValue, field: str) -> tuple[Flag, list[str]]:
    letter = factor.flag
    if letter == "":
        # Facilities have states, not flags; for factors the letter is missing.
        return Flag.NORMAL, [] if field in ("RS", "RT") else ["no data flag"]
    known = table(packet.edition).flags.get(letter)
    if known is None:
        return Flag.FAULT, [f"unknown data flag {letter[:8]!r}"]
    flag = Flag(known)
    return flag, [] if flag is Flag.NORMAL else [f"logger says {letter}"]


def _is_new(store: Store, plan: Upload) -> bool:
    """Keep the frame; a repetition is counted and tells False."""
    digest = sha256_hex(plan.raw)
    if store.execute("UPDATE hj212_frame SET times = times + 1 WHERE key = ? AND sha256 = ?", (plan.key, digest)):
        return False
    store.execute(
        "INSERT INTO hj212_frame (key, sha256, source, received, raw) VALUES (?, ?, ?, ?, ?)",
        (plan.key, digest, plan.source.site.id, time_text(plan.received), plan.raw),
    )
    return True


def _settled(store: Store, arrival: Arrival) -> Arrival | None:
    """Apply check Q02 to a value that is there already: equal is dropped, different is kept beside it, marked."""
    reading = arrival.reading
    there = store.rows(
        "SELECT value, flag FROM reading WHERE channel = ? AND time = ?", (reading.channel, time_text(reading.time))
    )
    if not there:
        return arrival
    value = None if reading.value is None else decimal_text(reading.value)
    if any(row["value"] == value and row["flag"] == reading.flag for row in there):
        return None
    has_valid = any(row["flag"] == Flag.NORMAL for row in there)
    said = "Q02 differs from the value before" if has_valid else "Q02 after a marked value"
    flag = Flag.FAULT if has_valid and reading.flag is Flag.NORMAL else reading.flag
    reason = f"{said}; {reading.reason}" if reading.reason else said
    identity = f"{arrival.identity}|{sha256_hex(reading.raw.encode('utf-8'))}"
    return replace(arrival, reading=replace(reading, flag=flag, reason=reason), identity=identity)
