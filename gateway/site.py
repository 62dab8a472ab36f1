"""The site file: which devices stand where, and what each of their points means here.

A profile knows a *model*; this file knows the *instrument*: address, serial, parameters, and the channel that a
point feeds. Profiles are loaded by `gateway/catalogue.py`; this file only checks that the file agrees with itself.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from gateway.toml_model import Section, read_toml

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")

Kind = Literal["value", "interval", "total", "state"]
Scalar = str | int | Decimal | bool


def _checked_id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError(f"{value!r} is no id: 1 to 32 of A-Z a-z 0-9 . _ -, starting with a letter or digit")
    return value


class LineSite(Section):
    """One line that several instruments share, or that is not Modbus TCP; exactly one of the four places is given."""

    id: str
    tcp: str = ""
    """`host:port` of devices that speak Modbus TCP themselves."""
    tcp_gateway: str = ""
    """`host:port` of a gateway that speaks Modbus TCP here and RTU to the devices behind it."""
    rtu_over_tcp: str = ""
    """`host:port` of a serial server that passes RTU frames through."""
    serial: str = ""
    """Serial port, such as `/dev/ttyUSB0`; eight data bits, as RTU wants."""
    baud: int | None = Field(None, ge=300, le=921_600)
    parity: Literal["none", "even", "odd"] | None = None
    stop_bits: Literal[1, 2] | None = None

    _id = field_validator("id")(_checked_id)


class DeviceSite(Section):
    """One instrument read over Modbus."""

    id: str
    profile: str
    """Profile id, or the path of a profile file relative to the site file."""
    host: str = ""
    """Of a Modbus TCP device with a connection of its own; otherwise `line` says where it is."""
    port: int = Field(502, ge=1, le=65_535)
    line: str = ""
    """Id of a `[[line]]`."""
    unit: int = Field(1, ge=0, le=255)
    serial: str = ""
    certificate: str = ""
    parameters: dict[str, Scalar] = Field(default_factory=dict)
    poll_s: float = Field(60.0, gt=0, le=86_400)

    _id = field_validator("id")(_checked_id)


class MqttSite(Section):
    """One instrument that publishes over MQTT."""

    id: str
    profile: str
    name: str = ""
    """The device's name in its topic, where that is not its id."""
    serial: str = ""
    certificate: str = ""
    parameters: dict[str, Scalar] = Field(default_factory=dict)
    poll_s: float = Field(60.0, gt=0, le=86_400)
    """How often it is expected to publish: told by the `config` event, and what gaps are measured by (check Q06)."""

    _id = field_validator("id")(_checked_id)


class LoggerSite(Section):
    """One data logger that forwards its frames by HJ 212."""

    id: str
    mn: str = Field(min_length=1, max_length=64)
    """The MN it sends; frames of another MN are set aside."""
    edition: Literal["2005", "2017", "2025"] = "2017"
    """The edition whose codes and units hold; what a frame's Flag claims is kept beside each reading."""
    zone: str = "+08:00"
    """The zone of its times, which carry none."""
    period_label: Literal["start", "end"] = "start"
    """Whether DataTime of minute, hour and day values names the start of the period (the standard) or its end."""
    minute_interval: Literal[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30] = 10
    """Minutes that one minute value covers (MinInterval)."""
    poll_s: float = Field(60.0, gt=0, le=86_400)
    """How often it sends real-time data (RtdInterval)."""
    late_s: float = Field(600.0, gt=0)
    """Values that arrive later than this after their time say so in their reason."""
    nonstandard_crc: bool = False
    """Accept the Modbus check sum, which some loggers send in place of that of annex A."""
    sm4_key_file: Path | None = None
    """File with its SM4 key, 32 hexadecimal characters; without it encrypted frames are set aside."""
    serial: str = ""
    certificate: str = ""

    _id = field_validator("id")(_checked_id)


class ImportSite(Section):
    """One historian whose exports are imported."""

    id: str
    serial: str = ""
    certificate: str = ""
    interval_s: float = Field(900.0, gt=0, le=86_400)

    _id = field_validator("id")(_checked_id)


class Limits(Section):
    """Physical range of a channel; outside it a reading is marked, never dropped."""

    low: Decimal | None = None
    high: Decimal | None = None


class RuleSite(Section):
    """A limit of a check that this site sets itself, or a check that it turns off; never without a reason."""

    id: str
    """Id of the rule, such as `Q18`."""
    reason: str
    limit: str = ""
    value: Decimal | None = None
    off: bool = False

    @model_validator(mode="after")
    def _says_one_thing(self) -> RuleSite:
        if self.off == bool(self.limit) or (self.value is None) != self.off:
            raise ValueError(f"rule {self.id} needs either limit and value, or off = true")
        return self


class ChannelSite(Section):
    """One stream of readings: a device's point under the name evidence knows it by."""

    id: str
    device: str
    """Id of a `[[device]]`, `[[mqtt]]`, `[[hj212]]` or `[[import]]`."""
    point: str = ""
    """The profile's point; of a data logger `a05001-Rtd` or `a00000-Cou/hour`; an import has none."""
    param: str = ""
    """Parameter of the data-quality control plan that this channel feeds."""
    subject: str = ""
    """Accounting subject, such as `enterprise` or `EAF1`."""
    kind: Kind | None = None
    """Needed for imports; otherwise the profile's role decides."""
    unit: str | None = None
    """Needed for imports and for codes of a data logger without a unit to trust; otherwise the profile decides."""
    limits: Limits = Limits()
    """Physical limits; where none are given, the profile's, else those of the quantity."""
    quantity: str = ""
    """What is measured, where the profile does not say: `co2_concentration`, `stack_pressure` …"""
    range: Limits = Limits()
    """Measuring range the instrument is set to (checks Q16 and Q17)."""
    calibrated_every_h: Decimal | None = Field(None, gt=0)
    """Interval of zero and span checks; where it is given, check Q28 asks for them."""
    restart_counter: str = ""
    """For a total: the channel that counts the device's restarts, which explain a step back."""
    identity: bool = False
    """The channel tells who the device is: serial, firmware, counter of parameter changes (check Q34)."""
    rule: tuple[RuleSite, ...] = ()
    live: bool = True
    """Sent to the centre as a live value."""

    _id = field_validator("id")(_checked_id)


class DerivedSite(Section):
    """A channel that is computed from others of this file: flow or CO2 mass of a stack and the like."""

    id: str
    case: str
    """The conversion: `standard-flow`, `co2-mass`, `reference-oxygen` or `us-co2-mass`."""
    inputs: dict[str, str]
    """Part → id of the channel that plays it, such as `velocity = "STACK.V"`."""
    constants: dict[str, Decimal] = Field(default_factory=dict)
    """`area_m2`, `barometer_pa`, `velocity_coefficient`, `oxygen_reference`, as the case needs them."""
    basis: Literal["dry", "wet"] = "dry"
    """Of the flow wanted, and of the CO2 analyser."""
    rules: str = "cn-hj75"
    """The rule set with the density of CO2 and the temperature of the standard state."""
    subject: str = ""
    """Accounting subject; where none is given, that of the parts."""
    rule: tuple[RuleSite, ...] = ()
    live: bool = True

    _id = field_validator("id")(_checked_id)


class Site(Section):
    """Everything in the site file."""

    line: tuple[LineSite, ...] = ()
    device: tuple[DeviceSite, ...] = ()
    mqtt: tuple[MqttSite, ...] = ()
    hj212: tuple[LoggerSite, ...] = ()
    import_: tuple[ImportSite, ...] = Field((), alias="import")
    channel: tuple[ChannelSite, ...]
    derived: tuple[DerivedSite, ...] = ()
    rule: tuple[RuleSite, ...] = ()

    @model_validator(mode="after")
    def _names_agree(self) -> Site:
        sources = [
            *(device.id for device in self.device),
            *(device.id for device in self.mqtt),
            *(logger.id for logger in self.hj212),
            *(source.id for source in self.import_),
        ]
        _refuse_repeats([line.id for line in self.line], "line")
        _refuse_repeats(sources, "device")
        _refuse_repeats([*(one.id for one in self.channel), *(one.id for one in self.derived)], "channel")
        _refuse_repeats([logger.mn for logger in self.hj212], "MN")
        imports = {source.id for source in self.import_}
        for channel in self.channel:
            if channel.device not in sources:
                raise ValueError(f"channel {channel.id} names device {channel.device!r}, which is not in this file")
            if channel.device in imports:
                if channel.kind is None or channel.unit is None:
                    raise ValueError(f"channel {channel.id} is imported, so it needs kind and unit")
            elif not channel.point:
                raise ValueError(f"channel {channel.id} needs the point of device {channel.device}")
            if channel.restart_counter and channel.restart_counter not in {one.id for one in self.channel}:
                raise ValueError(
                    f"channel {channel.id} names restart_counter {channel.restart_counter!r}, no channel here"
                )
        return self

    def channels_of(self, source: str) -> tuple[ChannelSite, ...]:
        """Return the channels that one device feeds."""
        return tuple(channel for channel in self.channel if channel.device == source)


def load_site(path: Path) -> Site:
    """Read the site file.

    Raises:
        MisuseError: see `read_toml`.
    """
    return read_toml(path, Site)


def _refuse_repeats(ids: list[str], what: str) -> None:
    for index, one in enumerate(ids):
        if one in ids[:index]:
            raise ValueError(f"{what} id {one!r} is used twice")
