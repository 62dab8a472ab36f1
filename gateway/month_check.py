"""What the centre checks of a month before it logs it, checked here before the month is signed.

A month that the centre refuses would stand in the chain for ever, and every segment behind it with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evidence.errors import Code, EvidenceError
from evidence.registry import Registry
from evidence.statement import Statement
from evidence.verdict import Findings
from evidence.verify_month import BODY, Signed, check_chain, check_declares, check_sums, newest_revision
from gateway.identity import Identity


def check_as_centre(
    month: Statement,
    body: bytes,
    statements: Iterable[Statement],
    declares: Sequence[Statement],
    months: Sequence[Statement],
    registry: Registry,
    identity: Identity,
) -> None:
    """Check a month that is not kept yet against everything known of its plant.

    Raises:
        EvidenceError: with the code of the first rule that is broken.
    """
    findings = Findings()
    new = _signed(month, registry)
    if month.payload["subjects"][0]["name"] != BODY:
        raise EvidenceError(Code.DECLARE_MISMATCH, f"the first file of a month is {BODY}", month.sid)
    of_period = [_signed(one, registry) for one in months if one.payload["period"] == month.payload["period"]]
    newest_revision([*of_period, new], findings)
    check_declares(new, {one.sid: _signed(one, registry) for one in declares}, findings)
    devices = [one for one in statements if "gw" in one.payload]
    segments: list[Signed] = []
    for cover in month.payload["cover"]:
        place = (cover["gw"], cover["epoch"])
        chain = [one for one in devices if (one.payload["gw"], one.payload["epoch"]) == place]
        segments += check_chain(cover, [_signed(one, registry) for one in chain], findings)
    check_sums(new, segments, body, identity.zone_info, findings)
    for finding in findings.all():
        raise EvidenceError(finding.code, finding.detail, finding.sid)


def _signed(statement: Statement, registry: Registry) -> Signed:
    return Signed(statement, registry.key(statement.kid), None)
