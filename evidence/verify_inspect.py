"""Inspectors' statements of a bundle: a challenge follows from its seed, and was passed.

What an inspector found is a person's word and is not judged here.
"""

from evidence.case import Case
from evidence.challenge import check_result, check_tiles
from evidence.errors import Code, EvidenceError
from evidence.note import verify_checkpoint
from evidence.verdict import Verdict
from evidence.verify_month import Signed


def check_challenges(case: Case) -> None:
    """Check every challenge that an inspector's statement tells of."""
    months = {one.sid: one for one in case.of_kind("month")}
    for inspect in case.of_kind("inspect"):
        if "challenge" not in inspect.payload:
            continue
        with case.examining("challenge", inspect.sid):
            month = months.get(inspect.payload["challenge"]["month"])
            if month is None:
                words = "the month that was challenged is not here"
                case.findings.add(Code.CHAIN_INCOMPLETE, words, inspect.sid, Verdict.INDETERMINATE)
            else:
                _check_challenge(case, inspect, month)


def _check_challenge(case: Case, inspect: Signed, month: Signed) -> None:
    challenge, trust = inspect.payload["challenge"], case.trust
    if month.statement.plant != inspect.statement.plant:
        raise EvidenceError(Code.SUBJECT_SCOPE, "the challenged month is of another plant")
    seed = verify_checkpoint(challenge["seed"], trust.log)
    if inspect.index is not None and seed.size > inspect.index:
        raise EvidenceError(
            Code.TIME_CONTRADICTION, f"logged at {inspect.index}, yet its seed is of a log of {seed.size}"
        )
    check_tiles(challenge, seed, trust.log, month.payload["cover"], month.index)
    check_result(challenge)
    try:
        verify_checkpoint(challenge["seed"], trust.log, trust.policy)
    except EvidenceError as error:
        # Witnesses change, and a signed seed does not: that it lacks one of today is no contradiction.
        words = f"its seed: {error.detail}"
        case.findings.add(error.code, words, inspect.sid, Verdict.VALID_WITH_WARNINGS)
