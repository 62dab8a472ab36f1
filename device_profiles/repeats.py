"""Groups of points that a device repeats: written once, with a stride and a count.

`channels: {first: 1, count: 4, stride: 10, points: {kind: …, flow: …}}` becomes `kind_1`, `flow_1`, `kind_2`, … A name
inside the group that another key of the group mentions means the one of the same repeat.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .context import Context
from .document import Path as Place

Written = dict[str, tuple[Place, Mapping[str, Any]]]


def expanded(context: Context) -> Written:
    """Give every point of the file, repeats written out, with its place in the file."""
    found: Written = {name: (("points", name), given) for name, given in context.data.get("points", {}).items()}
    for group, rule in context.data.get("repeats", {}).items():
        names = set(rule["points"])
        for turn in range(rule["count"]):
            number = rule.get("first", 1) + turn
            for name, given in rule["points"].items():
                place: Place = ("repeats", group, "points", name)
                new = f"{name}_{number}"
                if new in found:
                    context.fault(place, f"测点 {new} 重复", f"the point {new} is there twice")
                    continue
                found[new] = (place, _moved(given, turn * rule["stride"], number, names))
    return found


def _moved(given: Mapping[str, Any], by: int, number: int, names: set[str]) -> Mapping[str, Any]:
    moved: dict[str, Any] = _renamed(dict(given), number, names)
    if "address" in moved:
        moved["address"] += by
    if "at" in moved:
        moved["at"] += by
    if "parts" in moved:
        moved["parts"] = [{**part, "address": part["address"] + by} for part in moved["parts"]]
    if "name" in moved:
        moved["name"] = {language: f"{text} {number}" for language, text in moved["name"].items()}
    for key in ("pointer", "metric"):
        if key in moved:
            moved[key] = moved[key].replace("{n}", str(number))
    return moved


def _renamed(value: Any, number: int, names: set[str]) -> Any:
    """Point the links of a group at the points of the same repeat."""
    result: dict[str, Any] = dict(value)
    for key in ("scale_from", "order_from", "only_if"):
        if key in result and result[key].get("point") in names:
            result[key] = {**result[key], "point": f"{result[key]['point']}_{number}"}
    if "clock" in result and result["clock"].get("zone_from") in names:
        result["clock"] = {**result["clock"], "zone_from": f"{result['clock']['zone_from']}_{number}"}
    if "totaliser" in result and result["totaliser"].get("error_counter") in names:
        result["totaliser"] = {
            **result["totaliser"],
            "error_counter": f"{result['totaliser']['error_counter']}_{number}",
        }
    if "invalid" in result:
        result["invalid"] = [
            {**one, "when": _in_condition(one["when"], number, names)} if "when" in one else one
            for one in result["invalid"]
        ]
    return result


def _in_condition(text: str, number: int, names: set[str]) -> str:
    return re.sub(r"\b[a-z][a-z0-9_]*\b", lambda found: f"{found[0]}_{number}" if found[0] in names else found[0], text)
