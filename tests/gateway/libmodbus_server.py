"""A Modbus server by libmodbus, the C library: TCP, or RTU on a pseudo-terminal; shares no code with the gateway.

Every address from `START` on has a value; outside them it answers exception 02, as the library does by itself.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

START: Final = 100
COUNT: Final = 200
UNIT: Final = 5
BUSY_AT: Final = 250
"""A request from this address on is answered with exception 06."""
_MOST_BYTES: Final = 260
_WAIT_US: Final = 50_000


class _Mapping(ctypes.Structure):
    """`modbus_mapping_t`."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("nb_bits", "start_bits", "nb_input_bits", "start_input_bits")),
        *((name, ctypes.c_int) for name in ("nb_input_registers", "start_input_registers")),
        *((name, ctypes.c_int) for name in ("nb_registers", "start_registers")),
        *((name, ctypes.POINTER(ctypes.c_uint8)) for name in ("bits", "input_bits")),
        *((name, ctypes.POINTER(ctypes.c_uint16)) for name in ("input_registers", "registers")),
    ]


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL("libmodbus.so.5", use_errno=True)
    library.modbus_new_tcp.restype = library.modbus_new_rtu.restype = ctypes.c_void_p
    library.modbus_mapping_new_start_address.restype = ctypes.POINTER(_Mapping)
    return library


class LibmodbusServer:
    """One server in a thread; counts the requests by function code."""

    def __init__(self) -> None:
        self._library = _library()
        self._context = ctypes.c_void_p()
        self.requests: dict[int, int] = {}
        self._stop = threading.Event()
        args = [ctypes.c_uint(one) for one in (START, COUNT) * 4]
        self._mapping = self._library.modbus_mapping_new_start_address(*args)
        table = self._mapping.contents
        for at in range(COUNT):
            table.bits[at] = table.input_bits[at] = 0
            table.bits[at] = (START + at) % 3 == 0
            table.input_bits[at] = (START + at) % 5 == 0
            table.registers[at] = START + at
            table.input_registers[at] = 0xFFFF - START - at

    @contextmanager
    def tcp(self) -> Iterator[int]:
        """Serve on a free port of this machine and give it."""
        self._context = ctypes.c_void_p(self._library.modbus_new_tcp(b"127.0.0.1", 0))
        listener = self._library.modbus_tcp_listen(self._context, 5)
        assert listener >= 0
        with socket.socket(fileno=os.dup(listener)) as asked:
            port = asked.getsockname()[1]
        with self._running(listener):
            yield port
        os.close(listener)

    @contextmanager
    def rtu(self, baud: int) -> Iterator[str]:
        """Serve at one end of a serial line and give the name of the other end."""
        with null_modem() as (theirs, ours):
            self._context = ctypes.c_void_p(
                self._library.modbus_new_rtu(theirs.encode(), baud, ctypes.c_char(b"N"), 8, 1)
            )
            assert self._library.modbus_set_slave(self._context, UNIT) == 0
            assert self._library.modbus_connect(self._context) == 0
            with self._running(None):
                yield ours

    @contextmanager
    def _running(self, listener: int | None) -> Iterator[None]:
        self._library.modbus_set_indication_timeout(self._context, 0, _WAIT_US)
        self._library.modbus_set_response_timeout(self._context, 0, _WAIT_US // 10)
        thread = threading.Thread(target=self._serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join(10)
            self._library.modbus_close(self._context)
            self._library.modbus_free(self._context)
            self._library.modbus_mapping_free(self._mapping)

    def _serve(self, listener: int | None) -> None:
        while not self._stop.is_set():
            if listener is None:
                self._answer_until_closed(None)
            elif select.select([listener], [], [], _WAIT_US / 1e6)[0]:
                handle = ctypes.c_int(listener)
                peer = self._library.modbus_tcp_accept(self._context, ctypes.byref(handle))
                self._answer_until_closed(peer)
                self._library.modbus_close(self._context)

    def _answer_until_closed(self, peer: int | None) -> None:
        buffer = (ctypes.c_uint8 * _MOST_BYTES)()
        head = 7 if peer is not None else 1
        while not self._stop.is_set():
            if peer is not None and not select.select([peer], [], [], _WAIT_US / 1e6)[0]:
                continue
            length = self._library.modbus_receive(self._context, buffer)
            if length < 0 and peer is not None:
                return
            if length <= 0:
                continue
            function = buffer[head]
            self.requests[function] = self.requests.get(function, 0) + 1
            if buffer[head + 1] << 8 | buffer[head + 2] == BUSY_AT:
                self._library.modbus_reply_exception(self._context, buffer, 6)
            else:
                self._library.modbus_reply(self._context, buffer, length, self._mapping)


@contextmanager
def null_modem() -> Iterator[tuple[str, str]]:
    """Join two pseudo-terminals and give their names, as a cable between two serial ports would."""
    pairs = [os.openpty(), os.openpty()]
    for pair in pairs:
        for end in pair:
            tty.setraw(end)
    (first, _), (second, _) = pairs
    wake, woken = os.pipe()
    thread = threading.Thread(target=_pump, args=(first, second, wake), daemon=True)
    thread.start()
    try:
        yield os.ttyname(pairs[0][1]), os.ttyname(pairs[1][1])
    finally:
        os.write(woken, b"x")
        thread.join(10)
        for end in (*pairs[0], *pairs[1], wake, woken):
            os.close(end)


def _pump(first: int, second: int, wake: int) -> None:
    other = {first: second, second: first}
    while True:
        ready, _, _ = select.select([first, second, wake], [], [])
        if wake in ready:
            return
        for end in ready:
            os.write(other[end], os.read(end, 1024))
