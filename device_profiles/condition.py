"""The condition language of profiles: points, comparisons, constants, and/or/not. Nothing else, and no eval.

`malf == 1`, `raw == 0 and not (live == 1)`, `mode == "standby" or rate > 30000`. A condition over something that was
not read is neither true nor false: it is unknown, and unknown stays unknown unless the rest decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

#: Longer or deeper conditions are mistakes.
MAX_CHARACTERS = 300
MAX_DEPTH = 20

_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?[0-9]{1,20}(?:\.[0-9]{1,20})?)|(?P<name>[a-z][a-z0-9_]*)|\"(?P<text>[^\"]{0,60})\""
    r"|(?P<op>==|!=|<=|>=|<|>|\(|\)))",
    re.ASCII,
)
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_WORDS = ("and", "or", "not")

Value = Decimal | str
Lookup = Callable[[str], Value | None]


@dataclass(frozen=True, slots=True)
class Name:
    """A point, a parameter, or `raw`."""

    name: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two operands and what must hold between them."""

    left: Name | Value
    op: str
    right: Name | Value


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    of: Condition


@dataclass(frozen=True, slots=True)
class Both:
    """and: both must hold."""

    left: Condition
    right: Condition


@dataclass(frozen=True, slots=True)
class Either:
    """or: one must hold."""

    left: Condition
    right: Condition


Condition = Comparison | Not | Both | Either


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises: ValueError saying what is wrong.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"longer than {MAX_CHARACTERS} characters")
    parser = _Parser(list(_tokens(text)))
    condition = parser.either(0)
    if parser.tokens:
        raise ValueError(f"{parser.tokens[0][1]!r} is not expected there")
    return condition


def names_in(condition: Condition) -> frozenset[str]:
    """List what a condition asks for."""
    match condition:
        case Comparison(left, _, right):
            return frozenset(one.name for one in (left, right) if isinstance(one, Name))
        case Not(of):
            return names_in(of)
        case Both(left, right) | Either(left, right):
            return names_in(left) | names_in(right)


def holds(condition: Condition, lookup: Lookup) -> bool | None:
    """Tell whether a condition holds; None where something it needs is not there."""
    match condition:
        case Comparison(left, op, right):
            return _compare(_operand(left, lookup), op, _operand(right, lookup))
        case Not(of):
            inner = holds(of, lookup)
            return None if inner is None else not inner
        case Both(left, right):
            one, other = holds(left, lookup), holds(right, lookup)
            if one is False or other is False:
                return False
            return None if one is None or other is None else True
        case Either(left, right):
            one, other = holds(left, lookup), holds(right, lookup)
            if one is True or other is True:
                return True
            return None if one is None or other is None else False


def coded(condition: Condition, enums: Mapping[str, Mapping[str, int]]) -> Condition:
    """Write the codes of enumerations for their words.

    Raises: KeyError for a word that the enumeration does not have.
    """
    match condition:
        case Comparison(Name(name) as left, op, str(text)) if name in enums:
            return Comparison(left, op, Decimal(enums[name][text]))
        case Comparison(str(text), op, Name(name) as right) if name in enums:
            return Comparison(Decimal(enums[name][text]), op, right)
        case Not(of):
            return Not(coded(of, enums))
        case Both(one, other):
            return Both(coded(one, enums), coded(other, enums))
        case Either(one, other):
            return Either(coded(one, enums), coded(other, enums))
    return condition


def _operand(given: Name | Value, lookup: Lookup) -> Value | None:
    return lookup(given.name) if isinstance(given, Name) else given


def _compare(left: Value | None, op: str, right: Value | None) -> bool | None:
    if left is None or right is None:
        return None
    if isinstance(left, str) or isinstance(right, str):
        same = left == right
        return {"==": same, "!=": not same}.get(op)
    return {
        "==": left == right,
        "!=": left != right,
        "<": left < right,
        "<=": left <= right,
        ">": left > right,
        ">=": left >= right,
    }[op]


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while text[at:].strip():
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"{text[at:].strip()[:20]!r} is no point, number, text or comparison")
        kind = str(found.lastgroup)
        yield ("word" if found[kind] in _WORDS and kind == "name" else kind), found[kind]
        at = found.end()


class _Parser:
    """Reads tokens by rank: or, and, not, comparison."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens

    def took(self, kind: str, text: str) -> bool:
        if self.tokens and self.tokens[0] == (kind, text):
            self.tokens.pop(0)
            return True
        return False

    def either(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise ValueError("nested too deep")
        result = self.both(depth)
        while self.took("word", "or"):
            result = Either(result, self.both(depth))
        return result

    def both(self, depth: int) -> Condition:
        result = self.one(depth)
        while self.took("word", "and"):
            result = Both(result, self.one(depth))
        return result

    def one(self, depth: int) -> Condition:
        if self.took("word", "not"):
            return Not(self.one(depth + 1) if depth <= MAX_DEPTH else self.either(depth))
        if self.took("op", "("):
            inside = self.either(depth + 1)
            if not self.took("op", ")"):
                raise ValueError("a closing bracket is missing")
            return inside
        left = self.operand()
        if not self.tokens or self.tokens[0][0] != "op" or self.tokens[0][1] not in _COMPARISONS:
            raise ValueError("a comparison (== != < <= > >=) is missing")
        op = self.tokens.pop(0)[1]
        right = self.operand()
        if op not in ("==", "!=") and (isinstance(left, str) or isinstance(right, str)):
            raise ValueError("text is compared by == and != only")
        if not isinstance(left, Name) and not isinstance(right, Name):
            raise ValueError("two constants are compared")
        return Comparison(left, op, right)

    def operand(self) -> Name | Value:
        if not self.tokens:
            raise ValueError("it ends too early")
        kind, text = self.tokens.pop(0)
        if kind == "name":
            return Name(text)
        if kind == "number":
            return Decimal(text)
        if kind == "text":
            return text
        raise ValueError(f"{text!r} is not expected there")
