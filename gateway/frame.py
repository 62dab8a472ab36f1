"""Modbus frames as bytes: what may be written, and whether what came is the answer to what was asked. No socket here.

Two framings: Modbus TCP (seven bytes of header with a transaction number) and RTU (unit, data, check sum), the latter
on a serial line or inside a TCP stream. An answer is taken only if it fits its request in everything it can:
transaction number, unit, function and byte count. Source: Modbus Application Protocol V1.1b3, 4.1, 6.1 to 6.4, 6.21
and 7; Modbus Messaging on TCP/IP V1.0b, 3.1.3; Modbus over Serial Line V1.02, 2.5.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from device_profiles.hj212.crc import modbus_crc

READ_COILS: Final = 0x01
READ_DISCRETE: Final = 0x02
READ_HOLDING: Final = 0x03
READ_INPUT: Final = 0x04
ENCAPSULATED: Final = 0x2B
"""Encapsulated interface transport; of its kinds only `IDENTIFICATION` is a read."""
IDENTIFICATION: Final = 0x0E
FUNCTION_OF: Final = {"coil": READ_COILS, "discrete": READ_DISCRETE, "holding": READ_HOLDING, "input": READ_INPUT}
READS: Final = frozenset(FUNCTION_OF.values())
BIT_READS: Final = frozenset({READ_COILS, READ_DISCRETE})

EXCEPTION: Final = 0x80
"""Added to the function code of an answer that refuses."""
LARGEST_FRAME: Final = 260
"""Bytes of the longest frame: 253 of data and the header of Modbus TCP."""
_HEADER: Final = 6
"""Bytes of the TCP header before the unit: transaction number, protocol (0), length of the rest."""
_READ_PDU: Final = 5
_IDENTIFICATION_PDU: Final = 4
_IDENTIFICATION_HEAD: Final = 7
_SHORTEST_ANSWER: Final = 5
"""Bytes of an exception on an RTU line; other answers have as many more as their byte count says."""
_MORE_FOLLOW: Final = 0xFF
_SUM: Final = 2


class WriteRefusedError(Exception):
    """Something that is not a read was about to be written; a programming error, never a user's."""


class Framing(Enum):
    """How data is wrapped on the way."""

    TCP = "tcp"
    RTU = "rtu"


@dataclass(frozen=True, slots=True)
class Request:
    """One read: `count` registers or bits from `address`.

    With function 2B: the identification objects from number `address`, `count` being the code that says which (1 basic,
    2 regular, 3 extended).
    """

    unit: int
    function: int
    address: int
    count: int = 0

    @property
    def data_bytes(self) -> int:
        """How many bytes of values the answer must carry."""
        return (self.count + 7) // 8 if self.function in BIT_READS else 2 * self.count


class Strange(Enum):
    """What is wrong with what came; the values are reasons of readings."""

    CHECKSUM = "answer-checksum"
    LENGTH = "answer-length"
    MISMATCH = "answer-mismatch"


@dataclass(frozen=True, slots=True)
class Heard:
    """What a buffer holds: the answer's data (function code first), something strange, or neither yet.

    `used` bytes need not be looked at again. `late` counts answers to earlier requests, which were passed over.
    """

    used: int = 0
    data: bytes | None = None
    strange: Strange | None = None
    late: int = 0


def require_read(frame: bytes, framing: Framing) -> None:
    """Check one frame that is about to be written: function codes 01 to 04 or 2B/0E, of the very form of a read.

    Raises:
        WriteRefusedError: it is anything else; it must not leave.
    """
    body = frame[_HEADER:] if framing is Framing.TCP else frame[:-_SUM]
    if framing is Framing.TCP:
        sound = len(frame) > _HEADER and frame[2:4] == b"\0\0" and int.from_bytes(frame[4:6]) == len(body)
    else:
        sound = len(frame) > _SUM and int.from_bytes(frame[-_SUM:]) == modbus_crc(body)
    data = body[1:]
    is_read = len(data) == _READ_PDU and data[0] in READS
    is_identification = len(data) == _IDENTIFICATION_PDU and data[0] == ENCAPSULATED and data[1] == IDENTIFICATION
    if not sound or not (is_read or is_identification):
        code = f"{data[0]:#04x}" if data else "none"
        raise WriteRefusedError(f"a frame with function code {code} ({frame[:16].hex(' ')}) is not a read")


def listen(buffer: bytes, request: Request, framing: Framing, transaction: int) -> Heard:
    """Look for the answer to a request in the bytes that came since it was sent."""
    if framing is Framing.TCP:
        return _listen_tcp(buffer, request, transaction)
    return _listen_rtu(buffer, request)


def left_over(buffer: bytes, request: Request) -> Strange | None:
    """Say what bytes are that never became an answer on an RTU line; None where nothing came at all.

    A whole frame of our unit and function has the wrong length, any other whole frame belongs to somebody else, and
    what is no frame was damaged or is noise.
    """
    if not buffer:
        return None
    for start in range(len(buffer) - _SHORTEST_ANSWER + 1):
        # As long as an exception, as the byte count says, or all there is.
        for end in (start + _SHORTEST_ANSWER, start + _SHORTEST_ANSWER + buffer[start + 2], len(buffer)):
            if end > len(buffer) or int.from_bytes(buffer[end - _SUM : end]) != modbus_crc(buffer[start : end - _SUM]):
                continue
            ours = buffer[start] == request.unit and buffer[start + 1] & ~EXCEPTION == request.function
            return Strange.LENGTH if ours else Strange.MISMATCH
        if start > _HEADER:
            break
    return Strange.CHECKSUM


def registers(data: bytes) -> tuple[int, ...]:
    """Read the words of an answer to function 03 or 04."""
    return struct.unpack(f">{(len(data) - 2) // 2}H", data[2:])


def bits(data: bytes, count: int) -> tuple[int, ...]:
    """Read the first `count` bits of an answer to function 01 or 02; the first is the lowest of the first byte."""
    return tuple(data[2 + at // 8] >> at % 8 & 1 for at in range(count))


def objects(data: bytes) -> tuple[dict[int, bytes], int | None]:
    """Read the objects of an identification, and the number of the next one where more follow."""
    found: dict[int, bytes] = {}
    at = _IDENTIFICATION_HEAD
    for _ in range(data[_IDENTIFICATION_HEAD - 1]):
        found[data[at]] = data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]
    return found, data[5] if data[4] == _MORE_FOLLOW else None


def _listen_tcp(buffer: bytes, request: Request, transaction: int) -> Heard:
    used = late = 0
    while len(buffer) - used > _HEADER:
        head = buffer[used : used + _HEADER]
        length = int.from_bytes(head[4:6])
        if head[2:4] != b"\0\0" or not 3 <= length <= LARGEST_FRAME - _HEADER:
            return Heard(len(buffer), strange=Strange.MISMATCH, late=late)  # out of step, or no Modbus at all
        end = used + _HEADER + length
        if len(buffer) < end:
            break
        body, used = buffer[used + _HEADER : end], end
        if int.from_bytes(head[:2]) != transaction:
            late += 1
            continue
        if request.unit and body[0] != request.unit:
            return Heard(used, strange=Strange.MISMATCH, late=late)
        data = body[1:]
        strange = _fault_of(data, request)
        return Heard(used, None if strange else data, strange, late)
    return Heard(used, late=late)


def _fault_of(data: bytes, request: Request) -> Strange | None:
    if data[0] not in (request.function, request.function | EXCEPTION):
        return Strange.MISMATCH
    wanted = _answer_length(data, request)
    return None if wanted == len(data) else Strange.LENGTH


def _listen_rtu(buffer: bytes, request: Request) -> Heard:
    # Some adapters echo what is sent; such an echo may look like the beginning of an answer.
    is_echo = buffer.startswith(struct.pack(">BBHH", request.unit, request.function, request.address, request.count))
    damaged = False
    for start, length in _candidates(buffer, request):
        frame = buffer[start : start + 1 + length + _SUM]
        if len(frame) < 1 + length + _SUM:
            continue
        if int.from_bytes(frame[-_SUM:]) != modbus_crc(frame[:-_SUM]):
            damaged = damaged or (start == 0 and not is_echo)
            continue
        data = frame[1:-_SUM]
        if data[0] & EXCEPTION or _answer_length(data, request) == len(data):
            return Heard(start + len(frame), data)
    # A frame of the right form and the wrong sum is the answer, damaged on the way: nothing more will come.
    return Heard(len(buffer), strange=Strange.CHECKSUM) if damaged else Heard()


def _candidates(buffer: bytes, request: Request) -> Iterator[tuple[int, int]]:
    """List where the answer may begin, and how long its data then is; noise before it is passed over."""
    for start in range(len(buffer) - 1):
        if request.unit and buffer[start] != request.unit:
            continue
        if buffer[start + 1] not in (request.function, request.function | EXCEPTION):
            continue
        length = _answer_length(buffer[start + 1 :], request)
        if length is not None:
            yield start, length


def _answer_length(data: bytes, request: Request) -> int | None:
    """Compute how long the answer's data must be, function code included; None when that cannot be told (yet)."""
    if data[0] & EXCEPTION:
        return 2
    if request.function != ENCAPSULATED:
        right = len(data) < 2 or data[1] == request.data_bytes
        return 2 + request.data_bytes if right else None
    if len(data) < _IDENTIFICATION_HEAD:
        return None
    at = _IDENTIFICATION_HEAD
    for _ in range(data[_IDENTIFICATION_HEAD - 1]):
        if len(data) < at + 2:
            return None
        at += 2 + data[at + 1]
    return at
