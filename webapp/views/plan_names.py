"""Names that a plant's control plan gives to its channels and ledger items."""

from __future__ import annotations

from sqlalchemy.orm import Session

from accounting.errors import PlanError
from accounting.plan import Plan, read_plan
from webapp import store_contents
from webapp.models import Plant
from webapp.views.language import pick


def plan_of(db: Session, plant: Plant) -> Plan | None:
    """Read the plan in force; None when it is missing or unreadable (the month page then says what is missing)."""
    data = store_contents.data(db, plant.id, plant.plan_sha256)
    try:
        return None if data is None else read_plan(data)
    except PlanError:
        return None


def channel_names(db: Session, plant: Plant) -> dict[str, str]:
    """Name the channels that feed an item, stand in for one that does, or have a name of their own."""
    plan = plan_of(db, plant)
    named = {one.id: pick(one.name.zh, one.name.en) for one in ([] if plan is None else plan.channels)}
    for item in [] if plan is None else plan.items:
        for channel in (item.source.backup, item.source.channel):
            if channel is not None:
                named[channel] = pick(item.name.zh, item.name.en)
    return named
