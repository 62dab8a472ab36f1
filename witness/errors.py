"""What stops a witness: one sentence in two languages, and the exit code of the command."""

from __future__ import annotations


class WitnessError(Exception):
    """Something its operator must put right."""

    def __init__(self, zh: str, en: str, *, exit_code: int = 1) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en
        self.exit_code = exit_code
