"""How a figure came about, as a tree that screens, exports and people can follow.

A leaf is a given number and where it is from; a node is a formula over its children. The tree is
part of the body, so it is written deterministically and holds decimal strings only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from evidence.encoding import decimal_text


@dataclass(frozen=True)
class Derivation:
    """One number with its symbol and unit; its source if given, its formula and children if computed."""

    symbol: str
    value: Decimal
    unit: str
    source: Mapping[str, Any] | None = None
    formula: str | None = None
    children: tuple[Derivation, ...] = field(default=())

    @property
    def fraction(self) -> Fraction:
        """The value for exact arithmetic."""
        return Fraction(self.value)

    def to_json(self) -> dict[str, Any]:
        """The tree as a body carries it; members that say nothing are absent."""
        node: dict[str, Any] = {"symbol": self.symbol, "value": decimal_text(self.value), "unit": self.unit}
        if self.formula is not None:
            node["formula"] = self.formula
        if self.source is not None:
            node["source"] = dict(self.source)
        if self.children:
            node["children"] = [child.to_json() for child in self.children]
        return node


@dataclass(frozen=True)
class Computed:
    """A figure as it is printed, as it is exactly, and how it came about."""

    value: Decimal
    exact: Fraction
    derivation: Derivation
