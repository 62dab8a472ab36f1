"""Commissioning (投用确认): a channel's value against the device's own display, read twice by a person.

Address, word order, factor and unit may all be wrong and still give a believable number; the display knows better. How
far the two may differ is a rule stated here and written into the ``config`` event with its figures. What the rule
finds is recorded; whether a contradiction is accepted, and why, is a person's word.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Context, Decimal
from typing import Any

from evidence.channel import Channel, ChannelKind
from evidence.commissioning_kinds import CommissionedData, number_of
from evidence.encoding import decimal_text, parse_decimal, parse_time, time_text
from evidence.errors import EvidenceError

_EXACT = Context(prec=200)
_HOUR = timedelta(hours=1)
USUAL_PERCENT = Decimal(5)
"""What an instantaneous value may have moved between a look at the display and a read, in per cent of the display."""


@dataclass(frozen=True)
class Display:
    """What a person read from a device: the figure or word as it stood there, and when."""

    shown: str
    at: datetime

    @property
    def number(self) -> Decimal | None:
        """The number, None for a word."""
        return number_of(canonical(self.shown))

    @property
    def step(self) -> Decimal:
        """One of the last digit shown."""
        return Decimal(1).scaleb(-len(self.shown.partition(".")[2]))


@dataclass(frozen=True)
class Read:
    """What the gateway read: the value as decoded, the words, and when."""

    value: str
    words: str
    at: datetime


@dataclass(frozen=True)
class Compared:
    """One display beside one read; figures are None for words."""

    display: Display
    read: Read
    off: Decimal | None
    least: Decimal | None
    most: Decimal | None

    @property
    def agrees(self) -> bool:
        """Whether the display confirms the value."""
        if self.off is None or self.least is None or self.most is None:
            return canonical(self.display.shown) == self.read.value
        return self.least <= self.off <= self.most

    def to_json(self) -> dict[str, Any]:
        """Write one of the event's two ``displays``."""
        data: dict[str, Any] = {
            "at": time_text(self.display.at),
            "shown": canonical(self.display.shown),
            "read": self.read.value,
            "read_at": time_text(self.read.at),
            "words": self.read.words,
            "agrees": self.agrees,
        }
        for name in ("off", "least", "most"):
            figure = getattr(self, name)
            if figure is not None:
                data[name] = decimal_text(figure)
        return data


@dataclass(frozen=True)
class Commissioned:
    """One channel taken into use."""

    channel: Channel
    at: datetime
    by: str
    point: str
    table: str
    address: int
    order: str
    compared: tuple[Compared, Compared]
    neighbours: tuple[tuple[int, str], ...] = ()
    reason: str = ""

    def event_data(self) -> dict[str, Any]:
        """Write the data of the ``config`` event: the channel's declaration with how it was commissioned."""
        last = self.compared[-1].read
        said: dict[str, Any] = {
            "at": time_text(self.at),
            "by": self.by,
            "point": self.point,
            "table": self.table,
            "address": self.address,
            "words": last.words,
            "value": last.value,
            "displays": [one.to_json() for one in self.compared],
        }
        if self.order:
            said["order"] = self.order
        if self.neighbours:
            said["neighbours"] = [{"offset": offset, "words": words} for offset, words in self.neighbours]
        if self.reason:
            said["reason"] = self.reason
        return {**self.channel.config_data(), "commissioned": said}


def compare(
    channel: Channel,
    display: Display,
    read: Read,
    *,
    percent: Decimal = USUAL_PERCENT,
    change_per_s: Decimal | None = None,
) -> Compared:
    """Set one reading of the display beside one read of the device.

    A total may be off by one step (of the display or of the counter), and by what can be counted at its largest rate
    between the two moments; it never runs backwards. A state must be the same. Any other value may be off by one step
    and by what it can change: at the rate its profile knows (`change_per_s`), else `percent` of the display.
    """
    shown, value = display.number, number_of(read.value)
    if shown is None or value is None:
        return Compared(display, read, None, None, None)
    off = _EXACT.subtract(value, shown)
    passed = read.at - display.at
    if channel.kind is ChannelKind.STATE:
        return Compared(display, read, off, Decimal(0), Decimal(0))
    if channel.totaliser is not None:
        step = max(display.step, channel.totaliser.step)
        counted = _up(abs(channel.totaliser.max_rate * Decimal(str(passed / _HOUR))), step)
        least, most = (-step, step + counted) if passed >= timedelta(0) else (-step - counted, step)
    else:
        moved = abs(shown) * percent / 100
        if change_per_s is not None:
            moved = change_per_s * Decimal(str(abs(passed.total_seconds())))
        most = display.step + _up(moved, display.step)
        least = -most
    return Compared(display, read, off, least, most)


def _up(amount: Decimal, step: Decimal) -> Decimal:
    """Round up to whole steps, so that the limits are as short as the figures they limit."""
    return _EXACT.multiply((amount / step).to_integral_value(ROUND_CEILING), step)


def canonical(shown: str) -> str:
    """Write what a person typed the one way numbers are written; a word stays as it is.

    >>> canonical("0123.450"), canonical("run")
    ('123.450', 'run')
    """
    try:
        number = Decimal(shown) if shown.lstrip("+-")[:1].isdigit() else None
        return shown if number is None else decimal_text(number)
    except (ArithmeticError, ValueError, EvidenceError):
        return shown


def commissioned_from(data: Mapping[str, Any]) -> Commissioned | None:
    """Read the data of a ``config`` event; None where it only declares.

    Raises:
        pydantic.ValidationError: the data do not fit; events that were parsed always do.
    """
    if "commissioned" not in data:
        return None
    said = CommissionedData.model_validate(data["commissioned"])
    first, second = (
        Compared(
            Display(one.shown, parse_time(one.at)),
            Read(one.read, one.words, parse_time(one.read_at)),
            *(None if figure is None else parse_decimal(figure) for figure in (one.off, one.least, one.most)),
        )
        for one in said.displays
    )
    return Commissioned(
        channel=Channel.from_config(data),
        at=parse_time(said.at),
        by=said.by,
        point=said.point,
        table=said.table,
        address=said.address,
        order=said.order or "",
        compared=(first, second),
        neighbours=tuple((one.offset, one.words) for one in said.neighbours or ()),
        reason=said.reason or "",
    )
