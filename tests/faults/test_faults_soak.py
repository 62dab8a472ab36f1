"""A soak: random faults of every device while gateway, broker and centre are killed; nothing lost, twice, or unseen."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fault_audit import audit
from fault_soak import CHANNELS, QUARANTINED, Soak, soak
from fault_soak_audit import Answer, Facts, Row, facts_of, harms, summary
from fault_world import World

from evidence.encoding import time_text

SHORT_S = 12.0
MINUTES = float(os.environ.get("CUNZHENG_SOAK_MINUTES", "1"))
SEED = int(os.environ.get("CUNZHENG_SEED", "20260301"))


def run(made: Soak, rng: random.Random) -> Facts:
    """Run a soak to its end and check both sides."""
    made.run(rng)
    facts = facts_of(made)
    print(summary(facts))
    made.world.sync()
    audit(made.world)
    found = harms(facts)
    assert found == [], "\n".join(found[:40])
    return facts


soaking = contextmanager(soak)


def test_random_faults_lose_nothing_double_nothing_and_are_all_seen(world: World, rng: random.Random) -> None:
    with soaking(world, rng, SHORT_S) as made:
        run(made, rng)


# -- the audit itself ---------------------------------------------------------------------------------------


START = 1_800_000_000.0
QN = "20260301081500{:03d}"


def good_facts() -> Facts:
    """Ten seconds in which all went well, but for one fault of each of three devices, seen by its reason."""
    polls = [START + 0.2 * n for n in range(50)]
    answers = [Answer(at, f"{n:08X}") for n, at in enumerate(polls)]
    rows: dict[str, list[Row]] = {channel: [] for channels in CHANNELS.values() for channel, _, _ in channels}
    served: dict[str, list[Answer]] = {channel: [] for channel in rows}
    for channel in ("EM1.TOTAL", "EM1.POWER"):
        served[channel] = answers
        rows[channel] = [
            Row(n, one.at, one.at + 0.02, 1.0, "N", "Q18" if n == 20 else "", one.words)
            for n, one in enumerate(answers)
        ]
    messages = {device: [f"{device} {n}" for n in range(50)] for device in ("gas1", "gas2")}
    for device, payloads in messages.items():
        for channel, _, _ in CHANNELS[device]:
            rows[channel] = [
                Row(n, at, at, 1.0, "N", "", payload)
                for n, (at, payload) in enumerate(zip(polls, payloads, strict=True))
            ]
    frames = [QN.format(n) for n in range(9)]
    for channel, _, _ in CHANNELS["cems"]:
        rows[channel] = [
            Row(
                n,
                START + n,
                START + n,
                1.0,
                "C" if n == 4 else "N",
                "logger says C" if n == 4 else "",
                f'{{"qn":"{qn}"}}',
            )
            for n, qn in enumerate(frames)
        ]
    return Facts(
        served=served,
        messages=messages,
        frames=frames,
        faults=[
            ("em1", {"stuck": True}, START + 2, START + 5),
            ("cems", {"flag": "C"}, START + 2, START + 5),
            ("gas1", {"garbage": True}, START + 2, START + 5),
        ],
        rows=rows,
        events=[{"type": "restart", "t": time_text(datetime.fromtimestamp(START - 1, UTC)), "data": {}}],
        quarantine=[(START + 3, "plant/gas1/gas")],
        kills=[],
        ended=START + 10,
        broker_away=[],
        looks=dict.fromkeys(CHANNELS, polls),
        kinds={
            "em1 stuck=1": ("Q18", 2.0),
            "cems flag=C": ("logger says C", 2.0),
            "gas1 garbage=1": (QUARANTINED, 2.0),
        },
    )


def without(facts: Facts, channel: str, first: int, last: int) -> Facts:
    rows = facts.rows[channel]
    return replace(facts, rows={**facts.rows, channel: [*rows[:first], *rows[last:]]})


def again(facts: Facts, channel: str) -> Facts:
    rows = facts.rows[channel]
    return replace(facts, rows={**facts.rows, channel: [*rows, replace(rows[5], seq=99)]})


def unsaid(facts: Facts) -> Facts:
    rows = {name: [replace(row, reason="") for row in listed] for name, listed in facts.rows.items()}
    return replace(facts, rows=rows, quarantine=[])


def changed(facts: Facts) -> Facts:
    rows = facts.rows["EM1.TOTAL"]
    return replace(facts, rows={**facts.rows, "EM1.TOTAL": [replace(rows[0], raw="FFFF FFFF"), *rows[1:]]})


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda facts: without(facts, "EM1.TOTAL", 20, 21), ["is lost"]),
        (lambda facts: again(facts, "EM1.TOTAL"), ["is there twice"]),
        (changed, ["was answered by nobody", "is lost"]),
        (lambda facts: without(facts, "GAS1.TOTAL", 49, 50), ["is stored 0 times"]),
        (lambda facts: again(facts, "GAS2.FLOW"), ["is stored 2 times"]),
        (lambda facts: without(facts, "CEMS.CO2", 3, 4), ["is stored 0 times"]),
        (lambda facts: without(facts, "GAS1.TOTAL", 10, 40), ["and nothing says so", "is stored 0 times"]),
        (unsaid, ["em1: ", "cems: ", "gas1: "]),
    ],
)
def test_audit_of_a_soak_notices_every_harm(harm: Callable[[Facts], Facts], says: list[str]) -> None:
    facts = good_facts()
    assert harms(facts) == []
    found = harms(harm(facts))
    assert [word for word in says if not any(word in one for one in found)] == [], found


def test_audit_excuses_what_was_answered_within_the_commit_time_before_a_kill() -> None:
    facts = good_facts()
    killed = replace(without(facts, "EM1.TOTAL", 40, 41), kills=[START + 8.5])
    assert harms(killed) == []


@pytest.mark.faults
@pytest.mark.timeout(7200)
def test_soak_of_many_minutes_loses_nothing(world: World) -> None:
    print(f"seed={SEED} minutes={MINUTES}")
    rng = random.Random(f"soak:{SEED}")
    with soaking(world, rng, 60 * MINUTES) as made:
        run(made, rng)
