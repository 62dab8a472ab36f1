"""Read a device's points once for a person: words, value, quality, neighbours, and what other orders would make of it.

Manuals count addresses in five ways and write word orders in six; the neighbours and the orders show at a glance when a
profile or a manual is wrong. Nothing is decided here: `gateway/commissioning.py` asks the device's display.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from device_profiles import Decoded, Point, ReadBlock, Table, by_orders, by_units, decode, hex_text, shown_value
from gateway.catalogue import Instrument
from gateway.clock import Clock, RealClock
from gateway.errors import DeviceError, MisuseError
from gateway.line import Manners
from gateway.modbus import ModbusLine, ModbusUnit
from gateway.site import DeviceSite

NEIGHBOURS = (-1, 0, 1)


@dataclass(frozen=True)
class OrderRow:
    """A point's value under one word order."""

    order: str
    value: str
    quality: str
    reason: str
    declared: bool
    plausible: bool | None


@dataclass(frozen=True)
class UnitRow:
    """A unit the number may be in."""

    unit: str
    declared: bool
    plausible: bool | None


@dataclass(frozen=True)
class ProbeRow:
    """One point at one offset from its address."""

    point: str
    offset: int
    table: str
    address: int
    words: str
    value: str
    unit: str
    quality: str
    reason: str
    channels: tuple[str, ...]
    at: datetime
    code: str = ""
    """The number behind a word of an enumeration."""
    orders: tuple[OrderRow, ...] = ()
    units: tuple[UnitRow, ...] = ()

    @property
    def order(self) -> str:
        """The word order it was decoded by; empty where none matters."""
        return next((one.order for one in self.orders if one.declared), "")


async def probe_device(
    instrument: Instrument,
    endpoint: ModbusLine,
    points: Sequence[str],
    *,
    neighbours: bool,
    clock: Clock | None = None,
) -> list[ProbeRow]:
    """Read points one by one; a refused address is a row with its reason.

    Raises:
        MisuseError: the profile has no such point, or the device does not speak Modbus.
        DeviceError: no answer at all.
    """
    site, profile = instrument.site, instrument.profile
    if not isinstance(site, DeviceSite):
        raise MisuseError(f"{site.id} 不是 Modbus 设备", f"{site.id} is no Modbus device; probe reads Modbus")
    unknown = [name for name in points if name not in profile.points]
    if unknown:
        raise MisuseError(f"描述 {profile.id} 没有测点 {unknown[0]}", f"profile {profile.id} has no point {unknown[0]}")
    unit, clock = endpoint.unit(site.unit, Manners.of(profile.transport)), clock or RealClock()
    rows: list[ProbeRow] = []
    answered = False
    failed: DeviceError | None = None
    for name in points or sorted(instrument.channels) or sorted(profile.points):
        point = profile.points[name]
        # The parts of a composite have no common neighbour.
        for offset in NEIGHBOURS if neighbours and not point.parts else (0,):
            if point.address + offset < 0:
                continue
            try:
                look = await _look(instrument, unit, point, offset)
            except DeviceError as error:
                failed = error
                answered = answered or error.reason.startswith("exception-")
                rows.append(_refused(point, offset, error, instrument, clock.now()))
                continue
            answered = True
            rows.append(_shown(point, offset, look, instrument, clock.now()))
    if failed is not None and not answered:
        raise failed
    return rows


@dataclass(frozen=True)
class _Look:
    """What was read for one point, with all that it needs; `after` is the second look at its states."""

    words: Mapping[tuple[Table, int], int]
    after: Mapping[tuple[Table, int], int] | None


async def _look(instrument: Instrument, unit: ModbusUnit, point: Point, offset: int) -> _Look:
    """Read a point as the poller would, alone; a neighbour's words then stand in the place of its own."""
    words: dict[tuple[Table, int], int] = {}
    after: dict[tuple[Table, int], int] = {}
    own = {(table, address + at) for table, address, count in point.pieces for at in range(count)}
    blocks = instrument.profile.plan([point.id])
    needed = [block for block in blocks if not offset or not set(_places(block)) <= own]
    for block in needed:
        answer = await unit.read(block.table.value, block.address, block.count)
        (after if block.again else words).update(zip(_places(block), answer, strict=True))
    if offset:
        answer = await unit.read(point.table.value, point.address + offset, point.words)
        words.update({(point.table, point.address + at): word for at, word in enumerate(answer)})
    return _Look(words, after if any(block.again for block in blocks) else None)


def _places(block: ReadBlock) -> list[tuple[Table, int]]:
    """List the registers that a request brings, in order."""
    return [(block.table, block.address + at) for at in range(block.count)]


def _shown(point: Point, offset: int, look: _Look, instrument: Instrument, now: datetime) -> ProbeRow:
    profile = instrument.profile
    words, after = look.words, look.after
    decoded = decode(profile, words, [point.id], after=after)[point.id]
    own = [words[table, address + at] for table, address, count in point.pieces for at in range(count)]
    return ProbeRow(
        point=point.id,
        offset=offset,
        table=point.table.value,
        address=point.address + offset,
        words=" ".join(map(str, own)) if point.table.is_bits else hex_text(own),
        value=_text(decoded),
        unit=decoded.unit,
        quality=decoded.quality.value,
        reason=str(decoded.reason),
        channels=instrument.channels.get(point.id, ()) if offset == 0 else (),
        at=now,
        code="" if point.enum is None or decoded.number is None else str(decoded.number),
        orders=tuple(
            OrderRow(
                one.order,
                _text(one.decoded),
                one.decoded.quality.value,
                str(one.decoded.reason),
                one.declared,
                one.plausible,
            )
            for one in (by_orders(profile, point.id, words, after=after) if offset == 0 else ())
        ),
        units=tuple(
            UnitRow(one.unit, one.declared, one.plausible)
            for one in (by_units(profile, point.id, words) if offset == 0 else ())
        ),
    )


def _text(decoded: Decoded) -> str:
    return shown_value(decoded.value) or ""


def _refused(point: Point, offset: int, error: DeviceError, instrument: Instrument, now: datetime) -> ProbeRow:
    return ProbeRow(
        point=point.id,
        offset=offset,
        table=point.table.value,
        address=point.address + offset,
        words="",
        value="",
        unit=point.unit,
        quality="no_communication",
        reason=error.reason,
        channels=instrument.channels.get(point.id, ()) if offset == 0 else (),
        at=now,
    )
