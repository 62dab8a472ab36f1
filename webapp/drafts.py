"""Drafts of a month: composed by the pure function from what is logged, kept as contents, ready to be declared."""

from __future__ import annotations

from accounting.month import BODY, JSON_TYPE, PARAMETERS, PLAN, attachments_of, subjects_of
from accounting.month import compose as compose_body
from evidence.encoding import strict_json
from evidence.statement import parse_envelope
from webapp import month_files, month_statements, store_contents, store_log, store_months, store_plants
from webapp.center import Center
from webapp.errors import CenterError
from webapp.models import Draft, Plant

_CHANGING_KINDS = ("segment", "ledger", "lab", "event", "month")


def compose(center: Center, plant: str, period: str) -> Draft:
    """Compose the draft of a month from what is logged now, and keep it; one that is still right is given again.

    Raises:
        CenterError: there is no such plant, or its plan is missing.
        AccountingError: plan, parameters or period cannot be used.
    """
    with center.database.reading() as session:
        row = store_plants.find(session, plant)
        if row is None:
            raise CenterError(f"没有企业 {plant}", f"there is no plant {plant}")
        size = store_log.size_of(session)
        revision = month_files.month_file(session, plant, period).revision + 1
        old = store_months.find_draft(session, plant, period)
        newest = store_log.newest_index(session, plant, period, _CHANGING_KINDS)
        if old is not None and _is_right(old, row, revision, newest):
            return old
        plan = _content(store_contents.data(session, plant, row.plan_sha256), PLAN, plant)
        parameters = _content(store_contents.data(session, plant, row.parameters_sha256), PARAMETERS, plant)
        entries = [entry for entry in month_statements.compose_entries(session, plant, period) if entry.idx < size]
    statements = [parse_envelope(entry.jws) for entry in entries]
    body = compose_body(plant=plant, period=period, statements=statements, plan=plan, parameters=parameters)
    attachments = attachments_of(statements, plant=plant, period=period, zone=row.zone)
    now = center.now()
    with center.database.writing() as session:
        body_sha256 = store_contents.add(session, plant, BODY, JSON_TYPE, body, now)
        draft = Draft(
            plant=plant,
            period=period,
            rev=revision,
            body_sha256=body_sha256,
            plan_sha256=row.plan_sha256,
            parameters_sha256=row.parameters_sha256,
            cover=strict_json(body)["cover"],
            subjects=subjects_of(body, plan, parameters, attachments),
            log_size=size,
            made_at=now,
        )
        store_months.save_draft(session, draft)
    return draft


def _is_right(old: Draft, plant: Plant, revision: int, newest: int) -> bool:
    return (
        old.rev == revision
        and newest < old.log_size
        and (old.plan_sha256, old.parameters_sha256) == (plant.plan_sha256, plant.parameters_sha256)
    )


def _content(data: bytes | None, name: str, plant: str) -> bytes:
    if data is None:
        raise CenterError(
            f"企业 {plant} 的 {name} 不在中心；请重新添加企业方案",
            f"{name} of plant {plant} is not at the centre; add its plan again",
        )
    return data
