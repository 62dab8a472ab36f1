"""Errors of the centre, split by what the caller does next.

    CenterError            shown to the administrator: text in both languages and an exit code; stop
    ├── LogRefusedError    the log must not go on (restored backup, damaged tiles); stop, exit 1
    ├── ReceiptAwaitedError  logged, but too few witnesses have cosigned; ask again
    └── NotReadyError      the schema or the keys are not there; run `center init`, exit 1

A statement that is refused is no exception here: admission answers a value (`admission.Refused`).
"""

from __future__ import annotations


class CenterError(Exception):
    """Something the administrator must put right; carries its text in Chinese and English."""

    def __init__(self, zh: str, en: str, *, exit_code: int = 1) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en
        self.exit_code = exit_code


class LogRefusedError(CenterError):
    """The log on disk and in the database does not continue what was signed before; nothing may be signed."""


class ReceiptAwaitedError(CenterError):
    """What was asked for is in the log, and its receipt waits for cosignatures; asking again will give it."""


class NotReadyError(CenterError):
    """The centre was not initialised, or its schema is older or newer than this program."""
