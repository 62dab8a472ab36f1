"""A channel taken into use: the comparison's rule, and a record that must follow from its own figures."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from evidence_world import NOW, World
from hypothesis import given
from hypothesis import strategies as st
from test_evidence_records import event

from evidence.channel import Channel, ChannelKind, Profile
from evidence.commissioning import Commissioned, Display, Read, canonical, commissioned_from, compare
from evidence.errors import Code, EvidenceError
from evidence.kinds import validate
from evidence.totaliser import Totaliser
from evidence.verdict import Verdict
from evidence.verify import verify_bundle

NOON = datetime(2026, 3, 1, 4, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
PROFILE = Profile("schneider-iem3000", 1, "0" * 64)
TOTAL = Channel(
    "ELEC.TOTAL", "kWh", ChannelKind.TOTAL, MINUTE, "em1", "modbus", profile=PROFILE,
    totaliser=Totaliser(max_rate=Decimal(600), backstep=Decimal(0), resettable=False, step=Decimal("0.001")),
)  # fmt: skip
POWER = Channel("ELEC.POWER", "kW", ChannelKind.VALUE, MINUTE, "em1", "modbus", profile=PROFILE)
STATE = Channel("KILN.STATE", "1", ChannelKind.STATE, MINUTE, "em1", "modbus", profile=PROFILE)


def agrees(channel: Channel, shown: str, value: str, minutes: int = 0, **options: Any) -> bool:
    display, read = Display(shown, NOON), Read(value, "0001", NOON + minutes * MINUTE)
    return compare(channel, display, read, **options).agrees


@pytest.mark.parametrize(
    ("shown", "value", "minutes", "agree"),
    [
        ("123.4", "123.456", 0, True),
        ("123.4", "123.5", 0, True),  # one step of the display
        ("123.4", "123.501", 0, False),
        ("123.4", "123.299", 0, False),
        ("123.4", "133.4", 1, True),  # 600 an hour are 10 a minute
        ("123.4", "133.6", 1, False),
        ("123.4", "123.2", 60, False),  # a counter does not run backwards
        ("123.4", "113.4", -1, True),
        ("123", "124", 0, True),
        ("1.234567", "1.235567", 0, True),  # one step of the counter, where that is the larger
        ("run", "123", 0, False),
    ],
)
def test_total_may_be_a_step_off_and_count_on_but_not_run_backwards(
    shown: str, value: str, minutes: int, agree: bool
) -> None:
    assert agrees(TOTAL, shown, value, minutes) is agree


@pytest.mark.parametrize(
    ("shown", "value", "options", "agree"),
    [
        ("100.0", "105.1", {}, True),
        ("100.0", "105.2", {}, False),
        ("-100.0", "-94.9", {}, True),
        ("100.0", "101.2", {"percent": Decimal(1)}, False),
        ("100.0", "160.1", {"change_per_s": Decimal(1)}, True),
        ("100.0", "160.2", {"change_per_s": Decimal(1)}, False),
        ("0", "1", {}, True),
        ("0.0", "0.2", {}, False),
    ],
)
def test_value_may_move_by_its_rate_of_change_or_some_per_cent(
    shown: str, value: str, options: dict[str, Any], agree: bool
) -> None:
    assert agrees(POWER, shown, value, 1, **options) is agree


@pytest.mark.parametrize(
    ("shown", "value", "agree"), [("3", "3", True), ("3", "4", False), ("run", "run", True), ("run", "stop", False)]
)
def test_state_is_the_same_or_it_does_not_agree(shown: str, value: str, agree: bool) -> None:
    assert agrees(STATE, shown, value) is agree


@pytest.mark.parametrize(
    ("typed", "written"),
    [("0123.450", "123.450"), ("+5", "5"), ("-0", "0"), ("1e3", "1000"), ("run", "run"), ("3-2-1", "3-2-1"), ("", "")],
)
def test_what_a_person_types_is_written_in_one_way(typed: str, written: str) -> None:
    assert canonical(typed) == written


def record(**changed: Any) -> Commissioned:
    compared = tuple(
        compare(TOTAL, Display(shown, NOON + at * MINUTE), Read("126239.474", "0000 0000 0786 42F2", NOON + 9 * MINUTE))
        for at, shown in ((0, "126239.4"), (5, "126239.47"))
    )
    said: dict[str, Any] = {
        "channel": TOTAL, "at": NOON + 10 * MINUTE, "by": "李磊", "point": "energy_import", "table": "holding",
        "address": 3203, "order": "ABCDEFGH", "compared": compared, "neighbours": ((-1, "0000"), (1, "42F2")),
        **changed,
    }  # fmt: skip
    return Commissioned(**said)


def test_record_reads_back_as_it_was_written() -> None:
    data = record().event_data()
    validate(event("config", data))
    read = commissioned_from(data)
    assert read is not None
    assert read.event_data() == data
    assert commissioned_from(TOTAL.config_data()) is None


@given(
    shown=st.decimals(0, 10**9, places=3), value=st.decimals(0, 10**9, places=3), minutes=st.integers(-100, 100),
    reason=st.sampled_from(["because", "display broken"]),
)  # fmt: skip
def test_any_comparison_makes_a_record_that_validates(
    shown: Decimal, value: Decimal, minutes: int, reason: str
) -> None:
    for channel in (TOTAL, POWER):
        one = compare(channel, Display(str(shown), NOON), Read(canonical(str(value)), "0001", NOON + minutes * MINUTE))
        two = compare(channel, Display(str(shown), NOON + MINUTE), one.read)
        made = record(
            channel=channel, compared=(one, two), at=NOON + 200 * MINUTE,
            reason="" if one.agrees and two.agrees else reason,
        )  # fmt: skip
        data = made.event_data()
        validate(event("config", data))
        read = commissioned_from(data)
        assert read is not None
        assert read.event_data() == data


def _changed(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for step in path[:-1]:
            data = data[step]  # type: ignore[index]
        if to is None:
            del data[path[-1]]  # type: ignore[index]
        else:
            data[path[-1]] = to  # type: ignore[index]

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_changed("commissioned", "displays", 0, "shown", to="1.0"), "off is not read less shown"),
        (_changed("commissioned", "displays", 0, "off", to=None), "numbers have off, least and most"),
        (_changed("commissioned", "displays", 0, "agrees", to=False), "agrees does not follow"),
        (_changed("commissioned", "displays", 0, "least", to="1"), "0 between them"),
        (_changed("commissioned", "displays", 0, "most", to="0.01"), "agrees does not follow"),
        (_changed("commissioned", "displays", 0, "shown", to="run"), "words have no difference"),
        (_changed("commissioned", "displays", 0, "at", to="2026-03-01T04:05:00.000Z"), "not later than the first"),
        (_changed("commissioned", "displays", 1, to=None), "displays"),
        (_changed("commissioned", "at", to="2026-03-01T04:08:00.000Z"), "after the acceptance"),
        (_changed("commissioned", "value", to="126239.475"), "not those of the last reading"),
        (_changed("commissioned", "words", to="0000 0000 0786 42F3"), "not those of the last reading"),
        (_changed("commissioned", "words", to="0x07"), "hexadecimal words"),
        (_changed("commissioned", "order", to="ACBD"), "order"),
        (_changed("commissioned", "by", to=""), "by"),
        (_changed("commissioned", "by", to=None), "by"),
        (_changed("commissioned", "mood", to="good"), "mood"),
        (_changed("commissioned", "neighbours", 0, "offset", to=2), "offset"),
        (_changed("profile", to=None), "a device profile decodes"),
    ],
)
def test_record_that_contradicts_itself_is_refused(change: Callable[[dict[str, Any]], None], says: str) -> None:
    data = copy.deepcopy(record().event_data())
    change(data)
    with pytest.raises(EvidenceError) as refused:
        validate(event("config", data))
    assert refused.value.code is Code.SCHEMA
    assert says in str(refused.value)


def test_contradiction_without_a_reason_is_refused() -> None:
    wrong = compare(TOTAL, Display("1.0", NOON), Read("126239.474", "0000 0000 0786 42F2", NOON))
    later = compare(TOTAL, Display("1.0", NOON + MINUTE), wrong.read)
    with pytest.raises(EvidenceError, match="needs a reason"):
        validate(event("config", record(compared=(wrong, later)).event_data()))
    validate(event("config", record(compared=(wrong, later), reason="display broken").event_data()))


def test_bundle_with_a_commissioned_channel_is_verified(world: World) -> None:
    world.device("event", type="config", data=record().event_data())
    world.read_hour(4, ["1", "2", "3", "4"])
    world.seal(4)
    world.approve(world.close_month())
    assert verify_bundle(world.pack(), world.trust(), NOW).verdict is Verdict.VALID
