"""The field's words for codes: roles, states, flags, kinds. Every code that reaches a page goes through here.

Words are translated when they are asked for; a code without a word is shown as it is, never hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask
from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString

from evidence.code_words import CODE_WORDS
from webapp.models import Plant
from webapp.views.language import pick

Words = Mapping[str, LazyString]

ROLES: Words = {
    "technician": _("technician"),
    "responsible": _("responsible person"),
    "city": _("city reviewer"),
    "province": _("province reviewer"),
    "nation": _("national reviewer"),
    "inspector": _("inspector"),
    "admin": _("administrator"),
    "gateway": _("gateway"),
    "registrar": _("registrar"),
}
LEVELS: Words = {"city": _("city review"), "province": _("province review"), "nation": _("national screening")}
SECTORS: Words = {"steel": _("steel"), "cement": _("cement"), "aluminium": _("aluminium")}
KINDS: Words = {
    "segment": _("hourly segment"),
    "event": _("event"),
    "lab": _("laboratory report"),
    "ledger": _("ledger value"),
    "declare": _("declaration"),
    "month": _("month statement"),
    "review": _("review decision"),
    "inspect": _("inspection record"),
    "key": _("key statement"),
}
DECISIONS: Words = {
    "approve": _("approved"),
    "return": _("returned for correction"),
    "reject": _("rejected"),
    "query": _("on-site check wanted"),
}
# HJ 212 flags.
FLAGS: Words = {
    "N": _("normal"),
    "F": _("stopped"),
    "M": _("maintenance"),
    "S": _("set by hand"),
    "D": _("instrument fault"),
    "C": _("calibration"),
    "T": _("over range"),
    "B": _("communication fault"),
}
CHALLENGE_RESULTS: Words = {"passed": _("passed"), "failed": _("failed")}
MODES: Words = {"measured": _("measured"), "default": _("default value"), "calculated": _("calculated")}
KEY_STATES: Words = {"active": _("valid"), "pending": _("waiting for approval"), "revoked": _("revoked")}
REVOCATION_REASONS: Words = {
    "lost": _("lost"),
    "compromised": _("used by somebody else, or may have been"),
    "ceased": _("the person has left or changed duties"),
    "superseded": _("replaced by another key"),
}
ITEM_ROLES: Words = {
    "fuel": _("fuel"),
    "input": _("input"),
    "product": _("product"),
    "electricity": _("electricity"),
    "heat": _("heat"),
    "output": _("output"),
}
CHANNEL_KINDS: Words = {
    "value": _("measured value"),
    "interval": _("amount per interval"),
    "total": _("running total"),
    "state": _("state"),
    "derived": _("derived value"),
}
CLOCK_SOURCES: Words = {
    "ntp": _("synchronised by NTP"),
    "gnss": _("synchronised by satellite (GNSS)"),
    "rtc": _("not synchronised (clock of the device)"),
    "none": _("not synchronised"),
}
MEMBERS: Words = {
    "formula": _("formula"),
    "expression": _("formula"),
    "value": _("value"),
    "quantity": _("quantity"),
    "unit": _("unit"),
    "emission": _("emission"),
    "factor": _("factor"),
    "factors": _("factors"),
    "inputs": _("inputs"),
    "terms": _("terms"),
    "steps": _("steps"),
    "source": _("source"),
    "mode": _("how obtained"),
    "item": _("item"),
    "channel": _("channel"),
    "statement": _("statement"),
    "rounding": _("rounding"),
    "exact": _("before rounding"),
    "result": _("result"),
    "name": _("name"),
    "kind": _("kind"),
    "plant": _("plant"),
    "role": _("role"),
    "period": _("month"),
    "rev": _("revision"),
    "after": _("follows on statement"),
    "subject": _("about"),
    "subjects": _("files"),
    "level": _("level"),
    "decision": _("decision"),
    "report": _("verifier report (SHA-256)"),
    "note": _("note"),
    "findings": _("findings"),
    "challenge": _("retention challenge"),
    "anchor": _("log checkpoint seen"),
    "param": _("parameter"),
    "t": _("time of signing"),
    "day": _("day"),
    "gw": _("gateway"),
    "v": _("format version"),
    "epoch": _("epoch of the gateway"),
    "seq": _("number"),
    "prev": _("statement before"),
    "clk": _("clock of the gateway"),
    "tree": _("readings covered"),
    "span": _("time span"),
    "ch": _("channels"),
    "type": _("type"),
    "data": _("data"),
    "op": _("operation"),
    "kid": _("key"),
    "jwk": _("public key"),
    "nonce": _("nonce"),
    "owner": _("owner"),
    "roles": _("roles"),
    "scope": _("scope"),
    "reason": _("reason"),
    "supersedes": _("supersedes"),
    "prev_month": _("month statement before"),
    "declared": _("declarations"),
    "cover": _("covered ranges"),
    "ledger": _("ledger"),
    "cited": _("cited from"),
    "mark": _("confidence mark"),
}
UNITS: Mapping[str, str] = {
    "m3": "m³",
    "mg/m3": "mg/m³",
    "Nm3": "Nm³",
    "Nm3/h": "Nm³/h",
    "m3/h": "m³/h",
    "tCO2": "tCO₂",
    "tCO2/MWh": "tCO₂/MWh",
    "tCO2/t": "tCO₂/t",
    "10^4 Nm3": "10⁴ Nm³",
    "10^4Nm3": "10⁴ Nm³",
    "degC": "℃",
}


def prepare(app: Flask) -> None:
    """Give the templates a filter for each table of words."""
    app.jinja_env.filters.update(
        role_name=_names(ROLES),
        level_name=_names(LEVELS),
        sector_name=_names(SECTORS),
        kind_name=_names(KINDS),
        decision_name=_names(DECISIONS),
        flag_name=_names(FLAGS),
        flag_kind=lambda flag: "good" if flag == "N" else "warn",
        challenge_result=_names(CHALLENGE_RESULTS),
        mode_name=_names(MODES),
        key_state=_names(KEY_STATES),
        revocation_reason=_names(REVOCATION_REASONS),
        item_role=_names(ITEM_ROLES),
        channel_kind=_names(CHANNEL_KINDS),
        clock_source=_names(CLOCK_SOURCES),
        member_name=_names(MEMBERS),
        unit=lambda unit: UNITS.get(unit, unit),
        plant_name=plant_name,
        two_tongues=two_tongues,
        groups=groups,
        item_name=item_name,
        code_words=lambda code: pick(*CODE_WORDS[code]) if code in CODE_WORDS else "",
    )


def plant_name(plant: Plant) -> str:
    """Return the plant's name in the reader's language."""
    return pick(plant.name_zh, plant.name_en)


def two_tongues(value: Any) -> str:
    """Return a text stored as {zh, en} in the reader's language; a plain text as it is."""
    if isinstance(value, Mapping):
        return pick(str(value.get("zh", "")), str(value.get("en", "")))
    return str(value)


def groups(text: str) -> str:
    """Write a fingerprint in groups of four, as people read it out."""
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def _names(words: Words) -> Callable[[str], str]:
    return lambda code: str(words.get(str(code), code))


def item_name(item: str, items: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name the plan gives to an item."""
    return two_tongues(items[item]["name"]) if item in items else item
