"""The facts of the status page as Prometheus text (exposition format 0.0.4).

Written by hand: of prometheus_client only its text writer would be used, because every figure here is read afresh.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gateway.device_report import DeviceReport
from gateway.page_facts import VERSION, Facts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX = "cunzheng_gateway_"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
_COUNTERS: Mapping[str, str] = {
    "polls": "Polls of the device.",
    "requests": "Requests sent to the device.",
    "answers": "Answers taken.",
    "timeouts": "Requests without an answer in time.",
    "checksum_errors": "Answers with a wrong check sum.",
    "mismatched_answers": "Answers that did not belong to the request.",
    "late_answers": "Answers that came too late and were thrown away.",
    "lost_connections": "Connections that ended while an answer was awaited.",
    "refused_connections": "Connections that could not be made.",
    "reconnects": "Connections made anew on the device's line.",
}

Sample = tuple[Mapping[str, str], float | int]


def metrics_text(facts: Facts) -> str:
    """Write every metric."""
    return "".join(f"{line}\n" for line in _lines(facts))


def _lines(facts: Facts) -> Iterator[str]:
    vitals = facts.vitals
    info = {"version": VERSION, "gateway": facts.gateway, "plant": facts.plant, "epoch": str(facts.epoch)}
    yield from _metric("info", "gauge", "Who this is.", [(info, 1)])
    yield from _metric("outbox_waiting", "gauge", "Statements that wait for the centre.", [({}, facts.waiting)])
    oldest = facts.age(facts.oldest)
    seconds = 0.0 if oldest is None else oldest.total_seconds()
    yield from _metric("outbox_oldest_age_seconds", "gauge", "Age of the oldest that waits.", [({}, seconds)])
    yield from _metric("outbox_refused", "gauge", "Statements the centre will never have.", [({}, facts.refused)])
    if vitals.synced is not None:
        stamp = vitals.synced.timestamp()
        yield from _metric("last_sync_timestamp_seconds", "gauge", "When the centre last answered.", [({}, stamp)])
    yield from _metric("tree_size", "gauge", "Readings in the tree of this epoch.", [({}, facts.tree_size)])
    waiting = vitals.uncommitted
    yield from _metric("readings_uncommitted", "gauge", "Readings in memory, not committed yet.", [({}, waiting)])
    read = [one for one in facts.channels if one.time is not None]
    times = [({"channel": one.channel}, one.time.timestamp()) for one in read if one.time is not None]
    yield from _metric("reading_timestamp_seconds", "gauge", "Time of a channel's newest reading.", times)
    valid: list[Sample] = [({"channel": one.channel}, int(one.flag == "N")) for one in read]
    yield from _metric("reading_valid", "gauge", "Whether that reading counts.", valid)
    found: list[Sample] = [({"rule": rule}, n) for rule, n in facts.quality.items()]
    yield from _metric("quality_findings_total", "counter", "Readings that broke a rule.", found)
    yield from _device_metrics(vitals.devices)
    is_synchronised = int(facts.clock.src != "none")
    yield from _metric("clock_synchronised", "gauge", "Whether the clock is disciplined.", [({}, is_synchronised)])
    yield from _metric("clock_offset_seconds", "gauge", "How far it is off.", [({}, facts.clock.off_ms / 1_000)])
    yield from _metric("disk_free_bytes", "gauge", "Free on the disk of the data folder.", [({}, facts.disk_free)])
    yield from _metric("disk_size_bytes", "gauge", "Size of that disk.", [({}, facts.disk_total)])
    if vitals.disk is not None:
        yield from _metric("data_bytes", "gauge", "What the data folder takes.", [({}, vitals.disk.used)])
    if facts.budget is not None:
        yield from _metric("data_budget_bytes", "gauge", "What it may take.", [({}, facts.budget)])
    wrong: list[Sample] = [({"key": one.key}, 1) for one in facts.problems]
    yield from _metric("problem", "gauge", "A problem that a person must look at.", wrong)


def _device_metrics(devices: Iterable[DeviceReport]) -> Iterator[str]:
    reports = [({"device": one.device, "line": one.line}, one) for one in devices]
    failing: list[Sample] = [(labels, one.failures) for labels, one in reports]
    yield from _metric("device_failures", "gauge", "Polls in a row without any answer.", failing)
    refused: list[Sample] = [(labels, len(one.refused)) for labels, one in reports]
    yield from _metric("device_refused_requests", "gauge", "Requests that the device refuses.", refused)
    for name, about in _COUNTERS.items():
        counts: list[Sample] = [(labels, getattr(one, name)) for labels, one in reports]
        yield from _metric(f"device_{name}_total", "counter", about, counts)


def _metric(name: str, kind: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} {about}"
    yield f"# TYPE {_PREFIX}{name} {kind}"
    for labels, value in samples:
        said = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels.items())
        yield f"{_PREFIX}{name}{{{said}}} {value!r}" if said else f"{_PREFIX}{name} {value!r}"
