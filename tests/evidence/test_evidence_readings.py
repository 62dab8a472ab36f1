"""Readings, totalisers, segments and raw tiles: what is booked, to which hour, and how it is proved."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evidence.channel import Channel, ChannelKind
from evidence.encoding import parse_decimal, time_text
from evidence.errors import Code, EvidenceError
from evidence.judge import Limits, TotalWatch, judge, judge_total
from evidence.judge_rules import packaged_rules
from evidence.merkle import RightEdge, leaf_hash, root, verify_inclusion
from evidence.reading import Flag, Leaf, Reading, leaf_line, leaf_members, parse_leaf, salted_line
from evidence.segment import Baseline, entry_agrees, hour_of, summarise
from evidence.tile_proof import TileProof, reading_path, tile_path, verify_tile
from evidence.totaliser import StepKind, Totaliser, judge_step

HOUR = timedelta(hours=1)
T0 = datetime(2026, 3, 1, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
RULES = packaged_rules()
RULE = Totaliser(Decimal(100), Decimal(5), True, Decimal(1_000_000))
TOTAL = Channel("E", "kWh", ChannelKind.TOTAL, timedelta(minutes=15), "meter", "modbus", totaliser=RULE)


@pytest.mark.parametrize(
    ("old", "new", "elapsed", "restarted", "kind", "use", "floor"),
    [
        (500, 560, HOUR, False, StepKind.NORMAL, 60, 560),
        (999_980, 20, HOUR, False, StepKind.ROLLOVER, 40, 20),
        (123_456, 35, HOUR, False, StepKind.RESET, 35, 35),
        (123_456, 123_453, HOUR, True, StepKind.BACKSTEP, 0, 123_456),
        (123_456, 123_453, HOUR, False, StepKind.ERROR, None, 123_453),
        (123_456, 3_796_107_265, HOUR, False, StepKind.ERROR, None, 3_796_107_265),
        (560, 2_960, 24 * HOUR, False, StepKind.NORMAL, 2_400, 2_960),
        (560, 640, 2 * HOUR, False, StepKind.NORMAL, 80, 640),
    ],
)
def test_published_totaliser_steps(
    old: int, new: int, elapsed: timedelta, restarted: bool, kind: StepKind, use: int | None, floor: int
) -> None:
    step = judge_step(Decimal(old), Decimal(new), elapsed, RULE, restarted=restarted)
    assert (step.kind, step.use, step.floor) == (kind, None if use is None else Decimal(use), Decimal(floor))


def totals(*readings: tuple[float, str]) -> list[Leaf]:
    return [
        Leaf(index, T0 + HOUR * hours, "E", Decimal(value), "kWh", Flag.NORMAL)
        for index, (hours, value) in enumerate(readings)
    ]


def test_total_read_at_the_limit_closes_the_hour_before() -> None:
    leaves = totals((0, "100"), (0.5, "110"), (1, "125.5"), (1.25, "130"))
    entries, after = summarise(leaves, {"E": TOTAL}, T0, ZONE, {})
    assert entries == [
        {"id": "E", "n": 1, "valid": 1, "hour": time_text(T0 - HOUR), "first": "100", "last": "100", "use": "0"},
        {"id": "E", "n": 2, "valid": 2, "first": "100", "last": "125.5", "use": "25.5"},
        {"id": "E", "n": 1, "valid": 1, "hour": time_text(T0 + HOUR), "first": "125.5", "last": "130", "use": "4.5"},
    ]
    assert after == {"E": Baseline(Decimal(130), leaves[-1].time)}


def test_use_over_a_gap_is_right_and_marked() -> None:
    before = {"E": Baseline(Decimal(560), T0)}
    entries, _ = summarise(totals((24, "2960")), {"E": TOTAL}, T0 + 23 * HOUR, ZONE, before)
    assert entries == [{"id": "E", "n": 1, "valid": 1, "first": "560", "last": "2960", "use": "2400", "gap": True}]


def test_unusable_readings_count_but_do_not_add() -> None:
    leaves = totals((0.25, "10"), (0.5, "11"))
    leaves.insert(1, Leaf(9, T0 + HOUR / 3, "E", None, "kWh", Flag.NO_COMMUNICATION))
    entries, _ = summarise(leaves, {"E": TOTAL}, T0, ZONE, {})
    assert entries == [{"id": "E", "n": 3, "valid": 2, "first": "10", "last": "11", "use": "1"}]
    only_bad = [replace(leaves[1], index=0)]
    assert summarise(only_bad, {"E": TOTAL}, T0, ZONE, {})[0] == [{"id": "E", "n": 1, "valid": 0}]


@given(st.lists(st.integers(0, 25), min_size=2, max_size=60), st.integers(1, 59))
def test_use_of_all_hours_is_last_minus_first_however_it_is_cut(steps: list[int], cut: int) -> None:
    """Sealing earlier or later, in one segment or many, books the same energy in the same hours."""
    value, leaves = Decimal(0), []
    for index, step in enumerate(steps):
        value += step
        leaves.append(Leaf(index, T0 + index * timedelta(minutes=15), "E", value, "kWh", Flag.NORMAL))
    whole, _ = summarise(leaves, {"E": TOTAL}, T0, ZONE, {})
    first, carried = summarise(leaves[:cut], {"E": TOTAL}, T0, ZONE, {})
    second, _ = summarise(leaves[cut:], {"E": TOTAL}, T0, ZONE, carried)

    def by_hour(entries: list[dict[str, str]]) -> dict[str, Decimal]:
        sums: dict[str, Decimal] = {}
        for entry in entries:
            hour = entry.get("hour", time_text(T0))
            sums[hour] = sums.get(hour, Decimal(0)) + parse_decimal(entry["use"])
        return sums

    assert by_hour(whole) == by_hour(first + second)
    assert sum(by_hour(whole).values()) == leaves[-1].value - leaves[0].value  # type: ignore[operator]


def test_hours_follow_the_plants_zone_even_at_half_hours() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")
    assert hour_of(datetime(2026, 3, 1, 0, 45, tzinfo=UTC), kolkata) == datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
    assert hour_of(datetime(2026, 3, 1, 0, 45, tzinfo=UTC), ZONE) == T0


@given(st.datetimes(datetime(1999, 1, 1), datetime(2100, 1, 1)), st.sampled_from(sorted(available_timezones())))
def test_hour_is_that_of_the_wall_clock_in_every_zone(naive: datetime, name: str) -> None:
    moment, zone = naive.replace(tzinfo=UTC), ZoneInfo(name)
    local = moment.astimezone(zone)
    assert hour_of(moment, zone) == local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)


def test_the_hour_that_comes_twice_in_autumn_has_two_texts() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 25, 2, 30, tzinfo=berlin)
    again = first.replace(fold=1)
    assert first == again
    assert (time_text(first), time_text(again)) == ("2026-10-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z")


def reading(value: str | None, hours: float = 0, flag: Flag = Flag.NORMAL) -> Reading:
    number = None if value is None else Decimal(value)
    return Reading("E", T0 + HOUR * hours, number, "kWh", flag, T0)


def test_range_and_time_are_judged_and_the_value_stays() -> None:
    limits = Limits(Decimal(0), Decimal(100))
    assert judge(reading("50"), limits, T0) == reading("50")
    for value, hours, flag in (("101", 0, Flag.OVER_RANGE), ("-1", 0, Flag.FAULT), ("5", 1, Flag.FAULT)):
        judged = judge(reading(value, hours), limits, T0)
        assert (judged.flag, judged.value, judged.reason != "") == (flag, Decimal(value), True)


def test_torn_total_is_forgotten_and_swapped_meter_is_believed() -> None:
    watch, first, _ = judge_total(None, reading("100"), RULE, RULES)
    watch, torn, _ = judge_total(watch, reading("99999999", 1), RULE, RULES)
    watch, again, _ = judge_total(watch, reading("150", 2), RULE, RULES)
    assert [one.flag for one in (first, torn, again)] == [Flag.NORMAL, Flag.FAULT, Flag.NORMAL]
    watch = TotalWatch(Baseline(Decimal(500_000), T0))
    watch_after, jump, gap = judge_total(watch, reading("2000", 1), RULE, RULES)
    _, confirmed, no_gap = judge_total(watch_after, reading("2050", 2), RULE, RULES)
    assert (gap is not None, no_gap) == (True, None)
    assert (jump.flag, confirmed.flag, confirmed.reason) == (Flag.FAULT, Flag.NORMAL, "Q31 jump confirmed")


def test_reading_without_number_is_never_normal() -> None:
    with pytest.raises(ValueError):
        reading(None)
    assert not reading(None, flag=Flag.NO_COMMUNICATION).is_valid


@given(
    st.integers(0, 2**40),
    st.decimals(allow_nan=False, allow_infinity=False, places=3) | st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
)
def test_leaf_lines_read_back(index: int, value: Decimal | None, unit: str) -> None:
    flag = Flag.NORMAL if value is not None else Flag.FAULT
    leaf = Leaf(index, T0, "C", value, unit, flag)
    assert parse_leaf(leaf_line(leaf, bytes(32))) == leaf
    assert json.loads(leaf_line(leaf, bytes(32)))[:-1] == leaf_members(leaf)
    assert leaf_line(leaf, bytes(32)) == salted_line(stored_line(leaf), index, bytes(32))


@pytest.mark.parametrize(
    "line",
    [b"", b"[]", b'["r2",0,"2026-03-01T00:00:00.000Z","C","1","u","N","AAAAAAAAAAAAAAAAAAAAAA"]',
     b'["r1",0,"2026-03-01T00:00:00.000Z","C","1.","u","N","AAAAAAAAAAAAAAAAAAAAAA"]',
     b'["r1",0,"2026-03-01T00:00:00.000Z","C","1","u","Z","AAAAAAAAAAAAAAAAAAAAAA"]',
     b'["r1", 0,"2026-03-01T00:00:00.000Z","C","1","u","N","AAAAAAAAAAAAAAAAAAAAAA"]',
     b'["r1",0,"2026-03-01T00:00:00.000Z","C","1","u","N","AAAA"]', b"\xff"],
)  # fmt: skip
def test_malformed_leaf_lines_are_refused(line: bytes) -> None:
    with pytest.raises(EvidenceError):
        parse_leaf(line)


def raw_tiles(size: int) -> tuple[list[Leaf], list[bytes], bytes]:
    salt = bytes(range(32))
    leaves = [Leaf(index, T0, "C", Decimal(index), "u", Flag.NORMAL) for index in range(size)]
    return leaves, [leaf_hash(leaf_line(leaf, salt)) for leaf in leaves], salt


def stored_line(leaf: Leaf) -> str:
    return json.dumps(leaf_members(leaf), ensure_ascii=False, separators=(",", ":"))


@pytest.mark.parametrize("size", [1, 5, 256, 257, 512, 700, 1024, 1025])
def test_raw_tile_is_proved_whole_and_any_change_shows(size: int) -> None:
    leaves, hashes, salt = raw_tiles(size)
    head = root(hashes)
    for number in range(-(-size // 256)):
        path = tile_path(lambda start, end: root(hashes[start:end]), number, size)
        here = leaves[number * 256 : (number + 1) * 256]
        proof = TileProof(number, size, salt, tuple(stored_line(leaf) for leaf in here), tuple(path))
        assert verify_tile(TileProof.from_json(proof.to_json()), head) == here
        whole = reading_path(hashes[number * 256 : (number + 1) * 256], len(here) - 1, path)
        verify_inclusion(hashes[here[-1].index], here[-1].index, size, whole, head)
        changed = stored_line(replace(here[0], value=Decimal("0.5")))
        for forged in (
            replace(proof, lines=(changed, *proof.lines[1:])),
            replace(proof, lines=proof.lines[:-1]),
            replace(proof, lines=proof.lines[::-1] if len(here) > 1 else ()),
            replace(proof, salt=bytes(32)),
            replace(proof, salt=b""),
            replace(proof, number=number + 1),
        ):
            with pytest.raises(EvidenceError) as caught:
                verify_tile(forged, head)
            assert caught.value.code in (Code.INCLUSION_FAIL, Code.INDEX_MISMATCH, Code.LEAF_MISMATCH)
    assert RightEdge.of(hashes).root() == head


@pytest.mark.parametrize("value", ["1e99", "1e-40", "NaN", "Infinity", "123456789012345678901"])
def test_number_that_no_instrument_can_mean_is_not_recorded(value: str) -> None:
    judged = judge(reading(value), Limits(), T0)
    assert (judged.value, judged.flag) == (None, Flag.FAULT)
    flagged = judge(reading(value, flag=Flag.CALIBRATION), Limits(), T0)
    assert flagged.value is None


@given(st.lists(st.tuples(st.integers(-30, 60), st.booleans()), min_size=1, max_size=20), st.data())
def test_entry_agrees_with_its_own_leaves_and_with_no_others(
    steps: list[tuple[int, bool]], data: st.DataObject
) -> None:
    """Whatever a total does (rise, fall, reset, fail), its leaves confirm its entry, and changed ones deny it."""
    value, leaves = 1000, []
    for index, (step, is_good) in enumerate(steps):
        value = max(0, value + step)
        flag = Flag.NORMAL if is_good else Flag.FAULT
        leaves.append(Leaf(index, T0 + (index + 1) * timedelta(minutes=2), "E", Decimal(value), "kWh", flag))
    before = {"E": Baseline(Decimal(1000), T0)}
    (entry,), _ = summarise(leaves, {"E": TOTAL}, T0, ZONE, before)
    assert entry_agrees(entry, leaves, TOTAL)
    assert not entry_agrees(entry, leaves[:-1], TOTAL)
    if "use" in entry:
        lie = data.draw(st.sampled_from([{"use": "12345"}, {"last": "12345"}, {"n": 99}, {"valid": 99}]))
        assert not entry_agrees({**entry, **lie}, leaves, TOTAL)


@given(st.lists(st.integers(1, 10**10), min_size=2, max_size=20))
def test_total_polled_at_any_rhythm_is_sealed_without_rounding(pauses: list[int]) -> None:
    """No interval between two polls, down to the microsecond, may need a division that does not come out."""
    time, leaves = T0, []
    for index, pause in enumerate(pauses):
        time += timedelta(microseconds=pause)
        leaves.append(Leaf(index, time, "E", Decimal("0.1") * index, "kWh", Flag.NORMAL))
    entries, _ = summarise(leaves, {"E": TOTAL}, T0, ZONE, {})
    assert sum(parse_decimal(entry["use"]) for entry in entries) == Decimal("0.1") * (len(pauses) - 1)


def test_reading_of_an_impossible_time_stays_with_the_hour_in_which_it_came() -> None:
    said = replace(reading("5"), time=datetime(1, 1, 2, tzinfo=UTC))
    judged = judge(said, Limits(), T0)
    assert (judged.time, judged.flag, judged.value) == (said.received, Flag.FAULT, Decimal(5))
    assert judged.device_time == "0001-01-02T00:00:00+00:00"
    assert time_text(datetime(1, 1, 2, tzinfo=UTC)) == "0001-01-02T00:00:00.000Z"
