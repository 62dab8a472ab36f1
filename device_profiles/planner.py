"""From points to read requests: as few as the device allows, never one that it does not.

A point is never split over two requests, so both halves of a 64-bit total come from one answer; the exception is a
composite marked `tear_check`, whose high part is read before and after the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .model import Point, Table, Transport

#: Most registers and bits one request may ask for (Modbus application protocol V1.1b3, 6.1 to 6.4).
MAX_REGISTERS = 125
MAX_BITS = 2000


Piece = tuple[Table, int, int]


@dataclass(frozen=True, slots=True)
class ReadBlock:
    """One read request: `count` registers or bits from wire address `address`.

    `points` are those with a piece in it. `again`: the same words were read before in this cycle; they are the second
    look at states and at the high halves of divided totals.
    """

    table: Table
    address: int
    count: int
    points: tuple[str, ...]
    again: bool = False


def plan(points: Sequence[Point], transport: Transport, first: frozenset[str] = frozenset()) -> tuple[ReadBlock, ...]:
    """Group points into requests by table and address; those named in `first` come first and once more at the end."""
    before: list[tuple[Piece, str]] = []
    rest: list[tuple[Piece, str]] = []
    for point in points:
        high = set(point.pieces if point.id in first else point.high_pieces)
        for piece in point.pieces:
            (before if piece in high else rest).append((piece, point.id))
    early = _grouped(before, transport)
    again = (ReadBlock(one.table, one.address, one.count, one.points, again=True) for one in early)
    return (*early, *_grouped(rest, transport), *again)


def _grouped(pieces: Sequence[tuple[Piece, str]], transport: Transport) -> list[ReadBlock]:
    blocks: list[ReadBlock] = []
    for (table, address, words), name in sorted(
        pieces, key=lambda one: (one[0][0].value, one[0][1], -one[0][2], one[1])
    ):
        end = address + words
        if blocks and not transport.one_point_per_request:
            last = blocks[-1]
            joined = max(end, last.address + last.count) - last.address
            if last.table is table and _may_join(last, address, joined, transport):
                names = last.points if name in last.points else (*last.points, name)
                blocks[-1] = ReadBlock(table, last.address, joined, names)
                continue
        blocks.append(ReadBlock(table, address, words, (name,)))
    return blocks


def _may_join(block: ReadBlock, address: int, joined: int, transport: Transport) -> bool:
    limit = min(transport.max_bits, MAX_BITS) if block.table.is_bits else min(transport.max_registers, MAX_REGISTERS)
    gap_from = block.address + block.count
    gap = address - gap_from
    if joined > limit or gap > transport.max_gap:
        return False
    return not any(
        table is block.table and low < address and last >= gap_from for table, low, last in transport.forbidden
    )
