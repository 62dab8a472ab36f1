"""The parts of a profile, as data: frozen, checked, ready to decode by.

Built only by `loader.load`. A profile describes a model of device; address, unit id, serial and which parameter
a point feeds belong to the site file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from .condition import Condition, names_in
from .quality import Quality

#: In a condition: the number of the point itself, before scaling.
RAW = "raw"


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
    """A pattern that is no measurement: at most one of nan, raw and value, and a condition that must hold as well."""

    nan: bool
    raw: tuple[int, int] | None
    raw_bytes: int
    value: tuple[Decimal, Decimal] | None
    quality: Quality
    flag: str
    reason: str
    when: Condition | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a composite: its raw number counts `weight` times. In a clock `field` says what it is."""

    table: Table
    address: int
    words: int
    type: str
    order: str
    byte: str = ""
    weight: Decimal = Decimal(1)
    add: Decimal = Decimal(0)
    field: str = ""


@dataclass(frozen=True, slots=True)
class ScaleFrom:
    """A factor that the device shows in another point: as it is, as a power of ten, or by a table."""

    point: str
    form: str
    map: Mapping[int, Decimal] | None


@dataclass(frozen=True, slots=True)
class OrderFrom:
    """The word order, read from another point."""

    point: str
    map: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class ClockRule:
    """A device's clock: its zone (a name, or a point with the offset in hours), and how far off it may be."""

    zone: str
    zone_from: str
    max_offset_s: int | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a quality map: the first that holds decides."""

    when: Condition
    quality: Quality
    flag: str
    reason: str


@dataclass(frozen=True, slots=True)
class QualityRules:
    """What state points say about others. `twice`: the states are read before and after the values."""

    applies_to: tuple[str, ...]
    twice: bool
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class MatchTest:
    """What a device must show to be the described one; `refuse` or `warn` where it does not.

    `identification` is the number of an object of the device identification (Modbus Application Protocol V1.1b3, 6.21),
    for tests that ask that and not a point.
    """

    point: str
    equals: tuple[str, ...]
    lowest: Decimal | None
    highest: Decimal | None
    otherwise: str
    identification: int | None = None


@dataclass(frozen=True, slots=True)
class Totaliser:
    """How a running total behaves; rates are in the point's unit per hour, ``step`` is the counter's resolution."""

    modulus: Decimal | None
    resettable: bool
    backstep: Decimal
    max_rate: Decimal | None
    max_rate_from: str | None
    error_counter: str = ""
    step: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class TotaliserRule:
    """A totaliser with its parameters filled in at commissioning."""

    modulus: Decimal | None
    resettable: bool
    backstep: Decimal
    max_rate: Decimal
    step: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value the fitter must give: CT ratio, largest power, unit set in the device."""

    id: str
    name: Mapping[str, str]
    unit: str
    required: bool
    default: Decimal | str | None
    lowest: Decimal | None
    highest: Decimal | None
    choices: tuple[str, ...] = ()

    @property
    def is_choice(self) -> bool:
        """Tell whether one of a list of words is wanted instead of a number."""
        return bool(self.choices)

    def read(self, text: str) -> Decimal | str:
        """Read what the fitter gave.

        Raises: ValueError where it does not fit.
        """
        if self.is_choice:
            if text not in self.choices:
                raise ValueError(f"{text!r} is not one of: {', '.join(self.choices)}")
            return text
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise ValueError(f"{text!r} is not a number") from None
        if not number.is_finite():
            raise ValueError(f"{text!r} is not a number")
        if (self.lowest is not None and number < self.lowest) or (self.highest is not None and number > self.highest):
            raise ValueError(f"{text} is outside {self.lowest}…{self.highest}")
        return number


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
    byte: str = ""
    bits: tuple[int, int] | None = None
    parts: tuple[Part, ...] = ()
    tear_check: bool = False
    scale_from: ScaleFrom | None = None
    scale_parameter: str = ""
    percent_of: str = ""
    unit_from: str = ""
    order_from: OrderFrom | None = None
    only_if: tuple[str, int] | None = None
    clock: ClockRule | None = None
    configured: tuple[Decimal | None, Decimal | None] = (None, None)
    configured_from: tuple[str, str] = ("", "")
    max_change_per_s: Decimal | None = None
    metric: str = ""
    at: int | None = None
    watched: bool = True
    """Of an identity point: whether another value means another device, or other settings."""
    place: tuple[str | int, ...] = ()

    @property
    def pieces(self) -> tuple[tuple[Table, int, int], ...]:
        """List what must come from one request each: table, address, number of registers."""
        if self.tear_check:
            return tuple((part.table, part.address, part.words) for part in self.parts)
        return ((self.table, self.address, self.words),)

    @property
    def high_pieces(self) -> tuple[tuple[Table, int, int], ...]:
        """List the pieces that are read before and after the rest: of a tear-checked composite the heaviest."""
        if not self.tear_check:
            return ()
        most = max(abs(part.weight) for part in self.parts)
        return tuple((part.table, part.address, part.words) for part in self.parts if abs(part.weight) == most)

    @property
    def needs(self) -> frozenset[str]:
        """Name the other points without which this one cannot be decoded."""
        found = {one.point for one in (self.scale_from, self.order_from) if one is not None}
        if self.only_if is not None:
            found.add(self.only_if[0])
        if self.clock is not None and self.clock.zone_from:
            found.add(self.clock.zone_from)
        for invalid in self.invalid:
            if invalid.when is not None:
                found |= names_in(invalid.when) - {RAW}
        return frozenset(found)

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
class Serial:
    """The line settings of a device as it leaves the factory."""

    baud: int
    data_bits: int
    parity: str
    stop_bits: int


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
    idle_close_ms: int = 0
    one_point_per_request: bool = False
    forbidden: tuple[tuple[Table, int, int], ...] = ()
    serial: Serial | None = None
    unit_ids: tuple[int, int] = (1, 247)


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
    time_missing: str = "refuse"
    accept_pointer: str = ""
    accept_words: tuple[str, ...] = ()
    batch: bool = False
    unwrap: str = ""
    blob_pointer: str = ""
    blob_encoding: str = ""


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
    after: Mapping[tuple[Table, int], int] | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    messages: tuple[tuple[str, bytes], ...] = ()
