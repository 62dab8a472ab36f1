"""The bytes of one Modbus line, by pymodbus: open, ask one request, close. The only file that knows pymodbus.

The library makes connections, serial ports and request frames. Two things are not left to it. Whatever is written
passes `ReadOnlyTransport`, below the client, which lets reads out and nothing else. And what comes in is heard by
`gateway/frame.py`, which takes an answer only if all of it fits the request; an answer to a request that was given up
is waited for and thrown away.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from typing import Any, Final, cast

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.framer import FramerRTU, FramerSocket, FramerType
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.mei_message import ReadDeviceInformationRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from gateway.frame import ENCAPSULATED, Framing, Request, Strange, left_over, listen, require_read
from gateway.line import LineAddress

TIMEOUT: Final = "timeout"
LOST: Final = "connection-lost"

_REQUEST_OF: Final[dict[int, type[ModbusPDU]]] = {
    1: ReadCoilsRequest,
    2: ReadDiscreteInputsRequest,
    3: ReadHoldingRegistersRequest,
    4: ReadInputRegistersRequest,
}
_MOST_BYTES: Final = 1024
"""More than three of the longest frames."""
_KEEP_ALIVE_S: Final = 60
_KEEP_ALIVE_TRIES: Final = 3
_QUIET_S: Final = 0.02
"""A line on which something unasked was said is used again after so much silence."""
_LONGEST_NOISE_S: Final = 1.0

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)


class AnswerError(Exception):
    """No answer that can be used; `reason` is that of the reading, `raw` what came in its place."""

    def __init__(self, reason: str, raw: bytes = b"") -> None:
        super().__init__(reason)
        self.reason, self.raw = reason, raw


class ReadOnlyTransport(asyncio.Transport):
    """The one way out of the gateway to a Modbus device: looks at every frame before it is written."""

    def __init__(self, inner: asyncio.Transport, framing: Framing) -> None:
        super().__init__()
        self._inner, self._framing = inner, framing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write one frame.

        Raises:
            WriteRefusedError: it is not a read.
        """
        require_read(bytes(data), self._framing)
        self._inner.write(data)

    def close(self) -> None:
        """Close the connection."""
        self._inner.close()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Tell about the connection."""
        return self._inner.get_extra_info(name, default)


class _Answer(ModbusPDU):
    """The checked data of an answer, as pymodbus hands it on."""

    def __init__(self, request: Request, transaction: int, data: bytes) -> None:
        super().__init__(dev_id=request.unit, transaction_id=transaction)
        self.data = data


class _Ear:
    """Hears what comes in; pymodbus' framer calls it with all bytes since the request."""

    def __init__(self, framing: Framing) -> None:
        self.framing = framing
        self.request: Request | None = None
        self.rest = b""
        self.late = 0
        self.heard_at: float | None = None
        """When something came that nobody had asked for."""
        self.answered = asyncio.Event()
        self._given_up = False

    def expect(self, request: Request) -> None:
        self.request, self.rest, self._given_up = request, b"", False
        self.answered.clear()

    def give_up(self) -> None:
        """Go on listening for the answer, to throw it away."""
        self._given_up = True

    def forget(self) -> None:
        """Expect nothing any more."""
        self.request = None

    @property
    def waits_for_late(self) -> bool:
        return self.request is not None and self._given_up

    def hear(self, data: bytes, transaction: int) -> tuple[int, _Answer | Strange | None]:
        if self.request is None:
            self.heard_at = asyncio.get_running_loop().time()
            return len(data), None
        heard = listen(data, self.request, self.framing, transaction)
        self.late += heard.late
        if heard.data is None and heard.strange is None:
            self.rest = data[heard.used :]
            return (0 if self._given_up else heard.used), None
        request, given_up, self.request = self.request, self._given_up, None
        self.answered.set()
        if given_up or heard.strange or heard.used < len(data):
            self.heard_at = asyncio.get_running_loop().time()
        if given_up:
            self.late += 1
            return len(data), None
        return len(data), heard.strange or _Answer(request, transaction, heard.data or b"")


class _TcpFramer(FramerSocket):
    """pymodbus' framing of requests; answers go to the ear."""

    hear: Any

    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, ModbusPDU | None]:
        return cast("tuple[int, ModbusPDU | None]", self.hear(data, exp_tid))


class _RtuFramer(FramerRTU):
    """pymodbus' framing of requests; answers go to the ear."""

    hear: Any

    def handleFrame(self, data: bytes, exp_devid: int, exp_tid: int) -> tuple[int, ModbusPDU | None]:
        return cast("tuple[int, ModbusPDU | None]", self.hear(data, exp_tid))


class Wire:
    """The connection to one line; one request at a time, whoever uses it takes turns."""

    def __init__(self, address: LineAddress) -> None:
        self.address = address
        self._framing = Framing.TCP if address.kind == "tcp" else Framing.RTU
        self._ear = _Ear(self._framing)
        self._client: AsyncModbusTcpClient | AsyncModbusSerialClient | None = None
        self._up = asyncio.Event()
        self._transaction = 0

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._client is not None and self._client.connected

    def take_late(self) -> int:
        """Return how many late answers were thrown away since the last call."""
        late, self._ear.late = self._ear.late, 0
        return late

    async def open(self, timeout_s: float) -> None:
        """Connect.

        Raises:
            OSError: nobody is there, or the serial port cannot be used.
        """
        self.close()
        client = self._new_client()
        framer = _TcpFramer(DecodePDU(False)) if self._framing is Framing.TCP else _RtuFramer(DecodePDU(False))
        framer.hear = self._hear
        client.ctx.framer = framer
        client.ctx.max_buffer_size = _MOST_BYTES
        client.ctx.trace_connect = self._connection
        client.ctx.comm_params.timeout_connect = timeout_s
        client.set_max_no_responses(1 << 30)
        self._up.clear()
        self._client = client
        try:
            connected = await client.connect()
            if connected:
                await asyncio.wait_for(self._up.wait(), timeout_s)
        except (ModbusException, OSError, TimeoutError) as error:
            self.close()
            raise OSError(str(error)) from error
        except BaseException:
            self.close()
            raise
        if not connected:
            self.close()
            raise OSError
        self._guard()
        # A gateway to a serial line may hand a late answer to the next connection: no transaction number comes twice.
        client.ctx.next_tid = self._transaction
        if self.address.kind != "rtu":
            _keep_alive(client.ctx.transport.get_extra_info("socket"))

    async def ask(self, request: Request, timeout_s: float) -> bytes:
        """Send one request and return the data of its answer, function code first; it may be an exception.

        Raises:
            AnswerError: time-out, lost connection, or an answer that does not fit.
            WriteRefusedError: the request is no read.
        """
        client = self._client
        if client is None:
            raise AnswerError(LOST)
        self._ear.expect(request)
        client.ctx.comm_params.timeout_connect = timeout_s
        try:
            answer = await client.execute(False, _pdu_of(request))
        except ConnectionException as error:
            raise AnswerError(LOST) from error
        except (ModbusException, TimeoutError) as error:
            raise AnswerError(self._what_came(request), self._ear.rest) from error
        finally:
            self._transaction = client.ctx.next_tid
        return cast(_Answer, answer).data

    def give_up(self) -> None:
        """Leave the request that was asked last; its answer is thrown away if it still comes."""
        self._ear.give_up()

    async def quiet(self, late_until: float) -> None:
        """Wait until nothing old can come any more: for the late answer, at most until then (the loop's clock)."""
        loop = asyncio.get_running_loop()
        if self._ear.waits_for_late:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ear.answered.wait(), max(0.0, late_until - loop.time()))
            self._ear.forget()
        last = loop.time() + _LONGEST_NOISE_S
        silence = max(_QUIET_S, self.address.silence_s)
        while self._ear.heard_at is not None and (rest := self._ear.heard_at + silence - loop.time()) > 0:
            if loop.time() > last:
                break
            await asyncio.sleep(rest)
        self._ear.heard_at = None

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _new_client(self) -> AsyncModbusTcpClient | AsyncModbusSerialClient:
        where = self.address
        if where.kind == "rtu":
            return AsyncModbusSerialClient(
                where.host,
                baudrate=where.baud,
                parity=where.parity[0].upper(),
                stopbits=where.stop_bits,
                name=where.name,
                retries=0,
                reconnect_delay=0,
            )
        framer = FramerType.SOCKET if where.kind == "tcp" else FramerType.RTU
        return AsyncModbusTcpClient(
            where.host, port=where.port, framer=framer, name=where.name, retries=0, reconnect_delay=0
        )

    def _connection(self, is_up: bool) -> None:
        if is_up:
            self._guard()
            self._up.set()
        else:
            self._fail(AnswerError(LOST))

    def _guard(self) -> None:
        if self._client is None:
            return
        transport = self._client.ctx.transport
        if not isinstance(transport, ReadOnlyTransport):
            self._client.ctx.transport = ReadOnlyTransport(cast(asyncio.Transport, transport), self._framing)

    def _hear(self, data: bytes, transaction: int) -> tuple[int, ModbusPDU | None]:
        used, answer = self._ear.hear(data, transaction)
        if isinstance(answer, Strange):
            self._fail(AnswerError(answer.value, data))
            return used, None
        return used, answer

    def _fail(self, error: AnswerError) -> None:
        if self._client is not None and not self._client.ctx.response_future.done():
            self._client.ctx.response_future.set_exception(error)
            self._client.ctx.response_future.exception()  # it may be that nobody waits

    def _what_came(self, request: Request) -> str:
        if self._framing is Framing.TCP:
            return TIMEOUT
        strange = left_over(self._ear.rest, request)
        return TIMEOUT if strange is None else strange.value


def _pdu_of(request: Request) -> ModbusPDU:
    if request.function == ENCAPSULATED:
        return ReadDeviceInformationRequest(request.count, request.address, dev_id=request.unit)
    made = _REQUEST_OF[request.function]
    return made(address=request.address, count=request.count, dev_id=request.unit)


def _keep_alive(connection: socket.socket) -> None:
    """Have the kernel notice a peer that vanished, also between polls that are far apart."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", _KEEP_ALIVE_S), ("TCP_KEEPINTVL", _KEEP_ALIVE_S // 4)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if hasattr(socket, "TCP_KEEPCNT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _KEEP_ALIVE_TRIES)
