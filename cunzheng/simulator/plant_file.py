"""PLANT.toml: which simulated devices stand where, and their faults. Unknown keys are errors; see `SAMPLE`."""

from __future__ import annotations

import tomllib
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from device_profiles.quality import Quality

from .errors import PlantFileError

SAMPLE = """\
speed = 1                         # how fast simulated time runs; default 1
from = 2018-01-01T00:00:00+09:00  # where simulated time starts; default now
source = "live"                   # 实时 "live": the mill's weeks for ever; 原记录 "recording": the half year itself
ripple = 0.01                     # analog values move by up to this share, so that none stands still; default 0
journal = "plant.jsonl"           # 记录 what was served with its true values, and every fault, as JSON lines

[[modbus]]                        # one listener; Modbus TCP unless told otherwise
port = 15020                      # default 0: a free one, printed
  [[modbus.device]]
  id = "em1"                      # its name below and in the journal; default modbus1/1
  unit = 1
  profile = "schneider-iem3000"   # shipped id or path of a YAML file
  parameters = {max_power_kw = "2000"}  # what a fitter would give; needed where it sets a unit or a scale
  values = {frequency = "49.9"}   # fixed values over those of the source
  dials = {exception = 4}         # 故障旋钮 faults from the start, see the list at the end

[[modbus]]
framing = "rtu"                   # RTU frames inside TCP, as a serial server passes them 串口服务器
port = 15021
  [[modbus.device]]
  id = "belt1"
  unit = 4
  profile = "siemens-bw500"
  parameters = {total_unit = "t", rate_unit = "t/h", max_rate_per_h = "800"}
  values = {rate = "120", total_1 = "1000"}
  per_hour = {total_1 = "120"}    # these grow by so much an hour

[[modbus]]
serial = "rs485"                  # a pseudo-terminal of this name, relative to this file 串口
  [[modbus.device]]
  id = "em2"
  unit = 1
  profile = "eastron-sdm630"

[broker]                          # absent: a broker is started in --dir
host = "127.0.0.1"
port = 1883

[[mqtt]]
device = "gas1"
profile = "plain-json-gas"
interval_s = 5
dials = {duplicate = true}

[[hj212]]                         # a data logger 数采仪 that sends to a gateway's listener
id = "cems1"
mn = "010000A8900016F000169DC0"
host = "127.0.0.1"
port = 5212
edition = "2017"                  # 2005, 2017, 2025
interval_s = 60
values = {a05001-Rtd = "12.5", a01012-Rtd = "132"}
dials = {lower_case = true}

[[fault]]                         # 定时故障 30 s after the start the gas meter calibrates for 10 s, every 5 minutes
device = "gas1"
at_s = 30
for_s = 10                        # default 0: to the end
every_s = 300                     # default 0: once
dials = {state = "maintenance", shows = "held"}

# Dials 旋钮
#   Modbus and MQTT: silent, disconnect, delay_s, stuck, drift (share an hour), no_value = ["power"], clock_offset_s,
#     state = "calibration" | "maintenance" | "fault" | "held" …, shows = "live" | "held" | "zero",
#     reset, rollover (so far below the totaliser's modulus)
#   Modbus: exception = 1..11, torn, word_order = "words" | "bytes" | "both"
#   MQTT: duplicate, reorder, garbage, retained
#   data loggers: silent, disconnect, stuck, drift, zero, flag, clock_offset_s, late_s, bad_crc, cut, joined, split,
#     noise, duplicate, no_answer, lower_case
"""

_Model = TypeVar("_Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ValueDials(_Strict):
    """Faults of values that any profiled device can show."""

    silent: bool = False
    disconnect: bool = False
    delay_s: Annotated[float, Field(ge=0, le=600)] = 0.0
    stuck: bool = False
    drift: Annotated[float, Field(ge=-1_000_000, le=1_000_000)] = 0.0
    no_value: frozenset[str] = frozenset()
    state: Quality | Literal[""] = ""
    shows: Literal["live", "held", "zero"] = "live"
    clock_offset_s: Annotated[float, Field(ge=-1e8, le=1e8)] = 0.0
    reset: bool = False
    rollover: Annotated[Decimal, Field(gt=0)] | None = None


class ModbusDials(ValueDials):
    """Faults of a Modbus device."""

    exception: Annotated[int, Field(ge=1, le=11)] | None = None
    torn: bool = False
    word_order: Literal["", "words", "bytes", "both"] = ""


class MqttDials(ValueDials):
    """Faults of a publishing device."""

    duplicate: bool = False
    reorder: bool = False
    garbage: bool = False
    retained: bool = False


class LoggerDialSettings(_Strict):
    """Faults of a data logger."""

    bad_crc: bool = False
    cut: Annotated[int, Field(ge=0, le=9999)] = 0
    joined: bool = False
    split: Annotated[int, Field(ge=0, le=9999)] = 0
    noise: bool = False
    duplicate: bool = False
    late_s: Annotated[int, Field(ge=0, le=100_000_000)] = 0
    no_answer: bool = False
    lower_case: bool = False
    flag: Annotated[str, Field(max_length=8)] = ""
    stuck: bool = False
    drift: Annotated[float, Field(ge=-1_000_000, le=1_000_000)] = 0.0
    zero: bool = False
    silent: bool = False
    disconnect: bool = False
    clock_offset_s: Annotated[float, Field(ge=-1e8, le=1e8)] = 0.0


class DeviceSettings(_Strict):
    """What every device with a profile has."""

    profile: str
    parameters: dict[str, str | int] = {}
    values: dict[str, str] = {}
    per_hour: dict[str, str] = {}


class ModbusDeviceSettings(DeviceSettings):
    """One unit behind a listener."""

    id: str = ""
    unit: Annotated[int, Field(ge=1, le=247)]
    dials: ModbusDials = ModbusDials()


class ModbusSettings(_Strict):
    """One listener, or one serial port."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    framing: Literal["tcp", "rtu"] = "tcp"
    serial: Path | None = None
    device: tuple[ModbusDeviceSettings, ...] = Field(min_length=1)


class MqttSettings(DeviceSettings):
    """One publishing device."""

    device: str
    client_id: str = ""
    interval_s: Annotated[float, Field(gt=0, le=86400)] = 10.0
    dials: MqttDials = MqttDials()


class LoggerSettings(_Strict):
    """One data logger."""

    id: str
    mn: Annotated[str, Field(min_length=1, max_length=64)]
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)]
    edition: Literal["2005", "2017", "2025"] = "2017"
    interval_s: Annotated[float, Field(gt=0, le=86400)] = 60.0
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 5.0
    values: dict[str, Decimal] = Field(min_length=1)
    per_hour: dict[str, Decimal] = {}
    dials: LoggerDialSettings = LoggerDialSettings()


class FaultSettings(_Strict):
    """Dials of one device that are turned at their time."""

    device: str
    at_s: Annotated[float, Field(ge=0)]
    for_s: Annotated[float, Field(ge=0)] = 0.0
    every_s: Annotated[float, Field(ge=0)] = 0.0
    dials: dict[str, Any] = Field(min_length=1)

    @model_validator(mode="after")
    def _ends_before_it_begins_again(self) -> FaultSettings:
        if self.every_s and not 0 < self.for_s <= self.every_s:
            raise ValueError("every_s needs for_s, and not a longer one")
        return self


class BrokerSettings(_Strict):
    """A broker that is already there."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883


class PlantSettings(_Strict):
    """The whole file."""

    speed: Annotated[float, Field(gt=0, le=100_000)] = 1.0
    start: AwareDatetime | None = Field(default=None, alias="from")
    source: Literal["live", "recording"] = "live"
    ripple: Annotated[float, Field(ge=0, le=1)] = 0.0
    journal: Path | None = None
    modbus: tuple[ModbusSettings, ...] = ()
    mqtt: tuple[MqttSettings, ...] = ()
    hj212: tuple[LoggerSettings, ...] = ()
    fault: tuple[FaultSettings, ...] = ()
    broker: BrokerSettings | None = None

    @property
    def dial_models(self) -> dict[str, type[BaseModel]]:
        """Say which dials each device has, by its name."""
        found: dict[str, type[BaseModel]] = {}
        for at, listener in enumerate(self.modbus, 1):
            found |= {name_of(at, one): ModbusDials for one in listener.device}
        found |= {one.device: MqttDials for one in self.mqtt}
        return found | {one.id: LoggerDialSettings for one in self.hj212}


class SimulatedClock:
    """Real time made faster and moved: starts at `start` when real time is `real`."""

    def __init__(self, start: datetime, real: datetime, speed: float) -> None:
        self._start, self._real, self._speed = start, real, speed

    def at(self, real: datetime) -> datetime:
        """Give the simulated instant of a real one."""
        return self._start + (real - self._real) * self._speed


def name_of(listener: int, device: ModbusDeviceSettings) -> str:
    """Name a Modbus device: its id, or the number of its listener and its unit."""
    return device.id or f"modbus{listener}/{device.unit}"


def read_plant(path: Path) -> PlantSettings:
    """Read and check a plant file; its paths are relative to it.

    Raises: PlantFileError naming the key; OSError where it cannot be read.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"), parse_float=str)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PlantFileError(f"{path}：不是 TOML：{error}", f"{path}: not TOML: {error}") from error
    settings = _checked(path, "", PlantSettings, data)
    if not settings.modbus and not settings.mqtt and not settings.hj212:
        raise PlantFileError(
            f"{path}：没有设备；请添加 [[modbus]]、[[mqtt]] 或 [[hj212]]",
            f"{path}: no device; add [[modbus]], [[mqtt]] or [[hj212]]",
        )
    _check_names(path, settings)
    _check_faults(path, settings)
    base = path.resolve().parent
    return settings.model_copy(
        update={
            "journal": None if settings.journal is None else base / settings.journal,
            "modbus": tuple(
                one.model_copy(update={"serial": None if one.serial is None else base / one.serial})
                for one in settings.modbus
            ),
        }
    )


def dials_of(model: type[BaseModel], given: dict[str, Any]) -> dict[str, Any]:
    """Read the dials of a timed fault: those given and no others.

    Raises: ValidationError.
    """
    read = model.model_validate(given)
    return {name: getattr(read, name) for name in given}


def _checked(path: Path, prefix: str, model: type[_Model], data: Any) -> _Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(step) for step in (*([prefix] if prefix else []), *first["loc"]))
        raise PlantFileError(f"{path}：{key}：不合规定：{first['msg']}", f"{path}: {key}: {first['msg']}") from error


def _check_names(path: Path, settings: PlantSettings) -> None:
    names = [name_of(at, one) for at, listener in enumerate(settings.modbus, 1) for one in listener.device]
    names += [*(one.device for one in settings.mqtt), *(one.id for one in settings.hj212)]
    for at, name in enumerate(names):
        if name in names[:at]:
            raise PlantFileError(f"{path}：设备 {name} 出现两次", f"{path}: device {name} is there twice")


def _check_faults(path: Path, settings: PlantSettings) -> None:
    models = settings.dial_models
    for at, fault in enumerate(settings.fault):
        model = models.get(fault.device)
        if model is None:
            there = ", ".join(models)
            raise PlantFileError(
                f"{path}：fault.{at}.device：没有设备 {fault.device}；有：{there}",
                f"{path}: fault.{at}.device: there is no device {fault.device}; there are: {there}",
            )
        _checked(path, f"fault.{at}.dials", model, fault.dials)
