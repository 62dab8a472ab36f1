"""Verification of a bundle against a trust file: offline, in a fixed order, every finding named.

Order: container and index, each statement (C1) with its receipt, times, each month (C2), challenges, contents,
disclosed readings and raw tiles, age of the trust file. No network, no file, no clock: the moment is an argument.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from evidence.bundle import Bundle
from evidence.case import Case
from evidence.errors import BundleError, Code
from evidence.trust import Trust
from evidence.verdict import Report, Verdict
from evidence.verify_chains import check_clocks, check_numbers
from evidence.verify_contents import check_content_files
from evidence.verify_inspect import check_challenges
from evidence.verify_months import check_months
from evidence.verify_readings import check_readings
from evidence.verify_sm2 import check_second_signatures
from evidence.verify_statements import check_places, check_statements
from evidence.verify_tiles import check_tiles
from evidence.verify_times import check_times_of_log

STALE_TRUST_TOLERANCE = timedelta(days=30)
"""How long after its expiry a trust file still gives answers, with a warning."""


def check_index(case: Case) -> None:
    """The index follows from the other files."""
    with case.examining("bundle", things=max(1, len(case.bundle.names()))):
        if case.bundle.index is None:
            case.findings.add(Code.BUNDLE_FORMAT, "index.json is missing")
        elif case.bundle.index != case.bundle.expected_index():
            case.findings.add(Code.BUNDLE_FORMAT, "index.json does not fit the files")


def check_age(case: Case) -> None:
    """The trust file is not too old to be relied on."""
    expires = case.trust.expires
    with case.examining("trust"):
        if case.now > expires:
            is_usable = case.now <= expires + STALE_TRUST_TOLERANCE
            grade = Verdict.VALID_WITH_WARNINGS if is_usable else Verdict.INDETERMINATE
            case.findings.add(Code.TRUST_STALE, f"trust file expired {expires:%Y-%m-%d}", None, grade)


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_index,
    check_statements,
    check_places,
    check_numbers,
    check_clocks,
    check_times_of_log,
    check_months,
    check_challenges,
    check_content_files,
    check_readings,
    check_tiles,
    check_second_signatures,
    check_age,
)
"""What is checked, in this order; a check may rely on those before it. Each stands in a file of its subject."""


def verify_bundle(bundle: Bundle, trust: Trust, now: datetime) -> Report:
    """Check a whole bundle and report every finding; never raises for bad evidence."""
    case = Case(bundle, trust, now)
    try:
        for check in CHECKS:
            check(case)
    except BundleError as error:
        case.findings.catch(error)
    return case.report()
