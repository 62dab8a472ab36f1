"""What a segment's entries say beside the figures of their leaves: method codes, and checks of severity E.

`code` is the method code of an hour of a derived channel, by what is stored and marked when the hour is sealed.
`found` counts by rule the readings of the entry that broke a check of severity E; the checks stand in the readings'
reasons, which are not in the tree, so that the count is the gateway's signed word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from evidence.judge_rules import RuleSet, Severity
from gateway.derived import hour_code
from gateway.judgement import Judge
from gateway.reading_store import StoredReading
from gateway.store import Store

Notes = Callable[[str, Sequence[Mapping[str, Any]], Sequence[StoredReading]], list[dict[str, Any]]]
"""Hour, entries, readings → entries with what is to be said beside them."""
_RULE = re.compile(r"(?:^|; )(Q[0-9]{2}) ([^;]*)")
_OFFSET = re.compile(r"by ([0-9]+) s$")
_BOOKED_OTHERWISE = ("reset", "error")
"""Beginnings of Q31 that leave an amount unknown; a roll-over or a small step back does not."""


def errors_of(reason: str, rules: RuleSet) -> list[str]:
    """Return the rules of severity E that a reading's reason names."""
    return [rule for rule, detail in _RULE.findall(reason) if rule in rules.rules and _is_error(rule, detail, rules)]


def _is_error(rule: str, detail: str, rules: RuleSet) -> bool:
    if rule == "Q05":
        offset = _OFFSET.search(detail)
        return offset is not None and Decimal(offset[1]) > rules.rule("Q05").limit("error_s")
    if rule == "Q31":
        return detail.startswith(_BOOKED_OTHERWISE)
    return rules.rule(rule).severity is Severity.ERROR


def notes_of(store: Store, judge: Judge) -> Notes:
    """Return what the sealer asks for the notes of an hour's entries."""

    def note(
        hour: str, entries: Sequence[Mapping[str, Any]], readings: Sequence[StoredReading]
    ) -> list[dict[str, Any]]:
        errors: dict[str, Counter[str]] = {}
        for reading in readings:
            count_errors(judge, reading, errors)
        return noted(store, judge, hour, entries, errors)

    return note


def noted(
    store: Store,
    judge: Judge,
    hour: str,
    entries: Sequence[Mapping[str, Any]],
    errors: Mapping[str, Mapping[str, int]],
) -> list[dict[str, Any]]:
    """Add to an hour's entries the method codes, and by channel and rule the errors that were counted."""
    derived = {one.rule.name: one for one in judge.derived}
    all_noted = []
    for entry in entries:
        name, more = str(entry["id"]), dict(entry)
        if name in derived:
            basis = judge.bases[name]
            more["code"] = hour_code(
                store, derived[name], hour, basis.rules, judge.marks_of(name), basis.channel.subject
            )
        if errors.get(name):
            more["found"] = dict(sorted(errors[name].items()))
        all_noted.append(more)
    return all_noted


def count_errors(judge: Judge, reading: StoredReading, into: dict[str, Counter[str]]) -> None:
    """Count, by channel and rule, the checks of severity E that a reading broke."""
    if "Q" in reading.reason and reading.channel in judge.bases:
        for rule in errors_of(reading.reason, judge.bases[reading.channel].rules):
            into.setdefault(reading.channel, Counter())[rule] += 1
