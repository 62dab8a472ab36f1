"""The two check sums seen behind HJ 212 data segments: that of annex A, and the Modbus one that some loggers send.

They differ in one step: annex A shifts the register by eight bits before it takes in a byte, Modbus does not. That
step loses half of the register, so the annex has only 256 check sums: any one wrong byte is found, but of larger
damages one in 256 is not. Whoever reads a frame must not trust the check sum alone.
"""

from __future__ import annotations

_POLYNOMIAL = 0xA001
_START = 0xFFFF


def _remainder(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ _POLYNOMIAL if value & 1 else value >> 1
    return value


_TABLE = tuple(_remainder(value) for value in range(256))


def annex_crc(segment: bytes) -> int:
    """Compute the check sum of HJ 212-2017 annex A."""
    register = _START
    for byte in segment:
        register = (register >> 8) ^ byte
        register = (register >> 8) ^ _TABLE[register & 0xFF]
    return register


def modbus_crc(segment: bytes) -> int:
    """Compute the Modbus check sum (CRC-16), low byte first as Modbus sends it."""
    register = _START
    for byte in segment:
        register = (register >> 8) ^ _TABLE[(register ^ byte) & 0xFF]
    return (register & 0xFF) << 8 | register >> 8


def crc_text(crc: int) -> str:
    """Print a check sum: four hexadecimal characters, high byte first."""
    return format(crc, "04X")
