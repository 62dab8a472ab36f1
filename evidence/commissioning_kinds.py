"""What a ``config`` event may add to a channel's declaration: how a person found it to read what its device shows."""

import re
from decimal import Context, Decimal
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from evidence.encoding import parse_decimal
from evidence.errors import EvidenceError
from evidence.members import Closed, Count, Number, Short, Text, Time, matching

_EXACT = Context(prec=200)
"""The default context rounds to 28 digits; a figure may have 64."""
_WORDS = re.compile(r"[0-9A-F]{4}(?: [0-9A-F]{4})*\Z|[01]\Z", re.ASCII)

Words = Annotated[str, Field(max_length=400), matching(_WORDS, "hexadecimal words or a bit")]
Said = Annotated[str, Field(min_length=1, max_length=200)]
Order = Literal["ABCD", "BADC", "CDAB", "DCBA", "ABCDEFGH", "BADCFEHG", "GHEFCDAB", "HGFEDCBA", "EFGHABCD", "CDABGHEF"]


def number_of(text: str) -> Decimal | None:
    """Return the number a text is, None where it is a word."""
    try:
        return parse_decimal(text)
    except EvidenceError:
        return None


class DisplayData(Closed):
    """One reading of the device's display, and what the gateway read beside it.

    Numbers agree when ``least`` <= read - shown <= ``most``; words agree when they are the same.
    """

    at: Time
    shown: Said
    read: Said
    read_at: Time
    words: Words
    agrees: bool
    off: Number | None = None
    least: Number | None = None
    most: Number | None = None

    @model_validator(mode="after")
    def _agreement_follows(self) -> "DisplayData":
        shown, read = number_of(self.shown), number_of(self.read)
        given = [figure for figure in (self.off, self.least, self.most) if figure is not None]
        if shown is None or read is None:
            if given:
                raise ValueError("words have no difference")
            follows = self.shown == self.read
        else:
            if self.off is None or self.least is None or self.most is None:
                raise ValueError("numbers have off, least and most")
            off, least, most = (Decimal(figure) for figure in given)
            if off != _EXACT.subtract(read, shown):
                raise ValueError("off is not read less shown")
            if not least <= 0 <= most:
                raise ValueError("least and most have 0 between them")
            follows = least <= off <= most
        if self.agrees != follows:
            raise ValueError("agrees does not follow from shown, read and the limits")
        return self


class NeighbourData(Closed):
    """What the register before or after held, for whoever doubts the address later."""

    offset: Annotated[int, Field(ge=-1, le=1)]
    words: Words

    @model_validator(mode="after")
    def _is_a_neighbour(self) -> "NeighbourData":
        if not self.offset:
            raise ValueError("a neighbour is one before or one after")
        return self


class CommissionedData(Closed):
    """Who took a channel into use, when, and the two readings of the display that this stands on."""

    at: Time
    by: Said
    point: Short
    table: Literal["holding", "input", "coil", "discrete"]
    address: Count
    words: Words
    value: Said
    displays: Annotated[list[DisplayData], Field(min_length=2, max_length=2)]
    order: Order | None = None
    neighbours: Annotated[list[NeighbourData], Field(min_length=1, max_length=2)] | None = None
    reason: Annotated[Text, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _stands_on_two_readings(self) -> "CommissionedData":
        if any(later.at <= earlier.at for earlier, later in pairwise(self.displays)):
            raise ValueError("the second reading of the display is not later than the first")
        if any(one.at > self.at or one.read_at > self.at for one in self.displays):
            raise ValueError("a reading lies after the acceptance")
        last = self.displays[-1]
        if (self.words, self.value) != (last.words, last.read):
            raise ValueError("words and value are not those of the last reading")
        if not all(one.agrees for one in self.displays) and self.reason is None:
            raise ValueError("a display that contradicts needs a reason")
        return self
