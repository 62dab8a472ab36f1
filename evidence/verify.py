"""Verification of a bundle against a trust file: offline, in a fixed order, every finding named.

Order: container and index, each statement (C1) with its receipt, each month (C2), contents, disclosed readings,
age of the trust file. No network, no file, no clock: the moment is an argument.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from evidence.blocking import check_reason
from evidence.bundle import Bundle
from evidence.channel import Channel
from evidence.disclosure import Disclosure
from evidence.encoding import sha256_hex, time_text
from evidence.errors import Code, EvidenceError
from evidence.reading import Leaf
from evidence.receipt import Receipt
from evidence.segment import entry_agrees, entry_hour, hour_of_leaf
from evidence.trust import Trust
from evidence.verdict import Findings, Report, Verdict
from evidence.verify_month import (
    BODY,
    Signed,
    check_chain,
    check_contents,
    check_cover,
    check_declares,
    check_hours,
    check_order,
    check_reviews,
    check_sums,
    months_in_question,
    newest_revision,
    units_changed,
)
from evidence.verify_statement import verify_logged, verify_statement

STALE_TRUST_TOLERANCE = timedelta(days=30)
"""How long after its expiry a trust file still gives answers, with a warning."""


def verify_bundle(bundle: Bundle, trust: Trust, now: datetime) -> Report:
    """Check a whole bundle and report every finding; never raises for bad evidence."""
    findings = Findings()
    counts: Counter[str] = Counter()
    subject: dict[str, str] = {}
    if bundle.index is None:
        findings.add(Code.BUNDLE_FORMAT, "index.json is missing")
    elif bundle.index != bundle.expected_index():
        findings.add(Code.BUNDLE_FORMAT, "index.json does not fit the files")
    signed = _check_statements(bundle, trust, now, findings, counts)
    months = [one for one in signed if one.statement.kind == "month"]
    for plant, period in months_in_question(months, bundle.content):
        here = [month for month in months if (month.statement.plant, month.payload["period"]) == (plant, period)]
        month = newest_revision(here, findings)
        assert month is not None  # the group has at least one member
        _check_month(month, signed, bundle.content, trust, findings, subject)
        counts["months"] += 1
    if not months:
        findings.add(
            Code.CHAIN_INCOMPLETE, "no month statement of good standing in the bundle", None, Verdict.INDETERMINATE
        )
    _check_content_names(bundle, signed, findings, counts)
    _check_readings(bundle, signed, trust, findings, counts)
    for sid in sorted(bundle.sm2):
        findings.add(Code.CONTENT_EXTRA, "a second signature that no plant's policy asks for", sid)
    _check_age(trust, now, findings)
    return Report(findings.all(), dict(counts), trust.issued, trust.size, subject)


def _check_statements(
    bundle: Bundle, trust: Trust, now: datetime, findings: Findings, counts: Counter[str]
) -> list[Signed]:
    good = []
    for name, data in sorted(bundle.statements.items()):
        counts["statements"] += 1
        try:
            statement, entry = verify_statement(_ascii(data, Code.ENCODING), trust.registry)
            if statement.sid != name:
                raise EvidenceError(Code.BUNDLE_FORMAT, f"file {name[:12]} holds statement {statement.sid[:12]}", name)
        except EvidenceError as error:
            findings.catch(error, name)
            if error.sid is not None and error.sid != name:
                findings.add(Code.BUNDLE_FORMAT, f"file {name[:12]} holds statement {error.sid[:12]}", name)
            continue
        index = None
        try:
            if name not in bundle.proofs:
                raise EvidenceError(Code.NOT_LOGGED, "no receipt", name)
            receipt = Receipt.from_text(_utf8(bundle.proofs[name]))
            verify_logged(statement, entry, receipt, trust, now)
            index = receipt.index
            counts["receipts"] += 1
        except EvidenceError as error:
            findings.catch(error, name)
        good.append(Signed(statement, entry, index))
    for name in sorted(set(bundle.proofs) - set(bundle.statements)):
        findings.add(Code.BUNDLE_FORMAT, f"receipt {name[:12]} without its statement", name)
    taken: dict[int, str] = {}
    for one in good:
        if one.index is not None and taken.setdefault(one.index, one.sid) != one.sid:
            findings.add(Code.LOG_EQUIVOCATION, f"two statements at log index {one.index}", one.sid)
    return good


def _check_month(
    month: Signed,
    signed: Sequence[Signed],
    content: Mapping[str, bytes],
    trust: Trust,
    findings: Findings,
    subject: dict[str, str],
) -> None:
    plant = trust.registry.plant(month.statement.plant)
    zone = ZoneInfo(plant.zone)
    ours = [one for one in signed if one.statement.plant == plant.id]
    segments: list[Signed] = []
    for cover in month.payload["cover"]:
        device = [
            one for one in ours if (one.payload.get("gw"), one.payload.get("epoch")) == (cover["gw"], cover["epoch"])
        ]
        segments += check_chain(cover, device, findings)
    declares = {one.sid: one for one in ours if one.statement.kind == "declare"}
    check_declares(month, declares, findings)
    check_order(month, declares, findings)
    declaring = [declares[sid] for sid in month.payload["declared"] if sid in declares]
    check_cover(month, ours, declaring[0].index if declaring else None, zone, findings)
    for segment in segments:
        check_hours(segment, zone, findings)
    _check_declared(segments, ours, findings)
    check_contents(month, content, findings)
    for one in ours:
        if one.statement.kind in ("ledger", "lab"):
            check_contents(one, content, findings)
    first = month.payload["subjects"][0]
    if first["name"] != BODY:
        findings.add(Code.DECLARE_MISMATCH, f"the first subject is {first['name']}, not {BODY}", month.sid)
    elif first["sha256"] in content:
        changed = units_changed(one.payload for one in ours if one.statement.kind == "event")
        check_sums(month, segments, content[first["sha256"]], zone, findings, changed)
        check_reason(declaring, content[first["sha256"]], findings)
    reviews = [one for one in ours if one.statement.kind == "review"]
    decisions = check_reviews(month, reviews, findings, {one.signer.owner_id for one in declaring})
    _check_reports(month, reviews, content, findings)
    subject.update(plant=plant.id, period=month.payload["period"], rev=str(month.payload["rev"]), month=month.sid)
    subject.update(dict(decisions.items()))


def _check_declared(segments: Iterable[Signed], ours: Sequence[Signed], findings: Findings) -> None:
    """Each channel of a segment was declared before by a `config` event, which belongs to the evidence."""
    events = [one.payload for one in ours if one.statement.kind == "event"]
    asked: set[tuple[str, int, str]] = set()
    for segment in segments:
        chain = (str(segment.payload["gw"]), int(segment.payload["epoch"]))
        new = {(*chain, str(entry["id"])) for entry in segment.payload["ch"]} - asked
        asked |= new
        declared = channels_before(segment.payload, events) if new else {}
        for _, _, name in sorted(new):
            if name not in declared:
                detail = f"the declaration of channel {name} is not here"
                findings.add(Code.CHAIN_INCOMPLETE, detail, segment.sid, Verdict.INDETERMINATE)


def _check_reports(month: Signed, reviews: Iterable[Signed], content: Mapping[str, bytes], findings: Findings) -> None:
    """What a reviewer looked at belongs to the evidence."""
    for review in reviews:
        if review.payload["subject"] == month.sid and review.payload["report"] not in content:
            findings.add(Code.CONTENT_MISSING, "the report that this review stands on is not here", review.sid)


def _check_content_names(bundle: Bundle, signed: Sequence[Signed], findings: Findings, counts: Counter[str]) -> None:
    listed = {subject["sha256"] for one in signed for subject in _subjects(one)}
    listed |= {one.payload["report"] for one in signed if one.statement.kind == "review"}
    for name, data in sorted(bundle.content.items()):
        counts["contents"] += 1
        if sha256_hex(data) != name:
            findings.add(Code.CONTENT_HASH, f"content {name[:12]} has other bytes than its name says")
        elif name not in listed:
            findings.add(Code.CONTENT_EXTRA, f"content {name[:12]} is listed by no statement")


def _check_readings(
    bundle: Bundle, signed: Sequence[Signed], trust: Trust, findings: Findings, counts: Counter[str]
) -> None:
    shown: dict[str, dict[int, Leaf]] = {}
    segments = {one.sid: one.payload for one in signed if one.statement.kind == "segment"}
    for name, data in sorted(bundle.readings.items()):
        counts["readings"] += 1
        try:
            disclosure = Disclosure.from_bytes(data)
            if disclosure.name != name:
                raise EvidenceError(Code.INDEX_MISMATCH, f"file {name} holds reading {disclosure.name}")
            if disclosure.segment not in segments:
                raise EvidenceError(Code.LEAF_MISMATCH, f"segment of reading {name} is not here")
            leaf = disclosure.verify(segments[disclosure.segment])
            shown.setdefault(disclosure.segment, {})[leaf.index] = leaf
        except EvidenceError as error:
            findings.catch(EvidenceError(error.code, f"reading {name}: {error.detail}", error.sid))
    for sid, leaves in sorted(shown.items()):
        tree = segments[sid]["tree"]
        if len(leaves) == tree["end"] - tree["start"]:
            counts["hours"] += 1
            _check_entries(sid, segments[sid], [leaves[index] for index in sorted(leaves)], signed, trust, findings)


def _check_entries(
    sid: str,
    segment: Mapping[str, Any],
    leaves: Sequence[Leaf],
    signed: Sequence[Signed],
    trust: Trust,
    findings: Findings,
) -> None:
    """Recompute the entries of a segment all of whose readings are disclosed."""
    zone = ZoneInfo(trust.registry.plant(segment["plant"]).zone)
    channels = channels_before(segment, [one.payload for one in signed if one.statement.kind == "event"])
    groups: dict[tuple[str, str], list[Leaf]] = {}
    for leaf in leaves:
        if leaf.channel not in channels:
            findings.add(Code.AGGREGATE_MISMATCH, f"channel {leaf.channel} was not declared before its reading", sid)
            return
        hour = time_text(hour_of_leaf(leaf, channels[leaf.channel].kind, zone))
        groups.setdefault((hour, leaf.channel), []).append(leaf)
    entries = {(entry_hour(entry, segment["span"], zone), str(entry["id"])): entry for entry in segment["ch"]}
    for key in sorted(set(groups) | set(entries)):
        if key not in groups or key not in entries or not entry_agrees(entries[key], groups[key], channels[key[1]]):
            findings.add(Code.AGGREGATE_MISMATCH, f"channel {key[1]} in {key[0]} is not what its readings say", sid)


def channels_before(segment: Mapping[str, Any], events: Iterable[Mapping[str, Any]]) -> dict[str, Channel]:
    """Return the channels as their gateway had declared them when it signed a segment."""
    declared: dict[str, tuple[int, Channel]] = {}
    for event in events:
        if event["type"] != "config" or (event["gw"], event["epoch"]) != (segment["gw"], segment["epoch"]):
            continue
        channel, seq = Channel.from_config(event["data"]), int(event["seq"])
        if seq < segment["seq"] and seq > declared.get(channel.id, (0, channel))[0]:
            declared[channel.id] = (seq, channel)
    return {name: channel for name, (_, channel) in declared.items()}


def _check_age(trust: Trust, now: datetime, findings: Findings) -> None:
    if now <= trust.expires:
        return
    grade = Verdict.VALID_WITH_WARNINGS if now <= trust.expires + STALE_TRUST_TOLERANCE else Verdict.INDETERMINATE
    findings.add(Code.TRUST_STALE, f"trust file expired {trust.expires:%Y-%m-%d}", None, grade)


def _subjects(signed: Signed) -> list[Mapping[str, str]]:
    subjects = signed.payload.get("subjects", [])
    return [subject for subject in subjects if isinstance(subject, dict)]


def _ascii(data: bytes, code: Code) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise EvidenceError(code, f"byte {error.start} is not ASCII") from error


def _utf8(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EvidenceError(Code.CHECKPOINT_FORMAT, f"byte {error.start} is not UTF-8") from error
