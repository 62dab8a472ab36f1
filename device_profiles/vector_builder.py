"""The test vectors of a profile, from their text to words, bits and messages."""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .addresses import wire_address
from .context import Context
from .document import Path as Place
from .model import Point, Table, Vector
from .words import hex_words

Words = dict[tuple[Table, int], int]


class VectorBuilder:
    """Builds the vectors of one profile."""

    def __init__(self, context: Context, points: Mapping[str, Point]) -> None:
        self.context, self.points = context, points

    def vector(self, at: int, given: Mapping[str, Any]) -> Vector:
        """Build one vector."""
        place: Place = ("vectors", at)
        words = self.words(place, given)
        after = None
        if "after" in given:
            after = {**words, **self.words((*place, "after"), given["after"])}
        for name in given["expect"]:
            if name not in self.points:
                self.context.fault((*place, "expect", name), "没有这个测点", "there is no such point")
        for name in given.get("parameters", {}):
            self.context.parameter((*place, "parameters", name), name)
        payload = given.get("payload")
        return Vector(
            line=self.context.document.line(place),
            words=MappingProxyType(words),
            payload=None if payload is None else payload.encode("utf-8"),
            topic=given.get("topic", ""),
            retained=given.get("retained", False),
            time=given.get("time", ""),
            sequence=given.get("sequence"),
            expect=MappingProxyType(given["expect"]),
            after=None if after is None else MappingProxyType(after),
            parameters=MappingProxyType({name: str(value) for name, value in given.get("parameters", {}).items()}),
            messages=tuple(
                self.message((*place, "messages", n), one) for n, one in enumerate(given.get("messages", []))
            ),
        )

    def words(self, place: Place, given: Mapping[str, Any]) -> Words:
        """Read words by address and bits by point."""
        context = self.context
        words: Words = {}
        for written, text in given.get("words", {}).items():
            named, _, number = written.rpartition(":")
            if not named and context.base in ("wire0", "number1"):
                named = context.defaults.get("table", "holding")
            try:
                table, first = wire_address(int(number), context.base, Table(named) if named else None)
                raw = hex_words(text)
            except ValueError as error:
                context.fault((*place, "words", written), f"地址不对：{error}", str(error))
                continue
            for offset, word in enumerate(raw):
                words[(table, first + offset)] = word
        for name, bit in given.get("bits", {}).items():
            point = self.points.get(name)
            if point is None or not (point.table.is_bits or point.bit is not None):
                context.fault((*place, "bits", name), "不是位测点", "this is no point of one bit")
                continue
            where = (point.table, point.address)
            words[where] = bit if point.bit is None else words.get(where, 0) | bit << point.bit
        return words

    def message(self, place: Place, given: Mapping[str, str]) -> tuple[str, bytes]:
        """Read one message of a conversation: topic, and bytes as text or hexadecimal."""
        if "payload" in given:
            return given["topic"], given["payload"].encode("utf-8")
        try:
            return given["topic"], binascii.unhexlify("".join(given["hex"].split()))
        except (ValueError, binascii.Error):
            self.context.fault((*place, "hex"), "不是十六进制", "this is no hexadecimal text")
            return given["topic"], b""
