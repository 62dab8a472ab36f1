"""Disclosed readings of a bundle: each leads to the root that a segment signed, and whole hours are recomputed."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from evidence.case import Case
from evidence.declared_channels import channels_before
from evidence.disclosure import Disclosure
from evidence.encoding import decimal_text, time_text
from evidence.errors import Code, EvidenceError
from evidence.merkle import leaf_hash
from evidence.reading import Leaf
from evidence.recount import SegmentRecount


def check_readings(case: Case) -> None:
    """Each disclosed reading belongs to its segment; a segment that is disclosed whole is recomputed."""
    shown: dict[str, dict[int, Leaf]] = {}
    segments = {one.sid: one.payload for one in case.of_kind("segment")}
    for name in sorted(case.bundle.readings):
        case.counts["readings"] += 1
        with case.examining("reading"):
            disclosure, leaf = _disclosed(name, case.bundle.readings[name], segments)
            shown.setdefault(disclosure.segment, {})[leaf.index] = leaf
            hashed = leaf_hash(disclosure.line.encode("utf-8"))
            case.shown.setdefault((disclosure.gw, disclosure.epoch), {})[leaf.index] = hashed
            if case.is_of_readings:
                case.subject.update(_subject(leaf, segments[disclosure.segment]))
    for sid, leaves in sorted(shown.items()):
        tree = segments[sid]["tree"]
        if len(leaves) == tree["end"] - tree["start"]:
            recount = recount_of(case, segments[sid])
            recount.add([leaves[index] for index in sorted(leaves)])
            judge_recount(case, sid, recount)


def recount_of(case: Case, segment: Mapping[str, Any]) -> SegmentRecount:
    """Begin to recompute a segment, by the channels that its gateway had declared before."""
    zone = ZoneInfo(case.trust.registry.plant(segment["plant"]).zone)
    return SegmentRecount(segment, channels_before(segment, [one.payload for one in case.of_kind("event")]), zone)


def judge_recount(case: Case, sid: str, recount: SegmentRecount) -> None:
    """Compare a segment with what all its readings say."""
    case.counts["hours"] += 1
    with case.examining("recount", sid):
        for words in recount.differences():
            case.findings.add(Code.AGGREGATE_MISMATCH, words, sid)


def _disclosed(name: str, data: bytes, segments: Mapping[str, Mapping[str, Any]]) -> tuple[Disclosure, Leaf]:
    try:
        disclosure = Disclosure.from_bytes(data)
        if disclosure.name != name:
            raise EvidenceError(Code.INDEX_MISMATCH, f"file {name} holds reading {disclosure.name}")
        if disclosure.segment not in segments:
            raise EvidenceError(Code.LEAF_MISMATCH, f"segment of reading {name} is not here")
        return disclosure, disclosure.verify(segments[disclosure.segment])
    except EvidenceError as error:
        raise EvidenceError(error.code, f"reading {name}: {error.detail}", error.sid) from error


def _subject(leaf: Leaf, segment: Mapping[str, Any]) -> dict[str, str]:
    """What a bundle is about that discloses readings only: the last of them."""
    value = "" if leaf.value is None else decimal_text(leaf.value)
    said = {"channel": leaf.channel, "time": time_text(leaf.time), "value": value, "unit": leaf.unit}
    return {"plant": segment["plant"], "gw": segment["gw"], **said, "flag": leaf.flag.value}
