"""What each channel of each gateway amounted to in a month, from segment entries and `config` events.

Units, kinds and serials come from the latest `config` at or before a segment, in its gateway's epoch;
changes within the month are reported. Invalid readings are counted, never summed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

from accounting import units
from accounting.cover import Covered, month_entries
from accounting.errors import UnitError
from accounting.exact import exact_sum
from accounting.issues import Issue, IssueCode
from accounting.period import Month
from evidence.encoding import decimal_text, parse_decimal, time_text
from evidence.statement import Statement

AMOUNTS = frozenset({"interval", "total"})
"""Kinds whose readings add up to a quantity; a sum of instantaneous values is none."""
_REPORTED = ("unit", "kind", "serial", "profile", "certificate", "param", "poll_ms", "totaliser")


@dataclass(frozen=True)
class ChannelMonth:
    """One channel's month."""

    gw: str
    id: str
    unit: str
    kind: str
    hours: int
    covered: int
    n: int
    valid: int
    amount: Decimal | None
    gaps: tuple[tuple[datetime, datetime], ...]
    config: Mapping[str, Any]
    issues: tuple[Issue, ...]

    @property
    def is_quantity(self) -> bool:
        """Whether its readings add up to a quantity."""
        return self.kind in AMOUNTS

    def to_json(self) -> dict[str, Any]:
        """The channel as a body carries it."""
        entry: dict[str, Any] = {
            "gw": self.gw,
            "id": self.id,
            "unit": self.unit,
            "kind": self.kind,
            "hours": self.hours,
            "covered": self.covered,
            "n": self.n,
            "valid": self.valid,
            "gaps": [[time_text(start), time_text(end)] for start, end in self.gaps],
        }
        for name in ("param", "serial", "profile"):
            if name in self.config:
                entry[name] = self.config[name]
        if self.amount is not None:
            entry["use" if self.kind == "total" else "sum"] = decimal_text(self.amount)
        if self.config.get("source", {}).get("via") == "import":
            entry["imported"] = True
        return entry


@dataclass
class _Tally:
    """What has been seen of a channel so far."""

    n: int = 0
    valid: int = 0
    covered: set[datetime] = field(default_factory=set)
    amounts: dict[tuple[str, str], list[Decimal]] = field(default_factory=dict)
    configs: list[Mapping[str, Any]] = field(default_factory=list)


def channel_months(covered: Covered, events: Iterable[Statement], month: Month) -> list[ChannelMonth]:
    """Add up the covered segments by gateway and channel, in that order."""
    declared = configs_by_channel(events)
    tallies: dict[tuple[str, str], _Tally] = {}
    for segment in covered.segments:
        payload = segment.payload
        for hour, entry in month_entries(segment, month):
            tally = tallies.setdefault((payload["gw"], entry["id"]), _Tally())
            config = config_at(declared.get((payload["gw"], payload["epoch"], entry["id"]), []), payload["seq"])
            _count(tally, hour, entry, config)
    return [_finished(gw, name, tally, month) for (gw, name), tally in sorted(tallies.items())]


def configs_by_channel(events: Iterable[Statement]) -> dict[tuple[str, int, str], list[tuple[int, Mapping[str, Any]]]]:
    """Return the declarations of each channel of each gateway and epoch, with their numbers, in order."""
    found: dict[tuple[str, int, str], list[tuple[int, Mapping[str, Any]]]] = {}
    for event in events:
        payload = event.payload
        if payload["type"] == "config":
            key = (payload["gw"], payload["epoch"], payload["data"]["channel"])
            found.setdefault(key, []).append((payload["seq"], payload["data"]))
    for configs in found.values():
        configs.sort(key=lambda config: config[0])
    return found


def config_at(configs: list[tuple[int, Mapping[str, Any]]], seq: int) -> Mapping[str, Any]:
    """Return the declaration that stood when a statement of this number was signed; empty where there was none."""
    latest: Mapping[str, Any] = {}
    for declared, data in configs:
        if declared < seq:
            latest = data
    return latest


def _count(tally: _Tally, hour: datetime, entry: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    tally.n += entry["n"]
    tally.valid += entry["valid"]
    if entry["valid"]:
        tally.covered.add(hour)
    if not tally.configs or tally.configs[-1] != config:
        tally.configs.append(config)
    kind = config.get("kind", "total" if "use" in entry else "value")
    amount = entry.get("use" if kind == "total" else "sum")
    if amount is not None and kind != "state":
        tally.amounts.setdefault((kind, config.get("unit", "")), []).append(parse_decimal(amount))


def _finished(gw: str, name: str, tally: _Tally, month: Month) -> ChannelMonth:
    where = f"{gw}/{name}"
    config = tally.configs[-1]
    seen_kind = next(iter(tally.amounts), ("state", ""))[0]
    kind, unit = config.get("kind", seen_kind), config.get("unit", "")
    issues = _config_issues(where, tally.configs)
    amount, amount_issues = _amount(where, tally, kind, unit)
    gaps = tuple(month.missing_spans(tally.covered))
    return ChannelMonth(
        gw=gw,
        id=name,
        unit=unit,
        kind=kind,
        hours=month.hours,
        covered=len(tally.covered),
        n=tally.n,
        valid=tally.valid,
        amount=amount,
        gaps=gaps,
        config=config,
        issues=(*issues, *amount_issues, *_gap_issues(where, month.hours, len(tally.covered), len(gaps), kind)),
    )


def _amount(where: str, tally: _Tally, kind: str, unit: str) -> tuple[Decimal | None, list[Issue]]:
    """Add what was booked under the channel's units of the month; None if they cannot be added."""
    kinds = {booked for booked, _ in tally.amounts}
    if not tally.amounts:
        return None, []
    if len(kinds) > 1 and not kinds <= AMOUNTS:
        zh = f"月内通道类型改变（{'、'.join(sorted(kinds))}），不能相加"
        en = f"the kind changed within the month ({', '.join(sorted(kinds))}); the parts cannot be added"
        return None, [Issue(IssueCode.UNIT_CONFLICT, where, zh, en)]
    issues = []
    parts: list[Decimal] = []
    for (_, booked_unit), values in sorted(tally.amounts.items()):
        part = exact_sum(values)
        if booked_unit == unit:
            parts.append(part)
            continue
        try:
            parts.append(units.convert(part, booked_unit, unit))
        except UnitError as error:
            zh = f"月内单位由“{booked_unit}”改为“{unit}”，不能相加：{error.zh}"
            en = f"the unit changed within the month from {booked_unit!r} to {unit!r} and cannot be added: {error.en}"
            return None, [Issue(IssueCode.UNIT_CONFLICT, where, zh, en)]
        zh = f"月内单位由“{booked_unit}”改为“{unit}”，已精确换算"
        en = f"the unit changed within the month from {booked_unit!r} to {unit!r}; converted exactly"
        issues.append(Issue(IssueCode.UNIT_CHANGED, where, zh, en))
    return exact_sum(parts), issues


def _config_issues(where: str, configs: list[Mapping[str, Any]]) -> list[Issue]:
    issues = []
    if any(not config for config in configs):
        zh, en = "时段存证之前没有通道声明（config）", "no config event before a segment declares this channel"
        issues.append(Issue(IssueCode.CONFIG_MISSING, where, zh, en))
    for before, after in pairwise(configs):
        changed = [name for name in _REPORTED if before and after and before.get(name) != after.get(name)]
        if changed:
            zh = f"月内通道配置改变：{'、'.join(changed)}"
            en = f"the channel's configuration changed within the month: {', '.join(changed)}"
            issues.append(Issue(IssueCode.CONFIG_CHANGED, where, zh, en))
    return issues


def _gap_issues(where: str, hours: int, covered: int, spans: int, kind: str) -> list[Issue]:
    if covered == hours:
        return []
    zh = f"{hours} 小时中 {hours - covered} 小时无有效读数（{spans} 段）"
    en = f"{hours - covered} of {hours} hours have no valid reading ({spans} spans)"
    if kind == "total":
        zh += "；累计量差值仍计入缺口期间的用量"
        en += "; the totaliser's difference still counts the use over inner gaps"
    return [Issue(IssueCode.COVERAGE, where, zh, en)]
