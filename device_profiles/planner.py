"""From points to read requests: as few as the device allows, never one that it does not.

A point is never split over two requests, so both halves of a 64-bit total come from one answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .model import Point, Table, Transport

#: Most registers and bits one request may ask for (Modbus application protocol V1.1b3, 6.1 to 6.4).
MAX_REGISTERS = 125
MAX_BITS = 2000


@dataclass(frozen=True, slots=True)
class ReadBlock:
    """One read request: `count` registers or bits from wire address `address`."""

    table: Table
    address: int
    count: int
    points: tuple[str, ...]


def plan(points: Sequence[Point], transport: Transport) -> tuple[ReadBlock, ...]:
    """Group points into requests by table and address."""
    blocks: list[ReadBlock] = []
    for point in sorted(points, key=lambda p: (p.table.value, p.address, -p.words, p.id)):
        end = point.address + point.words
        if blocks and not transport.one_point_per_request:
            last = blocks[-1]
            joined = max(end, last.address + last.count) - last.address
            if last.table is point.table and _may_join(last, point, joined, transport):
                blocks[-1] = ReadBlock(last.table, last.address, joined, (*last.points, point.id))
                continue
        blocks.append(ReadBlock(point.table, point.address, point.words, (point.id,)))
    return tuple(blocks)


def _may_join(block: ReadBlock, point: Point, joined: int, transport: Transport) -> bool:
    limit = min(transport.max_bits, MAX_BITS) if block.table.is_bits else min(transport.max_registers, MAX_REGISTERS)
    gap_from = block.address + block.count
    gap = point.address - gap_from
    if joined > limit or gap > transport.max_gap:
        return False
    return not any(
        table is block.table and first < point.address and last >= gap_from
        for table, first, last in transport.forbidden
    )
