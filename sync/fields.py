"""Reads members of received JSON objects strictly: every member known, every type right, every size limited.

Used by `messages` only; what the members mean is written there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sync.errors import MessageError

T = TypeVar("T")
MAX_TEXT = 70_000
"""Characters of one text member: a statement has at most 65,535, a receipt far less."""


class Fields:
    """The members of one object, taken one by one; `end` refuses what was not taken."""

    def __init__(self, value: Any, where: str = "") -> None:
        if not isinstance(value, dict):
            raise MessageError(where, "an object is expected")
        self._rest = dict(value)
        self._where = where

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def _take(self, name: str, *, is_required: bool = True) -> Any:
        if name not in self._rest and is_required:
            raise MessageError(self._path(name), "is missing")
        return self._rest.pop(name, None)

    def text(self, name: str) -> str:
        """Take a text."""
        return _text(self._take(name), self._path(name))

    def optional_text(self, name: str) -> str | None:
        """Take a text that may be absent."""
        value = self._take(name, is_required=False)
        return None if value is None else _text(value, self._path(name))

    def number(self, name: str) -> int:
        """Take a whole number of 0 or more."""
        value = self._take(name)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
            raise MessageError(self._path(name), "a whole number is expected")
        return value

    def optional_number(self, name: str) -> int | None:
        """Take a whole number that may be absent."""
        return self.number(name) if self._rest.get(name) is not None else self._take(name, is_required=False)

    def texts(self, name: str, limit: int) -> tuple[str, ...]:
        """Take a list of texts."""
        return tuple(_text(item, f"{self._path(name)}[]") for item in self._list(name, limit))

    def optional_texts(self, name: str, limit: int) -> tuple[str, ...] | None:
        """Take a list of texts that may be absent."""
        return self.texts(name, limit) if self._rest.get(name) is not None else self._take(name, is_required=False)

    def objects(self, name: str, limit: int, read: Callable[[Any, str], T]) -> tuple[T, ...]:
        """Take a list of objects, each read by `read`."""
        return tuple(read(item, f"{self._path(name)}[{number}]") for number, item in enumerate(self._list(name, limit)))

    def object(self, name: str) -> Fields:
        """Take an object."""
        return Fields(self._take(name), self._path(name))

    def end(self) -> None:
        """Refuse members that nobody asked for."""
        for name in self._rest:
            raise MessageError(self._path(name), "is not known")

    def _list(self, name: str, limit: int) -> list[Any]:
        value = self._take(name)
        if not isinstance(value, list):
            raise MessageError(self._path(name), "a list is expected")
        if len(value) > limit:
            raise MessageError(self._path(name), f"has {len(value)} items, at most {limit} are allowed")
        return value


def present(members: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out members that are None: an optional member is absent, never null."""
    return {name: value for name, value in members.items() if value is not None}


def parse(text: str | bytes) -> Any:
    """Parse JSON in UTF-8 without byte order mark, duplicate names or numbers that are not whole.

    Raises:
        MessageError: it is not such JSON.
    """
    try:
        # json.loads would guess the encoding of bytes, and skip a byte order mark.
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        return json.loads(text, object_pairs_hook=_unique, parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as error:
        if isinstance(error, MessageError):
            raise
        raise MessageError("", f"not JSON: {error}") from error


def dump(value: Mapping[str, Any]) -> str:
    """Write JSON without white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise MessageError(where, "a text is expected")
    if len(value) > MAX_TEXT:
        raise MessageError(where, f"is longer than {MAX_TEXT} characters")
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value):
        raise MessageError(where, "holds a character that no text has (NUL or half a surrogate pair)")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MessageError("", "an object names a member twice")
    return members


def _no_float(text: str) -> Any:
    raise MessageError("", f"number {text[:20]} is not whole; write decimals as text")
