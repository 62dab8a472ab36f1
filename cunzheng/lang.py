"""The language a person reads: `say` picks between two texts.

One environment variable carries the choice, because commands of other packages and started processes
must follow it too. It leaves translated web pages to the centre and error texts to the errors themselves.
"""

from __future__ import annotations

import os
from typing import Literal

Language = Literal["zh", "en"]

VARIABLE = "CUNZHENG_LANG"
# The order in which POSIX asks for the language of messages.
_LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")


def language() -> Language:
    """Return the language chosen by --lang, else by the locale."""
    for name in (VARIABLE, *_LOCALE_VARIABLES):
        value = os.environ.get(name, "")
        if value:
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def choose(chosen: Language) -> None:
    """Make this process, and those it starts, speak one language."""
    os.environ[VARIABLE] = chosen


def say(zh: str, en: str) -> str:
    """Return the text in the language of the person at the screen."""
    return zh if language() == "zh" else en
