"""Shows that something takes its time: on standard error, and only to a person at a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.status import Status


def working(text: str) -> Status:
    """Return a context in which a moving line says what is done."""
    return Console(stderr=True).status(text)
