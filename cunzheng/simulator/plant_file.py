"""PLANT.toml: which simulated devices stand where. Unknown keys are errors with their path; `SAMPLE` shows them all."""

from __future__ import annotations

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from .errors import PlantFileError

SAMPLE = """\
speed = 1                         # how fast simulated time runs; default 1
from = 2018-01-01T00:00:00+09:00  # where simulated time starts; default now
source = "live"                   # 实时 "live": the mill's weeks for ever; 原记录 "recording": the half year itself

[[modbus]]                        # one TCP listener
port = 15020                      # default 0: a free one, printed
  [[modbus.device]]
  unit = 1
  profile = "schneider-iem3000"   # shipped id or path of a YAML file
  parameters = {max_power_kw = "2000"}  # what a fitter would give; needed where it sets a unit or a scale
  values = {frequency = "49.9"}   # fixed values over those of the source
  dials = {exception = 4}         # silent, disconnect, delay_s, torn, stuck, no_value = ["power"]

[broker]                          # absent: a broker is started in --dir
host = "127.0.0.1"
port = 1883

[[mqtt]]
device = "gas1"
profile = "plain-json-gas"
interval_s = 5
dials = {duplicate = true}        # reorder, garbage, retained, stuck, no_value
"""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class DialSettings(_Strict):
    """Faults turned on from the start."""

    exception: Annotated[int, Field(ge=1, le=11)] | None = None
    silent: bool = False
    disconnect: bool = False
    delay_s: Annotated[float, Field(ge=0, le=600)] = 0.0
    torn: bool = False
    stuck: bool = False
    no_value: tuple[str, ...] = ()
    duplicate: bool = False
    reorder: bool = False
    garbage: bool = False
    retained: bool = False


class DeviceSettings(_Strict):
    """What every simulated device has."""

    profile: str
    parameters: dict[str, str | int] = {}
    values: dict[str, str] = {}
    dials: DialSettings = DialSettings()


class ModbusDeviceSettings(DeviceSettings):
    """One unit behind a listener."""

    unit: Annotated[int, Field(ge=1, le=247)]


class ModbusSettings(_Strict):
    """One TCP listener."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    device: tuple[ModbusDeviceSettings, ...] = Field(min_length=1)


class MqttSettings(DeviceSettings):
    """One publishing device."""

    device: str
    client_id: str = ""
    interval_s: Annotated[float, Field(gt=0, le=86400)] = 10.0


class BrokerSettings(_Strict):
    """A broker that is already there."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 1883


class PlantSettings(_Strict):
    """The whole file."""

    speed: Annotated[float, Field(gt=0, le=100_000)] = 1.0
    start: AwareDatetime | None = Field(default=None, alias="from")
    source: Literal["live", "recording"] = "live"
    modbus: tuple[ModbusSettings, ...] = ()
    mqtt: tuple[MqttSettings, ...] = ()
    broker: BrokerSettings | None = None


class SimulatedClock:
    """Real time made faster and moved: starts at `start` when real time is `real`."""

    def __init__(self, start: datetime, real: datetime, speed: float) -> None:
        self._start, self._real, self._speed = start, real, speed

    def at(self, real: datetime) -> datetime:
        """Give the simulated instant of a real one."""
        return self._start + (real - self._real) * self._speed


def read_plant(path: Path) -> PlantSettings:
    """Read and check a plant file.

    Raises: PlantFileError naming the key; OSError where it cannot be read.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PlantFileError(f"{path}：不是 TOML：{error}", f"{path}: not TOML: {error}") from error
    try:
        settings = PlantSettings.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(step) for step in first["loc"])
        raise PlantFileError(f"{path}：{key}：不合规定：{first['msg']}", f"{path}: {key}: {first['msg']}") from error
    if not settings.modbus and not settings.mqtt:
        raise PlantFileError(
            f"{path}：没有设备；请添加 [[modbus]] 或 [[mqtt]]",
            f"{path}: no device; add [[modbus]] or [[mqtt]]",
        )
    return settings
