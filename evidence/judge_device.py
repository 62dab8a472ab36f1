"""Checks of the device behind a channel: Q01 frames, Q28 calibration, Q34 identity.

What is known comes from records (`calibration` and `mark` data) and from identity registers; nothing is read here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from evidence.encoding import time_text
from evidence.judge_finding import Finding, active, found
from evidence.judge_rules import RuleSet


@dataclass(frozen=True)
class Frames:
    """Q01: how many frames of each source were refused by their parser; frozen, counted into a new one."""

    refused: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def count(self, source: str) -> "Frames":
        """Return the counts with one more refused frame of a source."""
        return replace(self, refused=MappingProxyType({**self.refused, source: self.refused.get(source, 0) + 1}))


def frame_refused(reason: str, rules: RuleSet) -> Finding | None:
    """Q01: a frame whose checksum or length is wrong; it makes no reading and is kept aside."""
    rule = active(rules, "Q01")
    return None if rule is None else found(rule, f"frame refused: {reason}")


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What is known of a channel's zero and span checks: the last one passed, and a failed one since."""

    passed: datetime | None = None
    failed: datetime | None = None

    def after(self, at: datetime, *, is_passed: bool) -> "Calibrated":
        """Return what is known after another check; an older one changes nothing."""
        if is_passed:
            if self.passed is not None and at < self.passed:
                return self
            return Calibrated(at, self.failed if self.failed is not None and self.failed > at else None)
        is_news = self.passed is None or at > self.passed
        return replace(self, failed=at) if is_news and self.failed is None else self


def calibration_status(known: Calibrated, every: timedelta | None, time: datetime, rules: RuleSet) -> Finding | None:
    """Q28: the value is out of control (失控), because the last check failed or is too long ago.

    ``every`` is the interval of the plan; None takes that of the rule.
    """
    rule = active(rules, "Q28")
    if rule is None:
        return None
    if known.failed is not None and time >= known.failed:
        return found(rule, "out of control: the last calibration failed")
    allowed = every or timedelta(microseconds=int(rule.limit("hours") * 3_600_000_000))
    if known.passed is None:
        return found(rule, "out of control: no passed calibration is known")
    if time - known.passed > allowed:
        age = (time - known.passed) // timedelta(hours=1)
        return found(rule, f"out of control: not calibrated for {age} h")
    return None


@dataclass(frozen=True, slots=True)
class IdentityChange:
    """Another serial, firmware, counter of parameter changes, meter constant or seal than at the look before."""

    device: str
    point: str
    before: str
    after: str
    seen: datetime
    """When it last was as before."""
    found: datetime

    def event_data(self) -> dict[str, str]:
        """Write the data of the ``maintenance`` event that names before and after."""
        return {
            "record": "identity",
            "device": self.device,
            "point": self.point,
            "before": self.before,
            "after": self.after,
            "seen": time_text(self.seen),
            "found": time_text(self.found),
        }


def changed_identity(change: IdentityChange, rules: RuleSet, *, is_maintained: bool) -> Finding | None:
    """Q34 for what a device says of itself in numbers or texts, which make no readings."""
    rule = active(rules, "Q34")
    if rule is None or is_maintained:
        return None
    before, after = (one.replace(";", ",") for one in (change.before, change.after))  # a reason's parts end at ;
    said = f"{change.point} {before} to {after}"
    return found(rule, f"identity changed without a maintenance record, from {said}")


def identity_changed(
    known: Decimal | None, seen: Decimal | None, rules: RuleSet, *, is_maintained: bool
) -> Finding | None:
    """Q34 for a channel: serial, firmware or a counter of changes differs, and nobody recorded maintenance."""
    rule = active(rules, "Q34")
    if rule is None or known is None or seen is None or known == seen or is_maintained:
        return None
    return found(rule, f"identity changed without a maintenance record, from {known}")
