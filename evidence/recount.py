"""A segment's entries recomputed from its readings while they come in, in leaf order; none of them is kept."""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

from evidence.channel import Channel
from evidence.encoding import time_text
from evidence.reading import Leaf
from evidence.segment import EntryRecount, entry_hour, hour_of_leaf


class SegmentRecount:
    """What the readings of a segment say, to be compared with what the segment says."""

    def __init__(self, segment: Mapping[str, Any], channels: Mapping[str, Channel], zone: tzinfo) -> None:
        self._segment, self._channels, self._zone = segment, channels, zone
        self._entries: dict[tuple[str, str], EntryRecount] = {}
        self._undeclared: set[str] = set()
        self._impossible: str | None = None
        self.next = int(segment["tree"]["start"])
        """Index of the leaf that comes next."""

    @property
    def is_whole(self) -> bool:
        """Whether all readings of the segment came in."""
        return self.next == int(self._segment["tree"]["end"])

    def add(self, leaves: Sequence[Leaf]) -> None:
        """Take in the next leaves; each is in its place."""
        self.next += len(leaves)
        try:
            self._add(leaves)
        except ArithmeticError as error:  # a number of too many digits, or a time at the end of the calendar
            self._impossible = f"readings near {self.next} cannot be computed with: {error!r}"

    def _add(self, leaves: Sequence[Leaf]) -> None:
        groups: dict[tuple[str, str], list[Leaf]] = {}
        for leaf in leaves:
            channel = self._channels.get(leaf.channel)
            if channel is None:
                self._undeclared.add(leaf.channel)
                continue
            hour = time_text(hour_of_leaf(leaf, channel.kind, self._zone))
            groups.setdefault((hour, leaf.channel), []).append(leaf)
        for key, group in groups.items():
            if key not in self._entries:
                self._entries[key] = EntryRecount(self._channels[key[1]])
            self._entries[key].add(group)

    def differences(self) -> list[str]:
        """Say in what the segment differs from its readings; empty where it is what they say."""
        if self._undeclared:
            return [f"channel {name} was not declared before its reading" for name in sorted(self._undeclared)]
        if self._impossible is not None:
            return [self._impossible]
        span = self._segment["span"]
        stated = {(entry_hour(entry, span, self._zone), str(entry["id"])): entry for entry in self._segment["ch"]}
        return [
            f"channel {key[1]} in {key[0]} is not what its readings say"
            for key in sorted(set(stated) | set(self._entries))
            if key not in stated or key not in self._entries or not self._entries[key].agrees(stated[key])
        ]
