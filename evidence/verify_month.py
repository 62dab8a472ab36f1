"""Verification of a month (C2): chain, tree ranges, declarations, contents, sums, revisions, approvals.

Takes statements that have passed C1 each and checks what they must agree on. Whether the body follows from the
statements by the accounting rules is a recomputation and belongs to ``accounting.month.compose``.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

from evidence.bundle import facts_of
from evidence.encoding import canonical_json, parse_decimal, parse_time, time_text
from evidence.errors import Code, EvidenceError
from evidence.registry import KeyEntry
from evidence.roles import APPROVING_LEVELS, REVIEW_LEVELS
from evidence.segment import EXACT, entry_hour, hour_of
from evidence.statement import Statement
from evidence.verdict import Findings, Verdict

BODY = "body.json"
CLOCK_DRIFT = timedelta(minutes=1)
"""As far as wall clock and monotonic clock may part between two statements; a larger step is an event."""


@dataclass(frozen=True)
class Signed:
    """A statement that passed C1, with its signer and its place in the log (None: no receipt)."""

    statement: Statement
    signer: KeyEntry
    index: int | None

    @property
    def payload(self) -> Mapping[str, Any]:
        """The payload of the statement."""
        return self.statement.payload

    @property
    def sid(self) -> str:
        """The identity of the statement."""
        return self.statement.sid


def months_in_question(months: Sequence[Signed], content: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Return the (plant, period) pairs that a bundle is about.

    The chain of a gateway carries its other months along. A bundle is about those whose body it holds; if it
    holds none, about all, so that a body left out is missed.
    """
    held, named = set(), set()
    for month in months:
        scope = (month.statement.plant, str(month.payload["period"]))
        named.add(scope)
        if any(subject["name"] == BODY and subject["sha256"] in content for subject in month.payload["subjects"]):
            held.add(scope)
    return sorted(held or named)


def newest_revision(months: Sequence[Signed], findings: Findings) -> Signed | None:
    """Return the month statement that counts, checking that revisions form one line."""
    by_sid = {month.sid: month for month in months}
    followers: dict[str | None, list[Signed]] = {}
    for month in months:
        followers.setdefault(month.payload["supersedes"], []).append(month)
    for before, group in followers.items():
        if len(group) > 1:
            code = Code.PERIOD_DUPLICATE if before is None else Code.SUPERSEDE_FORK
            findings.add(
                code, f"{len(group)} statements for one revision of {group[0].payload['period']}", group[1].sid
            )
        elif before is not None and before in by_sid and by_sid[before].payload["rev"] + 1 != group[0].payload["rev"]:
            findings.add(Code.SUPERSEDE_FORK, "revisions do not count up by one", group[0].sid)
    return max(months, key=lambda month: (month.payload["rev"], month.sid), default=None)


def check_chain(cover: Mapping[str, Any], device: Sequence[Signed], findings: Findings) -> list[Signed]:
    """Check the part of a gateway's chain that a month stands on; return its segments in order."""
    name = f"{cover['gw']} epoch {cover['epoch']}"
    limits = (cover["first"], cover["last"])
    ends = {one.sid: one for one in device if one.sid in limits and one.statement.kind == "segment"}
    if cover["first"] not in ends or cover["last"] not in ends:
        findings.add(Code.SEGMENT_MISSING, f"first or last segment of {name} is not here", cover["last"])
        return []
    first, last = ends[cover["first"]].payload["seq"], ends[cover["last"]].payload["seq"]
    by_seq: dict[int, Signed] = {}
    for signed in sorted(device, key=lambda signed: (signed.payload["seq"], signed.sid)):
        seq = signed.payload["seq"]
        if seq in by_seq:
            findings.add(Code.FORK, f"two statements {seq} of {name}", signed.sid)
        by_seq.setdefault(seq, signed)
    missing = [seq for seq in range(first, last + 1) if seq not in by_seq]
    if missing:
        findings.add(Code.CHAIN_INCOMPLETE, f"{len(missing)} statements of {name} missing, first {missing[0]}")
    chain = [by_seq[seq] for seq in range(first, last + 1) if seq in by_seq]
    for before, after in itertools.pairwise(chain):
        _check_link(before, after, findings)
    segments = [signed for signed in chain if signed.statement.kind == "segment"]
    for before, after in itertools.pairwise(segments):
        gap = after.payload["tree"]["start"] - before.payload["tree"]["end"]
        if gap:
            code = Code.RANGE_GAP if gap > 0 else Code.RANGE_OVERLAP
            findings.add(code, f"{abs(gap)} readings between segments of {name}", after.sid)
    if not segments:
        findings.add(Code.SEGMENT_MISSING, f"no segment from first to last of {name}", cover["last"])
        return []
    claimed = (cover["start"], cover["end"], cover["root"], cover["n"])
    tree_first, tree_last = segments[0].payload["tree"], segments[-1].payload["tree"]
    if claimed != (tree_first["start"], tree_last["end"], tree_last["root"], len(segments)):
        findings.add(Code.SEGMENT_MISSING, f"cover of {name} is not what its segments cover", cover["last"])
    return segments


def _check_link(before: Signed, after: Signed, findings: Findings) -> None:
    old, new = before.payload, after.payload
    if new["seq"] != old["seq"] + 1:
        return
    if new["prev"] != before.sid:
        findings.add(Code.CHAIN_INCOMPLETE, f"statement {new['seq']} does not follow {old['seq']}", after.sid)
    if new["clk"]["boot"] == old["clk"]["boot"]:
        _check_clock(old, new, after.sid, findings)
    anchors = (old["anchor"], new["anchor"])
    if anchors[0] is not None and (anchors[1] is None or anchors[1]["size"] < anchors[0]["size"]):
        # Who signs the next statement knows at least the log that the one before knew: no delay explains this.
        words = "the anchor fell behind that of the statement before"
        findings.add(Code.ANCHOR_STALE, words, after.sid, Verdict.INVALID)


def _check_clock(old: Mapping[str, Any], new: Mapping[str, Any], sid: str, findings: Findings) -> None:
    """Within one boot the milliseconds rise, and the wall clock goes with them but for steps that are declared."""
    passed = timedelta(milliseconds=new["clk"]["mono"] - old["clk"]["mono"])
    if passed < timedelta(0):
        findings.add(Code.CLOCK_STEP_UNDECLARED, "the monotonic clock ran backwards within one boot", sid)
        return
    step = parse_time(new["t"]) - parse_time(old["t"]) - passed
    if abs(step) > CLOCK_DRIFT and not _is_declared(step, new):
        words = f"the wall clock jumped by {round(step.total_seconds())} s within one boot, and no event says so"
        findings.add(Code.CLOCK_STEP_UNDECLARED, words, sid)


def _is_declared(step: timedelta, new: Mapping[str, Any]) -> bool:
    """Tell whether a statement is the event of this very step, or says that the clock is not trusted from here on."""
    if new["kind"] != "event" or new["type"] != "clock-step":
        return False
    data = new["data"]
    try:
        stated = parse_time(data["after"]) - parse_time(data["before"])
    except (EvidenceError, KeyError, TypeError):
        return False
    return data.get("trusted") is False or abs(stated - step) <= CLOCK_DRIFT


def check_cover(
    month: Signed, ours: Sequence[Signed], declared_at: int | None, zone: ZoneInfo, findings: Findings
) -> None:
    """Check that the cover names no segment twice and leaves none out that was logged before the month was declared.

    Segments that came later are a supplement: they change nothing that was declared.
    """
    covers = month.payload["cover"]
    if len({(cover["gw"], cover["epoch"]) for cover in covers}) != len(covers):
        findings.add(Code.RANGE_OVERLAP, "the cover names one gateway and epoch twice", month.sid)
    ranges = {(cover["gw"], cover["epoch"]): (cover["start"], cover["end"]) for cover in covers}
    for one in ours:
        if one.statement.kind != "segment" or one.index is None or declared_at is None or one.index > declared_at:
            continue
        start, end = ranges.get((one.payload["gw"], one.payload["epoch"]), (0, 0))
        tree = one.payload["tree"]
        is_covered = start <= tree["start"] and tree["end"] <= end
        if not is_covered and _speaks_of(one, month.payload["period"], zone):
            findings.add(Code.SEGMENT_MISSING, "the cover leaves out a segment of the month", one.sid, Verdict.INVALID)


def check_hours(segment: Signed, zone: ZoneInfo, findings: Findings) -> None:
    """Check that each entry speaks of a whole hour of the plant's zone."""
    for entry in segment.payload["ch"]:
        hour = parse_time(entry_hour(entry, segment.payload["span"], zone))
        if hour_of(hour, zone) != hour:
            findings.add(Code.SCHEMA, f"{entry['id']}: {time_text(hour)} is not the start of an hour", segment.sid)


def _speaks_of(segment: Signed, period: str, zone: ZoneInfo) -> bool:
    hours = (parse_time(entry_hour(entry, segment.payload["span"], zone)) for entry in segment.payload["ch"])
    return any(f"{hour.astimezone(zone):%Y-%m}" == period for hour in hours)


def check_order(month: Signed, declares: Mapping[str, Signed], findings: Findings) -> None:
    """Check that the log took technician, responsible person and month in this order."""
    places = [(sid, declares[sid].index) for sid in month.payload["declared"] if sid in declares]
    places.append((month.sid, month.index))
    for (_, before), (sid, after) in itertools.pairwise(places):
        if before is not None and after is not None and before > after:
            findings.add(Code.DECLARE_ORDER, "logged before what it stands on", sid)


def units_changed(events: Iterable[Mapping[str, Any]]) -> frozenset[tuple[str, str]]:
    """Return the (gateway, channel) pairs that were declared with more than one unit or kind."""
    seen: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for event in events:
        if event["type"] == "config":
            data = event["data"]
            seen.setdefault((event["gw"], data["channel"]), set()).add((data["unit"], data["kind"]))
    return frozenset(key for key, measures in seen.items() if len(measures) > 1)


def check_declares(month: Signed, declares: Mapping[str, Signed], findings: Findings) -> None:
    """Check that technician and responsible person declared exactly what the month says."""
    sids = month.payload["declared"]
    missing = [sid for sid in sids if sid not in declares]
    for sid in missing:
        findings.add(Code.DECLARE_MISSING, f"declaration {sid[:12]} is not here", month.sid)
    if missing:
        return
    technician, responsible = (declares[sid] for sid in sids)
    roles = (technician.payload["role"], responsible.payload["role"])
    if roles != ("technician", "responsible") or responsible.payload["after"] != technician.sid:
        findings.add(Code.DECLARE_ORDER, "technician first, then the responsible person", month.sid)
    if technician.signer.owner_id == responsible.signer.owner_id:
        findings.add(Code.SEPARATION_OF_DUTY, "one person declared twice", month.sid)
    _check_month_anchor(month, (technician, responsible), findings)
    for declare in (technician, responsible):
        same = all(declare.payload[name] == month.payload[name] for name in ("plant", "period", "rev", "subjects"))
        if not same:
            findings.add(Code.DECLARE_MISMATCH, "declared something else than the month states", declare.sid)


def _check_month_anchor(month: Signed, declares: Sequence[Signed], findings: Findings) -> None:
    """A gateway that signs a month holds the receipts of its declarations, so it has seen a log that has them."""
    newest = max((declare.index for declare in declares if declare.index is not None), default=None)
    anchor = month.payload["anchor"]
    if newest is not None and anchor is not None and anchor["size"] <= newest:
        words = f"anchored to a log of {anchor['size']}, yet it names a declaration logged at {newest}"
        findings.add(Code.ANCHOR_STALE, words, month.sid)


def check_contents(owner: Signed, content: Mapping[str, bytes], findings: Findings) -> None:
    """Check that every file a statement lists is here with its size (its name is its digest)."""
    for subject in owner.payload["subjects"]:
        if subject["sha256"] not in content:
            findings.add(Code.CONTENT_MISSING, f"{subject['name']} is not here", owner.sid)
            continue
        size = facts_of(content, subject["sha256"]).size
        if size != subject["size"]:
            findings.add(Code.CONTENT_HASH, f"{subject['name']} has {size} bytes, not {subject['size']}", owner.sid)


def check_sums(
    month: Signed,
    segments: Sequence[Signed],
    body: bytes,
    zone: ZoneInfo,
    findings: Findings,
    changed: frozenset[tuple[str, str]] = frozenset(),
) -> None:
    """Check that the channels of the body are the sums of the segments' entries.

    Of channels in ``changed``, whose unit or kind did not stay the same, only the counts can be compared here.
    """
    try:
        stated = canonical_json(body)
        channels = {(entry["gw"], entry["id"]): entry for entry in stated["channels"]}
        if not all(isinstance(name, str) for key in channels for name in key):
            raise TypeError("a channel is not named by texts")
    except (EvidenceError, KeyError, TypeError) as error:
        findings.add(Code.PAYLOAD, f"{BODY} is not a body: {error}", month.sid)
        return
    if (stated.get("plant"), stated.get("period")) != (month.payload["plant"], month.payload["period"]):
        findings.add(Code.AGGREGATE_MISMATCH, "the body speaks of another plant or period", month.sid)
    if stated.get("cover") != month.payload["cover"]:
        findings.add(Code.AGGREGATE_MISMATCH, "the body stands on another cover than the month", month.sid)
    sums = channel_sums(segments, month.payload["period"], zone)
    for key in sorted(set(sums) | set(channels)):
        counted, entry = sums.get(key), channels.get(key)
        if counted is not None and entry is not None and key in changed:
            agrees = (entry.get("n"), entry.get("valid")) == (counted.n, counted.valid)
        else:
            agrees = counted is not None and entry is not None and counted.agrees(entry)
        if not agrees:
            findings.add(
                Code.AGGREGATE_MISMATCH, f"channel {key[1]} of {key[0]} is not the sum of its hours", month.sid
            )


@dataclass(frozen=True)
class ChannelSum:
    """Counts and exact totals of a channel over the segments of a month."""

    n: int
    valid: int
    sum: Decimal | None
    use: Decimal | None

    def agrees(self, entry: Mapping[str, Any]) -> bool:
        """Tell whether a body's channel entry states these figures."""
        try:
            figures = [None if entry.get(name) is None else parse_decimal(entry[name]) for name in ("sum", "use")]
        except (EvidenceError, TypeError):
            return False
        stated = (entry.get("n"), entry.get("valid"))
        if any(isinstance(count, bool) for count in stated):
            return False
        wanted = [self.use] if self.use is not None else [self.sum]
        return stated == (self.n, self.valid) and [figure for figure in figures if figure is not None] == [
            figure for figure in wanted if figure is not None
        ]


def channel_sums(segments: Sequence[Signed], period: str, zone: ZoneInfo) -> dict[tuple[str, str], ChannelSum]:
    """Add up the entries of segments whose hour lies in a month of the plant's zone."""
    totals: dict[tuple[str, str], ChannelSum] = {}
    with localcontext(EXACT):
        for segment in segments:
            for entry in segment.payload["ch"]:
                hour = parse_time(entry_hour(entry, segment.payload["span"], zone))
                if f"{hour.astimezone(zone):%Y-%m}" != period:
                    continue
                key = (segment.payload["gw"], entry["id"])
                old = totals.get(key, ChannelSum(0, 0, None, None))
                totals[key] = ChannelSum(
                    old.n + entry["n"],
                    old.valid + entry["valid"],
                    _plus(old.sum, entry.get("sum")),
                    _plus(old.use, entry.get("use")),
                )
    return totals


def check_reviews(
    month: Signed, reviews: Sequence[Signed], findings: Findings, declarers: Iterable[str] = ()
) -> dict[str, str]:
    """Check the line of reviews of a month; return the decision that stands at each level.

    ``declarers`` are the owners of the declaring keys, who may not review their own month.
    """
    standing: dict[str, Signed] = {}
    ordered = sorted(reviews, key=lambda review: (review.index is None, review.index or 0, review.sid))
    for review in ordered:
        if review.payload["subject"] == month.sid:
            standing[review.payload["level"]] = review
    previous = month
    people: dict[str, str] = dict.fromkeys(declarers, "plant")
    for level in APPROVING_LEVELS:
        here = standing.get(level)
        if here is None or here.payload["decision"] != "approve" or here.payload["after"] != previous.sid:
            said = "no approval" if here is None else f"{here.payload['decision']!r}, or approved out of order,"
            findings.add(Code.NOT_APPROVED, f"{said} at {level} level for this revision", month.sid)
            break
        if here.index is not None and previous.index is not None and here.index < previous.index:
            findings.add(Code.NOT_APPROVED, f"{level} decided before what it decides on was logged", here.sid)
        if here.signer.owner_id in people:
            findings.add(Code.SEPARATION_OF_DUTY, f"one person at {people[here.signer.owner_id]} and {level}", here.sid)
        people[here.signer.owner_id] = level
        previous = here
    nation = standing.get("nation")
    if nation is not None and nation.payload["decision"] in ("return", "reject"):
        findings.add(Code.NOT_APPROVED, f"{nation.payload['decision']!r} at nation level", nation.sid)
    if nation is not None and nation.signer.owner_id in people:
        words = f"one person at {people[nation.signer.owner_id]} and nation"
        findings.add(Code.SEPARATION_OF_DUTY, words, nation.sid)
    return {level: standing[level].payload["decision"] for level in REVIEW_LEVELS if level in standing}


def _plus(total: Decimal | None, text: str | None) -> Decimal | None:
    if text is None:
        return total
    return parse_decimal(text) + (total or 0)
