"""What the status page and `/metrics` show: one look at the store through a connection of its own, and at what runs.

Nothing here waits for the writer, and nothing counts rows of large tables.
"""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from evidence.encoding import parse_time
from gateway.chain import outbox_depth
from gateway.clock import Clock, ClockState
from gateway.device_report import DeviceReport
from gateway.disk import MIB, DiskUse
from gateway.errors import Words
from gateway.identity import known_identity
from gateway.problems import Problem, problems
from gateway.quality_store import counts_by_rule
from gateway.settings import Settings
from gateway.snapshot import Snapshot
from gateway.status import latest_readings

VERSION = importlib.metadata.version("cunzheng")


@dataclass(frozen=True)
class Latest:
    """The newest reading of a channel; without a time there is none."""

    channel: str
    time: datetime | None = None
    value: str | None = None
    unit: str = ""
    flag: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Vitals:
    """What only the running service knows."""

    synced: datetime | None = None
    """When the centre last answered everything it was asked."""
    sync_error: Words = ("", "")
    """Why it did not at the last try, in Chinese and English."""
    uncommitted: int = 0
    """Readings in memory."""
    devices: tuple[DeviceReport, ...] = ()
    alarms: Mapping[str, Words] = field(default_factory=dict)
    """What is wrong also while nothing can be written, by key, in Chinese and English."""
    disk: DiskUse | None = None
    """What the last look at the disk found."""


@dataclass(frozen=True)
class Facts:
    """Everything on the page, as of `now`."""

    now: datetime
    gateway: str
    plant: str
    epoch: int
    waiting: int
    oldest: datetime | None
    refused: int
    tree_size: int
    channels: tuple[Latest, ...]
    quality: Mapping[str, int]
    problems: tuple[Problem, ...]
    clock: ClockState
    disk_free: int
    disk_total: int
    budget: int | None
    """Bytes that the data folder may take; None for all there is."""
    vitals: Vitals

    def age(self, time: datetime | None) -> timedelta | None:
        """Return how long ago something was; a clock that stepped back makes nothing lie in the future."""
        return None if time is None else max(self.now - time, timedelta(0))


def gather(settings: Settings, clock: Clock, vitals: Vitals, names: Sequence[str]) -> Facts:
    """Look at everything once; `names` are the channels of the site in use.

    Raises:
        StoreError: the store cannot be read, or not in time.
    """
    disk = shutil.disk_usage(settings.data)
    with Snapshot(settings.database) as store:
        identity = known_identity(store)
        oldest = store.value("SELECT queued FROM outbox WHERE state IN ('queued', 'held') ORDER BY id LIMIT 1")
        epoch = 0 if identity is None else identity.epoch
        known = [_shown(problem, vitals.alarms) for problem in problems(store)]
        seen = {problem.key for problem in known}
        now = clock.now()
        return Facts(
            now=now,
            gateway="" if identity is None else identity.gw,
            plant="" if identity is None else identity.plant,
            epoch=epoch,
            waiting=outbox_depth(store),
            oldest=None if oldest is None else parse_time(oldest),
            refused=int(store.value("SELECT count(*) FROM outbox WHERE state = 'refused'")),
            tree_size=int(store.value("SELECT size FROM tree WHERE epoch = ?", (epoch,)) or 0),
            channels=tuple(
                Latest(**{**one, "time": parse_time(one["time"])}) if "time" in one else Latest(one["channel"])
                for one in latest_readings(store)
                if one["channel"] in names
            ),
            quality=counts_by_rule(store),
            problems=(
                *known,
                *(Problem(key, zh, en, "") for key, (zh, en) in vitals.alarms.items() if key not in seen),
            ),
            clock=clock.state(),
            disk_free=disk.free,
            disk_total=disk.total,
            budget=None if settings.limits.budget_mb is None else settings.limits.budget_mb * MIB,
            vitals=vitals,
        )


def _shown(problem: Problem, alarms: Mapping[str, Words]) -> Problem:
    """Prefer the words of now to those that could last be written."""
    zh, en = alarms.get(problem.key, (problem.zh, problem.en))
    return Problem(problem.key, zh, en, problem.since)
