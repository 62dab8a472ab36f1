"""The `mqtt` part of a profile: how messages are recognised, dated, numbered and judged."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from .context import Context
from .document import Path as Place
from .model import Mqtt, PayloadState, Point
from .quality import FLAG_OF, Quality


class MqttBuilder:
    """Builds the message rules of one profile."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def mqtt(self, given: Mapping[str, Any], points: Mapping[str, Point]) -> Mqtt:
        """Build the message rules and check them against the points."""
        time = given.get("time", {})
        sequence = given.get("sequence", {})
        quality = given.get("quality", {})
        place: Place = ("mqtt",)
        if (time.get("format") == "local") != ("zone" in time):
            self.context.fault(
                (*place, "time"), "local 须有 zone，其他格式不得有", "zone is needed with local, and only there"
            )
        if "zone" in time and not is_zone(time["zone"]):
            self.context.fault((*place, "time", "zone"), "没有这个时区", f"there is no time zone {time['zone']}")
        for key, there in (("time", time), ("sequence", sequence)):
            if key in given["dedup"] and not there and given["format"] != "sparkplug":
                self.context.fault((*place, "dedup"), f"没有 {key}", f"{key} is used and not described")
        for name in quality.get("applies_to", []):
            if name not in points:
                self.context.fault((*place, "quality", "applies_to"), f"没有测点 {name}", f"there is no point {name}")
        applies = quality.get("applies_to") or [name for name, point in points.items() if point.kind != "state"]
        blob = given.get("blob", {})
        self.check_topic(given)
        for point in points.values():
            self.check_point(given["format"], point, has_blob=bool(blob))
        return Mqtt(
            topic=given["topic"],
            format=given["format"],
            time_pointer=time.get("pointer", ""),
            time_format=time.get("format", ""),
            time_zone=time.get("zone", ""),
            sequence_pointer=sequence.get("pointer", ""),
            sequence_modulus=sequence.get("modulus"),
            quality_pointer=quality.get("pointer", ""),
            quality_map=MappingProxyType(
                {word: payload_state(state) for word, state in quality.get("map", {}).items()}
            ),
            quality_otherwise=payload_state(quality.get("otherwise", {"state": "valid"})),
            quality_applies_to=tuple(applies) if quality else (),
            dedup=tuple(given["dedup"]),
            retained=given["retained"],
            partial=given.get("partial", False),
            max_bytes=given.get("max_bytes", 65536),
            time_missing=time.get("missing", "refuse"),
            accept_pointer=given.get("accept", {}).get("pointer", ""),
            accept_words=tuple(given.get("accept", {}).get("equals", ())),
            batch=given.get("batch", False),
            unwrap=given.get("unwrap", ""),
            blob_pointer=blob.get("pointer", ""),
            blob_encoding=blob.get("encoding", ""),
        )

    def check_topic(self, given: Mapping[str, Any]) -> None:
        """Check that a topic names its device, or is fixed, and subscribes to nothing else."""
        topic, place = given["topic"], ("mqtt", "topic")
        if given["format"] == "sparkplug":
            if topic != "spBv1.0/{device}":
                self.context.fault(place, "Sparkplug 须为 spBv1.0/{device}", "for sparkplug it is spBv1.0/{device}")
        elif any(mark in topic.replace("{device}", "") for mark in "{}+#\0") or topic.count("{device}") > 1:
            self.context.fault(
                place,
                "最多有一个 {device}，不得有通配符",
                "the topic holds {device} at most once and no wildcard",
            )

    def check_point(self, form: str, point: Point, *, has_blob: bool) -> None:
        """Check that a point is where this format can have one."""
        if bool(point.metric) != (form == "sparkplug"):
            self.context.fault(
                point.place, "metric 用于且只用于 sparkplug", "metric is for the format sparkplug, and only there"
            )
        if point.at is not None and not has_blob:
            self.context.fault((*point.place, "at"), "没有 blob", "there is no blob")


def payload_state(given: Mapping[str, str]) -> PayloadState:
    """Read what a status word means."""
    quality = Quality(given["state"])
    reason = given.get("reason", "" if quality is Quality.VALID else "device-quality")
    return PayloadState(quality, given.get("hj212", FLAG_OF[quality]), reason)


def is_zone(name: str) -> bool:
    """Tell whether a time zone has that name."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
