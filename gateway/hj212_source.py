"""A data logger of the site: which fields of its frames feed which channels, in which unit.

Everything is checked here, before the first frame: a code without a unit to trust refuses to start.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from pathlib import Path

from device_profiles.hj212 import KEY_BYTES, Edition, FieldRule, Table, parse_zone, table
from device_profiles.units import AMOUNT_KINDS, UNITS
from evidence.channel import Channel, ChannelKind
from evidence.channel import Profile as ProfileName
from gateway.errors import MisuseError
from gateway.site import ChannelSite, LoggerSite

_POINT = re.compile(r"([A-Za-z0-9]{2,16})-([A-Za-z]{2,16})(?:/(minute|hour|day))?\Z", re.ASCII)
_AMOUNT = "Cou"
_UNIT_OF_FIELD = {"RS": "1", "RT": "h"}
"""Fields of facilities, whose unit the standard gives with the field and not with a code."""

Place = tuple[str, str, str]
"""Period, code and field of a value."""


@dataclass(frozen=True)
class LoggerSource:
    """A data logger with everything that is needed to read its frames."""

    site: LoggerSite
    table: Table
    zone: tzinfo
    key: bytes | None
    channels: Mapping[Place, tuple[str, ...]]
    """Place of a value → ids of the channels it feeds."""

    def period(self, name: str) -> timedelta:
        """Return how long the values of a period cover."""
        return _period(self.site, name)


def load_logger(
    path: Path, site: LoggerSite, points: Sequence[ChannelSite], channels: dict[str, Channel]
) -> LoggerSource:
    """Check a data logger of the site file and add its channels to `channels`.

    Raises:
        MisuseError: zone, key, point or unit are wrong; file and key are named.
    """
    rules = table(Edition(site.edition))
    try:
        zone = parse_zone(site.zone)
    except ValueError as error:
        raise _wrong(path, f"hj212.{site.id}.zone", f"{site.zone!r} 不是时区", str(error)) from error
    feeds: dict[Place, tuple[str, ...]] = {}
    for point in points:
        place, rule = _place(path, point, rules)
        feeds[place] = (*feeds.get(place, ()), point.id)
        channels[point.id] = Channel(
            id=point.id,
            unit=_unit(path, point, place, rule, rules),
            kind=ChannelKind(rule.kind),
            poll=_period(site, place[0]) or timedelta(seconds=site.poll_s),
            device=site.id,
            via="hj212",
            param=point.param or None,
            subject=point.subject or None,
            serial=site.serial or None,
            certificate=site.certificate or None,
            profile=ProfileName(rules.id, rules.version, rules.hash),
        )
    return LoggerSource(site, rules, zone, _key(path, site), feeds)


def _period(site: LoggerSite, name: str) -> timedelta:
    minutes = {"realtime": 0, "minute": site.minute_interval, "hour": 60, "day": 1440}
    return timedelta(minutes=minutes[name])


def _place(path: Path, point: ChannelSite, rules: Table) -> tuple[Place, FieldRule]:
    key = f"channel.{point.id}.point"
    found = _POINT.match(point.point)
    if found is None:
        raise _wrong(
            path,
            key,
            f"{point.point!r} 应写作 a05001-Rtd 或 a00000-Cou/hour",
            f"{point.point!r} must be written like a05001-Rtd or a00000-Cou/hour",
        )
    code, field, period = found.groups()
    rule = rules.fields.get(field)
    if rule is None:
        there = ", ".join(rules.fields)
        raise _wrong(path, key, f"没有字段 {field!r}；有: {there}", f"there is no field {field!r}; there are: {there}")
    period = period or ("realtime" if "realtime" in rule.periods else "")
    if not period and len(rule.periods) == 1:
        (period,) = rule.periods
    if period not in rule.periods:
        there = ", ".join(rule.periods)
        raise _wrong(
            path, key, f"{field} 须注明周期: {there}", f"{field} needs its period behind a slash, one of: {there}"
        )
    if point.kind is not None and point.kind != rule.kind:
        raise _wrong(path, f"channel.{point.id}.kind", f"{field} 的类型是 {rule.kind}", f"{field} is a {rule.kind}")
    return (period, code, field), rule


def _unit(path: Path, point: ChannelSite, place: Place, rule: FieldRule, rules: Table) -> str:
    _, code, field = place
    key = f"channel.{point.id}.unit"
    factor = rules.factors.get(code)
    if point.unit is None and factor is not None and factor.declare_unit:
        raise _wrong(
            path,
            key,
            f"{code}（{factor.zh}）必须声明单位：请在数采仪上核对后填写 unit，如 % 或 g/m3",
            f"{code} ({factor.en}) needs a declared unit: look at the logger and give unit, such as % or g/m3",
        )
    known = "" if factor is None else factor.cou_unit if field == _AMOUNT else factor.unit
    unit = point.unit or _UNIT_OF_FIELD.get(field) or known
    if not unit:
        raise _wrong(
            path,
            key,
            f"{rules.standard} 的代码表没有 {code}-{field} 的单位；请填写 unit",
            f"the code table of {rules.standard} has no unit for {code}-{field}; give unit",
        )
    if unit not in UNITS:
        raise _wrong(path, key, f"未知单位 {unit!r}", f"unknown unit {unit!r}")
    if rule.kind == ChannelKind.INTERVAL.value and UNITS[unit].kind not in AMOUNT_KINDS:
        raise _wrong(path, key, f"{field} 是时段量，{unit} 不能累加", f"{field} is an amount; {unit} cannot be summed")
    return unit


def _key(path: Path, site: LoggerSite) -> bytes | None:
    if site.sm4_key_file is None:
        return None
    place, key_path = f"hj212.{site.id}.sm4_key_file", path.resolve().parent / site.sm4_key_file
    try:
        key = bytes.fromhex(key_path.read_text("ascii").strip())
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise _wrong(path, place, f"无法读取 {key_path}: {reason}", f"cannot read {key_path}: {reason}") from error
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise _wrong(path, place, "应为 32 个十六进制字符", f"{key_path} must hold 32 hexadecimal characters")
    return key


def _wrong(path: Path, key: str, zh: str, en: str) -> MisuseError:
    return MisuseError(f"{path}: 键 {key}: {zh}", f"{path}: key {key}: {en}")
