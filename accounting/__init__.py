"""Parameter sets, formulas, and the composition of a month's body from logged statements."""

from accounting.calculation import calculate
from accounting.declared import as_declared
from accounting.errors import AccountingError, CoverError, PlanError
from accounting.month import attachments_of, compose, subjects_of
from accounting.parameter_set import ParameterSet, packaged_bytes, packaged_ids, read_parameters
from accounting.plan import Plan, check_against, read_plan
from accounting.recompute import recompute

__all__ = [
    "AccountingError",
    "CoverError",
    "ParameterSet",
    "Plan",
    "PlanError",
    "as_declared",
    "attachments_of",
    "calculate",
    "check_against",
    "compose",
    "packaged_bytes",
    "packaged_ids",
    "read_parameters",
    "read_plan",
    "recompute",
    "subjects_of",
]
