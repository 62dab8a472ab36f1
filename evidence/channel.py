"""Channels: what a stream of readings measures, and the ``config`` event that declares it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from evidence.encoding import decimal_text
from evidence.kinds import ConfigData
from evidence.stack import Derivation, StackMeaning
from evidence.totaliser import Totaliser


class ChannelKind(StrEnum):
    """How a channel's readings add up.

    ``value`` and ``derived`` hold at an instant; ``interval`` is the amount of the interval that starts at the
    reading's time; ``total`` is a running counter; ``state`` is a code.
    """

    VALUE = "value"
    INTERVAL = "interval"
    TOTAL = "total"
    STATE = "state"
    DERIVED = "derived"


@dataclass(frozen=True)
class Profile:
    """The device description that decodes a channel."""

    id: str
    version: int
    hash: str


@dataclass(frozen=True)
class Channel:
    """One stream of readings of a gateway."""

    id: str
    unit: str
    kind: ChannelKind
    poll: timedelta
    device: str
    via: str
    param: str | None = None
    subject: str | None = None
    serial: str | None = None
    certificate: str | None = None
    profile: Profile | None = None
    totaliser: Totaliser | None = None
    stack: StackMeaning | None = None
    """For a quantity of a stack: what it is and which rules its hours are judged by."""
    derived: Derivation | None = None
    """For a derived channel: the rule it is computed by, and from what."""

    def __post_init__(self) -> None:
        if (self.kind is ChannelKind.TOTAL) != (self.totaliser is not None):
            raise ValueError(f"{self.id}: a total needs a totaliser rule, and nothing else has one")

    def config_data(self) -> dict[str, Any]:
        """Write the data of the ``config`` event that declares this channel."""
        data: dict[str, Any] = {
            "channel": self.id,
            "unit": self.unit,
            "kind": self.kind.value,
            "poll_ms": self.poll // timedelta(milliseconds=1),
            "source": {"device": self.device, "via": self.via},
        }
        for name in ("param", "subject", "serial", "certificate"):
            if getattr(self, name) is not None:
                data[name] = getattr(self, name)
        if self.profile is not None:
            data["profile"] = {
                "id": self.profile.id,
                "version": self.profile.version,
                "hash": self.profile.hash,
            }
        if self.totaliser is not None:
            rule = self.totaliser
            data["totaliser"] = {
                "max_rate": decimal_text(rule.max_rate),
                "backstep": decimal_text(rule.backstep),
                "resettable": rule.resettable,
            }
            if rule.modulus is not None:
                data["totaliser"]["modulus"] = decimal_text(rule.modulus)
            if rule.step != Totaliser.step:
                data["totaliser"]["step"] = decimal_text(rule.step)
        if self.stack is not None:
            data["stack"] = self.stack.to_json()
        if self.derived is not None:
            data["derived"] = self.derived.to_json()
        return data

    @classmethod
    def from_config(cls, data: Mapping[str, Any]) -> "Channel":
        """Read the data of a ``config`` event.

        Raises:
            pydantic.ValidationError: the data do not fit; events that were parsed always do.
        """
        config = ConfigData.model_validate(dict(data))
        rule = config.totaliser
        return cls(
            id=config.channel,
            unit=config.unit,
            kind=ChannelKind(config.kind),
            poll=timedelta(milliseconds=config.poll_ms),
            device=config.source.device,
            via=config.source.via,
            param=config.param,
            subject=config.subject,
            serial=config.serial,
            certificate=config.certificate,
            profile=None
            if config.profile is None
            else Profile(config.profile.id, config.profile.version, config.profile.hash),
            totaliser=None
            if rule is None
            else Totaliser(
                max_rate=Decimal(rule.max_rate),
                backstep=Decimal(rule.backstep),
                resettable=rule.resettable,
                modulus=None if rule.modulus is None else Decimal(rule.modulus),
                step=Totaliser.step if rule.step is None else Decimal(rule.step),
            ),
            stack=None if config.stack is None else StackMeaning.from_json(data["stack"]),
            derived=None if config.derived is None else Derivation.from_json(data["derived"]),
        )
