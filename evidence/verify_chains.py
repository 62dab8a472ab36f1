"""The chains of gateways as a whole: one statement a number, numbers that rise with the log, clocks that run forward.

What a month stands on is checked link by link in `verify_month.py`; here every statement of a gateway counts, whether
a month covers it or not.
"""

import itertools
from collections.abc import Mapping, Sequence
from datetime import timedelta

from evidence.case import Case
from evidence.encoding import parse_time
from evidence.errors import Code
from evidence.verify_month import CLOCK_DRIFT, Signed

BOOT_TOLERANCE = timedelta(minutes=10)
"""A wall clock that is further behind after a start than that is one that its gateway does not believe, and says so."""
STEP_NEAR = 16
"""So many statements before or after a step, the `clock-step` event that declares it must stand."""

_Chain = tuple[str, int]
"""Gateway and epoch."""


def check_numbers(case: Case) -> None:
    """A gateway signed each number once, and the log took the numbers in their order (`FORK`, `SEQ_REGRESSION`)."""
    for (gw, epoch), chain in sorted(_chains(case).items()):
        taken: dict[int, str] = {}
        for one in chain:
            seq = int(one.payload["seq"])
            with case.examining("number", one.sid):
                if taken.setdefault(seq, one.sid) != one.sid:
                    case.findings.add(Code.FORK, f"two statements {seq} of {gw} epoch {epoch}", one.sid)
        logged = [one for one in chain if one.index is not None and len(taken) == len(chain)]
        for before, after in itertools.pairwise(logged):
            if (after.index or 0) < (before.index or 0) and after.payload["seq"] > before.payload["seq"]:
                words = f"statement {after.payload['seq']} was logged before {before.payload['seq']}"
                case.findings.add(Code.SEQ_REGRESSION, words, after.sid)
    _check_epochs(case)


def check_clocks(case: Case) -> None:
    """No boot comes back after another, and no wall clock falls unless a `clock-step` event says so.

    A chain that forks has no one order to judge by.
    """
    for chain in _chains(case).values():
        if len({one.payload["seq"] for one in chain}) < len(chain):
            continue
        steps = [int(one.payload["seq"]) for one in chain if _is_step(one)]
        ended: set[str] = set()
        for before, after in itertools.pairwise(chain):
            with case.examining("clock", after.sid):
                _check_clock(case, before, after, steps, ended)


def _chains(case: Case) -> Mapping[_Chain, list[Signed]]:
    """Group what gateways signed, each chain in the order of its numbers."""
    chains: dict[_Chain, list[Signed]] = {}
    for one in case.signed:
        if "seq" in one.payload:
            chains.setdefault((str(one.payload["gw"]), int(one.payload["epoch"])), []).append(one)
    for chain in chains.values():
        chain.sort(key=lambda one: (one.payload["seq"], one.sid))
    return chains


def _check_epochs(case: Case) -> None:
    """An epoch begins in the log before any later one of its gateway does."""
    begun: dict[str, list[tuple[int, int, str]]] = {}
    for one in case.signed:
        if one.index is not None and one.payload.get("seq") == 1:
            begun.setdefault(str(one.payload["gw"]), []).append((one.index, int(one.payload["epoch"]), one.sid))
    for gw, first in begun.items():
        for (_, before, _), (_, after, sid) in itertools.pairwise(sorted(first)):
            if after < before:
                words = f"epoch {after} of {gw} began after epoch {before}"
                case.findings.add(Code.SEQ_REGRESSION, words, sid)


def _check_clock(case: Case, before: Signed, after: Signed, steps: Sequence[int], ended: set[str]) -> None:
    old, new = before.payload, after.payload
    if new["clk"]["boot"] != old["clk"]["boot"]:
        ended.add(old["clk"]["boot"])
    if new["clk"]["boot"] in ended:
        words = f"boot {new['clk']['boot']} came back after another: two machines, or one restored"
        case.findings.add(Code.CLOCK_STEP_UNDECLARED, words, after.sid)
        ended.discard(new["clk"]["boot"])
    fall = parse_time(old["t"]) - parse_time(new["t"])
    is_same_boot = new["clk"]["boot"] == old["clk"]["boot"]
    if fall > (CLOCK_DRIFT if is_same_boot else BOOT_TOLERANCE) and not any(
        abs(step - new["seq"]) <= STEP_NEAR for step in steps
    ):
        words = f"the clock fell by {fall} between statements {old['seq']} and {new['seq']}, and no event says so"
        case.findings.add(Code.CLOCK_STEP_UNDECLARED, words, after.sid)


def _is_step(one: Signed) -> bool:
    return one.statement.kind == "event" and one.payload["type"] == "clock-step"
