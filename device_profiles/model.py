"""The parts of a profile, as data: frozen, checked, ready to decode by.

Built only by `loader.load`. A profile describes a model of device; address, unit id, serial and which parameter
a point feeds belong to the site file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from .quality import Quality


class Table(StrEnum):
    """The four tables of Modbus."""

    HOLDING = "holding"
    INPUT = "input"
    COIL = "coil"
    DISCRETE = "discrete"

    @property
    def is_bits(self) -> bool:
        """Tell whether the table holds bits instead of registers."""
        return self in (Table.COIL, Table.DISCRETE)

    @property
    def function_code(self) -> int:
        """The one function code that reads this table."""
        return {Table.COIL: 1, Table.DISCRETE: 2, Table.HOLDING: 3, Table.INPUT: 4}[self]


class Role(StrEnum):
    """What a point is for."""

    RATE = "rate"
    TOTAL = "total"
    INTERVAL = "interval"
    STATE = "state"
    IDENTITY = "identity"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Invalid:
    """A pattern that is no measurement. Exactly one of nan, raw and value says which."""

    nan: bool
    raw: tuple[int, int] | None
    raw_bytes: int
    value: tuple[Decimal, Decimal] | None
    quality: Quality
    flag: str
    reason: str


@dataclass(frozen=True, slots=True)
class Totaliser:
    """How a running total behaves; rates are in the point's unit per hour."""

    modulus: Decimal | None
    resettable: bool
    backstep: Decimal
    max_rate: Decimal | None
    max_rate_from: str | None


@dataclass(frozen=True, slots=True)
class TotaliserRule:
    """A totaliser with its parameters filled in at commissioning."""

    modulus: Decimal | None
    resettable: bool
    backstep: Decimal
    max_rate: Decimal


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value the fitter must give: CT ratio, largest power, unit set in the device."""

    id: str
    name: Mapping[str, str]
    unit: str
    required: bool
    default: Decimal | None
    lowest: Decimal | None
    highest: Decimal | None


@dataclass(frozen=True, slots=True)
class Point:
    """One thing the device can be asked for."""

    id: str
    name: Mapping[str, str]
    role: Role
    unit: str
    type: str
    quantity: str = ""
    basis: str = ""
    table: Table = Table.HOLDING
    address: int = 0
    words: int = 1
    order: str = "ABCD"
    bit: int | None = None
    pointer: str = ""
    scale: Decimal = Decimal(1)
    offset: Decimal = Decimal(0)
    enum: Mapping[int, str] | None = None
    invalid: tuple[Invalid, ...] = ()
    totaliser: Totaliser | None = None
    lowest: Decimal | None = None
    highest: Decimal | None = None
    period_s: int | None = None
    period_label: str = "start"

    @property
    def is_text(self) -> bool:
        """Tell whether the point carries text instead of a number."""
        return self.type == "string"

    @property
    def kind(self) -> str:
        """The kind of channel this point makes: value, interval, total or state."""
        named = {Role.RATE: "value", Role.INTERVAL: "interval", Role.TOTAL: "total"}
        return named.get(self.role, "state")


@dataclass(frozen=True, slots=True)
class Transport:
    """Hints for whoever talks to the device."""

    protocols: tuple[str, ...] = ("tcp",)
    max_registers: int = 125
    max_bits: int = 2000
    max_gap: int = 0
    pause_ms: int = 0
    connect_pause_ms: int = 0
    timeout_ms: int = 1000
    retries: int = 2
    one_point_per_request: bool = False
    forbidden: tuple[tuple[Table, int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PayloadState:
    """What a status word in a message means."""

    quality: Quality
    flag: str
    reason: str


@dataclass(frozen=True, slots=True)
class Mqtt:
    """How messages of the device are read. `{device}` in the topic is filled from the site file."""

    topic: str
    format: str
    time_pointer: str
    time_format: str
    time_zone: str
    sequence_pointer: str
    sequence_modulus: int | None
    quality_pointer: str
    quality_map: Mapping[str, PayloadState]
    quality_otherwise: PayloadState
    quality_applies_to: tuple[str, ...]
    dedup: tuple[str, ...]
    retained: str
    partial: bool
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Vector:
    """Raw input and what must come out of it; `line` is its place in the file."""

    line: int
    words: Mapping[tuple[Table, int], int]
    payload: bytes | None
    topic: str
    retained: bool
    time: str
    sequence: int | None
    expect: Mapping[str, Any]
