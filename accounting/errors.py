"""What can go wrong in accounting, in both languages.

AccountingError
 ├─ DocumentError     a JSON document does not follow its schema
 │   ├─ PlanError         plan.json
 │   ├─ ParameterError    parameters.json
 │   └─ InputError        the input of a calculation
 ├─ UnitError         a unit is unknown or cannot become the wanted one
 ├─ PeriodError       not a month, or not a time zone
 ├─ LackingError      a bundle lacks a file or declaration that recomputing needs
 └─ CoverError        the statements at hand are not the ones the month covers

Bad or missing *measurements* are not errors: they are issues inside the month's body (`issues.py`).
"""

from __future__ import annotations


class AccountingError(Exception):
    """An input that cannot be computed with; `str()` is English, `zh` is Chinese."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(en)
        self.en = en
        self.zh = zh


class DocumentError(AccountingError):
    """A document does not follow its schema; the message carries the path of the member."""


class PlanError(DocumentError):
    """plan.json cannot be used; correct the plan at the centre."""


class ParameterError(DocumentError):
    """A parameter set cannot be used, or lacks what was asked of it."""


class InputError(DocumentError):
    """The input of a single calculation cannot be used."""


class UnitError(AccountingError):
    """A unit is unknown, or two units measure different things."""


class PeriodError(AccountingError):
    """The period is not `YYYY-MM`, or the time zone is unknown."""


class LackingError(AccountingError):
    """A file or declaration that recomputing needs is not at hand; nothing can be said without it."""


class CoverError(AccountingError):
    """Statements that the cover names are not at hand; obtain them and compose again."""
