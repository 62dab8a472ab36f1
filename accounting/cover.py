"""Which segments a month stands on: ranges of the gateways' trees, derived or given.

A range covers every segment between the first and the last one that speaks of the month, the others
between them included, so that it can be checked for holes. Only entries of the month are counted later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounting.errors import CoverError
from accounting.issues import Issue, IssueCode
from accounting.period import Month
from evidence.encoding import parse_time
from evidence.segment import entry_hour
from evidence.statement import Statement


@dataclass(frozen=True)
class CoverRange:
    """The part of one gateway's epoch that a month stands on."""

    gw: str
    epoch: int
    start: int
    end: int
    root: str
    first: str
    last: str
    n: int

    def to_json(self) -> dict[str, Any]:
        """The range as body and month statement carry it."""
        return {
            "gw": self.gw,
            "epoch": self.epoch,
            "start": self.start,
            "end": self.end,
            "root": self.root,
            "first": self.first,
            "last": self.last,
            "n": self.n,
        }

    def holds(self, segment: Statement) -> bool:
        """Tell whether a segment lies in the range."""
        payload = segment.payload
        return bool(
            payload["gw"] == self.gw
            and payload["epoch"] == self.epoch
            and self.start <= payload["tree"]["start"]
            and payload["tree"]["end"] <= self.end
        )


@dataclass(frozen=True)
class Covered:
    """The ranges of a month and the segments in them, ordered by gateway, epoch and sequence."""

    ranges: tuple[CoverRange, ...]
    segments: tuple[Statement, ...]


def month_entries(segment: Statement, month: Month) -> list[tuple[datetime, Mapping[str, Any]]]:
    """Return a segment's entries that speak of an hour of the month, with that hour."""
    payload = segment.payload
    entries = []
    for entry in payload["ch"]:
        hour = parse_time(entry_hour(entry, payload["span"], month.zone))
        if month.holds(hour):
            entries.append((hour, entry))
    return entries


def derive_cover(segments: Iterable[Statement], month: Month) -> Covered:
    """Cover all segments that speak of the month, and those between them."""
    found: list[CoverRange] = []
    kept: list[Statement] = []
    for (gw, epoch), chain in _by_epoch(segments).items():
        speaking = [segment for segment in chain if month_entries(segment, month)]
        if not speaking:
            continue
        start = min(segment.payload["tree"]["start"] for segment in speaking)
        end = max(segment.payload["tree"]["end"] for segment in speaking)
        inside = [s for s in chain if start <= s.payload["tree"]["start"] and s.payload["tree"]["end"] <= end]
        found.append(_range(gw, epoch, inside))
        kept.extend(inside)
    return Covered(tuple(found), tuple(kept))


def take_cover(segments: Iterable[Statement], cover: Sequence[Mapping[str, Any]]) -> Covered:
    """Take exactly the segments that a cover names.

    Raises:
        CoverError: a range is not what the segments at hand are.
    """
    wanted = sorted((CoverRange(**entry) for entry in cover), key=lambda one: (one.gw, one.epoch))
    chains = _by_epoch(segments)
    kept: list[Statement] = []
    for one in wanted:
        inside = [segment for segment in chains.get((one.gw, one.epoch), []) if one.holds(segment)]
        if not inside or _range(one.gw, one.epoch, inside) != one:
            raise CoverError(
                f"gateway {one.gw} epoch {one.epoch}: the cover names {one.n} segments, {len(inside)} are at hand "
                "or they differ; obtain the missing statements",
                f"网关 {one.gw} 第 {one.epoch} 期：覆盖范围含 {one.n} 个时段存证，"
                f"现有 {len(inside)} 个或内容不一致；请补齐存证",
            )
        kept.extend(inside)
    return Covered(tuple(wanted), tuple(kept))


def hole_issues(covered: Covered) -> list[Issue]:
    """Report where segments between the first and the last are not at hand."""
    issues = []
    for one in covered.ranges:
        expected, holes = one.start, 0
        for segment in covered.segments:
            if one.holds(segment):
                holes += segment.payload["tree"]["start"] != expected
                expected = segment.payload["tree"]["end"]
        if holes:
            issues.append(
                Issue(
                    IssueCode.SEGMENT_MISSING,
                    f"{one.gw}/{one.epoch}",
                    f"时段存证不连续，缺 {holes} 处",
                    f"hourly segments are not contiguous: {holes} holes",
                )
            )
    return issues


def supplement_issues(covered: Covered, months: Iterable[Statement], month: Month) -> list[Issue]:
    """Report segments that speak of the month and came after an earlier revision of it."""
    issues = []
    for earlier in months:
        ranges = [CoverRange(**entry) for entry in earlier.payload["cover"]]
        added = [
            segment
            for segment in covered.segments
            if not any(one.holds(segment) for one in ranges) and month_entries(segment, month)
        ]
        if added:
            revision = earlier.payload["rev"]
            issues.append(
                Issue(
                    IssueCode.SUPPLEMENT,
                    f"revision {revision}",
                    f"第 {revision} 版之后补充了 {len(added)} 个时段存证",
                    f"{len(added)} segments were added after revision {revision}",
                )
            )
    return issues


def _by_epoch(segments: Iterable[Statement]) -> dict[tuple[str, int], list[Statement]]:
    ordered = sorted(segments, key=lambda s: (s.payload["gw"], s.payload["epoch"], s.payload["seq"], s.sid))
    chains: dict[tuple[str, int], list[Statement]] = {}
    for segment in ordered:
        chains.setdefault((segment.payload["gw"], segment.payload["epoch"]), []).append(segment)
    return chains


def _range(gw: str, epoch: int, inside: Sequence[Statement]) -> CoverRange:
    first, last = inside[0], inside[-1]
    tree = last.payload["tree"]
    start = first.payload["tree"]["start"]
    return CoverRange(gw, epoch, start, tree["end"], tree["root"], first.sid, last.sid, len(inside))
