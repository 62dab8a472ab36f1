"""Which line each Modbus device stands on: the site file says where, the profile says what the device can speak.

What the site file leaves open of a serial line is taken from the profiles, which know how devices leave the factory;
where they disagree the site must say it. Devices with equal addresses share one line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from device_profiles import Profile
from device_profiles.model import Serial
from gateway.errors import MisuseError
from gateway.line import LineAddress, LineKind
from gateway.site import DeviceSite, LineSite, Site

_LOWEST_UNIT, _HIGHEST_UNIT = 1, 247
"""Units on a serial line; 0 is everybody and answers nothing (Modbus over Serial Line V1.02, 2.2)."""
_HIGHEST_PORT = 65_535
_KIND_OF: Mapping[str, LineKind] = {
    "tcp": "tcp",
    "tcp_gateway": "tcp",
    "rtu_over_tcp": "rtu-over-tcp",
    "serial": "rtu",
}


def cabling_of(path: Path, site: Site, profiles: Mapping[str, Profile]) -> dict[str, LineAddress]:
    """Return the line of each device, by device id; `profiles` by device id too.

    Raises:
        MisuseError: a line is not there, is described in two ways, or a device cannot be read over it.
    """
    lines = {one.id: one for one in site.line}
    users: dict[str, list[DeviceSite]] = {}
    for device in site.device:
        if device.line:
            users.setdefault(device.line, []).append(device)
    addresses: dict[str, LineAddress] = {}
    for device in site.device:
        if bool(device.host) == bool(device.line):
            raise _wrong(
                path,
                f"device.{device.id}.host",
                "host（Modbus TCP）与 line（[[line]] 的 id）须给出其一",
                "give either host (Modbus TCP) or line (the id of a [[line]])",
            )
        if device.line and device.line not in lines:
            there = ", ".join(sorted(lines)) or "—"
            raise _wrong(
                path,
                f"device.{device.id}.line",
                f"没有线路 {device.line!r}；有：{there}",
                f"there is no line {device.line!r}; there are: {there}",
            )
        if device.host:
            address = LineAddress("tcp", device.host, device.port)
        else:
            sharing = [profiles[one.id] for one in users[device.line]]
            address = _address(path, lines[device.line], sharing)
        spoken = _spoken(lines[device.line], address) if device.line else address.kind
        _check_device(path, device, profiles[device.id], spoken)
        addresses[device.id] = address
    _refuse_two_ways(path, site, addresses)
    return addresses


def _address(path: Path, line: LineSite, profiles: Sequence[Profile]) -> LineAddress:
    given = [key for key in _KIND_OF if getattr(line, key)]
    if len(given) != 1:
        raise _wrong(
            path,
            f"line.{line.id}",
            f"须且只须给出其一：{'、'.join(_KIND_OF)}",
            f"give exactly one of {', '.join(_KIND_OF)}",
        )
    (key,) = given
    if key == "serial":
        return _serial(path, line, profiles)
    for other in ("baud", "parity", "stop_bits"):
        if getattr(line, other) is not None:
            raise _wrong(
                path,
                f"line.{line.id}.{other}",
                "只用于 serial；网络设备的串口参数在其自身设置",
                "is for serial only; the settings of a network device's serial side are made in that device",
            )
    text: str = getattr(line, key)
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= _HIGHEST_PORT:
        raise _wrong(
            path,
            f"line.{line.id}.{key}",
            f"{text!r} 不是“主机:端口”",
            f"{text!r} is not host:port, such as 10.0.0.7:502",
        )
    return LineAddress(_KIND_OF[key], host.strip("[]"), int(port))


def _serial(path: Path, line: LineSite, profiles: Sequence[Profile]) -> LineAddress:
    factory: set[Serial] = {one.transport.serial for one in profiles if one.transport.serial is not None}
    (only,) = factory if len(factory) == 1 else (None,)
    baud = line.baud or (only.baud if only else None)
    parity = line.parity or (only.parity if only else None)
    stop_bits = line.stop_bits or (only.stop_bits if only else None)
    if baud is None or parity is None or stop_bits is None:
        key = "baud" if baud is None else "parity" if parity is None else "stop_bits"
        raise _wrong(
            path,
            f"line.{line.id}.{key}",
            "设备描述没有给出或互不一致，须在此给出",
            "the profiles do not say it or disagree; give it here",
        )
    match parity:
        case "none" | "even" | "odd":
            return LineAddress("rtu", line.serial, baud=baud, parity=parity, stop_bits=stop_bits)
    raise _wrong(path, f"line.{line.id}.parity", f"没有校验方式 {parity!r}", f"there is no parity {parity!r}")


def _spoken(line: LineSite, address: LineAddress) -> LineKind:
    return "rtu" if line.tcp_gateway else address.kind


def _check_device(path: Path, device: DeviceSite, profile: Profile, spoken: LineKind) -> None:
    can = profile.transport.protocols
    if spoken not in can:
        there = ", ".join(can)
        raise _wrong(
            path,
            f"device.{device.id}.{'host' if device.host else 'line'}",
            f"描述 {profile.id} 的设备不支持 {spoken}；支持：{there}。在转换网关之后时请用 [[line]] 的 tcp_gateway",
            f"devices of profile {profile.id} do not speak {spoken} but {there};"
            " behind a gateway that translates use tcp_gateway of a [[line]]",
        )
    if spoken != "tcp" and not _LOWEST_UNIT <= device.unit <= _HIGHEST_UNIT:
        raise _wrong(
            path,
            f"device.{device.id}.unit",
            f"RTU 线路上的单元号为 {_LOWEST_UNIT} 至 {_HIGHEST_UNIT}",
            f"on an RTU line a unit is {_LOWEST_UNIT} to {_HIGHEST_UNIT}",
        )


def _refuse_two_ways(path: Path, site: Site, addresses: Mapping[str, LineAddress]) -> None:
    """Refuse one place that is described in two ways: two connections would speak over one another."""
    first: dict[tuple[str, int], tuple[str, LineAddress]] = {}
    for device in site.device:
        address = addresses[device.id]
        other, known = first.setdefault((address.host, address.port), (device.id, address))
        if known != address:
            raise _wrong(
                path,
                f"device.{device.id}.{'host' if device.host else 'line'}",
                f"{address.name} 与设备 {other} 的 {known.name} 是同一处，但写法不同",
                f"{address.name} is the same place as {known.name} of device {other}, described in another way",
            )


def _wrong(path: Path, key: str, zh: str, en: str) -> MisuseError:
    return MisuseError(f"{path}: 键 {key}: {zh}", f"{path}: key {key}: {en}")
