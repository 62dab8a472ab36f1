"""A long list, one page of it at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ROWS = 50


@dataclass(frozen=True)
class Slice:
    """The rows of one page, and where it stands among the others."""

    rows: Sequence[Any]
    page: int
    pages: int
    total: int

    @classmethod
    def of(cls, rows: Sequence[Any], page: int) -> Slice:
        """Cut a page out of a list; a page that is not there becomes the nearest one."""
        pages = max(1, -(-len(rows) // ROWS))
        here = min(max(page, 1), pages)
        return cls(rows[(here - 1) * ROWS : here * ROWS], here, pages, len(rows))
