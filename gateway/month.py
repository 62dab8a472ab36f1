"""Sign the plant's month, once both declarations are there and the body follows from the statements.

The body is recomputed from what this gateway and the plant's other devices signed, and the captured values that were
logged before the technician declared. If one byte differs, nothing is signed and a problem stays visible until it is
over. Of several gateways one signs: the first by name in the cover, and another only when that one does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from accounting.errors import AccountingError
from accounting.month import BODY, PARAMETERS, PLAN, compose
from evidence.code_words import CODE_WORDS
from evidence.encoding import parse_time, sha256_hex, strict_json, time_text
from evidence.errors import EvidenceError
from evidence.registry import Registry
from evidence.roles import GATEWAY
from evidence.statement import Statement
from gateway.chain import Signer, declare_step, draft, given_up, keep, own_statements
from gateway.errors import IntegrityError, RefusedError
from gateway.month_check import check_as_centre
from gateway.problems import clear_problem, raise_problem
from gateway.pulled_store import PulledStatement, has_content, pulled_statements, read_content
from gateway.store import Store
from gateway.trust_store import known_trust

CAPTURED = ("ledger", "lab")
DEVICE_KINDS = ("segment", "event", "month")
TURN = timedelta(hours=6)
"""How long a gateway is given to sign before the next one of the plant does."""


@dataclass(frozen=True)
class Declared:
    """Both declarations of one revision of a month, with the same files."""

    period: str
    rev: int
    technician: PulledStatement
    responsible: PulledStatement

    @property
    def subjects(self) -> Sequence[Mapping[str, Any]]:
        """The files that were declared."""
        subjects: Sequence[Mapping[str, Any]] = self.technician.statement.payload["subjects"]
        return subjects

    def digest(self, name: str) -> str:
        """Return the digest of one of the first three files.

        Raises:
            RefusedError: the file is not declared.
        """
        for subject in self.subjects[:3]:
            if subject["name"] == name:
                return str(subject["sha256"])
        raise RefusedError(f"声明中没有 {name}", f"{name} is not declared")

    @property
    def key(self) -> str:
        """Name of the problem this month may have."""
        return f"month:{self.period}:{self.rev}"


def declared_months(declares: Iterable[PulledStatement]) -> list[Declared]:
    """Pair the declarations that belong together; of several pairs the last logged counts."""
    technicians: dict[str, PulledStatement] = {}
    found: dict[tuple[str, int], Declared] = {}
    for one in declares:
        payload = one.statement.payload
        if payload["role"] == "technician":
            technicians[one.statement.sid] = one
            continue
        first = technicians.get(str(payload["after"]))
        if first is None or first.statement.kid == one.statement.kid:
            continue
        said = first.statement.payload
        if all(said[name] == payload[name] for name in ("plant", "period", "rev", "subjects")):
            found[payload["period"], payload["rev"]] = Declared(payload["period"], payload["rev"], first, one)
    return [found[key] for key in sorted(found)]


def sign_declared_months(store: Store, signer: Signer, contents: Path) -> list[Statement]:
    """Sign every month that is declared, not yet signed, and recomputes to the declared bytes."""
    signed: list[Statement] = []
    known = [one for one in _statements(store) if one.kind == "month"]
    by_period = {(one.payload["period"], one.payload["rev"]): one for one in known}
    for declared in declared_months(pulled_statements(store, "declare")):
        if (declared.period, declared.rev) in by_period:
            clear_problem(store, declared.key)
            continue
        if not all(has_content(store, str(one["sha256"])) for one in declared.subjects[:3]):
            continue
        now = time_text(signer.clock.now())
        try:
            statement = _sign(store, signer, contents, declared, [*known, *signed])
        except (RefusedError, IntegrityError) as error:
            raise_problem(store, declared.key, error.zh, error.en, now)
            continue
        except EvidenceError as error:
            name = f"{declared.period} 第 {declared.rev} 版"
            zh = f"{name}不会被中心端接受：{CODE_WORDS[error.code][0]}（{error}）；未签名"
            en = f"{declared.period} revision {declared.rev} would be refused by the centre: {error}; not signed"
            raise_problem(store, declared.key, zh, en, now)
            continue
        if statement is not None:
            clear_problem(store, declared.key)
            signed.append(statement)
    return signed


def turn_of(gw: str, cover: Sequence[Mapping[str, Any]], registry: Registry) -> int:
    """Return how many gateways sign before this one: those in the cover whose key counts, in the order of names."""
    living = {
        entry.owner_id for entry in registry.keys.values() if GATEWAY in entry.roles and entry.until_index is None
    }
    signers = sorted({str(one["gw"]) for one in cover} & living)
    return signers.index(gw) if gw in signers else len(signers)


def _sign(
    store: Store, signer: Signer, contents: Path, declared: Declared, months: Sequence[Statement]
) -> Statement | None:
    """Sign a month; None while it is another gateway's turn."""
    statements, registry = _statements(store), known_trust(store).registry
    body = _recomputed(store, signer, contents, declared, statements)
    turn = turn_of(signer.identity.gw, body["cover"], registry)
    if turn and signer.clock.now() < parse_time(declared.responsible.statement.payload["t"]) + turn * TURN:
        return None
    before = [one for one in months if one.payload["period"] == declared.period]
    supersedes = max(before, key=lambda one: int(one.payload["rev"]), default=None)
    if (0 if supersedes is None else supersedes.payload["rev"]) != declared.rev - 1:
        raise RefusedError(
            f"{declared.period} 第 {declared.rev} 版之前缺少版本",
            f"{declared.period} revision {declared.rev} is declared, but not every revision before it is signed",
        )
    members: dict[str, Any] = {
        "period": declared.period,
        "rev": declared.rev,
        "supersedes": None if supersedes is None else supersedes.sid,
        "prev_month": _previous(months, declared.period),
        "subjects": [dict(one) for one in declared.subjects],
        "declared": [declared.technician.statement.sid, declared.responsible.statement.sid],
        "cover": body["cover"],
    }
    if supersedes is not None:
        members["reason"] = _reason(store, supersedes)
    declare_step(store, signer)
    month = draft(store, signer, "month", members)
    check_as_centre(
        month,
        read_content(store, contents, declared.digest(BODY)),
        statements,
        [declared.technician.statement, declared.responsible.statement],
        months,
        registry,
        signer.identity,
    )
    return keep(store, month)


def _statements(store: Store) -> list[Statement]:
    """Return what a month of this plant can stand on, captured values aside."""
    lost = given_up(store)
    found = [one for one in own_statements(store) if one.sid not in lost]
    found += [one.statement for one in pulled_statements(store, *DEVICE_KINDS)]
    return list({one.sid: one for one in found}.values())


def _recomputed(
    store: Store, signer: Signer, contents: Path, declared: Declared, statements: Sequence[Statement]
) -> Mapping[str, Any]:
    said = read_content(store, contents, declared.digest(BODY))
    plan = read_content(store, contents, declared.digest(PLAN))
    parameters = read_content(store, contents, declared.digest(PARAMETERS))
    captured = [one.statement for one in pulled_statements(store, *CAPTURED) if one.index < declared.technician.index]
    try:
        body: Mapping[str, Any] = strict_json(said)
        computed = compose(
            plant=signer.identity.plant,
            period=declared.period,
            statements=[*statements, *captured],
            plan=plan,
            parameters=parameters,
            cover=body["cover"],
        )
    except (AccountingError, EvidenceError, KeyError, TypeError) as error:
        raise RefusedError(
            f"{declared.period} 第 {declared.rev} 版无法重算: {error}；未签名",
            f"{declared.period} revision {declared.rev} cannot be recomputed: {error}; not signed",
        ) from error
    if sha256_hex(computed) != declared.digest(BODY):
        raise RefusedError(
            f"{declared.period} 第 {declared.rev} 版的重算结果与声明不同；未签名，请核对后重新声明",
            f"{declared.period} revision {declared.rev} recomputes to other figures than declared;"
            " not signed, check and declare again",
        )
    return body


def _previous(months: Sequence[Statement], period: str) -> str | None:
    earlier = [one for one in months if str(one.payload["period"]) < period]
    newest = max(earlier, key=lambda one: (one.payload["period"], one.payload["rev"]), default=None)
    return None if newest is None else newest.sid


def _reason(store: Store, supersedes: Statement) -> str:
    """Take the reviewer's words of a return, else say that it was declared again."""
    for review in reversed(pulled_statements(store, "review")):
        payload = review.statement.payload
        if payload["subject"] == supersedes.sid and payload["decision"] in ("return", "reject") and payload["note"]:
            return str(payload["note"])
    return "重新申报 / declared again"
