"""How the bundle file of a month is called."""

from __future__ import annotations


def bundle_name(plant: str, period: str) -> str:
    """Name the bundle file of a month."""
    return f"{plant}-{period}.evb"
