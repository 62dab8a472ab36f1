"""Read one Modbus TCP endpoint, and nothing but read: the only file that knows pymodbus.

Function codes 01 to 04 and 2B/0E pass; every other request is refused before it is framed, because real register
maps hold resets beside readable values. Every foreign error becomes a DeviceError. After a time-out the connection
is closed, so that a late answer can never be taken for the next one. Decoding is `device_profiles`' business.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, Final

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from gateway.errors import DeviceBusyError, DeviceConfigurationError, DeviceError, DeviceGoneError

READ_COILS: Final = 0x01
READ_DISCRETE: Final = 0x02
READ_HOLDING: Final = 0x03
READ_INPUT: Final = 0x04
READ_IDENTIFICATION: Final = 0x2B
ALLOWED_FUNCTIONS: Final = frozenset({READ_COILS, READ_DISCRETE, READ_HOLDING, READ_INPUT, READ_IDENTIFICATION})
FUNCTION_OF: Final = {
    "coil": READ_COILS,
    "discrete": READ_DISCRETE,
    "holding": READ_HOLDING,
    "input": READ_INPUT,
}
BIT_TABLES: Final = frozenset({"coil", "discrete"})

_CONFIGURATION_EXCEPTIONS: Final = frozenset({1, 2, 3})
_EXCEPTION_NAMES: Final = {
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

logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)


def _is_not_a_broken_answer(record: logging.LogRecord) -> bool:
    """Drop asyncio's report of a frame that pymodbus could not decode; the read itself ends as a DeviceError."""
    return record.exc_info is None or not isinstance(record.exc_info[1], ModbusException)


logging.getLogger("asyncio").addFilter(_is_not_a_broken_answer)


class WriteRefusedError(Exception):
    """A request that is not a read was attempted; a programming error, never a user's."""


class _ReadOnlyClient(AsyncModbusTcpClient):
    """pymodbus' client with everything but reading taken out at the one gate all requests pass."""

    def execute(self, no_response_expected: bool, request: ModbusPDU) -> Any:
        """Send a request if it is a read."""
        if request.function_code not in ALLOWED_FUNCTIONS:
            raise WriteRefusedError(f"function code {request.function_code:#04x} is not a read")
        return super().execute(no_response_expected, request)


class ModbusEndpoint:
    """One TCP connection to one host and port; requests run one after another."""

    def __init__(self, host: str, port: int, *, timeout_s: float) -> None:
        self.name = f"{host}:{port}"
        self._host, self._port, self._timeout_s = host, port, timeout_s
        self._client: _ReadOnlyClient | None = None
        self._lock = asyncio.Lock()

    async def read(self, table: str, address: int, count: int, unit: int) -> tuple[int, ...]:
        """Read registers (words) or bits (0 and 1) from one table.

        Raises:
            DeviceBusyError: time-out, busy or a broken answer; the next poll may work.
            DeviceGoneError: no connection; back off.
            DeviceConfigurationError: the device says the request is wrong.
        """
        function = FUNCTION_OF[table]
        async with self._lock:
            client = await self._connected()
            call: Awaitable[ModbusPDU]
            match function:
                case 0x01:
                    call = client.read_coils(address, count=count, device_id=unit)
                case 0x02:
                    call = client.read_discrete_inputs(address, count=count, device_id=unit)
                case 0x03:
                    call = client.read_holding_registers(address, count=count, device_id=unit)
                case _:
                    call = client.read_input_registers(address, count=count, device_id=unit)
            answer = await self._answered(call, f"{table} {address}+{count}")
            self._checked(answer, function, unit, f"{table} {address}+{count}")
            values = answer.bits[:count] if table in BIT_TABLES else answer.registers
            if len(values) != count:
                self.close()
                raise DeviceBusyError(
                    f"{self.name}: 应答长度 {len(values)}，应为 {count}",
                    f"{self.name}: {len(values)} values answered, {count} asked",
                    "answer-length",
                )
            return tuple(int(value) for value in values)

    def close(self) -> None:
        """Close the connection; the next read opens a new one."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _connected(self) -> _ReadOnlyClient:
        if self._client is not None and self._client.connected:
            return self._client
        self.close()
        client = _ReadOnlyClient(
            self._host, port=self._port, timeout=self._timeout_s, retries=0, reconnect_delay=0, name=self.name
        )
        try:
            connected = await client.connect()
        except (ModbusException, OSError) as error:
            client.close()
            raise self._gone(error) from error
        if not connected:
            client.close()
            raise self._gone(None)
        self._client = client
        return client

    async def _answered(self, call: Awaitable[ModbusPDU], what: str) -> ModbusPDU:
        try:
            return await call
        except ConnectionException as error:
            self.close()
            raise self._gone(error) from error
        except (ModbusException, TimeoutError, OSError, ValueError) as error:
            self.close()
            raise DeviceBusyError(
                f"{self.name}: 读 {what} 在 {self._timeout_s} 秒内无应答",
                f"{self.name}: no answer to {what} within {self._timeout_s} s",
                "timeout",
            ) from error
        except asyncio.CancelledError:
            self.close()
            raise

    def _checked(self, answer: ModbusPDU, function: int, unit: int, what: str) -> None:
        if isinstance(answer, ExceptionResponse) or answer.isError():
            raise self._refused(int(getattr(answer, "exception_code", 0)), what)
        if answer.function_code != function or (unit and answer.dev_id != unit):
            self.close()
            raise DeviceBusyError(
                f"{self.name}: 应答与请求不符 ({what})",
                f"{self.name}: the answer does not belong to the request ({what})",
                "answer-mismatch",
            )

    def _refused(self, code: int, what: str) -> DeviceError:
        name = _EXCEPTION_NAMES.get(code, "unknown")
        kind = DeviceConfigurationError if code in _CONFIGURATION_EXCEPTIONS else DeviceBusyError
        return kind(
            f"{self.name}: 设备以异常 {code:02X} 拒绝读 {what}",
            f"{self.name}: device answered exception {code:02X} ({name}) to {what}",
            f"exception-{code:02x}",
        )

    def _gone(self, error: Exception | None) -> DeviceGoneError:
        because = f" ({error})" if error is not None else ""
        return DeviceGoneError(
            f"{self.name}: 无法连接；请检查地址、端口和网线",
            f"{self.name}: cannot connect{because}; check address, port and cable",
            "no-connection",
        )
