"""Disclosed readings of a bundle: each leads to the root that a segment signed, and whole hours are recomputed."""

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from evidence.case import Case
from evidence.declared_channels import channels_before
from evidence.disclosure import Disclosure
from evidence.encoding import time_text
from evidence.errors import Code, EvidenceError
from evidence.reading import Leaf
from evidence.segment import entry_agrees, entry_hour, hour_of_leaf


def check_readings(case: Case) -> None:
    """Each disclosed reading belongs to its segment; a segment that is disclosed whole is recomputed."""
    shown: dict[str, dict[int, Leaf]] = {}
    segments = {one.sid: one.payload for one in case.of_kind("segment")}
    for name in sorted(case.bundle.readings):
        case.counts["readings"] += 1
        with case.examining("reading"):
            leaf, segment = _disclosed(name, case.bundle.readings[name], segments)
            shown.setdefault(segment, {})[leaf.index] = leaf
    for sid, leaves in sorted(shown.items()):
        tree = segments[sid]["tree"]
        if len(leaves) == tree["end"] - tree["start"]:
            case.counts["hours"] += 1
            with case.examining("recount", sid):
                _check_entries(case, sid, segments[sid], [leaves[index] for index in sorted(leaves)])


def _disclosed(name: str, data: bytes, segments: Mapping[str, Mapping[str, Any]]) -> tuple[Leaf, str]:
    try:
        disclosure = Disclosure.from_bytes(data)
        if disclosure.name != name:
            raise EvidenceError(Code.INDEX_MISMATCH, f"file {name} holds reading {disclosure.name}")
        if disclosure.segment not in segments:
            raise EvidenceError(Code.LEAF_MISMATCH, f"segment of reading {name} is not here")
        return disclosure.verify(segments[disclosure.segment]), disclosure.segment
    except EvidenceError as error:
        raise EvidenceError(error.code, f"reading {name}: {error.detail}", error.sid) from error


def _check_entries(case: Case, sid: str, segment: Mapping[str, Any], leaves: Sequence[Leaf]) -> None:
    """Recompute the entries of a segment all of whose readings are disclosed."""
    zone = ZoneInfo(case.trust.registry.plant(segment["plant"]).zone)
    channels = channels_before(segment, [one.payload for one in case.of_kind("event")])
    groups: dict[tuple[str, str], list[Leaf]] = {}
    for leaf in leaves:
        if leaf.channel not in channels:
            words = f"channel {leaf.channel} was not declared before its reading"
            case.findings.add(Code.AGGREGATE_MISMATCH, words, sid)
            return
        hour = time_text(hour_of_leaf(leaf, channels[leaf.channel].kind, zone))
        groups.setdefault((hour, leaf.channel), []).append(leaf)
    entries = {(entry_hour(entry, segment["span"], zone), str(entry["id"])): entry for entry in segment["ch"]}
    for key in sorted(set(groups) | set(entries)):
        if key not in groups or key not in entries or not entry_agrees(entries[key], groups[key], channels[key[1]]):
            words = f"channel {key[1]} in {key[0]} is not what its readings say"
            case.findings.add(Code.AGGREGATE_MISMATCH, words, sid)
