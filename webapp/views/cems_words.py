"""Words for hours and checks of a stack; a finding without words is shown as the rule said it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString

from evidence.judge_finding import Finding
from evidence.judge_rules import RuleSet
from webapp.views.language import pick

HOUR_STATES: Mapping[str, LazyString] = {
    "measured": _("measured"),
    "substituted": _("substituted"),
    "unfilled": _("missing, not filled"),
    "stopped": _("not operating"),
}
_FINDINGS: tuple[tuple[re.Pattern[str], LazyString], ...] = (
    (re.compile(r"no data in quarter (?P<a>.+)\Z"), _("no valid data in quarter %(a)s of the hour")),
    (re.compile(r"(?P<a>[0-9.]+) of the possible readings\Z"), _("a share of %(a)s of the possible readings is valid")),
    (
        re.compile(r"(?P<a>\d+) valid hours of (?P<b>\d+) operating in the day\Z"),
        _("%(a)s valid hours of %(b)s operating in the day"),
    ),
    (re.compile(r"(?P<a>\d+) valid days in (?P<b>[0-9-]+)\Z"), _("%(a)s valid days in %(b)s")),
    (re.compile(r"capture rate (?P<a>[0-9.]+) in the quarter\Z"), _("capture rate of %(a)s in the quarter")),
    (
        re.compile(r"flag (?P<a>\w+) with (?P<b>[0-9.]+) of the parts normal\Z"),
        _("flag %(a)s, with a share of %(b)s of its parts normal"),
    ),
    (
        re.compile(r"code (?P<a>\S+), with (?P<b>\d+) valid minutes of (?P<c>\d+) operating\Z"),
        _("code %(a)s, with %(b)s valid minutes of %(c)s operating"),
    ),
    (re.compile(r"stop is marked, but (?P<a>.+)\Z"), _("a stop is marked, but the values say the plant runs (%(a)s)")),
    (
        re.compile(r"no stop is marked, but oxygen is (?P<a>.+)\Z"),
        _("no stop is marked, but the stack holds air (oxygen %(a)s)"),
    ),
)


def finding_words(finding: Finding) -> str:
    """Say what a check found."""
    for pattern, words in _FINDINGS:
        said = pattern.match(finding.detail)
        if said is not None:
            return _filled(str(words), said.groupdict())
    return finding.detail


def _filled(words: str, parts: Mapping[str, str]) -> str:
    for name, part in parts.items():
        words = words.replace(f"%({name})s", part)
    return words


def rule_name(rules: RuleSet | None, rule: str) -> str:
    """Return the name of a rule in the reader's language."""
    if rules is None or rule not in rules.rules:
        return rule
    found = rules.rule(rule)
    return pick(found.zh, found.en)
