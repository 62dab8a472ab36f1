"""The errors of this package.

ProfileError    a profile that must not be used: the author has to change the file
PayloadError    a message that carries no readings: store it aside with its topic and time, then acknowledge it
EncodeError     a value that the described device could not show (simulators and tests)

Bad *measurements* are no errors: they are values with a quality, see `quality`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in one place of a profile file, in both languages."""

    source: str
    line: int
    key: str
    zh: str
    en: str

    def text(self, language: str = "en") -> str:
        """Say what is wrong, where, in one line."""
        says = self.zh if language == "zh" else self.en
        key = f"{self.key}: " if self.key else ""
        return f"{self.source}:{self.line}: {key}{says}"


class ProfileError(ValueError):
    """A profile is refused; `faults` names each reason with file, line and key."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        super().__init__("\n".join(fault.text() for fault in faults))

    @property
    def zh(self) -> str:
        """Say the first fault, and how many more there are, in one line."""
        more = len(self.faults) - 1
        return self.faults[0].text("zh") + (f"（另有 {more} 处）" if more else "")

    @property
    def en(self) -> str:
        """Say the first fault, and how many more there are, in one line."""
        more = len(self.faults) - 1
        return self.faults[0].text("en") + (f" (and {more} more)" if more else "")


class PayloadError(ValueError):
    """A message cannot be read as the profile says. `code` is stable, `detail` is for a person."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code}: {detail}")


class EncodeError(ValueError):
    """A value does not fit the point's type, scale or enumeration."""
