"""Modbus devices behind one server, over TCP or RTU in TCP, answering by their profiles. Only here is pymodbus known.

Reads (function codes 01 to 04) are answered from the profile's points at the moment of the request; addresses
that the profile does not reach give exception 02, unknown units 0B over TCP and nothing on an RTU line. Everything
else, writes first of all, is answered with exception 01 and counted: a gateway must never send it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerType
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from device_profiles import Point, Profile, Table, encode_words
from device_profiles.errors import EncodeError

from .dials import Dials, Values
from .errors import ListenError
from .journal import Note, unnoted

Framing = Literal["tcp", "rtu"]
Words = dict[tuple[Table, int], int]

_TABLE_OF = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT}
#: Read device identification (2B) is answered by the library and allowed to a gateway.
_ALLOWED = frozenset({*_TABLE_OF, 0x2B})


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ModbusDeviceSimulator:
    """One device: a unit id, a profile, and where its values come from."""

    def __init__(
        self,
        profile: Profile,
        unit_id: int,
        values: Callable[[datetime], Values],
        dials: Dials | None = None,
        clock: Callable[[], datetime] = _utc_now,
        note: Note = unnoted,
    ) -> None:
        if profile.protocol != "modbus":
            raise ValueError(f"{profile.id} is no Modbus profile")
        self.profile = profile
        self.unit_id = unit_id
        self.dials = dials or Dials()
        self.reads = 0
        self.refused_requests = 0
        self._values = values
        self._clock = clock
        self._note = note
        self._identity = _identity(profile)
        self._last: Words = {}
        self._readable = _readable(profile)

    def words(self) -> Words:
        """Give every word the device would show now."""
        return self._shown_words()[0]

    def _shown_words(self) -> tuple[Words, Values]:
        """Give every word, and the values that are true."""
        now = self._clock()
        values = {**self._identity, **self._values(now)}
        fresh = encode_words(self.profile, self.dials.shown(self.profile, values, now))
        if self.dials.word_order:
            fresh = _reordered(self.profile, fresh, self.dials.word_order)
        if self.dials.torn:
            return self._tear(fresh), values
        self._last = fresh
        return fresh, values

    def _tear(self, fresh: Words) -> Words:
        torn = dict(fresh)
        for point in self.profile.points.values():
            for place in _old_half(point):
                torn[place] = self._last.get(place, 0)
        return torn

    async def read(self, table: Table, address: int, count: int) -> list[int] | ExcCodes:
        """Answer one read."""
        self.reads += 1
        asked = {"table": table.value, "address": address, "count": count}
        if self.dials.delay_s:
            await asyncio.sleep(self.dials.delay_s)
        places = [(table, address + offset) for offset in range(count)]
        refusal = self.dials.exception
        if refusal is None and any(place not in self._readable for place in places):
            refusal = int(ExcCodes.ILLEGAL_ADDRESS)
        if refusal is not None:
            self._note("refused", **asked, exception=refusal)
            return ExcCodes(refusal)
        try:
            words, values = self._shown_words()
        except EncodeError as error:  # a value that the device cannot hold
            self._note("failed", **asked, reason=str(error))
            return ExcCodes.DEVICE_FAILURE
        answer = [words.get(place, 0) for place in places]
        true = {
            name: values.get(name)
            for name, point in self.profile.points.items()
            if name in values and (point.table, point.address) in places
        }
        self._note("answered", **asked, words="".join(f"{word:04X}" for word in answer), true=true)
        return answer

    def ignored(self, why: str) -> None:
        """Count a request that gets no answer."""
        self.reads += 1
        self._note(why)


class ModbusSimulatorServer:
    """One listener with one or several devices behind it; use `async with`, or start and stop.

    `framing` is `tcp` for Modbus TCP, `rtu` for a serial server that passes RTU frames through.
    """

    def __init__(
        self,
        devices: Sequence[ModbusDeviceSimulator],
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        framing: Framing = "tcp",
    ) -> None:
        self.devices = {device.unit_id: device for device in devices}
        if len(self.devices) != len(devices):
            raise ValueError("two devices share one unit id")
        self.host = host
        self.port = port
        self.framing: Framing = framing
        self._server: _Listener | None = None

    async def start(self) -> int:
        """Listen and give the port. Raises: ListenError where the port is taken."""
        placeholder = SimDevice(0, simdata=[SimData(0, datatype=DataType.REGISTERS)])
        server = _Listener(
            placeholder,
            framer=FramerType.SOCKET if self.framing == "tcp" else FramerType.RTU,
            address=(self.host, self.port),
            trace_pdu=self._refuse_others,
        )
        server.owner = self
        # The server asks whatever stands here for values; ours asks the profile instead of a table of registers.
        server.context = _Units(self.devices)  # type: ignore[assignment]
        try:
            await server.serve_forever(background=True)
        except RuntimeError as error:
            raise ListenError(
                f"无法监听 {self.host}:{self.port}，端口可能被占用",
                f"cannot listen on {self.host}:{self.port}, the port may be taken",
            ) from error
        transport: Any = server.transport
        self.port = transport.sockets[0].getsockname()[1]
        self._server = server
        return self.port

    async def stop(self) -> None:
        """Stop listening and drop every connection; the port stays the same for the next start."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
            self._server = None
            await asyncio.sleep(0)  # the closed connections end in the next round of the loop

    def drop_connections(self) -> None:
        """Close every open connection, as a device does that restarts."""
        if self._server is not None:
            for connection in list(self._server.active_connections.values()):
                connection.close()

    async def __aenter__(self) -> ModbusSimulatorServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def answer(self, asked: ModbusPDU) -> ModbusPDU | None:
        """Answer one request; None is silence."""
        device = self.devices.get(asked.dev_id)
        if device is None:
            # On a serial line nobody feels addressed; over TCP the server says that the unit is not there.
            missing = ExceptionResponse(asked.function_code, ExcCodes.GATEWAY_NO_RESPONSE)
            return missing if self.framing == "tcp" else None
        if device.dials.disconnect:
            device.ignored("disconnected")
            self.drop_connections()
            return None
        if device.dials.silent:
            device.ignored("silent")
            return None
        return await asked.datastore_update(_Units(self.devices), asked.dev_id)  # type: ignore[arg-type]

    def _refuse_others(self, sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        """Count requests that are no reads, and answer all of them with an exception."""
        code = pdu.function_code
        if code in _ALLOWED or code >= 0x80:
            return pdu
        if not sending:
            device = self.devices.get(pdu.dev_id)
            if device is not None:
                device.refused_requests += 1
            return pdu
        return ExceptionResponse(code, ExcCodes.ILLEGAL_FUNCTION, pdu.dev_id, pdu.transaction_id)


class _Listener(ModbusTcpServer):
    """pymodbus' server with our own answers."""

    owner: ModbusSimulatorServer

    def callback_new_connection(self) -> ServerRequestHandler:
        return _Connection(self, self.trace_packet, self.trace_pdu, self.trace_connect)  # type: ignore[no-untyped-call]


class _Connection(ServerRequestHandler):
    """pymodbus' connection, which answers a late request as itself: the library takes the newest for the asked one."""

    async def handle_request(self) -> None:
        asked, address = self.last_pdu, self.last_addr
        if asked is None:
            return
        answer = await self.server.owner.answer(asked)
        if answer is not None and self.transport is not None:
            answer.transaction_id, answer.dev_id = asked.transaction_id, asked.dev_id
            self.server_send(answer, address)  # type: ignore[no-untyped-call]


class _Units:
    """What pymodbus asks for values."""

    def __init__(self, devices: Mapping[int, ModbusDeviceSimulator]) -> None:
        self._devices = devices

    def device_ids(self) -> list[int]:
        return list(self._devices)

    async def async_getValues(
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | ExcCodes:
        if func_code not in _TABLE_OF:
            return ExcCodes.ILLEGAL_FUNCTION
        return await self._devices[device_id].read(_TABLE_OF[func_code], address, count)

    async def async_setValues(
        self, device_id: int, func_code: int, address: int, values: list[int] | list[bool]
    ) -> ExcCodes:
        return ExcCodes.ILLEGAL_FUNCTION


def _identity(profile: Profile) -> Values:
    """Give what the described device shows of itself, so that it passes its profile's identity tests."""
    return {
        test.point: test.equals[0] if profile.points[test.point].is_text else Decimal(test.equals[0])
        for test in profile.match
        if test.point and test.equals
    }


def _old_half(point: Point) -> list[tuple[Table, int]]:
    """List the words that are still old in a torn answer: the first half, or a composite's heaviest part."""
    if point.parts:
        heaviest = max(point.parts, key=lambda part: abs(part.weight))
        return [(heaviest.table, heaviest.address + offset) for offset in range(heaviest.words)]
    return [(point.table, point.address + offset) for offset in range(point.words // 2)]


def _reordered(profile: Profile, words: Words, order: str) -> Words:
    """Turn round the words of every number longer than one, the bytes of its words, or both; text stays."""
    result = dict(words)
    for point in profile.points.values():
        pieces = [(one.table, one.address, one.words) for one in point.parts] or [
            (point.table, point.address, 1 if point.is_text else point.words)
        ]
        for table, address, count in pieces:
            places = [(table, address + offset) for offset in range(count)]
            if count < 2 or any(place not in words for place in places):
                continue
            taken = [words[place] for place in places]
            if order != "bytes":
                taken.reverse()
            if order != "words":
                taken = [word >> 8 | (word & 0xFF) << 8 for word in taken]
            result.update(zip(places, taken, strict=True))
    return result


def _readable(profile: Profile) -> frozenset[tuple[Table, int]]:
    """List the addresses that answer: those of points, and gaps that the profile says may be bridged."""
    found: set[tuple[Table, int]] = set()
    ends: dict[Table, int] = {}
    pieces = {piece for point in profile.points.values() for piece in point.pieces}
    for table, address, words in sorted(pieces, key=lambda one: (one[0].value, one[1])):
        end = ends.get(table)
        first = address
        if end is not None and 0 < first - end <= profile.transport.max_gap:
            first = end
        found.update((table, at) for at in range(first, address + words))
        ends[table] = max(end or 0, address + words)
    return frozenset(found)
