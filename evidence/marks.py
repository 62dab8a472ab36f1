"""Marks of operation (标记): stop, start-up, drying, fault, accident …; records beside the readings, never changes.

A mark says what a time was like, who said so, when it was entered and why. One entered after its time is over stays
visible as late. Which readings it concerns is told by subject or by channels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from evidence.encoding import parse_time, time_text
from evidence.record_kinds import CalibrationData, MarkData


class MarkKind(StrEnum):
    """What a time was like."""

    STOP = "stop"
    START_UP = "start-up"
    DRYING = "drying"
    FAULT = "fault"
    ACCIDENT = "accident"
    BLOW_BACK = "blow-back"
    MAINTENANCE = "maintenance"
    MONITOR_FAULT = "monitor-fault"
    OTHER = "other"


@dataclass(frozen=True)
class Mark:
    """One marked time, ``[start, end)``; concerns a subject of the plan, or the channels it names."""

    kind: MarkKind
    start: datetime
    end: datetime
    entered: datetime
    by: str
    reason: str
    subject: str = ""
    channels: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()

    @property
    def is_late(self) -> bool:
        """Whether it was entered only after its time was over."""
        return self.entered > self.end

    @property
    def delay(self) -> timedelta:
        """How long after the beginning it was entered."""
        return max(self.entered - self.start, timedelta(0))

    def covers(self, time: datetime) -> bool:
        """Tell whether a moment lies in the marked time."""
        return self.start <= time < self.end

    def concerns(self, channel: str, subject: str | None) -> bool:
        """Tell whether the mark speaks of a channel."""
        return channel in self.channels or (bool(self.subject) and self.subject == subject)

    def event_data(self) -> dict[str, Any]:
        """Write the data of the ``maintenance`` event."""
        data: dict[str, Any] = {
            "record": "mark",
            "kind": self.kind.value,
            "from": time_text(self.start),
            "to": time_text(self.end),
            "entered": time_text(self.entered),
            "by": self.by,
            "reason": self.reason,
        }
        if self.subject:
            data["subject"] = self.subject
        if self.channels:
            data["channels"] = list(self.channels)
        if self.evidence:
            data["evidence"] = list(self.evidence)
        return data

    @classmethod
    def from_event(cls, data: Mapping[str, Any]) -> "Mark":
        """Read the data of a ``maintenance`` event.

        Raises:
            pydantic.ValidationError: the data do not fit; events that were parsed always do.
        """
        said = MarkData.model_validate(dict(data))
        return cls(
            MarkKind(said.kind),
            parse_time(said.from_),
            parse_time(said.to),
            parse_time(said.entered),
            said.by,
            said.reason,
            said.subject or "",
            tuple(said.channels or ()),
            tuple(said.evidence or ()),
        )


@dataclass(frozen=True)
class CalibrationRecord:
    """How one check of a channel went; what Q28 stands on."""

    channel: str
    check: str
    at: datetime
    entered: datetime
    by: str
    passed: bool
    note: str = ""

    def event_data(self) -> dict[str, Any]:
        """Write the data of the ``calibration`` event."""
        data: dict[str, Any] = {
            "record": "calibration",
            "channel": self.channel,
            "check": self.check,
            "at": time_text(self.at),
            "entered": time_text(self.entered),
            "by": self.by,
            "passed": self.passed,
        }
        return {**data, "note": self.note} if self.note else data

    @classmethod
    def from_event(cls, data: Mapping[str, Any]) -> "CalibrationRecord":
        """Read the data of a ``calibration`` event.

        Raises:
            pydantic.ValidationError: the data do not fit; events that were parsed always do.
        """
        said = CalibrationData.model_validate(dict(data))
        return cls(
            said.channel,
            said.check,
            parse_time(said.at),
            parse_time(said.entered),
            said.by,
            said.passed,
            said.note or "",
        )


def marks_at(marks: Iterable[Mark], time: datetime, channel: str, subject: str | None) -> list[Mark]:
    """Return the marks that speak of a channel at a moment."""
    return [mark for mark in marks if mark.covers(time) and mark.concerns(channel, subject)]
