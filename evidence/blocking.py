"""What stands against a month: findings of severity E, and the written reason without which it is not declared.

The findings are issues of the body with the code `QUALITY_ERROR`; the technician's declaration carries the reason,
which everyone after them sees.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from evidence.encoding import canonical_json
from evidence.errors import Code, EvidenceError
from evidence.verdict import Findings
from evidence.verify_month import Signed

BLOCKING = "QUALITY_ERROR"
"""Code of the issues that block a month."""


def blocking_issues(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the issues of a body that ask for a written reason."""
    return [issue for issue in body.get("issues", ()) if issue.get("code") == BLOCKING]


def has_reason(declaration: Mapping[str, Any]) -> bool:
    """Tell whether a declaration gives a reason."""
    return bool(str(declaration.get("reason", "")).strip())


def check_reason(declares: Sequence[Signed], body: bytes, findings: Findings) -> None:
    """Check that the technician gave a reason where the body has blocking issues (``QUALITY_OPEN``)."""
    try:
        issues = blocking_issues(canonical_json(body))
    except (EvidenceError, AttributeError, TypeError):
        return  # `check_sums` reports a body that is none
    if issues and declares and not has_reason(declares[0].payload):
        words = f"{len(issues)} findings of severity E stand without a written reason"
        findings.add(Code.QUALITY_OPEN, words, declares[0].sid)
