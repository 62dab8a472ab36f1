"""A whole simulated plant from its file: devices, their values, broker, timed faults and the journal of all of it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from device_profiles import Point, Profile, Role, settings_of
from device_profiles.hj212 import Edition, WriteError
from device_profiles.quality import Quality

from .broker import start_broker
from .dials import Dials, Values
from .errors import PlantFileError
from .hj212_logger import Hj212LoggerSimulator, LoggerDials
from .journal import Journal
from .mill import EnergySource, LiveMill, demo_mill, electricity_values, gas_values
from .modbus_device import ModbusDeviceSimulator, ModbusSimulatorServer
from .mqtt_device import MqttDeviceSimulator
from .plant_file import (
    DeviceSettings,
    LoggerSettings,
    ModbusSettings,
    MqttSettings,
    PlantSettings,
    SimulatedClock,
    dials_of,
    name_of,
)
from .schedule import AnyDials, TimedFault, run_schedule, turned
from .serial_line import SerialLine
from .states import healthy_states, states_showing

FindProfile = Callable[[str], Profile]
Publisher = MqttDeviceSimulator | Hj212LoggerSimulator
_HOUR = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)
_RIPPLE_STEPS = 1000


class Plant:
    """What stands in a plant file, running. `async with` it; `facts` say where each device is."""

    def __init__(self, settings: PlantSettings, find: FindProfile, folder: Path) -> None:
        """`find` gives a profile by id or path; `folder` is that of a broker, where one is started."""
        real = datetime.now(UTC)
        self.settings, self.find, self.folder = settings, find, folder
        self.facts: list[dict[str, Any]] = []
        self._profiles: dict[str, Profile] = {}
        self.journal = Journal(self.settings.journal)
        self._simulated = SimulatedClock(self.settings.start or real, real, self.settings.speed)
        self._began = self._clock()
        mill = demo_mill()
        self._source: EnergySource = mill if self.settings.source == "recording" else LiveMill(mill)
        self._dials: dict[str, AnyDials] = {}
        self._publishers: list[Publisher] = []
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Plant:
        """Start every server. Raises: PlantFileError, SimulatorError, ValueError."""
        try:
            for at, listener in enumerate(self.settings.modbus, 1):
                await self._listen(at, listener)
            await self._publish()
            for logger in self.settings.hj212:
                self._log_data(logger)
            for fault in self.settings.fault:
                _check_dials(fault.device, fault.dials, self._profiles)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        self.journal.close()

    async def run(self) -> None:
        """Publish and turn dials until cancelled; ends by itself only with an error."""
        models = self.settings.dial_models
        faults = [
            TimedFault(one.device, dials_of(models[one.device], one.dials), one.at_s, one.for_s, one.every_s)
            for one in self.settings.fault
        ]
        began = datetime.now(UTC)
        standing = {name: found for name, dials in self._dials.items() if (found := turned(dials))}
        for name, found in standing.items():
            self.journal.note(name, "fault-start", {"dials": found})
        tasks = [asyncio.create_task(one.run()) for one in self._publishers]
        tasks.append(asyncio.create_task(self._turn(faults)))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for name, found in standing.items():
                self.journal.note(name, "fault-end", {"dials": found, "from": began})

    async def _turn(self, faults: list[TimedFault]) -> None:
        await run_schedule(faults, self._dials, self.journal)
        await asyncio.Event().wait()

    # -- devices --------------------------------------------------------------------------------------------

    async def _listen(self, at: int, listener: ModbusSettings) -> None:
        devices = {}
        for one in listener.device:
            name = name_of(at, one)
            profile = self._profile(name, one, "modbus")
            devices[name] = ModbusDeviceSimulator(
                profile,
                one.unit,
                self._values(profile, one),
                self._dials_of(name, profile, one.dials.model_dump()),
                self._clock,
                self.journal.of(name),
            )
        framing = "rtu" if listener.serial is not None else listener.framing
        server = ModbusSimulatorServer(list(devices.values()), listener.host, listener.port, framing=framing)
        await self._stack.enter_async_context(server)
        where = f"{listener.host}:{server.port}"
        if listener.serial is not None:
            line = await self._stack.enter_async_context(SerialLine(server, listener.serial))
            where = line.name
        elif framing == "rtu":
            where = f"rtu-over-tcp {where}"
        self.facts += [
            {"modbus": where, "unit": one.unit_id, "profile": one.profile.id, "id": name}
            for name, one in devices.items()
        ]

    async def _publish(self) -> None:
        host, port = ("", 0)
        if self.settings.broker is not None:
            host, port = self.settings.broker.host, self.settings.broker.port
        elif self.settings.mqtt:
            broker = await asyncio.to_thread(start_broker, self.folder)
            self._stack.callback(broker.stop)
            host, port = broker.host, broker.port
        for one in self.settings.mqtt:
            self._publishers.append(made := self._publisher(one, host, port))
            self.facts.append(
                {"mqtt": f"{host}:{port}", "topic": made.topic, "profile": made.profile.id, "id": one.device}
            )

    def _publisher(self, one: MqttSettings, host: str, port: int) -> MqttDeviceSimulator:
        profile = self._profile(one.device, one, "mqtt")
        return MqttDeviceSimulator(
            profile,
            one.device,
            host=host,
            port=port,
            client_id=one.client_id or f"simulated-{one.device}",
            values=self._values(profile, one),
            interval_s=one.interval_s,
            dials=self._dials_of(one.device, profile, one.dials.model_dump()),
            clock=self._clock,
            note=self.journal.of(one.device),
        )

    def _log_data(self, one: LoggerSettings) -> None:
        dials = LoggerDials(**one.dials.model_dump())
        self._dials[one.id] = dials

        def values(now: datetime) -> Mapping[str, str]:
            return {
                name: format(
                    _rippled(value, self.settings.ripple, name, now)
                    if name not in one.per_hour
                    else value + self._grown(one.per_hour[name], now),
                    "f",
                )
                for name, value in one.values.items()
            }

        made = Hj212LoggerSimulator(
            one.mn,
            host=one.host,
            port=one.port,
            values=values,
            edition=Edition(one.edition),
            interval_s=one.interval_s,
            timeout_s=one.timeout_s,
            dials=dials,
            clock=self._clock,
            note=self.journal.of(one.id),
        )
        try:
            made.frame()
        except WriteError as error:
            raise PlantFileError(f"{one.id}：{error}", f"{one.id}: {error}") from error
        self._publishers.append(made)
        self.facts.append({"hj212": f"{one.host}:{one.port}", "mn": one.mn, "id": one.id})

    def _dials_of(self, name: str, profile: Profile, given: dict[str, Any]) -> Dials:
        self._profiles[name] = profile
        _check_dials(name, given, self._profiles)
        self._dials[name] = dials = Dials(**given)
        return dials

    def _profile(self, name: str, settings: DeviceSettings, protocol: str) -> Profile:
        profile = self.find(settings.profile)
        if profile.protocol != protocol:
            raise PlantFileError(
                f"{name}：{profile.id} 不是 {protocol} 设备", f"{name}: {profile.id} is no {protocol} device"
            )
        try:
            given = {key: str(value) for key, value in settings.parameters.items()}
            return profile.configured(settings_of(profile, given))
        except ValueError as error:
            raise PlantFileError(f"{profile.id}：{error}", f"{profile.id}: {error}") from error

    # -- values ---------------------------------------------------------------------------------------------

    def _clock(self) -> datetime:
        return self._simulated.at(datetime.now(UTC))

    def _values(self, profile: Profile, settings: DeviceSettings) -> Callable[[datetime], Values]:
        """Let the device follow the mill's load, with fixed and growing values over it, and well unless told."""
        fixed = {name: _read(profile, name, text) for name, text in settings.values.items()}
        growing = {name: _number(profile, name, text) for name, text in settings.per_hour.items()}
        well = dict(healthy_states(profile))
        source, ripple = self._source, self.settings.ripple

        def values(now: datetime) -> Values:
            moving = gas_values(source, now) if profile.mqtt is not None else electricity_values(profile, source, now)
            found: dict[str, Decimal | str | None] = {**well}
            found |= {name: value for name, value in moving.items() if name in profile.points}
            found |= fixed
            for name, rate in growing.items():
                start = found.get(name)
                found[name] = (start if isinstance(start, Decimal) else Decimal(0)) + self._grown(rate, now)
            for name, value in found.items():
                if ripple and isinstance(value, Decimal) and profile.points[name].role is Role.RATE:
                    found[name] = _rippled(value, ripple, name, now)
            return found

        return values

    def _grown(self, rate: Decimal, now: datetime) -> Decimal:
        passed = Decimal((now - self._began) // _MICROSECOND) / Decimal(_HOUR // _MICROSECOND)
        return (rate * passed).quantize(Decimal("0.000001"))


def _rippled(value: Decimal, share: float, name: str, now: datetime) -> Decimal:
    """Move a value by a part of itself that its name and the moment decide, so that it is never twice the same."""
    if not share:
        return value
    moment = zlib.crc32(f"{name}:{now.isoformat()}".encode())
    part = Decimal(moment % (2 * _RIPPLE_STEPS + 1) - _RIPPLE_STEPS) / _RIPPLE_STEPS
    return (value * (1 + Decimal(str(share)) * part)).quantize(Decimal("0.000001"))


def _read(profile: Profile, name: str, text: str) -> Decimal | str:
    return text if _point(profile, name).is_text else _number(profile, name, text)


def _number(profile: Profile, name: str, text: str) -> Decimal:
    _point(profile, name)
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise PlantFileError(f"{name}：{text} 不是数", f"{name}: {text} is no number") from error


def _point(profile: Profile, name: str) -> Point:
    point = profile.points.get(name)
    if point is None:
        raise PlantFileError(f"{profile.id} 没有测点 {name}", f"{profile.id} has no point {name}")
    return point


def _check_dials(name: str, dials: Mapping[str, Any], profiles: Mapping[str, Profile]) -> None:
    """Refuse what the device's profile cannot show: a roll-over without a modulus, a state that it does not have."""
    profile = profiles.get(name)
    if profile is None:
        return
    totals = [one.totaliser for one in profile.points.values() if one.totaliser is not None]
    if dials.get("rollover") and all(one.modulus is None for one in totals):
        raise PlantFileError(
            f"{name}：{profile.id} 的累计量没有回零点",
            f"{name}: no totaliser of {profile.id} has a modulus to roll over at",
        )
    for point in dials.get("no_value") or ():
        _point(profile, point)
    if state := dials.get("state"):
        try:
            states_showing(profile, Quality(state), is_zero=dials.get("shows") == "zero")
        except ValueError as error:
            raise PlantFileError(f"{name}：{error}", f"{name}: {error}") from error
