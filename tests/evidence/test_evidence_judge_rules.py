"""The rule set as data: what is in it, what a site may change, and how mistakes are named."""

from __future__ import annotations

import json
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from evidence.encoding import jcs, sha256_hex
from evidence.judge_rules import (
    CHECKS,
    DEFAULT,
    Override,
    Rule,
    RuleError,
    Severity,
    packaged_rules,
    read_rules,
    rules_of,
)

RULES = packaged_rules()
DATA = (files("evidence") / "rules" / f"{DEFAULT}.json").read_bytes()


def test_every_check_has_its_rule_with_name_severity_and_source() -> None:
    assert RULES.rules.keys() == CHECKS
    for rule in RULES.rules.values():
        assert rule.version >= 1
        assert rule.source
        assert rule.zh
        assert rule.en
    assert {one.id for one in RULES.rules.values() if one.severity is Severity.ERROR} == {
        "Q03", "Q12", "Q13", "Q26", "Q27", "Q31", "Q34",
    }  # fmt: skip


def test_set_is_named_by_id_version_and_digest_of_its_content() -> None:
    assert RULES.name_json() == {
        "id": "cn-quality",
        "version": RULES.version,
        "hash": sha256_hex(jcs(json.loads(DATA))),
    }
    assert read_rules(json.dumps(json.loads(DATA), indent=7).encode(), "x").hash == RULES.hash


def test_override_changes_one_limit_of_one_site_and_is_named() -> None:
    changed = RULES.with_overrides(
        [Override("Q18", "slow sensor", "minutes", Decimal(240)), Override("Q05", "no clock")]
    )
    assert (changed.rule("Q18").limit("minutes"), RULES.rule("Q18").limit("minutes")) == (240, 60)
    assert (changed.rule("Q05").is_off, RULES.rule("Q05").is_off) == (True, False)
    assert changed.name_json()["overrides"] == [
        {"rule": "Q18", "reason": "slow sensor", "limit": "minutes", "value": "240"},
        {"rule": "Q05", "reason": "no clock", "off": "yes"},
    ]


@pytest.mark.parametrize(
    ("override", "key"),
    [
        (Override("Q99", "why"), "rule.Q99"),
        (Override("Q18", "why", "minuets", Decimal(1)), "rule.Q18.minuets"),
        (Override("Q31", "why", "margin", Decimal(2)), "rule.Q31.margin"),
        (Override("Q18", " ", "minutes", Decimal(1)), "rule.Q18.reason"),
        (Override("Q18", "why", "minutes", Decimal(-1)), "rule.Q18.minutes"),
        (Override("Q18", "why", "minutes"), "rule.Q18.minutes"),
    ],
)
def test_wrong_override_names_file_and_key_in_both_languages(override: Override, key: str) -> None:
    with pytest.raises(RuleError) as caught:
        RULES.with_overrides([override], "plant/site.toml")
    assert caught.value.en.startswith(f"plant/site.toml: key {key}: ")
    assert caught.value.zh.startswith(f"plant/site.toml: 键 {key}: ")


def change(path: list[str | int], value: object) -> bytes:
    data = json.loads(DATA)
    place: Any = data
    for part in path[:-1]:
        place = place[part]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        (["rules", 2, "limits"], {"ahead": "120"}, "rules.Q03.ahead"),
        (["rules", 2, "limits"], {}, "rules.Q03.ahead_s"),
        (["rules", 2, "limits", "ahead_s"], "1e3", "rules.Q03.ahead_s"),
        (["rules", 2, "severity"], "X", "rules.Q03.severity"),
        (["rules", 2, "colour"], "red", "rules.Q03.colour"),
        (["rules", 2, "id"], "Q77", "rules.Q77"),
        (["rules", 0, "id"], "Q09", "rules.Q09"),
        (["rules", 2], None, "rules.Q03"),
        (["ranges", 0, "low"], "low", "ranges.co2_concentration.low"),
        (["remark"], "x", "remark"),
        (["v"], 2, "v"),
    ],
)
def test_mistake_in_a_rule_file_names_file_and_key(path: list[str | int], value: object, key: str) -> None:
    with pytest.raises(RuleError, match=f"^my.json: key {key}: "):
        read_rules(change(path, value), "my.json")


def test_rule_file_that_is_no_json_or_not_there_is_refused() -> None:
    with pytest.raises(RuleError):
        read_rules(b"{", "my.json")
    with pytest.raises(RuleError, match="no such rule set"):
        packaged_rules("cn-quantity")


@pytest.mark.parametrize(
    ("quantity", "unit", "low", "high"),
    [
        ("co2_concentration", "%", "0", "40"),
        ("o2", "%", "0", "21.5"),
        ("moisture", "%", "0", "40"),
        ("moisture_scrubber", "%", "0", "60"),
        ("stack_temperature", "degC", "-20", "450"),
        ("stack_pressure", "kPa", "-10", "10"),
        ("stack_pressure", "Pa", "-10000", "10000"),
        ("barometric_pressure", "kPa", "50", "110"),
        ("stack_velocity", "m/s", "0", "40"),
    ],
)
def test_physical_ranges_are_those_of_the_table(quantity: str, unit: str, low: str, high: str) -> None:
    found = RULES.range_of(quantity, unit)
    assert found is not None
    assert (found.low, found.high) == (Decimal(low), Decimal(high))
    assert RULES.range_of(quantity, "furlong") is None


@pytest.mark.parametrize("rule", RULES.rules.values(), ids=lambda rule: rule.id)
def test_page_on_quality_says_what_the_file_says(rule: Rule) -> None:
    page = (Path(__file__).parents[2] / "docs" / "quality.md").read_text("utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {rule.id} | ")]
    name, limits, severity, flag, where = [cell.strip() for cell in row.split("|")[2:-1]]
    assert rule.en in name
    assert rule.zh in name
    stated = dict(one.split(" ") for one in limits.split(", ")) if limits != "—" else {}
    assert {limit: Decimal(value) for limit, value in stated.items()} == rule.limits
    assert (severity, flag) == (rule.severity.value, rule.flag.value if rule.flag is not None else "—")
    assert ("gateway" in where) == ("G" in rule.where)


def test_rule_set_is_found_by_what_a_record_names() -> None:
    site = RULES.with_overrides(
        [Override("Q18", "holds its value", "minutes", Decimal(90)), Override("Q09", "not here")]
    )
    again = rules_of(site.name_json())
    assert again is not None
    assert again.rules == site.rules
    assert rules_of({**site.name_json(), "hash": "0" * 64}) is None
