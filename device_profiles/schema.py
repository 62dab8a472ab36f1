"""The JSON Schema of profiles and its findings in words a profile author can act on."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from .document import Document
from .errors import Fault
from .units import UNITS


@cache
def _schema_text() -> str:
    return resources.files(__package__).joinpath("profile.schema.json").read_text("utf-8")


def schema() -> dict[str, Any]:
    """Give the schema with the table of units filled in."""
    result: dict[str, Any] = json.loads(_schema_text())
    result["$defs"]["unit"] = {"type": "string", "enum": list(UNITS)}
    return result


def _whole_pattern(validator: object, pattern: str, instance: object, _: object) -> Iterator[ValidationError]:
    # The patterns are ECMA 262, where $ is the end; for Python's re it is also before a last line break.
    if isinstance(instance, str) and not re.fullmatch(pattern, instance, re.ASCII):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


@cache
def _validator() -> Any:
    strict = validators.extend(Draft202012Validator, {"pattern": _whole_pattern})  # type: ignore[no-untyped-call]
    return strict(schema())


def check(document: Document) -> list[Fault]:
    """List everything the schema has against a document, in the order of its lines."""
    faults = [fault for error in _validator().iter_errors(document.data) for fault in _faults(document, error)]
    return sorted(set(faults), key=lambda fault: (fault.line, fault.key))


def _faults(document: Document, error: ValidationError) -> Iterator[Fault]:
    path = tuple(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema["properties"])  # type: ignore[index]
        for key in error.instance:
            if key not in known:
                zh, en = _suggest(key, known)
                yield document.fault((*path, key), f"未知键{zh}", f"unknown key{en}")
        return
    if error.validator == "required" and isinstance(error.instance, dict):
        wanted: list[str] = list(error.schema["required"])  # type: ignore[index]
        for key in wanted:
            if key not in error.instance:
                yield document.fault(path, f"缺少键 {key}", f"the key {key} is missing")
        return
    zh, en = _words(error)
    yield document.fault(path, zh, en)


def _words(error: ValidationError) -> tuple[str, str]:
    shown = json.dumps(error.instance, ensure_ascii=False)[:80]
    wanted: Any = error.validator_value
    validator = error.validator
    if validator == "enum":
        listed = [str(one) for one in wanted]
        zh, en = _suggest(str(error.instance), listed)
        if len(listed) > 16:
            return f"{shown} 不在允许的列表中{zh}", f"{shown} is not in the closed list{en}"
        return f"{shown} 不允许，可用：{' '.join(listed)}", f"{shown} is not one of: {' '.join(listed)}"
    if validator == "type":
        names = wanted if isinstance(wanted, str) else " / ".join(wanted)
        return f"{shown} 类型不对，应为 {names}", f"{shown} has the wrong type, {names} is needed"
    if validator == "pattern":
        return f"{shown} 写法不对，应符合 {wanted}", f"{shown} is not written as {wanted}"
    if validator in ("minimum", "maximum"):
        word = {"minimum": ("不小于", "at least"), "maximum": ("不大于", "at most")}[validator]
        return f"{shown} 应{word[0]} {wanted}", f"{shown} must be {word[1]} {wanted}"
    if validator == "oneOf":
        keys = [" ".join(one.get("required", [])) for one in wanted]
        if isinstance(error.instance, dict) and not set(keys) & set(error.instance):
            if len(keys) == 2 and "parts" in keys:
                return "缺少键 address（或 parts）", "the key address is missing (or parts)"
            return f"缺少键：{' / '.join(keys)}", f"one of these keys is missing: {' / '.join(keys)}"
        return f"须且只须有其一：{' / '.join(keys)}", f"exactly one is needed of: {' / '.join(keys)}"
    if validator == "not":
        return "此处不允许该键", "this key is not allowed here"
    says = " ".join(error.message.split())[:160]
    return f"不符合规定：{says}", says


def _suggest(given: str, known: list[str]) -> tuple[str, str]:
    lowered = {one.lower(): one for one in known}
    near = difflib.get_close_matches(given.lower(), list(lowered), n=1)
    if not near:
        return "", ""
    return f"，是否指 {lowered[near[0]]}？", f"; did you mean {lowered[near[0]]}?"
