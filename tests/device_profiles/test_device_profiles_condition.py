"""The condition language: what it reads, what it refuses, and what is neither true nor false."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_profiles.condition import coded, holds, names_in, parse_condition

KNOWN = {"live": Decimal(1), "malf": Decimal(0), "raw": Decimal("12.5"), "mode": "standby"}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("live == 1", True),
        ("live != 1", False),
        ("raw > 12", True),
        ("raw >= 12.5", True),
        ("raw < 12.5", False),
        ("raw <= -3", False),
        ("0 == malf", True),
        ('mode == "standby"', True),
        ('mode != "running"', True),
        ("live == 1 and malf == 1", False),
        ("live == 1 or malf == 1", True),
        ("not malf == 1", True),
        ("not (malf == 1 or live == 1)", False),
        # and binds closer than or
        ("live == 1 or malf == 1 and malf == 1", True),
        ("(live == 1 or malf == 1) and malf == 1", False),
        # what was not read is unknown, unless the rest decides
        ("gone == 1", None),
        ("not gone == 1", None),
        ("gone == 1 and live == 1", None),
        ("gone == 1 and live == 0", False),
        ("gone == 1 or live == 1", True),
        ("gone == 1 or live == 0", None),
        # text and number are never equal
        ("mode == 1", False),
    ],
)
def test_conditions_say_true_false_or_unknown(text: str, answer: bool | None) -> None:
    assert holds(parse_condition(text), KNOWN.get) is answer


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "too early"),
        ("live", "comparison"),
        ("live ==", "too early"),
        ("== 1", "not expected"),
        ("live = 1", "no point"),
        ("live == 1 1", "not expected"),
        ("(live == 1", "closing bracket"),
        ("live == 1)", "not expected"),
        ("1 == 1", "two constants"),
        ('mode < "b"', "== and !="),
        ("live == 1 and", "too early"),
        ("__import__('os')", "no point"),
        ("live.real == 1", "no point"),
        ("f(live) == 1", "comparison"),
        ("live == 1 " * 40, "longer than"),
        ("(" * 60 + "live == 1" + ")" * 60, "too deep"),
        ("not " * 60 + "live == 1", "too deep"),
    ],
)
def test_anything_else_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_condition(text)


@given(
    st.text(max_size=60) | st.lists(st.sampled_from(["live", "==", "(", ")", "and", "not", "1", "or"])).map(" ".join)
)
def test_any_text_is_a_condition_or_a_value_error(text: str) -> None:
    try:
        condition = parse_condition(text)
    except ValueError:
        return
    assert names_in(condition)
    assert holds(condition, KNOWN.get) in (True, False, None)


def test_words_of_an_enumeration_become_its_codes() -> None:
    enums = {"mode": {"off": 0, "running": 1}}
    condition = coded(parse_condition('not (mode == "running" or "off" == mode) and live == 1'), enums)
    assert holds(condition, {"mode": Decimal(1), "live": Decimal(1)}.get) is False
    with pytest.raises(KeyError):
        coded(parse_condition('mode == "exploded"'), enums)
