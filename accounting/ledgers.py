"""Captured values of a month: which statement counts, and which ones it corrected.

For the same parameter, subject and time reference the later statement (`t`, then sid) supersedes the
earlier one; both are shown. A value for the month goes before values for its days.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from accounting import units
from accounting.exact import down, exact_sum
from accounting.issues import Issue, IssueCode
from accounting.period import Month
from evidence.encoding import parse_decimal
from evidence.statement import Statement

_CAUTION = ("measured", "calculated", "default")
"""Modes from best to least; a sum has the least of its parts."""


@dataclass(frozen=True)
class Captured:
    """A value for the month: one statement's, or the sum of the days'."""

    value: Decimal
    unit: str
    mode: str
    sids: tuple[str, ...]
    coverage: Decimal
    issues: tuple[Issue, ...]

    @property
    def source(self) -> dict[str, Any]:
        """Where it is from, as a body and a derivation carry it."""
        return {"statement": self.sids[0]} if len(self.sids) == 1 else {"statements": list(self.sids)}


class Ledgers:
    """The captured values of one plant and month, by parameter and subject."""

    def __init__(self, statements: Iterable[Statement], month: Month) -> None:
        self._month = month
        self._groups: dict[tuple[str, str, str], list[Statement]] = {}
        self._used: set[tuple[str, str, str]] = set()
        for statement in statements:
            payload = statement.payload
            when = payload.get("period") or payload.get("day")
            if when == month.text or when in month.days():
                key = (payload["param"], payload.get("subject") or "", when)
                self._groups.setdefault(key, []).append(statement)
        for group in self._groups.values():
            group.sort(key=lambda one: (one.payload["t"], one.sid))

    def month_value(self, param: str, subjects: Sequence[str]) -> Captured | None:
        """Return the value captured for the whole month, for the first of the subjects that has one.

        The empty subject stands for statements that name none.
        """
        for subject in subjects:
            group = self._take((param, subject, self._month.text))
            if group:
                newest = group[-1]
                value, unit, mode = _value(newest)
                return Captured(value, unit, mode, (newest.sid,), Decimal("1.0000"), ())
        return None

    def amount(self, param: str, subjects: Sequence[str]) -> Captured | None:
        """Return the month's amount: the month's value, else the sum of the days'.

        Raises:
            UnitError: days were captured in units that cannot be added.
        """
        whole = self.month_value(param, subjects)
        if whole is not None:
            return whole
        for subject in subjects:
            days = [day for day in self._month.days() if (param, subject, day) in self._groups]
            if days:
                return self._sum_of_days(param, subject, days)
        return None

    def issues(self) -> list[Issue]:
        """Report corrected values, and values of the month that nothing used."""
        found = []
        for key, group in self._groups.items():
            where = f"{key[0]} {key[1]} {key[2]}".replace("  ", " ")
            for old in group[:-1]:
                was, now = old.payload, group[-1].payload
                zh = (
                    f"{was['value']} {was['unit']} 已更正为 {now['value']} {now['unit']}"
                    f"（{old.sid[:12]} → {group[-1].sid[:12]}）"
                )
                en = (
                    f"{was['value']} {was['unit']} was corrected to {now['value']} {now['unit']} "
                    f"({old.sid[:12]} to {group[-1].sid[:12]})"
                )
                found.append(Issue(IssueCode.CORRECTED, where, zh, en))
            if key not in self._used:
                zh, en = "已采集但方案未使用该数值", "captured, but no item of the plan uses it"
                found.append(Issue(IssueCode.LEDGER_UNUSED, where, zh, en))
        return found

    def _take(self, key: tuple[str, str, str]) -> list[Statement]:
        if key in self._groups:
            self._used.add(key)
        return self._groups.get(key, [])

    def _sum_of_days(self, param: str, subject: str, days: Sequence[str]) -> Captured:
        newest = [self._take((param, subject, day))[-1] for day in days]
        rows = [_value(statement) for statement in newest]
        unit = rows[0][1]
        value = exact_sum(
            units.convert(amount, booked, unit) if booked != unit else amount for amount, booked, _ in rows
        )
        mode = max((row[2] for row in rows), key=_CAUTION.index)
        expected = self._month.days()
        issues = []
        if len(days) < len(expected):
            missing = [day for day in expected if day not in days]
            zh = f"{len(expected)} 天中缺 {len(missing)} 天：{'、'.join(missing)}"
            en = f"{len(missing)} of {len(expected)} days are missing: {', '.join(missing)}"
            issues.append(Issue(IssueCode.MISSING_DAYS, f"{param} {subject}".strip(), zh, en))
        coverage = down(Fraction(len(days), len(expected)), 4)
        return Captured(value, unit, mode, tuple(statement.sid for statement in newest), coverage, tuple(issues))


def _value(statement: Statement) -> tuple[Decimal, str, str]:
    payload = statement.payload
    return parse_decimal(payload["value"]), payload["unit"], payload["mode"]
