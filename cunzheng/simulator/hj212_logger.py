"""A data logger that forwards HJ 212 frames over TCP, and can be told to do it badly.

Honest by default: strict frames, one at a time, each sent again with the same QN until it is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

from device_profiles.hj212 import (
    Edition,
    Frame,
    FrameStream,
    Item,
    Packet,
    parse_zone,
    read_packet,
    time_of,
    write_packet,
)
from device_profiles.hj212.edition import ANSWER_BIT, PACKET_BIT, version_bits

from .errors import LoggerError
from .journal import Note, unnoted

NOISE = b"\x00\xff#garbage##12\r\n"
_CHINA = "+08:00"
_FINE = Decimal("0.0001")


@dataclass
class LoggerDials:
    """Faults of one data logger. All off by default.

    bad_crc     the check sum does not fit
    cut         only the first so many bytes of a frame, and no line end
    joined      hold a frame back and send it in one piece with the next
    split       send in pieces of so many bytes
    noise       bytes that are no frame before each frame
    duplicate   send each frame twice
    late_s      DataTime lies so long before the sending, as after a lost link
    no_answer   do not ask for an answer
    lower_case  check sum in lower case, as some loggers print it
    flag        data flag of every value, instead of N: C while it is calibrated, M, D, F …
    stuck       values stay what they were when the dial was turned
    drift       values run away by this share of themselves an hour
    zero        every value is zero
    silent      send nothing
    disconnect  close the connection before each frame
    clock_offset_s  its clock is ahead by so much: DataTime and QN
    """

    bad_crc: bool = False
    cut: int = 0
    joined: bool = False
    split: int = 0
    noise: bool = False
    duplicate: bool = False
    late_s: int = 0
    no_answer: bool = False
    lower_case: bool = False
    flag: str = ""
    stuck: bool = False
    drift: float = 0.0
    zero: bool = False
    silent: bool = False
    disconnect: bool = False
    clock_offset_s: float = 0.0
    _stuck_at: Mapping[str, str] | None = field(default=None, repr=False)
    _drifts_since: datetime | None = field(default=None, repr=False)

    def shown(self, values: Mapping[str, str], now: datetime) -> Mapping[str, str]:
        """Give the number texts as the logger shows them with these dials."""
        self._drifts_since = (self._drifts_since or now) if self.drift else None
        if self._drifts_since is not None:
            hours = Decimal(str((now - self._drifts_since) / timedelta(hours=1)))
            factor = 1 + Decimal(str(self.drift)) * hours
            values = {name: format((Decimal(text) * factor).quantize(_FINE), "f") for name, text in values.items()}
        self._stuck_at = (self._stuck_at or dict(values)) if self.stuck else None
        values = values if self._stuck_at is None else self._stuck_at
        return dict.fromkeys(values, "0") if self.zero else values


@dataclass(frozen=True)
class LoggerCount:
    """What happened so far."""

    sent: int = 0
    answered: int = 0
    repeated: int = 0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Hj212LoggerSimulator:
    """One data logger on one connection."""

    def __init__(
        self,
        mn: str,
        *,
        host: str,
        port: int,
        values: Callable[[datetime], Mapping[str, str]],
        edition: Edition = Edition.HJ2017,
        st: str = "31",
        pw: str = "123456",
        zone: tzinfo | None = None,
        interval_s: float = 60.0,
        timeout_s: float = 5.0,
        retries: int = 3,
        key: bytes | None = None,
        dials: LoggerDials | None = None,
        clock: Callable[[], datetime] = _utc_now,
        note: Note = unnoted,
    ) -> None:
        """`values` gives number texts by factor and field: `{"a05001-Rtd": "12.5"}`; with `key` it encrypts."""
        self.mn, self.dials = mn, dials or LoggerDials()
        self.count = LoggerCount()
        self.answers: list[Packet] = []
        self._host, self._port, self._values, self._clock = host, port, values, clock
        self._edition, self._st, self._pw, self._key = edition, st, pw, key
        self._zone = zone if zone is not None else parse_zone(_CHINA)
        self._interval_s, self._timeout_s, self._retries = interval_s, timeout_s, retries
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._stream = FrameStream()
        self._held = b""
        self._newest_qn = ""
        self._note = note

    async def connect(self) -> None:
        """Connect.

        Raises: LoggerError where nobody listens.
        """
        try:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        except OSError as error:
            raise LoggerError(
                f"{self._host}:{self._port} 无人监听：{error}", f"nobody listens at {self._host}:{self._port}: {error}"
            ) from error
        self._stream = FrameStream()

    async def send(
        self, cn: str = "2011", *, at: datetime | None = None, part: tuple[int, int] | None = None
    ) -> Packet:
        """Send one upload of the values of `at` (default now); wait for its answer where one is asked for.

        Raises: LoggerError where no answer comes after all retries.
        """
        now = self._clock() + timedelta(seconds=self.dials.clock_offset_s)
        moment = (at or now) - timedelta(seconds=self.dials.late_s)
        values = self._values(moment)
        packet = self._packet(cn, now, moment, self.dials.shown(values, moment), part)
        self._note("frame", qn=packet.qn, data_time=packet.items[0][0][1], true=values)
        await self.send_packet(packet)
        return packet

    def frame(self) -> bytes:
        """Write a frame of now without sending it.

        Raises: WriteError where MN or values do not fit the edition.
        """
        now = self._clock()
        return write_packet(self._packet("2011", now, now, self._values(now), None), self._key)

    async def send_packet(self, packet: Packet) -> None:
        """Send one packet as the dials say, and wait for its answer where it asks for one.

        Raises: LoggerError where no answer comes after all retries.
        """
        raw = self._spoiled(write_packet(packet, self._key))
        self.count = LoggerCount(self.count.sent + 1, self.count.answered, self.count.repeated)
        if self.dials.joined and not self._held:
            self._held = raw
            return
        raw, self._held = self._held + raw, b""
        for attempt in range(self._retries + 1):
            await self._write(raw)
            if not packet.wants_answer or await self._is_answered(packet.qn):
                return
            if attempt < self._retries:
                self.count = LoggerCount(self.count.sent, self.count.answered, self.count.repeated + 1)
        raise LoggerError(f"QN {packet.qn} 未获应答", f"QN {packet.qn} was not answered")

    async def run(self) -> None:
        """Send real-time data every interval until cancelled; connect again when the link is lost."""
        try:
            while True:
                try:
                    await self._send_as_told()
                except (LoggerError, OSError) as error:
                    self._note("unanswered", reason=str(error))
                    await self.close()
                await asyncio.sleep(self._interval_s)
        finally:
            await self.close()

    async def _send_as_told(self) -> None:
        if self.dials.silent:
            self._note("silent")
            return
        if self.dials.disconnect:
            self._note("disconnected")
            await self.close()
        if self._writer is None:
            await self.connect()
        packet = await self.send()
        if packet.wants_answer:
            self._note("answered", qn=packet.qn)

    async def close(self) -> None:
        """Close the connection."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _packet(
        self, cn: str, now: datetime, moment: datetime, values: Mapping[str, str], part: tuple[int, int] | None
    ) -> Packet:
        by_code: dict[str, list[tuple[str, str]]] = {}
        for name, text in values.items():
            by_code.setdefault(name.partition("-")[0], []).append((name, text))
        items: list[Item] = [(("DataTime", time_of(moment, self._zone)),)]
        items += [(*pairs, (f"{code}-Flag", self.dials.flag or "N")) for code, pairs in by_code.items()]
        flag = version_bits(self._edition) | (0 if self.dials.no_answer else ANSWER_BIT)
        pnum, pno = part if part is not None else (None, None)
        return Packet(
            qn=self._next_qn(now),
            st=self._st,
            cn=cn,
            pw=self._pw,
            mn=self.mn,
            flag=flag | (PACKET_BIT if part is not None else 0),
            pnum=pnum,
            pno=pno,
            is_backfill=bool(self.dials.late_s) and self._edition is Edition.HJ2025,
            cp="",
            items=tuple(items),
            edition=self._edition,
        )

    def _next_qn(self, now: datetime) -> str:
        """Name the exchange by its time, a millisecond later where that name is taken."""
        qn = time_of(now, self._zone, milliseconds=True)
        while qn <= self._newest_qn:
            now += timedelta(milliseconds=1)
            qn = time_of(now, self._zone, milliseconds=True)
        self._newest_qn = qn
        return qn

    def _spoiled(self, raw: bytes) -> bytes:
        dials = self.dials
        if dials.lower_case:
            raw = raw[:-6] + raw[-6:].lower()
        if dials.bad_crc:
            raw = raw[:-6] + (b"0000" if raw[-6:-2] != b"0000" else b"0001") + raw[-2:]
        if dials.cut:
            raw = raw[: dials.cut]
        if dials.noise:
            raw = NOISE + raw
        return raw * 2 if dials.duplicate else raw

    async def _write(self, raw: bytes) -> None:
        if self._writer is None:
            raise LoggerError("未连接", "not connected")
        size = self.dials.split or len(raw)
        for start in range(0, len(raw), size):
            self._writer.write(raw[start : start + size])
            await self._writer.drain()
            if self.dials.split:
                await asyncio.sleep(0)

    async def _is_answered(self, qn: str) -> bool:
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    for packet in await self._received():
                        if packet.cn == "9014" and packet.qn == qn:
                            return True
        except TimeoutError:
            return False

    async def _received(self) -> Sequence[Packet]:
        data = await self._reader.read(4096) if self._reader is not None else b""
        if not data:
            raise LoggerError("连接已断开", "the connection was closed")
        found = [read_packet(one) for one in self._stream.feed(data) if isinstance(one, Frame)]
        self.answers += found
        self.count = LoggerCount(self.count.sent, self.count.answered + len(found), self.count.repeated)
        return found
