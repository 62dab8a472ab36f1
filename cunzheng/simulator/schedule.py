"""Turns dials at their time, once or again and again, and has the journal note each fault from its start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any

from .dials import Dials
from .hj212_logger import LoggerDials
from .journal import Journal

AnyDials = Dials | LoggerDials


@dataclass(frozen=True)
class TimedFault:
    """At `at_s` after the start a device has dials turned, for `for_s` (0: to the end), every `every_s` (0: once)."""

    device: str
    dials: Mapping[str, Any]
    at_s: float
    for_s: float = 0.0
    every_s: float = 0.0


async def run_schedule(faults: Iterable[TimedFault], dials: Mapping[str, AnyDials], journal: Journal) -> None:
    """Turn every dial when its time comes; what is still turned at the end is noted as ended then."""
    chosen = list(faults)
    standing = [{name: getattr(dials[one.device], name) for name in one.dials} for one in chosen]
    pairs = zip(chosen, standing, strict=True)
    await asyncio.gather(*(_one(fault, dials[fault.device], before, journal) for fault, before in pairs))


async def _one(fault: TimedFault, dials: AnyDials, before: Mapping[str, Any], journal: Journal) -> None:
    """Turn the dials of one fault, and back to where they stood `before` the first: also when faults overlap."""
    start = asyncio.get_running_loop().time()
    due = start + fault.at_s
    while True:
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        began = datetime.now(UTC)
        for name, value in fault.dials.items():
            setattr(dials, name, value)
        journal.note(fault.device, "fault-start", {"dials": dict(fault.dials)})
        try:
            rest = due + fault.for_s - asyncio.get_running_loop().time()
            await (asyncio.sleep(max(0.0, rest)) if fault.for_s else asyncio.Event().wait())
        finally:
            for name, value in before.items():
                setattr(dials, name, value)
            journal.note(fault.device, "fault-end", {"dials": dict(fault.dials), "from": began})
        if not fault.every_s:
            return
        due += fault.every_s


def turned(dials: AnyDials) -> dict[str, Any]:
    """Name the dials that do not stand where they stand at first."""
    untouched = type(dials)()
    return {
        one.name: getattr(dials, one.name)
        for one in fields(dials)
        if not one.name.startswith("_") and getattr(dials, one.name) != getattr(untouched, one.name)
    }
