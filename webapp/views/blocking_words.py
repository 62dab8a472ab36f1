"""What to do about a finding of severity E, by the rule it begins with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString

ADVICE: Mapping[str, LazyString] = {
    "Q03": _("Set the clock of the device or gateway right; say how long it was wrong."),
    "Q05": _("Set the device's clock right; say since when it was wrong and whether hours are affected."),
    "Q11": _("Send readings that are still at the plant; mark times in which the plant stood."),
    "Q12": _("Check the flags of the data logger: hour and minutes must say the same."),
    "Q13": _("Check the status signals of the device; its flags and values contradict each other."),
    "Q26": _("Send readings that are missing, or mark the stop: the hour was coded otherwise than its minutes say."),
    "Q31": _("Say why the counter was set back or jumped, and what it counted in that time; record a change of meter."),
    "Q34": _("Record the maintenance with “cunzheng gateway mark maintenance”, with the seal or certificate."),
}
GENERAL = _("Find out the cause, correct it where you can, and write down what it means for the figures.")


def advice_of(issue: Mapping[str, Any]) -> str:
    """Say what to do about one issue."""
    rule = str(issue.get("en", "")).split(" ", 1)[0]
    return str(ADVICE.get(rule, GENERAL))
