"""The language a person reads: the same rule as the command's own (`CUNZHENG_LANG`, else the locale).

Kept here because this package must not import the command.
"""

from __future__ import annotations

import os


def say(zh: str, en: str) -> str:
    """Return the text in the language of the person at the screen."""
    for name in ("CUNZHENG_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(name, "")
        if value:
            return zh if value.lower().startswith("zh") else en
    return en
