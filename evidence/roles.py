"""Who may sign what: the one table of roles.

Roles come from the key registry, never from a payload. Whether a decision is also in order
(technician before responsible person, city before province) is checked where months are checked.
"""

from collections.abc import Mapping
from typing import Any

GATEWAY = "gateway"
TECHNICIAN = "technician"
RESPONSIBLE = "responsible"
CITY = "city"
PROVINCE = "province"
NATION = "nation"
INSPECTOR = "inspector"
REGISTRAR = "registrar"

REVIEW_LEVELS = (CITY, PROVINCE, NATION)
"""Levels in the order in which they decide; the first two must approve."""
APPROVING_LEVELS = (CITY, PROVINCE)

SIGNERS: Mapping[str, frozenset[str]] = {
    "segment": frozenset({GATEWAY}),
    "event": frozenset({GATEWAY}),
    "month": frozenset({GATEWAY}),
    "lab": frozenset({TECHNICIAN, RESPONSIBLE}),
    "ledger": frozenset({TECHNICIAN, RESPONSIBLE}),
    "declare": frozenset({TECHNICIAN, RESPONSIBLE}),
    "review": frozenset(REVIEW_LEVELS),
    "inspect": frozenset({INSPECTOR}),
    "key": frozenset({REGISTRAR}),
}


def roles_for(payload: Mapping[str, Any]) -> frozenset[str]:
    """Return the roles of which a key needs one to sign this payload.

    A declaration needs the very role it claims, a review the very level it decides at.
    An ``enrol`` proves possession of a key not yet registered; its empty set means just that.
    """
    kind = str(payload["kind"])
    if kind == "declare":
        return frozenset({str(payload["role"])})
    if kind == "review":
        return frozenset({str(payload["level"])})
    if kind == "key" and payload["op"] == "enrol":
        return frozenset()
    return SIGNERS[kind]
