"""Data of the events that record what is known of the plant: marks of operation, calibrations, changed devices."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from evidence.members import Closed, Id, Number, Sid, Text, Time


class MarkData(Closed):
    """Data of a ``maintenance`` event that marks a time of operation; a mark never changes a flag or value."""

    record: Literal["mark"]
    kind: Literal[
        "stop", "start-up", "drying", "fault", "accident", "blow-back", "maintenance", "monitor-fault", "other"
    ]
    from_: Annotated[Time, Field(alias="from")]
    to: Time
    entered: Time
    by: Annotated[str, Field(min_length=1, max_length=200)]
    reason: Annotated[str, Field(min_length=1, max_length=2000)]
    subject: Id | None = None
    channels: Annotated[list[Id], Field(min_length=1)] | None = None
    evidence: list[Sid] | None = None

    @model_validator(mode="after")
    def _time_runs_forward(self) -> "MarkData":
        if self.to <= self.from_:
            raise ValueError("a mark ends after it begins")
        if (self.subject is None) == (self.channels is None):
            raise ValueError("a mark names either a subject or channels")
        return self


class IdentityData(Closed):
    """Data of a ``maintenance`` event in which the gateway says that a device tells another identity than before."""

    record: Literal["identity"]
    device: Id
    point: Id
    before: Annotated[str, Field(max_length=200)]
    after: Annotated[str, Field(max_length=200)]
    seen: Time
    found: Time

    @model_validator(mode="after")
    def _something_changed(self) -> "IdentityData":
        if self.before == self.after:
            raise ValueError("a change has another value before than after")
        return self


class CalibrationData(Closed):
    """Data of a ``calibration`` event that says how a zero, span or other check of a channel went."""

    record: Literal["calibration"]
    channel: Id
    check: Literal["zero", "span", "zero-span", "whole-path", "comparison"]
    at: Time
    entered: Time
    by: Annotated[str, Field(min_length=1, max_length=200)]
    passed: bool
    reference: Number | None = None
    reading: Number | None = None
    note: Text | None = None
    evidence: list[Sid] | None = None
