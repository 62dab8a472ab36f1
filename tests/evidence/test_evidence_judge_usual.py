"""Usual readings: the short way through the judge comes to the verdict of the long way, whatever came before."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.channel import Channel, ChannelKind
from evidence.judge import Basis, Circumstances, Verdict, Watch, decide
from evidence.judge_rules import Override, RuleSet, packaged_rules
from evidence.judge_usual import Usual
from evidence.judge_value import Limits
from evidence.reading import Flag, Reading
from evidence.totaliser import Totaliser

T0 = datetime(2026, 3, 1, tzinfo=UTC)
RULES = packaged_rules()
RULE = Totaliser(Decimal(1000), Decimal(5), True, Decimal(1_000_000))

TEXTS = ("5", "5", "5.5", "0", "-0.2", "-9", "21", "26", "120", "999999", "20", "1E+30", "NaN", "1E-30")
VALUES = st.sampled_from(TEXTS)
FAR_S = 6_000_000_000
"""Seconds to a year that no statement can hold."""
STEPS = st.sampled_from([10, 10, 10, 10, 10, 0, -10, 15, 25, 40, 4000, FAR_S])


@st.composite
def readings(draw: st.DrawFn) -> list[Reading]:
    """A stream of mostly usual readings, with everything that can be wrong with one."""
    time, found = T0, []
    for _ in range(draw(st.integers(1, 25))):
        seconds = draw(STEPS)
        at = time + timedelta(seconds=seconds)
        time = time if seconds == FAR_S else at
        flag = draw(st.sampled_from([*[Flag.NORMAL] * 6, Flag.NO_COMMUNICATION, Flag.MAINTENANCE]))
        value = None if flag is Flag.NO_COMMUNICATION and draw(st.booleans()) else Decimal(draw(VALUES))
        late = timedelta(seconds=draw(st.sampled_from([0, 0, 0, 30, 200, 3000, -30, -300])))
        text = draw(st.sampled_from(["", "", "20260301080000"]))
        unit = draw(st.sampled_from(["%", "%", "%", "kWh"]))
        is_imported = draw(st.sampled_from([False, False, False, True]))
        said = draw(st.sampled_from(["", "", "hold"]))
        found.append(Reading("C", at, value, unit, flag, at + late, said, device_time=text, imported=is_imported))
    return found


def channel(kind: ChannelKind, via: str, poll_s: int) -> Channel:
    rule = RULE if kind is ChannelKind.TOTAL else None
    return Channel("C", "%", kind, timedelta(seconds=poll_s), "d", via, totaliser=rule)


def rule_sets() -> st.SearchStrategy[RuleSet]:
    names = st.lists(
        st.sampled_from(["Q02", "Q03", "Q04", "Q05", "Q06", "Q15", "Q16", "Q17", "Q18", "Q31"]), max_size=3
    )
    return names.map(lambda off: RULES.with_overrides([Override(name, "test") for name in off]))


BASES = st.builds(
    Basis,
    channel=st.builds(
        channel,
        st.sampled_from(ChannelKind),
        st.sampled_from(["modbus", "mqtt", "hj212"]),
        st.sampled_from([1, 10, 60]),
    ),
    rules=rule_sets(),
    limits=st.sampled_from([Limits(), Limits(Decimal(0), Decimal(100)), Limits(high=Decimal(20))]),
    quantity=st.sampled_from(["", "o2"]),
    span=st.sampled_from([Limits(), Limits(Decimal(0), Decimal(25))]),
    calibrated_every=st.sampled_from([None, None, None, timedelta(hours=24)]),
    is_identity=st.sampled_from([False, False, False, True]),
    is_sparse=st.booleans(),
)
AROUND = st.sampled_from(
    [Circumstances(), Circumstances(), Circumstances(is_stopped=True), Circumstances(has_restarted=True)]
)


def verdicts(basis: Basis, stream: list[Reading], around: Circumstances) -> list[Verdict]:
    watch, found = Watch(), []
    for reading in stream:
        found.append(decide(watch, reading, basis, reading.received, around))
        watch = found[-1].watch
    return found


@given(BASES, readings(), AROUND)
def test_short_and_long_way_come_to_the_same_verdicts(
    basis: Basis, stream: list[Reading], around: Circumstances
) -> None:
    short = verdicts(basis, stream, around)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Usual, "covers", lambda *_, **__: False)
        long = verdicts(basis, stream, around)
    assert short == long


def test_readings_in_time_and_range_go_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    basis = Basis(channel(ChannelKind.VALUE, "modbus", 10), RULES, Limits(Decimal(0), Decimal(100)))
    stream = [
        Reading("C", at, Decimal(count), "%", Flag.NORMAL, at)
        for count, at in enumerate(T0 + timedelta(seconds=10 * count) for count in range(50))
    ]
    monkeypatch.setattr("evidence.judge._looked_at", None)
    assert all(not one.findings for one in verdicts(basis, stream, Circumstances()))
