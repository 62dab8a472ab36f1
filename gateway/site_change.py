"""What another site file changes: which channels mean something else, and which devices must be read anew.

Everything that is not named here is the same in both and must not be touched: no reconnect, no new statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.catalogue import Catalogue, Instrument

CHANNELS_IN_EVENT = 200
"""Keeps an event far below the longest statement."""


@dataclass(frozen=True)
class SiteChange:
    """Names of channels and devices, in order."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    devices: tuple[str, ...]
    """Devices that are new, gone, or no longer read or judged as they were."""
    is_other: bool
    """Whether anything else differs: rules, derived channels, what is sent live."""

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.devices or self.is_other)

    def events(self, rules: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Write the data of the events that say what changed; the rules stand in the first."""
        said: list[dict[str, Any]] = [{"reason": "reload", "rules": dict(rules)}]
        for what, names in (("added", self.added), ("changed", self.changed), ("removed", self.removed)):
            for start in range(0, len(names), CHANNELS_IN_EVENT):
                part = list(names[start : start + CHANNELS_IN_EVENT])
                if sum(len(one) for one in said[-1].values() if isinstance(one, list)) + len(part) > CHANNELS_IN_EVENT:
                    said.append({"reason": "reload"})
                said[-1][what] = part
        return said


def change_between(before: Catalogue, after: Catalogue) -> SiteChange:
    """Compare two catalogues."""
    old, new = before.channels, after.channels
    changed = [name for name in new if name in old and _meaning(before, name) != _meaning(after, name)]
    added = [name for name in new if name not in old]
    removed = [name for name in old if name not in new]
    devices = _differing(_devices(before), _devices(after))
    devices |= {new[name].device for name in (*changed, *added)} | {old[name].device for name in removed}
    return SiteChange(
        added=tuple(sorted(added)),
        changed=tuple(sorted(changed)),
        removed=tuple(sorted(removed)),
        devices=tuple(sorted(devices)),
        is_other=_beside(before) != _beside(after),
    )


def _meaning(catalogue: Catalogue, name: str) -> tuple[object, ...]:
    return catalogue.channels[name], catalogue.bases.get(name), catalogue.limits.get(name)


def _beside(catalogue: Catalogue) -> tuple[object, ...]:
    counters = dict(catalogue.restart_counters), dict(catalogue.error_counters)
    return catalogue.rules, catalogue.derived, catalogue.live, *counters


def _devices(catalogue: Catalogue) -> dict[str, object]:
    return {
        **_read_as((*catalogue.modbus, *catalogue.mqtt)),
        **{one.site.id: one for one in catalogue.loggers},
    }


def _read_as(instruments: Iterable[Instrument]) -> dict[str, object]:
    """Describe how devices are read; a profile is the same when its hash is."""
    return {
        one.site.id: (
            one.site,
            (one.profile.id, one.profile.version, one.profile.hash),
            dict(one.parameters),
            dict(one.channels),
            one.line,
        )
        for one in instruments
    }


def _differing(before: Mapping[str, object], after: Mapping[str, object]) -> set[str]:
    return {name for name in {*before, *after} if before.get(name) != after.get(name)}
