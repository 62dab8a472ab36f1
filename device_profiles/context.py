"""What the builders of a profile share: the document, its defaults, and the faults found so far."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .addresses import wire_address
from .condition import Condition, coded, names_in, parse_condition
from .document import Document
from .document import Path as Place
from .errors import Fault
from .model import RAW, Table


class Context:
    """One schema-checked document on its way to a profile."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.data: Mapping[str, Any] = document.data
        self.faults: list[Fault] = []
        self.defaults: Mapping[str, Any] = self.data.get("defaults", {})
        self.base: str = self.data.get("address_base", "")
        self.names: frozenset[str] = frozenset()
        self.enums: Mapping[str, Mapping[str, int]] = {}
        self.parameter_names = frozenset(self.data.get("parameters", {}))

    def fault(self, place: Place, zh: str, en: str) -> None:
        """Note one thing that is wrong."""
        self.faults.append(self.document.fault(place, zh, en))

    def know(self, written: Mapping[str, Mapping[str, Any]]) -> None:
        """Take in which points there are, and the words of their enumerations."""
        self.names = frozenset(written)
        self.enums = {
            name: {text: int(code) for code, text in given["enum"].items()}
            for name, given in written.items()
            if "enum" in given
        }

    def wire(self, place: Place, given: Mapping[str, Any], written: int) -> tuple[Table, int]:
        """Find table and wire address of something written in the profile's base."""
        base = given.get("base", self.base)
        table = given.get("table")
        if table is None and base in ("wire0", "number1"):
            table = self.defaults.get("table")
        try:
            return wire_address(written, base, Table(table) if table else None)
        except ValueError as error:
            self.fault(place, f"地址不对：{error}", str(error))
            return Table.HOLDING, 0

    def point(self, place: Place, name: str) -> bool:
        """Check that a point is there."""
        if name not in self.names:
            self.fault(place, f"没有测点 {name}", f"there is no point {name}")
            return False
        return True

    def parameter(self, place: Place, name: str) -> bool:
        """Check that a parameter is there."""
        if name not in self.parameter_names:
            self.fault(place, f"没有参数 {name}", f"there is no parameter {name}")
            return False
        return True

    def condition(self, place: Place, text: str) -> Condition | None:
        """Read a condition whose every name is a point, a parameter or `raw`."""
        try:
            condition = parse_condition(text)
        except ValueError as error:
            self.fault(place, f"条件不对：{error}", f"the condition is wrong: {error}")
            return None
        for name in sorted(names_in(condition) - {RAW} - self.parameter_names):
            self.point(place, name)
        try:
            return coded(condition, self.enums)
        except KeyError as error:
            self.fault(place, f"枚举中没有 {error.args[0]}", f"the enumeration has no {error.args[0]}")
            return None


def decimal(given: str | int | None) -> Decimal | None:
    """Read decimal text."""
    return None if given is None else Decimal(given)
