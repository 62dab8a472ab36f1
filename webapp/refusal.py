"""What admission answers: logged, held or refused, always with the reason in words."""

from __future__ import annotations

from dataclasses import dataclass

from evidence.errors import Code


@dataclass(frozen=True)
class Logged:
    """The statement is in the log at `index`; `is_new` tells whether this call put it there."""

    sid: str
    index: int
    is_new: bool


@dataclass(frozen=True)
class Held:
    """The statement waits for `missing`, its predecessor."""

    sid: str
    missing: str


@dataclass(frozen=True)
class Refused:
    """The statement was not taken."""

    sid: str
    code: Code
    detail: str


Outcome = Logged | Held | Refused
