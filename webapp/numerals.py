"""How a decimal number is written for people: groups of three, a true minus sign, every digit kept."""

from __future__ import annotations

MINUS = "\u2212"
GROUP = "\u202f"
"""A narrow no-break space groups without being a comma in one country and a point in another."""


def grouped(text: str) -> str:
    """Write a plain decimal such as `-7848.532` with groups; a text that is none stays as it is."""
    whole, point, rest = text.partition(".")
    digits = whole.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or (point and not rest.isdigit()):
        return text
    groups = [digits[max(end - 3, 0) : end] for end in range(len(digits), 0, -3)][::-1]
    return f"{MINUS if whole.startswith('-') else ''}{GROUP.join(groups)}{point}{rest}"
