"""YAML text to plain data that remembers its lines. Narrower than YAML on purpose.

Plain scalars are decimal or 0x integers, true, false, null, or text. What YAML 1.1 would guess (yes, 010, 1:30,
2026-01-01, 1.5) is text or an error, because a guess in a register address is a wrong number later. Anchors, tags,
several documents and repeated keys are errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from .errors import Fault, ProfileError

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z", re.ASCII)
_HEX = re.compile(r"0[xX][0-9a-fA-F]+\Z", re.ASCII)
_ODD_NUMBER = re.compile(r"[-+]?(?:0[xX])?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?\Z|[-+]?\.[0-9]+\Z", re.ASCII)
#: A profile is a few pages; more is a mistake or an attack.
MAX_CHARACTERS = 1_000_000

#: Longer whole numbers would not survive other JSON readers exactly: they are written in quotes.
MAX_INTEGER_CHARACTERS = 12

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data (mapping keys are text) and the line of every key and list item."""

    source: str
    data: Any
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Find the line of a place, or of the nearest place around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def fault(self, path: Path, zh: str, en: str) -> Fault:
        """Build the message about one place."""
        return Fault(self.source, self.line(path), ".".join(str(step) for step in path), zh, en)


def read_document(text: str, source: str) -> Document:
    """Parse a profile's text.

    Raises: ProfileError with the line.
    """
    if len(text) > MAX_CHARACTERS:
        raise _refuse(source, 1, "", "文件过大", "the file is too large")
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if getattr(event, "tag", None):
                raise _refuse(source, line, "", "不允许标签（!）", "tags (!) are not allowed")
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise _refuse(source, line, "", "不允许锚点和引用", "anchors and aliases are not allowed")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise _refuse(source, line, "", f"不是 YAML：{error.problem}", f"not YAML: {error.problem}") from error
    except (yaml.YAMLError, RecursionError) as error:
        says = " ".join(str(error).split())[:200]
        raise _refuse(source, 1, "", f"不是 YAML：{says}", f"not YAML: {says}") from error
    if root is None:
        raise _refuse(source, 1, "", "文件为空", "the file is empty")
    lines: dict[Path, int] = {}
    data = _plain(root, (), source, lines)
    return Document(source, data, lines)


def _plain(node: yaml.Node, path: Path, source: str, lines: dict[Path, int]) -> Any:
    lines.setdefault(path, node.start_mark.line + 1)
    key = ".".join(str(step) for step in path)
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            name = _plain(key_node, (*path, "?"), source, {}) if key_node.id == "scalar" else None
            if isinstance(name, bool) or not isinstance(name, str | int):
                raise _refuse(source, key_line, key, "键必须是文字或整数", "a key must be text or an integer")
            step = str(name)
            if step in result:
                raise _refuse(source, key_line, step, "键重复", "the key is there twice")
            lines[(*path, step)] = key_line
            result[step] = _plain(value_node, (*path, step), source, lines)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*path, at), source, lines) for at, item in enumerate(node.value)]
    text = str(node.value)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise _refuse(source, line, key, "不是合法文字", "not valid text")
    if isinstance(node, yaml.ScalarNode) and node.style is not None:
        return text
    return _scalar(text, source, line, key)


def _scalar(text: str, source: str, line: int, key: str) -> Any:
    if text in ("", "null", "~"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if len(text) <= MAX_INTEGER_CHARACTERS:
        if _INTEGER.match(text):
            return int(text)
        if _HEX.match(text):
            return int(text, 16)
    if _ODD_NUMBER.match(text):
        raise _refuse(
            source,
            line,
            key,
            f"数字 {text} 请加引号按十进制文本书写，整数不得以 0 开头",
            f"write {text} in quotes as decimal text; integers must not start with 0",
        )
    return text


def _refuse(source: str, line: int, key: str, zh: str, en: str) -> ProfileError:
    return ProfileError((Fault(source, line, key, zh, en),))
