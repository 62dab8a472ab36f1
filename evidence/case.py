"""What a verification works on: the bundle, what is trusted, and what the checks found so far.

Checks are functions of a `Case` (`verify.py`) or of one of its months (`verify_months.py`). A check adds its findings
and says of each thing it looked at whether it passed, under a name of `check_words.py`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from evidence.bundle import Bundle
from evidence.check_words import CHECK_WORDS
from evidence.errors import BundleError, EvidenceError
from evidence.registry import PlantEntry
from evidence.trust import Trust
from evidence.verdict import CheckCount, Findings, Report
from evidence.verify_month import Signed


class Tally:
    """How many things passed and failed each named check."""

    def __init__(self) -> None:
        self._counts = {name: [0, 0] for name in CHECK_WORDS}

    def add(self, name: str, *, passed: int = 0, failed: int = 0) -> None:
        """Count things under a check.

        Raises:
            KeyError: no such check.
        """
        self._counts[name][0] += passed
        self._counts[name][1] += failed

    def all(self) -> tuple[CheckCount, ...]:
        """Return the checks that looked at anything, in their order."""
        return tuple(CheckCount(name, *counts) for name, counts in self._counts.items() if any(counts))


def with_count(checks: Sequence[CheckCount], more: CheckCount) -> tuple[CheckCount, ...]:
    """Put the count of a check that was done elsewhere to its place; nothing where it looked at nothing."""
    order = list(CHECK_WORDS)
    if not (more.passed or more.failed):
        return tuple(checks)
    return tuple(sorted((*checks, more), key=lambda check: order.index(check.name)))


@dataclass
class Case:
    """One verification while it goes on; ``now`` is when it is done."""

    bundle: Bundle
    trust: Trust
    now: datetime
    findings: Findings = field(default_factory=Findings)
    tally: Tally = field(default_factory=Tally)
    counts: Counter[str] = field(default_factory=Counter)
    subject: dict[str, str] = field(default_factory=dict)
    signed: list[Signed] = field(default_factory=list)
    """The statements that passed C1, once they were checked; those without a receipt have no index."""
    roots: dict[int, bytes] = field(default_factory=dict)
    """The log's root at each size that a good receipt stands on."""
    shown: dict[tuple[str, int], dict[int, bytes]] = field(default_factory=dict)
    """By gateway and epoch, the leaf hashes of the readings that were disclosed one by one."""

    def examining(self, name: str, sid: str | None = None, things: int = 1) -> "Examining":
        """Look at something under a check: an `EvidenceError` raised inside is a finding.

        What is looked at has passed unless a finding worse than a warning was made; of several ``things``, each
        finding is against one.
        """
        return Examining(self, name, sid, things)

    def of_kind(self, *kinds: str) -> list[Signed]:
        """Return the good statements of some kinds."""
        return [one for one in self.signed if one.statement.kind in kinds]

    @property
    def is_of_readings(self) -> bool:
        """Whether the bundle discloses readings and nothing else: no month is asserted, so none is missed."""
        kinds = {one.statement.kind for one in self.signed}
        return bool(self.bundle.readings) and not self.bundle.content and kinds <= {"segment", "event"}

    def report(self) -> Report:
        """Return what was found."""
        trust = self.trust
        return Report(
            self.findings.all(), dict(self.counts), trust.issued, trust.size, dict(self.subject), self.tally.all()
        )


class Examining:
    """Between entering and leaving, something is looked at; see :meth:`Case.examining`."""

    def __init__(self, case: Case, name: str, sid: str | None, things: int) -> None:
        self._case, self._name, self._sid, self._things = case, name, sid, things
        self._before = len(case.findings)

    def __enter__(self) -> None:
        self._before = len(self._case.findings)

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        is_finding = isinstance(error, EvidenceError) and not isinstance(error, BundleError)
        if isinstance(error, EvidenceError) and is_finding:
            self._case.findings.catch(error, self._sid)
        failed = min(self._things, len(self._case.findings) - self._before)
        self._case.tally.add(self._name, passed=self._things - failed, failed=failed)
        return is_finding


@dataclass
class MonthCase:
    """One month of a bundle while it is checked: its newest revision and what that stands on."""

    month: Signed
    plant: PlantEntry
    ours: Sequence[Signed]
    """The good statements of the plant."""
    segments: list[Signed] = field(default_factory=list)
    """The segments that the month covers, once the chain was checked."""

    @property
    def zone(self) -> ZoneInfo:
        """Legal time zone of the plant."""
        return ZoneInfo(self.plant.zone)

    def of_kind(self, *kinds: str) -> list[Signed]:
        """Return the plant's good statements of some kinds."""
        return [one for one in self.ours if one.statement.kind in kinds]

    @property
    def declares(self) -> dict[str, Signed]:
        """The plant's declarations by sid."""
        return {one.sid: one for one in self.of_kind("declare")}

    @property
    def declaring(self) -> list[Signed]:
        """The declarations that the month names and that are here."""
        declares = self.declares
        return [declares[sid] for sid in self.month.payload["declared"] if sid in declares]
