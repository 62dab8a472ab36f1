"""A month's body: a pure function of logged statements, the plan and a parameter set.

    statements → cover → channels ┐
    statements → captured values  ┴→ quantities → lines and totals → body bytes

The gateway, the centre and the inspector's tool compute the same bytes from the same statements, in
whatever order they hold them. Needed are all statements of the plant that bear on the month: its
segments, the `config` and `gap` events of those gateways' epochs, its `ledger` statements and the
earlier `month` statements of the period. Signatures and receipts are not judged here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from accounting.balances import auxiliary_of, results_of
from accounting.channels import channel_months
from accounting.cover import Covered, derive_cover, hole_issues, supplement_issues, take_cover
from accounting.errors import PlanError
from accounting.gap_words import gap_text
from accounting.issues import Issue, IssueCode
from accounting.ledgers import Ledgers
from accounting.parameter_set import ParameterSet, read_parameters
from accounting.period import Month, month_of
from accounting.plan import check_against, read_plan, zone_of
from accounting.quantities import quantity_of
from accounting.stack_checks import found_counts, fuel_hours, quality_issues, stack_findings
from accounting.stack_hours import stack_channels
from evidence.encoding import jcs, parse_time, sha256_hex
from evidence.errors import EvidenceError
from evidence.statement import Statement

BODY, PLAN, PARAMETERS = "body.json", "plan.json", "parameters.json"
JSON_TYPE = "application/json"


def compose(
    *,
    plant: str,
    period: str,
    statements: Iterable[Statement],
    plan: bytes,
    parameters: bytes,
    cover: Sequence[Mapping[str, Any]] | None = None,
) -> bytes:
    """Compose the body of a plant's month, in canonical JSON.

    `cover` absent: cover all segments that speak of the month. Given: use exactly those ranges.
    Captured values carry no range: whoever recomputes an earlier revision passes the ledger
    statements that were logged before it was declared.

    Raises:
        PlanError, ParameterError, PeriodError: an input cannot be used.
        CoverError: the given cover names statements that are not at hand.
    """
    master, values = read_plan(plan), read_parameters(parameters)
    check_against(master, values)
    if master.plant != plant:
        raise PlanError(
            f"plan.json: plant: the plan is for {master.plant!r}, not for {plant!r}",
            f"plan.json：plant：方案属于“{master.plant}”，不是“{plant}”",
        )
    month = month_of(period, master.zone_info)
    kinds = _by_kind(statements, plant)
    covered = derive_cover(kinds["segment"], month) if cover is None else take_cover(kinds["segment"], cover)
    channels = channel_months(covered, kinds["event"], month)
    ledgers = Ledgers(kinds["ledger"], month)
    quantities = [quantity_of(item, channels, ledgers) for item in master.items]
    results = results_of(master, values, quantities, ledgers)
    auxiliary = auxiliary_of(values, quantities, month)
    stacks = stack_channels(covered, kinds["event"], month)
    findings = stack_findings(stacks, month, fuel_hours(covered, month, master.fuel_channels)) if stacks else []
    issues = [
        *hole_issues(covered),
        *supplement_issues(covered, _earlier_revisions(kinds["month"], period), month),
        *_declared_gaps(kinds["event"], covered, month),
        *(issue for channel in channels for issue in channel.issues),
        *quality_issues(findings, found_counts(covered, month), stacks, month),
        *(issue for quantity in quantities for issue in quantity.issues),
        *ledgers.issues(),
        *results.issues,
        *auxiliary.issues,
        *_validity_issues(values, period),
    ]
    return jcs(
        {
            "v": 1,
            "kind": "body",
            "plant": plant,
            "period": period,
            "zone": master.zone,
            "sector": master.sector,
            "guide": values.guide,
            "plan": {"sha256": sha256_hex(plan)},
            "parameters": {"id": values.id, "version": values.version, "sha256": sha256_hex(parameters)},
            "cover": [one.to_json() for one in covered.ranges],
            "channels": [channel.to_json() for channel in channels],
            "items": [quantity.to_json() for quantity in quantities],
            "results": results.entries,
            "auxiliary": auxiliary.entries,
            "issues": [issue.to_json() for issue in sorted(set(issues))],
        }
    )


def subjects_of(
    body: bytes, plan: bytes, parameters: bytes, attachments: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """List the files a declaration and a month stand for: body, plan, parameters, then attachments.

    Attachments are ordered by name and digest; one content is listed once.
    """
    listed = [_file(BODY, body), _file(PLAN, plan), _file(PARAMETERS, parameters)]
    seen = {entry["sha256"] for entry in listed}
    for attachment in sorted(attachments, key=lambda one: (one["name"], one["sha256"])):
        if attachment["sha256"] not in seen:
            seen.add(attachment["sha256"])
            listed.append({name: attachment[name] for name in ("name", "size", "sha256", "type")})
    return listed


def attachments_of(statements: Iterable[Statement], *, plant: str, period: str, zone: str) -> list[dict[str, Any]]:
    """Collect the originals attached to the captured values and lab reports of a month."""
    month = month_of(period, zone_of(zone))
    days = set(month.days())
    found: dict[str, dict[str, Any]] = {}
    for statement in sorted(statements, key=lambda one: one.sid):
        payload = statement.payload
        if statement.plant != plant:
            continue
        is_of_month = (
            statement.kind == "ledger" and (payload.get("period") == period or payload.get("day") in days)
        ) or (statement.kind == "lab" and month.holds(parse_time(payload["taken"])))
        if is_of_month:
            for subject in payload["subjects"]:
                found.setdefault(subject["sha256"], dict(subject))
    return sorted(found.values(), key=lambda one: (one["name"], one["sha256"]))


def _by_kind(statements: Iterable[Statement], plant: str) -> dict[str, list[Statement]]:
    kinds: dict[str, list[Statement]] = {"segment": [], "event": [], "ledger": [], "month": []}
    once = {statement.sid: statement for statement in statements if statement.plant == plant}
    for sid in sorted(once):
        kinds.setdefault(once[sid].kind, []).append(once[sid])
    return kinds


def _earlier_revisions(months: Iterable[Statement], period: str) -> list[Statement]:
    mine = [statement for statement in months if statement.payload["period"] == period]
    return sorted(mine, key=lambda one: (one.payload["rev"], one.sid))


def _declared_gaps(events: Iterable[Statement], covered: Covered, month: Month) -> list[Issue]:
    """Report the gaps that gateways declared, up to the last segment covered."""
    last = {(s.payload["gw"], s.payload["epoch"]): s.payload["seq"] for s in covered.segments}
    issues = []
    for event in events:
        payload, data = event.payload, event.payload["data"]
        if payload["type"] != "gap" or payload["seq"] > last.get((payload["gw"], payload["epoch"]), 0):
            continue
        if _overlaps(data.get("from"), data.get("to"), month):
            where = f"{payload['gw']}/{data.get('channel') or data.get('source') or '*'}"
            issues.append(Issue(IssueCode.GAP, where, *gap_text(data)))
    return issues


def _overlaps(start: object, end: object, month: Month) -> bool:
    try:
        return parse_time(str(start)) < month.end and parse_time(str(end)) > month.start
    except EvidenceError:
        return True  # a gap without readable limits is shown rather than lost


def _validity_issues(parameters: ParameterSet, period: str) -> list[Issue]:
    if parameters.is_in_force(period):
        return []
    start, end = parameters.valid.from_, parameters.valid.to or "…"
    zh = f"参数集 {parameters.id} 适用期为 {start} 至 {end}，不含 {period}"
    en = f"parameter set {parameters.id} is in force from {start} to {end}, which leaves out {period}"
    return [Issue(IssueCode.NOT_IN_FORCE, parameters.id, zh, en)]


def _file(name: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "size": len(data), "sha256": sha256_hex(data), "type": JSON_TYPE}
