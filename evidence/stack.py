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
    groups: dict[int, list[Leaf]] = {}
    for leaf in leaves:
        groups.setdefault(leaf.time.minute, []).append(leaf)
    expected = MINUTE // poll
    return "".join(
        _letter(groups[minute], expected, meaning) if minute in groups else NOTHING for minute in range(MINUTES)
    )


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


def _letter(group: list[Leaf], expected: int, meaning: StackMeaning) -> str:
    valid = sum(1 for leaf in group if leaf.is_valid)
    if valid >= meaning.samples or (valid > 0 and valid >= meaning.share * expected):
        return Flag.NORMAL.value
    counts = {flag: sum(1 for leaf in group if leaf.flag is flag) for flag in Flag}
    most = max(Flag, key=lambda flag: counts[flag])
    return (Flag.FAULT if most is Flag.NORMAL else most).value
