"""What the members of statements are made of: identifiers, times, numbers, texts, each with its one form.

The kinds themselves stand in ``kinds.py``, the records people make in ``record_kinds.py``.
"""

import re
from datetime import date
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from evidence.encoding import FIRST_YEAR, LAST_YEAR, parse_decimal, parse_time

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*\Z", re.ASCII)
_HEX64 = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_KID = re.compile(r"[A-Za-z0-9_-]{43}\Z", re.ASCII)
_PERIOD = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])\Z", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", re.ASCII)


def matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    """Make the check of a text's form."""

    def check(text: str) -> str:
        if not pattern.match(text):
            raise ValueError(f"not {what}")
        return text

    return AfterValidator(check)


def _time(text: str) -> str:
    parse_time(text)
    return _year(text)


def _year(text: str) -> str:
    if not FIRST_YEAR <= int(text[:4]) <= LAST_YEAR:
        raise ValueError(f"the year is not within {FIRST_YEAR} and {LAST_YEAR}")
    return text


def _day(text: str) -> str:
    date.fromisoformat(text)
    return _year(text)


def _yes(said: bool) -> bool:
    if not said:
        raise ValueError("true, or left out")
    return said


def _decimal(text: str) -> str:
    parse_decimal(text)
    return text


Id = Annotated[str, Field(max_length=64), matching(_ID, "an identifier")]
GatewayId = Annotated[str, Field(max_length=32), matching(_ID, "an identifier")]
PlantId = Annotated[str, Field(max_length=64), matching(re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*)?\Z"), "a plant id")]
Sid = Annotated[str, matching(_HEX64, "64 hexadecimal characters")]
Kid = Annotated[str, matching(_KID, "a key thumbprint")]
Period = Annotated[str, matching(_PERIOD, "a month YYYY-MM"), AfterValidator(_year)]
Day = Annotated[str, matching(_DAY, "a day YYYY-MM-DD"), AfterValidator(_day)]
Time = Annotated[str, AfterValidator(_time)]
Number = Annotated[str, Field(max_length=64), AfterValidator(_decimal)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Version = Annotated[int, Field(ge=1, le=1)]
"""1, and not `true`: a literal 1 would take both."""
Yes = Annotated[bool, AfterValidator(_yes)]
Text = Annotated[str, Field(max_length=2000)]
Short = Annotated[str, Field(max_length=200)]


class Closed(BaseModel):
    """A part of a statement: frozen, strict, no members but its own."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
