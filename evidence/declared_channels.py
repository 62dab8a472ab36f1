"""The channels of a gateway as they were declared when it signed something."""

from collections.abc import Iterable, Mapping
from typing import Any

from evidence.channel import Channel


def channels_before(segment: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> dict[str, Channel]:
    """Return the channels as their gateway had declared them when it signed a segment."""
    declared: dict[str, tuple[int, Channel]] = {}
    for event in events:
        if event["type"] != "config" or (event["gw"], event["epoch"]) != (segment["gw"], segment["epoch"]):
            continue
        channel, seq = Channel.from_config(event["data"]), int(event["seq"])
        if seq < segment["seq"] and seq > declared.get(channel.id, (0, channel))[0]:
            declared[channel.id] = (seq, channel)
    return {name: channel for name, (_, channel) in declared.items()}
