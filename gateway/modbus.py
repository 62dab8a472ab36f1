"""Read the devices behind one Modbus line, and nothing but read: one connection, one queue, one request at a time.

Every failure becomes a DeviceError. A late answer is never taken for the next one: after a time-out a TCP connection is
closed, while an RTU line is listened to for as long as the slowest device on it may take, before anything else is
asked. What a device's answers mean is `device_profiles`' business; bytes are handled in `gateway/wire.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from device_profiles import Table
from gateway.errors import DeviceBusyError, DeviceConfigurationError, DeviceError, DeviceGoneError
from gateway.frame import BIT_READS, ENCAPSULATED, EXCEPTION, FUNCTION_OF, Request, Strange, bits, objects, registers
from gateway.line import LineAddress, Manners, Turns, UnitCounts
from gateway.wire import LOST, TIMEOUT, AnswerError, Wire

EXCEPTION_NAMES: Final = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    5: "acknowledge",
    6: "busy",
    8: "memory parity",
    10: "gateway path unavailable",
    11: "gateway target did not answer",
}
_CONFIGURATION_EXCEPTIONS: Final = frozenset({1, 2, 3})
_BROKEN: Final = frozenset({Strange.CHECKSUM.value, Strange.LENGTH.value})
"""What check Q01 is about: the frame itself is wrong, not whose it is."""
_DAMAGED: Final = frozenset({Strange.CHECKSUM.value, Strange.LENGTH.value, Strange.MISMATCH.value})
_WORTH_ANOTHER_TRY: Final = _DAMAGED | {TIMEOUT, LOST}
_SILENT_BEFORE_REOPENING: Final = 2
"""Time-outs in a row, of whatever units, after which the connection to a serial server is taken for dead."""
_BASIC, _REGULAR, _EXTENDED = 1, 2, 3
_LAST_BASIC, _LAST_REGULAR = 2, 6


class ModbusLine:
    """One line and the units behind it; `with_pauses` honours the silences that profiles ask for."""

    def __init__(self, address: LineAddress, *, timeout_s: float, with_pauses: bool = True) -> None:
        self.address, self.name = address, address.name
        self.connections = 0
        """Connections made so far: a change means that another device may have been plugged in."""
        self._timeout_s, self._with_pauses = timeout_s, with_pauses
        self._wire: Wire | None = None
        self._turns = Turns()
        self._counts: dict[int, UnitCounts] = {}
        self._longest_s = 0.0
        self._late_until = self._ended = 0.0
        self._owes_late: UnitCounts | None = None
        self._silent = 0
        self._gone_at = float("-inf")
        self._gone_because = ""
        self._idle: asyncio.TimerHandle | None = None

    def unit(self, number: int, manners: Manners | None = None) -> ModbusUnit:
        """Return one device behind the line, spoken to in its own manner."""
        chosen = manners or Manners()
        self._longest_s = max(self._longest_s, self.patience_s(chosen))
        return ModbusUnit(self, number, chosen)

    def counts_of(self, number: int) -> UnitCounts:
        """Return what is counted of a unit."""
        return self._counts.setdefault(number, UnitCounts())

    def patience_s(self, manners: Manners) -> float:
        """Tell how long an answer is waited for: as the profile says, and never longer than the line's limit."""
        return min(manners.timeout_s, self._timeout_s)

    @property
    def is_shared(self) -> bool:
        """Whether several units stand behind the line."""
        return len(self._counts) > 1

    def silence_costs_s(self, manners: Manners) -> float:
        """Tell for how long the line is taken by one request that is not answered."""
        return self.patience_s(manners) + (0.0 if self.address.kind == "tcp" else self._longest_s)

    async def read(self, table: str, address: int, count: int, unit: int) -> tuple[int, ...]:
        """Read registers or bits of a unit about whose manners nothing is known.

        Raises: see `ModbusUnit.read`.
        """
        return await self.unit(unit).read(table, address, count)

    def close(self) -> None:
        """Close the connection; the next read opens a new one."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._wire is not None:
            self._wire.close()

    async def exchange(self, request: Request, manners: Manners, due: float, what: str) -> bytes:
        """Ask one request when it is its turn and return the data of the answer.

        Raises: see `ModbusUnit.read`.
        """
        loop = asyncio.get_running_loop()
        waited_since = loop.time()
        counts = self.counts_of(request.unit)
        async with self._turns.turn(due):
            if self._gone_at > waited_since:
                raise self._gone()  # found out for somebody else while this one waited
            wire = await self._connected(manners, counts)
            await self._settle(wire, manners)
            if not wire.is_open:
                wire = await self._connected(manners, counts)
            counts.requests += 1
            try:
                data = await wire.ask(request, self.patience_s(manners))
            except AnswerError as error:
                self._give_up(wire, error.reason, counts, error.raw)
                raise self._unanswered(error.reason, manners, what) from error
            except BaseException:  # cancelled: the answer may still come
                self._give_up(wire, TIMEOUT, None)
                raise
            finally:
                self._ended = loop.time()
                counts.late += wire.take_late()
            self._silent = 0
            if manners.idle_close_s:
                self._idle = loop.call_later(manners.idle_close_s, self.close)
        if data[0] & EXCEPTION:
            counts.exceptions[data[1]] = counts.exceptions.get(data[1], 0) + 1
            raise self._refused(data[1], what)
        counts.answers += 1
        return data

    async def _connected(self, manners: Manners, counts: UnitCounts) -> Wire:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        wire = self._wire = self._wire or Wire(self.address)
        if wire.is_open:
            return wire
        try:
            await wire.open(self._timeout_s)
        except OSError as error:
            counts.refused += 1
            self._gone_at, self._gone_because = asyncio.get_running_loop().time(), str(error)
            raise self._gone() from error
        self.connections += 1
        counts.connections += 1
        if self._with_pauses and manners.connect_pause_s:
            await asyncio.sleep(manners.connect_pause_s)
        return wire

    async def _settle(self, wire: Wire, manners: Manners) -> None:
        """Wait until the line is silent, and has been for as long as the device wants."""
        loop = asyncio.get_running_loop()
        if self.address.kind != "tcp":
            await wire.quiet(self._late_until)
            if self._owes_late is not None:
                self._owes_late.late += wire.take_late()
                self._owes_late = None
        silence = max(manners.pause_s if self._with_pauses else 0.0, self.address.silence_s)
        rest = self._ended + silence - loop.time()
        if silence and rest > 0:
            await asyncio.sleep(rest)

    def _give_up(self, wire: Wire, reason: str, counts: UnitCounts | None, raw: bytes = b"") -> None:
        """Make sure that what still comes of a request is not taken for the next answer."""
        if counts is not None:
            counts.timeouts += reason == TIMEOUT
            counts.lost += reason == LOST
            counts.checksums += reason == Strange.CHECKSUM.value
            counts.mismatches += reason in (Strange.LENGTH.value, Strange.MISMATCH.value)
            if reason in _BROKEN:
                counts.damaged.add(raw, reason, asyncio.get_running_loop().time())
        if self.address.kind == "tcp" or reason == LOST:
            wire.close()
            return
        wire.give_up()
        self._owes_late = counts
        self._late_until = asyncio.get_running_loop().time() + self._longest_s
        self._silent += reason == TIMEOUT
        if self.address.kind == "rtu-over-tcp" and self._silent >= _SILENT_BEFORE_REOPENING:
            wire.close()

    def _unanswered(self, reason: str, manners: Manners, what: str) -> DeviceBusyError:
        if reason == TIMEOUT:
            seconds = self.patience_s(manners)
            zh, en = f"读 {what} 在 {seconds} 秒内无应答", f"no answer to {what} within {seconds} s"
        elif reason == LOST:
            zh, en = f"读 {what} 时连接断开", f"the connection was closed during {what}"
        elif reason == Strange.CHECKSUM.value:
            zh, en = f"读 {what} 的应答校验错误", f"the answer to {what} has a wrong check sum"
        elif reason == Strange.LENGTH.value:
            zh, en = f"读 {what} 的应答长度不符", f"the answer to {what} has a wrong length"
        else:
            zh, en = f"应答与请求不符 ({what})", f"the answer does not belong to the request ({what})"
        return DeviceBusyError(f"{self.name}: {zh}", f"{self.name}: {en}", reason)

    def _refused(self, code: int, what: str) -> DeviceError:
        name = EXCEPTION_NAMES.get(code, "unknown")
        kind = DeviceConfigurationError if code in _CONFIGURATION_EXCEPTIONS else DeviceBusyError
        return kind(
            f"{self.name}: 设备以异常 {code:02X} 拒绝读 {what}",
            f"{self.name}: device answered exception {code:02X} ({name}) to {what}",
            f"exception-{code:02x}",
        )

    def _gone(self) -> DeviceGoneError:
        because = f" ({self._gone_because})" if self._gone_because else ""
        if self.address.kind == "rtu":
            zh = "无法打开串口；请检查端口名、权限（dialout 组），以及是否被其他程序占用"
            en = f"cannot open the port{because}; check its name, that you are in group dialout, and that it is free"
        else:
            zh = "无法连接；请检查地址、端口和网线"
            en = f"cannot connect{because}; check address, port and cable"
        return DeviceGoneError(f"{self.name}: {zh}", f"{self.name}: {en}", "no-connection")


class ModbusUnit:
    """One device behind a line, spoken to as its profile asks."""

    def __init__(self, line: ModbusLine, number: int, manners: Manners) -> None:
        self.line, self.number, self.manners = line, number, manners
        self.counts = line.counts_of(number)

    async def read(
        self, table: str, address: int, count: int, *, due: float | None = None, retries: int | None = None
    ) -> tuple[int, ...]:
        """Read registers (words) or bits (0 and 1) from one table.

        `due`: since when, on the loop's clock, the answer is wanted; `retries` replaces the profile's.

        Raises:
            DeviceBusyError: time-out, busy or an answer that does not fit; a later poll may work.
            DeviceGoneError: no connection; back off.
            DeviceConfigurationError: the device, or its profile, says the request is wrong.
        """
        what = f"{table} {address}+{count}"
        if self.manners.forbids(Table(table), address, count):
            raise DeviceConfigurationError(
                f"{self.line.name}: 设备描述不允许读 {what}",
                f"{self.line.name}: the profile forbids reading {what}",
                "forbidden-range",
            )
        request = Request(self.number, FUNCTION_OF[table], address, count)
        data = await self._answer(request, what, due, retries)
        return bits(data, count) if request.function in BIT_READS else registers(data)

    async def identification(self, highest: int, *, due: float | None = None) -> Mapping[int, str]:
        """Read the device identification (function 2B/0E) up to object number `highest`.

        Raises: see `read`.
        """
        kinds = _BASIC if highest <= _LAST_BASIC else _REGULAR if highest <= _LAST_REGULAR else _EXTENDED
        found: dict[int, bytes] = {}
        following: int | None = 0
        while following is not None:
            request = Request(self.number, ENCAPSULATED, following, kinds)
            data = await self._answer(request, f"identification {following}", due, None)
            told, then = objects(data)
            found.update(told)
            following = then if then is not None and then > following else None
        return {number: text.decode("utf-8", "replace").strip("\0 ") for number, text in found.items()}

    async def _answer(self, request: Request, what: str, due: float | None, retries: int | None) -> bytes:
        loop = asyncio.get_running_loop()
        left = self.manners.retries if retries is None else retries
        is_first = True
        while True:
            before = self.line.connections
            try:
                return await self.line.exchange(request, self.manners, loop.time() if due is None else due, what)
            except DeviceBusyError as error:
                # A connection that was kept may have been closed by the device in between: that costs no retry.
                kept = is_first and error.reason == LOST and before == self.line.connections
                if error.reason not in _WORTH_ANOTHER_TRY or not (left or kept):
                    raise
                left -= not kept
            is_first, due = False, None


class ModbusEndpoint(ModbusLine):
    """A Modbus TCP simulator, by host and port: it needs none of the pauses that hardware wants."""

    def __init__(self, host: str, port: int, *, timeout_s: float) -> None:
        super().__init__(LineAddress("tcp", host, port), timeout_s=timeout_s, with_pauses=False)
