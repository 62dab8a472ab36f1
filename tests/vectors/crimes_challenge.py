# ruff: noqa: E501 - tables of cases read better on one line each
"""Cases of the retention challenge that an inspector's statement tells of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evidence_world import ORIGIN, seed
from vector_case import Files, World, approved, case, month

from evidence.challenge import draw, seed_of
from evidence.keys import SigningKey
from evidence.merkle import leaf_hash, root
from evidence.note import parse_checkpoint, sign_checkpoint
from evidence.statement import parse_envelope

INDETERMINATE = "INDETERMINATE"


def checkpoint(world: World) -> str:
    """Sign the log as it is."""
    hashes = [leaf_hash(jws.encode()) for jws in world.log]
    return sign_checkpoint(ORIGIN, len(hashes), root(hashes), world.log_key)


def challenged(world: World, change: Callable[[dict[str, Any]], Any] = lambda said: None) -> World:
    """Ask for the tiles of a month, have one more statement logged, and let an inspector say what came."""
    world.add_key("inspector", "ins-1", {"inspector"}, region="42")
    closed = next(one for one in map(parse_envelope, world.log) if one.payload["kind"] == "month")
    asked = len(world.log)
    world.device("event", type="maintenance", data={"reason": "filter changed"})
    note = checkpoint(world)
    drawn = draw(seed_of(parse_checkpoint(note), world.trust().log), closed.sid, closed.payload["cover"])
    tiles = [{"gw": one.gw, "epoch": one.epoch, "tile": one.tile, "state": "proven"} for one in drawn]
    said = {"month": closed.sid, "asked": asked, "seed": note, "tiles": tiles, "result": "passed"}
    change(said)
    world.say("inspector", "inspect", subjects=[said["month"]], findings=[], anchor=None, challenge=said)
    return world


@case("bundle/challenge-of-one-tile", "a month of one tile, which was shown")
def _() -> Files:
    return month(challenged(approved()))


@case("bundle/challenge-passed", "a month of five tiles: those drawn by 299 draws, in their order, were shown")
def _() -> Files:
    world = World()
    world.run_hours(0)
    for hour in range(300):
        world.read_hour(hour, ["1", "2", "3", "4"])
    world.seal(0)
    world.approve(world.close_month())
    return month(challenged(world))


for label, what, change, codes in (
    ("failed", "a tile was refused", lambda said: (said["tiles"][0].update(state="refused"), said.update(result="failed")), ("CHALLENGE_FAIL",)),
    ("missing", "a tile did not come", lambda said: (said["tiles"][0].update(state="missing"), said.update(result="failed")), ("CHALLENGE_FAIL",)),
    ("passed-in-spite-of-a-missing-tile", "the result is not what the tiles say", lambda said: said["tiles"][0].update(state="missing"), ("CHALLENGE_FAIL",)),
    ("failed-without-a-reason", "the result is failed, every tile is proven", lambda said: said.update(result="failed"), ("CHALLENGE_FAIL",)),
    ("tiles-chosen", "a tile that was not drawn", lambda said: said["tiles"][0].update(tile=9), ("CHALLENGE_FAIL",)),
    ("seed-known-before", "the seed was there when it was asked", lambda said: said.update(asked=said["asked"] + 1), ("CHALLENGE_FAIL",)),
    ("asked-before-the-month", "asked before the month was logged", lambda said: said.update(asked=1), ("CHALLENGE_FAIL",)),
    ("seed-malformed", "the seed is no checkpoint", lambda said: said.update(seed="seed\n"), ("CHECKPOINT_FORMAT",)),
    ("seed-of-another-log", "the seed is of another log", lambda said: said.update(seed=sign_checkpoint("other.example", 9, bytes(32), SigningKey.from_seed(seed("other")))), ("LOG_ORIGIN",)),
    ("seed-of-another-key", "the seed bears the log's name and another's signature", lambda said: said.update(seed=sign_checkpoint(ORIGIN, 9, bytes(32), SigningKey.from_seed(seed("other")))), ("QUORUM",)),
    ("seed-larger-than-the-log", "the seed is of a log larger than the inspector's place in it", lambda said: said.update(seed=sign_checkpoint(ORIGIN, 99, bytes(32), World().log_key)), ("TIME_CONTRADICTION",)),
):  # fmt: skip

    @case(f"bundle/challenge-{label}", what, *codes)
    def _(change: Callable[[dict[str, Any]], Any] = change) -> Files:
        return month(challenged(approved(), change))


@case(
    "bundle/challenge-of-a-month-left-out",
    "the month that was challenged is not here",
    "CHAIN_INCOMPLETE",
    verdict=INDETERMINATE,
)
def _() -> Files:
    return month(challenged(approved(), lambda said: said.update(month="ab" * 32)))
