"""Why a reading is marked, in words: gateways send short reasons, which this table reads by their beginnings.

A reason without words is shown as it came, never hidden.
"""

from __future__ import annotations

from flask import Flask
from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString

REASONS: tuple[tuple[str, LazyString], ...] = (
    ("no-connection", _("no connection to the device")),
    ("timeout", _("the device did not answer in time")),
    ("answer-mismatch", _("the answer did not belong to the request")),
    ("answer-length", _("the answer did not have the length it must have")),
    ("answer-checksum", _("the answer was damaged on the way (check sum)")),
    ("connection-lost", _("the connection ended before the answer")),
    ("forbidden-range", _("the device profile forbids reading these registers")),
    ("time uncertain", _("the gateway's clock could not be trusted when it came")),
    ("wrong-device", _("the device is not the one that its profile describes")),
    ("internal-error", _("a fault of the gateway or of the device profile")),
    ("exception-", _("the device refused the request (Modbus exception %(rest)s)")),
    ("Q02 conflict with ", _("another value than %(rest)s, which came for the same time")),
    ("Q03", _("the time lies in the future")),
    ("Q04 time goes back by ", _("the time goes back by %(rest)s")),
    ("Q04 time jumps by ", _("the time jumps by %(rest)s")),
    ("Q04", _("the time is impossible")),
    ("Q05 device ahead by ", _("the device's clock is ahead by %(rest)s")),
    ("Q05 device behind or late by ", _("the device's clock is behind, or the reading late, by %(rest)s")),
    ("Q06 gap of ", _("no readings for %(rest)s before")),
    ("Q13 no communication, yet a value of ", _("no communication, yet a value of %(rest)s")),
    ("Q15 above ", _("above the physical limit %(rest)s")),
    ("Q15 below ", _("below the physical limit %(rest)s")),
    ("Q15", _("the number is too long to be recorded")),
    ("Q16 above the range of ", _("above the measuring range of %(rest)s; the value is a lower bound")),
    ("Q17 small negative", _("a small negative, used as 0")),
    ("Q17 negative beyond drift of a range of ", _("a negative beyond the drift of a range of %(rest)s")),
    ("Q18 the same value for ", _("the same value for %(rest)s")),
    ("Q28 out of control: not calibrated for ", _("out of control: not calibrated for %(rest)s")),
    ("Q28 out of control: the last calibration failed", _("out of control: the last calibration failed")),
    ("Q28", _("out of control: no calibration is known")),
    ("Q31 rollover", _("the counter started again at its end")),
    ("Q31 backstep", _("the counter went back a little")),
    ("Q31 reset", _("the counter was set to zero")),
    ("Q31 jump confirmed", _("a jump of the counter, confirmed by the next reading")),
    ("Q31 error: step from ", _("an impossible step of the counter, from %(rest)s")),
    ("Q31 counted in fault: ", _("the device was in fault and counted %(rest)s apart")),
    ("Q31 with swapped words ", _("with its words in the other order it would be %(rest)s")),
    (
        "Q34 identity changed without a maintenance record, from ",
        _("the device is another one than before (%(rest)s), and no maintenance was recorded"),
    ),
    ("co2-mass: ", _("CO2 mass, not computed as usual: %(rest)s")),
    ("co2-mass", _("CO2 mass, computed from the readings of the same minute")),
    ("standard-flow: ", _("standard flow, not computed as usual: %(rest)s")),
    ("standard-flow", _("standard flow, computed from the readings of the same minute")),
    ("reference-oxygen: ", _("at reference oxygen, not computed as usual: %(rest)s")),
    ("reference-oxygen", _("at reference oxygen, computed from the readings of the same minute")),
    ("us-co2-mass: ", _("CO2 mass by 40 CFR 75, not computed as usual: %(rest)s")),
    ("us-co2-mass", _("CO2 mass by 40 CFR 75, computed from the readings of the same minute")),
    ("nan", _("the device gave no number")),
    ("infinite", _("the device gave no finite number")),
    ("not-implemented", _("the device does not have this value")),
    ("not-measuring", _("the device is not measuring")),
    ("sensor-fault", _("sensor fault")),
    ("open-circuit", _("open circuit")),
    ("short-circuit", _("short circuit")),
    ("over-range", _("above the measuring range")),
    ("under-range", _("below the measuring range")),
    ("off", _("the device is switched off")),
    ("hold", _("the device holds its last value")),
    ("calibration", _("calibration")),
    ("maintenance", _("maintenance")),
    ("simulation", _("the device is in simulation")),
    ("enum-unknown", _("a state code that the device profile does not know")),
    ("bcd-digit", _("the registers hold no decimal digits")),
    ("text", _("the registers hold no text")),
    ("missing", _("the message lacks this value")),
    ("null", _("the message has no value here")),
    ("type", _("the value is of the wrong type")),
    ("older than the retention", _("older than what the gateway keeps; nobody can tell whether it came before")),
    ("retained", _("an old message that the broker had kept")),
    ("device-quality", _("the device itself marks the value as doubtful")),
    ("clock", _("the device clock shows no possible time")),
    ("device-offline", _("the device behind the gateway was offline")),
    ("order-unknown", _("the order of the registers is unknown")),
    ("other-kind", _("this place of the device holds another kind of value")),
    ("out-of-specification", _("the device says it works outside its specification")),
    ("parameter-missing", _("a parameter of the device was not set at commissioning")),
    ("scale-missing", _("the scale of the value could not be read")),
    ("stale", _("the device says the value is old")),
    ("state-missing", _("the state of the device could not be read")),
    ("substitute", _("the device itself gave a substitute value")),
    ("time-received", _("the time is that of receipt; the message had none")),
    ("torn", _("the parts of the value were read at different moments")),
    ("late ", _("late by %(rest)s")),
    ("logger says ", _("the data logger marked it %(rest)s")),
    ("back-fill", _("sent later by the data logger")),
    ("no data flag", _("the data logger gave no flag")),
    ("unknown data flag", _("a data flag that the standard does not know")),
    ("not a number", _("the data logger sent no number")),
    ("Q02 after", _("follows a marked value of the same time")),
    ("Q02", _("another value of the same time is there already")),
    ("edition ", _("a frame of edition %(rest)s")),
)
"""Beginnings of reasons; where one begins like another, the longer stands first."""
PARTS = "; "
"""Between the parts of a reason, when several checks have something to say."""
PARTS_SHOWN = " · "


def prepare(app: Flask) -> None:
    """Give the templates the words."""
    app.jinja_env.filters["reason_words"] = reason_words


def reason_words(reason: str) -> str:
    """Say a reason in the reader's language, each of its parts; empty when there are no words for one of them."""
    parts = [_part_words(part) for part in reason.split(PARTS)]
    return PARTS_SHOWN.join(parts) if all(parts) else ""


def _part_words(reason: str) -> str:
    for start, words in REASONS:
        if reason.startswith(start):
            text = str(words)
            return text % {"rest": reason.removeprefix(start)} if "%(rest)s" in text else text
    return ""
