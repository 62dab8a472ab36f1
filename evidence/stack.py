"""Channels of a stack (CEMS): what a `config` event says of them, and their minutes in a segment.

A segment tells of each minute of an hour one letter, so that whoever has no readings can still judge hours, days and
months by rule: N for a valid minute, else the flag that most of its readings have, D where too few of them are valid,
and - where there is none. The letters follow from the leaves and the limits in the channel's `config` event.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from evidence.encoding import decimal_text
from evidence.reading import Flag, Leaf

MINUTE = timedelta(minutes=1)
MINUTES = 60
NOTHING = "-"
"""The letter of a minute without any reading."""


@dataclass(frozen=True)
class StackMeaning:
    """What a channel measures, when a minute of it is valid, and the rules of its hours.

    ``samples`` and ``share`` are the limits of check Q07; ``rules`` names the rule set with the site's overrides.
    """

    quantity: str
    samples: Decimal
    share: Decimal
    rules: Mapping[str, Any] = field(hash=False)

    def to_json(self) -> dict[str, Any]:
        """Write it as the ``config`` event carries it."""
        return {
            "quantity": self.quantity,
            "samples": decimal_text(self.samples),
            "share": decimal_text(self.share),
            "rules": dict(self.rules),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "StackMeaning":
        """Read what an event carries; it was validated with the event."""
        return cls(data["quantity"], Decimal(data["samples"]), Decimal(data["share"]), data["rules"])


@dataclass(frozen=True)
class Derivation:
    """The rule of a derived channel: parts by channel id, constants, basis, and the named rule set."""

    rule: str
    inputs: Mapping[str, str] = field(hash=False)
    constants: Mapping[str, Decimal] = field(hash=False)
    rules: Mapping[str, Any] = field(hash=False)
    basis: str = ""

    def to_json(self) -> dict[str, Any]:
        """Write it as the ``config`` event carries it."""
        data: dict[str, Any] = {"rule": self.rule, "inputs": dict(self.inputs), "rules": dict(self.rules)}
        if self.constants:
            data["constants"] = {name: decimal_text(value) for name, value in self.constants.items()}
        return {**data, "basis": self.basis} if self.basis else data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Derivation":
        """Read what an event carries; it was validated with the event."""
        constants = {name: Decimal(value) for name, value in data.get("constants", {}).items()}
        return cls(data["rule"], data["inputs"], constants, data["rules"], data.get("basis", ""))


def has_minutes(poll: timedelta) -> bool:
    """Tell whether a channel is read often enough to have minutes at all."""
    return timedelta(0) < poll <= MINUTE


def minute_letters(leaves: Iterable[Leaf], poll: timedelta, meaning: StackMeaning) -> str:
    """Return the 60 letters of one hour, by the minute of the UTC hour in which a reading lies.

    All leaves are of one channel and one hour; an hour that begins at another minute than 0 wraps round.
    """
    counted = MinuteCounts(poll, meaning)
    counted.add(leaves)
    return counted.letters()


class MinuteCounts:
    """How many readings of each flag every minute of one channel's hour has; grows in any order."""

    def __init__(self, poll: timedelta, meaning: StackMeaning) -> None:
        self._expected, self._meaning = MINUTE // poll, meaning
        self._valid = [0] * MINUTES
        self._flags: list[dict[Flag, int]] = [{} for _ in range(MINUTES)]

    def add(self, leaves: Iterable[Leaf]) -> None:
        """Count more readings of the same channel and hour."""
        for leaf in leaves:
            minute = leaf.time.minute
            self._valid[minute] += leaf.is_valid
            flags = self._flags[minute]
            flags[leaf.flag] = flags.get(leaf.flag, 0) + 1

    def letters(self) -> str:
        """Return the 60 letters, by the minute of the UTC hour."""
        return "".join(map(self._letter, self._valid, self._flags))

    def _letter(self, valid: int, flags: Mapping[Flag, int]) -> str:
        if not flags:
            return NOTHING
        if valid >= self._meaning.samples or (valid > 0 and valid >= self._meaning.share * self._expected):
            return Flag.NORMAL.value
        most = max(Flag, key=lambda flag: flags.get(flag, 0))
        return (Flag.FAULT if most is Flag.NORMAL else most).value


def minute_starts(hour: datetime) -> list[datetime]:
    """Return the start of the minute that each letter of an hour's sixty stands for."""
    return [hour + ((minute - hour.minute) % MINUTES) * MINUTE for minute in range(MINUTES)]


def joined_letters(parts: Iterable[str]) -> str:
    """Join what several segments say of one hour: a valid minute of any counts, else the last that says anything.

    A minute of which each segment holds too few readings stays invalid: nobody can add them up without the readings.
    """
    said = list(parts)
    if len(said) == 1:
        return said[0]
    joined = [NOTHING] * MINUTES
    for letters in said:
        for at, letter in enumerate(letters):
            if letter != NOTHING and joined[at] != Flag.NORMAL.value:
                joined[at] = letter
    return "".join(joined)
