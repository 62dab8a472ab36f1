"""The months of a bundle (C2): which ones it is about, and what is checked of each, in order.

What each check asks for stands in `verify_month.py`, which the gateway and the centre use as well; here it is done to
a bundle and counted.
"""

from collections.abc import Callable, Sequence

from evidence.blocking import check_reason
from evidence.case import Case, MonthCase
from evidence.channel import Channel
from evidence.declared_channels import channels_before
from evidence.errors import Code
from evidence.verdict import Verdict
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


def check_months(case: Case) -> None:
    """Check every month that the bundle is about."""
    months = case.of_kind("month")
    for plant, period in months_in_question(months, case.bundle.content):
        here = [month for month in months if (month.statement.plant, month.payload["period"]) == (plant, period)]
        with case.examining("revision", things=len(here)):
            month = newest_revision(here, case.findings)
            _check_line(case, here, months)
        assert month is not None  # the group has at least one member
        entry = case.trust.registry.plant(month.statement.plant)
        one = MonthCase(month, entry, [signed for signed in case.signed if signed.statement.plant == entry.id])
        case.subject.update(plant=entry.id, period=period, rev=str(month.payload["rev"]), month=month.sid)
        for check in MONTH_CHECKS:
            check(case, one)
        case.counts["months"] += 1
    if not months and not case.is_of_readings:
        words = "no month statement of good standing in the bundle"
        case.findings.add(Code.CHAIN_INCOMPLETE, words, None, Verdict.INDETERMINATE)


def _check_line(case: Case, here: Sequence[Signed], months: Sequence[Signed]) -> None:
    """What a revision supersedes is the revision before it, and what it names as the month before is one."""
    by_rev = {month.payload["rev"]: month.sid for month in here}
    by_sid = {month.sid: month for month in months}
    for month in here:
        payload = month.payload
        before = by_rev.get(payload["rev"] - 1)
        if payload["supersedes"] is not None and payload["supersedes"] not in by_rev.values():
            if before is None:
                words = "the revision that it supersedes is not here"
                case.findings.add(Code.CHAIN_INCOMPLETE, words, month.sid, Verdict.INDETERMINATE)
            else:
                case.findings.add(Code.SUPERSEDE_FORK, "it supersedes another revision than the one here", month.sid)
        previous = by_sid.get(payload["prev_month"] or "")
        if previous is not None and (
            previous.statement.plant != month.statement.plant or previous.payload["period"] >= payload["period"]
        ):
            words = "what it names as the month before is no earlier month of the plant"
            case.findings.add(Code.CHAIN_INCOMPLETE, words, month.sid)


def check_gateway_chains(case: Case, one: MonthCase) -> None:
    """The statements of each gateway that the month covers follow each other, and so do their readings."""
    for cover in one.month.payload["cover"]:
        gateway = (cover["gw"], cover["epoch"])
        device = [signed for signed in one.ours if (signed.payload.get("gw"), signed.payload.get("epoch")) == gateway]
        ends = {signed.payload["seq"] for signed in device if signed.sid in (cover["first"], cover["last"])}
        with case.examining("chain", things=max(1, max(ends, default=0) - min(ends, default=0) + 1)):
            one.segments += check_chain(cover, device, case.findings)


def check_declarations(case: Case, one: MonthCase) -> None:
    """Technician and responsible person declared just this, one after the other, before it was signed."""
    with case.examining("declaration", things=len(one.month.payload["declared"])):
        check_declares(one.month, one.declares, case.findings)
        check_order(one.month, one.declares, case.findings)


def check_covered(case: Case, one: MonthCase) -> None:
    """The month stands on every segment that was logged before it was declared, and on none twice."""
    declaring = one.declaring
    with case.examining("cover", things=max(1, len(one.segments))):
        check_cover(one.month, one.ours, declaring[0].index if declaring else None, one.zone, case.findings)
    for segment in one.segments:
        with case.examining("hour", segment.sid, things=max(1, len(segment.payload["ch"]))):
            check_hours(segment, one.zone, case.findings)


def check_declared_channels(case: Case, one: MonthCase) -> None:
    """Each channel of a segment was declared before by a `config` event, which belongs to the evidence."""
    events = [signed.payload for signed in one.of_kind("event")]
    asked: set[tuple[str, int, str]] = set()
    for segment in one.segments:
        chain = (str(segment.payload["gw"]), int(segment.payload["epoch"]))
        new = {(*chain, str(entry["id"])) for entry in segment.payload["ch"]} - asked
        asked |= new
        declared: dict[str, Channel] = channels_before(segment.payload, events) if new else {}
        for _, _, name in sorted(new):
            with case.examining("channel", segment.sid):
                if name not in declared:
                    words = f"the declaration of channel {name} is not here"
                    case.findings.add(Code.CHAIN_INCOMPLETE, words, segment.sid, Verdict.INDETERMINATE)


def check_listed_files(case: Case, one: MonthCase) -> None:
    """Every file that the month and the captured values list is here."""
    for owner in (one.month, *one.of_kind("ledger", "lab")):
        if owner.payload["subjects"]:
            with case.examining("listed", owner.sid, things=len(owner.payload["subjects"])):
                check_contents(owner, case.bundle.content, case.findings)


def check_body(case: Case, one: MonthCase) -> None:
    """The body is the first file, its channels are the sums of the hours, and what speaks against it has a reason."""
    first, content = one.month.payload["subjects"][0], case.bundle.content
    if first["name"] != BODY:
        with case.examining("sum", one.month.sid):
            words = f"the first subject is {first['name']}, not {BODY}"
            case.findings.add(Code.DECLARE_MISMATCH, words, one.month.sid)
    elif first["sha256"] in content:
        body = content[first["sha256"]]
        changed = units_changed(signed.payload for signed in one.of_kind("event"))
        channels = {(segment.payload["gw"], entry["id"]) for segment in one.segments for entry in segment.payload["ch"]}
        with case.examining("sum", one.month.sid, things=max(1, len(channels))):
            check_sums(one.month, one.segments, body, one.zone, case.findings, changed)
        with case.examining("quality", one.month.sid):
            check_reason(one.declaring, body, case.findings)


def check_approvals(case: Case, one: MonthCase) -> None:
    """City and province approved this very revision, in this order, each another person than declared it."""
    reviews = one.of_kind("review")
    declarers = {signed.signer.owner_id for signed in one.declaring}
    with case.examining("approval", one.month.sid):
        case.subject.update(check_reviews(one.month, reviews, case.findings, declarers))
    for review in reviews:
        if review.payload["subject"] == one.month.sid:
            with case.examining("report", review.sid):
                if review.payload["report"] not in case.bundle.content:
                    words = "the report that this review stands on is not here"
                    case.findings.add(Code.CONTENT_MISSING, words, review.sid)


MONTH_CHECKS: tuple[Callable[[Case, MonthCase], None], ...] = (
    check_gateway_chains,
    check_declarations,
    check_covered,
    check_declared_channels,
    check_listed_files,
    check_body,
    check_approvals,
)
"""What is checked of one month, in this order; the first gathers the segments that the others need."""
