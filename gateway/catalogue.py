"""Join the site file with the device profiles: what is read, and the channels it becomes.

Every name is checked here, once: profile, point, parameter, unit. A site that does not fit refuses to load.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import device_profiles
from device_profiles import Profile, ProfileError
from evidence.channel import Channel, ChannelKind
from evidence.channel import Profile as ProfileName
from evidence.judge import Basis, Limits
from evidence.judge_rules import RuleSet
from evidence.totaliser import Totaliser
from gateway.cabling import cabling_of
from gateway.conversion import is_known
from gateway.derived import Derived, derived_of, derived_rule
from gateway.errors import MisuseError
from gateway.hj212_source import LoggerSource, load_logger
from gateway.judge_basis import bases_of, derived_bases, restart_counters_of, site_rules, with_clocks, with_meaning
from gateway.line import LineAddress
from gateway.site import ChannelSite, DeviceSite, ImportSite, MqttSite, Site, load_site


@dataclass(frozen=True)
class Instrument:
    """A device of the site with its profile (parameters filled in) and the channels its points feed."""

    site: DeviceSite | MqttSite
    profile: Profile
    parameters: Mapping[str, Decimal | str]
    channels: Mapping[str, tuple[str, ...]]
    """Point → ids of the channels it feeds."""
    line: LineAddress | None = None
    """Where it is read over Modbus."""
    judged_identity: frozenset[str] = frozenset()
    """Points that feed a channel which is asked itself who the device is, or counts restarts."""


@dataclass(frozen=True)
class Catalogue:
    """Everything the gateway reads, by device and by channel."""

    modbus: tuple[Instrument, ...]
    mqtt: tuple[Instrument, ...]
    loggers: tuple[LoggerSource, ...]
    channels: Mapping[str, Channel]
    limits: Mapping[str, Limits]
    live: frozenset[str]
    rules: RuleSet
    bases: Mapping[str, Basis]
    """What the judge knows of each channel beforehand."""
    restart_counters: Mapping[str, tuple[str, ...]]
    """Counter of restarts → totals of its device."""
    error_counters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Counter of what passed in fault → totals of its device that do not hold it."""
    derived: tuple[Derived, ...] = ()
    """Channels that are computed from others when an hour is sealed."""


def load_catalogue(path: Path) -> Catalogue:
    """Load the site file and every profile it names.

    Raises:
        MisuseError: the site or a profile is wrong; file and key are named.
    """
    site = load_site(path)
    channels: dict[str, Channel] = {}
    modbus = tuple(_instrument(path, site, device, "modbus", channels) for device in site.device)
    lines = cabling_of(path, site, {one.site.id: one.profile for one in modbus})
    modbus = tuple(replace(one, line=lines[one.site.id]) for one in modbus)
    mqtt = tuple(_instrument(path, site, device, "mqtt", channels) for device in site.mqtt)
    loggers = tuple(load_logger(path, one, site.channels_of(one.id), channels) for one in site.hj212)
    for source in site.import_:
        for channel in site.channels_of(source.id):
            channels[channel.id] = _import_channel(path, source, channel)
    limits, rules = _limits(site, (*modbus, *mqtt)), site_rules(path, site)
    quantities = {
        channel: one.profile.points[point].quantity
        for one in (*modbus, *mqtt)
        for point, ids in one.channels.items()
        for channel in ids
    }
    sparse = {
        channel
        for one in mqtt
        if one.profile.mqtt is not None and one.profile.mqtt.partial
        for ids in one.channels.values()
        for channel in ids
    }
    bases = with_meaning(bases_of(path, site, rules, channels, limits, quantities, sparse))
    bases = with_clocks(bases, _clocks(modbus))
    channels |= {name: basis.channel for name, basis in bases.items()}
    made = [derived_rule(path, one, channels) for one in site.derived]
    bases |= derived_bases(path, site, rules, made)
    channels |= {rule.name: bases[rule.name].channel for rule in made}
    return Catalogue(
        modbus=modbus,
        mqtt=mqtt,
        loggers=loggers,
        channels=channels,
        limits=limits,
        live=frozenset([*(one.id for one in site.channel if one.live), *(one.id for one in site.derived if one.live)]),
        rules=rules,
        bases=bases,
        restart_counters=restart_counters_of(site),
        error_counters=error_counters_of(modbus),
        derived=derived_of(made, {name: basis.rules for name, basis in bases.items()}),
    )


def instrument_to_probe(path: Path, device: str) -> Instrument:
    """Load one Modbus device while the site is still being made: parameters may be missing, channels are not checked.

    Raises:
        MisuseError: there is no such device, or its profile or line is wrong.
    """
    site = load_site(path)
    profiles = {one.id: _profile(path, one.profile) for one in site.device}
    if device not in profiles:
        there = ", ".join(sorted(profiles)) or "—"
        raise MisuseError(
            f"站点文件 {path} 中没有 Modbus 设备 {device}；有：{there}",
            f"there is no Modbus device {device} in {path}; there are: {there}",
        )
    chosen, profile = next(one for one in site.device if one.id == device), profiles[device]
    parameters = _parameters(path, chosen, profile, is_complete=False)
    feeds: dict[str, tuple[str, ...]] = {}
    for channel in site.channels_of(device):
        if channel.point in profile.points:
            feeds[channel.point] = (*feeds.get(channel.point, ()), channel.id)
    line = cabling_of(path, site, profiles)[device]
    return Instrument(chosen, profile.configured(parameters), parameters, feeds, line)


def _limits(site: Site, instruments: tuple[Instrument, ...]) -> dict[str, Limits]:
    """Take the site's limits, where it has none the profile's."""
    found = {one.id: Limits(one.limits.low, one.limits.high) for one in site.channel}
    for instrument in instruments:
        for name, ids in instrument.channels.items():
            point = instrument.profile.points[name]
            for channel in ids:
                given = found[channel]
                found[channel] = Limits(
                    point.lowest if given.low is None else given.low,
                    point.highest if given.high is None else given.high,
                )
    return found


def _instrument(
    path: Path, site: Site, device: DeviceSite | MqttSite, via: str, channels: dict[str, Channel]
) -> Instrument:
    profile = _profile(path, device.profile)
    if profile.protocol != via:
        raise _wrong(
            path,
            f"{via}.{device.id}",
            f"描述 {profile.id} 用于 {profile.protocol}",
            f"profile {profile.id} is for {profile.protocol}",
        )
    parameters = _parameters(path, device, profile)
    profile = profile.configured(parameters)
    feeds: dict[str, tuple[str, ...]] = {}
    for channel in site.channels_of(device.id):
        if channel.point not in profile.points:
            there = ", ".join(sorted(profile.points))
            raise _wrong(
                path,
                f"channel.{channel.id}.point",
                f"描述 {profile.id} 没有测点 {channel.point!r}；有: {there}",
                f"profile {profile.id} has no point {channel.point!r}; it has: {there}",
            )
        feeds[channel.point] = (*feeds.get(channel.point, ()), channel.id)
        channels[channel.id] = _device_channel(path, device, profile, parameters, channel, via)
    counted = {one.restart_counter for one in site.channel if one.restart_counter}
    judged = {one.point for one in site.channels_of(device.id) if one.identity or one.id in counted}
    return Instrument(device, profile, parameters, _in_order(profile, feeds), judged_identity=frozenset(judged))


def error_counters_of(instruments: Iterable[Instrument]) -> dict[str, tuple[str, ...]]:
    """Return which totals each error counter speaks for; one that makes no channel is not asked."""
    found: dict[str, tuple[str, ...]] = {}
    for one in instruments:
        for name, ids in one.channels.items():
            rule = one.profile.points[name].totaliser
            for counter in () if rule is None else one.channels.get(rule.error_counter, ()):
                found[counter] = (*found.get(counter, ()), *ids)
    return found


def _in_order(profile: Profile, feeds: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Put error counters first: what they say is known when the totals of the same poll are judged."""
    rules = [profile.points[name].totaliser for name in feeds]
    first = {rule.error_counter for rule in rules if rule is not None}
    return {name: feeds[name] for name in sorted(feeds, key=lambda name: name not in first)}


def _clocks(instruments: Iterable[Instrument]) -> dict[str, Decimal]:
    """Return by channel how far its device's clock may be off, where the profile says so."""
    found: dict[str, Decimal] = {}
    for one in instruments:
        allowed = next((point.clock.max_offset_s for point in one.profile.points.values() if point.clock), None)
        if allowed is not None:
            found |= {channel: Decimal(allowed) for ids in one.channels.values() for channel in ids}
    return found


def _profile(path: Path, name: str) -> Profile:
    try:
        if name.endswith((".yaml", ".yml")):
            file = path.resolve().parent / name
            return _profile_file(file, file.stat().st_mtime_ns)
        return device_profiles.shipped()[name]
    except ProfileError as error:
        fault = error.faults[0]
        raise MisuseError(fault.text("zh"), fault.text("en")) from error
    except (KeyError, OSError) as error:
        there = ", ".join(sorted(device_profiles.shipped()))
        raise _wrong(
            path,
            "profile",
            f"没有设备描述 {name!r}；自带的有: {there}",
            f"there is no profile {name!r}; shipped are: {there}",
        ) from error


@lru_cache(maxsize=64)
def _profile_file(file: Path, _written_ns: int) -> Profile:
    """Read a profile once, however many devices of the site are described by it."""
    return device_profiles.load(file)


def _parameters(
    path: Path, device: DeviceSite | MqttSite, profile: Profile, *, is_complete: bool = True
) -> dict[str, Decimal | str]:
    given: dict[str, Decimal | str] = {}
    for name, value in device.parameters.items():
        if name not in profile.parameters:
            raise _wrong(
                path,
                f"{device.id}.parameters.{name}",
                f"描述 {profile.id} 没有参数 {name}",
                f"profile {profile.id} has no parameter {name}",
            )
        try:
            given[name] = profile.parameters[name].read(str(value))
        except ValueError as error:
            raise _wrong(path, f"{device.id}.parameters.{name}", f"不合规定：{error}", str(error)) from error
    for name, described in profile.parameters.items():
        if is_complete and described.required and name not in given:
            raise _wrong(
                path, f"{device.id}.parameters", f"缺少参数 {name}", f"parameter {name} of {profile.id} is missing"
            )
    return given


def _device_channel(
    path: Path,
    device: DeviceSite | MqttSite,
    profile: Profile,
    parameters: Mapping[str, Decimal | str],
    channel: ChannelSite,
    via: str,
) -> Channel:
    point = profile.points[channel.point]
    if point.is_text:
        raise _wrong(
            path, f"channel.{channel.id}.point", f"{point.id} 是文本", f"{point.id} is text and makes no channel"
        )
    if channel.unit is not None and channel.unit != point.unit:
        raise _wrong(
            path, f"channel.{channel.id}.unit", f"描述的单位是 {point.unit}", f"the profile's unit is {point.unit}"
        )
    if channel.kind is not None and channel.kind != point.kind:
        raise _wrong(
            path, f"channel.{channel.id}.kind", f"描述的类型是 {point.kind}", f"the profile's kind is {point.kind}"
        )
    try:
        rule = profile.totaliser_rule(channel.point, parameters)
    except KeyError as error:
        raise _wrong(
            path, f"{device.id}.parameters", f"缺少参数 {error.args[0]}", f"parameter {error.args[0]} is missing"
        ) from error
    return Channel(
        id=channel.id,
        unit=point.unit,
        kind=ChannelKind(point.kind),
        poll=timedelta(seconds=device.poll_s),
        device=device.id,
        via=via,
        param=channel.param or None,
        subject=channel.subject or None,
        serial=device.serial or None,
        certificate=device.certificate or None,
        profile=ProfileName(profile.id, profile.version, profile.hash),
        totaliser=None
        if rule is None
        else Totaliser(
            max_rate=rule.max_rate,
            backstep=rule.backstep,
            resettable=rule.resettable,
            modulus=rule.modulus,
            step=rule.step,
        ),
    )


def _import_channel(path: Path, source: ImportSite, channel: ChannelSite) -> Channel:
    unit, kind = channel.unit or "", ChannelKind(channel.kind or "value")
    if not is_known(unit):
        raise _wrong(path, f"channel.{channel.id}.unit", f"未知单位 {unit!r}", f"unknown unit {unit!r}")
    if kind is ChannelKind.TOTAL:
        raise _wrong(
            path,
            f"channel.{channel.id}.kind",
            "导入通道请用 interval 或 value",
            "an imported channel is interval, value or state; export use per interval instead of totals",
        )
    return Channel(
        id=channel.id,
        unit=unit,
        kind=kind,
        poll=timedelta(seconds=source.interval_s),
        device=source.id,
        via="import",
        param=channel.param or None,
        subject=channel.subject or None,
        serial=source.serial or None,
        certificate=source.certificate or None,
    )


def _wrong(path: Path, key: str, zh: str, en: str) -> MisuseError:
    return MisuseError(f"{path}: 键 {key}: {zh}", f"{path}: key {key}: {en}")
