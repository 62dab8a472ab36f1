"""How the devices on the lines are doing, as facts for a status page; kept in memory, counted since the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from device_profiles import Mismatch
from gateway.nameplate import Told


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request that the device refuses; a matter of its settings or of the profile."""

    table: str
    address: int
    count: int
    points: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """One device at one moment."""

    device: str
    line: str
    unit: int
    reason: str
    """What went wrong in the last poll, as in its readings; empty when nothing did."""
    failures: int
    """Polls in a row without any answer."""
    last_ok: datetime | None
    polls: int
    requests: int
    answers: int
    timeouts: int
    checksum_errors: int
    mismatched_answers: int
    late_answers: int
    lost_connections: int
    refused_connections: int
    reconnects: int
    """Of its line, whoever caused them."""
    exceptions: Mapping[int, int]
    """By exception code."""
    split_blocks: int
    refused: tuple[RefusedRequest, ...]
    mismatches: tuple[Mismatch, ...]
    """Where it is not the device that its profile describes."""
    told: Told | None = None
    """What it last said of itself: identity and clock."""
