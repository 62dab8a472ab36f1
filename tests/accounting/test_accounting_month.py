"""The month's body: what it says, that it is the same from anywhere, and what it refuses to hide."""

from __future__ import annotations

import copy
import os
import random
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from signed_plant import LEDGERS, MARCH, PLAN, Chain, body_of, codes, ledger, march, plan_bytes

from accounting.declared import as_declared
from accounting.errors import CoverError, ParameterError, PeriodError, PlanError
from accounting.month import attachments_of, compose, subjects_of
from accounting.parameter_set import packaged_bytes
from evidence.encoding import canonical_json, jcs, sha256_hex
from evidence.registry import KeyEntry
from evidence.statement import Statement
from evidence.verify_month import Signed, channel_sums

PARAMETERS = packaged_bytes("cn-steel-2024")
SIGNER: KeyEntry = None  # type: ignore[assignment]  # sums do not look at the signer
GOLDEN = Path(__file__).parent / "data" / "body_2026_03.json"


def composed(statements: list[Statement], *, plan: bytes | None = None, **options: Any) -> dict[str, Any]:
    given = {
        "plant": "P-0001",
        "period": "2026-03",
        "plan": plan_bytes() if plan is None else plan,
        "parameters": PARAMETERS,
    }
    return body_of(compose(statements=statements, **{**given, **options}))


COMMISSIONED = {
    "at": "2026-03-01T00:30:00.000Z",
    "by": "Li Lei",
    "point": "energy_import",
    "table": "holding",
    "address": 3203,
    "order": "ABCD",
    "words": "42F6 E979",
    "value": "123.456",
    "displays": [
        {
            "at": f"2026-03-01T00:{minute}:00.000Z",
            "shown": "123.4",
            "read": "123.456",
            "read_at": "2026-03-01T00:20:00.000Z",
            "words": "42F6 E979",
            "agrees": True,
            "off": "0.056",
            "least": "-0.1",
            "most": "0.1",
        }
        for minute in (10, 15)
    ],
}


def entry(body: dict[str, Any], part: str, name: str) -> dict[str, Any]:
    key = {"items": "id", "channels": "id", "results": "subject", "auxiliary": "item"}[part]
    found: dict[str, Any] = next(one for one in body[part] if one[key] == name)
    return found


@pytest.fixture(scope="module")
def statements() -> list[Statement]:
    return march()


def test_body_is_the_golden_file(statements: list[Statement]) -> None:
    body = compose(plant="P-0001", period="2026-03", statements=statements, plan=plan_bytes(), parameters=PARAMETERS)
    if os.environ.get("CUNZHENG_WRITE_GOLDEN") == "1":
        GOLDEN.write_bytes(body)
    assert body == GOLDEN.read_bytes()
    canonical_json(body)


def test_month_of_a_steel_plant(statements: list[Statement]) -> None:
    body = composed(statements)
    assert entry(body, "items", "electricity")["quantity"] == "89.46600"
    assert entry(body, "items", "gas_rolling")["quantity"] == "22.3200"
    enterprise = entry(body, "results", "enterprise")
    emissions = {line["item"]: line["emission"] for line in enterprise["lines"]}
    assert emissions == {
        "gas_rolling": "488.11",
        "scrap": "2052.08",
        "electrode": "1359.78",
        "limestone": "832.21",
        "crude_steel": "-2072.00",
    }
    assert enterprise["total"] == "2660.18"
    assert entry(body, "results", "ROLL1")["total"] == "488.11"
    assert entry(body, "auxiliary", "electricity")["emission"] == "48.01"
    assert body["issues"] == []
    assert entry(body, "channels", "ELEC.IMPORT")["covered"] == 744


def test_total_is_the_sum_of_its_printed_lines(statements: list[Statement]) -> None:
    for result in composed(statements)["results"]:
        assert sum(Decimal(line["emission"]) for line in result["lines"]) == Decimal(result["total"])


def test_order_and_foreign_statements_do_not_change_a_byte(statements: list[Statement], rng: random.Random) -> None:
    foreign = Chain(plant="P-0002")
    foreign.config("ELEC.IMPORT", "kWh", "interval")
    foreign.segment(MARCH, [{"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": "5", "min": "5", "max": "5"}])
    mixed = [
        *statements,
        *foreign.statements,
        ledger("scrap", "1", plant="P-0002"),
        ledger("scrap", "1", period="2026-04"),
        statements[5],
    ]
    rng.shuffle(mixed)
    assert composed(mixed) == composed(statements)


def test_given_cover_is_recomputed_to_the_same_bytes(statements: list[Statement]) -> None:
    body = composed(statements)
    assert composed(statements, cover=body["cover"]) == body
    assert body["cover"][0]["n"] == 744


def test_cover_without_its_segments_is_refused(statements: list[Statement]) -> None:
    cover = composed(statements)["cover"]
    with pytest.raises(CoverError, match="744 segments, 743 are at hand"):
        composed([one for one in statements if one.payload.get("seq") != 100], cover=cover)


def test_hole_between_segments_is_reported(statements: list[Statement]) -> None:
    body = composed([one for one in statements if one.payload.get("seq") != 100])
    assert {"SEGMENT_MISSING", "COVERAGE"} <= codes(body)


def test_missing_hours_lower_the_coverage_and_are_listed() -> None:
    body = composed(march(skip=frozenset({10, 11, 500})))
    assert entry(body, "items", "electricity")["coverage"] == "0.9959"
    assert entry(body, "channels", "ELEC.IMPORT")["gaps"] == [
        ["2026-03-01T02:00:00.000Z", "2026-03-01T04:00:00.000Z"],
        ["2026-03-21T12:00:00.000Z", "2026-03-21T13:00:00.000Z"],
    ]
    assert codes(body) == {"COVERAGE"}


def test_one_missing_hour_never_rounds_up_to_full_coverage() -> None:
    assert entry(composed(march(skip=frozenset({3}))), "items", "electricity")["coverage"] == "0.9986"


def test_month_limits_are_half_open_in_the_plants_zone(statements: list[Statement]) -> None:
    chain = Chain()
    chain.config("ELEC.IMPORT", "kWh", "interval")
    for hours, amount in ((-1, "1000"), (0, "1"), (743, "2"), (744, "1000")):
        one = {"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": amount, "min": amount, "max": amount}
        chain.segment(MARCH + timedelta(hours=hours), [one])
    body = composed(chain.statements)
    assert entry(body, "channels", "ELEC.IMPORT")["sum"] == "3"


def test_late_entry_counts_for_the_hour_it_names() -> None:
    chain = Chain()
    chain.config("ELEC.IMPORT", "kWh", "interval")
    late = {"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": "7", "min": "7", "max": "7"}
    chain.segment(MARCH + timedelta(hours=800), [{**late, "hour": "2026-03-31T15:00:00.000Z"}, late])
    body = composed(chain.statements)
    assert entry(body, "channels", "ELEC.IMPORT")["sum"] == "7"
    assert entry(body, "channels", "ELEC.IMPORT")["n"] == 1


def test_item_without_data_is_absent_not_zero(statements: list[Statement]) -> None:
    without = [one for one in statements if one.payload.get("param") != "limestone"]
    body = composed(without)
    limestone = entry(body, "items", "limestone")
    assert "quantity" not in limestone
    assert limestone["coverage"] == "0.0000"
    assert entry(body, "results", "enterprise")["missing"] == ["limestone"]
    assert all(line["item"] != "limestone" for line in entry(body, "results", "enterprise")["lines"])
    assert {"code": "MISSING", "where": "limestone"}.items() <= body["issues"][0].items()


def test_channel_with_only_bad_readings_is_missing() -> None:
    chain = Chain()
    chain.config("ELEC.IMPORT", "kWh", "interval")
    chain.segment(MARCH, [{"id": "ELEC.IMPORT", "n": 4, "valid": 0}])
    body = composed(chain.statements)
    assert "quantity" not in entry(body, "items", "electricity")
    assert entry(body, "channels", "ELEC.IMPORT")["covered"] == 0


def test_later_ledger_value_supersedes_and_both_are_shown(statements: list[Statement]) -> None:
    corrected = ledger("scrap", "55000.00", t="2026-04-03T08:00:00.000Z")
    body = composed([*statements, corrected])
    assert entry(body, "items", "scrap")["quantity"] == "55000.00"
    assert entry(body, "items", "scrap")["source"] == {"statement": corrected.sid}
    [issue] = body["issues"]
    assert issue["code"] == "CORRECTED"
    assert "55461.56" in issue["en"]
    assert "55000.00" in issue["zh"]


def test_captured_days_are_added_and_missing_days_named() -> None:
    days = [ledger("scrap", "10.5", day=f"2026-03-{n:02d}") for n in range(1, 31)]
    body = composed(days)
    scrap = entry(body, "items", "scrap")
    assert (scrap["quantity"], scrap["coverage"]) == ("315.0", "0.9677")
    assert len(scrap["source"]["statements"]) == 30
    issue = next(one for one in body["issues"] if one["code"] == "MISSING_DAYS")
    assert "2026-03-31" in issue["en"]


def test_month_value_goes_before_days_and_the_rest_is_named_unused() -> None:
    body = composed([ledger("scrap", "99"), ledger("scrap", "1", day="2026-03-02"), ledger("slag", "3")])
    assert entry(body, "items", "scrap")["quantity"] == "99"
    unused = [issue["where"] for issue in body["issues"] if issue["code"] == "LEDGER_UNUSED"]
    assert unused == ["scrap 2026-03-02", "slag 2026-03"]


def test_subject_of_a_captured_value_decides_where_the_plan_names_it() -> None:
    plan = copy.deepcopy(PLAN)
    plan["items"][2]["source"]["subject"] = "ROLL1"
    captured = [ledger("scrap", "5", subject="EAF1"), ledger("scrap", "6", subject="ROLL1"), ledger("scrap", "7")]
    assert entry(composed(captured, plan=jcs(plan)), "items", "scrap")["quantity"] == "6"
    assert entry(composed(captured), "items", "scrap")["quantity"] == "5"


def test_channel_that_is_commissioned_within_the_month_changes_no_figure() -> None:
    bodies = []
    for is_commissioned in (False, True):
        chain = Chain()
        figures = {"n": 1, "valid": 1, "sum": "1500.5", "min": "1500.5", "max": "1500.5"}
        profile = {"id": "schneider-iem3000", "version": 1, "hash": "0" * 64}
        chain.config("ELEC.IMPORT", "kWh", "interval", profile=profile)
        chain.segment(MARCH, [{"id": "ELEC.IMPORT", **figures}])
        if is_commissioned:
            chain.config("ELEC.IMPORT", "kWh", "interval", profile=profile, commissioned=COMMISSIONED)
        chain.segment(MARCH + timedelta(hours=1), [{"id": "ELEC.IMPORT", **figures}])
        bodies.append(composed(chain.statements))
    declared, commissioned = bodies
    assert commissioned["channels"] == declared["channels"]
    assert codes(commissioned) == codes(declared)


def test_change_of_unit_within_a_month_is_converted_and_reported() -> None:
    chain = Chain()
    chain.config("ELEC.IMPORT", "kWh", "interval")
    chain.segment(MARCH, [{"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": "1500.5", "min": "1500.5", "max": "1500.5"}])
    chain.config("ELEC.IMPORT", "MWh", "interval", serial="new")
    hour = MARCH + timedelta(hours=1)
    chain.segment(hour, [{"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": "2.25", "min": "2.25", "max": "2.25"}])
    body = composed(chain.statements)
    channel = entry(body, "channels", "ELEC.IMPORT")
    assert (channel["sum"], channel["unit"], channel["serial"]) == ("3.7505", "MWh", "new")
    assert {"UNIT_CHANGED", "CONFIG_CHANGED"} <= codes(body)


@pytest.mark.parametrize(
    ("unit", "kind", "code"),
    [
        ("kWh", "value", "NOT_A_QUANTITY"),
        ("Nm3", "interval", "UNIT_CONFLICT"),
        ("furlong", "interval", "UNIT_CONFLICT"),
    ],
)
def test_channel_that_cannot_give_the_item_is_reported(unit: str, kind: str, code: str) -> None:
    chain = Chain()
    chain.config("ELEC.IMPORT", unit, kind)
    chain.segment(MARCH, [{"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": "5", "min": "5", "max": "5"}])
    body = composed(chain.statements)
    issue = next(one for one in body["issues"] if one["where"] == "electricity")
    assert issue["code"] == code
    assert "quantity" not in entry(body, "items", "electricity")
    if unit == "furlong":
        assert "furlong" in issue["en"]
        assert "furlong" in issue["zh"]


def test_segment_before_its_declaration_is_reported() -> None:
    chain = Chain()
    chain.segment(MARCH, [{"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": "5", "min": "5", "max": "5"}])
    chain.config("ELEC.IMPORT", "kWh", "interval")
    assert {"CONFIG_MISSING", "NOT_A_QUANTITY"} <= codes(composed(chain.statements))


def test_same_channel_at_two_gateways_must_be_told_apart() -> None:
    chains = [Chain("GW-1"), Chain("GW-2")]
    for n, chain in enumerate(chains):
        chain.config("ELEC.IMPORT", "kWh", "interval")
        value = f"{n + 1}5"
        chain.segment(MARCH, [{"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": value, "min": value, "max": value}])
    both = [*chains[0].statements, *chains[1].statements]
    assert "CHANNEL_AMBIGUOUS" in codes(composed(both))
    plan = copy.deepcopy(PLAN)
    plan["items"][1]["source"]["gw"] = "GW-2"
    assert entry(composed(both, plan=jcs(plan)), "items", "electricity")["quantity"] == "0.025"


def test_new_epoch_adds_to_the_same_channel() -> None:
    epochs = [Chain(epoch=1), Chain(epoch=2)]
    for n, chain in enumerate(epochs):
        chain.config("ELEC.IMPORT", "kWh", "interval")
        hour = MARCH + timedelta(hours=n)
        chain.segment(hour, [{"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": "5", "min": "5", "max": "5"}])
    body = composed([*epochs[0].statements, *epochs[1].statements])
    assert entry(body, "channels", "ELEC.IMPORT")["sum"] == "10"
    assert [(one["gw"], one["epoch"]) for one in body["cover"]] == [("GW-0001", 1), ("GW-0001", 2)]


def test_declared_gap_is_shown() -> None:
    chain = Chain()
    chain.config("ELEC.IMPORT", "kWh", "interval")
    gap = {"channel": "ELEC.IMPORT", "from": "2026-03-02T00:00:00.000Z", "to": "2026-03-02T05:00:00.000Z"}
    chain.event("gap", {**gap, "reason": "power cut"})
    one = {"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": "5", "min": "5", "max": "5"}
    chain.segment(MARCH, [one])
    chain.event("gap", {**gap, "reason": "known only after the month"})
    shown = [issue["en"] for issue in composed(chain.statements)["issues"] if issue["code"] == "GAP"]
    assert len(shown) == 1
    assert "power cut" in shown[0]


@pytest.mark.parametrize(
    ("reason", "zh", "en"),
    [
        ("no readings", "没有读数", "no readings"),
        ("Q31 reset: from 900 to 3", "清零（自 900 至 3）", "set to zero (from 900 to 3)"),
        ("Q31 error: from 900 to 99999", "跳变不可信（自 900 至 99999）", "impossible step (from 900 to 99999)"),
        ("of another gateway", "of another gateway", "of another gateway"),
    ],
)
def test_gap_is_told_in_both_languages(reason: str, zh: str, en: str) -> None:
    chain = Chain()
    chain.config("ELEC.IMPORT", "kWh", "interval")
    where = {"channel": "ELEC.IMPORT", "from": "2026-03-02T00:00:00.000Z", "to": "2026-03-02T05:00:00.000Z"}
    chain.event("gap", {**where, "reason": reason})
    chain.segment(MARCH, [{"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": "5", "min": "5", "max": "5"}])
    (issue,) = [one for one in composed(chain.statements)["issues"] if one["code"] == "GAP"]
    assert zh in issue["zh"]
    assert en in issue["en"]


def test_late_segment_after_a_signed_month_is_a_supplement() -> None:
    chain = Chain()
    chain.config("ELEC.IMPORT", "kWh", "interval")
    one = {"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": "5", "min": "5", "max": "5"}
    chain.segment(MARCH, [one])
    first = composed(chain.statements)
    subjects = subjects_of(jcs(first), plan_bytes(), PARAMETERS, [])
    signed = chain.month("2026-03", 1, first["cover"], subjects)
    chain.segment(MARCH + timedelta(hours=900), [{**one, "hour": "2026-03-02T00:00:00.000Z"}])
    second = composed(chain.statements)
    issue = next(one for one in second["issues"] if one["code"] == "SUPPLEMENT")
    assert issue["where"] == "revision 1"
    assert entry(second, "channels", "ELEC.IMPORT")["sum"] == "10"
    chain.month("2026-03", 2, second["cover"], subjects, supersedes=signed.sid)
    assert composed(chain.statements, cover=second["cover"]) == second
    assert composed(chain.statements, cover=first["cover"]) == first


def test_month_outside_the_sets_validity_and_years_is_reported() -> None:
    chain = Chain()
    chain.config("ELEC.IMPORT", "kWh", "interval")
    hour = MARCH.replace(year=2018)
    chain.segment(hour, [{"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": "5", "min": "5", "max": "5"}])
    assert {"NOT_IN_FORCE", "YEAR_FACTOR"} <= codes(composed(chain.statements, period="2018-03"))


def test_unconfirmed_number_is_marked_where_it_is_used(statements: list[Statement]) -> None:
    plan = copy.deepcopy(PLAN)
    plan["items"][4].update(material="dolomite")
    body = composed(statements, plan=jcs(plan))
    issue = next(one for one in body["issues"] if one["code"] == "UNCONFIRMED")
    assert issue["where"] == "cn-steel-2024 dolomite.ef_input"


def test_measured_heat_value_of_the_plan_is_used_or_its_default_named(statements: list[Statement]) -> None:
    plan = copy.deepcopy(PLAN)
    plan["items"][0]["ncv"] = {"ledger": "gas_ncv"}
    missing = composed(statements, plan=jcs(plan))
    assert entry(missing, "results", "ROLL1")["total"] == "488.11"
    assert "DEFAULT_USED" in codes(missing)
    measured = composed([*statements, ledger("gas_ncv", "38.0", "MJ/Nm3")], plan=jcs(plan))
    assert entry(measured, "results", "ROLL1")["total"] == "476.44"
    assert "DEFAULT_USED" not in codes(measured)


def test_negative_quantity_is_reported(statements: list[Statement]) -> None:
    body = composed([*statements, ledger("scrap", "-1", t="2026-04-03T00:00:00.000Z")])
    assert "NEGATIVE" in codes(body)


def test_ledger_value_logged_after_the_declaration_does_not_count() -> None:
    before, declared, after = (ledger("scrap", str(n), t=f"2026-04-0{n}T00:00:00.000Z") for n in (1, 2, 3))
    order = {before.sid: 10, declared.sid: 11, after.sid: 12}
    assert as_declared([after, before], declared, order) == [before]
    assert as_declared([after, before], declared, {}) == [before]
    assert as_declared([after, before], declared, {**order, after.sid: 1}) == [after, before]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"extra": 1}, PlanError, "plan.json: extra: unknown member"),
        ({"zone": "Asia/Nowhere"}, PlanError, "unknown time zone 'Asia/Nowhere'"),
        ({"zone": "../etc/passwd"}, PlanError, "unknown time zone"),
        ({"plant": "P-0009"}, PlanError, "the plan is for 'P-0009'"),
        ({"parameters": "cn-steel-1999"}, PlanError, "does not match the parameter set"),
        ({"sector": "cement"}, PlanError, "plan.json: sector"),
        ({"subjects": PLAN["subjects"][1:]}, PlanError, "exactly one subject is the enterprise"),
        ({"subjects": [*PLAN["subjects"], PLAN["subjects"][1]]}, PlanError, r"subjects\[3\].id: 'EAF1' stands twice"),
    ],
)
def test_bad_plan_is_refused_with_its_path(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        composed([], plan=plan_bytes(**change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "furlong"}, r"items\[2\].unit: unknown unit 'furlong'"),
        ({"unit": "MWh"}, r"items\[2\].unit: 'MWh' cannot become 't'"),
        ({"material": "unobtainium"}, r"items\[2\].material: unknown material 'unobtainium'"),
        ({"material": "coke"}, r"items\[2\].material: 'coke' cannot be input"),
        ({"role": "gift"}, r"items\[2\].role"),
        ({"role": "heat"}, r"items\[2\].material: role 'heat' has material 'heat'"),
        ({"subjects": ["EAF9"]}, r"items\[2\].subjects\[0\]: unknown subject 'EAF9'"),
        ({"subjects": ["EAF1", "EAF1"]}, r"items\[2\].subjects\[1\]: 'EAF1' stands twice"),
        ({"source": {}}, r"items\[2\].source: .*give either channel or ledger"),
        ({"source": {"ledger": "a", "channel": "B"}}, "give either channel or ledger"),
        ({"source": {"ledger": "a", "gw": "B"}}, "gw belongs to a channel"),
        ({"source": {"ledger": "scrap", "sheet": 2}}, r"items\[2\].source.sheet: unknown member"),
        ({"ncv": {"ledger": "x"}}, "ncv and carbon belong to fuels"),
        ({"role": "output"}, "for the enterprise use product"),
        ({"id": "electricity"}, r"items\[2\].id: 'electricity' stands twice"),
    ],
)
def test_bad_item_is_refused_with_its_path(change: dict[str, Any], message: str) -> None:
    plan = copy.deepcopy(PLAN)
    plan["items"][2].update(change)
    with pytest.raises(PlanError, match=message) as caught:
        composed([], plan=jcs(plan))
    assert "plan.json" in caught.value.zh


def test_process_that_the_guide_does_not_know_is_refused() -> None:
    plan = copy.deepcopy(PLAN)
    plan["subjects"][1]["process"] = "alchemy"
    with pytest.raises(PlanError, match="unknown process 'alchemy'"):
        composed([], plan=jcs(plan))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"v":1.5}', b'{"v":1,"v":1}'])
def test_plan_that_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(PlanError, match=r"plan\.json"):
        composed([], plan=data)


@pytest.mark.parametrize("period", ["2026-13", "2026-3", "202603", "", "9999-12"])
def test_period_that_is_no_month_is_refused(period: str) -> None:
    with pytest.raises(PeriodError):
        composed([], period=period)


def test_broken_parameter_set_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"parameters\.json"):
        composed([], parameters=PARAMETERS.replace(b'"0.037"', b"0.037"))


def test_subjects_name_body_plan_and_parameters_first(statements: list[Statement]) -> None:
    photo = {"name": "b.jpg", "size": 3, "sha256": sha256_hex(b"abc"), "type": "image/jpeg"}
    sheet = {"name": "a.pdf", "size": 4, "sha256": sha256_hex(b"abcd"), "type": "application/pdf"}
    captured = [
        ledger("scrap", "1", attachments=[photo, sheet]),
        ledger("slag", "1", day="2026-03-04", attachments=[photo]),
        ledger("scrap", "1", period="2026-04", attachments=[{**photo, "sha256": sha256_hex(b"other")}]),
    ]
    attachments = attachments_of(captured, plant="P-0001", period="2026-03", zone="Asia/Shanghai")
    assert attachments == [sheet, photo]
    listed = subjects_of(b"{}", b"plan", b"set", attachments)
    assert [one["name"] for one in listed] == ["body.json", "plan.json", "parameters.json", "a.pdf", "b.jpg"]
    assert listed[0]["size"] == 2


def test_all_ledgers_of_the_model_plant_are_used(statements: list[Statement]) -> None:
    used = {item["source"].get("statement") for item in composed(statements)["items"]}
    assert len(used - {None}) == len(LEDGERS)


def test_days_in_units_that_cannot_be_added_leave_the_item_absent() -> None:
    body = composed([ledger("scrap", "1", day="2026-03-01"), ledger("scrap", "1", "MWh", day="2026-03-02")])
    assert "quantity" not in entry(body, "items", "scrap")
    assert "UNIT_CONFLICT" in codes(body)


def test_days_in_other_units_of_mass_are_added_exactly() -> None:
    body = composed([ledger("scrap", "1.5", day="2026-03-01"), ledger("scrap", "250", "kg", day="2026-03-02")])
    assert Decimal(entry(body, "items", "scrap")["quantity"]) == Decimal("1.75")


def test_sum_of_days_has_the_least_certain_mode_of_its_parts() -> None:
    days = [ledger("scrap", "1", day="2026-03-01"), ledger("scrap", "1", day="2026-03-02", mode="default")]
    assert entry(composed(days), "items", "scrap")["mode"] == "default"


def test_change_from_amounts_to_instants_cannot_be_added() -> None:
    chain = Chain()
    one = {"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": "5", "min": "5", "max": "5"}
    for n, kind in enumerate(("interval", "value", "interval")):
        chain.config("ELEC.IMPORT", "kWh", kind)
        chain.segment(MARCH + timedelta(hours=n), [one])
    body = composed(chain.statements)
    assert "UNIT_CONFLICT" in codes(body)
    assert "sum" not in entry(body, "channels", "ELEC.IMPORT")


def test_change_between_units_of_different_things_cannot_be_added() -> None:
    chain = Chain()
    one = {"id": "ELEC.IMPORT", "n": 1, "valid": 1, "sum": "5", "min": "5", "max": "5"}
    for n, unit in enumerate(("kWh", "t")):
        chain.config("ELEC.IMPORT", unit, "interval")
        chain.segment(MARCH + timedelta(hours=n), [one])
    assert "UNIT_CONFLICT" in codes(composed(chain.statements))


def test_gap_without_readable_limits_is_shown_rather_than_lost() -> None:
    chain = Chain()
    chain.config("ELEC.IMPORT", "kWh", "interval")
    chain.event("gap", {"source": "D1", "from": "yesterday"})
    chain.segment(MARCH, [{"id": "ELEC.IMPORT", "n": 1, "valid": 0}])
    assert {"code": "GAP", "where": "GW-0001/D1"}.items() <= composed(chain.statements)["issues"][1].items()


def test_state_channel_is_counted_and_never_summed() -> None:
    chain = Chain()
    chain.config("EAF1.RUN", "", "state")
    chain.segment(MARCH, [{"id": "EAF1.RUN", "n": 60, "valid": 60}])
    channel = entry(composed(chain.statements), "channels", "EAF1.RUN")
    assert (channel["n"], channel["valid"]) == (60, 60)
    assert "sum" not in channel
    assert "use" not in channel


def test_measured_heat_value_in_a_wrong_unit_gives_way_to_the_default(statements: list[Statement]) -> None:
    plan = copy.deepcopy(PLAN)
    plan["items"][0]["ncv"] = {"ledger": "gas_ncv"}
    body = composed([*statements, ledger("gas_ncv", "38.0", "kWh")], plan=jcs(plan))
    assert "DEFAULT_USED" in codes(body)
    assert entry(body, "results", "ROLL1")["total"] == "488.11"


def test_carbon_report_of_the_plan_goes_first(statements: list[Statement]) -> None:
    plan = copy.deepcopy(PLAN)
    plan["items"][0]["carbon"] = {"ledger": "gas_carbon"}
    body = composed([*statements, ledger("gas_carbon", "5.9642", "tC/10^4Nm3")], plan=jcs(plan))
    [line] = entry(body, "results", "ROLL1")["lines"]
    assert line["formula"] == "fuel.carbon"
    assert line["derivation"]["children"][1]["source"]["mode"] == "measured"


@pytest.mark.parametrize(
    ("change", "en", "zh"),
    [
        ({"source": {}}, "give either channel or ledger", "必须且只能填一个"),
        ({"role": "gift"}, "must be one of 'fuel'", "只能是 'fuel'"),
        ({"source": {"ledger": ""}}, "must not be empty", "不能为空"),
        ({"id": "no spaces"}, "does not have the right form", "格式不正确"),
        ({"unit": 5}, "must be a string", "应为字符串"),
        ({"subjects": "enterprise"}, "must be a list", "应为列表"),
    ],
)
def test_refusals_are_said_in_both_languages(change: dict[str, Any], en: str, zh: str) -> None:
    plan = copy.deepcopy(PLAN)
    plan["items"][2].update(change)
    with pytest.raises(PlanError, match=en) as caught:
        composed([], plan=jcs(plan))
    assert zh in caught.value.zh


def test_channels_agree_with_what_the_verifier_adds_up(statements: list[Statement]) -> None:
    body = composed(statements)
    segments = [Signed(one, SIGNER, None) for one in statements if one.kind == "segment"]
    sums = channel_sums(segments, "2026-03", ZoneInfo("Asia/Shanghai"))
    assert set(sums) == {(channel["gw"], channel["id"]) for channel in body["channels"]}
    for channel in body["channels"]:
        assert sums[channel["gw"], channel["id"]].agrees(channel)
