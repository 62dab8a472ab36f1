"""What a Sparkplug B edge node with one device says, message by message: births first, then data by alias."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from device_profiles import Profile
from device_profiles.sparkplug import NAMESPACE, birth_of_node, death_of_node, metrics_of, parts_of

Message = tuple[str, bytes]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class EdgeNode:
    """One edge node; `skip` loses so many sequence numbers before the next message."""

    def __init__(self, profile: Profile, name: str, bd_seq: int = 0) -> None:
        self.profile = profile
        self._group, self._edge, self._device = parts_of(name)
        self.bd_seq = bd_seq
        self.born = False
        self.skip = 0
        self._seq = 0

    def topic(self, kind: str) -> str:
        """Give the topic of one kind of message."""
        end = f"/{self._device}" if kind.startswith("D") else ""
        return f"{NAMESPACE}/{self._group}/{kind}/{self._edge}{end}"

    def death(self, now: datetime) -> Message:
        """Give the message that the broker sends when the node is gone."""
        return self.topic("NDEATH"), death_of_node(self.bd_seq, _ms(now))

    def messages(self, values: Mapping[str, Decimal | str | None], now: datetime) -> list[Message]:
        """Give what is sent now: the births the first time, then the data."""
        time = _ms(now)
        if not self.born:
            self.born = True
            self._seq = 1
            birth = metrics_of(self.profile, values, time, 1, birth=True)
            return [(self.topic("NBIRTH"), birth_of_node(self.bd_seq, time)), (self.topic("DBIRTH"), birth)]
        self._seq += 1 + self.skip
        self.skip = 0
        return [(self.topic("DDATA"), metrics_of(self.profile, values, time, self._seq, birth=False))]


def _ms(now: datetime) -> int:
    return (now - _EPOCH) // timedelta(milliseconds=1)
