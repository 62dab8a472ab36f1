"""What the page of a month shows: where it stands, whose turn it is, and its trail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import url_for
from flask_babel import gettext as _
from sqlalchemy.orm import Session

from accounting.period import month_of
from evidence.encoding import strict_json
from evidence.roles import CITY, PROVINCE, RESPONSIBLE, TECHNICIAN
from evidence.verify_month import Signed
from webapp import month_files, store_contents, store_log, store_months
from webapp.accounts import ADMIN, NATION, PLANT_ROLES, Account
from webapp.models import Draft, Plant
from webapp.month_rules import MonthFile, status_of
from webapp.views.deadline import due_day, due_words, is_month
from webapp.views.month_words import is_settled
from webapp.views.signer_names import signer_name
from webapp.views.wording import CHALLENGE_RESULTS, DECISIONS, LEVELS, ROLES


@dataclass(frozen=True)
class Step:
    """One rung of the ladder; kind is done, turn, returned or empty."""

    name: str
    state: str
    kind: str = ""
    sid: str = ""
    who: str = ""
    time: datetime | None = None


@dataclass(frozen=True)
class Turn:
    """What this person is to do, or what everyone waits for."""

    words: str
    kind: str = ""
    url: str = ""
    button: str = ""


@dataclass(frozen=True)
class TrailRow:
    """One act of the trail."""

    index: int
    words: str
    note: str
    who: str
    time: datetime
    sid: str


@dataclass(frozen=True)
class MonthPage:
    """Everything the template needs besides the body."""

    period: str
    status: str
    rev: int
    due: datetime
    due_words: str
    due_kind: str
    ladder: list[Step]
    turns: list[Turn]
    trail: list[TrailRow]
    month_sid: str | None
    body_sha256: str
    bundle_name: str
    may_compose: bool
    may_enter: bool


@dataclass(frozen=True)
class MonthView:
    """A month as one reading session found it."""

    plant: Plant
    period: str
    file: MonthFile
    draft: Draft | None
    has_gateway: bool
    now: datetime

    @property
    def status(self) -> str:
        """Where the month stands; `open` before there is a draft."""
        status = status_of(self.file, has_gateway=self.has_gateway)[0]
        return "open" if status == "draft" and self.draft is None else status

    @property
    def submitted(self) -> Signed | None:
        """What is reviewed now, if the month stands there."""
        sid = status_of(self.file, has_gateway=self.has_gateway)[2]
        return next((one for one in (*self.file.months, *self.file.declares) if one.sid == sid), None)

    @property
    def next_rev(self) -> int:
        """The revision a declaration would be for."""
        return self.file.revision + 1

    def declared(self, role: str, rev: int) -> Signed | None:
        """The newest declaration of a role for a revision."""
        found = [one for one in self.file.declares if (one.payload["role"], one.payload["rev"]) == (role, rev)]
        return found[-1] if found else None

    @property
    def has_ended(self) -> bool:
        """Whether the month is over in the plant's legal time."""
        return self.now >= month_end(self.period, self.plant.zone)


def month_end(period: str, zone: str) -> datetime:
    """Return the moment a month ends."""
    return month_of(period, ZoneInfo(zone)).end


def exists(db: Session, plant: Plant, period: str, now: datetime) -> bool:
    """Tell whether a plant has this month.

    Raises:
        PeriodError: it is none at all.
    """
    month_of(period, ZoneInfo(plant.zone))
    return period in known_months(db, plant, now)


def known_months(db: Session, plant: Plant, now: datetime) -> list[str]:
    """List a plant's months, newest first: from the first one logged, or the one before it was added, until now.

    A month about which something is logged is among them always.
    """
    zone = ZoneInfo(plant.zone)
    added, today = plant.created_at.astimezone(zone), now.astimezone(zone)
    logged = [period for period in store_log.periods_of(db, plant.id) if is_month(period)]
    first = min([_month_text(added.year, added.month - 1), *logged])
    year, month = int(first[:4]), int(first[5:])
    running = [_month_text(year, month + n) for n in range((today.year - year) * 12 + today.month - month + 1)]
    return sorted({*running, *logged}, reverse=True)


def _month_text(year: int, month: int) -> str:
    """Write a month whose number may lie beyond its year."""
    index = year * 12 + month - 1
    return f"{index // 12:04d}-{index % 12 + 1:02d}"


def load(db: Session, plant: Plant, period: str, now: datetime) -> MonthView:
    """Read a month."""
    return MonthView(
        plant,
        period,
        month_files.month_file(db, plant.id, period),
        store_months.find_draft(db, plant.id, period),
        month_files.has_gateway(db, plant.id),
        now,
    )


def body_of(db: Session, view: MonthView) -> tuple[Mapping[str, Any] | None, str]:
    """Return the body that counts now and its digest: of what was submitted or declared, else of the draft."""
    digest = body_digest(view)
    data = store_contents.data(db, view.plant.id, digest) if digest else None
    return (None, "") if data is None else (strict_json(data), digest)


def items_by_id(body: Mapping[str, Any] | None) -> dict[str, Mapping[str, Any]]:
    """Return a body's items by their ids, so that pages can name them."""
    return {item["id"]: item for item in (body or {}).get("items", [])}


def body_digest(view: MonthView) -> str:
    """Return the digest of that body."""
    if view.submitted is not None:
        return str(view.submitted.payload["subjects"][0]["sha256"])
    declared = view.declared(RESPONSIBLE, view.next_rev) or view.declared(TECHNICIAN, view.next_rev)
    if declared is not None:
        return str(declared.payload["subjects"][0]["sha256"])
    return view.draft.body_sha256 if view.draft is not None else ""


def month_page(db: Session, view: MonthView, person: Account, body_sha256: str, bundle_name: str) -> MonthPage:
    """Put the page together."""
    due = due_day(view.period, view.plant.zone)
    words, kind = due_words(due, view.now, is_settled=is_settled(view.status))
    rev = int(view.submitted.payload["rev"]) if view.submitted is not None else view.next_rev
    return MonthPage(
        period=view.period,
        status=view.status,
        rev=rev,
        due=due,
        due_words=words,
        due_kind=kind,
        ladder=list(_ladder(db, view, rev)),
        turns=list(_turns(view, person)),
        trail=_trail(db, view),
        month_sid=view.submitted.sid if view.submitted is not None else None,
        body_sha256=body_sha256,
        bundle_name=bundle_name,
        may_compose=person.role in (*PLANT_ROLES, ADMIN) and view.submitted is None,
        may_enter=person.role in PLANT_ROLES,
    )


def _ladder(db: Session, view: MonthView, rev: int) -> Iterator[Step]:
    waits_for = _WAITS_FOR.get(view.status, "")
    is_composed = view.draft is not None or bool(view.file.declares)
    yield Step(_("Draft"), _("composed") if is_composed else _("not yet"), "done" if is_composed else "turn")
    rungs: list[tuple[str, str, Signed | None]] = [
        (TECHNICIAN, _("Technician"), view.declared(TECHNICIAN, rev)),
        (RESPONSIBLE, _("Responsible person"), view.declared(RESPONSIBLE, rev)),
    ]
    if view.has_gateway:
        sealed = next((one for one in view.file.months if one.payload["rev"] == rev), None)
        rungs.append(("gateway", _("Gateway signature"), sealed))
    standing = view.file.standing(view.submitted.sid) if view.submitted is not None else {}
    rungs += [(level, str(LEVELS[level]), standing.get(level)) for level in (CITY, PROVINCE)]
    if NATION in standing:
        rungs.append((NATION, str(LEVELS[NATION]), standing[NATION]))
    for key, name, signed in rungs:
        if signed is None:
            yield Step(name, _("waiting") if key == waits_for else _("not yet"), "turn" if key == waits_for else "")
        else:
            yield _done(db, name, signed)


_WAITS_FOR = {
    "draft": TECHNICIAN,
    "declared_technician": RESPONSIBLE,
    "declared": "gateway",
    "signed": CITY,
    "approved_city": PROVINCE,
}


def _done(db: Session, name: str, signed: Signed) -> Step:
    decision = signed.payload.get("decision")
    state = str(DECISIONS.get(decision, decision)) if decision else _("signed")
    kind = "done" if decision in (None, "approve") else "returned"
    received = store_log.by_sid(db, signed.sid)
    return Step(
        name, state, kind, signed.sid, signer_name(db, signed.signer.kid), received.received_at if received else None
    )


def _turns(view: MonthView, person: Account) -> Iterator[Turn]:
    here: dict[str, Any] = {"plant": view.plant.id, "period": view.period}
    status = view.status
    if status in ("returned", "rejected") and view.submitted is not None:
        for level, review in view.file.standing(view.submitted.sid).items():
            if review.payload["decision"] != "approve":
                words = _(
                    "%(level)s: %(decision)s", level=LEVELS[level], decision=DECISIONS[review.payload["decision"]]
                )
                yield Turn(f"{words} {review.payload['note']}", "bad")
    if not view.has_ended:
        yield Turn(_("The month is still running; it can be declared when it has ended."))
        return
    if status in ("draft", "open", "returned", "rejected") and person.role == TECHNICIAN:
        yield Turn(
            _("Your turn: check the figures and declare them."),
            "warn",
            url_for("signing.declare", **here),
            _("Check and declare"),
        )
    elif status == "declared_technician" and person.role == RESPONSIBLE:
        yield Turn(
            _("Your turn: the technician has declared these figures."),
            "warn",
            url_for("signing.declare", **here),
            _("Check and declare"),
        )
    elif status == "declared":
        yield Turn(_("Declared by both. The gateway signs the month at its next contact."))
    elif review_level(view, person):
        yield Turn(_("Your turn: review this month."), "warn", url_for("review.decide", **here), _("Review now"))


def review_level(view: MonthView, person: Account) -> str | None:
    """Return the level at which this person may decide now."""
    turns = {"signed": (CITY, NATION), "approved_city": (PROVINCE, NATION), "approved_province": (NATION,)}
    if person.role not in turns.get(view.status, ()):
        return None
    done = view.file.standing(view.submitted.sid) if view.submitted is not None else {}
    decided = done.get(person.role)
    return None if decided is not None and decided.payload["decision"] != "query" else person.role


def _trail(db: Session, view: MonthView) -> list[TrailRow]:
    rows = []
    inspections = store_log.period_entries(db, view.plant.id, view.period, ["inspect"])
    inspected = [month_files.signed_of(db, row) for row in inspections]
    for signed in (*view.file.declares, *view.file.months, *view.file.reviews, *inspected):
        entry = store_log.by_sid(db, signed.sid)
        if entry is None:
            continue
        payload = signed.payload
        rows.append(
            TrailRow(
                entry.idx,
                _act_words(payload),
                str(payload.get("note") or payload.get("reason") or " · ".join(payload.get("findings", ()))),
                signer_name(db, signed.signer.kid),
                entry.received_at,
                signed.sid,
            )
        )
    return sorted(rows, key=lambda row: row.index)


def _act_words(payload: Mapping[str, Any]) -> str:
    if payload["kind"] == "declare":
        return _("%(role)s declared revision %(rev)s", role=ROLES[payload["role"]], rev=payload["rev"])
    if payload["kind"] == "month":
        return _("gateway signed revision %(rev)s", rev=payload["rev"])
    if payload["kind"] == "inspect":
        said = payload.get("challenge")
        return (
            _("inspector recorded an inspection")
            if said is None
            else _("inspector recorded a retention challenge: %(result)s", result=CHALLENGE_RESULTS[said["result"]])
        )
    return _("%(level)s: %(decision)s", level=LEVELS[payload["level"]], decision=DECISIONS[payload["decision"]])
