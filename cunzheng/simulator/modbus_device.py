"""Modbus TCP devices behind one server, answering by their profiles. The one file here that knows pymodbus.

Reads (function codes 01 to 04) are answered from the profile's points at the moment of the request; addresses
that the profile does not reach give exception 02, unknown units 0B. Everything else, writes first of all, is
answered with exception 01 and counted: a gateway must never send it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.exceptions import NoSuchIdException
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from device_profiles import Point, Profile, Table, encode_words

from .dials import Dials, Values
from .errors import ListenError

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
        self._identity = _identity(profile)
        self._last: dict[tuple[Table, int], int] = {}
        self._readable = _readable(profile)

    def words(self) -> dict[tuple[Table, int], int]:
        """Give every word the device would show now."""
        values = {**self._identity, **self._values(self._clock())}
        fresh = encode_words(self.profile, self.dials.shown(self.profile, values))
        if self.dials.torn:
            return self._tear(fresh)
        self._last = fresh
        return fresh

    def _tear(self, fresh: dict[tuple[Table, int], int]) -> dict[tuple[Table, int], int]:
        torn = dict(fresh)
        for point in self.profile.points.values():
            for place in _old_half(point):
                torn[place] = self._last.get(place, 0)
        return torn

    async def read(self, table: Table, address: int, count: int) -> list[int] | ExcCodes:
        """Answer one read."""
        self.reads += 1
        if self.dials.delay_s:
            await asyncio.sleep(self.dials.delay_s)
        if self.dials.exception is not None:
            return ExcCodes(self.dials.exception)
        places = [(table, address + offset) for offset in range(count)]
        if any(place not in self._readable for place in places):
            return ExcCodes.ILLEGAL_ADDRESS
        words = self.words()
        return [words.get(place, 0) for place in places]


class ModbusSimulatorServer:
    """One listener with one or several devices behind it; use `async with`, or start and stop."""

    def __init__(self, devices: Sequence[ModbusDeviceSimulator], host: str = "127.0.0.1", port: int = 0) -> None:
        self.devices = {device.unit_id: device for device in devices}
        if len(self.devices) != len(devices):
            raise ValueError("two devices share one unit id")
        self.host = host
        self.port = port
        self._server: ModbusTcpServer | None = None

    async def start(self) -> int:
        """Listen and give the port. Raises: ListenError where the port is taken."""
        placeholder = SimDevice(0, simdata=[SimData(0, datatype=DataType.REGISTERS)])
        server = ModbusTcpServer(
            placeholder,
            address=(self.host, self.port),
            ignore_missing_devices=True,
            trace_pdu=self._refuse_others,
        )
        # The server asks whatever stands here for values; ours asks the profile instead of a table of registers.
        server.context = _Units(self)  # type: ignore[assignment]
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


class _Units:
    """What pymodbus asks for values."""

    def __init__(self, owner: ModbusSimulatorServer) -> None:
        self._owner = owner

    def device_ids(self) -> list[int]:
        return list(self._owner.devices)

    async def async_getValues(
        self, device_id: int, func_code: int, address: int, count: int = 1
    ) -> list[int] | ExcCodes:
        device = self._owner.devices.get(device_id)
        if device is None:
            return ExcCodes.GATEWAY_NO_RESPONSE
        if device.dials.disconnect:
            device.reads += 1
            self._owner.drop_connections()
            raise NoSuchIdException  # answered by silence, see ignore_missing_devices
        if device.dials.silent:
            device.reads += 1
            raise NoSuchIdException
        if func_code not in _TABLE_OF:
            return ExcCodes.ILLEGAL_FUNCTION
        return await device.read(_TABLE_OF[func_code], address, count)

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
