"""Commissioning: read a device's points once and show words, value and quality, with the neighbours of each address.

Manuals count addresses in five ways; the neighbours show at a glance when a profile or a manual is off by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device_profiles import Decoded, Point, Table, decode, hex_text
from device_profiles.decoder import decode_point
from gateway.catalogue import Instrument
from gateway.errors import DeviceError, MisuseError
from gateway.line import Manners
from gateway.modbus import ModbusLine, ModbusUnit
from gateway.site import DeviceSite

NEIGHBOURS = (-1, 0, 1)


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


async def probe_device(
    instrument: Instrument, endpoint: ModbusLine, points: Sequence[str], *, neighbours: bool
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
    unit = endpoint.unit(site.unit, Manners.of(profile.transport))
    rows: list[ProbeRow] = []
    answered = False
    failed: DeviceError | None = None
    for name in points or sorted(instrument.channels) or sorted(profile.points):
        point = profile.points[name]
        if point.parts or point.needs or profile.quality_of(name):
            # What needs other registers is shown as the poller would read it; neighbours would mean nothing.
            try:
                rows.append(await _read_whole(instrument, unit, point))
                answered = True
            except DeviceError as error:
                failed = error
                answered = answered or error.reason.startswith("exception-")
                rows.append(_refused(point, 0, error, instrument))
            continue
        for offset in NEIGHBOURS if neighbours else (0,):
            if point.address + offset < 0:
                continue
            try:
                words = await unit.read(point.table.value, point.address + offset, point.words)
            except DeviceError as error:
                failed = error
                answered = answered or error.reason.startswith("exception-")
                rows.append(_refused(point, offset, error, instrument))
                continue
            answered = True
            rows.append(_shown(point, offset, words, decode_point(point, words), instrument))
    if failed is not None and not answered:
        raise failed
    return rows


async def _read_whole(instrument: Instrument, unit: ModbusUnit, point: Point) -> ProbeRow:
    words: dict[tuple[Table, int], int] = {}
    after: dict[tuple[Table, int], int] = {}
    blocks = instrument.profile.plan([point.id])
    for block in blocks:
        answer = await unit.read(block.table.value, block.address, block.count)
        into = after if block.again else words
        into.update({(block.table, block.address + offset): word for offset, word in enumerate(answer)})
    twice = any(block.again for block in blocks)
    decoded = decode(instrument.profile, words, [point.id], after=after if twice else None)[point.id]
    own = [words[table, address + at] for table, address, count in point.pieces for at in range(count)]
    return _shown(point, 0, own, decoded, instrument)


def _shown(point: Point, offset: int, words: Sequence[int], decoded: Decoded, instrument: Instrument) -> ProbeRow:
    return ProbeRow(
        point=point.id,
        offset=offset,
        table=point.table.value,
        address=point.address + offset,
        words=" ".join(map(str, words)) if point.table.is_bits else hex_text(words),
        value="" if decoded.value is None else str(decoded.value),
        unit=decoded.unit,
        quality=decoded.quality.value,
        reason=str(decoded.reason),
        channels=instrument.channels.get(point.id, ()) if offset == 0 else (),
    )


def _refused(point: Point, offset: int, error: DeviceError, instrument: Instrument) -> ProbeRow:
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
    )
