"""Minutes of a stack's channel in a segment, and what a configuration says of it."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from evidence.channel import Channel, ChannelKind
from evidence.errors import EvidenceError
from evidence.judge_rules import packaged_rules
from evidence.kinds import ChannelEntry, ConfigData
from evidence.minutes import minute_values
from evidence.reading import Flag, Leaf
from evidence.segment import entry_agrees, summarise
from evidence.stack import Derivation, StackMeaning, joined_letters, minute_letters, minute_starts

T0 = datetime(2026, 3, 1, tzinfo=UTC)
RULES = packaged_rules()
MEANING = StackMeaning("co2_concentration", Decimal(12), Decimal("0.75"), RULES.name_json())
ZONE = ZoneInfo("Asia/Shanghai")
NAME = {"id": "cn-hj75", "version": "1", "hash": "0" * 64}


def channel(poll_s: float = 5, **members: Any) -> Channel:
    made = {"kind": ChannelKind.VALUE, "stack": MEANING, **members}
    return Channel("CO2", "%", made.pop("kind"), timedelta(seconds=poll_s), "cems", "modbus", **made)


@pytest.mark.parametrize("poll_s", [5, 10, 30, 60])
def test_letters_say_what_the_minute_values_say(poll_s: float, rng: random.Random) -> None:
    poll = timedelta(seconds=poll_s)
    leaves = [
        Leaf(at, T0 + at * poll, "CO2", Decimal(rng.randint(1, 30)), "%", rng.choice([Flag.NORMAL] * 9 + list(Flag)))
        for at in range(int(3600 / poll_s))
        if rng.random() < 0.93
    ]
    letters = minute_letters(leaves, poll, MEANING)
    by_minute = {one.start: one for one in minute_values(leaves, poll, RULES)}
    for start, letter in zip(minute_starts(T0), letters, strict=True):
        assert (letter == "N") == (start in by_minute and by_minute[start].is_valid)
        assert (letter == "-") == (start not in by_minute)
        if letter not in "N-D":
            assert letter == by_minute[start].dominant.value


def test_entry_follows_from_its_leaves_and_no_others() -> None:
    leaves = [Leaf(at, T0 + timedelta(seconds=5 * at), "CO2", Decimal(20), "%", Flag.NORMAL) for at in range(360)]
    (entry,), _ = summarise(leaves, {"CO2": channel()}, T0, ZONE, {})
    assert entry["minutes"] == "N" * 30 + "-" * 30
    assert entry_agrees(entry, leaves, channel())
    assert not entry_agrees({**entry, "minutes": "N" * 31 + "-" * 29}, leaves, channel())
    assert not entry_agrees({name: said for name, said in entry.items() if name != "minutes"}, leaves, channel())
    ChannelEntry.model_validate(entry)


@pytest.mark.parametrize(
    "plain", [channel(stack=None), channel(61), channel(3600), channel(kind=ChannelKind.INTERVAL)], ids=str
)
def test_channel_without_minutes_has_no_letters(plain: Channel) -> None:
    leaves = [Leaf(0, T0, "CO2", Decimal(20), "%", Flag.NORMAL)]
    (entry,), _ = summarise(leaves, {"CO2": plain}, T0, ZONE, {})
    assert "minutes" not in entry
    assert entry_agrees(entry, leaves, plain)


def test_letters_of_several_segments_are_joined() -> None:
    assert joined_letters([]) == "-" * 60
    first, late = "N" * 20 + "B" * 40, "-" * 10 + "D" * 10 + "N" * 20 + "-" * 20
    assert joined_letters([first, late]) == "N" * 40 + "B" * 20


def test_meaning_and_derivation_survive_their_event() -> None:
    derived = Derivation("co2-mass", {"co2": "CO2"}, {"area_m2": Decimal("27.64")}, NAME, "wet")
    made = channel(60, kind=ChannelKind.DERIVED, derived=derived)
    assert Channel.from_config(made.config_data()) == made
    assert "stack" not in channel(stack=None).config_data()


def config(**changed: Any) -> dict[str, Any]:
    data = channel().config_data()
    return {**data, **changed}


@pytest.mark.parametrize(
    "wrong",
    [
        config(stack={**MEANING.to_json(), "samples": "a dozen"}),
        config(stack={**MEANING.to_json(), "rules": {"id": "cn-quality", "version": "2"}}),
        config(stack={**MEANING.to_json(), "rules": {**MEANING.rules, "overrides": [{"rule": "Q09", "reason": "–"}]}}),
        config(stack={**MEANING.to_json(), "rules": {**MEANING.rules, "overrides": []}}),
        config(derived={"rule": "co2-mass", "inputs": {"co2": "X"}, "rules": NAME}),
    ],
)
def test_configuration_that_says_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, EvidenceError)):
        ConfigData.model_validate(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"minutes": "N" * 59},
        {"minutes": "X" * 60},
        {"minutes": "N" * 61},
        {"found": {}},
        {"found": {"Q3": 1}},
        {"found": {"Q03": 0}},
    ],
)
def test_entry_that_says_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        ChannelEntry.model_validate({"id": "CO2", "n": 1, "valid": 0, **wrong})
