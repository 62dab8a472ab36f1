"""Derived channels of a gateway: computed from stored readings when an hour is sealed, and recomputable by anyone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from conftest import START, Plant

from accounting.cems_channels import derive, rule_of
from accounting.cems_month import cems_month
from accounting.cems_rules import read_rules, rules_bytes, rules_named
from accounting.cover import derive_cover
from accounting.exact import half_up
from accounting.period import month_of
from accounting.stack_checks import stack_findings
from accounting.stack_hours import stack_channels
from evidence.channel import Channel
from evidence.judge_rules import rules_of
from evidence.marks import Mark, MarkKind
from evidence.reading import Flag, Leaf, Reading
from evidence.segment import entry_agrees
from gateway.catalogue import load_catalogue
from gateway.chain import own_statements
from gateway.errors import MisuseError
from gateway.reading_store import insert_readings, leaves_between

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
PARTS = {
    "V": ("m/s", "stack_velocity", "9.85"),
    "T": ("degC", "stack_temperature", "48.0"),
    "PS": ("Pa", "stack_pressure", "-120"),
    "H2O": ("%", "moisture", "18.0"),
    "CO2": ("%", "co2_concentration", "22.4"),
}
INPUTS = 'inputs = { velocity = "V", temperature = "T", gauge = "PS", moisture = "H2O", co2 = "CO2" }'
DERIVED = f"""
[[derived]]
id = "STACK.CO2"
case = "co2-mass"
{INPUTS}
constants = {{ area_m2 = "27.64", barometer_pa = "101325" }}
basis = "dry"
subject = "KILN"

[[derived.rule]]
id = "Q10"
off = true
reason = "the plant follows the national rules"
"""
SITE = (
    """
[[import]]
id = "logger"
interval_s = 60
"""
    + "".join(
        f"""
[[channel]]
id = "{name}"
device = "logger"
kind = "value"
unit = "{unit}"
quantity = "{quantity}"
subject = "KILN"
"""
        for name, (unit, quantity, _) in PARTS.items()
    )
    + DERIVED
)


@pytest.fixture
def kiln(make_plant: Callable[..., Plant]) -> Plant:
    return make_plant(SITE)


def read(plant: Plant, minutes: range, **changed: tuple[str | None, Flag]) -> None:
    """Store one reading a minute of every part, and set the clock past the hour."""
    arrivals = []
    for at in minutes:
        for name, (unit, _, usual) in PARTS.items():
            value, flag = changed.get(name, (usual, Flag.NORMAL))
            time = START + at * MINUTE
            number = None if value is None else Decimal(value)
            reading = Reading(name, time, number, unit, flag, time, imported=True)
            arrivals.append(plant.pipeline.arrival(reading))
    plant.clock.advance(START + 2 * HOUR - plant.clock.now())
    plant.writer.call(lambda store: insert_readings(store, arrivals))


def sealed(plant: Plant) -> list[Mapping[str, Any]]:
    """Seal what is due and return the entries of the derived channel, in the order they were signed."""
    plant.pipeline.seal_due(timedelta(0))
    return entries(plant, "STACK.CO2")


def entries(plant: Plant, channel: str) -> list[Mapping[str, Any]]:
    segments = [one for one in plant.writer.call(own_statements) if one.kind == "segment"]
    return [entry for one in segments for entry in one.payload["ch"] if entry["id"] == channel]


def leaves(plant: Plant, channel: str) -> list[Leaf]:
    first, end = "2026-03-01T00:00:00.000Z", "2026-03-01T01:00:00.000Z"
    found: list[Leaf] = plant.writer.call(lambda store: leaves_between(store, channel, first, end))
    return found


def channels(plant: Plant) -> dict[str, Channel]:
    events = [one.payload for one in plant.writer.call(own_statements) if one.kind == "event"]
    return {one["data"]["channel"]: Channel.from_config(one["data"]) for one in events if one["type"] == "config"}


def test_hour_of_the_kiln_is_sealed_with_mass_minutes_and_code(kiln: Plant) -> None:
    read(kiln, range(60))
    (entry,) = sealed(kiln)
    assert (entry["n"], entry["valid"], entry["minutes"], entry["code"]) == (60, 60, "N" * 60, "CN-M")
    assert str(half_up(Decimal(entry["sum"]) / 60, 3)) == "300.391"
    assert entries(kiln, "CO2")[0]["minutes"] == "N" * 60


def test_derived_readings_follow_from_the_declaration_and_the_parts(kiln: Plant) -> None:
    """Whoever holds the leaves and the config events computes every derived reading, and the segment's figures."""
    read(kiln, range(50))
    read(kiln, range(50, 55), CO2=("21", Flag.CALIBRATION))
    (entry,) = sealed(kiln)
    known = channels(kiln)
    mass = known["STACK.CO2"]
    rule = rule_of(mass, known)
    assert mass.derived is not None
    rules = read_rules(rules_bytes(str(mass.derived.rules["id"])))
    parts = {one.id: leaves(kiln, one.id) for one in rule.channels.values()}
    checks = {one.id: found for one in known.values() if one.stack and (found := rules_of(one.stack.rules))}
    again = derive(rule, parts, rules, checks, START)
    stored = leaves(kiln, "STACK.CO2")
    assert [(one.time, one.value, one.flag) for one in again] == [(one.time, one.value, one.flag) for one in stored]
    assert entry_agrees(entry, stored, mass)
    assert entry["minutes"] == "N" * 50 + "C" * 5 + "-" * 5
    assert not entry_agrees({**entry, "minutes": "N" * 60}, stored, mass)


def test_hour_with_too_few_minutes_is_coded_missing_and_a_marked_stop_not_operating(kiln: Plant) -> None:
    read(kiln, range(44))
    assert sealed(kiln)[0]["code"] == "CN-X"
    whole = Mark(MarkKind.STOP, START, START + HOUR, START, "Li", "kiln stop", subject="KILN")
    kiln.pipeline.mark(whole)
    read(kiln, range(44, 46))
    assert [one["code"] for one in sealed(kiln)] == ["CN-X", "CN-F"]


def test_late_readings_complete_a_minute_and_replace_none(kiln: Plant) -> None:
    read(kiln, range(30))
    read(kiln, range(30, 60), CO2=(None, Flag.NO_COMMUNICATION))
    assert sealed(kiln)[0]["minutes"] == "N" * 30 + "B" * 30
    late = []
    for at in (5, 40):
        time = START + at * MINUTE + timedelta(seconds=9)
        again = Reading("CO2", time, Decimal(20), "%", Flag.NORMAL, time, imported=True)
        late.append(kiln.pipeline.arrival(again))
    kiln.writer.call(lambda store: insert_readings(store, late))
    first, second = sealed(kiln)
    assert (first["n"], second["n"], second["valid"]) == (60, 1, 1)
    assert second["minutes"] == "-" * 40 + "N" + "-" * 19
    kiln.pipeline.seal_due(timedelta(0))
    assert len(entries(kiln, "STACK.CO2")) == 2


def test_what_the_gateway_sealed_is_what_the_centre_shows(kiln: Plant) -> None:
    """From the signed statements alone: the tonnes of the hour, its code, and no finding of that hour."""
    read(kiln, range(60))
    sealed(kiln)
    statements = kiln.writer.call(own_statements)
    events = [one for one in statements if one.kind == "event"]
    month = month_of("2026-03", ZoneInfo("Asia/Shanghai"))
    covered = derive_cover([one for one in statements if one.kind == "segment"], month)
    stacks = stack_channels(covered, events, month)
    assert {one.quantity for one in stacks} == {"co2_mass", *(quantity for _, quantity, _ in PARTS.values())}
    mass = next(one for one in stacks if one.channel.id == "STACK.CO2")
    said = cems_month(mass, month, month, rules_named(), until=START + HOUR)
    assert said is not None
    hour = said.hours[-1]
    assert (hour.start, str(hour.tonnes), hour.coded.code, hour.signed_code) == (START, "300.391", "CN-M", "CN-M")
    findings = stack_findings(stacks, month, until=START + HOUR)
    assert [one for one in findings if one.start == START] == []


def test_site_without_derived_channels_or_stack_says_nothing_new(make_plant: Callable[..., Plant]) -> None:
    plant = make_plant()
    assert all(one.stack is None and one.derived is None for one in channels(plant).values())


def test_override_of_a_derived_channel_travels_in_its_declaration(kiln: Plant) -> None:
    meaning = channels(kiln)["STACK.CO2"].stack
    assert meaning is not None
    assert meaning.rules["overrides"][0]["reason"] == "the plant follows the national rules"
    rules = rules_of(meaning.rules)
    assert rules is not None
    assert rules.rule("Q10").is_off


def test_finding_of_severity_e_is_counted_in_the_segment(kiln: Plant) -> None:
    read(kiln, range(58))
    ahead = kiln.pipeline.arrival(
        Reading("T", START + 59 * MINUTE, Decimal(48), "degC", Flag.NORMAL, START, imported=True)
    )
    assert ahead.reading.reason == "Q03 time lies in the future"
    kiln.writer.call(lambda store: insert_readings(store, [ahead]))
    sealed(kiln)
    assert entries(kiln, "T")[0]["found"] == {"Q03": 1}
    assert "found" not in entries(kiln, "V")[0]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('case = "co2-mass"', 'case = "co2"', "derived.STACK.CO2.case"),
        ('velocity = "V"', 'velocity = "SPEED"', "derived.STACK.CO2.inputs.velocity"),
        ('velocity = "V"', 'speed = "V"', "derived.STACK.CO2.inputs.speed"),
        (', co2 = "CO2"', "", "derived.STACK.CO2.inputs.co2"),
        ('velocity = "V"', 'velocity = "T"', "derived.STACK.CO2.inputs.velocity"),
        ('area_m2 = "27.64", ', "", "derived.STACK.CO2.constants.area_m2"),
        (', barometer_pa = "101325"', "", "derived.STACK.CO2.inputs.barometer"),
        ('"27.64"', '"-1"', "derived.STACK.CO2.constants.area_m2"),
        ('basis = "dry"', 'basis = "dry"\nrules = "hj75"', "derived.STACK.CO2.rules"),
        ('basis = "dry"', 'basis = "damp"', "derived.0.basis"),
        ('id = "STACK.CO2"', 'id = "CO2"', "(file)"),
        ('id = "Q10"', 'id = "Q99"', "rule.Q99"),
        ("interval_s = 60", "interval_s = 300", "derived.STACK.CO2.inputs"),
    ],
)
def test_mistake_in_a_derived_channel_names_file_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    path = tmp_path / "site.toml"
    assert old in SITE
    path.write_text(SITE.replace(old, new), "utf-8")
    with pytest.raises(MisuseError) as refused:
        load_catalogue(path)
    for text in (refused.value.zh, refused.value.en):
        assert "site.toml" in text
        assert key in text
        assert "\n" not in text
