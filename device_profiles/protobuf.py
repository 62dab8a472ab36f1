"""The little of protocol buffers that Sparkplug B needs: fields out of bytes, and bytes out of fields.

Unknown fields are kept as they come and left to the caller to ignore; lengths are checked before anything is taken.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Field = tuple[int, int | bytes]


class ProtobufError(ValueError):
    """Bytes that are no message."""


def fields(data: bytes) -> Iterator[Field]:
    """Give field number and content, in order: numbers of varints and fixed fields, bytes of the others.

    Raises: ProtobufError.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ProtobufError("field number 0")
        if kind == VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ProtobufError(f"wire type {kind}")
        if at + size > len(data):
            raise ProtobufError("the message ends inside a field")
        content = data[at : at + size]
        at += size
        yield number, content if kind == BYTES else int.from_bytes(content, "little")


def varint_field(number: int, value: int) -> bytes:
    """Write a whole number."""
    return _to_varint(number << 3 | VARINT) + _to_varint(value)


def bytes_field(number: int, content: bytes) -> bytes:
    """Write bytes, a text or a message."""
    return _to_varint(number << 3 | BYTES) + _to_varint(len(content)) + content


def float_field(number: int, value: float) -> bytes:
    """Write a float of 32 bits."""
    return _to_varint(number << 3 | FIXED32) + struct.pack("<f", value)


def double_field(number: int, value: float) -> bytes:
    """Write a float of 64 bits."""
    return _to_varint(number << 3 | FIXED64) + struct.pack("<d", value)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ProtobufError("the message ends inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                raise ProtobufError("a number is longer than 64 bits")
            return value, at
    raise ProtobufError("a number is longer than ten bytes")


def _to_varint(value: int) -> bytes:
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)
